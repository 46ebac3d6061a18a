// Which conversations this connection follows. A host lets one connection follow only so many: those that
// nobody has looked at for a while, and in which nothing happens, are let go and caught up with when opened.

import type { Conversation } from "./conversation";
import { mux } from "./link";
import { outbox } from "./outbox";
import { conversations, limits, sessionId, sessions, stateOf } from "./store";

const LINGER_MS = 5 * 60_000;
const LOOK_MS = 30_000;
const seenAt = new Map<string, number>();

export function noteSeen(id: string): void {
  seenAt.set(id, Date.now());
}

function mayRest(open: Conversation): boolean {
  if (!open.followed || open.id === sessionId.value || open.starting.value || outbox.of(open.id).length > 0) return false;
  const row = sessions.value.find((s) => s.session_id === open.id);
  const state = row && stateOf(row);
  return state !== "working" && state !== "waiting" && state !== "starting";
}

function letGo(open: Conversation): void {
  open.rest();
  void mux.request(open.id, "session.unsubscribe").catch(() => {});
}

export function letUnseenGo(at = Date.now()): void {
  noteSeen(sessionId.value);
  for (const open of conversations.value.values()) {
    if (mayRest(open) && at - (seenAt.get(open.id) ?? 0) >= LINGER_MS) letGo(open);
  }
}

// Before one more is followed: those that were looked at longest ago make room.
export function makeRoom(): void {
  const most = limits.value?.subscriptions ?? Infinity;
  const followed = [...conversations.value.values()].filter((open) => open.followed);
  const idle = followed.filter(mayRest).toSorted((a, b) => (seenAt.get(a.id) ?? 0) - (seenAt.get(b.id) ?? 0));
  for (const open of idle.slice(0, Math.max(0, followed.length + 1 - most))) letGo(open);
}

// After a connection began: only what is looked at, or works, or has words to send, is worth following.
export function isWorthFollowing(open: Conversation): boolean {
  if (open.id === sessionId.value || outbox.of(open.id).length > 0) return true;
  const row = sessions.value.find((s) => s.session_id === open.id);
  return row?.state === "working" || row?.state === "waiting" || row?.state === "starting";
}

export function watchFollowing(): void {
  setInterval(() => letUnseenGo(), LOOK_MS);
}
