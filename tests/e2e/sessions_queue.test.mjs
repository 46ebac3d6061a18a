// The queue: what is said to a working agent. It becomes a message when and where the model gets it;
// what it never got is given back.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { until } from "./lib.mjs";
import { asking, bashCall, eyes, picture, plain, said, Scenario } from "./scenario.mjs";

let s;

before(async () => { s = await Scenario.start({ egressOf: eyes }); });
after(async () => { await s?.stop(); });

/** A session whose agent is in the middle of a command of so many seconds. */
async function working(name, seconds = 2, config = {}) {
  const session = await s.session(config), from = s.mux.events.length;
  await s.mux.ok("prompt", session, { message: asking(`first ${name}`, bashCall(`sleep ${seconds}; echo slept`), { text: "answer to first" }) });
  await s.mux.event(session, "tool.start", from);
  return session;
}
const queue = async (session) => (await s.mux.ok("get_state", session)).queue;
const queued = (session, cmd, text, fields = {}) => s.mux.ok(cmd, session, { message: asking(text, { text: `answer to ${text}` }), ...fields });
const saidBy = (messages, role) => messages.filter((m) => m.role === role).map((m) => said(plain(m)));

test("steer and follow_ups become messages where the model got them, in the order it saw", async () => {
  const session = await working("order"), from = s.mux.events.length;
  const first = await queued(session, "follow_up", "follow one", { client_id: "f1" });
  await queued(session, "follow_up", "follow two");
  const steer = await queued(session, "steer", "steer");
  assert.ok(first.item_id && steer.item_id && first.item_id !== steer.item_id);
  const waiting = await queue(session);
  assert.deepEqual(waiting.map((i) => [said(i.message), i.delivery, i.state]).sort(),
    [["follow one", "follow_up", "pending"], ["follow two", "follow_up", "pending"], ["steer", "steer", "pending"]]);
  assert.equal(waiting.find((i) => i.id === first.item_id).client_id, "f1");
  assert.equal((await s.mux.ok("list_sessions", "_system")).sessions.find((it) => it.session_id === session).queued, 3);
  const events = () => s.mux.events.slice(from).filter((e) => e.session_id === session);
  assert.ok(events().some((e) => e.event === "queue.changed" && e.queue.length === 3));
  assert.ok(!events().some((e) => e.event === "user.message"), "none of them is a message yet");
  await until("the last answer", async () => saidBy(await s.messages(session), "assistant").includes("answer to follow two"));
  await s.rest(session);
  const messages = await s.messages(session);
  assert.deepEqual(saidBy(messages, "user"), ["first order", "steer", "follow one", "follow two"]);
  const saw = (await s.modelSaw("follow two")).filter((m) => m.role !== "system").map((m) => [m.role, m.text]);
  const stored = messages.slice(0, -1).map((m) => [m.role, said(plain(m)) || (m.role === "tool" ? m.parts[0].output : "")]);
  assert.deepEqual(stored, saw, "get_messages has the order of the model");
  assert.deepEqual(events().filter((e) => e.event === "user.message").map((e) => said(plain(e.message))), ["steer", "follow one", "follow two"]);
  assert.deepEqual(await queue(session), []);
});

test("Stop returns what waits: it stays in the queue and never reached the model", async () => {
  const session = await working("stop", 30);
  await queued(session, "steer", "stopped steer");
  const item = await queued(session, "follow_up", "stopped follow");
  const began = Date.now();
  await s.mux.ok("abort", session, {}, 12_000);
  assert.ok(Date.now() - began < 12_000);
  await s.rest(session);
  const kept = await queue(session);
  assert.deepEqual(kept.map((i) => [said(i.message), i.state]).sort(), [["stopped follow", "returned"], ["stopped steer", "returned"]]);
  assert.deepEqual(saidBy(await s.messages(session), "user"), ["first stop"]);
  assert.equal(await s.modelSaw("stopped"), undefined);
  const back = await s.mux.ok("queue.remove", session, { item_id: item.item_id });
  assert.equal(said(back.message), "stopped follow");
  assert.equal(back.delivery, "follow_up");
  assert.deepEqual((await queue(session)).map((i) => said(i.message)), ["stopped steer"]);
  await s.mux.turn(session, asking("after the stop", { text: "fine" }));
  assert.deepEqual((await queue(session)).map((i) => i.state), ["returned"], "it stays until somebody removes it");
});

