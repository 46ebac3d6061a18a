// What ends, ends: also when the process that says so dies between its commit and its message.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { Host, Mux, Provider, sleep, toolTurns, until } from "./lib.mjs";

const PASSWORD = "correct horse battery";
const beat = "nohup sh -c 'while :; do date > /workspace/beat; sleep 0.1; done' >/dev/null 2>&1 & echo started";
let host, provider, admin;

before(async () => {
  provider = await Provider.start({ rules: [
    { when: { lastUserContains: "beat", lastRole: "user" }, turn: toolTurns(beat)[0] },
    { when: { anyContains: "" }, turn: { text: "Fine." } },
  ] });
  host = await Host.start({ providerUrl: provider.url });
  admin = await host.setup();
});
after(async () => { await host?.remove(); provider?.stop(); });

const within = (what, promise, ms = 20_000) => Promise.race([promise, sleep(ms, undefined, { ref: false }).then(() => { throw new Error(`in vain: ${what}`); })]);
const login = async (username, password = PASSWORD) => host.request("POST", "/api/auth/login", { body: { username, password } });
const isGone = (pid) => { try { return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8")); } catch { return true; } };

/** Kills accounts while the guard is held, and changes the database as accounts had: what was committed stays, the message is lost. */
async function dieAfterCommit(sql) {
  const { processes } = await host.ctl("status");
  const guard = processes.find((p) => p.process === "guard").pid;
  const accounts = processes.find((p) => p.process === "accounts");
  process.kill(guard, "SIGSTOP");
  try {
    process.kill(accounts.pid, "SIGKILL");
    await until("accounts is dead", async () => isGone(accounts.pid));
    const script = "import os, sqlite3, sys\nos.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))\n" +
      "db = sqlite3.connect(sys.argv[2]); db.executescript(sys.argv[3]); db.close()";
    execFileSync("python3", ["-c", script, String(accounts.uid), path.join(host.state, "accounts/accounts.db"), sql]);
  } finally {
    process.kill(guard, "SIGCONT");
  }
  await until("accounts is back", async () => {
    const now = (await host.ctl("status")).processes.find((p) => p.process === "accounts");
    return now.health === "ready" && now.pid !== accounts.pid;
  });
}

const sessionsOf = async (account) => (await host.ctl("status")).sessions.filter((s) => s.account === account);

async function atWork(name) {
  const cookie = await host.invite(admin, name);
  const account = (await host.request("GET", "/api/me", { cookie })).json().id;
  const mux = await Mux.open(host, cookie);
  const workspace = await mux.workspace();
  const session = await mux.session(workspace);
  await mux.turn(session, "beat please");
  const file = path.join(host.state, "tenants", String(account), "workspaces", workspace, "beat");
  await until("it beats", async () => existsSync(file));
  return { name, account, cookie, mux, session, workspace, file };
}

async function hasEnded(person) {
  await within("the connection ends", person.mux.closed);
  await until("its sessions end", async () => (await sessionsOf(person.account)).length === 0);
  const agent = host.uidBase + 1000 + 2 * person.account + 1;
  await until("nothing of its agent runs", async () => host.processes(/./).every((pid) => {
    try { return statSync(`/proc/${pid}`).uid !== agent; } catch { return true; }
  }));
  const last = statSync(person.file).mtimeMs;
  await sleep(500);
  assert.equal(statSync(person.file).mtimeMs, last, "nothing writes any more");
}

test("attack: a logout whose message is lost ends the connection as soon as accounts is back", async () => {
  const cookie = await host.invite(admin, "eve");
  const stays = await Mux.open(host, admin);
  const mux = await Mux.open(host, cookie);
  await mux.workspace();
  await dieAfterCommit("DELETE FROM logins WHERE account = (SELECT id FROM accounts WHERE username = 'eve')");
  await within("the connection ends", mux.closed);
  assert.equal((await host.request("GET", "/api/me", { cookie })).status, 401);
  await stays.ok("list_workspaces", "_system");
  stays.close();
});

test("attack: disabling an account ends what it has running, and nothing begins before it is enabled", async () => {
  const person = await atWork("mallory");
  const invite = await host.invite(admin, "second", PASSWORD, "admin");
  const code = (await host.request("POST", "/api/auth/invites", { cookie: invite, body: { role: "admin" } })).json().code;
  await host.ctl("accounts", "disable", "mallory");
  await host.ctl("accounts", "disable", "second");
  await hasEnded(person);
  assert.equal((await login("mallory")).status, 401);
  const joined = await host.request("POST", "/api/auth/register", { body: { invite_code: code, username: "backdoor", password: PASSWORD } });
  assert.equal(joined.status, 403, "an invitation of a disabled administrator");
  const { invites } = await host.ctl("invites");
  assert.equal(invites.find((i) => i.made_by === "second").state, "suspended");
  const stops = (await host.records()).filter((r) => r.event === "session.stop" && /disabled/.test(JSON.stringify(r)));
  assert.equal(stops.length, 1, "and the log says why it ended");

  await host.ctl("accounts", "enable", "mallory");
  const again = await Mux.open(host, (await login("mallory")).cookie);
  await again.session(person.workspace);
  assert.equal((await sessionsOf(person.account)).length, 1);
  again.close();
});

test("attack: a disabling whose message is lost ends everything as soon as accounts is back", async () => {
  const person = await atWork("trudy");
  await dieAfterCommit("UPDATE accounts SET disabled = 1 WHERE username = 'trudy'");
  await hasEnded(person);
});

test("a reset link ends every connection of the account and sets the password once", async () => {
  const cookie = await host.invite(admin, "bob");
  const mux = await Mux.open(host, cookie);
  await mux.workspace();
  const { url, username } = await host.ctl("accounts", "reset-password", "bob");
  assert.equal(username, "bob");
  const code = new URL(url).hash.replace("#reset=", "");
  const body = { code, password: "another horse battery" };
  const done = await host.request("POST", "/api/auth/reset", { body });
  assert.equal(done.status, 200, done.text);
  await within("the connection ends", mux.closed);
  assert.equal((await host.request("POST", "/api/auth/reset", { body })).status, 403);
  assert.equal((await login("bob")).status, 401);
  assert.equal((await login("bob", "another horse battery")).status, 200);
  const { logins } = await host.ctl("accounts", "logins", "bob");
  assert.equal(logins.length, 2);
  assert.deepEqual(await host.ctl("accounts", "revoke", "bob", String(logins[0].id)), { revoked: 1, logins: [logins[0].id] });
  await until("the log says which one", async () => (await host.records()).some((r) =>
    r.event === "account.change" && r.phase === "outcome" && r.fields?.ended_logins === String(logins[0].id)));
  assert.equal((await host.ctl("accounts", "logins", "bob")).logins.length, 1);
  assert.ok((await host.records()).some((r) => r.event === "password.change" && r.phase === "outcome" && r.outcome === "success"));
});

test("after a change of the own password every connection of the replaced login ends, and the page goes on with the new one", async () => {
  const cookie = await host.invite(admin, "carol");
  const page = await Mux.open(host, cookie), copy = await Mux.open(host, cookie);
  const workspace = await page.workspace();
  const changed = await host.request("POST", "/api/auth/password", { cookie, body: { password: PASSWORD, new_password: "another horse battery" } });
  assert.equal(changed.status, 200, changed.text);
  await within("the page's own connection ends", page.closed);
  await within("the one with a copy of its cookie ends", copy.closed);
  await assert.rejects(Mux.open(host, cookie), /HTTP 401/, "the old cookie opens nothing");
  const again = await Mux.open(host, changed.cookie);
  assert.ok((await again.ok("list_workspaces", "_system")).workspaces.some((w) => w.id === workspace));
  again.close();
});

test("attack: a connection that goes while the log is silent leaves no intent without its end", async () => {
  const cookie = await host.invite(admin, "dora");
  const auditd = (await host.pids("auditd"))[0];
  process.kill(auditd, "SIGSTOP");
  try {
    const tries = Array.from({ length: 4 }, () => Mux.open(host, cookie).catch((error) => error));
    await sleep(1000);
    for (const socket of tries.slice(0, 2)) void socket.then((mux) => mux.close?.());
    await sleep(6000);  // longer than the guard waits for a record
    await Promise.all(tries);
  } finally {
    process.kill(auditd, "SIGCONT");
  }
  const mux = await Mux.open(host, cookie);
  mux.close();
  await until("every connection has its end", async () => {
    const records = (await host.records()).filter((r) => r.event === "connection" && r.phase);
    const ended = new Set(records.filter((r) => r.phase === "outcome").map((r) => r.intent));
    const open = records.filter((r) => r.phase === "intent" && !ended.has(r.seq ?? r.index));
    return open.length <= 1;  // the administrator's, if it is still there
  });
});
