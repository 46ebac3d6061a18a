// What fails around a session, and that nothing else stops: the provider, Pi, and each of our parts.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { Host, Mux, Provider, sleep, text, toolOutput, toolTurns, until } from "./lib.mjs";

let host, provider, cookie, mux, workspace, session;

before(async () => {
  provider = await Provider.start({ turns: [{ text: "ready" }] });
  host = await Host.start({ providerUrl: provider.url });
  cookie = await host.setup();
  mux = await Mux.open(host, cookie);
  workspace = await mux.workspace();
  session = await mux.session(workspace);
});
after(async () => { mux?.close(); await host?.remove(); provider?.stop(); });

const alive = async () => {
  await provider.script({ turns: [{ text: "still here" }] });
  assert.match(text(await mux.turn(session, "are you there?")), /still here/);
};

test("a provider's 400 is shown once, with its text, and the session lives on", async () => {
  await provider.script({ turns: [{ error: { status: 400, message: "the request is bad" } }] });
  const events = await mux.turn(session, "hello");
  const error = events.find((e) => e.event === "agent.error");
  assert.match(error.error, /the request is bad/);
  await alive();
});

test("429, 500 and a dropped connection are retried, visibly, and then succeed", async () => {
  await provider.script({ turns: [{ error: { status: 429, message: "slow down" } }, { error: { status: 500 } }, { text: "abcdefgh", chunkSize: 1, disconnectAfter: 3 }, { text: "at last" }] });
  const events = await mux.turn(session, "try", 120_000);
  assert.ok(events.filter((e) => e.event === "retry.start").length >= 3);
  assert.match(text(events), /at last/);
});

test("the provider's key never comes inside, nor into the log", async () => {
  await provider.script({ turns: toolTurns("cat ~/.pi/agent/*.json; env; grep -rs sk-secret / --include=*.json 2>/dev/null | head") });
  const events = await mux.turn(session, "look for the key");
  assert.match(toolOutput(events), /models\.oqto/);
  assert.doesNotMatch(toolOutput(events), /sk-secret/);
  assert.doesNotMatch(await host.audit("tail", "-n", "100000", "--json"), /sk-secret-key/);
  const request = (await provider.requests()).at(-1);
  assert.match(JSON.stringify(request.headers), /25 chars|32 chars|ends host/);
});

test("Pi killed: the chat says so at once and the session starts again with its memory", async () => {
  const from = mux.events.length;
  await provider.script({ turns: [{ text: "x ", repeatText: 2000, chunkDelayMs: 20 }] });
  await mux.ok("prompt", session, { message: "talk" });
  await mux.event(session, "stream.text_delta", from);
  const [pid] = host.processes(/^pi\b|cli\.js --mode rpc/);
  assert.ok(pid, "Pi is there");
  process.kill(pid, "SIGKILL");
  const error = await mux.event(session, "agent.error", from);
  assert.equal(error.recoverable, false);
  await provider.script({ turns: [{ text: "back again" }] });
  await until("the session to start again", async () => (await mux.command("session.create", session, { config: { harness: "pi", workspace_id: workspace } })).success);
  assert.match(text(await mux.turn(session, "hello again")), /back again/);
  assert.match(JSON.stringify((await provider.requests()).at(-1).body), /are you there/);
});

test("a tenant's second session runs beside the first", async () => {
  const other = await mux.session(workspace);
  await provider.script({ rules: [{ when: { lastUserContains: "one" }, turn: { text: "first ", repeatText: 40, chunkDelayMs: 20 } }, { when: { lastUserContains: "two" }, turn: { text: "second" } }] });
  const first = mux.turn(session, "one");
  assert.match(text(await mux.turn(other, "two")), /second/);
  assert.match(text(await first), /first/);
  await mux.ok("session.close", other);
});

test("a prompt while one runs is refused as busy, and the one that runs is not disturbed", async () => {
  await provider.script({ turns: [{ text: "slow ", repeatText: 30, chunkDelayMs: 30 }] });
  const running = mux.turn(session, "go");
  await mux.event(session, "agent.working", mux.events.length - 1);
  const refused = await mux.command("prompt", session, { message: "me too" });
  assert.equal(refused.code, "busy");
  assert.match(text(await running), /(slow ){30}/);
});

test("a 10 MB prompt gets one clear answer and costs nobody anything", async () => {
  const answer = await mux.command("prompt", session, { message: "x".repeat(10 << 20) });
  assert.equal(answer.success, false);
  assert.equal(answer.code, "limit");
  assert.match(answer.error, /1048576 bytes/);
  await alive();
});

