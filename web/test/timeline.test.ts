import assert from "node:assert/strict";
import { test } from "node:test";
import type { AgentEvent, AgentState, Message } from "../src/protocol/types";
import { type Action, reduce } from "../src/state/timeline/reduce";
import { type AssistantEntry, emptyTimeline, type Timeline, type Tool } from "../src/state/timeline/types";

type Loose = { event: AgentEvent["event"] } & Record<string, unknown>;

function numbered(events: Loose[], from = 1): AgentEvent[] {
  return events.map((e, i) => ({ session_id: "s", ts: 1_000 * (from + i), seq: from + i, ...e }) as unknown as AgentEvent);
}

function run(events: AgentEvent[], start: Timeline = emptyTimeline): Timeline {
  return events.reduce((s, event) => reduce(s, { type: "event", event }), start);
}

function dispatch(state: Timeline, ...actions: Action[]): Timeline {
  return actions.reduce(reduce, state);
}

function assistant(state: Timeline, at = 0): AssistantEntry {
  const entry = state.entries.filter((e) => e.kind === "assistant")[at];
  assert.ok(entry);
  return entry;
}

function textOf(entry: AssistantEntry): string {
  return entry.blocks.map((b) => (b.kind === "text" ? b.text : "")).join("");
}

function tool(state: Timeline): Tool {
  for (const entry of state.entries) {
    if (entry.kind !== "assistant") continue;
    for (const block of entry.blocks) if (block.kind === "tool") return block.tool;
  }
  throw new Error("no tool");
}

const user: Message = {
  id: "u1", idx: 0, role: "user", client_id: "c1", created_at: 1, parts: [{ type: "text", id: "p", text: "hi" }],
};
const answer: Message = {
  id: "m1", idx: 1, role: "assistant", created_at: 2, stop_reason: "tool_use", model: "x",
  parts: [
    { type: "thinking", id: "a", text: "hmm" },
    { type: "text", id: "b", text: "Hello" },
    { type: "tool_call", id: "c", toolCallId: "t1", name: "bash", input: { command: "ls" } },
  ],
};
const result: Message = {
  id: "r1", idx: 2, role: "tool", created_at: 3, tool_call_id: "t1",
  parts: [{ type: "tool_result", id: "d", toolCallId: "t1", output: "one\ntwo", isError: false, durationMs: 7 }],
};

const turn = numbered([
  { event: "agent.working", phase: "initializing" },
  { event: "user.message", message: user },
  { event: "stream.message_start", message_id: "m1", role: "assistant" },
  { event: "stream.thinking_delta", message_id: "m1", content_index: 0, delta: "hm" },
  { event: "stream.thinking_delta", message_id: "m1", content_index: 0, delta: "m" },
  { event: "stream.text_delta", message_id: "m1", content_index: 1, delta: "Hel" },
  { event: "stream.text_delta", message_id: "m1", content_index: 1, delta: "lo" },
  { event: "stream.tool_call_start", message_id: "m1", content_index: 2, tool_call_id: "t1", name: "bash" },
  { event: "stream.tool_call_delta", message_id: "m1", content_index: 2, tool_call_id: "t1", delta: '{"comm' },
  {
    event: "stream.tool_call_end", message_id: "m1", content_index: 2, tool_call_id: "t1",
    tool_call: { id: "t1", name: "bash", input: { command: "ls" } },
  },
  { event: "stream.message_end", message: answer },
  { event: "tool.start", tool_call_id: "t1", name: "bash", input: { command: "ls" } },
  { event: "tool.progress", tool_call_id: "t1", name: "bash", partial_output: "one" },
  { event: "tool.progress", tool_call_id: "t1", name: "bash", partial_output: "one\ntwo" },
  { event: "tool.end", tool_call_id: "t1", name: "bash", output: "one\ntwo", is_error: false, duration_ms: 7 },
  { event: "agent.idle" },
]);

function agentState(change: Partial<AgentState> = {}): AgentState {
  return { state: "idle", since: 5, profile: "development", pending_inputs: [], seq: 0, ...change };
}

test("deltas become blocks in the order of their index", () => {
  const entry = assistant(run(turn.slice(0, 10)));
  assert.deepEqual(entry.blocks.map((b) => b.kind), ["thinking", "text", "tool"]);
  assert.equal(textOf(entry), "Hello");
  assert.equal(entry.stage, "live");
});

test("thinking lasts from its first delta to the next block", () => {
  const [thinking] = assistant(run(turn)).blocks;
  assert.ok(thinking?.kind === "thinking");
  assert.equal(thinking.endedAt! - thinking.startedAt!, 2_000);
});

test("an event with a known seq changes nothing", () => {
  const once = run(turn);
  assert.equal(run(turn, once), once);
  const partly = run(turn.slice(0, 7));
  assert.equal(textOf(assistant(run([turn[6]!], partly))), "Hello");
});

test("a replay that overlaps gives what an unbroken stream gives", () => {
  const unbroken = run(turn);
  const broken = run(turn.slice(4), run(turn.slice(0, 9)));
  assert.deepEqual(broken, unbroken);
});

