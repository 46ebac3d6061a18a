import assert from "node:assert/strict";
import { test } from "node:test";
import { type Chunk, chunksOf } from "../src/state/timeline/chunks";
import { type Item, planItems, type Run } from "../src/state/timeline/plan";
import type { AssistantEntry, Block, Entry, ToolState } from "../src/state/timeline/types";

const user = (key: string): Entry => ({ kind: "user", key, text: key, images: [], at: 1, delivery: "accepted" });
const text = (words: string, index = 0): Block => ({ kind: "text", index, text: words });
const tool = (id: string, state: ToolState = "done", durationMs = 1_000): Block => ({
  kind: "tool", index: 0, tool: { id, name: "bash", input: {}, argsText: "", state, output: "", durationMs },
});
const says = (key: string, blocks: Block[], more: Partial<AssistantEntry> = {}): AssistantEntry => ({
  kind: "assistant", key, at: 1, blocks, stage: "settled", stopReason: "stop", ...more,
});
const shape = (items: Item[]) =>
  items.map((i) => (i.kind === "run" ? `run ${i.tools}` : i.kind === "entry" ? i.entry.kind : `piece ${i.from}-${i.to}${i.head ? "h" : ""}${i.tail ? "t" : ""}`));

test("steps of several messages are one run, until something is said", () => {
  const items = planItems([
    user("u"), says("a", [text("I look"), tool("1")], { stopReason: "tool_use" }), says("b", [tool("2"), tool("3")], { stopReason: "tool_use" }),
    says("c", [tool("4"), text("Found it"), text("and more"), tool("5")], { stopReason: "tool_use" }), says("d", [text("Done")]),
  ], false);
  assert.deepEqual(shape(items), ["user", "piece 0-1", "run 4", "piece 1-3", "run 1", "piece 0-1t"]);
});

test("a run tells its outcome", () => {
  const run = planItems([
    says("a", [tool("1", "done", 12_000)], { at: 1_000, stopReason: "tool_use" }), says("b", [tool("2", "failed", 500)], { at: 40_000, stopReason: "tool_use" }),
    says("c", [tool("3", "stopped", 0)], { at: 49_000, stopReason: "tool_use" }),
  ], false)[0] as Run;
  assert.deepEqual([run.tools, run.failed, run.stopped, run.open, run.ms], [3, 1, 1, false, 48_000]);
  const live = planItems([says("a", [tool("1", "running")], { stage: "live" })], true)[0] as Run;
  assert.equal(live.open, true);
});

test("what must be said of an answer has a place, also without words of it", () => {
  assert.deepEqual(shape(planItems([says("a", [])], false)), ["piece 0-0t"]);
  assert.deepEqual(shape(planItems([says("a", [tool("1")], { stopReason: "aborted" })], false)), ["run 1", "piece 1-1t"]);
  assert.deepEqual(shape(planItems([says("a", [tool("1")], { stopReason: "tool_use" })], true)), ["run 1", "piece 1-1t"]);
  assert.deepEqual(shape(planItems([says("a", [tool("1")], { stopReason: "tool_use", recovered: true })], false)), ["piece 0-0h", "run 1"]);
  const tried = says("a", [text("x")], { attempts: [{ error: "e" }] });
  assert.deepEqual(shape(planItems([tried], false)), ["piece 0-1ht"]);
});

const many = (from: number, to: number): Entry[] =>
  Array.from({ length: to - from }, (_, i) => ((from + i) % 2 ? says(`a${from + i}`, [text("x")]) : user(`u${from + i}`)));
const keys = (chunks: Chunk[]) => chunks.map((c) => c.key);

test("a change draws one chunk again", () => {
  const entries = many(0, 200);
  const first = chunksOf(entries, []);
  assert.deepEqual(first.flatMap((c) => c.entries), entries);
  assert.ok(first.length >= 8);
  const next = chunksOf([...entries, says("new", [text("y")])], first);
  assert.deepEqual(next.map((c, i) => c === first[i]), first.map((_, i) => i < first.length - 1));
});

test("older messages make chunks of their own before the others", () => {
  const first = chunksOf(many(100, 200), []);
  const all = many(0, 200).map((e, i) => (i < 100 ? e : first.flatMap((c) => c.entries)[i - 100]!));
  const next = chunksOf(all, first);
  assert.deepEqual(next.slice(-first.length), first);
  assert.ok(next.slice(-first.length).every((c, i) => c === first[i]));
  assert.deepEqual(next.flatMap((c) => c.entries), all);
  assert.deepEqual(keys(chunksOf(all, next)), keys(next));
});

test("a run of steps is not cut by a chunk, until it is very long", () => {
  const steps = Array.from({ length: 600 }, (_, i) => says(`s${i}`, [tool(`t${i}`)], { stopReason: "tool_use" }));
  const chunks = chunksOf([user("u"), ...steps], []);
  assert.deepEqual(chunks.map((c) => c.entries.length), [240, 240, 121]);
});
