// What waits: questions for the person, messages for the agent, and where each of them stands.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { AgentEvent, AgentState, InputRequest, Message, QueueItem } from "../src/protocol/types";
import { byDay, dayOf } from "../src/state/days";
import { insteadOf, nearest, others, whyNot } from "../src/state/offers";
import { offered } from "../src/state/store";
import { openAsks, outcome } from "../src/state/timeline/asks";
import { type Action, reduce } from "../src/state/timeline/reduce";
import { type AskEntry, emptyTimeline, type Timeline } from "../src/state/timeline/types";

const dispatch = (state: Timeline, ...actions: Action[]) => actions.reduce(reduce, state);

function event(seq: number, name: AgentEvent["event"], fields: object = {}): Action {
  return { type: "event", event: { session_id: "s", ts: 1_000 * seq, seq, event: name, ...fields } as unknown as AgentEvent };
}

const said = (id: string, idx: number, role: "user" | "assistant", client_id?: string): Message => ({
  id, idx, role, client_id, created_at: idx, stop_reason: role === "assistant" ? "stop" : undefined,
  parts: [{ type: "text", id: "p", text: id }],
});
const history = (...messages: Message[]): Action => ({ type: "history", messages, hasMore: false, older: false });
const agent = (change: Partial<AgentState> = {}): AgentState => ({
  state: "working", since: 5, profile: "development", pending_inputs: [], seq: 0, ...change,
});
const synced = (change: Partial<AgentState> = {}, reset = false): Action => ({
  type: "synced", seq: change.seq ?? 0, reset, state: agent(change),
});
const host: InputRequest = {
  type: "select", request_id: "q1", title: "May it?", options: ["Once", "For this session", "Deny"], timeout: 60_000,
  approval: { kind: "host", what: "a.example", argv: ["curl"] },
};
const item = (id: string, change: Partial<QueueItem> = {}): QueueItem => ({
  id, delivery: "follow_up", state: "pending", message: id, images: 0, client_id: `c-${id}`, created_at: 1, ...change,
});
const kinds = (state: Timeline) => state.entries.map((e) => (e.kind === "ask" ? "ask" : (e as { id?: string }).id ?? e.key));

test("an open question stands after the history that came before it, not above it", () => {
  const state = dispatch(emptyTimeline, synced({ state: "waiting", pending_inputs: [host] }), history(said("u", 0, "user"), said("a", 1, "assistant")));
  assert.deepEqual(kinds(state), ["u", "a", "ask"]);
  assert.equal(openAsks(state).length, 1);
});

test("a replay puts it where it was asked, and what was said afterwards after it", () => {
  const state = dispatch(
    emptyTimeline,
    synced({ seq: 4, state: "waiting", pending_inputs: [host] }),
    event(1, "user.message", { message: said("u", 0, "user") }),
    event(2, "agent.input_needed", { request: host }),
    event(3, "stream.message_end", { message: said("a", 1, "assistant") }),
    history(said("u", 0, "user"), said("a", 1, "assistant")),
  );
  assert.deepEqual(kinds(state), ["u", "ask", "a"]);
  const [ask] = openAsks(state);
  assert.equal(ask!.at, 2_000, "counted down from when it was asked, not from when the page came");
});

test("how a question ended is said in one sentence", () => {
  const open = dispatch(emptyTimeline, event(1, "agent.input_needed", { request: host }));
  const end = (state: Timeline, how: object) =>
    outcome(dispatch(state, event(2, "agent.input_resolved", { request_id: "q1", ...how })).entries[0] as AskEntry);
  assert.equal(end(open, { resolution: "answered", by: "anna", answer: "Deny" }), "Denied by anna on another device.");
  assert.equal(end(open, { resolution: "answered", by: "anna", answer: "Once" }), "Allowed once by anna on another device.");
  assert.equal(end(open, { resolution: "timeout" }), "Nobody answered within 60 s: denied.");
  assert.equal(end(open, { resolution: "ended" }), "It ended before anybody answered: denied.");
  assert.equal(end(open, {}), "No longer open.");
  const mine = dispatch(open, { type: "answered", requestId: "q1", answer: "For this session" });
  assert.equal(openAsks(mine).length, 0);
  assert.equal(end(mine, { resolution: "answered", by: "anna", answer: "For this session" }), "Allowed for this session by you.");
  const failed = dispatch(mine, { type: "answered", requestId: "q1", answer: undefined });
  assert.equal(openAsks(failed).length, 1, "an answer that did not get through leaves it open");
});

test("an answer from before the page came is nobody's other device", () => {
  const state = dispatch(
    emptyTimeline, synced({ seq: 2 }), event(1, "agent.input_needed", { request: host }),
    event(2, "agent.input_resolved", { request_id: "q1", resolution: "answered", by: "anna", answer: "Deny" }),
  );
  assert.equal(outcome(state.entries[0] as AskEntry), "Denied by anna.");
});