test("message_end is authoritative over the deltas before it", () => {
  const lossy = turn.filter((e) => e.seq !== 6);
  assert.equal(textOf(assistant(run(lossy))), "Hello");
});

test("deltas after message_end are ignored", () => {
  const late = numbered([{ event: "stream.text_delta", message_id: "m1", content_index: 1, delta: "!!" }], 100);
  assert.equal(textOf(assistant(run(late, run(turn)))), "Hello");
});

test("tool progress is cumulative and replaced, not appended", () => {
  const running = tool(run(turn.slice(0, 14)));
  assert.equal(running.state, "running");
  assert.equal(running.output, "one\ntwo");
  const done = tool(run(turn));
  assert.deepEqual([done.state, done.output, done.durationMs], ["done", "one\ntwo", 7]);
});

test("progress that arrives after the end does not reopen the tool", () => {
  const late = numbered([{ event: "tool.progress", tool_call_id: "t1", name: "bash", partial_output: "x" }], 100);
  assert.equal(tool(run(late, run(turn))).state, "done");
});

test("a tool without a result is stopped when the turn ends", () => {
  const cut = [...turn.slice(0, 13), turn[15]!];
  assert.equal(tool(run(cut)).state, "stopped");
});

test("a tool that was stopped is not one that failed", () => {
  const end = (output: string) => numbered([
    ...turn.slice(2, 3).map((e) => ({ ...e }) as Loose),
    { event: "stream.tool_call_start", message_id: "m1", tool_call_id: "t1", name: "bash", content_index: 0 },
    { event: "tool.start", tool_call_id: "t1", name: "bash", input: {} },
    { event: "tool.end", tool_call_id: "t1", name: "bash", output, is_error: true, duration_ms: 1 },
  ].map(({ seq: _, ...e }: any) => e));
  assert.equal(tool(run(end("line 1\n\n\nCommand aborted"))).state, "stopped");
  assert.equal(tool(run(end("Command aborted\n\nCommand exited with code 1"))).state, "failed");
});

test("an answer whose end never came is marked, and not once its end is known", () => {
  const live = run(turn.slice(0, 4));
  const stopped = dispatch(live, { type: "status", status: { state: "stopped", since: 1 } });
  assert.equal(assistant(stopped).interrupted, true);
  assert.equal(assistant(dispatch(stopped, { type: "history", messages: [user, answer], hasMore: false })).interrupted, undefined);
});

test("an optimistic message is reconciled by its client_id", () => {
  const sent: Action = { type: "sent", clientId: "c1", text: "hi", images: [], at: 1 };
  const state = run(turn.slice(0, 2), dispatch(emptyTimeline, sent));
  const users = state.entries.filter((e) => e.kind === "user");
  assert.equal(users.length, 1);
  assert.deepEqual([users[0]!.key, users[0]!.id, users[0]!.delivery], ["c1", "u1", "accepted"]);
});

test("the answer to a prompt may come before or after its user.message", () => {
  const sent: Action = { type: "sent", clientId: "c1", text: "hi", images: [], at: 1 };
  const event: Action = { type: "event", event: turn[1]! };
  const accepted: Action = { type: "accepted", clientId: "c1" };
  const a = dispatch(emptyTimeline, sent, accepted, event);
  const b = dispatch(emptyTimeline, sent, event, accepted);
  assert.deepEqual(a.entries.map((e) => e.key), ["c1"]);
  assert.deepEqual(b.entries.map((e) => e.key), ["c1"]);
});

test("a refused message keeps its words and says why", () => {
  const state = dispatch(
    emptyTimeline,
    { type: "sent", clientId: "c1", text: "hi", images: [], at: 1 },
    { type: "rejected", clientId: "c1", error: "busy now", code: "busy" },
  );
  const [entry] = state.entries;
  assert.ok(entry?.kind === "user");
  assert.deepEqual([entry.text, entry.delivery, entry.error], ["hi", "failed", "busy now"]);
});

test("history and replay meet without doubles, in either order", () => {
  const page: Action = { type: "history", messages: [user, answer, result], hasMore: false, older: false };
  const historyFirst = run(turn, dispatch(emptyTimeline, page));
  const replayFirst = dispatch(run(turn), page);
  for (const state of [historyFirst, replayFirst]) {
    assert.deepEqual(state.entries.map((e) => e.kind), ["user", "assistant"]);
    assert.equal(tool(state).output, "one\ntwo");
    assert.equal(textOf(assistant(state)), "Hello");
  }
});

test("history does not replace a message that is being streamed", () => {
  const live = run(turn.slice(0, 7));
  const { stop_reason: _, ...unfinished } = answer;
  const snapshot: Message = { ...unfinished, parts: [{ type: "text", id: "b", text: "He" }] };
  const state = dispatch(live, { type: "history", messages: [user, snapshot], hasMore: false, older: false });
  assert.equal(textOf(assistant(state)), "Hello");
});

