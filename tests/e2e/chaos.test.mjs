// Every process killed and stalled in the middle of everything: afterwards four views of each session
// agree (views.mjs), every prompt has an answer or a stored reason, nothing is doubled and nothing lost.
//   OQTO_CHAOS_SEED=N   the same course again; it is printed
//   OQTO_CHAOS_TURNS=N  goes on with faults drawn by chance until N prompts were sent
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Rig } from "./chaos_rig.mjs";

const turns = Number(process.env.OQTO_CHAOS_TURNS ?? 0);
const seed = Number(process.env.OQTO_CHAOS_SEED ?? (turns ? Date.now() % 1_000_000 : 1));
const killed = ["pi", "hstry", "gateway", "auditd", "signer", "accounts", "relay", "runner"];
const stalled = ["pi", "hstry", "gateway", "auditd", "runner"];
let rig;

before(async () => {
  console.log(`chaos: OQTO_CHAOS_SEED=${seed}`);
  rig = await Rig.start(seed);
});
after(async () => { await rig?.stop(); });

const none = (problems) => assert.equal(problems.length, 0, `seed ${seed}\n${problems.join("\n\n")}`);
const killing = (kind) => rig.round(`${kind} killed`, () => rig.kill(kind));
const stalling = (kind, ms) => rig.round(`${kind} stopped for ${Math.round(ms)} ms`, () => rig.stall(kind, ms));

test("nothing fails: the four views of a session agree", async () => none(await rig.round("no fault", async () => {})));

for (const kind of killed) {
  test(`${kind} killed in the middle of text, a tool, a queue, an abort and a start: nothing is lost or doubled`, async () => none(await killing(kind)));
}
for (const kind of stalled) {
  test(`${kind} stopped for a while in the middle of all that: nothing is lost or doubled`, async () => none(await stalling(kind, 6000 + rig.random() * (turns ? 6000 : 1000))));
}

test("faults drawn by chance, as many turns as were asked for", { skip: turns ? false : "OQTO_CHAOS_TURNS is not set" }, async () => {
  const problems = [];
  while (rig.turns < turns) {
    const all = [...killed.map((kind) => () => killing(kind)), ...stalled.map((kind) => () => stalling(kind, 6000 + rig.random() * 6000))];
    problems.push(...await all[Math.floor(rig.random() * all.length)]());
    console.log(`chaos: ${rig.turns} turns, ${problems.length} problems`);
  }
  none(problems);
});

test("the log is whole after all that", async () => { await rig.host.audit("verify"); });
