// What the log says of starts, stops and operators is what happened.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { bin, Host, Mux, Provider, root, toolTurns, until } from "./lib.mjs";

let host, provider, cookie, records;
const of = (event, test = () => true) => records.filter((r) => r.event === event && test(r));
const reread = async () => (records = await host.records());

before(async () => {
  provider = await Provider.start({ turns: toolTurns("/bin/true") });
  host = await Host.start({ providerUrl: provider.url });
  cookie = await host.setup();
});
after(async () => { await host?.remove(); provider?.stop(); });

test("a session says who or what ended it, and no ordinary end is a failure", async () => {
  const mux = await Mux.open(host, cookie);
  const workspace = await mux.workspace();
  const closed = await mux.session(workspace);
  await mux.turn(closed, "go");
  await mux.ok("session.close", closed);
  const killed = await mux.session(workspace);
  await host.ctl("sessions", "kill", killed);
  const live = await mux.session(workspace);
  const runner = host.child.pid;
  await host.down();
  await reread();
  const reason = (id) => of("session.stop", (r) => `oqto-${r.fields.session}` === id).map((r) => r.fields.reason);
  assert.deepEqual(reason(closed), ["stopped by its user"]);
  assert.deepEqual(reason(killed), ["killed by the operator"]);
  assert.deepEqual(reason(live), ["the host is stopping"]);

  const [stop] = of("host.stop");
  assert.equal(of("host.stop").length, 1);
  assert.deepEqual([stop.fields.signal, stop.fields.uid, stop.fields.pid], ["15", "0", String(runner)], "who sent the signal: the start script");
  assert.ok(stop.fields.command, "and what that process is called");
  assert.ok(stop.seq < of("session.stop", (r) => `oqto-${r.fields.session}` === live)[0].seq, "before what it ends");
  const [start] = of("host.start");
  assert.deepEqual([of("host.start").length, start.fields.uid, start.fields.pid], [1, "0", String(runner)]);
  assert.ok(start.fields.boot);

  const parsers = of("process.stop", (r) => r.fields.process === "policy-parser");
  assert.ok(parsers.length >= 3, "one for each session");
  for (const r of [...parsers, ...of("process.stop", (s) => s.fields.process === "session")]) {
    assert.equal(r.outcome, "success", JSON.stringify(r.fields));
  }
  assert.equal(of("process.start", (r) => r.fields.process === "oqtoctl").length, 0, "oqtoctl is started by nobody of ours");
});

test("after a stop and a start the log has both, and no gap between them", async () => {
  await host.up();
  await reread();
  assert.equal(of("host.start").length, 2);
  assert.ok(of("host.start")[1].seq > of("host.stop")[0].seq);
  assert.equal(of("log.gap").length, 0);
});

test("what an operator does names the login, and the name that is claimed", async () => {
  const disable = (name) => execFileSync(bin("oqtoctl"), ["accounts", name, "admin", "--state", host.state, "--json"], { env: { ...process.env, SUDO_USER: "ann" } });
  disable("disable");
  disable("enable");
  const mux = await Mux.open(host, (await host.request("POST", "/api/auth/login", { body: { username: "admin", password: "correct horse battery" } })).cookie);
  const session = await mux.session(await mux.workspace("other"));
  await host.ctl("sessions", "kill", session);
  mux.close();
  await reread();
  const changes = of("account.change");
  assert.equal(changes.length, 4, "two intents, two outcomes");
  for (const r of [...changes, ...of("admin", (a) => a.fields.command === "kill session")]) {
    assert.match(r.fields.operator_uid, /^\d+$/);
    assert.match(r.fields.operator, / \(claimed\)$/);
  }
  for (const r of changes) assert.deepEqual([r.fields.operator, r.fields.username], ["ann (claimed)", "admin"]);
  for (const r of of("login", (l) => l.phase === "outcome")) assert.equal(r.fields.username, "admin", "an outcome says whose it is");
});

test("the end of a signer that was killed is recorded when there is a signer again", async () => {
  const [signer] = await host.pids("signer");
  process.kill(signer, "SIGKILL");
  const [stop] = await until("its end in the log", async () => {
    await reread();
    const found = of("process.stop", (r) => r.fields.process === "signer" && r.fields.pid === String(signer));
    return found.length > 0 && found;
  });
  assert.deepEqual([stop.outcome, stop.fields.signal], ["failure", "9"]);
  assert.ok(Date.parse(stop.fields.at) <= stop.time, "with the time at which it ended");
});

test("what was recorded after nobody waited for it any more has an outcome: nothing was done", async () => {
  const again = (await host.request("POST", "/api/auth/login", { body: { username: "admin", password: "correct horse battery" } })).cookie;
  const runs = await Mux.open(host, again);  // so that the runner does
  await runs.close();
  const [auditd] = await host.pids("auditd");
  await reread();
  const from = records.at(-1).seq;
  process.kill(auditd, "SIGSTOP");
  try {
    const refused = await Mux.open(host, again).catch((error) => error);  // the guard gives up after five seconds
    assert.ok(refused instanceof Error, "nothing is opened without its record");
  } finally {
    process.kill(auditd, "SIGCONT");
  }
  await until("its outcome", async () => {
    await reread();
    const intents = of("connection", (r) => r.seq > from && r.phase === "intent");
    const outcomes = of("connection", (r) => r.phase === "outcome");
    return intents.length > 0 && intents.every((r) => outcomes.some((o) => o.intent === r.seq && o.outcome === "failure" && /nobody waited/.test(o.fields.reason)));
  });
});

test("Attack: a copy of the state directory does not go on with the log before somebody says so", async () => {
  await host.down();
  const copy = `${host.state}-copy`;
  execFileSync("cp", ["-a", host.state, copy]);
  const second = Object.assign(new Host(), { ...host, state: copy });
  try {
    const script = process.env.OQTO_RUN ?? path.join(root, "run");
    const refused = spawn(script, ["--state", copy, "--port", String(host.port), "--uid-base", String(host.uidBase), ...host.args], { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    refused.stderr.on("data", (d) => (said += d));
    await until("the refusal", async () => /oqtoctl adopt --state DIR/.test(said) && /at=guard msg=.?stopped/.test(said), 60_000);
    refused.kill("SIGKILL");
    const old = (await second.records()).length;
    await host.up();  // the original goes on
    await host.down();

    execFileSync(bin("oqtoctl"), ["adopt", "--state", copy], { env: { ...process.env, SUDO_USER: "ann" } });
    await second.up();
    const entries = await second.records();
    const adopt = entries.filter((r) => r.event === "adopt");
    assert.equal(adopt.length, 1);
    assert.equal(adopt[0].fields.operator, "ann (claimed)");
    const seal = entries.find((r) => r.seq >= old && r.event === "epoch.seal");
    assert.ok(seal && seal.seq < adopt[0].seq, "a new epoch, before anything is signed there");
    await second.audit("verify");
  } finally {
    if (second.child?.exitCode === null && second.child !== host.child) await second.down();
    rmSync(copy, { recursive: true, force: true });
  }
});
