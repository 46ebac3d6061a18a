#!/usr/bin/python3
"""Runs as root in a machine of its own with systemd and cgroup v2: what the limits of a session really do.
Its directory is the share that tests/vm/run made. Ends with `N passed, N failed`."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import client  # noqa: E402
from machine import eventually, sh, test, tests  # noqa: E402

SHARE = pathlib.Path(__file__).parent
HOME = pathlib.Path("/opt/oqto")
STATE = pathlib.Path("/var/lib/oqto")
UNIT = "oqto-host"
LEAVES = pathlib.Path(f"/sys/fs/cgroup/system.slice/{UNIT}.service/oqto-1900000000/sessions")
MIB = 1 << 20
AGENT = 1_900_000_000 + 1000 + 2 * 1 + 1  # of account 1


# --- the host ------------------------------------------------------------------------------------

def install():
    for part in ("bin", "pi"):
        shutil.copytree(SHARE / part, HOME / part)
    shutil.copy(SHARE / "web.pack", HOME / "web.pack")
    sh(f"chmod -R go+rX {HOME}")
    tls = STATE / "tls"
    tls.mkdir(mode=0o700, parents=True)
    STATE.chmod(0o755)
    sh(f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout {tls}/key.pem "
       f"-out {tls}/cert.pem -subj /CN=localhost && chmod 600 {tls}/key.pem")
    # Node's compile cache is not of use here, but oqto-launch looks for it.
    (STATE / "runtime").mkdir()
    (STATE / "runtime").chmod(0o755)


def start(delegate):
    sh(f"systemctl stop {UNIT} 2>/dev/null || true")  # of a test that failed
    sh(f"systemctl reset-failed {UNIT} 2>/dev/null || true")
    sh(f"systemd-run --quiet --unit={UNIT} --property=Delegate={delegate} --property=KillMode=mixed --property=TasksMax=infinity "
       f"--property=StandardOutput=append:/tmp/host.log --property=StandardError=append:/tmp/host.log "
       f"{HOME}/bin/oqto-guard --state {STATE} --bin {HOME}/bin --web {HOME}/web.pack --pi {HOME}/pi")
    sh(f"{HOME}/bin/oqtoctl --state {STATE} status --wait 60 || {{ cat /tmp/host.log; exit 1; }}")


def stop():
    sh(f"systemctl stop {UNIT}")
    world.mux = None


def ctl(*words):
    done = subprocess.run([HOME / "bin/oqtoctl", "--state", STATE, "--json", *words], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def row(session):
    return next((r for r in ctl("status")["sessions"] if r["session_id"] == session), None)


def sessions():
    try:
        return [r["session_id"] for r in ctl("status")["sessions"]]
    except AssertionError:
        return []  # no host runs


def agents():
    """Every process with the uid of the first account's agent, in whatever cgroup."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{pid}").st_uid == AGENT:
                found.add(int(pid))
        except FileNotFoundError:
            pass  # it has just ended
    return found


leaves = {}


def leaf(session):
    """Its name is the guard's number of the session. To be asked for first while the session lives."""
    if session not in leaves:
        pid = row(session)["pid"]
        place = pathlib.Path(f"/proc/{pid}/cgroup").read_text().strip().split("::")[1]
        leaves[session] = pathlib.Path("/sys/fs/cgroup" + place)
        assert leaves[session].parent == LEAVES, place
    return leaves[session]


def read(session, name):
    return (leaf(session) / name).read_text().strip()


class World:
    mux = None

    def limited(self, **limits):
        """A live session in a workspace of its own with these limits."""
        workspace = self.mux.workspace("w")
        self.policy(workspace, "[limits]\n" + "".join(f"{key} = {value}\n" for key, value in limits.items()))
        session = self.mux.session(workspace)
        leaf(session)
        return session

    def policy(self, workspace, text):
        directory = STATE / "tenants/1/workspaces" / workspace / ".oqto"
        directory.mkdir()
        directory.chmod(0o755)
        file = directory / "sandbox.toml"
        file.write_text(text)
        file.chmod(0o644)

    def end(self, session):
        place = leaf(session)
        self.mux.ok("session.close", session)
        eventually("the end of its cgroup", lambda: not place.exists())

    def alive(self, session):
        assert "still-here" in self.mux.run(session, "echo still-here"), "another session was hurt"
        assert ctl("status")["ready"]


