// Questions of the agent or the host, at their place in the conversation, and how each of them ended.

import type { InputRequest, Resolution } from "../../protocol/types";
import type { AskEntry, Entry, Timeline } from "./types";

export function changeAsk(state: Timeline, requestId: string, change: (entry: AskEntry) => AskEntry): Timeline {
  const at = state.entries.findLastIndex((e) => e.kind === "ask" && e.request.request_id === requestId);
  const entry = state.entries[at];
  if (entry?.kind !== "ask") return state;
  return { ...state, entries: state.entries.with(at, change(entry)) };
}

// `loose`: known to be open, but not yet where it was asked. The event that asked it, or else the page of
// history that ends where the conversation stands now, gives it its place.
export function ask(state: Timeline, request: InputRequest, at: number, loose = false): Timeline {
  const known = state.entries.find((e): e is AskEntry => e.kind === "ask" && e.request.request_id === request.request_id);
  if (known && (loose || !known.loose)) return state;
  const entry: AskEntry = { kind: "ask", key: `ask-${request.request_id}`, request, at, resolved: known?.resolved ?? false, loose };
  return { ...state, entries: [...state.entries.filter((e) => e !== known), entry] };
}

export function placeLoose(entries: Entry[]): Entry[] {
  const isLoose = (e: Entry) => e.kind === "ask" && !!e.loose;
  if (!entries.some(isLoose)) return entries;
  return [...entries.filter((e) => !isLoose(e)), ...entries.filter(isLoose).map((e) => ({ ...e, loose: false }) as AskEntry)];
}

// `replayed`: told of the past, so nothing is known about where the answer came from.
export function resolve(state: Timeline, requestId: string, how: Resolution, replayed: boolean): Timeline {
  return changeAsk(state, requestId, (e) => ({
    ...e,
    resolved: true,
    resolution: how.resolution ?? e.resolution,
    by: how.by ?? e.by,
    answer: how.answer ?? e.answer,
    elsewhere: !e.mine && !replayed && how.resolution === "answered",
  }));
}

// What the host no longer counts as open was answered or ended while nobody told this page.
export function closeMissing(entries: Entry[], open: Set<string>): Entry[] {
  return entries.map((e) => (e.kind === "ask" && !e.resolved && !open.has(e.request.request_id) ? { ...e, resolved: true } : e));
}

export function openAsks(state: Timeline): AskEntry[] {
  return state.entries.filter((e): e is AskEntry => e.kind === "ask" && !e.resolved);
}

const ALLOWED: Record<string, string> = { Once: "Allowed once", "For this session": "Allowed for this session" };

function verdict({ request, answer = "" }: AskEntry): string {
  if (request.approval) return ALLOWED[answer] ?? "Denied";
  if (request.type === "confirm") return /^(yes|true|allowed|confirmed)$/i.test(answer) ? "Allowed" : "Denied";
  if (!answer || /^(cancelled|dismissed)$/i.test(answer)) return "Dismissed";
  return `Answered “${answer}”`;
}

// One sentence about the end of a question.
export function outcome(entry: AskEntry): string {
  const denied = entry.request.approval ? ": denied" : "";
  if (entry.resolution === "timeout") {
    const within = entry.request.timeout ? ` within ${Math.round(entry.request.timeout / 1_000)} s` : " in time";
    return `Nobody answered${within}${denied}.`;
  }
  if (entry.resolution === "ended") return `It ended before anybody answered${denied}.`;
  if (entry.mine) return `${verdict(entry)} by you.`;
  if (entry.by) return `${verdict(entry)} by ${entry.by}${entry.elsewhere ? " on another device" : ""}.`;
  return entry.answer ? `${verdict(entry)}.` : "No longer open.";
}
