// The conversation as a pure function of what arrived. Replays overlap with what is known, pages of
// history overlap with the stream, and the order of the two is not fixed: every case below must give
// the same result when it is applied twice.

import type { AgentEvent, AgentState, Message, SessionState } from "../../protocol/types";
import { ask, changeAsk, closeMissing, openAsks, placeLoose, resolve } from "./asks";
import { dropAnswered, retract, takeAttempts, tellsTries, withoutRetryNotice } from "./attempts";
import { asText, newTool, putBlock, resultOf } from "./blocks";
import { acceptUser, addResult, assistantEntry, findFromEnd, mergeHistory, stopTools, withTool } from "./merge";
import { acceptWaiting, changeWaiting, dropWaiting, sendWaiting, takeQueue } from "./queue";
import type { SendCommand } from "../outbox";
import type { AssistantEntry, Entry, Image, NoticeEntry, Status, Timeline } from "./types";

export type Action =
  | { type: "event"; event: AgentEvent }
  | { type: "history"; messages: Message[]; hasMore: boolean; older: boolean; seq?: number }
  // reset: what is shown cannot be continued, since events are lost or counted anew; history comes next.
  | { type: "synced"; seq: number; reset: boolean; state: AgentState }
  | { type: "sent"; clientId: string; cmd?: SendCommand; text: string; images: Image[]; at: number }
  | { type: "accepted"; clientId: string; itemId?: string }
  | { type: "rejected"; clientId: string; error: string; code: string }
  | { type: "withdrawn"; clientId: string }
  // `undefined`: the answer did not get through, so the question is as open as before.
  | { type: "answered"; requestId: string; answer: string | undefined }
  | { type: "status"; status: Status };

export function reduce(state: Timeline, action: Action): Timeline {
  switch (action.type) {
    case "event":
      return onEvent(state, action.event);
    case "history":
      return onHistory(state, action);
    case "synced":
      return onSynced(state, action);
    case "sent":
      return onSent(state, action);
    case "accepted":
      return changeUser(acceptWaiting(state, action.clientId, action.itemId), action.clientId, (e) => ({
        ...e,
        delivery: "accepted",
        error: undefined,
      }));
    case "rejected":
      return changeUser(changeWaiting(state, action.clientId, { state: "failed", reason: action.error }), action.clientId, (e) => ({
        ...e,
        delivery: "failed",
        error: action.error,
        code: action.code,
      }));
    case "withdrawn":
      return {
        ...dropWaiting(state, action.clientId),
        entries: state.entries.filter((e) => !(e.kind === "user" && e.clientId === action.clientId)),
      };
    case "answered":
      return changeAsk(state, action.requestId, (e) =>
        e.resolution ? e : { ...e, resolved: action.answer !== undefined, mine: action.answer !== undefined, answer: action.answer },
      );
    case "status":
      return {
        ...state,
        status: action.status,
        entries: isBusy(action.status) ? state.entries : stopTools(state.entries),
      };
  }
}

// No harness runs: whatever happens next begins with a start.
const RESTING: ReadonlySet<SessionState> = new Set<SessionState>(["stopped", "asleep", "failed"]);

function isBusy(status: { state: SessionState }): boolean {
  return status.state === "working" || status.state === "waiting";
}

function onSent(state: Timeline, sent: Extract<Action, { type: "sent" }>): Timeline {
  if (sent.cmd && sent.cmd !== "prompt") return sendWaiting(state, sent, sent.cmd);
  const at = findFromEnd(state.entries, (e) => e.kind === "user" && e.clientId === sent.clientId);
  if (at >= 0) return changeUser(state, sent.clientId, (e) => ({ ...e, delivery: "sending", error: undefined }));
  const entry: Entry = {
    kind: "user",
    key: sent.clientId,
    clientId: sent.clientId,
    text: sent.text,
    images: sent.images,
    at: sent.at,
    delivery: "sending",
  };
  return { ...state, entries: [...state.entries, entry] };
}

function changeUser(
  state: Timeline,
  clientId: string,
  change: (entry: Extract<Entry, { kind: "user" }>) => Entry,
): Timeline {
  const at = findFromEnd(state.entries, (e) => e.kind === "user" && e.clientId === clientId);
  const entry = state.entries[at];
  if (entry?.kind !== "user") return state;
  return { ...state, entries: state.entries.with(at, change(entry)) };
}

