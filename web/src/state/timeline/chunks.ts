// A long conversation in chunks, so that one change draws one of them again. A chunk keeps its place:
// older messages make chunks of their own before it, newer ones go on at its end until it is full.

import type { Entry } from "./types";

export interface Chunk {
  key: string;
  entries: Entry[];
}

const FULL = 24;
// A run of steps is not cut, unless it is this long.
const MOST = 240;

function mayBegin(entry: Entry): boolean {
  return entry.kind !== "assistant" || entry.blocks[0]?.kind === "text";
}

function same(a: Entry[], b: Entry[]): boolean {
  return a.length === b.length && a.every((entry, i) => entry === b[i]);
}

export function chunksOf(entries: Entry[], before: Chunk[]): Chunk[] {
  const known = new Map(before.map((c) => [c.key, c]));
  const chunks: Chunk[] = [];
  let current: Chunk | undefined;
  for (const entry of entries) {
    const size = current?.entries.length ?? MOST;
    const begins = known.has(entry.key) ? mayBegin(entry) || size >= MOST : size >= (mayBegin(entry) ? FULL : MOST);
    if (!current || begins) chunks.push((current = { key: entry.key, entries: [] }));
    current.entries.push(entry);
  }
  return chunks.map((chunk) => {
    const old = known.get(chunk.key);
    return old && same(old.entries, chunk.entries) ? old : chunk;
  });
}

// About how high it is, before it was ever drawn.
export function guessHeight(chunk: Chunk, width: number): number {
  const perLine = Math.max(20, Math.min(width, 620) / 7);
  const text = (words: string) => Math.ceil(words.length / perLine) * 22 + 16;
  let height = 0;
  for (const entry of chunk.entries) {
    height += 16;
    if (entry.kind === "user") height += text(entry.text) + 16;
    else if (entry.kind !== "assistant") height += 60;
    else for (const block of entry.blocks) height += block.kind === "text" ? text(block.text) : 46;
  }
  return Math.min(height, 40_000);
}
