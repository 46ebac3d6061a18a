// Tries of an answer that failed. A try that is taken back stops being a message: it becomes a line of
// the answer that follows it, or stands alone as long as none has begun.

import type { Attempt } from "../../protocol/types";
import { findFromEnd } from "./merge";
import type { AssistantEntry, Entry, Timeline } from "./types";

const isRetryNotice = (e: Entry) => e.kind === "notice" && !!e.open && e.key.startsWith("retry");

export function retract(state: Timeline, id: string, error: string, ts: number): Timeline {
  const at = findFromEnd(state.entries, (e) => e.kind === "assistant" && e.key === id);
  const old = state.entries[at] as AssistantEntry | undefined;
  if (old?.retracted) return state;
  const text = old?.blocks.map((b) => (b.kind === "text" ? b.text : "")).filter(Boolean).join("\n\n");
  const { entries, attempts: before } = takeAttempts(at >= 0 ? state.entries.toSpliced(at, 1) : state.entries);
  const attempts: Attempt[] = [...(old?.attempts ?? before ?? []), { error, ...(text ? { text } : {}) }];
  const entry: AssistantEntry = {
    kind: "assistant", key: id, at: old?.at ?? ts, blocks: [], stage: "settled", attempts, retracted: true,
  };
  // The line of the try says what the notice said.
  const rest = entries.filter((e) => !isRetryNotice(e));
  return { ...state, entries: rest.toSpliced(at >= 0 ? Math.min(at, rest.length) : rest.length, 0, entry) };
}

// What stands alone at the end goes into the answer that begins now.
export function takeAttempts(entries: Entry[]): { entries: Entry[]; attempts?: Attempt[] | undefined } {
  const at = findFromEnd(entries, (e) => e.kind === "assistant" || e.kind === "user");
  const last = entries[at];
  if (last?.kind !== "assistant" || !last.retracted) return { entries };
  return { entries: entries.toSpliced(at, 1), attempts: last.attempts };
}

// The answer came with a page of history, while its tries still stood alone.
export function dropAnswered(entries: Entry[]): Entry[] {
  const alone = entries.findLast((e) => e.kind === "assistant" && !!e.retracted) as AssistantEntry | undefined;
  const error = alone?.attempts?.at(-1)?.error;
  const answered = (e: Entry) => e.kind === "assistant" && !e.retracted && e.attempts?.at(-1)?.error === error;
  return alone && entries.some(answered) ? entries.filter((e) => e !== alone) : entries;
}

// A turn whose newest answer tells its tries needs no other line about them.
export function tellsTries(state: Timeline): boolean {
  const last = state.entries.findLast((e) => e.kind === "assistant" || e.kind === "user");
  return last?.kind === "assistant" && !!last.attempts?.length;
}

export function withoutRetryNotice(state: Timeline): Timeline {
  return state.entries.some(isRetryNotice) ? { ...state, entries: state.entries.filter((e) => !isRetryNotice(e)) } : state;
}
