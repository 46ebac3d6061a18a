#!/usr/bin/env bash
# What the guard may link and how long it may be: growth of the privileged side is a decision.
set -euo pipefail
guard=$1 root=$(cd "$(dirname "$0")/.." && pwd)
allowed='libseccomp.so.2 libcap.so.2 libstdc++.so.6 libgcc_s.so.1 libc.so.6 libm.so.6 ld-linux-x86-64.so.2'
failed=0
for library in $(readelf -d "$guard" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
  case " $allowed " in *" $library "*) ;; *) echo "the guard must not link $library"; failed=1 ;; esac
done
lines=$(find "$root/guard" -name '*.cc' -not -name '*_test.cc' -o -name '*.h' | xargs cat | wc -l)
# Raised from 2500 for three things that only root can do or decide: listeners in a session's network
# for names it may reach, one cgroup per session, and whose user a question goes to (guard/gates.cc). From 2750 for the
# auditors' process, the policy's blob, and what only an operator may ask of auditd. From 2850 for who starts and stops the
# host and which login an operator's act comes from, and for keeping its own records until they are durable. From 2911 for asking
# a new accounts process which logins still stand, and for ending all that a disabled account has running. From 2955 for the packet socket
# of a session's network that shows its monitor what is refused: only who owns that network can make it.
# From 2960 for the lock on the uids, how many they are, and when a part is started again.
# From 2962 for the end of each intent of a connection or session that came to nothing, and which login a connection is of.
# From 2982 for intents that are recorded after nobody waited for them any more.
# From 3010 for what an operator changes while it serves: opening the files, passing them to who judges them, and keeping what was accepted.
# Holding tenants to their share of the disk is in it too: its settings, running oqto-storage before the seal, and the one
# call that the filter now lets through.
# From 3545 for answers to a reload that come late, files that are gone, and signals that come during a reload.
limit=3596
echo "guard: $lines lines of at most $limit"
[ "$lines" -le $limit ] || failed=1
readelf -lW "$guard" | grep -q 'GNU_RELRO' || { echo "the guard has no RELRO"; failed=1; }
readelf -hW "$guard" | grep -q 'DYN' || { echo "the guard is not position independent"; failed=1; }
exit $failed
