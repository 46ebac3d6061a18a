#!/usr/bin/env bash
# Checks the signatures of a checkpoint with openssl and coreutils, and that the note is spelled as it must be.
#
# usage: independent_verify.sh NOTE VKEY_FILE [WITNESS_VKEY_FILE]
set -euo pipefail
export LC_ALL=C

die() { echo "$*" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# read_key FILE TYPE: sets key_name and key_id, and writes $work/key.der.
read_key() {
  local line data
  line=$(head -n 1 "$1")
  key_name=${line%%+*} key_id=${line#*+} data=${key_id#*+} key_id=${key_id%%+*}
  printf %s "$data" | base64 -d >"$work/typed"
  [ "$(head -c 1 "$work/typed" | od -An -tu1 | tr -d ' ')" = "$2" ] || die "not a key of type $2"
  [ "$({ printf '%s\n' "$key_name"; cat "$work/typed"; } | sha256sum | head -c 8)" = "$key_id" ] || die "the key does not fit its hash"
  { printf '\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00'; tail -c 32 "$work/typed"; } >"$work/key.der"
}

# signature_of: writes what the key signed to $work/signature, without the key's id. Exactly one line may be its own.
signature_of() {
  local found=0 line
  for line in "${lines[@]}"; do
    [ "${line%% *}" = "$key_name" ] || continue
    printf %s "${line#* }" | base64 -d >"$work/raw"
    [ "$(head -c 4 "$work/raw" | od -An -tx1 | tr -d ' \n')" = "$key_id" ] || continue
    tail -c +5 "$work/raw" >"$work/signature"
    found=$((found + 1))
  done
  [ $found = 1 ] || die "$key_name has signed $found times"
}

verify() {  # MESSAGE
  openssl pkeyutl -verify -pubin -keyform DER -inkey "$work/key.der" -rawin -in "$1" -sigfile "$work/signature" >"$work/log" 2>&1 ||
    die "the signature of $key_name does not verify"
}

# The note is taken apart, and put together again from its parts: both must be the same.
mapfile -t all <"$1"
[ ${#all[@]} -ge 5 ] || die "too short"
origin=${all[0]} size=${all[1]} hash=${all[2]}
[[ $size =~ ^(0|[1-9][0-9]*)$ ]] || die "malformed size"
[ "$(printf %s "$hash" | base64 -d | base64 -w 0)" = "$hash" ] || die "malformed root"
printf '%s\n%s\n%s\n' "$origin" "$size" "$hash" >"$work/body"
lines=("${all[@]:4}")
lines=("${lines[@]#— }")
{ cat "$work/body"; echo; printf '— %s\n' "${lines[@]}"; } | cmp -s - "$1" || die "not three lines, an empty one, and signatures"
iconv -f UTF-8 -t UTF-8 "$1" >/dev/null || die "no UTF-8"
for line in "${lines[@]}"; do
  [[ ${line%% *} != *+* ]] || die "a plus sign in a name"
  [ "$(printf %s "${line#* }" | base64 -d | base64 -w 0)" = "${line#* }" ] || die "a signature in another spelling"
done

read_key "$2" 1
[ "$origin" = "$key_name" ] || die "another log's checkpoint"
signature_of
verify "$work/body"
[ $# -gt 2 ] || { echo "$size $(printf %s "$hash" | base64 -d | od -An -tx1 | tr -d ' \n')"; exit 0; }

read_key "$3" 4
signature_of
time=$((16#$(head -c 8 "$work/signature" | od -An -tx1 | tr -d ' \n')))
tail -c +9 "$work/signature" >"$work/rest"
mv "$work/rest" "$work/signature"
{ printf 'cosignature/v1\ntime %s\n' "$time"; cat "$work/body"; } >"$work/cosigned"
verify "$work/cosigned"
echo "$size cosigned at $time"
