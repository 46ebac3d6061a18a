// What the host takes, as it says when a connection begins.

import { computed } from "@preact/signals";
import { limits as told } from "./store";

export interface Limits {
  // Of a message's text.
  prompt_bytes: number;
  // Of a message's pictures, as base64 together.
  images_bytes: number;
  images: number;
}

const DEFAULTS: Limits = { prompt_bytes: 1_048_576, images_bytes: 10_485_760, images: 20 };

export function readLimits(given: unknown): Limits {
  const told = given && typeof given === "object" ? (given as Record<string, unknown>) : {};
  const read = (name: keyof Limits) => {
    const value = told[name];
    return typeof value === "number" && value >= 0 ? value : DEFAULTS[name];
  };
  return { prompt_bytes: read("prompt_bytes"), images_bytes: read("images_bytes"), images: read("images") };
}

export const limits = computed(() => readLimits(told.value));

// From this share of a limit on, it is shown.
const NEAR = 0.8;

// The bytes of a text, or 0 as long as it is far from the limit: most are, and need not be counted.
export function bytesNear(text: string, most: number): number {
  if (text.length * 3 < most * NEAR) return 0;
  const bytes = new Blob([text]).size;
  return bytes < most * NEAR ? 0 : bytes;
}