function onHistory(state: Timeline, page: Extract<Action, { type: "history" }>): Timeline {
  const merged = mergeHistory(state, page.messages, page.seq ?? state.replayedTo);
  const entries = dropAnswered(page.older ? merged.entries : placeLoose(merged.entries));
  const busy = isBusy(state.status);
  return {
    ...merged,
    entries: busy ? entries : stopTools(entries),
    hasEarlier: page.older || !state.loaded ? page.hasMore : state.hasEarlier,
    loaded: true,
  };
}

// This page's own words, which the host does not have, outlast everything that it told.
function isLocal(entry: Entry): boolean {
  return entry.kind === "user" && entry.delivery !== "accepted";
}

function onSynced(state: Timeline, sync: Extract<Action, { type: "synced" }>): Timeline {
  const { state: agent } = sync;
  const working = agent.state === "working" && state.status.state === "working";
  const pending = agent.pending_inputs ?? [];
  let next: Timeline = {
    ...state,
    entries: sync.reset ? state.entries.filter(isLocal) : closeMissing(state.entries, new Set(pending.map((p) => p.request_id))),
    queue: takeQueue(state.queue, agent.queue ?? []),
    loaded: sync.reset ? false : state.loaded,
    orphans: sync.reset ? {} : state.orphans,
    lastSeq: sync.reset ? 0 : state.lastSeq,
    replayedTo: sync.seq,
    heardAt: Math.max(state.heardAt, agent.since),
    model: agent.model ?? state.model,
    provider: agent.provider ?? state.provider,
    thinkingLevel: agent.thinking_level ?? state.thinkingLevel,
    status: {
      state: agent.state,
      phase: agent.phase,
      detail: agent.detail,
      since: working ? Math.min(state.status.since, agent.since) : agent.since,
    },
  };
  next = pending.reduce((s, request) => ask(s, request, agent.since, true), next);
  return isBusy(agent) ? next : { ...next, entries: stopTools(next.entries) };
}

const PROGRESS = /^(stream|tool|agent\.working)/;

function onEvent(state: Timeline, event: AgentEvent): Timeline {
  if (event.seq <= state.lastSeq) return state;
  const heardAt = PROGRESS.test(event.event) ? event.ts : state.heardAt;
  const replayed = event.seq < state.replayedTo;
  const next = apply({ ...state, lastSeq: event.seq, heardAt }, event, event.seq <= state.replayedTo);
  if (!replayed) return next;
  // While a replay runs, the state that came with the subscription is newer than its events.
  return { ...next, status: state.status, queue: event.event === "queue.changed" ? state.queue : next.queue };
}

function apply(state: Timeline, event: AgentEvent, replayed: boolean): Timeline {
  switch (event.event) {
    case "agent.working": {
      const now = event.phase === "initializing" && state.status.state !== "working" ? "starting" : "working";
      const since = state.status.state === now ? state.status.since : event.ts;
      return { ...state, status: { state: now, phase: event.phase, detail: event.detail, since } };
    }
    case "agent.idle":
      return { ...state, entries: stopTools(state.entries), status: { state: "idle", since: event.ts } };
    case "session.created":
      return RESTING.has(state.status.state)
        ? { ...state, status: { state: "starting", since: event.ts } }
        : state;
    case "session.closed": {
      const status: Status = state.status.state === "failed" ? state.status : { state: "stopped", since: event.ts };
      return { ...state, entries: stopTools(state.entries), status };
    }
    case "session.asleep":
      return { ...state, entries: stopTools(state.entries), status: { state: "asleep", since: event.ts } };
    case "session.title_changed":
      return { ...state, title: event.title };
    case "agent.error":
      return onError(state, event);
    case "agent.input_needed": {
      const asked = ask(state, event.request, event.ts);
      return { ...asked, status: { state: "waiting", detail: event.request.title, since: event.ts } };
    }
    case "agent.input_resolved": {
      const resolved = resolve(state, event.request_id, event, replayed);
      return openAsks(resolved).length > 0 ? resolved : { ...resolved, status: { state: "working", since: event.ts } };
    }
    case "queue.changed":
      return { ...state, queue: takeQueue(state.queue, event.queue) };
    case "user.message":
      return acceptUser(state, event.message);
    case "config.model_changed":
      return { ...state, provider: event.provider, model: event.model_id };
    case "config.thinking_level_changed":
      return { ...state, thinkingLevel: event.level };
    case "notify":
      return notice(state, { key: `notify-${event.seq}`, level: event.level, text: event.message });
    case "status": {
      const { [event.key]: _, ...others } = state.statusLines;
      return { ...state, statusLines: event.text ? { ...others, [event.key]: event.text } : others };
    }
    case "retry.start":
    case "retry.end":
    case "compact.start":
    case "compact.end":
      return onHousekeeping(state, event);
    case "tool.start":
    case "tool.progress":
    case "tool.end":
      return onTool(state, event);
    case "stream.message_retracted":
      return retract(state, event.message_id, event.error, event.ts);
    case "stream.message_end":
      return onMessageEnd(state, event.message, event.ts);
    case "stream.message_start":
      return event.role === "assistant" ? startMessage(state, event.message_id, event.ts) : state;
    case "stream.text_delta":
    case "stream.thinking_delta":
    case "stream.tool_call_start":
    case "stream.tool_call_delta":
    case "stream.tool_call_end":
      return onDelta(state, event);
    default:
      return state;
  }
}

