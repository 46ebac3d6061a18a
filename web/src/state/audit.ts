// What an auditor looks at, and how far it can be believed. Everything that carries a checkpoint goes
// through `learn`: it is checked against the pinned key and against what this browser saw before.

import { batch, computed, signal } from "@preact/signals";
import { readEntry, isCommitted, type Entry, type Row } from "../audit/entry";
import {
  canVerify, equal, Invalid, leafHash, parseKey, parseProof, toHex, verifyCheckpoint, verifyConsistency, verifyInclusion,
  type Checkpoint, type VerifierKey,
} from "../audit/verify";
import { ConnectionLost } from "../net/mux";
import { mux } from "./link";
import { lastingStore } from "./storage";
import { messageOf, toast } from "./store";

export interface Filter {
  text: string;
  groups: number[]; // of EVENT_GROUPS
  actor: string;
  tenant: string;
  session: string;
  outcome: "" | "success" | "failure";
  since: "" | "1h" | "24h" | "7d" | "between";
  from: string; // datetime-local, UTC
  to: string;
  reads: boolean; // show the records of reading
  intent: number | null;
}
export const NO_FILTER: Filter = {
  text: "", groups: [], actor: "", tenant: "", session: "", outcome: "", since: "", from: "", to: "", reads: false, intent: null,
};

export type Trust =
  | { kind: "unpinned" }
  | { kind: "unable" }
  | { kind: "checking" }
  | { kind: "good"; checkpoint: Checkpoint; at: number }
  | { kind: "bad"; why: string };

export interface Finding {
  kind: "rollback" | "fork";
  at: number;
  seen: string; // the two notes, which are the evidence
  shown: string;
}

export type Proof =
  | { kind: "checking" }
  | { kind: "unpinned" }
  | { kind: "pending" }
  | { kind: "good"; checkpoint: Checkpoint }
  | { kind: "bad"; why: string };

export interface Opened {
  entry: Entry;
  proof: Proof;
  committed: boolean;
}

export const pinned = signal<VerifierKey | null>(null);
export const trust = signal<Trust>({ kind: "unpinned" });
export const finding = signal<Finding | null>(null);
export const filter = signal<Filter>(NO_FILTER);
export const rows = signal<Entry[]>([]);
export const older = signal<number | null>(null); // where the next page begins
export const loading = signal(false);
export const failure = signal("");
export const newer = signal(0); // acts since the list was loaded
export const indexed = signal(0);
export const trouble = signal("");
export const opened = signal<Opened | null>(null);
export const openIndex = signal<number | null>(null);
export const filtersOpen = signal(false);
export const trustOpen = signal(false);

export const filterCount = computed(() => {
  const f = filter.value;
  return [f.text, f.actor, f.tenant, f.session, f.outcome, f.since, f.intent !== null].filter(Boolean).length + (f.groups.length > 0 ? 1 : 0);
});

const KEY = "audit.vkey";
const FINDING = "audit.finding";
const PAGE = 60;
const PENDING_MS = 700;
const PENDING_TRIES = 8;

const seenKey = (key: VerifierKey) => `audit.seen.${toHex(key.id)}`;

// ---------------------------------------------------------------- what is believed

async function seen(): Promise<Checkpoint | null> {
  const key = pinned.value;
  const note = key && lastingStore.get(seenKey(key));
  if (!key || !note) return null;
  return verifyCheckpoint(note, key).catch(() => null); // not what this page stored
}

interface Noted {
  note: string;
  old_size?: number;
  consistency?: unknown;
}

function find(kind: Finding["kind"], before: Checkpoint, shown: Checkpoint): null {
  finding.value = { kind, at: Date.now(), seen: before.note, shown: shown.note };
  lastingStore.set(FINDING, JSON.stringify(finding.value));
  return null;
}

