// How entries are laid out: what the agent did between two things it said is one run of steps, however
// many messages it is spread over.

import type { AssistantEntry, Block, Entry, ToolState } from "./types";

export interface Step {
  key: string;
  block: Extract<Block, { kind: "tool" | "thinking" }>;
  live: boolean;
}

export interface Run {
  kind: "run";
  key: string;
  steps: Step[];
  tools: number;
  failed: number;
  stopped: number;
  // Something in it has not ended.
  open: boolean;
  ms: number;
}

// Blocks `from` to `to` of an answer; `head` and `tail`: what belongs before its first, after its last.
export interface Piece {
  kind: "piece";
  key: string;
  entry: AssistantEntry;
  at: number;
  from: number;
  to: number;
  head: boolean;
  tail: boolean;
}

export type Item = { kind: "entry"; entry: Exclude<Entry, AssistantEntry>; at: number } | Piece | Run;

const OPEN = new Set<ToolState>(["writing", "waiting", "running"]);

export function isEmptyAnswer(entry: AssistantEntry): boolean {
  return entry.stage === "settled" && !entry.retracted && !entry.interrupted && entry.stopReason === "stop"
    && !entry.blocks.some((b) => b.kind !== "thinking");
}

// There is something to say after its last block.
function hasEnding(entry: AssistantEntry): boolean {
  const { stopReason } = entry;
  return stopReason === "aborted" || stopReason === "error" || stopReason === "length" || !!entry.interrupted
    || !!entry.retracted || entry.stage === "partial" || isEmptyAnswer(entry);
}

class Planner {
  readonly items: Item[] = [];
  #run: Run | null = null;
  #began = 0;
  #summed = 0;

  add(entry: Entry, at: number, isLast: boolean): void {
    if (entry.kind !== "assistant") {
      this.#run = null;
      this.items.push({ kind: "entry", entry, at });
      return;
    }
    const { blocks } = entry;
    const head = !!entry.attempts?.length || !!entry.recovered;
    let piece: Piece | null = null;
    if (head && blocks[0]?.kind !== "text") piece = this.#piece(entry, at, 0, 0, true);
    for (let i = 0; i < blocks.length; i++) {
      const block = blocks[i]!;
      if (block.kind !== "text") {
        piece = null;
        this.#step(entry, block);
      } else if (piece && piece.to === i && piece.from < i) {
        piece.to = i + 1;
      } else {
        piece = this.#piece(entry, at, i, i + 1, head && i === 0);
      }
    }
    if (piece) piece.tail = true;
    else if (isLast || hasEnding(entry)) this.#piece(entry, at, blocks.length, blocks.length, false).tail = true;
  }

  #piece(entry: AssistantEntry, at: number, from: number, to: number, head: boolean): Piece {
    this.#run = null;
    const piece: Piece = { kind: "piece", key: `${entry.key}-${from}`, entry, at, from, to, head, tail: false };
    this.items.push(piece);
    return piece;
  }

  #step(entry: AssistantEntry, block: Step["block"]): void {
    const key = block.kind === "tool" ? block.tool.id : `${entry.key}-${block.index}`;
    if (!this.#run) {
      this.#run = { kind: "run", key: `run-${key}`, steps: [], tools: 0, failed: 0, stopped: 0, open: false, ms: 0 };
      this.#began = entry.at;
      this.#summed = 0;
      this.items.push(this.#run);
    }
    const run = this.#run;
    run.steps.push({ key, block, live: entry.stage === "live" });
    if (entry.stage === "live") run.open = true;
    if (block.kind === "tool") this.#count(run, entry, block.tool);
  }

  #count(run: Run, entry: AssistantEntry, tool: Extract<Block, { kind: "tool" }>["tool"]): void {
    run.tools++;
    if (tool.state === "failed") run.failed++;
    if (tool.state === "stopped") run.stopped++;
    if (OPEN.has(tool.state)) run.open = true;
    const took = tool.durationMs ?? 0;
    this.#summed += took;
    run.ms = Math.max(run.ms, this.#summed, (tool.startedAt ?? entry.at) + took - this.#began);
  }
}

export function planItems(entries: Entry[], endsHere: boolean): Item[] {
  const planner = new Planner();
  entries.forEach((entry, i) => planner.add(entry, i, endsHere && i === entries.length - 1));
  return planner.items;
}
