// Four views of one session, and where they differ: what a client was shown, what get_messages pages
// through, what lies in the history's SQLite file, and what the harness keeps in its own file.
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { sleep } from "./lib.mjs";

const tenant = (host, account) => path.join(host.state, "tenants", String(account));

// ---------------------------------------------------------------- one row of a view

const partText = (part) => {
  if (part.type === "tool_call") return `⚒${part.name} ${JSON.stringify(part.input ?? null)}`;
  if (part.type === "tool_result") return part.output;
  if (part.type === "thinking") return `~${part.text}`;
  return part.type === "image" ? `[${part.mimeType}]` : part.text;
};

/** A message of the protocol, or a stored one, as it is compared. */
export function rowOf(message) {
  const parts = message.parts ?? [];
  return {
    id: message.id, idx: message.idx, role: message.role, text: parts.map(partText).join("\n"), client_id: message.client_id,
    stop: message.stop_reason, error: message.error, recovered: message.recovered === true, cut: parts.some((p) => p.cut),
    incomplete: message.stop_reason === "error" || message.stop_reason === "aborted",
  };
}

// ---------------------------------------------------------------- the history's file

const reader = `
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.row_factory = sqlite3.Row
rows = db.execute("SELECT c.external_id AS session, c.message_count AS counted, m.id, m.idx, m.role, m.parts_json, m.metadata, m.client_id, m.conversation_id "
  "FROM messages m JOIN conversations c ON c.id = m.conversation_id ORDER BY m.conversation_id, m.idx")
print(json.dumps([dict(row) for row in rows]))
print(db.execute("PRAGMA integrity_check").fetchone()[0])
`;

