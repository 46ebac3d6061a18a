// What a session is to its user: said once, answered once; its models, pictures, ways out, and what
// every connection of the account is told.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Mux, sleep, text, until } from "./lib.mjs";
import { asking, bashCall, eyes, newId, picture, plain, Scenario } from "./scenario.mjs";
import { piFiles } from "./views.mjs";

// The host asks the user before a guarded file is read; limits of sessions are shown elsewhere.
const policy = `[limits]\ncgroups = "optional"\n[guard]\nenabled = true\npaths = ["./private.txt"]\ntimeout_secs = 20\n`;
let s;

before(async () => { s = await Scenario.start({ egressOf: eyes, policy }); });
after(async () => { await s?.stop(); });

test("models are offered before any session has run", async () => {
  const { user } = await until("the first frame", async () => s.mux.system.find((m) => m.type === "connected"));
  assert.equal(user.username, "ada");
  const fresh = await Mux.open(s.host, await s.host.invite(s.cookie, "bea"));  // whose runner has never run
  try {
    const first = await until("the first frame", async () => fresh.system[0]);
    assert.equal(first.type, "connected");
    assert.deepEqual(first.models.map((m) => `${m.provider}/${m.id}`).sort(), ["eyes/eye-1", "mock/mock-1"]);
    assert.equal(first.models.find((m) => m.id === "eye-1").images, true);
    for (const name of ["prompt_bytes", "images_bytes", "images", "queue", "subscriptions", "live_sessions"]) assert.ok(first.limits[name] > 0, name);
    assert.ok(first.profiles.some((p) => p.name === "development" && p.available === true));
    assert.deepEqual((await fresh.ok("get_models", "_system")).map((m) => m.id).sort(), ["eye-1", "mock-1"]);
  } finally {
    await fresh.close();
  }
});

test("a model that the host does not offer is refused by session.create and by set_model, live or not", async () => {
  const create = await s.mux.command("session.create", "", { config: { harness: "pi", workspace_id: s.workspace, provider: "mock", model: "no-such" } });
  assert.equal(create.success, false);
  assert.equal(create.code, "refused", create.error);
  const session = await s.session();
  for (const live of [true, false]) {
    if (!live) await s.mux.ok("session.close", session);
    const set = await s.mux.command("set_model", session, { provider: "mock", model_id: "no-such" });
    assert.equal(set.success, false);
    assert.equal(set.code, "refused", set.error);
    assert.deepEqual(await s.mux.ok("set_model", session, { provider: "eyes", model_id: "eye-1" }), { provider: "eyes", model_id: "eye-1" });
  }
  await s.insist(session, asking("which?", { text: "this one" }));
  await s.rest(session);
  assert.equal((await s.messages(session)).at(-1).model, "eye-1");
});

test("a picture that the provider refuses does not end the conversation: fork, compact and session.new lead out", async () => {
  await s.provider.script({ directives: true, rules: [{ when: { anyContains: "image_url" }, turn: { error: { status: 400, type: "invalid_request_error", message: "this picture is no picture" } } },
    { when: { lastUserContains: "<conversation>" }, turn: { text: "a summary of it all" } }], turns: [{ text: "unasked" }] });
  try {
    const session = await s.session({ provider: "eyes", model: "eye-1" });
    await s.mux.turn(session, asking("first", { text: "one", usage: { input: 10, output: 1 } }));
    const from = s.mux.events.length;
    await s.mux.ok("prompt", session, { message: "look at this", images: [picture] });
    await s.mux.event(session, "agent.error", from);
    await s.rest(session);
    const [looked] = (await s.messages(session)).filter((m) => m.role === "user" && plain(m) === "look at this");
    assert.ok(looked, "the prompt is a message");
    const again = await s.mux.turn(session, "and now?");
    assert.ok(again.some((e) => e.event === "agent.error"), "the picture is still in the way");

    const points = await s.mux.ok("get_fork_points", session);
    assert.ok(points.some((p) => p.entry_id && p.role === "user" && (p.message_id ?? looked.id) === looked.id && p.preview.includes("look at this")), JSON.stringify(points));
    const fork = await s.mux.ok("fork", session, { message_id: looked.id });
    assert.equal(fork.text, "look at this");
    await s.mux.ok("session.subscribe", fork.new_session_id, { since_seq: 0 });
    await s.insist(fork.new_session_id, asking("go on", { text: "out by fork" }));
    await s.rest(fork.new_session_id);
    const forked = (await s.messages(fork.new_session_id)).map((m) => plain(m).split(" @do")[0]);
    assert.deepEqual(forked, ["first", "one", "go on", "out by fork"]);
    assert.deepEqual((await s.modelSaw("go on")).map((m) => m.role).slice(-3), ["user", "assistant", "user"]);
    assert.equal((await s.messages(session)).length > 4, true, "the old one is as it was");

    const made = await s.mux.ok("session.new", session);
    assert.notEqual(made.session_id, session);
    await s.insist(made.session_id, asking("fresh", { text: "out by new" }));
    await s.rest(made.session_id);
    assert.equal(plain((await s.messages(made.session_id)).at(-1)), "out by new");
    assert.equal((await s.messages(made.session_id)).at(-1).model, "eye-1", "the same model");

    // Enough after the picture that compacting leaves it behind.
    for (const filler of ["a", "b"]) await s.mux.turn(session, `${filler} word `.repeat(15_000));
    const busy = s.mux.ok("compact", session, {}, 120_000);
    const { summary, tokens_before } = await busy;
    assert.match(summary, /a summary of it all/);
    assert.ok(tokens_before > 0);
    assert.match(text(await s.mux.turn(session, asking("at last", { text: "out by compact" }))), /out by compact/);
  } finally {
    await s.provider.script({ directives: true, turns: [{ text: "unasked" }] });
  }
});

