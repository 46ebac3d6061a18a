// Answers, arguments and outputs that are longer or deeper than any message should be.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { text, until } from "./lib.mjs";
import { asking, bashCall, plain, Scenario } from "./scenario.mjs";

let s;
const small = { input: 10, output: 10 };  // or Pi takes its context for full
const hash = (text) => createHash("sha256").update(text).digest("hex");

export const tests = () => describe("what is long or deep", { concurrency: 1 }, () => {
  before(async () => { s = await Scenario.start(); });
  after(async () => { await s?.stop(); });

  async function longAnswer(name, turn, wanted) {
    const session = await s.session();
    const events = await s.mux.turn(session, asking(name, { ...turn, chunkSize: 65_536, usage: small }), 45_000);
    assert.ok(events.some((e) => e.event === "agent.idle"));
    const message = (await s.messages(session)).at(-1), [part] = message.parts;
    assert.equal(message.role, "assistant");
    assert.equal(part.cut?.bytes, Buffer.byteLength(wanted), "it is marked with the bytes of the whole");
    assert.ok(wanted.startsWith(part.text), "what is shown is its beginning");
    const ended = events.find((e) => e.event === "stream.message_end");
    assert.equal(ended.message.parts[0].cut?.bytes, part.cut.bytes, "live too");
    const whole = await s.wholePart(session, message.id, part.id);
    assert.equal(whole.total, part.cut.bytes);
    assert.equal(hash(whole.text), hash(wanted));
    const next = await s.mux.turn(session, asking("still there?", { text: "still here", usage: small }));
    assert.match(text(next), /still here/);
    const began = Date.now();
    await s.mux.ok("abort", session, {}, 12_000);
    assert.ok(Date.now() - began < 12_000);
    return { session, message, part };
  }

  test("an answer of 8 MB ends its turn, is marked cut, can be fetched whole, and the next prompt works", { timeout: 150_000 }, async () => {
    const line = "0123456789abcde\n", wanted = line.repeat(524_288);
    const { session, message, part } = await longAnswer("8 MB", { text: line, repeatText: 524_288 }, wanted);
    await s.killRunner();
    const whole = await s.wholePart(session, message.id, part.id);
    assert.equal(hash(whole.text), hash(wanted), "after a restart too");
  });

  test("an answer of 2.6 MB of control characters as well", { timeout: 150_000 }, async () => {
    await longAnswer("control", { text: "\u0001\u0002", repeatText: 1_300_000 }, "\u0001\u0002".repeat(1_300_000));
  });

  test("abort in the middle of a very long answer is answered within 12 s, and what was said is kept", async () => {
    const session = await s.session(), from = s.mux.events.length;
    await s.mux.ok("prompt", session, { message: asking("endless", { text: "0123456789abcde\n", repeatText: 600_000, chunkSize: 65_536, chunkDelayMs: 40, usage: small }) });
    await until("2 MB of it", async () => s.mux.events.slice(from).filter((e) => e.session_id === session && e.event === "stream.text_delta").reduce((sum, e) => sum + e.delta.length, 0) > 2_000_000);
    await s.mux.ok("abort", session, {}, 12_000);
    await s.rest(session);
    const message = (await s.messages(session)).at(-1);
    assert.equal(message.stop_reason, "aborted");
    assert.ok(message.parts[0].cut.bytes > 2_000_000);
    assert.match(text(await s.mux.turn(session, asking("again", { text: "fine", usage: small }))), /fine/);
  });

  test("pieces begin and end at characters, wherever they are asked for", async () => {
    const session = await s.session();
    await s.mux.turn(session, asking("wide", { text: "aé€😀", repeatText: 120_000, chunkSize: 65_536, usage: small }), 60_000);
    const message = (await s.messages(session)).at(-1), [part] = message.parts;
    assert.ok(part.cut, "1.2 MB are cut");
    const whole = await s.wholePart(session, message.id, part.id, 65_537);
    assert.equal(whole.text, "aé€😀".repeat(120_000));
    for (let offset = 0; offset < 10; offset++) {
      const piece = await s.mux.ok("get_part", session, { message_id: message.id, part_id: part.id, offset, length: 7 });
      assert.ok(!piece.text.includes("\ufffd") && Buffer.byteLength(piece.text) <= 7, JSON.stringify(piece));
      assert.equal(Buffer.from("aé€😀".repeat(4)).subarray(piece.offset, piece.next).toString(), piece.text);
      // Less than a character: something all the same, or a word why not, so that nobody asks for ever.
      const tiny = await s.mux.command("get_part", session, { message_id: message.id, part_id: part.id, offset, length: 1 });
      assert.ok(!tiny.success || tiny.data.next > offset, JSON.stringify(tiny.data));
    }
  });

  const nested = (depth) => "[".repeat(depth) + "]".repeat(depth);
  for (const depth of [70, 5000]) {
    for (const [tool, file, args] of [["bash", `bash-${depth}`, `"command":"touch bash-${depth}; echo ran"`], ["write", `write-${depth}`, `"path":"write-${depth}","content":"written"`]]) {
      test(`attack: arguments of ${tool} nested ${depth} deep hide no tool call from the log`, async () => {
        const session = await s.session(), from = s.mux.events.length, id = `deep_${tool}_${depth}`;
        await s.mux.ok("prompt", session, { message: asking("deep", { toolCalls: [{ id, name: tool, arguments: `{${args},"x":${nested(depth)}}` }] }, { text: "did it" }) });
        await s.mux.event(session, "agent.idle", from).catch(() => {});
        await s.rest(session);
        const events = s.mux.events.slice(from).filter((e) => e.session_id === session), messages = await s.messages(session);
        const written = existsSync(path.join(s.host.state, "tenants/1/workspaces", s.workspace, file));
        const records = (await s.host.records()).filter((r) => JSON.stringify(r).includes(id));
        const recorded = records.some((r) => r.event === "tool.call");
        assert.ok(recorded || !written, "no file is written without a record");
        const call = messages.findIndex((m) => m.parts.some((p) => p.type === "tool_call" && p.toolCallId === id));
        const result = messages.findIndex((m) => m.tool_call_id === id);
        const shown = recorded && events.some((e) => e.event === "tool.start" && e.tool_call_id === id) && call >= 0 && result > call;
        const refused = messages.some((m) => m.stop_reason === "error" && m.error) && events.some((e) => e.event === "agent.error") && records.length > 0;
        assert.ok(shown || refused, `recorded ${recorded}, started ${events.some((e) => e.event === "tool.start")}, call ${call}, result ${result}, roles ${messages.map((m) => m.role)}`);
        if (shown) {
          const { input, cut } = messages[call].parts.find((p) => p.toolCallId === id);
          assert.equal(typeof input, "string", "an input this deep is a text");
          if (!cut) assert.equal(JSON.parse(input).x.length, 1);
        }
        assert.match(text(await s.mux.turn(session, asking("and now?", { text: "goes on" }))), /goes on/);
      });
    }
  }

  test("a tool's output of 5 MB can be fetched whole", { timeout: 90_000 }, async () => {
    const session = await s.session();
    await s.mux.turn(session, asking("count", bashCall("seq 1 740000"), { text: "counted", usage: small }), 60_000);
    const wanted = Array.from({ length: 740_000 }, (_, i) => `${i + 1}\n`).join("");
    const message = (await s.messages(session)).find((m) => m.role === "tool"), [part] = message.parts;
    assert.equal(part.cut?.bytes, Buffer.byteLength(wanted));
    const whole = await s.wholePart(session, message.id, part.id);
    assert.equal(whole.text.length, wanted.length);
    assert.equal(hash(whole.text), hash(wanted));
  });

  test("a long argument of a tool call is kept whole", async () => {
    const session = await s.session(), content = "0123456789abcdef".repeat(60_000);
    await s.provider.script({ directives: true, rules: [{ when: { lastUserContains: "write much", lastRole: "user" }, turn: { toolCalls: [{ name: "write", arguments: { path: "much.txt", content } }], chunkSize: 65_536, usage: small } },
      { when: { lastUserContains: "write much" }, turn: { text: "written", usage: small } }], turns: [{ text: "unasked" }] });
    await s.mux.turn(session, "write much", 60_000);
    const message = (await s.messages(session)).find((m) => m.parts.some((p) => p.type === "tool_call"));
    const part = message.parts.find((p) => p.type === "tool_call");
    if (part.cut) assert.ok(JSON.parse((await s.wholePart(session, message.id, part.id)).text).content === content);
    else assert.ok(part.input.content === content);
    assert.equal(plain((await s.messages(session)).at(-1)), "written");
  });
});
