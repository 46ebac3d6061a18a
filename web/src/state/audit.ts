// What an auditor looks at: the time line, and one entry with its proof.

import { batch, computed, signal } from "@preact/signals";
import { NO_FILTER, type Filter } from "../audit/place";
import { readEntry, isCommitted, type Entry, type Row } from "../audit/entry";
import { leafHash, parseProof, verifyInclusion, type Checkpoint } from "../audit/verify";
import { ConnectionLost } from "../net/mux";
import * as believed from "./audit_trust";
import { indexed, noted, pinned, trust, whyNot, type Guard, type Noted } from "./audit_trust";
import { mux } from "./link";
import { messageOf, toast } from "./store";

export { NO_FILTER, type Filter };

export type Proof =
  | { kind: "checking" }
  | { kind: "unpinned" }
  | { kind: "pending" }
  | { kind: "good"; checkpoint: Checkpoint; guard: Guard | null }
  | { kind: "bad"; why: string };

export interface Opened {
  entry: Entry;
  proof: Proof;
  committed: boolean;
}

export const filter = signal<Filter>(NO_FILTER);
export const rows = signal<Entry[]>([]);
export const older = signal<number | null>(null); // where the next page begins
export const loading = signal(false);
export const failure = signal("");
export const unknown = signal<string[]>([]); // who was asked for and is not in the log
export const newer = signal(0); // acts since the list was loaded
export const opened = signal<Opened | null>(null);
export const openIndex = signal<number | null>(null);
export const filtersOpen = signal(false);

export const filterCount = computed(() => {
  const f = filter.value;
  return [f.text, f.actor, f.tenant, f.session, f.outcome, f.since, f.intent !== null].filter(Boolean).length + (f.groups.length > 0 ? 1 : 0);
});

const PAGE = 60;
const PENDING_MS = 700;
const PENDING_TRIES = 8;

// ---------------------------------------------------------------- what is believed

const RETRY_MS = 5000;
let retry: ReturnType<typeof setTimeout> | undefined;

export async function checkNow(): Promise<void> {
  clearTimeout(retry);
  try {
    await believed.checkNow();
  } catch (error) {
    if (error instanceof ConnectionLost) return; // the next connection checks again
    failure.value = messageOf(error);
    retry = setTimeout(() => mux.open && trust.value.kind === "checking" && void checkNow(), RETRY_MS);
  }
}

// What was said about an entry was said with other keys.
async function checkAgain(): Promise<void> {
  if (opened.value) opened.value = { ...opened.value, proof: { kind: pinned.value ? "checking" : "unpinned" } };
  if (pinned.value && mux.open) await checkNow();
  if (pinned.value && openIndex.value !== null) void openEntry(openIndex.value);
}

export async function pinKey(text: string): Promise<void> {
  await believed.pinKey(text);
  void checkAgain();
}

export function unpin(): void {
  believed.unpin();
  void checkAgain();
}

export function forgetSeen(): void {
  believed.forgetSeen();
  void checkAgain();
}

export function acceptGap(): void {
  believed.acceptGap();
  void checkAgain();
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
    const answer = await mux.request<{ entries: Row[]; next: number | null; indexed: number; unknown?: string[] }>(
      "_system", "audit.search", { ...wired, limit: PAGE, ...(before === null ? {} : { before }) });
    if (mine !== latest) return;
    batch(() => {
      const got = answer.entries.map(readEntry);
      rows.value = before === null ? got : [...rows.value, ...got];
      older.value = answer.next;
      unknown.value = answer.unknown ?? [];
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

// As the list has it, until its proof is there: the seals may take a while the first time.
function listed(index: number): Opened | null {
  const entry = rows.value.find((row) => row.index === index);
  return entry && pinned.value ? { entry, proof: { kind: "checking" }, committed: true } : null;
}

export async function openEntry(index: number, tries = PENDING_TRIES): Promise<void> {
  openIndex.value = index;
  if (opened.value?.entry.index !== index) opened.value = listed(index);
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
  if (!checkpoint) return { kind: "bad", why: whyNot() };
  if (answer.proof === null && BigInt(answer.index) >= checkpoint.size) return { kind: "pending" };
  try {
    const leaf = await leafHash(answer.entry);
    const inside = await verifyInclusion(BigInt(answer.index), checkpoint.size, leaf, checkpoint.root, parseProof(answer.proof));
    if (inside) return { kind: "good", checkpoint, guard: trust.value.kind === "good" ? trust.value.guard : null };
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

export function auditGrew(acts: number, next: number): void {
  batch(() => {
    newer.value += acts;
    indexed.value = next;
  });
}
