// What the model's side may say, and what the wire makes of it.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { text, until } from "./lib.mjs";
import { asking, plain, Scenario } from "./scenario.mjs";
import { storedViews } from "./views.mjs";

let s, session;

export const tests = () => describe("what the model says", { concurrency: 1 }, () => {
  before(async () => { s = await Scenario.start(); session = await s.session(); });
  after(async () => { await s?.stop(); });

  /** One turn whose calls of the provider are answered by these turns, one each. */
  async function turn(of, message, ...turns) {
    await s.provider.script({ rules: turns.map((it) => ({ when: { lastUserContains: message }, times: 1, turn: it })), directives: true, turns: [{ text: "unasked" }] });
    return s.mux.turn(of, message, 90_000);
  }
  const answers = async (of, message) => {
    const messages = await s.messages(of), at = messages.findIndex((m) => m.role === "user" && plain(m) === message);
    assert.ok(at >= 0, "the prompt is a message");
    const end = messages.findIndex((m, i) => i > at && m.role === "user");
    return messages.slice(at + 1, end < 0 ? undefined : end);
  };

  test("an empty answer is one message that says why it ended", async () => {
    const events = await turn(session, "say nothing", { text: "" });
    const [answer, ...more] = await answers(session, "say nothing");
    assert.equal(more.length, 0);
    assert.equal(plain(answer), "");
    assert.equal(answer.stop_reason, "error");
    assert.ok(answer.error, "with a reason");
    assert.ok(events.some((e) => e.event === "agent.error" && e.recoverable));
    assert.match(text(await s.mux.turn(session, asking("and now", { text: "something" }))), /something/);
  });

  test("an answer that the length ends says so, and is one message", async () => {
    await turn(session, "be long", { text: "cut off he", finish: "length" });
    const all = await answers(session, "be long");
    assert.equal(all.length, 1);
    assert.equal(all[0].stop_reason, "length");
    assert.equal(plain(all[0]), "cut off he");
  });

  test("two failed tries and a success are one message with its attempts", async () => {
    const events = await turn(session, "try hard", { error: { status: 500, message: "first failure" } },
      { text: "half an ans", chunkSize: 4, streamError: { message: "second failure: overloaded", type: "overloaded_error", after: 2 } }, { text: "whole answer" });
    const all = await answers(session, "try hard");
    assert.equal(all.length, 1);
    assert.equal(plain(all[0]), "whole answer");
    assert.equal(all[0].stop_reason, "stop");
    assert.equal(all[0].attempts.length, 2);
    assert.match(all[0].attempts[0].error, /first failure/);
    assert.match(all[0].attempts[1].error, /second failure/);
    assert.equal(all[0].attempts[1].text, "half an ");
    // What was streamed of the second try is taken back, so nobody shows it beside the answer.
    const open = new Set();
    for (const e of events) {
      if (e.event === "stream.message_start") open.add(e.message_id);
      if (e.event === "stream.message_retracted") { assert.ok(open.delete(e.message_id)); assert.match(e.error, /failure/); }
      if (e.event === "stream.message_end" && e.message.role === "assistant") assert.ok(open.delete(e.message.id));
    }
    assert.deepEqual([...open], []);
    assert.equal(events.filter((e) => e.event === "stream.message_end").length, 1);
    assert.ok(events.filter((e) => e.event === "stream.message_retracted").length >= 1);
    const stored = (await storedViews(s.host)).get(session);
    assert.deepEqual(stored.map((m) => m.id), (await s.messages(session)).map((m) => m.id));
  });

  test("empty bodies are tries that failed, and no messages", async () => {
    await turn(session, "empty body", { rawBody: "" }, { rawBody: "data: [DONE]\n\n" }, { text: "then this" });
    const all = await answers(session, "empty body");
    assert.deepEqual(all.map(plain), ["then this"]);
    assert.equal(all[0].attempts?.length, 2);
    assert.ok(all[0].attempts.every((it) => it.error));
  });

  test("an answer of which every try fails is one message with an error", async () => {
    await turn(session, "never", ...Array.from({ length: 8 }, (_, i) => ({ text: "beginning", chunkSize: 3, streamError: { message: `failure ${i}: overloaded`, type: "overloaded_error", after: 1 } })));
    const all = await answers(session, "never");
    assert.equal(all.length, 1, JSON.stringify(all.map((m) => [m.role, plain(m), m.error])));
    assert.equal(all[0].stop_reason, "error");
    assert.match(all[0].error, /failure/);
  });

  test("the provider's retry-after is respected", async () => {
    const since = (await s.provider.state()).requests;
    const events = await turn(session, "slow down", { error: { status: 429, type: "rate_limit_error", message: "slow down", headers: { "retry-after": "4" } } }, { text: "slower" });
    assert.match(text(events), /slower/);
    const calls = (await s.provider.requests()).filter((r) => r.number > since).map((r) => Date.parse(r.at));
    assert.equal(calls.length, 2);
    assert.ok(calls[1] - calls[0] >= 3900, `it was asked again after ${calls[1] - calls[0]} ms`);
  });

  test("a surrogate pair that is split over two deltas arrives whole, live and stored", async () => {
    const wanted = "A😀B👩‍👩‍👧C";
    const events = await turn(session, "smile", { text: wanted, chunkSize: 1, splitPairs: true });
    assert.equal(text(events), wanted);
    assert.equal(plain((await answers(session, "smile"))[0]), wanted);
  });

  test("prompts of blanks and invisible characters are refused, also for the queue", async () => {
    for (const message of ["", " \n\t", "\u3000", "\u200b", "\u00a0", "\u2060\ufeff", " \u2003\u200b\u3000 "]) {
      for (const cmd of ["prompt", "steer", "follow_up"]) {
        const answer = await s.mux.command(cmd, session, { message });
        assert.equal(answer.code, "bad_request", `${cmd} ${escape(message)}: ${JSON.stringify(answer)}`);
      }
    }
    const family = "👩‍👩‍👧";  // joined by U+200D, and no blank
    assert.match(text(await s.mux.turn(session, asking(family, { text: "seen" }))), /seen/);
  });

  test("limit:0 gives no message, and an id comes back as it was", async () => {
    const zero = await s.mux.command("get_messages", session, { limit: 0 });
    assert.ok(zero.success ? zero.data.messages.length === 0 : zero.code === "bad_request", JSON.stringify(zero).slice(0, 200));
    for (const id of [7, 0, -3, 9007199254740991, "seven", ""]) {
      const got = new Promise((done) => s.mux.pending.set(id, done));
      s.mux.send({ channel: "agent", id, session_id: session, cmd: "get_state" });
      const answer = await Promise.race([got, until("an answer", async () => false, 3000).catch(() => ({ id: "none" }))]);
      s.mux.pending.delete(id);
      assert.strictEqual(answer.id, id);
    }
    const from = s.mux.system.length;
    s.mux.socket.send(JSON.stringify({ channel: "nosuch", id: 12 }));
    assert.strictEqual((await until("an error", async () => s.mux.system.slice(from).find((m) => m.type === "error"))).id, 12);
  });
});
