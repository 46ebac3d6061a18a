// What the auditor asks for, as an address holds it.

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

export type View = "story" | "list";

const WORDS = ["text", "actor", "tenant", "session"] as const;
const SINCE = ["", "1h", "24h", "7d", "between"] as const;

export function placeOf(at: View, f: Filter, entry: number | null): string {
  const said = new URLSearchParams();
  said.set("view", at);
  for (const word of WORDS) if (f[word]) said.set(word, f[word]);
  if (f.groups.length > 0) said.set("events", f.groups.join(","));
  if (f.outcome) said.set("outcome", f.outcome);
  if (f.since) said.set("since", f.since);
  if (f.since === "between") {
    if (f.from) said.set("from", f.from);
    if (f.to) said.set("to", f.to);
  }
  if (f.reads) said.set("reads", "1");
  if (f.intent !== null) said.set("intent", String(f.intent));
  if (entry !== null) said.set("entry", String(entry));
  return `#${said.toString()}`;
}

const number = (text: string | null): number | null => (text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null);

// Whatever stands there: a link may come from anybody.
export function readPlace(hash: string): { view: View; filter: Filter; entry: number | null } {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  const f: Filter = { ...NO_FILTER };
  for (const word of WORDS) f[word] = (said.get(word) ?? "").slice(0, word === "text" ? 256 : 64);
  f.groups = (said.get("events") ?? "").split(",").filter((g) => /^\d$/.test(g)).map(Number);
  const outcome = said.get("outcome");
  if (outcome === "success" || outcome === "failure") f.outcome = outcome;
  f.since = SINCE.find((one) => one === said.get("since")) ?? "";
  for (const end of ["from", "to"] as const) {
    const time = said.get(end) ?? "";
    if (/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?$/.test(time)) f[end] = time;
  }
  f.reads = said.get("reads") === "1";
  f.intent = number(said.get("intent"));
  return { view: said.get("view") === "list" ? "list" : "story", filter: f, entry: number(said.get("entry")) };
}
