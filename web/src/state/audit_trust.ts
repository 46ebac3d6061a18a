// How far what the host shows can be believed. Every answer that carries a checkpoint goes through
// `noted`: it is checked against the pinned keys, against the chain of epochs and against what this browser
// saw before. With both lines of log.vkey pinned, `seen` is always a tree that continues the chain's edge.

import { batch, signal } from "@preact/signals";
import { addSeals, beginChain, Gap, keysOf, restoreChain, saveChain, UnknownEpoch, verifyEnd, verifyInEpoch, type Chain, type SealRow } from "../audit/epochs";
import {
  canVerify, equal, Invalid, parsePin, parseProof, readCheckpoint, readNote, signatureBy, toHex, verifyCheckpoint, verifyConsistency,
  type Checkpoint, type Pin,
} from "../audit/verify";
import { mux } from "./link";
import { lastingStore } from "./storage";

// What protects the past: the keys of epochs, from entry `since` on (0: all of it), or the log's key alone.
export interface Guard {
  epoch: number; // that runs
  since: number;
}
export type Trust =
  | { kind: "unpinned" }
  | { kind: "unable" }
  | { kind: "checking"; epochs?: number; percent?: number }
  | { kind: "good"; checkpoint: Checkpoint; at: number; guard: Guard | null }
  | { kind: "gap"; why: string; expected: number; epoch: number; index: number }
  | { kind: "bad"; why: string };

export interface Finding {
  kind: "rollback" | "fork";
  at: number;
  seen: string; // the two notes, which are the evidence
  shown: string;
}

export const pinned = signal<Pin | null>(null);
export const trust = signal<Trust>({ kind: "unpinned" });
export const finding = signal<Finding | null>(null);
export const trustOpen = signal(false);
export const indexed = signal(0);
export const trouble = signal("");

const KEY = "audit.vkey";
const FINDING = "audit.finding";
const MAX_TRIES = 4; // epochs may end while an answer is on its way
const MAX_PAGES = 100_000;

// By the key of epoch 0, which stays when the log's key is rotated.
const nameOf = (pin: Pin) => toHex((pin.first ?? pin.log).id);
const seenKey = (pin: Pin) => `audit.seen.${nameOf(pin)}`;
const chainKey = (pin: Pin) => `audit.epochs.${nameOf(pin)}`;

let chain: Chain | null = null; // with both lines pinned
let tied = false; // `seen` continues the chain's edge
let acceptGapAt = -1;
let latest: Checkpoint | null = null; // that was believed, also where nothing can be stored

function seen(): Checkpoint | null {
  if (latest) return latest;
  const pin = pinned.value!;
  try {
    // What was seen when the log's key alone was pinned counts as well.
    return readCheckpoint((lastingStore.get(seenKey(pin)) ?? lastingStore.get(seenKey({ ...pin, first: null })))!);
  } catch {
    return null; // nothing yet, or not what this page stored
  }
}

export interface Noted {
  note: string;
  old_size?: number;
  consistency?: unknown;
}

class Found extends Error {}

function find(kind: Finding["kind"], before: Checkpoint, shown: Checkpoint): never {
  finding.value = { kind, at: Date.now(), seen: before.note, shown: shown.note };
  lastingStore.set(FINDING, JSON.stringify(finding.value));
  throw new Found();
}

// Two notes of one log that contradict each other are worth keeping whatever else is wrong with them.
async function compare(answer: Noted, before: Checkpoint | null): Promise<void> {
  if (!before) return;
  const shown = readCheckpoint(answer.note);
  if (shown.size < before.size) find("rollback", before, shown);
  let continues = false;
  try {
    continues = shown.size === before.size
      ? equal(shown.root, before.root)
      : await verifyConsistency(before.size, before.root, shown.size, shown.root, parseProof(answer.consistency));
  } catch {
    // No proof that can be read is no proof.
  }
  if (!continues) find("fork", before, shown);
}

async function isSignedByLog(note: string, known: Chain | null): Promise<boolean> {
  const parsed = readNote(note);
  const keys = [pinned.value!.log, ...(known?.links.slice(-1).map((link) => link.log) ?? [])];
  for (const key of keys) if ((await signatureBy(parsed, key)) === "good") return true;
  return false;
}

function believe(checkpoint: Checkpoint): Checkpoint {
  const keys = chain && keysOf(chain, checkpoint.size);
  latest = checkpoint;
  lastingStore.set(seenKey(pinned.value!), checkpoint.note);
  trust.value = { kind: "good", checkpoint, at: Date.now(), guard: keys ? { epoch: keys.epoch, since: chain!.since } : null };
  return checkpoint;
}

// ---------------------------------------------------------------- seals

type Page = Noted & { seals: SealRow[]; next: number | null; hashes?: string };

