// Messages that were sent and not yet answered. They survive a lost connection and a reload, and are
// sent again with the same client_id until the host answers; the host takes each one once.

import type { Image } from "./timeline/types";
import { tabStore } from "./storage";

export type SendCommand = "prompt" | "steer" | "follow_up";

export interface Outgoing {
  sessionId: string;
  clientId: string;
  cmd: SendCommand;
  text: string;
  images: Image[];
  at: number;
}

const KEY = "outbox";
let items: Outgoing[] = load();

function load(): Outgoing[] {
  try {
    const parsed: unknown = JSON.parse(tabStore.get(KEY) ?? "[]");
    return Array.isArray(parsed) ? (parsed as Outgoing[]) : [];
  } catch {
    return [];
  }
}

function save(): void {
  if (tabStore.set(KEY, items.length ? JSON.stringify(items) : null)) return;
  // Pictures may not fit; the words do.
  tabStore.set(KEY, JSON.stringify(items.map((item) => ({ ...item, images: [] }))));
}

export const outbox = {
  of: (sessionId: string) => items.filter((item) => item.sessionId === sessionId),
  sessions: () => [...new Set(items.map((item) => item.sessionId))],
  add(item: Outgoing): void {
    items = [...items.filter((i) => i.clientId !== item.clientId), item];
    save();
  },
  remove(clientId: string): void {
    items = items.filter((item) => item.clientId !== clientId);
    save();
  },
  clear(): void {
    items = [];
    save();
  },
};
