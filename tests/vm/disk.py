#!/usr/bin/python3
"""Hosts whose state lies on a small file system of its own: what each kind holds tenants to, and what goes on
when one of them, or somebody else, has filled it. Registered with tests/vm/guest.py; alone: `disk.py`."""
import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import client  # noqa: E402
import guest  # noqa: E402
from guest import HOME, MIB, eventually, sh  # noqa: E402

tests = []
PASSWORD = "correct horse battery"
FILL = "dd if=/dev/zero of=/workspace/filler bs=64k 2>&1 | tail -n 1; df -k /workspace | tail -n 1"


def test(words):
    return lambda body: tests.append((words, body)) or body


class Host:
    """A host on a file system of `mib` MiB made by `mkfs`, and two tenants of it: eve and ann."""

    def __init__(self, name, mkfs, options, conf, mib=600):
        self.state, self.unit = pathlib.Path(f"/srv/{name}"), f"oqto-{name}"
        image = f"/srv/{name}.disk"
        sh(f"mkdir -p {self.state} && truncate -s {mib}M {image} && {mkfs} {image} && mount -o loop{options} {image} {self.state} "
           f"&& rm -rf {self.state}/lost+found && chmod 755 {self.state}")
        sh(f"cp -a /var/lib/oqto/tls {self.state}/tls && install -d -m 755 {self.state}/runtime && install -d -m 700 {self.state}/config")
        (self.state / "config/oqto.conf").write_text(conf)
        self.start()
        token = self.ctl_text("setup-link").strip().split("#setup=")[1]
        self.cookies = {"boss": client.post("/api/auth/setup", {"token": token, "username": "boss", "password": PASSWORD})}
        self.muxes, self.sessions = {}, {}
        for user in ("eve", "ann"):
            code = self.ctl("invite")["code"]
            self.cookies[user] = client.post("/api/auth/register", {"invite_code": code, "username": user, "password": PASSWORD})
            self.open(user)

    def open(self, user):
        mux = self.muxes[user] = client.Mux(self.cookies[user])
        self.sessions[user] = mux.session(mux.workspace("w"))

    def start(self, is_full=False):
        sh(f"systemctl reset-failed {self.unit} 2>/dev/null || true; systemd-run --quiet --unit={self.unit} --property=Delegate=yes "
           f"--property=KillMode=mixed --property=StandardOutput=append:/tmp/host.log --property=StandardError=append:/tmp/host.log "
           f"{HOME}/bin/oqto-guard --state {self.state} --bin {HOME}/bin --web {HOME}/web.pack --pi {HOME}/pi")
        if is_full:  # it serves, and says what it lacks
            return eventually("its word", lambda: "Not ready: disk." in self.ctl_text("status"), 60)
        sh(f"{HOME}/bin/oqtoctl --state {self.state} status --wait 60 >/dev/null || {{ tail -n 30 /tmp/host.log; exit 1; }}")

    def stop(self):
        sh(f"systemctl stop {self.unit}", False)

    def end(self):
        self.stop()
        sh(f"umount -l {self.state}; rm -f /srv/*.disk", False)

    def ctl(self, *words):
        done = subprocess.run([HOME / "bin/oqtoctl", "--state", self.state, "--json", *words], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60)
        assert done.returncode == 0, f"oqtoctl {' '.join(words)}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def ctl_text(self, *words):
        return sh(f"{HOME}/bin/oqtoctl --state {self.state} {' '.join(words)}", False)

    def run(self, user, command, seconds=120):
        return self.muxes[user].run(self.sessions[user], command, seconds)

    def tenant(self, user):
        return next(row for row in self.ctl("status")["tenants"] if row["username"] == user)

    def others_go_on(self):
        """Another tenant writes and runs programs, somebody signs in, the log takes it all."""
        seen = self.run("ann", "head -c 2000000 /dev/zero > mine && wc -c < mine; rm mine")
        assert "2000000" in seen, seen
        assert self.muxes["ann"].ok("set_session_name", self.sessions["ann"], name="a name") is not False
        self.muxes["ann"].workspace("another")
        client.post("/api/auth/login", {"username": "ann", "password": PASSWORD})

    def is_ended(self, user):
        eventually("the end of the connection", lambda: not self.muxes[user].open)
        try:
            client.post("/api/auth/login", {"username": user, "password": PASSWORD})
        except AssertionError:
            return True
        return False

    def verified(self):
        self.stop()
        entries = b"".join(p.read_bytes() for p in (self.state / "audit/log/segment").iterdir())
        return entries


def hold(host, kind):
    status = host.ctl("status")
    assert status["disk"]["limits"] == kind, status["disk"]
    assert status["disk"]["tenant_bytes"] == 100 * MIB, status["disk"]
    assert "at most 100 MiB and 2000 files" in host.ctl_text("status")
    # All of it: the workspace, the home, files that have no name any more.
    seen = host.run("eve", FILL + "; dd if=/dev/zero of=$HOME/more bs=64k count=64 2>&1 | tail -n 1; stat -c size=%s filler")
    assert int(seen.split("size=")[1].split()[0]) <= 100 * MIB, seen
    used = host.tenant("eve")
    assert 95 * MIB <= used["disk_bytes"] <= used["disk_limit_bytes"] == 100 * MIB, used
    assert host.tenant("ann")["disk_bytes"] < 50 * MIB
    host.others_go_on()
    log = pathlib.Path("/tmp/host.log")
    account = used["account"]
    said = f"account {account} is"
    eventually("a warning in the host's log", lambda: said in log.read_text())
    assert "(!)" in host.ctl_text("status")
    # The number of files is bounded too.
    seen = host.run("eve", "rm -f filler $HOME/more; for i in $(seq 3000); do : > f$i 2>/dev/null || { echo stopped at $i; break; }; done")
    assert "stopped at" in seen and int(seen.split("stopped at")[1].split()[0]) < 2000, seen
    host.others_go_on()
    seen = host.run("eve", "rm -f f*; echo works again > x; cat x")
    assert "works again" in seen, seen


