// Commands about one session that need no more than its id.

import { CommandError } from "../net/mux";
import type { SessionState } from "../protocol/types";
import { mux } from "./link";
import type { Outgoing, SendCommand } from "./outbox";
import type { Image } from "./timeline/types";

// It may have to wake the agent first.
const SLOW_TIMEOUT_MS = 65_000;
const COMPACT_TIMEOUT_MS = 310_000;

// A harness runs, or is about to.
export function isAwake(state: SessionState): boolean {
  return state === "idle" || state === "working" || state === "waiting" || state === "starting";
}

export async function say(item: Outgoing, cmd: SendCommand): Promise<{ item_id?: string } | undefined> {
  const images = item.images.map((i) => ({ data: i.data, media_type: i.mimeType }));
  const fields = { message: item.text, client_id: item.clientId, ...(images.length ? { images } : {}) };
  try {
    return await mux.request(item.sessionId, cmd, fields, SLOW_TIMEOUT_MS);
  } catch (error) {
    // Somebody else was quicker: it waits for its turn, as if it had been said a moment later.
    if (cmd !== "prompt" || !(error instanceof CommandError) || error.code !== "busy") throw error;
    return mux.request(item.sessionId, item.cmd === "prompt" ? "follow_up" : item.cmd, fields, SLOW_TIMEOUT_MS);
  }
}

export function editWaiting(id: string, itemId: string, message: string): Promise<void> {
  return mux.request(id, "queue.edit", { item_id: itemId, message });
}

export async function takeBack(id: string, itemId: string): Promise<{ text: string; images: Image[] }> {
  const item = await mux.request<{ message: string; images?: { data: string; media_type: string }[] }>(
    id, "queue.remove", { item_id: itemId });
  return { text: item.message, images: (item.images ?? []).map((i) => ({ data: i.data, mimeType: i.media_type })) };
}

// A session that goes on from before that message of the person's.
export async function forkBefore(id: string, messageId: string): Promise<{ id: string; text: string }> {
  const made = await mux.request<{ new_session_id: string; text: string }>(
    id, "fork", { message_id: messageId }, SLOW_TIMEOUT_MS);
  return { id: made.new_session_id, text: made.text };
}

export function compact(id: string): Promise<void> {
  return mux.request(id, "compact", {}, COMPACT_TIMEOUT_MS);
}

export function abort(id: string): Promise<void> {
  return mux.request(id, "abort");
}
