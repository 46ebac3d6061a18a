// A tenant with 223 conversations, most of them never opened since the host began.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { sleep, until } from "./lib.mjs";
import { asking, newId, plain, Scenario } from "./scenario.mjs";

const count = 223;
let s;
const expected = new Map();

// One conversation again and again, each with its own ids, times and number of turns. The file belongs to the
// tenant, which stays so: it is written in place.
const cloner = `
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.row_factory = sqlite3.Row
wanted = json.load(sys.stdin)
conversation = dict(db.execute("SELECT * FROM conversations WHERE external_id = ?", (wanted["from"],)).fetchone())
messages = [dict(row) for row in db.execute("SELECT * FROM messages WHERE conversation_id = ? ORDER BY idx", (conversation["id"],))]
def put(table, row):
  db.execute("INSERT INTO %s(%s) VALUES(%s)" % (table, ",".join(row), ",".join("?" * len(row))), list(row.values()))
for clone in wanted["clones"]:
  put("conversations", {**conversation, "id": clone["row"], "external_id": clone["id"], "platform_id": clone["id"], "readable_id": None, "title": clone["title"],
    "created_at": clone["created_at"], "updated_at": clone["last_activity"], "message_count": clone["message_count"]})
  for idx in range(clone["message_count"]):
    like = messages[idx % 2]
    put("messages", {**like, "id": "%s_%d" % (clone["row"], idx), "conversation_id": clone["row"], "idx": idx, "client_id": None, "created_at": clone["last_activity"]})
db.commit()
db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
`;

before(async () => {
  s = await Scenario.start();
  const first = await s.session();
  await s.mux.turn(first, asking("hello", { text: "hello yourself" }));
  await s.mux.close();
  await s.host.down();
  await until("its end", async () => s.host.processes(/(?:)/).length === 0);
  const registry = path.join(s.host.state, "tenants/1/state/runner/registry.json"), known = JSON.parse(readFileSync(registry, "utf8"));
  const like = known.sessions.find((row) => row.id === first), begin = Date.now() - 86_400_000;
  const clones = Array.from({ length: count - 1 }, (_, i) => ({ id: newId(), row: randomUUID(), title: `clone ${i}`, created_at: begin + i * 1000, last_activity: begin + i * 1000 + 500, message_count: 2 + 2 * (i % 5) }));
  execFileSync("python3", ["-c", cloner, path.join(s.host.state, "tenants/1/state/hstry/hstry.db")], { input: JSON.stringify({ from: first, clones }) });
  known.sessions.push(...clones.map(({ id, title, created_at }) => ({ ...like, id, title, created_at })));
  writeFileSync(registry, JSON.stringify(known));
  for (const clone of clones) expected.set(clone.id, clone);
  await s.host.up();
  s.mux = await s.reach();
});
after(async () => { await s?.stop(); });

/** What is wrong in the list, as texts. */
async function wrong() {
  const { sessions } = await s.mux.ok("list_sessions", "_system"), problems = [];
  if (sessions.length !== count) problems.push(`${sessions.length} sessions instead of ${count}`);
  for (const it of sessions) {
    const like = expected.get(it.session_id);
    if (!like) continue;
    for (const field of ["title", "message_count", "last_activity", "created_at"]) if (it[field] !== like[field]) problems.push(`${field} of ${like.title} is ${it[field]} instead of ${like[field]}`);
    if (it.model !== "mock-1" || it.provider !== "mock") problems.push(`the model of ${like.title} is ${it.provider}/${it.model}`);
    if (it.state !== "asleep") problems.push(`${like.title} is ${it.state}`);
  }
  const times = sessions.map((it) => it.last_activity);
  if (times.some((t, i) => i > 0 && t > times[i - 1])) problems.push("the list is not newest first");
  return problems;
}
const allRight = async () => {
  let problems = [];
  await until("the list to be right", async () => (problems = await wrong()).length === 0, 5000).catch(() => {});
  assert.equal(problems.length, 0, `${problems.length} problems, such as\n${problems.slice(0, 8).join("\n")}`);
};

test("223 conversations are listed with their messages, models and times after a restart of the host", allRight);

test("and after a kill of the runner", async () => {
  await s.killRunner();
  await allRight();
});

test("one of them is woken by its next message", async () => {
  const [session, like] = [...expected].find(([, it]) => it.message_count === 2);
  await s.insist(session, asking("wake up", { text: "I am awake" }));
  await s.rest(session);
  const messages = await s.messages(session);
  assert.equal(messages.length, like.message_count + 2);
  assert.equal(plain(messages.at(-1)), "I am awake");
  await s.mux.ok("session.close", session);
  expected.delete(session);
});

test("with 70 subscriptions of one connection each says limit or delivers, and unsubscribing frees a place", async () => {
  const { limits } = await until("the first frame", async () => s.mux.system.find((m) => m.type === "connected"));
  assert.ok(limits?.subscriptions >= 16, "LIMITS.subscriptions says how many there may be");
  const sessions = [...expected.keys()].slice(0, 70), followed = new Set(), refused = [];
  const dropped = () => new Set(s.mux.events.filter((e) => e.event === "session.unsubscribed").map((e) => e.session_id));
  for (const session of sessions) {
    const answer = await s.mux.command("session.subscribe", session, { since_seq: 0 });
    if (answer.success) followed.add(session);
    else { assert.equal(answer.code, "limit", answer.error); refused.push(session); }
  }
  const hears = async (session, name) => {
    const from = s.mux.events.length;
    await s.mux.ok("set_session_name", session, { name });
    await sleep(20);
    return s.mux.events.slice(from).some((e) => e.event === "session.title_changed" && e.session_id === session);
  };
  const gone = dropped();
  for (const session of gone) followed.delete(session);
  assert.ok(followed.size <= limits.subscriptions && followed.size >= Math.min(70, limits.subscriptions), `${followed.size} followed of ${limits.subscriptions}`);
  for (const session of sessions) assert.equal(await hears(session, `named ${session.slice(-4)}`), followed.has(session), followed.has(session) ? "what is followed is delivered" : "what is not is not");
  // Unsubscribing is heard of no more, and makes room.
  const [free] = followed;
  await s.mux.ok("session.unsubscribe", free);
  assert.equal(await hears(free, "unheard"), false);
  const next = refused[0] ?? [...gone][0] ?? [...expected.keys()][70];
  await s.mux.ok("session.subscribe", next, { since_seq: 0 });
  assert.equal(await hears(next, "heard"), true);
  assert.equal((await s.mux.command("session.unsubscribe", free)).success, true, "twice does no harm");
});