def no_way_out(host):
    """A session moves nothing to another project, and sets none."""
    seen = host.run("eve", """python3 - <<'P'
import fcntl, os, struct
open("x", "w").close(); fd = os.open("x", os.O_RDONLY)
value = bytearray(28)
try: fcntl.ioctl(fd, 0x801c581f, value); print("project", struct.unpack_from("I", value, 12)[0])
except OSError as error: print("read", error.errno)
struct.pack_into("I", value, 12, 0)
try: fcntl.ioctl(fd, 0x401c5820, bytes(value)); print("ESCAPED")
except OSError as error: print("refused", error.errno)
P""")
    assert "refused" in seen and "ESCAPED" not in seen, seen


CONF = f"tenant-bytes = {100 * MIB}\ntenant-files = 2000\n"


@test("the limits by themselves, on a kernel that has them: no test is skipped")
def by_themselves():
    seen = sh("/share/storage_test 2>&1", False, 300)
    assert "[  PASSED  ]" in seen and "SKIPPED" not in seen and "FAILED" not in seen, seen


@test("attack: on ext4 with project quota a tenant that fills the disk stops at its share, and the others go on")
def ext4_quota():
    host = Host("quota", "mkfs.ext4 -q -m 0 -O quota,project", ",prjquota", CONF)
    try:
        hold(host, "file_system")
        no_way_out(host)
        assert host.ctl("accounts", "disable", "eve") is not None
        assert host.is_ended("eve")
        host.stop()
        host.start()  # what was counted before still is
        host.open("ann")
        assert host.tenant("ann")["disk_limit_bytes"] == 100 * MIB
    finally:
        host.end()


@test("attack: on XFS with project quota likewise")
def xfs_quota():
    if subprocess.run(["modprobe", "xfs"]).returncode != 0 or not pathlib.Path("/sbin/mkfs.xfs").exists():
        print("   (this kernel has no XFS: nothing was tried)")
        return
    host = Host("xfs", "mkfs.xfs -q", ",pquota", CONF)
    try:
        hold(host, "file_system")
        no_way_out(host)
    finally:
        host.end()


@test("attack: on ext4 without quota an image holds tenants, and a stop and a kill lose nothing in it")
def image():
    host = Host("image", "mkfs.ext4 -q -m 0", "", CONF + f"tenants-image-bytes = {350 * MIB}\n", 900)
    try:
        hold(host, "image")
        no_way_out(host)
        # What others fill outside takes nothing from the tenants, and nothing from the log.
        sh(f"dd if=/dev/zero of={host.state}/outside bs=1M 2>/dev/null", False)
        host.others_go_on()
        assert "kept" in host.run("ann", "echo kept > kept; sync; cat kept")
        sh(f"systemctl kill --kill-whom=main -s KILL {host.unit}")
        eventually("the end of the unit", lambda: "active" != sh(f"systemctl is-active {host.unit}", False).strip())
        host.start(is_full=True)
        path = next((p for p in [host.state / "tenants.img"] if p.exists()), None)
        assert path and path.stat().st_blocks * 512 >= 350 * MIB
        host.muxes["ann"] = mux = client.Mux(host.cookies["ann"])
        sh(f"rm {host.state}/outside")  # the log keeps a session's policy as a file of its own: that needs room outside
        answer = eventually("a session", lambda: (lambda a: a if a["success"] else None)(
            mux.command("session.create", host.sessions["ann"], config={"harness": "pi"})))
        assert answer["success"], answer
        assert "kept" in host.run("ann", "cat kept")
        assert sh("losetup -n -O BACK-FILE").count("tenants.img") == 1
    finally:
        host.end()


@test("attack: where nothing holds tenants, one fills the disk: the host says so, and log, sign-ins and `disable` go on")
def nothing_holds():
    host = Host("plain", "mkfs.ext4 -q -m 0", "", CONF)
    try:
        status = host.ctl("status")
        assert status["disk"]["limits"] == "none" and status["disk"]["tenant_bytes"] == 0, status["disk"]
        assert "NOT limited" in host.ctl_text("status")
        host.muxes["eve"].begin(host.sessions["eve"], FILL)  # her history has no room for what comes of it
        eventually("a full disk", lambda: os.statvfs(host.state).f_bavail * 4096 < 4 * MIB, 120)
        sh(f"dd if=/dev/zero of={host.state}/rest bs=4k 2>/dev/null; dd if=/dev/zero of={host.state}/rest2 bs=512 2>/dev/null", False)
        flood = time.monotonic() + 20
        while time.monotonic() < flood:  # her commands, as long as the log takes them
            if not host.muxes["eve"].command("set_session_name", host.sessions["eve"], name="x" * 200)["success"]:
                break
        cookie = client.post("/api/auth/login", {"username": "ann", "password": PASSWORD})
        host.ctl("accounts", "disable", "eve")
        assert host.is_ended("eve")
        host.ctl("sessions", "kill", host.sessions["ann"])
        assert cookie
        host.stop()
        sh(f"rm -f {host.state}/rest {host.state}/rest2")
        host.start()
        assert next(row for row in host.ctl("accounts")["accounts"] if row["username"] == "eve")["disabled"]
        entries = host.verified()
        assert b'"event":"login"' in entries and b'"event":"account.change"' in entries
    finally:
        host.end()


if __name__ == "__main__":
    guest.install()
    guest.run_all(tests)