test("what is said to a working agent waits, and is a message only once the agent has it", () => {
  const sent: Action = { type: "sent", clientId: "c-1", cmd: "steer", text: "one", images: [], at: 1 };
  const waits = dispatch(emptyTimeline, sent);
  assert.equal(waits.entries.length, 0);
  assert.equal(waits.queue[0]!.state, "sending");
  const told = dispatch(waits, event(1, "queue.changed", { queue: [item("1", { delivery: "steer" })] }), { type: "accepted", clientId: "c-1", itemId: "1" });
  assert.deepEqual(told.queue.map((i) => [i.id, i.state]), [["1", "pending"]]);
  const taken = dispatch(told, event(2, "user.message", { message: said("u", 0, "user", "c-1") }), event(3, "queue.changed", { queue: [] }));
  assert.deepEqual(kinds(taken), ["u"]);
  assert.equal(taken.queue.length, 0);
});

test("the answer to it may come before or after everything else", () => {
  const sent: Action = { type: "sent", clientId: "c-1", cmd: "follow_up", text: "one", images: [], at: 1 };
  const accepted: Action = { type: "accepted", clientId: "c-1", itemId: "1" };
  const changed = event(1, "queue.changed", { queue: [item("1")] });
  const message = event(2, "user.message", { message: said("u", 0, "user", "c-1") });
  for (const order of [[accepted, changed, message], [changed, accepted, message], [changed, message, accepted]]) {
    const state = dispatch(emptyTimeline, sent, ...order);
    assert.deepEqual([kinds(state), state.queue], [["u"], []]);
  }
});

test("a prompt that met another turn waits instead of standing as a message", () => {
  const state = dispatch(
    emptyTimeline, { type: "sent", clientId: "c-1", cmd: "prompt", text: "one", images: [], at: 1 },
    { type: "accepted", clientId: "c-1", itemId: "1" },
  );
  assert.equal(state.entries.length, 0);
  assert.deepEqual(state.queue.map((i) => [i.id, i.delivery, i.text]), [["1", "follow_up", "one"]]);
});

test("the queue of the subscription outlasts the older ones of the replay", () => {
  const state = dispatch(
    emptyTimeline, synced({ seq: 3, queue: [item("2", { state: "returned", reason: "stopped" })] }),
    event(1, "queue.changed", { queue: [item("1")] }), event(2, "queue.changed", { queue: [item("1"), item("2")] }),
  );
  assert.deepEqual(state.queue.map((i) => [i.id, i.state, i.reason]), [["2", "returned", "stopped"]]);
});

test("a new beginning drops what the host told before, and nothing that it never had", () => {
  const before = dispatch(
    emptyTimeline, event(9, "user.message", { message: said("old", 0, "user") }),
    { type: "sent", clientId: "mine", text: "not sent yet", images: [], at: 1 },
  );
  const anew = dispatch(before, synced({ state: "asleep" }, true), history(said("new", 0, "user")));
  assert.deepEqual(kinds(anew), ["new", "mine"]);
  assert.equal(anew.lastSeq, 0);
});

test("an agent that fell asleep is asleep, and awake when it is started again", () => {
  const asleep = dispatch(emptyTimeline, event(1, "session.asleep"));
  assert.equal(asleep.status.state, "asleep");
  assert.equal(dispatch(asleep, event(2, "session.created", { resumed: true })).status.state, "starting");
});

test("a profile that this host cannot run gives way to a tighter one, and else to a looser one that is named", () => {
  offered.value = [{ name: "strict", available: false, why: "no cgroups" }, { name: "development", available: true }, { name: "minimal", available: true }];
  assert.equal(whyNot("strict"), "no cgroups");
  assert.equal(nearest("strict"), "development");
  assert.match(insteadOf("strict", "development"), /no cgroups.*allows more/);
  assert.equal(insteadOf("minimal", nearest("minimal")), "");
  assert.deepEqual(others("development").map((p) => p.name), ["minimal"]);
  offered.value = [{ name: "minimal", available: false }, { name: "development", available: true }];
  assert.equal(nearest("minimal"), "development");
  assert.match(insteadOf("minimal", "development"), /allows less/);
  offered.value = [];
  assert.equal(nearest("strict"), "strict", "before the host has said so, nothing is ruled out");
});

test("days are those of the calendar", () => {
  const noon = new Date(2026, 5, 10, 12).getTime();
  assert.equal(dayOf(new Date(2026, 5, 10, 0, 1).getTime(), noon), "Today");
  assert.equal(dayOf(new Date(2026, 5, 9, 23, 59).getTime(), noon), "Yesterday");
  assert.equal(dayOf(new Date(2026, 5, 5).getTime(), noon), "Last 7 days");
  const session = (id: string, at: number) => ({ session_id: id, last_activity: at }) as never;
  assert.deepEqual(byDay([session("a", noon), session("b", noon - 1)], noon).map(([, list]) => list.length), [2]);
});
