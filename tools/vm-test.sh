#!/usr/bin/env bash
# vm-test.sh - run a command in a throw-away Debian 12 VM with real systemd,
# unified cgroup v2 (all controllers), AppArmor, Landlock, Yama, seccomp.
#
#   vm-test.sh [-t SECONDS] [-m MIB] [-s CPUS] [-p "extra debs"] [-k 6.12|6.1] [-v] SHARE_DIR COMMAND...
#
#   SHARE_DIR is mounted read-write at /share in the guest (9p); COMMAND is a shell
#   command line, run by a systemd unit as root with cwd=/share.  Its combined output
#   is printed here and vm-test.sh exits with its exit code
#   (125 = VM trouble / time limit; the console log path is then printed). A guest that writes
#   nothing for 300 s (OQTO_VM_STALL) hangs: it is started again as long as SECONDS have not passed.
#   All changes to the guest's root disk are discarded (qemu snapshot=on).
#
# Needs (Debian): qemu-system-x86 mmdebstrap e2fsprogs busybox-static kmod cpio xz-utils; root.
# Accelerator: KVM is used only if a boot probe succeeds (OQTO_VM_ACCEL=tcg|kvm overrides).
#   Some nested hosts expose a /dev/kvm that can only run paravirtual (PVM) guests: a stock
#   Debian kernel hangs there, so a bare "-e /dev/kvm" test is not enough.
# Network: user-mode (slirp); the host's apt proxy settings are copied into the guest.
# Cache: $OQTO_VM_CACHE (default build/vm of this project); delete it to rebuild.
set -euo pipefail
TMO=420 STALL=${OQTO_VM_STALL:-300} MEM=1024 CPUS=2 KVER=6.12 VERBOSE=0
EXTRA=""
while getopts t:m:s:p:k:v o; do case $o in
  t) TMO=$OPTARG;; m) MEM=$OPTARG;; s) CPUS=$OPTARG;; p) EXTRA=$OPTARG;; k) KVER=$OPTARG;; v) VERBOSE=1;; *) exit 125;; esac; done
shift $((OPTIND-1))
[ $# -ge 2 ] || { sed -n '2,21p' "$0"; exit 125; }
SHARE=$(realpath "$1"); shift; CMD="$*"
CACHE=${OQTO_VM_CACHE:-$(cd "$(dirname "$0")/.." && pwd)/build/vm}; mkdir -p "$CACHE"
PKGS="systemd,systemd-sysv,dbus,kmod,udev,iproute2,apparmor,bubblewrap,libcap2-bin,procps,util-linux,libseccomp2,ca-certificates"
for p in $EXTRA; do PKGS="$PKGS,$p"; done
KEY=$(printf '%s|%s|v6' "$PKGS" "$KVER" | sha256sum | cut -c1-12)
IMG=$CACHE/root-$KEY.ext4 KERNEL=$CACHE/vmlinuz-$KEY INITRD=$CACHE/initrd-$KEY.gz
for c in qemu-system-x86_64 mmdebstrap mke2fs busybox depmod cpio xz; do command -v $c >/dev/null || PATH=$PATH:/sbin:/usr/sbin command -v $c >/dev/null || { echo "vm-test: $c is missing (apt-get install qemu-system-x86 mmdebstrap e2fsprogs busybox-static kmod cpio xz-utils)" >&2; exit 125; }; done
log(){ [ $VERBOSE = 1 ] && echo "vm-test: $*" >&2 || :; }

build() { # runs in a background subshell so that set -e stays in force
  local w; w=$(mktemp -d "$CACHE/build.XXXXXX")
  local kpkg
  case $KVER in 6.1) kpkg=$(apt-cache depends linux-image-amd64 | awk '/Depends:/{print $2;exit}');;
                *) kpkg=$(apt-cache depends "linux-image-$KVER-amd64" | awk '/Depends:/{print $2;exit}');; esac
  log "kernel package $kpkg"
  ( cd "$w" && apt-get download "$kpkg" >/dev/null 2>&1 && dpkg -x ./"$kpkg"_*.deb k )
  local kv; kv=$(ls "$w/k/lib/modules" 2>/dev/null || ls "$w/k/usr/lib/modules")
  local mods=$w/k/lib/modules/$kv; [ -d "$mods" ] || mods=$w/k/usr/lib/modules/$kv
  # bulky drivers no sandbox test needs
  rm -rf "$mods"/kernel/drivers/{gpu,media,infiniband,staging,iio,usb,scsi,hid,input,isdn,mtd,ata,nvme,bluetooth,mmc,comedi,accel,firewire,video,thunderbolt} \
         "$mods"/kernel/drivers/net/{ethernet,wireless,usb,can,phy} "$mods"/kernel/sound "$mods"/kernel/net/{mac80211,bluetooth}
  log "rootfs: $PKGS"
  mmdebstrap --variant=minbase --include="$PKGS" bookworm "$w/root" >"$w/mmdebstrap.log" 2>&1 || { tail -5 "$w/mmdebstrap.log" >&2; return 1; }
  mkdir -p "$w/root/lib/modules" "$w/root/share" "$w/root/ctl"; cp -a "$mods" "$w/root/lib/modules/"
  depmod -b "$w/root" "$kv" 2>/dev/null || :
  # guest: one unit runs the command, then powers off
  cat >"$w/root/usr/local/sbin/vmtest-run" <<'G'