// Follows the seals that are new, page by page. What is verified is kept: a visit that ends goes on from
// there the next time.
async function catchUp(pin: Pin): Promise<void> {
  let now = chain ?? (await restoreChain(lastingStore.get(chainKey(pin)), pin)) ?? beginChain(pin);
  for (let pages = 0; pages < MAX_PAGES; pages++) {
    const before = seen();
    const answer = await mux.request<Page>("_system", "audit.seals", { from: now.edge.size, ...(before ? { old_size: Number(before.size) } : {}) });
    if (pinned.value !== pin) throw new Found();
    // Two notes that contradict each other are found first, as long as the log's key is known.
    const compared = await isSignedByLog(answer.note, now);
    if (compared) await compare(answer, before);
    if (!Array.isArray(answer.seals) || (answer.next !== null && answer.seals.length === 0)) throw new Invalid("the host sends no seals: try again");
    now = await addSeals(now, answer.seals, acceptGapAt);
    lastingStore.set(chainKey(pin), saveChain(now));
    if (answer.next !== null) {
      const size = Number(readCheckpoint(answer.note).size);
      trust.value = { kind: "checking", epochs: (now.links.at(-1)?.epoch ?? 0) + 1, percent: Math.floor((100 * now.edge.size) / Math.max(1, size)) };
      continue;
    }
    if (now.links.length === 0) throw new Invalid("the log has no seal at all: it is none that the pinned lines belong to");
    const shown = await verifyEnd(now, answer.note, answer.hashes ?? "");
    if (!compared) await compare(answer, before);
    chain = now;
    tied = true;
    believe(shown);
    return;
  }
  throw new Invalid("the host's seals do not end: check again, and if that does not help, have a copy of the log checked with `oqto-audit verify`");
}

// ---------------------------------------------------------------- checkpoints

// The checkpoint of an answer, if it can be believed.
async function learn(answer: Noted, before: Checkpoint | null, pin: Pin): Promise<Checkpoint> {
  if (!pin.first) {
    const shown = await verifyCheckpoint(answer.note, pin.log);
    await compare(answer, before);
    return believe(shown);
  }
  const compared = await isSignedByLog(answer.note, chain);
  if (compared) await compare(answer, before);
  const shown = await verifyInEpoch(answer.note, chain!);
  if (!compared) await compare(answer, before);
  return believe(shown);
}

async function ask<T extends Noted>(cmd: string, fields: object, pin: Pin): Promise<{ answer: T; checkpoint: Checkpoint }> {
  for (let tries = 1; ; tries++) {
    if (pin.first && !tied) await catchUp(pin);
    const before = seen();
    const answer = await mux.request<T>("_system", cmd, before ? { ...fields, old_size: Number(before.size) } : fields);
    if (pinned.value !== pin) throw new Found();
    try {
      return { answer, checkpoint: await learn(answer, before, pin) };
    } catch (error) {
      // Of an epoch that began a moment ago: its seal says so, or nothing does.
      if (!(error instanceof UnknownEpoch) || tries === MAX_TRIES) throw error;
      tied = false;
    }
  }
}

const sentence = (text: string) => `${text.slice(0, 1).toUpperCase()}${text.slice(1).replace(/\.$/, "")}.`;

function refuse(error: unknown): null {
  if (error instanceof Gap) {
    trust.value = { kind: "gap", why: error.message, expected: error.expected, epoch: error.epoch, index: error.index };
  } else if (error instanceof Invalid) {
    trust.value = { kind: "bad", why: sentence(error.message) };
  } else if (!(error instanceof Found)) {
    throw error;
  }
  return null;
}

// One after the other, so that every proof begins at the checkpoint that was learned last. Without a
// checkpoint that can be believed, `trust` or `finding` say why, and the answer is the host's word.
let queue: Promise<unknown> = Promise.resolve();
export function noted<T extends Noted>(cmd: string, fields: object): Promise<{ answer: T; checkpoint: Checkpoint | null }> {
  const next = queue.then(async () => {
    const pin = pinned.value;
    if (pin) {
      try {
        return await ask<T>(cmd, fields, pin);
      } catch (error) {
        refuse(error);
      }
    }
    return { answer: await mux.request<T>("_system", cmd, fields), checkpoint: null };
  });
  queue = next.catch(() => {});
  return next;
}

export async function checkNow(): Promise<void> {
  tied = false; // what is wrong with the seals is seen now, not when an epoch ends
  const { answer } = await noted<Noted & { indexed: number; trouble?: string }>("audit.checkpoint", {});
  batch(() => {
    indexed.value = answer.indexed;
    trouble.value = answer.trouble ?? "";
  });
}

// ---------------------------------------------------------------- pinning

function use(pin: Pin | null): void {
  chain = null;
  latest = null;
  tied = false;
  acceptGapAt = -1;
  batch(() => {
    pinned.value = pin;
    trust.value = pin ? { kind: "checking" } : { kind: "unpinned" };
  });
}

export async function pinKey(text: string): Promise<void> {
  const pin = await parsePin(text);
  lastingStore.set(KEY, pin.text);
  use(pin);
}

export function unpin(): void {
  lastingStore.set(KEY, null);
  use(null);
}

export function acceptGap(): void {
  if (trust.value.kind !== "gap") return;
  acceptGapAt = trust.value.index;
  trust.value = { kind: "checking" };
}

export function forgetSeen(): void {
  const pin = pinned.value;
  if (!pin) return;
  for (const key of [seenKey(pin), seenKey({ ...pin, first: null }), chainKey(pin), FINDING]) lastingStore.set(key, null);
  finding.value = null;
  use(pin);
}

export async function startTrust(): Promise<void> {
  if (!(await canVerify())) {
    trust.value = { kind: "unable" };
    return;
  }
  const stored = lastingStore.get(KEY);
  use(stored ? await parsePin(stored).catch(() => null) : null);
  try {
    finding.value = JSON.parse(lastingStore.get(FINDING) ?? "null") as Finding | null;
  } catch {
    finding.value = null;
  }
}

export const whyNot = (): string => {
  const now = trust.value;
  if (finding.value) return "The host's tree contradicts the one that this browser saw before.";
  if (now.kind === "bad") return `The host's checkpoint cannot be believed. ${now.why}`;
  if (now.kind === "gap") return "Seals of epochs are missing: see what can be believed, above.";
  return "The host's checkpoint was not checked.";
};
