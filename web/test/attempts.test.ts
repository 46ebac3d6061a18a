import assert from "node:assert/strict";
import { test } from "node:test";
import type { AgentEvent, Message } from "../src/protocol/types";
import { reduce } from "../src/state/timeline/reduce";
import { emptyTimeline, type Timeline } from "../src/state/timeline/types";

function run(events: Record<string, unknown>[], start: Timeline = emptyTimeline): Timeline {
  return events.reduce((s: Timeline, e, i) => {
    const event = { session_id: "s", ts: 1_000 * (i + 1), seq: s.lastSeq + 1, ...e } as unknown as AgentEvent;
    return reduce(s, { type: "event", event });
  }, start);
}
const tries = [
  { event: "user.message", message: { id: "u1", role: "user", created_at: 1, parts: [{ type: "text", id: "p", text: "hi" }] } },
  { event: "stream.message_start", message_id: "m1", role: "assistant" },
  { event: "stream.text_delta", message_id: "m1", content_index: 0, delta: "Hel" },
  { event: "stream.message_retracted", message_id: "m1", error: "broke off" },
  { event: "retry.start", attempt: 1, max_attempts: 3, delay_ms: 9, error: "broke off" },
  { event: "stream.message_start", message_id: "m2", role: "assistant" },
  { event: "stream.message_retracted", message_id: "m2", error: "429" },
  { event: "retry.start", attempt: 2, max_attempts: 3, delay_ms: 9, error: "429" },
  { event: "stream.message_start", message_id: "m3", role: "assistant" },
  { event: "stream.text_delta", message_id: "m3", content_index: 0, delta: "Hello" },
];
const final: Message = {
  id: "m3", role: "assistant", created_at: 9, stop_reason: "stop", parts: [{ type: "text", id: "t", text: "Hello" }],
  attempts: [{ error: "broke off", text: "Hel" }, { error: "429" }],
};
const shape = (s: Timeline) => s.entries.map((e) => (e.kind === "assistant" ? `${e.key}:${e.attempts?.length ?? 0}:${e.blocks.length}` : e.kind));

test("tries that were taken back are lines of the one answer", () => {
  assert.deepEqual(shape(run(tries.slice(0, 5))), ["user", "m1:1:0"]);
  assert.deepEqual(shape(run(tries.slice(0, 8))), ["user", "m2:2:0"]);
  const live = run(tries);
  assert.deepEqual(shape(live), ["user", "m3:2:1"]);
  const entry = live.entries[1];
  assert.ok(entry?.kind === "assistant");
  assert.deepEqual(entry.attempts, [{ error: "broke off", text: "Hel" }, { error: "429" }]);
});

test("the message that ends an answer tells its tries, whatever the stream told", () => {
  const ended = run([{ event: "stream.message_end", message: final }, { event: "retry.end", success: true, attempt: 2 }], run(tries));
  assert.deepEqual(shape(ended), ["user", "m3:2:1"]);
  const alone = run([{ event: "stream.message_end", message: final }], run(tries.slice(0, 8)));
  assert.deepEqual(shape(alone), ["user", "m3:2:1"]);
});

test("a page of history with the answer replaces tries that stood alone", () => {
  const state = reduce(run(tries.slice(0, 8)), { type: "history", messages: [tries[0]!.message as Message, final], hasMore: false, older: false });
  assert.deepEqual(shape(state), ["user", "m3:2:1"]);
});

test("a notice of a retry gives way when its try is taken back after it", () => {
  const [, , , retracted, retry] = tries;
  assert.deepEqual(shape(run([...tries.slice(0, 3), retry!, retracted!])), ["user", "m1:1:0"]);
});

test("a retraction that is told twice, or of nothing, loses nothing", () => {
  const twice = run([tries[3]!], run(tries.slice(0, 4)));
  assert.deepEqual(shape(twice), ["user", "m1:1:0"]);
  assert.deepEqual(shape(run([{ event: "stream.message_retracted", message_id: "x", error: "e" }])), ["x:1:0"]);
});

test("what was heard last is a delta or a step, not a notice", () => {
  const state = run([{ event: "agent.working", phase: "generating" }, { event: "notify", level: "info", message: "x" }]);
  assert.equal(state.heardAt, 1_000);
});
