// The story of one session or one person, and whose there are.

import { batch, computed, signal } from "@preact/signals";
import { ConnectionLost } from "../net/mux";
import { filter, wireFilter } from "./audit";
import { mux } from "./link";
import { messageOf } from "./store";

export interface Scene {
  index: number;
  time: number;
  kind: string;
  sentence: string;
  result?: string;
  mark: "none" | "done" | "failed" | "refused" | "open";
  session?: string;
  duration_ms?: number;
  entries: number[];
  within: Scene[];
}
export type Totals = Record<
  "entries" | "prompts" | "tools" | "programs" | "files" | "connections" | "questions" | "models" | "tokens_in" | "tokens_out" | "cost_nanos" | "refused" | "failed", number>;
interface Told {
  scenes: Scene[];
  totals: Totals;
  next: number | null;
  unknown?: string[];
}
export interface Subjects {
  sessions: { session: string; account: string; name: string; time: number }[];
  people: { account: string; name: string }[];
}

export const subjects = signal<Subjects | null>(null);
export const parts = signal<Told[]>([]); // oldest first
export const telling = signal(false);
export const untold = signal(""); // why there is no story
export const withMinor = signal(false);
export const onlyBad = signal(false);

export const isAbout = computed(() => filter.value.session.trim() !== "" || filter.value.tenant.trim() !== "");
export const totals = computed(() =>
  parts.value.reduce<Totals | null>((sum, part) => {
    if (!sum) return part.totals;
    return Object.fromEntries(Object.entries(sum).map(([key, value]) => [key, value + part.totals[key as keyof Totals]])) as Totals;
  }, null));
export const earlier = computed(() => parts.value[0]?.next ?? null);
export const unknown = computed(() => parts.value.at(-1)?.unknown ?? []);

let latest = 0;

async function part(before: number | null): Promise<void> {
  const mine = ++latest;
  telling.value = true;
  untold.value = "";
  try {
    const { sessions, tenants, from_ms, to_ms } = wireFilter(filter.value, []) as Record<string, unknown>;
    const told = await mux.request<Told>("_system", "audit.timeline", {
      ...(sessions ? { sessions } : {}), ...(tenants ? { tenants } : {}), ...(from_ms ? { from_ms } : {}), ...(to_ms ? { to_ms } : {}),
      ...(before === null ? {} : { before }), all: withMinor.value,
    });
    if (mine === latest) parts.value = before === null ? [told] : [told, ...parts.value];
  } catch (error) {
    if (mine === latest && !(error instanceof ConnectionLost)) untold.value = messageOf(error);
  } finally {
    if (mine === latest) telling.value = false;
  }
}

export async function tell(): Promise<void> {
  parts.value = [];
  if (isAbout.value) await part(null);
}
export const tellEarlier = () => (earlier.value === null ? Promise.resolve() : part(earlier.value));

// Whoever opens the page is shown something: the newest session, until another one is chosen.
export async function startStories(): Promise<void> {
  try {
    subjects.value = await mux.request<Subjects>("_system", "audit.subjects", {});
  } catch (error) {
    if (!(error instanceof ConnectionLost)) untold.value = messageOf(error);
  }
  const newest = subjects.value?.sessions[0];
  if (!isAbout.value && newest) filter.value = { ...filter.value, session: newest.session };
  await tell();
}

export function forgetStories(): void {
  ++latest;
  batch(() => {
    subjects.value = null;
    parts.value = [];
    untold.value = "";
    telling.value = false;
  });
}
