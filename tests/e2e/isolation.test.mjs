// Two accounts, and a hostile program in a sandbox: what one does not see of the other and of the host.
import assert from "node:assert/strict";
import { rmSync, symlinkSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { Host, Mux, Provider, text, toolOutput, toolTurns } from "./lib.mjs";

let host, provider, alice, bob, aliceSession, bobSession, aliceWorkspace, bobWorkspace;

before(async () => {
  provider = await Provider.start({ turns: [{ text: "ready" }] });
  // Limits of sessions are shown where there are cgroups (tests/vm): here strict does without.
  host = await Host.start({ providerUrl: provider.url, policy: '[limits]\ncgroups = "optional"\n' });
  const admin = await host.setup("alice");
  alice = await Mux.open(host, admin);
  bob = await Mux.open(host, await host.invite(admin, "bob"));
  aliceWorkspace = await alice.workspace("alices");
  bobWorkspace = await bob.workspace("bobs");
  aliceSession = await alice.session(aliceWorkspace);
  bobSession = await bob.session(bobWorkspace);
});
after(async () => { alice?.close(); bob?.close(); await host?.remove(); provider?.stop(); });

const bash = async (mux, session, command) => {
  await provider.script({ turns: toolTurns(command) });
  return toolOutput(await mux.turn(session, "run it"));
};

test("the second account sees no session, workspace or message of the first", async () => {
  await provider.script({ turns: [{ text: "alice-answer" }] });
  await alice.turn(aliceSession, "alice-secret-prompt");
  assert.deepEqual((await bob.ok("list_sessions", "_system")).sessions.map((s) => s.session_id), [bobSession]);
  assert.deepEqual((await bob.ok("list_workspaces", "_system")).workspaces.map((w) => w.id), [bobWorkspace]);
  for (const cmd of ["get_messages", "get_state", "session.subscribe", "abort", "session.close", "session.delete", "get_stats"]) {
    const answer = await bob.command(cmd, aliceSession, { since_seq: 0 });
    assert.equal(answer.code, "not_found", cmd);
    assert.doesNotMatch(JSON.stringify(answer), /alice/);
  }
  assert.ok(!bob.events.some((e) => e.session_id === aliceSession));
  // The id is free for the second account, as if nobody had it (namesakes.test.mjs).
  await bob.ok("session.create", aliceSession, { config: { harness: "pi", workspace_id: bobWorkspace } }, 90_000);
  assert.doesNotMatch(JSON.stringify(await bob.ok("get_messages", aliceSession)), /alice/);
  await bob.ok("session.close", aliceSession);
  await bob.ok("session.delete", aliceSession);
  const foreign = await bob.command("session.create", "", { config: { harness: "pi", workspace_id: aliceWorkspace } });
  assert.equal(foreign.code, "not_found");
  assert.doesNotMatch(JSON.stringify(bob.events), /alice-/);
});

test("the sandbox holds the workspace and a private home, and nothing of the host or of others", async () => {
  await bash(alice, aliceSession, "echo alice-file > /workspace/a; echo x > ~/h; sleep 200 & disown; true");
  const seen = await bash(bob, bobSession, "id -u; pwd; ls -A /workspace ~ | head -50; ls / ; ls -A /root /home /var /etc /run /srv 2>&1 | head -80; cat /etc/shadow 2>&1; ps ax 2>&1 | head -30; ls /proc | grep -c '^[0-9]'");
  assert.match(seen, /^1000/);
  assert.doesNotMatch(seen, /alice|sleep 200|root:[*$!]/);
  assert.doesNotMatch(seen, new RegExp(host.state));
});

test("there is no network but the model's name", async () => {
  const seen = await bash(bob, bobSession, `getent hosts models.oqto; getent hosts example.com || echo no-name; for a in 1.1.1.1/443 127.0.0.1/${host.port} 127.0.0.1/22 169.254.169.254/80 198.18.0.9/80; do timeout 3 bash -c "exec 3<>/dev/tcp/$a" 2>/dev/null && echo "REACHED $a" || echo "closed $a"; done; cat /proc/net/dev | tail -n +3`);
  assert.match(seen, /198\.18\.0\.2/);
  assert.match(seen, /no-name/);
  assert.doesNotMatch(seen, /REACHED/);
  assert.doesNotMatch(seen, /eth|veth|ens/);
});

test("attack: rewriting PID 1, tracing, mounting, new namespaces, raw sockets and the terminal ioctl", async () => {
  const seen = await bash(bob, bobSession, `python3 - <<'P' 2>/dev/null || echo python3-missing
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, action):
    try: print(("OPEN " if action() else "shut ") + name)
    except Exception as error: print("shut", name, type(error).__name__)
call = lambda *a: libc.syscall(*a) >= 0
attempt("pid1 memory", lambda: open("/proc/1/mem", "r+b"))
attempt("ptrace", lambda: call(101, 16, 1, 0, 0))
attempt("mount", lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0)
attempt("user namespace", lambda: libc.unshare(0x10000000) == 0)
attempt("vsock", lambda: socket.socket(40, 1))
attempt("packet", lambda: socket.socket(17, 3))
attempt("alg", lambda: socket.socket(38, 5))
attempt("netfilter", lambda: socket.socket(16, 3, 12))
attempt("io_uring", lambda: call(425, 8, ctypes.create_string_buffer(120)))
attempt("bpf", lambda: call(321, 0, ctypes.create_string_buffer(64), 64))
attempt("keyctl", lambda: call(250, 0, -3, 1))
attempt("perf", lambda: call(298, ctypes.create_string_buffer(128), 0, -1, -1, 0))
attempt("userfaultfd", lambda: call(323, 1))
attempt("write /proc/sys", lambda: open("/proc/sys/kernel/core_pattern", "w"))
attempt("write models.json", lambda: open(os.path.expanduser("~/.pi/agent/models.json"), "w"))
attempt("write /usr", lambda: open("/usr/x", "w"))
attempt("signal outside", lambda: os.kill(-1, 0) and False)
P`);
  assert.match(seen, /shut mount/);
  assert.doesNotMatch(seen, /OPEN/, seen);
});

test("attack: a fork bomb and a full /tmp stay the tenant's own problem", async () => {
  const seen = await bash(bob, bobSession, "bash -c 'for i in $(seq 1500); do sleep 20 & done' 2>&1 | tail -1; pkill sleep; dd if=/dev/zero of=/tmp/big bs=1M count=4096 2>&1 | grep -o 'No space left'; rm -f /tmp/big");
  assert.match(seen, /Resource temporarily unavailable|retry|fork/i);
  assert.match(seen, /No space left/);
  await provider.script({ turns: [{ text: "fine" }] });
  assert.match(text(await alice.turn(aliceSession, "how are you?")), /fine/);
});

test("a workspace's policy may tighten, and what cannot be enforced refuses to start", async () => {
  const tight = await bob.workspace("tight");
  const directory = path.join(host.state, "tenants/2/workspaces", tight, ".oqto");
  const create = (profile) => bob.command("session.create", "", { config: { harness: "pi", workspace_id: tight, profile } }, 90_000);
  host.workspacePolicy(tight, 'profile = "strict"\n', 2);
  const strict = (await create("minimal")).data;
  assert.equal(strict.profile, "strict");
  await bob.ok("session.close", strict.session_id);
  host.workspacePolicy(tight, 'profile = "strict"\nextra_rw_bind = ["~/.ssh"]\n', 2);
  const refused = await create();
  assert.equal(refused.success, false);
  assert.match(refused.error, /sandbox\.toml:2/);
  rmSync(directory, { recursive: true });
  symlinkSync("/etc", directory);
  const link = await create();
  assert.equal(link.code, "refused");
  assert.match(link.error, /behind no symbolic link/);
});

test("attack: an agent that takes away its own rights does not shut its workspace for good", async () => {
  await bash(bob, bobSession, "chmod 0 /workspace; chmod 0 ~");
  bobSession = await bob.session(bobWorkspace);
  assert.match(await bash(bob, bobSession, "ls -ld /workspace ~"), /drwx------.*\ndrwx------/);
});

test("attack: when memory runs out, a session goes before the host, whatever it asks for", async () => {
  assert.match(await bash(bob, bobSession, "echo 0 > /proc/self/oom_score_adj; cat /proc/self/oom_score_adj"), /^1000$/m);
});

test("tokens that are wrong, cut or revoked open nothing", async () => {
  for (const cookie of ["", "__Host-oqto=AAAA", `__Host-oqto=${"A".repeat(43)}`, `__Host-oqto=${"A".repeat(4000)}`]) {
    await assert.rejects(Mux.open(host, cookie), /HTTP 4\d\d/);
  }
  const login = await host.request("POST", "/api/auth/login", { body: { username: "bob", password: "correct horse battery" } });
  const mux = await Mux.open(host, login.cookie);
  await host.request("POST", "/api/auth/logout", { cookie: login.cookie, body: {} });
  await mux.closed;
  await assert.rejects(Mux.open(host, login.cookie), /HTTP 401/);
});

test("requests from another origin or host name are refused", async () => {
  const body = { username: "bob", password: "correct horse battery" };
  assert.equal((await host.request("POST", "/api/auth/login", { body, headers: { origin: "https://evil.example" } })).status, 403);
  assert.ok((await host.request("GET", "/", { headers: { host: "evil.example" } })).status >= 400);
});

test("the log tells who commanded what and what the sandbox then executed", async () => {
  const records = await host.records();
  const commands = records.filter((r) => r.event === "command" && r.phase === "intent");
  assert.ok(commands.some((r) => r.actor.username === "bob" && JSON.stringify(r).includes(bobSession.slice(5))));
  const execs = records.filter((r) => r.event === "exec");
  assert.ok(execs.some((r) => r.actor.account !== undefined && JSON.stringify(r.fields).includes("/usr/bin/id")) || execs.some((r) => /"id"/.test(JSON.stringify(r))), "the exec of id");
  for (const wanted of ["process.start", "setup", "invite.create", "account.create", "connection", "session.start", "model.call", "login", "logout"]) {
    assert.ok(records.some((r) => r.event === wanted), wanted);
  }
  assert.doesNotMatch(JSON.stringify(records), /correct horse battery/);
});
