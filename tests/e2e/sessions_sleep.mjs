// More sessions than may live at once: idle ones sleep, a message wakes them, and only work holds a place.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { sleep, until } from "./lib.mjs";
import { asking, bashCall, plain, Scenario } from "./scenario.mjs";

const patience = 60_000;  // --sleep-minutes 1
let s, limit, background;
const sessions = [];

export const tests = () => describe("sessions that sleep", { concurrency: 1 }, () => {
  before(async () => { s = await Scenario.start({ args: ["--sleep-minutes", "1"] }); });
  after(async () => { await s?.stop(); });

  const states = async () => new Map((await s.mux.ok("list_sessions", "_system")).sessions.map((it) => [it.session_id, it.state]));
  const asleep = async () => [...await states()].filter(([, state]) => state === "asleep").map(([id]) => id);
  const beats = async (session) => { await s.insist(session, asking("count", bashCall("wc -l < /workspace/beats; sleep 0.5; wc -l < /workspace/beats"), { text: "counted" })); await s.rest(session);
    const [a, b] = (await s.messages(session)).findLast((m) => m.role === "tool").parts[0].output.trim().split("\n").map(Number); return b > a; };

  test("the seventeenth session starts: an idle one sleeps for it, and none that has something running", async () => {
    limit = (await until("the first frame", async () => s.mux.system.find((m) => m.type === "connected"))).limits?.live_sessions ?? 16;
    background = await s.session();
    await s.mux.turn(background, asking("stay awake", bashCall("(while :; do echo beat >> /workspace/beats; sleep 0.1; done) >/dev/null 2>&1 & echo started"), { text: "it runs" }));
    sessions.push(background);
    while (sessions.length < limit) sessions.push(await s.session());
    assert.deepEqual(await asleep(), []);
    await s.mux.turn(sessions[1], asking("used lately", { text: "yes" }));
    const from = s.mux.events.length;
    const one = await s.session();
    const [slept] = await asleep();
    assert.ok(slept, "one sleeps");
    assert.notEqual(slept, background, "the oldest one has a process in the background");
    assert.notEqual(slept, sessions[1], "it was used lately");
    assert.notEqual(slept, one);
    assert.ok(s.mux.events.slice(from).some((e) => e.event === "session.asleep" && e.session_id === slept));
    sessions.push(one);
    await s.mux.turn(one, asking("do you work?", { text: "I do" }));
    assert.equal(await beats(background), true);
  });

  test("a message wakes a session that sleeps, with what it remembers", async () => {
    const [session] = await asleep();
    await s.insist(session, asking("good morning", { text: "good morning" }));
    await s.rest(session);
    assert.equal(plain((await s.messages(session)).at(-1)), "good morning");
    assert.notEqual((await states()).get(session), "asleep");
    assert.equal((await asleep()).length, 1, "another one sleeps for it");
  });

  test("with all of them at work the next one is refused with a text that helps, and nothing is disturbed", async () => {
    const [sleeping] = await asleep(), live = sessions.filter((id) => id !== sleeping);
    for (const session of live) await s.mux.ok("prompt", session, { message: asking("hold on", bashCall("sleep 300"), { text: "done" }) });
    await until("all to work", async () => { const now = await states(); return live.every((id) => now.get(id) === "working"); });
    const refused = await s.mux.command("session.create", "", { config: { harness: "pi", workspace_id: s.workspace } });
    assert.equal(refused.code, "limit", refused.error);
    assert.match(refused.error, new RegExp(`${limit}`), "it says how many there may be");
    const prompt = await s.mux.command("prompt", sleeping, { message: "wake up" });
    assert.equal(prompt.success, false);
    assert.equal(prompt.code, "limit", prompt.error);
    assert.deepEqual([...(await states())].filter(([id]) => live.includes(id)).map(([, state]) => state), live.map(() => "working"));
    await s.mux.ok("abort", live[1]);
    await s.insist(sleeping, asking("now", { text: "there is room" }));
    await s.rest(sleeping);
    assert.equal(plain((await s.messages(sleeping)).at(-1)), "there is room");
    for (const session of live) await s.mux.command("abort", session);
  });

  test("what nobody uses sleeps after --sleep-minutes; a process in the background keeps its session awake", { timeout: 120_000 }, async () => {
    await s.mux.close();  // nobody looks at them any more
    s.mux = await s.reach();
    await until("the idle ones to sleep", async () => { const now = await states(); return sessions.filter((id) => id !== background).every((id) => now.get(id) === "asleep"); }, patience + 20_000);
    await sleep(2000);
    assert.equal((await states()).get(background), "idle");
    assert.equal(await beats(background), true);
  });
});