test("an older page goes before what is shown and finds its results later on", () => {
  const newest = dispatch(emptyTimeline, { type: "history", messages: [result], hasMore: true, older: false });
  const state = dispatch(newest, { type: "history", messages: [user, answer], hasMore: false, older: true });
  assert.deepEqual(state.entries.map((e) => e.kind), ["user", "assistant"]);
  assert.equal(tool(state).state, "done");
  assert.equal(state.hasEarlier, false);
});

test("after a restart of the host counting begins again", () => {
  const before = run(turn);
  const state = dispatch(before, { type: "synced", seq: 2, reset: true, state: agentState() });
  assert.equal(state.lastSeq, 0);
  const next = run(numbered([{ event: "notify", level: "info", message: "hello again" }]), state);
  assert.equal(next.entries.at(-1)?.kind, "notice");
});

test("while a replay runs, the subscription's state holds until the last replayed event", () => {
  const synced = dispatch(emptyTimeline, {
    type: "synced", seq: 16, reset: false, state: agentState({ state: "idle", since: 99 }),
  });
  assert.equal(run(turn.slice(0, 15), synced).status.state, "idle");
  assert.equal(run(turn, synced).status.state, "idle");
});

test("a lost gap turns live text into a snapshot that history may replace", () => {
  const live = run(turn.slice(0, 6));
  const { stop_reason: _, ...unfinished } = answer;
  const snapshot: Message = { ...unfinished, parts: [{ type: "text", id: "b", text: "Hello wor" }] };
  const state = run(
    numbered([{ event: "stream.text_delta", message_id: "m1", content_index: 0, delta: "ld" }], 31),
    dispatch(
      live,
      { type: "synced", seq: 30, reset: true, state: agentState({ state: "working" }) },
      { type: "history", messages: [user, snapshot], hasMore: false, older: false },
    ),
  );
  assert.equal(textOf(assistant(state)), "Hello world");
});

test("events that a snapshot already contains are not told twice", () => {
  const { stop_reason: _, ...unfinished } = answer;
  const snapshot: Message = { ...unfinished, parts: [{ type: "text", id: "b", text: "Hel" }] };
  const page: Action = { type: "history", messages: [user, snapshot], hasMore: false, older: false, seq: 6 };
  const deltas = turn.slice(5, 7).map((e) => ({ ...e, content_index: 0 }) as AgentEvent);
  const before: Timeline = { ...emptyTimeline, lastSeq: 5, status: { state: "working", since: 0 } };
  assert.equal(textOf(assistant(run(deltas, dispatch(before, page)))), "Hello");
});

test("a session that starts is neither working nor idle", () => {
  const state = run(numbered([{ event: "agent.working", phase: "initializing" }, { event: "session.created" }]));
  assert.equal(state.status.state, "starting");
});

test("an agent that ended by itself stays failed when its session closes", () => {
  const state = run(numbered([{ event: "agent.error", error: "killed", recoverable: false }, { event: "session.closed" }]));
  assert.equal(state.status.state, "failed");
});

test("a question is asked once and closes when it is resolved", () => {
  const request = { type: "confirm" as const, request_id: "q1", title: "Push?" };
  const asked = run(numbered([{ event: "agent.input_needed", request }]));
  const again = dispatch(asked, {
    type: "synced", seq: 1, reset: false, state: agentState({ state: "waiting", pending_inputs: [request] }),
  });
  assert.equal(again.entries.length, 1);
  const resolved = run(numbered([{ event: "agent.input_resolved", request_id: "q1" }], 2), again);
  assert.ok(resolved.entries[0]?.kind === "ask" && resolved.entries[0].resolved);
  assert.equal(resolved.status.state, "working");
});

test("a retry is one line from its start to its outcome", () => {
  const state = run(
    numbered([
      { event: "retry.start", attempt: 1, max_attempts: 3, delay_ms: 9, error: "503" },
      { event: "retry.start", attempt: 2, max_attempts: 3, delay_ms: 9, error: "503" },
      { event: "retry.end", success: true, attempt: 2 },
    ]),
  );
  assert.equal(state.entries.length, 1);
});

test("entries that did not change keep their identity", () => {
  const before = run(turn);
  const more = run(numbered([{ event: "stream.message_start", message_id: "m2", role: "assistant" }], 50), before);
  assert.equal(more.entries[0], before.entries[0]);
  assert.equal(more.entries[1], before.entries[1]);
});

test("a question of the host keeps its facts through a reload, and an idle session is idle after it", () => {
  const approval = { kind: "host" as const, what: "a.example", argv: ["curl", "a.example"], pid: 7, cwd: "/workspace" };
  const request = { type: "select" as const, request_id: "approval-1", title: "May it?", options: ["Once", "For this session", "Deny"], approval };
  const synced = dispatch(emptyTimeline, {
    type: "synced", seq: 1, reset: false, state: agentState({ state: "waiting", pending_inputs: [request] }),
  });
  assert.ok(synced.entries[0]?.kind === "ask");
  assert.deepEqual(synced.entries[0].request.approval, approval);
  const after = run(numbered([{ event: "agent.input_resolved", request_id: "approval-1" }, { event: "agent.idle" }], 2), synced);
  assert.equal(after.status.state, "idle");
});