#!/bin/bash
cd /share
export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb LANG=C.UTF-8
bash /ctl/cmd.sh >/ctl/out 2>&1 </dev/null; echo $? >/ctl/rc
sync; exec systemctl poweroff --force --force
G
  chmod 755 "$w/root/usr/local/sbin/vmtest-run"
  cat >"$w/root/etc/systemd/system/vmtest.service" <<'G'
[Unit]
Description=vm-test command
After=basic.target apparmor.service systemd-udevd.service
Wants=apparmor.service
FailureAction=poweroff-force
[Service]
Type=oneshot
Delegate=yes
ExecStart=/usr/local/sbin/vmtest-run
G
  cat >"$w/root/etc/systemd/system/vmtest.target" <<'G'
[Unit]
Requires=basic.target vmtest.service
After=basic.target
AllowIsolate=yes
G
  echo vmtest >"$w/root/etc/hostname"; : >"$w/root/etc/fstab"; rm -f "$w/root/etc/resolv.conf"; echo nameserver 10.0.2.3 >"$w/root/etc/resolv.conf"
  apt-config dump 2>/dev/null | grep -E '^Acquire::(http|https)::Proxy' >"$w/root/etc/apt/apt.conf.d/99host-proxy" || :
  # slow under TCG and of no use here
  for u in systemd-timesyncd systemd-resolved e2scrub_reap systemd-pstore fstrim.timer apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
           systemd-random-seed systemd-update-utmp systemd-machine-id-commit systemd-journal-flush; do
    ln -sf /dev/null "$w/root/etc/systemd/system/$u$(case $u in *.timer) ;; *) echo .service;; esac)"; done
  rm -rf "$w/root/var/cache/apt/archives" "$w/root/usr/share/doc" "$w/root/usr/share/locale"; mkdir -p "$w/root/var/cache/apt/archives/partial"
  local mb; mb=$(( $(du -sm "$w/root" | cut -f1) + 2400 ))
  mke2fs -q -t ext4 -O ^has_journal -d "$w/root" "$IMG.tmp" "${mb}M"
  # initramfs: busybox + the modules needed to reach the root disk and the shares
  mkdir -p "$w/i"/{bin,dev,proc,sys,newroot,lib/modules/"$kv"}
  cp /bin/busybox "$w/i/bin/"; ln -s busybox "$w/i/bin/sh"
  for m in virtio_pci virtio_blk ext4 9p 9pnet_virtio overlay virtio_net virtio_rng; do
    modprobe -d "$w/root" -S "$kv" --show-depends "$m" 2>/dev/null | awk '$1=="insmod"{print $2}'; done | awk '!s[$0]++' >"$w/mods"
  : >"$w/i/modlist"
  while read -r f; do f=$(realpath "$f"); b=$(basename "$f"); case $b in *.xz) xz -dc "$f" >"$w/i/lib/${b%.xz}"; b=${b%.xz};; *) cp "$f" "$w/i/lib/$b";; esac; echo "/lib/$b" >>"$w/i/modlist"; done <"$w/mods"
  cat >"$w/i/init" <<'G'
#!/bin/sh
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sys /sys; $B mount -t devtmpfs dev /dev
while read m; do $B insmod $m || echo "insmod $m failed"; done </modlist
i=0; while [ ! -b /dev/vda ] && [ $i -lt 50 ]; do $B sleep 0.1; i=$((i+1)); done
$B mount -t ext4 -o rw,noatime /dev/vda /newroot || { echo "no root disk"; $B poweroff -f; }
$B mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=none share /newroot/share
$B mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=none ctl /newroot/ctl
# slirp's fixed addresses; no DHCP wait
$B ip link set lo up; $B ip link set eth0 up 2>/dev/null && { $B ip addr add 10.0.2.15/24 dev eth0; $B ip route add default via 10.0.2.2; }
$B mount --move /dev /newroot/dev; $B mount --move /proc /newroot/proc; $B mount --move /sys /newroot/sys
exec $B switch_root /newroot /sbin/init
G
  chmod 755 "$w/i/init"; ( cd "$w/i" && find . | cpio -o -H newc --quiet | gzip -1 ) >"$INITRD"
  cp "$w"/k/boot/vmlinuz-"$kv" "$KERNEL"; mv "$IMG.tmp" "$IMG"; rm -rf "$w"
}

