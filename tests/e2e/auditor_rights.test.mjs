// What an auditor may ask, and what the process that answers may do: nothing but read the log, and that with a record.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { PASSWORD, startAuditedHost } from "./auditor_rig.mjs";
import { Mux, until } from "./lib.mjs";

let host, provider, admin, alice, ws, session;

before(async () => {
  ({ host, provider, admin, alice, ws, session } = await startAuditedHost());
  await host.invite(admin, "ada", PASSWORD, "auditor");
});

after(async () => {
  await host?.remove();
  provider?.stop();
});

test("without a record nothing is read", async () => {
  const auditor = await Mux.open(host, (await host.request("POST", "/api/auth/login", { body: { username: "ada", password: PASSWORD } })).cookie);
  const [auditd] = await host.pids("auditd");
  process.kill(auditd, "SIGSTOP");
  try {
    const answer = await auditor.command("audit.search", "_system", { text: "deploy" });
    assert.deepEqual([answer.success, answer.code, answer.data], [false, "unavailable", undefined]);
  } finally {
    process.kill(auditd, "SIGCONT");
  }
  await until("answers again", async () => (await auditor.command("audit.search", "_system", { text: "deploy" })).success);
  await auditor.close();
});

test("AttackTheProcessThatServesAuditorsHasNoRightsButToReadTheLog", async () => {
  const [pid] = await host.pids("auditor");
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const uid = host.uidBase + 8, auditd = host.uidBase + 3;
  assert.match(status, new RegExp(`^Uid:\\s${uid}\\s${uid}\\s${uid}\\s${uid}$`, "m"));
  assert.match(status, new RegExp(`^Groups:\\s*${auditd}\\s*$`, "m"));
  assert.match(status, /^CapEff:\s0+$/m);
  assert.match(status, /^NoNewPrivs:\s1$/m);
  assert.match(status, /^Seccomp:\s2$/m);
  const others = execFileSync("find", [path.join(host.state, "audit/log"), "(", "-perm", "/o=rwx", "-o", "-perm", "/g=w", ")"], { encoding: "utf8" });
  assert.equal(others, "", "nobody but auditd may write in the log, and nobody but its group read it");
});

test("AttackTenantsReachNoAuditCommandAndAuditorsNoTenants", async () => {
  const tenant = await Mux.open(host, alice);
  for (const cmd of ["audit.checkpoint", "audit.search", "audit.subjects", "audit.timeline", "audit.entry", "audit.consistency", "audit.seals", "audit.recording", "audit.export"]) {
    const answer = await tenant.command(cmd, "_system", { index: 0, old_size: 0, from: 0 });
    assert.deepEqual([answer.success, answer.code], [false, "bad_request"], cmd);
  }
  await tenant.close();
  const root = await Mux.open(host, admin);
  assert.equal((await root.command("audit.search", "_system")).success, false, "an administrator is no auditor");
  await root.close();

  const cookie = (await host.request("POST", "/api/auth/login", { body: { username: "ada", password: PASSWORD } })).cookie;
  const auditor = await Mux.open(host, cookie);
  const commands = [["list_workspaces", "_system", {}], ["list_sessions", "_system", {}], ["create_workspace", "_system", { name: "mine" }], ["get_models", "_system", {}],
    ["session.create", "", { config: { harness: "pi", workspace_id: ws } }], ["session.subscribe", session, {}], ["prompt", session, { message: "hello" }],
    ["get_messages", session, {}], ["abort", session, {}], ["session.delete", session, {}], ["input_response", session, { request_id: "x" }], ["compact", session, {}]];
  for (const [cmd, id, fields] of commands) {
    const answer = await auditor.command(cmd, id, fields);
    assert.deepEqual([answer.success, answer.code], [false, "refused"], cmd);
  }
  const status = await host.ctl("status");
  assert.ok(!status.tenants.some((t) => t.username === "ada"), "an auditor has no tenant");
  assert.equal((await host.request("POST", "/api/auth/invites", { cookie, body: { role: "admin" } })).status, 403);
  await auditor.close();
});

test("AttackFramesOfAnAuditorGetOneClearErrorEach", async () => {
  const cookie = (await host.request("POST", "/api/auth/login", { body: { username: "ada", password: PASSWORD } })).cookie;
  const auditor = await Mux.open(host, cookie);
  const bad = [
    ["audit.search", { text: 7 }], ["audit.search", { text: "x".repeat(257) }], ["audit.search", { limit: 0 }], ["audit.search", { limit: 101 }],
    ["audit.search", { actors: "ada" }], ["audit.search", { actors: Array(17).fill("a") }], ["audit.search", { actors: [""] }], ["audit.search", { before: -1 }],
    ["audit.search", { from_ms: 1.5 }], ["audit.search", { text: "//" }], ["audit.search", { events: ["exce"] }], ["audit.search", { sessions: ["hello"] }],
    ["audit.timeline", {}], ["audit.timeline", { tenants: ["alice"], limit: 1001 }], ["audit.timeline", { sessions: ["hello"] }], ["audit.entry", {}], ["audit.entry", { index: "1" }], ["audit.entry", { index: 2 ** 60 }],
    ["audit.consistency", {}], ["audit.seals", {}], ["audit.seals", { from: "0" }], ["audit.export", { from: 0, format: "xml" }], ["audit.recording", { index: "x" }], ["audit.nothing", {}],
  ];
  for (const [cmd, fields] of bad) {
    const answer = await auditor.command(cmd, "_system", fields);
    assert.equal(answer.success, false, `${cmd} ${JSON.stringify(fields)}`);
    assert.match(answer.code, /bad_request|limit|refused/);
    assert.ok(answer.error.length > 5);
  }
  assert.equal((await auditor.command("audit.entry", "_system", { index: 1_000_000 })).code, "not_found");
  assert.equal((await auditor.command("audit.search", session)).code, "bad_request");
  for (const text of ['"', "'", '" OR 1', "NEAR(a b)", "keys:xsealed", "*", "a AND", "- ^ a", "\u0000a", "é", "{a b}:c"]) {
    const answer = await auditor.command("audit.search", "_system", { text, limit: 1 });
    assert.ok(answer.success || answer.code === "bad_request", `${text}: ${answer.error}`);
  }
  for (const frame of ["", "x", "[]", "{}", '{"channel":"agent"}', "{".repeat(5000), '{"channel":"files","id":"f"}']) auditor.send(frame);
  assert.ok((await auditor.ok("audit.checkpoint", "_system")).indexed > 0, "still there after all that");
  auditor.send("y".repeat(70_000));
  await auditor.closed;
  assert.equal((await host.ctl("status")).processes.find((p) => p.process === "auditor").restarts, 0);
});
