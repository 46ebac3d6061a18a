// What was said to a working agent and waits until the agent takes it. It is no message before that.

import type { Delivery, QueueItem } from "../../protocol/types";
import type { Image, Timeline, UserEntry, Waiting } from "./types";

export interface Sent {
  clientId: string;
  text: string;
  images: Image[];
  at: number;
}

export function sendWaiting(state: Timeline, sent: Sent, delivery: Delivery): Timeline {
  const item: Waiting = {
    key: sent.clientId, clientId: sent.clientId, delivery, state: "sending", text: sent.text,
    images: sent.images, pictures: sent.images.length, at: sent.at,
  };
  return { ...state, queue: [...state.queue.filter((i) => i.clientId !== sent.clientId), item] };
}

export function changeWaiting(state: Timeline, clientId: string, change: Partial<Waiting>): Timeline {
  const at = state.queue.findIndex((i) => i.clientId === clientId);
  if (at < 0) return state;
  return { ...state, queue: state.queue.with(at, { ...state.queue[at]!, ...change }) };
}

// The host's answer may overtake the message that it became: then it waits no longer. And what was said as
// a prompt waits too, if somebody else's came first.
export function acceptWaiting(state: Timeline, clientId: string, itemId: string | undefined): Timeline {
  const entry = state.entries.find((e): e is UserEntry => e.kind === "user" && e.clientId === clientId);
  if (entry?.id) return dropWaiting(state, clientId);
  if (!itemId) return state;
  if (!entry) return changeWaiting(state, clientId, { id: itemId, state: "pending" });
  const known = state.queue.some((i) => i.clientId === clientId);
  const moved = { ...state, entries: state.entries.filter((e) => e !== entry) };
  return known ? moved : changeWaiting(sendWaiting(moved, { ...entry, clientId }, "follow_up"), clientId, { id: itemId, state: "pending" });
}

export function dropWaiting(state: Timeline, clientId: string | undefined): Timeline {
  if (!clientId || !state.queue.some((i) => i.clientId === clientId)) return state;
  return { ...state, queue: state.queue.filter((i) => i.clientId !== clientId) };
}

// The host's list, in its order; what it does not know yet stays at the end.
export function takeQueue(old: Waiting[], items: QueueItem[]): Waiting[] {
  const known = new Map(old.map((i) => [i.clientId ?? i.key, i]));
  const told = items.map((item): Waiting => {
    const mine = known.get(item.client_id ?? item.id);
    known.delete(item.client_id ?? item.id);
    return {
      key: mine?.key ?? item.client_id ?? item.id, id: item.id, clientId: item.client_id, delivery: item.delivery, state: item.state,
      text: item.message, images: mine?.images ?? [], pictures: item.images, at: item.created_at, reason: item.reason,
    };
  });
  return [...told, ...[...known.values()].filter((i) => i.state === "sending" || i.state === "failed")];
}
