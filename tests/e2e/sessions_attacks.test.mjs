// The commands of sessions as somebody uses them who means harm: other people's ids, and values that no
// client should send.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Mux, text, until } from "./lib.mjs";
import { asking, bashCall, eyes, newId, picture, plain, Scenario } from "./scenario.mjs";

let s, bob, victim, message, item, own;

before(async () => {
  s = await Scenario.start({ egressOf: eyes });
  victim = await s.session();
  await s.mux.turn(victim, asking("ada-secret", { text: "ada-answer ", repeatText: 60_000, chunkSize: 65_536, usage: { input: 10, output: 10 } }), 60_000);
  message = (await s.messages(victim)).at(-1);
  bob = await Mux.open(s.host, await s.host.invite(s.cookie, "bob"));
  own = await bob.session(await bob.workspace("bobs"));
  await bob.turn(own, asking("hello", { text: "hello bob" }));
});
after(async () => { bob?.close(); await s?.stop(); });

/** While ada's agent works and something waits in its queue. */
async function whileHeld(attack) {
  const from = s.mux.events.length;
  await s.mux.ok("prompt", victim, { message: asking("hold on", bashCall("sleep 60"), { text: "done" }) });
  try {
    await s.mux.event(victim, "tool.start", from);
    item = (await s.mux.ok("follow_up", victim, { message: "ada-queued" })).item_id;
    await attack();
  } finally {
    await s.mux.command("abort", victim);
    await s.mux.command("queue.remove", victim, { item_id: item });
  }
}

test("attack: another tenant's ids in every command of sessions are unknown, and change nothing", () => whileHeld(async () => {
  const ids = { item_id: item, message_id: message.id, part_id: message.parts[0].id };
  const commands = { "queue.edit": { message: "bob was here" }, "queue.remove": {}, get_part: { offset: 0 }, fork: {}, get_fork_points: {}, compact: {}, "session.new": {}, "session.unsubscribe": {},
    "session.subscribe": { since_seq: 0 }, prompt: { message: "bob" }, steer: { message: "bob" }, follow_up: { message: "bob" }, set_model: { provider: "mock", model_id: "mock-1" }, get_stats: {}, abort: {} };
  for (const [cmd, fields] of Object.entries(commands)) {
    for (const extra of [ids, { ...ids, client_id: "bob-1" }]) {
      const answer = await bob.command(cmd, victim, { ...extra, ...fields });
      assert.equal(answer.success, false, cmd);
      assert.equal(answer.code, "not_found", `${cmd}: ${answer.error}`);
      assert.doesNotMatch(JSON.stringify(answer), /ada-(secret|answer|queued)/);
    }
  }
  // Her things named from a session of his own.
  for (const [cmd, fields] of [["queue.edit", { message: "bob" }], ["queue.remove", {}], ["get_part", {}], ["fork", {}]]) {
    const answer = await bob.command(cmd, own, { ...ids, ...fields });
    assert.equal(answer.success, false, cmd);
    assert.ok(["not_found", "bad_request"].includes(answer.code), `${cmd}: ${answer.code}: ${answer.error}`);
    assert.doesNotMatch(JSON.stringify(answer), /ada-(secret|answer|queued)/);
  }
  // To make a session of it is his to do, as with any id that nobody uses: it is another one, and nothing is in it.
  const again = await bob.workspace("again");
  const his = await bob.command("session.create", victim, { config: { harness: "pi", workspace_id: again } });
  assert.equal(his.success, true, his.error);
  assert.deepEqual((await bob.ok("get_messages", victim)).messages, []);
  await bob.ok("session.delete", victim);
  const { queue } = await s.mux.ok("get_state", victim);
  assert.deepEqual(queue.map((i) => i.message), ["ada-queued"]);
  const leak = /.{0,160}(ada-(secret|answer|queued)).{0,60}/.exec(JSON.stringify(bob.system) + JSON.stringify(bob.events));
  assert.equal(leak?.[0], undefined);
  const pushed = bob.system.filter((m) => m.session?.session_id === victim && m.session.workspace_id !== again);
  assert.deepEqual(pushed, [], "nothing is pushed to another account");
  assert.ok(!(await bob.ok("list_sessions", "_system")).sessions.some((it) => it.session_id === victim));
}));

test("attack: ids of another session of the same account are as unknown", () => whileHeld(async () => {
  const other = await s.session();
  for (const [cmd, fields] of [["queue.edit", { message: "x" }], ["queue.remove", {}], ["get_part", {}], ["fork", {}]]) {
    const answer = await s.mux.command(cmd, other, { item_id: item, message_id: message.id, part_id: message.parts[0].id, ...fields });
    assert.equal(answer.success, false, cmd);
    assert.ok(["not_found", "bad_request"].includes(answer.code), `${cmd}: ${answer.code}`);
  }
}));