// The checkpoint of an answer, if it can be believed; null says why in `trust` or `finding`.
async function learn(answer: Noted, before: Checkpoint | null): Promise<Checkpoint | null> {
  const key = pinned.value;
  if (!key) return null;
  let shown: Checkpoint;
  try {
    shown = await verifyCheckpoint(answer.note, key);
  } catch (error) {
    trust.value = { kind: "bad", why: error instanceof Invalid ? error.message : "the signature could not be checked" };
    return null;
  }
  if (before) {
    if (shown.size < before.size) return find("rollback", before, shown);
    let continues = false;
    try {
      continues = shown.size === before.size
        ? equal(shown.root, before.root)
        : await verifyConsistency(before.size, before.root, shown.size, shown.root, parseProof(answer.consistency));
    } catch {
      // No proof that can be read is no proof.
    }
    if (!continues) return find("fork", before, shown);
  }
  lastingStore.set(seenKey(key), shown.note);
  trust.value = { kind: "good", checkpoint: shown, at: Date.now() };
  return shown;
}

// One after the other, so that every proof begins at the checkpoint that was learned last.
let queue: Promise<unknown> = Promise.resolve();
function noted<T extends Noted>(cmd: string, fields: object): Promise<{ answer: T; checkpoint: Checkpoint | null }> {
  const next = queue.then(async () => {
    const before = await seen();
    const answer = await mux.request<T>("_system", cmd, before ? { ...fields, old_size: Number(before.size) } : fields);
    return { answer, checkpoint: await learn(answer, before) };
  });
  queue = next.catch(() => {});
  return next;
}

export async function checkNow(): Promise<void> {
  try {
    const { answer } = await noted<Noted & { indexed: number; trouble?: string }>("audit.checkpoint", {});
    indexed.value = answer.indexed;
    trouble.value = answer.trouble ?? "";
  } catch (error) {
    if (!(error instanceof ConnectionLost)) failure.value = messageOf(error);
  }
}

export async function pinKey(text: string): Promise<void> {
  const key = await parseKey(text);
  lastingStore.set(KEY, key.text);
  batch(() => {
    pinned.value = key;
    trust.value = { kind: "checking" };
  });
  if (mux.open) await checkNow();
  if (openIndex.value !== null) void openEntry(openIndex.value);
}

export function unpin(): void {
  lastingStore.set(KEY, null);
  batch(() => {
    pinned.value = null;
    trust.value = { kind: "unpinned" };
    if (opened.value) opened.value = { ...opened.value, proof: { kind: "unpinned" } };
  });
}

export function forgetSeen(): void {
  if (pinned.value) lastingStore.set(seenKey(pinned.value), null);
  lastingStore.set(FINDING, null);
  finding.value = null;
  if (mux.open) void checkNow();
}

export async function startAudit(): Promise<void> {
  if (!(await canVerify())) {
    trust.value = { kind: "unable" };
    return;
  }
  const stored = lastingStore.get(KEY);
  pinned.value = stored ? await parseKey(stored).catch(() => null) : null;
  trust.value = pinned.value ? { kind: "checking" } : { kind: "unpinned" };
  try {
    finding.value = JSON.parse(lastingStore.get(FINDING) ?? "null") as Finding | null;
  } catch {
    finding.value = null;
  }
}

// ---------------------------------------------------------------- the time line

const SINCE_MS = { "1h": 3_600_000, "24h": 86_400_000, "7d": 604_800_000 };

export function wireFilter(f: Filter, groups: { events: string[] }[]): object {
  const utc = (local: string) => Date.parse(`${local}Z`);
  const wire: Record<string, unknown> = {};
  if (f.text.trim()) wire["text"] = f.text.trim();
  if (f.actor.trim()) wire["actors"] = [f.actor.trim()];
  if (f.tenant.trim()) wire["tenants"] = [f.tenant.trim()];
  if (f.session.trim()) wire["sessions"] = [f.session.trim().replace(/^oqto-/, "")];
  if (f.outcome) wire["outcomes"] = [f.outcome];
  if (f.groups.length > 0) wire["events"] = f.groups.flatMap((g) => groups[g]?.events ?? []).slice(0, 16);
  if (f.intent !== null) wire["intent"] = f.intent;
  if (f.since === "between") {
    if (utc(f.from)) wire["from_ms"] = utc(f.from);
    if (utc(f.to)) wire["to_ms"] = utc(f.to);
  } else if (f.since) {
    wire["from_ms"] = Date.now() - SINCE_MS[f.since];
  }
  if (!f.reads) wire["without"] = ["audit.read"];
  return wire;
}