world = World()


def ends_with(session, text, start=0, seconds=120):
    closed = world.mux.event(session, "session.closed", start, seconds)
    assert text in closed.get("reason", ""), closed
    eventually("the end of its cgroup", lambda: not leaf(session).exists())


# --- the tests -----------------------------------------------------------------------------------

@test("where the cgroup is not delegated, strict is refused with the fix, and development works")
def not_delegated():
    start("no")
    setup = sh(f"{HOME}/bin/oqtoctl --state {STATE} setup-link").strip()
    world.cookie = client.post("/api/auth/setup", {"token": setup.split("#setup=")[1], "username": "ann", "password": "correct horse battery"})
    world.mux = client.Mux(world.cookie)
    world.home = world.mux.workspace("home")
    refused = world.mux.create(world.home, "strict")
    assert not refused["success"] and refused["code"] == "refused", refused
    for words in ("Delegate=yes", 'cgroups = "optional"', "strict"):
        assert words in refused["error"], refused
    session = world.mux.session(world.home)
    assert "hello\n\nexit status 0" in world.mux.run(session, "echo hello")
    stop()


@test("in a delegated cgroup the guard and its parts are in `main`, and every controller goes to the sessions")
def delegated():
    start("yes")
    world.mux = client.Mux(world.cookie)
    assert LEAVES.is_dir()
    assert set(("memory", "pids", "cpu", "io")) <= set((LEAVES / "cgroup.subtree_control").read_text().split())
    for process in ctl("status")["processes"]:
        place = pathlib.Path(f"/proc/{process['pid']}/cgroup").read_text()
        assert place.strip().endswith("/main"), (process, place)


@test("strict starts, everything of it is in one leaf, and the leaf has the profile's limits")
def strict():
    session = world.mux.session(world.home, "strict")
    assert read(session, "memory.max") == str(2048 * MIB)
    assert read(session, "memory.swap.max") == "0"
    assert read(session, "memory.oom.group") == "1"
    assert read(session, "pids.max") == "256"
    assert read(session, "cpu.max") == "200000 100000"
    inside = {int(pid) for pid in read(session, "cgroup.procs").split()}
    theirs = agents()
    assert row(session)["pid"] in inside, "the launcher"
    assert theirs and theirs == inside, (theirs, inside)
    # A sandbox has no sight of it, and so no way to change it.
    seen = world.mux.run(session, "cat /proc/self/cgroup; ls /sys/fs/cgroup; mount | grep cgroup")
    assert UNIT not in seen and "memory.max" not in seen, seen
    world.end(session)


@test("attack: a session that takes more memory than it has ends alone, and says why")
def memory():
    other = world.mux.session(world.home)
    session = world.limited(memory_bytes=128 * MIB, swap_bytes=0)
    start_at = world.mux.begin(session, "python3 -c 'b = bytearray(400 << 20); print(len(b))'")
    ends_with(session, "memory than its limit of 128 MiB", start_at)
    world.alive(other)
    world.end(other)


@test("attack: many processes together take no more memory than one")
def memory_together():
    session = world.limited(memory_bytes=160 * MIB, swap_bytes=0)
    start_at = world.mux.begin(session, "for i in 1 2 3 4; do python3 -c 'import time; b = bytearray(60 << 20); time.sleep(60)' & done; wait")
    ends_with(session, "memory than its limit", start_at)