for (const how of ["live", "sleeping"]) {
  test(`session.delete takes the harness's file along, and the same id begins anew: a ${how} session`, async () => {
    const session = newId();
    await s.mux.ok("session.create", session, { config: { harness: "pi", workspace_id: s.workspace } });
    await s.mux.turn(session, asking("remember secret-4711", { text: "I do" }));
    assert.equal(piFiles(s.host, session).length, 1);
    if (how === "sleeping") await s.mux.ok("session.close", session);
    const answer = await s.mux.ok("session.delete", session);
    assert.equal(answer?.remains, undefined);
    assert.deepEqual(piFiles(s.host, session), []);
    assert.equal((await s.mux.command("get_messages", session)).code, "not_found");
    const again = await s.mux.ok("session.create", session, { config: { harness: "pi", workspace_id: s.workspace } });
    assert.equal(again.resumed, false);
    await s.mux.turn(session, asking(`who am I? ${how}`, { text: "nobody" }));
    const roles = (await s.modelSaw(`who am I? ${how}`)).map((m) => m.role);
    assert.deepEqual(roles, ["system", "user"]);
    assert.equal((await s.messages(session)).length, 2);
  });
}

test("states and questions reach a connection that subscribed to nothing within a second, and who answered", async () => {
  const other = await Mux.open(s.host, s.cookie);
  const told = (what, probe, from = 0) => until(what, async () => other.system.slice(from).find((m) => m.type === "session" && probe(m.session)), 1500);
  try {
    const session = await s.session();
    await told("that it was made", (it) => it.session_id === session);
    await s.mux.ok("prompt", session, { message: asking("work", bashCall("echo secret > private.txt; sleep 1; echo made"), { text: "done" }) });
    await told("that it works", (it) => it.session_id === session && it.state === "working");
    await s.rest(session);
    await told("that it is idle", (it) => it.session_id === session && it.state === "idle" && it.message_count >= 4);
    // The guarded file is known when a session starts.
    await s.mux.ok("session.close", session);
    await told("that it was stopped", (it) => it.session_id === session && it.state === "stopped");
    await s.mux.ok("session.create", session, { config: { harness: "pi", workspace_id: s.workspace } });
    const from = s.mux.events.length;
    await s.mux.ok("prompt", session, { message: asking("read it", bashCall("cat private.txt"), { text: "read" }) });
    const asked = await s.mux.event(session, "agent.input_needed", from);
    const pushed = await told("the question", (it) => it.session_id === session && it.pending_inputs?.length === 1);
    assert.equal(pushed.session.state, "waiting");
    assert.equal(pushed.session.pending_inputs[0].request_id, asked.request.request_id);
    const before = other.system.length;
    await other.ok("input_response", session, { request_id: asked.request.request_id, value: "Deny" });
    const resolved = await s.mux.event(session, "agent.input_resolved", from);
    assert.equal(resolved.request_id, asked.request.request_id);
    assert.deepEqual([resolved.resolution, resolved.by, resolved.answer], ["answered", "ada", "Deny"]);
    await told("that nothing is asked any more", (it) => it.session_id === session && it.pending_inputs?.length === 0, before);
    await s.rest(session);
    await s.mux.ok("set_session_name", session, { name: "another name" });
    await told("its new name", (it) => it.session_id === session && it.title === "another name");
    const { workspace } = await s.mux.ok("create_workspace", "_system", { name: "told" });
    await until("the workspace", async () => other.system.find((m) => m.type === "workspace" && m.workspace.id === workspace.id), 1500);
    await s.mux.ok("session.delete", session);
    await until("that it was removed", async () => other.system.find((m) => m.type === "session_removed" && m.session_id === session), 1500);
    assert.deepEqual(other.events, [], "it subscribed to nothing");
  } finally {
    await other.close();
  }
});

test("a question that nobody answers is resolved as such", { timeout: 60_000 }, async () => {
  const session = await s.session();
  await s.mux.turn(session, asking("make it", bashCall("echo secret > private.txt"), { text: "made" }));
  await s.mux.ok("session.close", session);
  await s.mux.ok("session.create", session, { config: { harness: "pi", workspace_id: s.workspace } });
  const from = s.mux.events.length;
  await s.mux.ok("prompt", session, { message: asking("read it", bashCall("cat private.txt"), { text: "read" }) });
  await s.mux.event(session, "agent.input_needed", from);
  await s.mux.ok("abort", session);
  const resolved = await s.mux.event(session, "agent.input_resolved", from);
  assert.equal(resolved.resolution, "ended");
  assert.equal(resolved.by, undefined);
  await sleep(50);
});