function onError(state: Timeline, event: Extract<AgentEvent, { event: "agent.error" }>): Timeline {
  const entry: Entry = {
    kind: "error",
    key: `error-${event.seq}-${event.ts}`,
    text: event.error,
    recoverable: event.recoverable,
    starting: event.phase === "initializing",
    at: event.ts,
  };
  const status: Status = event.recoverable ? state.status : { state: "failed", since: event.ts };
  const entries = event.recoverable ? state.entries : stopTools(state.entries);
  return { ...state, status, entries: [...entries, entry] };
}

function notice(state: Timeline, given: Omit<NoticeEntry, "kind">): Timeline {
  return { ...state, entries: [...state.entries, { kind: "notice", ...given }] };
}

type Housekeeping = Extract<AgentEvent, { event: `retry.${string}` | `compact.${string}` }>;

// Start and end share one line: the open notice of that kind becomes its outcome.
function onHousekeeping(state: Timeline, event: Housekeeping): Timeline {
  const kind = event.event.startsWith("retry") ? "retry" : "compact";
  if (kind === "retry" && tellsTries(state)) return withoutRetryNotice(state);
  const at = findFromEnd(state.entries, (e) => e.kind === "notice" && !!e.open && e.key.startsWith(kind));
  const key = at >= 0 ? state.entries[at]!.key : `${kind}-${event.seq}-${event.ts}`;
  const made: NoticeEntry = { kind: "notice", key, ...describe(event) };
  const entries = at >= 0 ? state.entries.with(at, made) : [...state.entries, made];
  return { ...state, entries };
}

function describe(event: Housekeeping): Omit<NoticeEntry, "kind" | "key"> {
  switch (event.event) {
    case "retry.start":
      return {
        level: "warning",
        open: true,
        text: `The model did not answer; trying again (${event.attempt} of ${event.max_attempts})`,
        detail: event.error,
      };
    case "retry.end":
      return event.success
        ? { level: "info", text: `The model answers again after ${event.attempt} ${event.attempt === 1 ? "retry" : "retries"}` }
        : { level: "warning", text: `Gave up after ${event.attempt} retries`, detail: event.final_error };
    case "compact.start":
      return { level: "info", open: true, text: "Summarising the conversation to free room…" };
    case "compact.end":
      return event.success
        ? { level: "info", text: "The conversation so far was summarised to free room", detail: event.summary }
        : { level: "warning", text: "Summarising the conversation failed", detail: event.error };
  }
}

type ToolEvent = Extract<AgentEvent, { event: `tool.${string}` }>;

function onTool(state: Timeline, event: ToolEvent): Timeline {
  if (event.event === "tool.end") {
    const result = { output: asText(event.output), isError: event.is_error, durationMs: event.duration_ms };
    return addResult(state, event.tool_call_id, result);
  }
  const entries = withTool(state.entries, event.tool_call_id, (tool) => {
    if (tool.state === "done" || tool.state === "failed" || tool.state === "stopped") return tool;
    if (event.event === "tool.start") {
      return { ...tool, state: "running", input: event.input ?? tool.input, startedAt: event.ts };
    }
    return { ...tool, state: "running", output: asText(event.partial_output) };
  });
  return entries ? { ...state, entries } : state;
}