@test("swap is used up to its own limit and not beyond")
def swap():
    # Emulated disks are slow: sizes as small as they go.
    sh("fallocate -l 128M /swapfile && chmod 600 /swapfile && mkswap /swapfile && swapon /swapfile")
    session = world.limited(memory_bytes=64 * MIB, swap_bytes=40 * MIB)
    world.mux.begin(session, "python3 -c 'import time; b = bytearray(60 << 20); time.sleep(20)'")
    eventually("use of swap", lambda: row(session)["swap_bytes"] > 4 * MIB, 60)
    assert int(read(session, "memory.current")) <= 64 * MIB
    world.end(session)
    session = world.limited(memory_bytes=64 * MIB, swap_bytes=4 * MIB)
    start_at = world.mux.begin(session, "python3 -c 'b = bytearray(90 << 20)'")
    ends_with(session, "memory than its limit", start_at)
    sh("swapoff /swapfile && rm /swapfile")


FORKS = """python3 - <<'P'
import os, time
n = 0
while True:
    try:
        pid = os.fork()
    except OSError as error:
        print("stopped at", n, error.strerror)
        break
    if pid == 0:
        time.sleep(40)
        os._exit(0)
    n += 1
P"""


@test("attack: a fork bomb stops at the limit of processes, and other sessions can fork on")
def pids():
    other = world.mux.session(world.home)
    session = world.limited(max_processes=64)
    assert read(session, "pids.max") == "64"
    # RLIMIT_NPROC has the same number, and counts all of this user's: lower, the leaf's is met first.
    (leaf(session) / "pids.max").write_text("40")
    start_at = world.mux.begin(session, FORKS)
    eventually("the limit", lambda: int(read(session, "pids.events").split()[1]) > 0, 60)
    shown = row(session)
    assert 30 < shown["processes"] <= 40 and shown["processes_limit"] == 64, shown
    world.alive(other)
    world.mux.event(session, "agent.idle", start_at, 90)
    world.end(session)
    world.end(other)


STORM = "python3 -c 'import os\nwhile True:\n  try:\n    if os.fork() == 0: continue\n    os._exit(0)\n  except OSError: pass'"


@test("attack: a storm of processes that fork away is ended at once by oqtoctl, none is left")
def storm():
    session = world.limited(max_processes=64, cpu_percent=100)
    world.mux.begin(session, f"{STORM} & {STORM} & {STORM} & wait; sleep 60")
    eventually("the storm", lambda: row(session)["cpu_ms"] > 2000, 60)
    ctl("sessions", "kill", session)
    eventually("the end of its cgroup", lambda: not leaf(session).exists())
    eventually("the end of all its processes", lambda: not agents(), 5)
    assert ctl("status")["ready"]


@test("processor time is bounded by share, and the pressure of it can be read")
def cpu():
    session = world.limited(cpu_percent=20)
    world.mux.begin(session, "timeout 12 sh -c 'while :; do :; done'")
    time.sleep(2)
    before, at = row(session)["cpu_ms"], time.monotonic()
    time.sleep(8)
    after, took = row(session)["cpu_ms"], time.monotonic() - at
    share = (after - before) / (took * 1000)
    assert 0.05 < share < 0.3, share
    pressure = row(session)["pressure_percent"]
    assert pressure["cpu"] > 1, pressure
    assert "STALLED: CPU" in sh(f"{HOME}/bin/oqtoctl --state {STATE} status")
    free = world.mux.session(world.home)
    world.mux.begin(free, "timeout 8 sh -c 'while :; do :; done'")
    time.sleep(1)
    before, at = row(free)["cpu_ms"], time.monotonic()
    time.sleep(5)
    share = (row(free)["cpu_ms"] - before) / ((time.monotonic() - at) * 1000)
    assert share > 0.35, f"without that limit it gets more: {share}"
    world.end(session)
    world.end(free)


