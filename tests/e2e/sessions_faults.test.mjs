// What a session's user notices of a runner that is killed and of a gateway that begins anew: that it goes on.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Mux, sleep, text, until } from "./lib.mjs";
import { asking, bashCall, plain, Scenario } from "./scenario.mjs";

let s;

before(async () => { s = await Scenario.start(); });
after(async () => { await s?.stop(); });

test("after a restart of the runner a client that resumes is told what it cannot have, and gets the rest", async () => {
  const session = await s.session(), other = await s.session();
  const events = await s.mux.turn(session, asking("one", { text: "first answer" }));
  const { epoch, seq } = events.at(-1);
  assert.match(epoch ?? "", /^\S+$/, "events carry the epoch");
  assert.ok(events.every((e) => e.epoch === epoch));
  const same = await s.mux.ok("session.subscribe", session, { since_seq: seq, epoch });
  assert.deepEqual([same.complete, same.epoch], [true, epoch]);
  assert.equal((await s.mux.ok("session.subscribe", session, { since_seq: seq })).complete, false, "a number without its epoch says nothing");
  assert.equal((await s.mux.ok("session.subscribe", session, { since_seq: seq + 100, epoch })).complete, false, "nor does one that was never counted");
  await s.killRunner();
  await s.insist(other, asking("elsewhere", { text: "elsewhere" }));
  for (const missed of ["missed one", "missed two"]) { await s.insist(session, asking(missed, { text: `answer to ${missed}` })); await s.rest(session); }
  const mux = await Mux.open(s.host, s.cookie);
  try {
    const before = mux.events.length;
    const old = await mux.ok("session.subscribe", session, { since_seq: seq, epoch });
    assert.equal(old.complete, false);
    assert.notEqual(old.epoch, epoch);
    assert.equal((await mux.ok("session.subscribe", session, { since_seq: seq })).complete, false);
    const page = await mux.ok("get_messages", session);
    assert.equal(page.epoch, old.epoch);
    assert.deepEqual(page.messages.filter((m) => m.role === "assistant").map(plain), ["first answer", "answer to missed one", "answer to missed two"]);
    const right = await mux.ok("session.subscribe", session, { since_seq: page.seq, epoch: page.epoch });
    assert.equal(right.complete, true);
    await s.insist(session, asking("three", { text: "third answer" }));
    const got = () => mux.events.slice(before).filter((e) => e.session_id === session && e.seq > page.seq);
    await until("the end of the turn", async () => got().some((e) => e.event === "agent.idle"));
    assert.ok(got().every((e) => e.epoch === old.epoch));
    assert.match(text(got()), /third answer/);
  } finally {
    await mux.close();
  }
});

test("a client_id that comes again after a restart of the runner is not executed again", async () => {
  const session = await s.session();
  const prompt = { message: asking("append", bashCall("echo once >> /workspace/appended.txt"), { text: "appended" }), client_id: "the-same-client-id" };
  await s.mux.ok("prompt", session, prompt);
  await s.rest(session);
  await s.killRunner();
  const calls = (await s.provider.state()).requests;
  for (let i = 0; i < 2; i++) assert.equal((await s.mux.command("prompt", session, prompt)).success, true);
  await sleep(500);
  await s.rest(session);
  assert.equal((await s.provider.state()).requests, calls, "the model was not asked again");
  assert.equal((await s.messages(session)).length, 4);
  await s.insist(session, asking("how often?", bashCall("wc -l < /workspace/appended.txt"), { text: "so often" }));
  await s.rest(session);
  assert.equal((await s.messages(session)).findLast((m) => m.role === "tool").parts[0].output.trim(), "1");
});

test("a turn that a kill of the runner ends has a stored reason, and the next message wakes the session", async () => {
  const session = await s.session(), from = s.mux.events.length;
  await s.mux.ok("prompt", session, { message: asking("long", { text: "word ", repeatText: 500, chunkSize: 5, chunkDelayMs: 20 }) });
  await s.mux.event(session, "stream.text_delta", from);
  await s.killRunner();
  assert.ok(["asleep", "idle"].includes((await s.rest(session)).state), "it sleeps, or is up again to tell what became of it");
  const ended = (await s.messages(session)).at(-1);
  assert.equal(ended.role, "assistant");
  assert.equal(ended.stop_reason, "error");
  assert.ok(ended.error);
  await s.insist(session, asking("again", { text: "awake" }));
  await s.rest(session);
  assert.equal(plain((await s.messages(session)).at(-1)), "awake");
});

test("a prompt in the moment in which the agent ends is answered, wakes the session, and nothing is doubled", { timeout: 120_000 }, async () => {
  const session = await s.session();
  for (let i = 0; i < 6; i++) {
    const from = s.mux.events.length, before = (await s.messages(session)).length;
    await s.mux.ok("prompt", session, { message: asking(`long ${i}`, { text: "word ", repeatText: 400, chunkSize: 5, chunkDelayMs: 20 }) });
    await s.mux.event(session, "stream.text_delta", from);
    const ended = new Promise((done) => s.mux.socket.on("message", (data) => String(data).includes('"agent.error"') && done()));
    for (const pid of await s.pisOf(session)) process.kill(pid, "SIGKILL");
    await ended;
    const answer = await s.mux.command("prompt", session, { message: asking(`at once ${i}`, { text: `awake ${i}` }) }, 15_000).catch(() => assert.fail("the prompt is never answered"));
    if (!answer.success) await s.insist(session, asking(`at once ${i}`, { text: `awake ${i}` }));
    await s.rest(session);
    const messages = await s.messages(session);
    assert.equal(plain(messages.at(-1)), `awake ${i}`);
    assert.equal(messages.length, before + 4, messages.map((m) => `${m.role} ${plain(m).slice(0, 20)}`).join(" | "));
  }
});

test("get_stats keeps its figures over kills of runner and gateway, and counts calls that were aborted", async () => {
  const session = await s.session(), usage = { input: 1000, output: 50 };
  const stats = () => s.mux.ok("get_stats", session);
  const settled = async (calls) => { let got; await until(`${calls} calls`, async () => (got = await stats()).calls === calls, 5000).catch(() => {}); return got; };
  await s.mux.turn(session, asking("count", { text: "counted", usage }));
  const first = await settled(1);
  assert.deepEqual([first.tokens, first.calls, first.estimated], [{ input: 1000, output: 50, total: 1050 }, 1, false]);
  await s.killRunner();
  assert.deepEqual(await stats(), first, "after the runner");
  await s.kill("gateway");
  assert.deepEqual(await stats(), first, "after the gateway");
  await s.insist(session, asking("count again", { text: "counted", usage }));
  await s.rest(session);
  const second = await settled(2);
  assert.deepEqual([second.tokens.input, second.tokens.output, second.calls], [2000, 100, 2]);
  await s.kill("gateway");
  await s.killRunner();
  assert.deepEqual(await stats(), second, "after both");
  await s.mux.ok("session.subscribe", session, { since_seq: 0 });
  const from = s.mux.events.length;
  await s.insist(session, asking("stop me", { text: "word ", repeatText: 400, chunkSize: 5, chunkDelayMs: 20, usage }));
  await s.mux.event(session, "stream.text_delta", from);
  await s.mux.ok("abort", session, {}, 12_000);
  const third = await settled(3);
  assert.equal(third.calls, 3, "an aborted call is a call");
  assert.equal(third.estimated, true);
  assert.ok(third.tokens.total > second.tokens.total, "and it has cost something");
});