let wired: object = { without: ["audit.read"] };
let latest = 0;
export const wiredFilter = () => wired;

async function page(before: number | null): Promise<void> {
  const mine = ++latest;
  loading.value = true;
  failure.value = "";
  try {
    const answer = await mux.request<{ entries: Row[]; next: number | null; indexed: number }>(
      "_system", "audit.search", { ...wired, limit: PAGE, ...(before === null ? {} : { before }) });
    if (mine !== latest) return;
    batch(() => {
      const got = answer.entries.map(readEntry);
      rows.value = before === null ? got : [...rows.value, ...got];
      older.value = answer.next;
      indexed.value = answer.indexed;
      if (before === null) newer.value = 0;
    });
  } catch (error) {
    if (mine === latest && !(error instanceof ConnectionLost)) failure.value = messageOf(error);
  } finally {
    if (mine === latest) loading.value = false;
  }
}

export function search(next: Filter, groups: { events: string[] }[]): void {
  filter.value = next;
  wired = wireFilter(next, groups);
  void page(null);
}
export const refresh = () => page(null);
export const loadOlder = () => (older.value === null ? Promise.resolve() : page(older.value));

// ---------------------------------------------------------------- one entry

export function closeEntry(): void {
  openIndex.value = null;
  opened.value = null;
}

export async function openEntry(index: number, tries = PENDING_TRIES): Promise<void> {
  openIndex.value = index;
  if (opened.value?.entry.index !== index) opened.value = null;
  try {
    const { answer, checkpoint } = await noted<Row & Noted & { proof: unknown }>("audit.entry", { index });
    if (openIndex.value !== index) return;
    const entry = readEntry(answer);
    const proof = await prove(answer, checkpoint);
    const committed = await isCommitted(entry);
    if (openIndex.value !== index) return;
    opened.value = { entry, proof, committed };
    if (proof.kind === "pending" && tries > 0) setTimeout(() => openIndex.value === index && void openEntry(index, tries - 1), PENDING_MS);
  } catch (error) {
    if (openIndex.value !== index || error instanceof ConnectionLost) return;
    toast(messageOf(error), "error");
    if (!opened.value) openIndex.value = null;
  }
}

async function prove(answer: Row & { proof: unknown }, checkpoint: Checkpoint | null): Promise<Proof> {
  if (!pinned.value) return { kind: "unpinned" };
  if (!checkpoint) {
    return { kind: "bad", why: finding.value ? "The host's tree contradicts the one that this browser saw before." : `The host's checkpoint cannot be believed: ${trust.value.kind === "bad" ? trust.value.why : "it was not checked"}.` };
  }
  if (answer.proof === null && BigInt(answer.index) >= checkpoint.size) return { kind: "pending" };
  try {
    const leaf = await leafHash(answer.entry);
    const inside = await verifyInclusion(BigInt(answer.index), checkpoint.size, leaf, checkpoint.root, parseProof(answer.proof));
    if (inside) return { kind: "good", checkpoint };
    return { kind: "bad", why: "These bytes are not what stands in the signed tree at this place." };
  } catch (error) {
    return { kind: "bad", why: `There is no proof: ${messageOf(error)}.` };
  }
}

// ---------------------------------------------------------------- leaving

export function download(name: string, type: string, parts: string[]): void {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

export async function auditConnected(): Promise<void> {
  await checkNow();
  await refresh();
}

export function auditGrew(acts: number, next: number): void {
  batch(() => {
    newer.value += acts;
    indexed.value = next;
  });
}