@test("reading and writing are bounded by bytes a second")
def io():
    session = world.limited(io_bytes_per_s=MIB)
    assert "rbps=1048576 wbps=1048576" in read(session, "io.max"), read(session, "io.max")
    at = time.monotonic()
    seen = world.mux.run(session, "dd if=/dev/zero of=big bs=256k count=24 oflag=direct 2>&1")
    assert "exit status 0" in seen, seen
    assert time.monotonic() - at > 4, "6 MiB at 1 MiB/s"
    assert row(session)["io_written_bytes"] >= 6 * MIB
    world.end(session)


@test("a session's time is over when the policy says so")
def wall_clock():
    session = world.limited(wall_clock_s=8)
    ends_with(session, "wall_clock_s", 0, 60)


@test("a session that is opened again in the moment it ends has a leaf of its own")
def again():
    session = world.mux.session(world.home)
    world.mux.ok("session.close", session)
    answer = world.mux.command("session.create", session, config={"harness": "pi"})
    assert answer["success"], answer
    world.end(session)


@test("after a crash of the guard nothing of its sessions is left, and the next one starts clean")
def crash():
    session = world.mux.session(world.home)
    directory = leaf(session)
    assert directory.exists()
    sh(f"systemctl kill --kill-whom=main -s KILL {UNIT}")
    eventually("the end of every agent process", lambda: not agents())
    eventually("the end of the unit", lambda: "active" != sh(f"systemctl is-active {UNIT}", False).strip())
    start("yes")
    world.mux = client.Mux(world.cookie)
    assert not directory.exists()
    assert list(LEAVES.glob("*-*")) == []
    session = world.mux.session(world.home)
    world.end(session)


@test("an orderly stop leaves no cgroup behind")
def stopped():
    world.mux.session(world.home)
    stop()
    assert not LEAVES.parent.parent.exists()


def alone(command, delegate="yes"):
    """As an ordinary user, in a scope of her own."""
    return sh(f"systemd-run --quiet --wait --pipe --property=Delegate={delegate} --uid=bea --property=WorkingDirectory=/home/bea/w {command} 2>&1", False, 240)


@test("the stand-alone oqto-sandbox uses a delegated cgroup, and without one strict says what to do")
def stand_alone():
    sh("useradd -m -s /bin/bash bea && install -d -o bea -g bea /home/bea/w")
    tool = f"{HOME}/bin/oqto-sandbox"
    refused = alone(f"{tool} run --profile strict -- true", "no")
    assert "Delegate=yes" in refused, refused
    seen = alone(f"{tool} run --profile strict -- sh -c 'echo ran; cat /proc/self/cgroup'")
    assert seen.startswith("ran"), seen
    (pathlib.Path("/home/bea/p.toml")).write_text("[limits]\nmemory_bytes = 100000000\nmax_processes = 48\n")
    hurt = alone(f"{tool} run --policy /home/bea/p.toml -- python3 -c 'b = bytearray(400 << 20); print(len(b))'")
    assert str(400 << 20) not in hurt, hurt


def run_all(chosen):
    passed = failed = 0
    for number, (words, body) in enumerate(chosen, 1):
        at = time.monotonic()
        try:
            if world.mux and not world.mux.open:
                world.mux = client.Mux(world.cookie)
            body()
            passed += 1
            print(f"ok {number} - {words} ({time.monotonic() - at:.0f} s)", flush=True)
        except Exception:  # every failure of one is that one's
            failed += 1
            for left in sessions():
                sh(f"{HOME}/bin/oqtoctl --state {STATE} sessions kill {left}", False)
            print(f"not ok {number} - {words}\n{traceback.format_exc()}", flush=True)
    if failed:
        print(sh("tail -n 60 /tmp/host.log", False))
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


def main():
    print("# installing", flush=True)
    install()
    print("# installed", flush=True)
    import disk  # its tests follow: a host of their own for each kind of file system
    run_all([t for t in tests if t[1] is not stand_alone or (HOME / "bin/oqto-sandbox").exists()] + disk.tests)


if __name__ == "__main__":
    sys.modules["guest"] = sys.modules["__main__"]
    main()
