// What a session's user notices of parts that stand still for a while: that it goes on afterwards.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { until } from "./lib.mjs";
import { asking, plain, Scenario, stalled } from "./scenario.mjs";

let s;

export const tests = () => describe("parts that stand still", { concurrency: 1 }, () => {
  before(async () => { s = await Scenario.start(); });
  after(async () => { await s?.stop(); });

  /** After a prompt met trouble: either it was accepted and has an answer or a reason, or it was refused and is nowhere. */
  async function consistent(session, answer, said) {
    const messages = await s.messages(session), at = messages.findIndex((m) => plain(m).startsWith(said));
    assert.equal(at >= 0, answer.success, `${answer.success ? "accepted" : "refused"}, and ${at >= 0 ? "stored" : "not stored"}`);
    if (at >= 0) assert.equal(messages[at + 1]?.role, "assistant", "it has an answer or a reason");
  }

  /** A session in the middle of a long answer. */
  async function talking() {
    const session = await s.session(), from = s.mux.events.length;
    await s.mux.ok("prompt", session, { message: asking("long", { text: "word ", repeatText: 2000, chunkSize: 5, chunkDelayMs: 20 }) });
    await s.mux.event(session, "stream.text_delta", from);
    return session;
  }
  async function abortInTime(session) {
    const began = Date.now(), answer = await s.mux.command("abort", session, {}, 20_000);
    assert.ok(Date.now() - began < 12_000, `answered after ${Date.now() - began} ms`);
    assert.equal(typeof answer.success, "boolean");
  }
  async function goesOn(session, ms) {
    await s.insist(session, asking("after it", { text: "works again" }), ms);
    await s.rest(session);
    assert.equal(plain((await s.messages(session)).at(-1)), "works again");
  }

  test("a history that stops for 12 s while a prompt and an abort arrive costs nothing afterwards", async () => {
    const session = await s.session(), aborted = await talking();
    await s.mux.turn(session, asking("before", { text: "fine" }));
    const asleep = stalled(await s.host.pids("hstry"), 12_000);
    const answer = s.mux.command("prompt", session, { message: asking("during the stall", { text: "late" }) }, 60_000);
    await abortInTime(aborted);
    await asleep;
    const during = await answer;
    await goesOn(session, 10_000);
    await consistent(session, during, "during the stall");
    await s.rest(aborted);
    await goesOn(aborted, 10_000);
  });

  test("a history that is killed and comes back late costs nothing afterwards", async () => {
    const session = await s.session();
    await s.mux.turn(session, asking("before", { text: "fine" }));
    const [old] = await s.host.pids("hstry");
    process.kill(old, "SIGKILL");
    const during = s.mux.command("prompt", session, { message: asking("during the absence", { text: "late" }) }, 60_000);
    const fresh = await until("a new hstry", async () => { const [pid] = await s.host.pids("hstry"); return pid && pid !== old && pid; });
    await stalled([fresh], 8000);
    const answer = await during;
    await goesOn(session, 15_000);
    await consistent(session, answer, "during the absence");
  });

  test("abort is answered within 12 s also while the agent stands still, and the session goes on", { timeout: 120_000 }, async () => {
    const session = await talking(), pids = await s.pisOf(session);
    assert.ok(pids.length >= 1, "the agent runs");
    const asleep = stalled(pids, 12_000);
    await abortInTime(session);
    await goesOn(session, 15_000);
    await asleep;
  });
});
