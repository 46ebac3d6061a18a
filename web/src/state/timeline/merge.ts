// Putting stored or finished messages into the list of entries.

import type { Message } from "../../protocol/types";
import { applyResult, blocksOf, cutOf, resultOf, userImages, userText } from "./blocks";
import { dropWaiting } from "./queue";
import type { AssistantEntry, Entry, Timeline, Tool, ToolResult, UserEntry } from "./types";

export function findFromEnd(entries: Entry[], test: (entry: Entry) => boolean): number {
  return entries.findLastIndex(test);
}

// Changes one tool wherever it stands; `undefined` if no loaded message called it.
export function withTool(entries: Entry[], toolId: string, change: (tool: Tool) => Tool): Entry[] | undefined {
  for (let i = entries.length - 1; i >= 0; i--) {
    const entry = entries[i]!;
    if (entry.kind !== "assistant") continue;
    const at = entry.blocks.findIndex((b) => b.kind === "tool" && b.tool.id === toolId);
    const block = entry.blocks[at];
    if (block?.kind !== "tool") continue;
    return entries.with(i, { ...entry, blocks: entry.blocks.with(at, { ...block, tool: change(block.tool) }) });
  }
  return undefined;
}

export function addResult(state: Timeline, toolId: string, result: ToolResult): Timeline {
  const entries = withTool(state.entries, toolId, (tool) => applyResult(tool, result));
  return entries ? { ...state, entries } : { ...state, orphans: { ...state.orphans, [toolId]: result } };
}

function userEntry(message: Message, old: UserEntry | undefined): UserEntry {
  return {
    kind: "user",
    key: old?.key ?? message.id,
    id: message.id,
    idx: message.idx,
    clientId: message.client_id ?? old?.clientId,
    text: userText(message),
    cut: cutOf(message, message.parts.find((p) => p.type === "text" && p.cut)),
    images: userImages(message).length ? userImages(message) : (old?.images ?? []),
    at: message.created_at,
    delivery: "accepted",
  };
}

export function assistantEntry(
  message: Message,
  old: AssistantEntry | undefined,
  orphans: Record<string, ToolResult>,
  endedAt: number | undefined,
): AssistantEntry {
  return {
    kind: "assistant",
    key: message.id,
    idx: message.idx,
    blocks: blocksOf(message, old, orphans),
    at: old?.at ?? message.created_at,
    endedAt: old?.endedAt ?? endedAt,
    stage: message.stop_reason ? "settled" : "partial",
    model: message.model,
    provider: message.provider,
    stopReason: message.stop_reason,
    usage: message.usage,
    error: message.error,
    attempts: message.attempts?.length ? message.attempts : old?.attempts,
    recovered: message.recovered,
  };
}

function sameMessage(entry: Entry, message: Message): boolean {
  if (entry.kind === "assistant") return message.role === "assistant" && entry.key === message.id;
  if (entry.kind !== "user" || message.role !== "user") return false;
  return entry.id === message.id || (!!message.client_id && entry.clientId === message.client_id);
}

// A user message as the host accepted it. It goes to the end: that is where the host put it.
export function acceptUser(state: Timeline, message: Message): Timeline {
  const at = findFromEnd(state.entries, (e) => sameMessage(e, message));
  const old = state.entries[at] as UserEntry | undefined;
  if (old?.delivery === "accepted" && old.id === message.id) return state;
  const rest = at >= 0 ? state.entries.toSpliced(at, 1) : state.entries;
  const waited = state.queue.find((i) => i.clientId && i.clientId === message.client_id);
  const entry = userEntry(message, old);
  return { ...dropWaiting(state, message.client_id), entries: [...rest, entry.images.length ? entry : { ...entry, images: waited?.images ?? [] }] };
}

// Merges a page of history, in order. A message that is being streamed keeps its live form.
export function mergeHistory(state: Timeline, messages: Message[], upTo: number): Timeline {
  const entries = [...state.entries];
  const orphans = { ...state.orphans };
  const results: [string, ToolResult][] = [];
  const first = messages.find((m) => m.idx !== undefined)?.idx ?? 0;
  let cursor = entries.findLastIndex((e) => "idx" in e && e.idx !== undefined && e.idx < first);
  for (const message of messages) {
    if (message.role === "tool") {
      const result = resultOf(message);
      if (result) results.push(result);
      continue;
    }
    if (message.role === "system") continue;
    const at = findFromEnd(entries, (e) => sameMessage(e, message));
    const old = entries[at];
    if (old?.kind === "assistant" && old.stage !== "partial" && !message.stop_reason) {
      cursor = at;
      continue;
    }
    const next =
      message.role === "user"
        ? userEntry(message, old as UserEntry | undefined)
        : { ...assistantEntry(message, old as AssistantEntry | undefined, orphans, undefined), upTo };
    if (at >= 0) {
      entries[at] = next;
      cursor = at;
    } else {
      entries.splice(++cursor, 0, next);
    }
  }
  const merged: Timeline = { ...state, entries, orphans };
  return results.reduce((s, [id, result]) => addResult(s, id, result), merged);
}

const UNSETTLED = new Set(["writing", "waiting", "running"]);

// After a turn nothing runs any more: what has no result was stopped.
export function stopTools(entries: Entry[]): Entry[] {
  return entries.map((entry) => {
    if (entry.kind !== "assistant") return entry;
    const running = entry.blocks.some((b) => b.kind === "tool" && UNSETTLED.has(b.tool.state));
    if (!running && entry.stage !== "live") return entry;
    return {
      ...entry,
      stage: entry.stage === "live" ? "settled" : entry.stage,
      interrupted: entry.stage === "live" || entry.interrupted,
      blocks: entry.blocks.map((b) =>
        b.kind === "tool" && UNSETTLED.has(b.tool.state) ? { ...b, tool: { ...b.tool, state: "stopped" } } : b,
      ),
    };
  });
}