test("frames that no client should send get one error each", async () => {
  const before = mux.system.length;
  const bad = ["null", "42", "[]", "\"x\"", "{", "", "{\"channel\":7}", "{\"channel\":\"agent\"}", "{\"channel\":\"agent\",\"cmd\":\"prompt\",\"session_id\":{}}", "[".repeat(100_000), "{\"channel\":\"nosuch\",\"id\":\"a\"}"];
  for (const frame of bad) mux.send(frame);
  await until("an error each", async () => mux.system.slice(before).filter((m) => m.type === "error").length + 0 >= bad.length - 3);
  for (const [cmd, fields, code] of [["prompt", { message: 7 }, "bad_request"], ["prompt", {}, "bad_request"], ["prompt", { message: "  " }, "bad_request"], ["nonsense", {}, "bad_request"], ["cycle_model", {}, "not_available_yet"], ["set_model", { provider: [], model_id: 1 }, "bad_request"]]) {
    const answer = await mux.command(cmd, session, fields);
    assert.equal(answer.success, false);
    assert.equal(answer.code, code, `${cmd}: ${answer.error}`);
  }
  for (const id of ["oqto-00000000-0000-4000-8000-000000000000", "../../etc", "", "x".repeat(5000)]) {
    assert.equal((await mux.command("prompt", id, { message: "hi" })).success, false);
  }
  for (const channel of ["files", "terminal", "hstry", "trx", "session", "bus"]) mux.send({ channel, id: channel, type: "x" });
  await alive();
});

test("an unknown workspace is refused without a hint of whose it is", async () => {
  const answer = await mux.command("session.create", "", { config: { harness: "pi", workspace_id: "00000000-0000-4000-8000-000000000000" } });
  assert.equal(answer.code, "not_found");
});

test("one killed connection process closes that connection only", async () => {
  const other = await Mux.open(host, cookie);
  const relay = (await host.pids("relay"))[0];
  const children = String(execFileSync("pgrep", ["-P", String(relay)])).trim().split("\n").map(Number).sort((a, b) => a - b);
  process.kill(children.at(-1), "SIGKILL");
  await Promise.race([other.closed, sleep(5000).then(() => assert.fail("it did not close"))]);
  await alive();
});

test("the relay's listener killed: open connections live on and new ones are served soon", async () => {
  process.kill((await host.pids("relay"))[0], "SIGKILL");
  await alive();
  const other = await until("a new connection", () => Mux.open(host, cookie));
  other.close();
});

test("auditd stopped: commands are refused with a clear error, and work again when it is back", async () => {
  const [pid] = await host.pids("auditd");
  process.kill(pid, "SIGSTOP");
  try {
    const refused = await mux.command("prompt", session, { message: "unrecorded" });
    assert.equal(refused.success, false);
    assert.equal(refused.code, "unavailable");
    assert.match(refused.error, /audit log/);
  } finally {
    process.kill(pid, "SIGCONT");
  }
  await until("commands to work again", async () => (await mux.command("set_session_name", session, { name: "again" })).success);
  await alive();
});

test("auditd killed: it is started again and everybody is wired to it", async () => {
  const [pid] = await host.pids("auditd");
  process.kill(pid, "SIGKILL");
  await until("a new auditd", async () => { const [now] = await host.pids("auditd"); return now && now !== pid; });
  await until("commands to work again", async () => (await mux.command("set_session_name", session, { name: "again" })).success);
  await provider.script({ turns: toolTurns("echo recorded") });
  assert.match(toolOutput(await mux.turn(session, "run")), /recorded/);
  await host.audit("verify");
});

for (const kind of ["signer", "gateway", "accounts", "hstry"]) {
  test(`${kind} killed: it is started again and the session goes on`, async () => {
    const [pid] = await host.pids(kind);
    process.kill(pid, "SIGKILL");
    await until(`a new ${kind}`, async () => { const [now] = await host.pids(kind); return now && now !== pid; });
    await until("a turn to work", async () => {
      await provider.script({ turns: [{ text: `after ${kind}` }] });
      return text(await mux.turn(session, `after ${kind}?`)).includes(`after ${kind}`);
    }, 60_000);
  });
}

test("the runner killed: the browser's connection ends, and a new one finds everything", async () => {
  const [pid] = await host.pids("runner");
  process.kill(pid, "SIGKILL");
  await mux.closed;
  mux = await until("a new connection", () => Mux.open(host, cookie));
  const { sessions } = await mux.ok("list_sessions", "_system");
  assert.ok(sessions.some((s) => s.session_id === session));
  await until("the session to start again", async () => (await mux.command("session.create", session, { config: { harness: "pi", workspace_id: workspace } })).success);
  const { messages } = await mux.ok("get_messages", session, { limit: 200 });
  assert.match(JSON.stringify(messages), /are you there\?/);
  await alive();
});