const big = "x".repeat((1 << 20) + 1);
const notText = [7, true, [], {}, [["a"]]], notNumber = ["0", [], {}, 1.5, -1, 1e300, true];
/** [command, the good fields, the field, what must be refused]. */
const hostile = () => [
  ["session.subscribe", { since_seq: 0 }, "since_seq", notNumber],
  ["session.subscribe", { since_seq: 1 }, "epoch", [...notText, big]],
  ["queue.edit", { item_id: "q", message: "m" }, "item_id", [...notText, "", big, "../../etc/passwd", "\0"]],
  ["queue.edit", { item_id: "q", message: "m" }, "message", [...notText, "", "\u200b", big]],
  ["queue.remove", { item_id: "q" }, "item_id", [...notText, "", big, "\u202e"]],
  ["fork", { message_id: message.id }, "message_id", [...notText, "", big, "msg_' OR 1=1 --"]],
  ["fork", {}, "entry_id", [...notText, "", big, "../x", "a\nb"]],
  ["compact", {}, "instructions", [7, true, [], {}, big]],
  ["get_part", { message_id: message.id, part_id: message.parts[0].id }, "offset", notNumber],
  ["get_part", { message_id: message.id, part_id: message.parts[0].id }, "length", [...notNumber, 524_289, 1e9]],
  ["get_part", { part_id: message.parts[0].id }, "message_id", [...notText, "", big, "msg_%"]],
  ["get_part", { message_id: message.id }, "part_id", [...notText, "", big, `${message.id}.99`, `${message.id}.-1`, `${message.id}.0.0`]],
  ["get_messages", {}, "limit", ["1", [], {}, 1.5, -1, 201, 1e300]],
  ["get_messages", {}, "before_idx", ["1", [], {}, 1.5, -1, 1e300]],
  ["steer", { message: "m" }, "images", [7, {}, "x", [7], [{}], [{ data: 7, media_type: "image/png" }], [{ data: "!!", media_type: "image/png" }], [{ data: "aGk=", media_type: "text/html" }], Array.from({ length: 21 }, () => picture)]],
  ["follow_up", { message: "m" }, "client_id", [7, true, [], {}, big]],
];

test("attack: every field of the wrong kind or size has one clear answer, and the host stands", async () => {
  const runner = (await s.host.pids("runner")).join();
  for (const [cmd, fields, field, values] of hostile()) {
    for (const value of values) {
      const answer = await s.mux.command(cmd, victim, { ...fields, [field]: value }, 10_000);
      const shown = `${cmd} ${field}=${JSON.stringify(value).slice(0, 40)}`;
      assert.equal(answer.success, false, `${shown} was accepted: ${JSON.stringify(answer.data)?.slice(0, 200)}`);
      assert.ok(["bad_request", "limit", "not_found", "refused"].includes(answer.code), `${shown}: ${answer.code}: ${answer.error}`);
      assert.ok(answer.error.length < 1000, "it does not repeat what it was sent");
    }
  }
  assert.equal((await s.host.pids("runner")).join(), runner, "no runner fell");
  assert.match(text(await s.mux.turn(victim, asking("still there?", { text: "still here", usage: { input: 10, output: 10 } }))), /still here/);
});

test("attack: offsets beyond the end of a part give nothing", async () => {
  const [part] = message.parts;
  const { total } = await s.mux.ok("get_part", victim, { message_id: message.id, part_id: part.id });
  assert.equal(total, Buffer.byteLength("ada-answer ".repeat(60_000)));
  for (const offset of [total, total + 1, 2 ** 31, 2 ** 32 + 1, 2 ** 53 - 1]) {
    const answer = await s.mux.command("get_part", victim, { message_id: message.id, part_id: part.id, offset });
    if (answer.success) assert.deepEqual([answer.data.text, answer.data.next], ["", null], `${offset}`);
    else assert.equal(answer.code, "bad_request", `${offset}: ${answer.error}`);
  }
  const none = await s.mux.command("get_part", victim, { message_id: message.id, part_id: part.id, length: 0 });
  assert.ok(!none.success || none.data.next === 0, `a length of 0 does not end the part: ${JSON.stringify(none.data)}`);
  const last = await s.mux.ok("get_part", victim, { message_id: message.id, part_id: part.id, offset: total - 4, length: 524_288 });
  assert.deepEqual([last.text, last.next], ["wer ", null]);
  assert.equal((await s.mux.command("get_part", victim, { message_id: `${message.id}x`, part_id: part.id })).code, "not_found");
});

test("attack: commands for a session that does not exist, and ids that are none", async () => {
  for (const id of [newId(), "oqto-", "../../etc", "_system", "x".repeat(5000)]) {
    for (const [cmd, fields] of [["queue.edit", { item_id: "q", message: "m" }], ["queue.remove", { item_id: "q" }], ["get_part", { message_id: "m", part_id: "p" }], ["fork", { message_id: "m" }], ["compact", {}], ["session.new", {}], ["session.unsubscribe", {}], ["get_fork_points", {}]]) {
      const answer = await s.mux.command(cmd, id, fields, 10_000);
      assert.equal(answer.success, false, `${cmd} of ${id.slice(0, 20)}`);
      assert.ok(["not_found", "bad_request", "limit"].includes(answer.code), `${cmd}: ${answer.code}`);
    }
  }
});

test("attack: many at once of what costs something are refused or done, one answer each", { timeout: 90_000 }, async () => {
  const before = (await s.mux.ok("list_sessions", "_system")).sessions.length;
  const wanted = [...Array.from({ length: 40 }, () => ["get_part", { message_id: message.id, part_id: message.parts[0].id, length: 524_288 }]), ...Array.from({ length: 8 }, () => ["compact", {}]),
    ...Array.from({ length: 12 }, () => ["fork", { message_id: "none" }]), ...Array.from({ length: 40 }, () => ["session.unsubscribe", {}])];
  const answers = await Promise.all(wanted.map(([cmd, fields]) => s.mux.command(cmd, victim, fields, 60_000)));
  assert.equal(answers.length, wanted.length);
  assert.deepEqual(answers.slice(0, 40).filter((a) => !(a.success && a.data.text.length > 0)).map((a) => `${a.code}: ${a.error}`), []);
  assert.equal((await s.mux.ok("list_sessions", "_system")).sessions.length, before);
  await until("rest", async () => (await s.mux.ok("get_state", victim)).state !== "working", 30_000);
  await s.mux.ok("session.subscribe", victim, { since_seq: 0 });
  await s.insist(victim, asking("after the flood", { text: "it stands" }));
  await s.rest(victim);
  assert.equal(plain((await s.messages(victim)).at(-1)), "it stands");
});
