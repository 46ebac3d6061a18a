// One entry, read from the very bytes that the proof is about.

import { plain } from "./safe";
import { fromBase64, sha256, toBase64 } from "./verify";

export interface Row {
  index: number;
  entry: string;
  opened?: string; // what was sealed of it, as the host opened it
  sealed?: "sealed" | "erased";
}

export interface Entry {
  index: number;
  raw: string;
  time: number;
  event: string;
  phase: string;
  outcome: string;
  classUid: number;
  activityId: number;
  severityId: number;
  intent: number | null;
  actor: Record<string, unknown>;
  fields: Record<string, unknown>;
  personal: Record<string, unknown>; // what was sealed
  sealed: Row["sealed"] | "forged" | null;
  seal: { h: string } | null;
  opened: string | null;
}

const record = (value: unknown): Record<string, unknown> =>
  value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
const number = (value: unknown): number => (typeof value === "number" && Number.isFinite(value) ? value : 0);
const text = (value: unknown): string => (typeof value === "string" ? value : "");

function parse(json: string | undefined): Record<string, unknown> {
  try {
    return record(JSON.parse(json ?? "{}"));
  } catch {
    return {};
  }
}

export function readEntry(row: Row): Entry {
  const all = parse(row.entry);
  const sealed = record(all["sealed"]);
  const { salt: _salt, ...personal } = parse(row.opened);
  return {
    index: row.index,
    raw: row.entry,
    time: number(all["time"]),
    event: text(all["event"]) || "unreadable",
    phase: text(all["phase"]),
    outcome: text(all["outcome"]),
    classUid: number(all["class_uid"]),
    activityId: number(all["activity_id"]),
    severityId: number(all["severity_id"]),
    intent: typeof all["intent"] === "number" ? all["intent"] : null,
    actor: record(all["actor"]),
    fields: record(all["fields"]),
    personal,
    sealed: row.sealed ?? null,
    seal: typeof sealed["h"] === "string" ? { h: sealed["h"] } : null,
    opened: row.opened ?? null,
  };
}

// The entry commits to what is sealed in it: the host cannot show something else.
export async function isCommitted(entry: Entry): Promise<boolean> {
  if (entry.opened === null || !entry.seal) return entry.opened === null;
  return toBase64(await sha256(new TextEncoder().encode(entry.opened))) === entry.seal.h;
}

// A value as a person reads it: strings as they are, {"base64"} and {"cut"} as what they stand for.
export function valueText(value: unknown): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map(valueText).join(" ");
  const inner = record(value);
  if (typeof inner["base64"] === "string") {
    try {
      return [...fromBase64(inner["base64"])].map((b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : `\\x${b.toString(16).padStart(2, "0")}`)).join("");
    } catch {
      return inner["base64"];
    }
  }
  if (inner["cut"] !== undefined) return `${valueText(inner["cut"])}… (${number(inner["bytes"])} bytes in full)`;
  return value === undefined ? "" : JSON.stringify(value);
}

export const field = (entry: Entry, key: string): string => valueText(entry.personal[key] ?? entry.fields[key]);

export function who(entry: Entry): string {
  const name = text(entry.actor["username"]) || (entry.event === "audit.read" || entry.actor["process"] !== "runner" ? field(entry, "username") : "");
  return plain(name || text(entry.actor["process"]) || "?");
}

export function sessionOf(entry: Entry): string {
  return text(entry.actor["session"]) || field(entry, "session").replace(/^oqto-/, "");
}

function commandWords(entry: Entry): string {
  const args = field(entry, "args");
  let said: Record<string, unknown> = {};
  try {
    said = record(JSON.parse(args));
  } catch {
    return args;
  }
  const message = said["message"] ?? said["name"] ?? record(said["config"])["workspace_id"];
  return typeof message === "string" ? message : args === "{}" ? "" : args;
}

const program = (entry: Entry) => [field(entry, "process"), field(entry, "pid") && `pid ${field(entry, "pid")}`].filter(Boolean).join(" ");

// What happened, in a verb and its object.
export function act(entry: Entry): { verb: string; object: string } {
  const f = (key: string) => field(entry, key);
  switch (entry.event) {
    case "command": return { verb: f("command") || "command", object: commandWords(entry) };
    case "exec": return { verb: "ran", object: f("argv") || f("exe") };
    case "tool.call": return { verb: `tool ${f("tool")}`, object: commandWords(entry) };
    case "login": return { verb: "signed in", object: f("remote") && `from ${f("remote")}` };
    case "logout": return { verb: "signed out", object: "" };
    case "connection": return { verb: "connected", object: f("remote") && `from ${f("remote")}` };
    case "process.start": return { verb: "started", object: program(entry) };
    case "process.stop": return { verb: "ended", object: program(entry) };
    case "session.start": return { verb: "session started", object: f("profile") };
    case "session.stop": return { verb: "session ended", object: f("reason") };
    case "model.call": return { verb: "called a model", object: [f("provider"), f("model")].filter(Boolean).join("/") };
    case "audit.read": return { verb: "read the log", object: [f("command"), f("query")].filter(Boolean).join(" ") };
    case "network": return { verb: "connected out", object: [f("host"), f("port")].filter(Boolean).join(":") };
    case "denial": return { verb: "was refused", object: f("path") || f("host") || f("syscall") };
    case "approval": return { verb: "asked", object: [f("path") || f("host"), f("choice")].filter(Boolean).join(": ") };
    case "violation": return { verb: "broke the protocol", object: f("reason") };
    case "recording.chunk": return { verb: "recorded", object: `terminal ${f("terminal").slice(0, 8)}, piece ${f("chunk")}` };
    default: {
      const first = Object.entries({ ...entry.fields, ...entry.personal }).find(([key]) => !["account", "uid"].includes(key));
      return { verb: entry.event.replaceAll(".", " "), object: first ? valueText(first[1]) : "" };
    }
  }
}

const CLASSES: Record<number, string> = {
  1001: "File System Activity", 1007: "Process Activity", 2004: "Detection Finding", 3001: "Account Change", 3002: "Authentication",
  3003: "Authorize Session", 3004: "Entity Management", 3005: "User Access Management", 4001: "Network Activity", 4002: "HTTP Activity",
  4007: "SSH Activity", 5019: "Device Config State Change", 6002: "Application Lifecycle", 6003: "API Activity",
};
export const className = (uid: number): string => CLASSES[uid] ?? "Unknown class";

export const EVENT_GROUPS: { label: string; events: string[] }[] = [
  { label: "Commands", events: ["command", "tool.call", "workspace.create"] },
  { label: "Programs", events: ["exec"] },
  { label: "Sessions", events: ["session.*", "terminal.*", "recording.*"] },
  { label: "Sign-ins", events: ["login*", "logout", "connection", "token.*", "setup"] },
  { label: "Accounts", events: ["account.*", "invite.*", "role.*"] },
  { label: "Refused, asked", events: ["denial", "approval", "violation"] },
  { label: "Network, models", events: ["network", "model.call", "ssh.*"] },
  { label: "The host", events: ["process.*", "admin", "config.*", "policy.*", "clock.*", "log.*", "epoch.*", "key.*"] },
];