function onMessageEnd(state: Timeline, message: Message, ts: number): Timeline {
  if (message.role === "user") return acceptUser(state, message);
  if (message.role === "tool") {
    const result = resultOf(message);
    return result ? addResult(state, result[0], result[1]) : state;
  }
  if (message.role !== "assistant") return state;
  const at = findFromEnd(state.entries, (e) => e.kind === "assistant" && e.key === message.id);
  const old = state.entries[at] as AssistantEntry | undefined;
  const entry = { ...assistantEntry(message, old, state.orphans, ts), stage: "settled" as const };
  entry.blocks = entry.blocks.map((b) =>
    b.kind === "thinking" && b.startedAt !== undefined && b.endedAt === undefined ? { ...b, endedAt: ts } : b,
  );
  if (at >= 0) return { ...state, entries: state.entries.with(at, entry) };
  const { entries, attempts } = takeAttempts(state.entries);
  return { ...state, entries: [...entries, { ...entry, attempts: entry.attempts ?? attempts }] };
}

function startMessage(state: Timeline, id: string, ts: number): Timeline {
  const at = findFromEnd(state.entries, (e) => e.kind === "assistant" && e.key === id);
  const old = state.entries[at] as AssistantEntry | undefined;
  if (old && old.stage !== "partial") return state;
  // A snapshot from history is dropped here: the stream tells it again from its beginning.
  const entry: AssistantEntry = { kind: "assistant", key: id, idx: old?.idx, blocks: [], at: ts, stage: "live" };
  if (old) return { ...state, entries: state.entries.with(at, { ...entry, attempts: old.attempts }) };
  const { entries, attempts } = takeAttempts(state.entries);
  return { ...state, entries: [...entries, attempts ? { ...entry, attempts } : entry] };
}

type Delta = Extract<AgentEvent, { content_index: number }>;

function onDelta(state: Timeline, event: Delta): Timeline {
  let at = findFromEnd(state.entries, (e) => e.kind === "assistant" && e.key === event.message_id);
  let base = state;
  if (at < 0) {
    base = startMessage(state, event.message_id, event.ts);
    at = base.entries.length - 1;
  }
  const entry = base.entries[at] as AssistantEntry;
  if (entry.stage === "settled") return base;
  if (entry.stage === "partial" && event.seq <= (entry.upTo ?? state.replayedTo)) return base;
  return { ...base, entries: base.entries.with(at, { ...entry, blocks: applyDelta(entry, event) }) };
}

function applyDelta(entry: AssistantEntry, event: Delta): AssistantEntry["blocks"] {
  const { content_index: index, ts } = event;
  switch (event.event) {
    case "stream.text_delta":
      return putBlock(entry.blocks, "text", index, ts, (old) => ({
        kind: "text",
        index,
        text: (old?.text ?? "") + event.delta,
      }));
    case "stream.thinking_delta":
      return putBlock(entry.blocks, "thinking", index, ts, (old) => ({
        kind: "thinking",
        index,
        startedAt: old?.startedAt ?? ts,
        text: (old?.text ?? "") + event.delta,
      }));
    case "stream.tool_call_start":
      return putBlock(entry.blocks, "tool", index, ts, (old) => ({
        kind: "tool",
        index,
        tool: old?.tool ?? newTool(event.tool_call_id, event.name),
      }));
    case "stream.tool_call_delta":
      return putBlock(entry.blocks, "tool", index, ts, (old) => {
        const tool = old?.tool ?? newTool(event.tool_call_id, "tool");
        return { kind: "tool", index, tool: { ...tool, argsText: tool.argsText + event.delta } };
      });
    case "stream.tool_call_end":
      return putBlock(entry.blocks, "tool", index, ts, (old) => {
        const { id, name, input } = event.tool_call;
        const tool = old?.tool ?? newTool(id, name);
        return { kind: "tool", index, tool: { ...tool, id, name, input, argsText: "", state: "waiting" } };
      });
  }
}
