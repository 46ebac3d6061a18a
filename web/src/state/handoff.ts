// Text that comes into a composer from elsewhere: taken back from the queue, or from before a fork.

import { signal } from "@preact/signals";
import { drafts } from "./drafts";
import type { Image } from "./timeline/types";

export interface Given {
  text: string;
  images: Image[];
}

export const handoffs = signal<ReadonlyMap<string, Given>>(new Map());

export function draftOf(id: string): string {
  return drafts.get(id);
}

export function giveToComposer(id: string, text: string, images: Image[] = []): void {
  handoffs.value = new Map(handoffs.value).set(id, { text, images });
}

export function takeHandoff(id: string): Given | undefined {
  const given = handoffs.value.get(id);
  if (!given) return undefined;
  const rest = new Map(handoffs.value);
  rest.delete(id);
  handoffs.value = rest;
  return given;
}