test("what waits can be changed and taken back, and no longer once the agent has it", async () => {
  const session = await working("edit");
  const [a, b, c] = [await queued(session, "follow_up", "item a"), await queued(session, "follow_up", "item b"), await queued(session, "follow_up", "item c")];
  const from = s.mux.events.length;
  await s.mux.ok("queue.edit", session, { item_id: b.item_id, message: asking("item b changed", { text: "answer to b" }) });
  await s.mux.ok("queue.remove", session, { item_id: a.item_id });
  assert.deepEqual(s.mux.events.slice(from).findLast((e) => e.event === "queue.changed").queue.map((i) => said(i.message)), ["item b changed", "item c"]);
  assert.equal((await s.mux.command("queue.remove", session, { item_id: a.item_id })).code, "not_found");
  await until("the last answer", async () => saidBy(await s.messages(session), "assistant").includes("answer to item c"));
  await s.rest(session);
  assert.deepEqual(saidBy(await s.messages(session), "user"), ["first edit", "item b changed", "item c"]);
  for (const cmd of ["queue.edit", "queue.remove"]) assert.equal((await s.mux.command(cmd, session, { item_id: c.item_id, message: "too late" })).code, "not_found", cmd);
});

test("steering without a turn is a prompt", async () => {
  const session = await s.session();
  for (const cmd of ["steer", "follow_up"]) {
    const from = s.mux.events.length;
    await queued(session, cmd, `${cmd} at rest`);
    await s.mux.event(session, "agent.idle", from);
    assert.equal(saidBy(await s.messages(session), "assistant").at(-1), `answer to ${cmd} at rest`);
  }
  assert.deepEqual(await queue(session), []);
});

test("pictures wait in the queue too, and come back with it", async () => {
  const blind = await working("blind", 30);
  const refused = await s.mux.command("follow_up", blind, { message: "look", images: [picture] });
  assert.equal(refused.code, "refused", "this model takes none, and says so at once");
  await s.mux.ok("abort", blind);
  const session = await working("pictures", 30, { provider: "eyes", model: "eye-1" });
  const { item_id } = await s.mux.ok("follow_up", session, { message: "look", images: [picture] });
  assert.equal((await queue(session))[0].images, 1);
  await s.mux.ok("abort", session);
  const back = await s.mux.ok("queue.remove", session, { item_id });
  assert.deepEqual(back.images, [picture]);
});

test("a full queue says limit, and LIMITS says how much fits", async () => {
  const { limits } = s.mux.system.find((m) => m.type === "connected");
  assert.equal(limits.queue, 32);
  const session = await working("flood", 30);
  const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => s.mux.command(i % 2 ? "steer" : "follow_up", session, { message: `flood ${i}` })));
  assert.equal(answers.filter((a) => a.success).length, 32);
  for (const refused of answers.filter((a) => !a.success)) assert.equal(refused.code, "limit", refused.error);
  assert.equal((await queue(session)).length, 32);
  await s.mux.ok("abort", session);
  assert.equal((await queue(session)).length, 32);
  assert.equal((await s.mux.command("queue.edit", session, { item_id: (await queue(session))[0].id, message: "x".repeat((1 << 20) + 1) })).code, "limit");
  for (const item of await queue(session)) await s.mux.ok("queue.remove", session, { item_id: item.id });
  assert.equal(await s.modelSaw("flood 3"), undefined);
});

test("the queue is kept over a kill of the runner", async () => {
  const session = await working("kill", 30);
  const item = await queued(session, "follow_up", "kept follow", { client_id: "kept-1" });
  await queued(session, "steer", "kept steer");
  await s.killRunner();
  const kept = await queue(session);
  assert.deepEqual(kept.map((i) => [said(i.message), i.state]).sort(), [["kept follow", "returned"], ["kept steer", "returned"]]);
  assert.ok(kept.every((i) => i.reason), "with the reason");
  assert.equal(kept.find((i) => i.delivery === "follow_up").id, item.item_id);
  await queued(session, "follow_up", "kept follow", { client_id: "kept-1" });  // the same one, as a client does that got no answer
  await s.insist(session, asking("go on", { text: "gone on" }));
  await s.rest(session);
  // Pi may have read the steering message in its last moment: then it is in its file, and so in the conversation.
  const users = saidBy(await s.messages(session), "user"), read = users.includes("kept steer");
  assert.deepEqual(users, read ? ["first kill", "kept steer", "go on"] : ["first kill", "go on"]);
  assert.deepEqual((await queue(session)).map((i) => said(i.message)).sort(), read ? ["kept follow"] : ["kept follow", "kept steer"]);
  if (read) return s.mux.ok("queue.remove", session, { item_id: item.item_id });
  assert.equal(await s.modelSaw("kept"), undefined);
  for (const { id } of kept) await s.mux.ok("queue.remove", session, { item_id: id });
  assert.deepEqual(await queue(session), []);
});