/** What is in the history's file, session by session. The file is locked by who writes it: a copy is read. */
export async function storedViews(host, account = 1) {
  const from = path.join(tenant(host, account), "state/hstry");
  for (let tries = 1; ; tries++) {
    const dir = mkdtempSync("/tmp/oqto-views-");
    try {
      for (const name of ["hstry.db", "hstry.db-wal"]) if (existsSync(path.join(from, name))) copyFileSync(path.join(from, name), path.join(dir, name));
      const [rows, whole] = execFileSync("python3", ["-c", reader, path.join(dir, "hstry.db")], { encoding: "utf8", maxBuffer: 1 << 29, stdio: ["ignore", "pipe", "pipe"] }).trim().split("\n");
      if (whole !== "ok") throw new Error(`the history's file is damaged: ${whole}`);
      const views = new Map();
      for (const row of JSON.parse(rows)) {
        if (!views.has(row.session)) views.set(row.session, Object.assign([], { counted: row.counted }));
        views.get(row.session).push(rowOf({ ...row, client_id: row.client_id ?? undefined, parts: JSON.parse(row.parts_json), ...JSON.parse(row.metadata || "{}") }));
      }
      return views;
    } catch (error) {
      if (tries === 5) throw error;  // the two files may be copied from both sides of a checkpoint
      await sleep(100);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }
}

// ---------------------------------------------------------------- the harness's file

/** The session's own files of Pi, wherever the tenant's workspaces have them. */
export function piFiles(host, session, account = 1) {
  const homes = path.join(tenant(host, account), "home");
  if (!existsSync(homes)) return [];
  const uuid = session.replace(/^oqto-/, "");
  return readdirSync(homes).flatMap((home) => {
    const dir = path.join(homes, home, ".pi/sessions");
    return existsSync(dir) ? readdirSync(dir).filter((name) => name.includes(uuid)).map((name) => path.join(dir, name)) : [];
  });
}

function piContent(content) {
  if (typeof content === "string") return content;
  return (content ?? []).map((block) => {
    if (block.type === "toolCall") return `⚒${block.name} ${JSON.stringify(block.arguments ?? null)}`;
    if (block.type === "thinking") return `~${block.thinking}`;
    return block.type === "image" ? `[${block.mimeType}]` : block.text;
  }).join("\n");
}

const piRole = { user: "user", assistant: "assistant", toolResult: "tool" };

/** What the model is told of: the branch that ends in the file's last entry, without what an edit hides. */
export function piView(host, session, account = 1) {
  const files = piFiles(host, session, account);
  if (files.length > 1) throw new Error(`two files of ${session}: ${files}`);
  if (files.length === 0) return Object.assign([], { damaged: 0 });
  let damaged = 0;
  const entries = readFileSync(files[0], "utf8").split("\n").filter(Boolean).flatMap((line, at, all) => {
    try { return [JSON.parse(line)]; } catch { if (at < all.length - 1) damaged++; return []; }  // the last line may be being written
  }).filter((entry) => entry.type !== "session");
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  const branch = damaged ? entries : [];
  if (!damaged) for (let entry = entries.at(-1); entry; entry = byId.get(entry.parentId)) branch.unshift(entry);
  const hidden = new Set(branch.filter((e) => e.type === "context_edit" && e.replacement === null).map((e) => e.targetId));
  const rows = branch.filter((e) => e.type === "message" && piRole[e.message.role] && !hidden.has(e.id)).map(({ id, message }) => ({
    id, role: piRole[message.role], text: piContent(message.content), stop: message.stopReason, error: message.errorMessage,
    incomplete: message.stopReason === "error" || message.stopReason === "aborted",
  }));
  return Object.assign(rows, { damaged });
}

// ---------------------------------------------------------------- comparing

const begins = (a, b) => a.startsWith(b) || b.startsWith(a);

/** Null, or where two views that should hold the same messages first differ. */
function firstDifference(left, right, [leftName, rightName]) {
  for (let at = 0; at < Math.max(left.length, right.length); at++) {
    const a = left[at], b = right[at];
    if (!a || !b) return { at, what: `only ${a ? leftName : rightName} has a message ${at}` };
    if (a.id !== b.id) return { at, what: `message ${at} is ${a.id} in ${leftName} and ${b.id} in ${rightName}` };
    if (a.role !== b.role) return { at, what: `message ${at} is of ${a.role} in ${leftName} and of ${b.role} in ${rightName}` };
    const shorter = a.cut || b.cut || a.recovered || a.incomplete;
    if (shorter ? !begins(a.text, b.text) && !a.cut && !b.cut : a.text !== b.text) return { at, what: `message ${at} has another text in ${leftName} than in ${rightName}` };
    if (a.stop !== b.stop) return { at, what: `message ${at} ended by ${a.stop} in ${leftName} and by ${b.stop} in ${rightName}` };
  }
  return null;
}

/** History against the harness. The harness lacks what never reached it: a prompt that was answered by a
 * stored reason, and that reason. It has nothing that the history lacks. A file with `damaged` lines (Pi
 * loses an entry when the disk is full, and the one after it) may lack more. */
function againstHarness(stored, pi) {
  let at = 0, seen = 0;
  const reasonFollows = (from) => stored.slice(from + 1).find((row) => row.role !== "user")?.incomplete;
  for (; at < stored.length; at++) {
    const row = stored[at], other = pi[seen];
    const same = other && row.role === other.role && (row.text === other.text || (row.cut || row.recovered || (row.incomplete && other.incomplete)) && begins(row.text, other.text));
    if (same) { seen++; continue; }
    if (pi.damaged || row.incomplete || (row.role === "user" && reasonFollows(at))) continue;
    return { at, pi: seen, what: `message ${at} of the history is not the harness's message ${seen}` };
  }
  return seen < pi.length ? { at, pi: seen, what: `the harness has a message ${seen} (${pi[seen].role}) that the history lacks` } : null;
}

/** What is wrong with the order within one view. */
function disorder(rows) {
  const problems = [];
  for (const key of ["id", "client_id"]) {
    const seen = new Set();
    for (const row of rows) {
      if (row[key] === undefined) continue;
      if (seen.has(row[key])) problems.push(`two messages with ${key} ${row[key]}`);
      seen.add(row[key]);
    }
  }
  rows.forEach((row, at) => { if (at > 0 && !(row.idx > rows[at - 1].idx)) problems.push(`idx ${row.idx} comes after ${rows[at - 1].idx}`); });
  return problems;
}

/** The rows moved down by `shift` places, so that what should be equal stands side by side. */
const beside = (rows, shift) => (shift < 0 ? rows.slice(-shift) : [...Array(shift).fill(undefined), ...rows]);
const cell = (row, width) => {
  const text = row ? `${row.role[0]}${row.stop ? `/${row.stop.slice(0, 5)}` : ""} ${(row.id ?? "").replace(/^msg_/, "").slice(0, 6)} ${row.text.replaceAll("\n", "⏎")}${row.error ? ` !${row.error}` : ""}` : "-";
  return [...text].slice(0, width).join("").padEnd(width);
};
/** The views beside each other, around one place. */
export function sideBySide(views, at, width = 44) {
  const names = Object.keys(views), lines = [["    ", ...names.map((n) => `${n} (${views[n].length})`.padEnd(width))].join(" | ")];
  const last = Math.max(...names.map((n) => views[n].length));
  for (let i = Math.max(0, at - 4); i < Math.min(last, at + 5); i++) lines.push([`${i === at ? ">" : " "}${String(i).padStart(3)}`, ...names.map((n) => cell(views[n][i], width))].join(" | "));
  return lines.join("\n");
}

/** Everything that is wrong with a session at rest, as texts; empty if the four views agree.
 * `followed`: a client's view (client.mjs), caught up. `pages`: get_messages. `stored`: of storedViews. */
export function disagreements(host, session, followed, pages, stored, { account = 1, damageAllowed = false } = {}) {
  const views = { live: followed.messages.map(rowOf), get_messages: pages.map(rowOf), sqlite: stored ?? [], harness: piView(host, session, account) };
  const problems = [...followed.faults];
  if (views.harness.damaged && !damageAllowed) problems.push(`${views.harness.damaged} lines of the harness's file are damaged`);
  const report = (found) => { if (found) problems.push(`${found.what}\n${sideBySide(views, found.at)}`); };
  report(firstDifference(views.get_messages, views.sqlite, ["get_messages", "sqlite"]));
  report(firstDifference(views.live, views.get_messages, ["live", "get_messages"]));
  const found = againstHarness(views.get_messages, views.harness);
  if (found) problems.push(`${found.what}\n${sideBySide({ ...views, harness: beside(views.harness, found.at - found.pi) }, found.at)}`);
  problems.push(...disorder(views.sqlite));
  if (stored && stored.counted !== stored.length) problems.push(`the history counts ${stored.counted} messages and has ${stored.length}`);
  const kept = new Set(views.get_messages.map((row) => row.id));
  for (const [id, message] of followed.ever) if (!kept.has(id)) problems.push(`message ${id} (${message.role}: ${JSON.stringify(rowOf(message).text.slice(0, 60))}) was shown and is gone`);
  for (const id of followed.open.keys()) problems.push(`the stream of message ${id} never ended`);
  return { problems, views };
}