accel() { # echoes kvm or tcg; KVM only after a cached boot probe
  local a=${OQTO_VM_ACCEL:-}
  if [ -z "$a" ] && [ -s "$CACHE/accel" ]; then a=$(cat "$CACHE/accel"); fi
  if [ -z "$a" ]; then a=tcg
    if [ -w /dev/kvm ]; then
      # panics quickly (no root) if the guest kernel really runs; a hang means KVM is unusable
      if timeout 15 qemu-system-x86_64 -enable-kvm -cpu max -m 256 -nographic -no-reboot -kernel "$KERNEL" \
           -append 'console=ttyS0 panic=-1' </dev/null 2>&1 | grep -q 'Linux version'; then a=kvm; fi
    fi; echo $a >"$CACHE/accel"; fi
  echo $a
}

boot() { # boot ACCELERATOR: fails if the guest hangs (see STALL) or has no exit code within the time limit
  local acc t=$SECONDS pid
  case $1 in
    kvm) acc="-accel kvm -cpu max" ;;
    single) acc="-accel tcg,thread=single,tb-size=512 -cpu max,la57=off" ;;
    *) acc="-accel tcg,thread=multi,tb-size=512 -cpu max,la57=off" ;;
  esac
  rm -f "$CTL/out" "$CTL/rc"; touch "$CTL/cmd.sh"
  # shellcheck disable=SC2086
  timeout -k 5 "$TMO" qemu-system-x86_64 -M q35 $acc -smp "$CPUS" -m "$MEM" -nodefaults -display none -no-reboot \
    -serial "file:$CON" -kernel "$KERNEL" -initrd "$INITRD" \
    -append "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off net.ifnames=0 apparmor=1 lsm=landlock,lockdown,yama,integrity,apparmor,bpf systemd.unified_cgroup_hierarchy=1 systemd.unit=vmtest.target systemd.show_status=0 systemd.default_timeout_start_sec=300 psi=1 random.trust_cpu=1 no_timer_check" \
    -drive "file=$IMG,if=virtio,format=raw,snapshot=on" \
    -virtfs "local,path=$SHARE,mount_tag=share,security_model=none,multidevs=remap" \
    -virtfs "local,path=$CTL,mount_tag=ctl,security_model=none" \
    -device virtio-rng-pci -nic user,model=virtio-net-pci </dev/null &
  pid=$!
  while kill -0 $pid 2>/dev/null; do
    find "$CTL" -newermt "-$STALL seconds" | grep -q . || { kill $pid; break; }
    sleep 1
  done
  wait $pid || :
  log "VM ran $((SECONDS-t)) s ($1)"
  [ -s "$CTL/rc" ]
}

[ -s "$IMG" ] && [ -s "$INITRD" ] && [ -s "$KERNEL" ] || { t=$SECONDS; build & wait $! || { echo "vm-test: image build failed" >&2; exit 125; }; log "built in $((SECONDS-t)) s"; }
CTL=$(mktemp -d); trap 'rm -rf "$CTL"' EXIT; printf '%s\n' "$CMD" >"$CTL/cmd.sh"; CON=$CTL/console.log
# An emulated machine hangs now and then. It is started again then, with plain emulation and at last with one thread, as long as
# the time limit has not passed.
for ACC in "$(accel)" tcg single; do
  boot "$ACC" && break
  [ $SECONDS -lt "$TMO" ] || break
  { echo "vm-test: with $ACC the guest said nothing for $STALL s; the end of its console and of what it wrote:"
    tail -n 15 "$CON" "$CTL/out" || :; } >&2
done
if [ -s "$CTL/rc" ]; then cat "$CTL/out"; exit "$(cat "$CTL/rc")"; fi
cp "$CON" "$CACHE/last-console.log" 2>/dev/null || :
cat "$CTL/out" 2>/dev/null || :
echo "vm-test: no exit code from the guest within $TMO s; console: $CACHE/last-console.log" >&2; exit 125
