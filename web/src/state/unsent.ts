// New sessions that nothing was said in yet. They exist on this page only, one for each workspace at most;
// the first message makes them real. One without a draft is gone when it is left.

import { batch } from "@preact/signals";
import type { Session } from "../protocol/types";
import { draftOf, handoffs } from "./handoff";
import { outbox } from "./outbox";
import { tabStore } from "./storage";
import { conversations, sessions, unsent } from "./store";

const KEY = "unsent";

function save(): void {
  tabStore.set(KEY, unsent.value.length ? JSON.stringify(unsent.value) : null);
}

export function loadUnsent(): void {
  const known = new Set(sessions.value.map((s) => s.session_id));
  try {
    const list: Session[] = JSON.parse(tabStore.get(KEY) ?? "[]");
    unsent.value = list.filter((s) => !known.has(s.session_id));
  } catch {
    unsent.value = [];
  }
}

export function addUnsent(row: Session): void {
  unsent.value = [row, ...unsent.value.filter((s) => s.workspace_id !== row.workspace_id)];
  save();
}

export function changeUnsent(id: string, change: Partial<Session>): void {
  unsent.value = unsent.value.map((s) => (s.session_id === id ? { ...s, ...change } : s));
  save();
}

export function dropUnsent(id: string): void {
  if (!unsent.value.some((s) => s.session_id === id)) return;
  unsent.value = unsent.value.filter((s) => s.session_id !== id);
  save();
}

export function isUnsent(id: string): boolean {
  return unsent.value.some((s) => s.session_id === id);
}

// What the host says of one that is being started: true once the start is answered.
const told = new Map<string, Session>();

export function noteUnsent(session: Session): void {
  told.set(session.session_id, session);
}

export function takeUnsent(id: string): Session | undefined {
  const row = told.get(id) ?? unsent.value.find((s) => s.session_id === id);
  told.delete(id);
  return row;
}

// Whether anything would be lost with it.
export function isBlank(id: string): boolean {
  return !draftOf(id) && !handoffs.value.has(id) && outbox.of(id).length === 0 && !conversations.value.get(id)?.starting.value;
}

// Whoever leaves a new session without a word leaves nothing behind.
export function leaveUnsent(shown: string): void {
  for (const { session_id: id } of unsent.value) {
    if (id === shown || !isBlank(id)) continue;
    batch(() => {
      dropUnsent(id);
      const rest = new Map(conversations.value);
      rest.delete(id);
      conversations.value = rest;
    });
  }
}
