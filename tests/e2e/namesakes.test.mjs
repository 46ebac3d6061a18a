// Two tenants, one session id: whoever knows another's id learns nothing from it, takes nothing by it, and gets in nobody's way.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import { Host, Mux, Provider, text, toolOutput, toolTurns, until } from "./lib.mjs";

let host, provider, alice, bob, hers, his;
const id = `oqto-${randomUUID()}`;
const create = (mux, workspace_id) => mux.command("session.create", id, { config: { harness: "pi", workspace_id } }, 90_000);

before(async () => {
  provider = await Provider.start();
  host = await Host.start({ providerUrl: provider.url });
  const cookie = await host.setup("alice");
  alice = await Mux.open(host, cookie);
  bob = await Mux.open(host, await host.invite(cookie, "bob"));
  hers = await alice.workspace();
  his = await bob.workspace();
});
after(async () => { alice?.close(); bob?.close(); await host?.remove(); provider?.stop(); });

async function says(mux, word) {
  await provider.script({ turns: toolTurns(`echo ${word} > mine; cat mine`) });
  return toolOutput(await mux.turn(id, `say ${word}`));
}
const live = async () => (await host.ctl("status")).sessions.filter((s) => s.session_id === id).map((s) => s.account).sort();

test("Attack: an id that another tenant uses answers as one that nobody uses", async () => {
  assert.ok((await create(alice, hers)).success);
  assert.match(await says(alice, "alices"), /alices/);
  const unknown = `oqto-${randomUUID()}`;
  for (const cmd of ["get_state", "get_messages", "session.close", "session.subscribe", "abort"]) {
    const [used, unused] = [await bob.command(cmd, id), await bob.command(cmd, unknown)];
    assert.deepEqual([used.success, used.code, used.error], [unused.success, unused.code, unused.error], cmd);
  }
  const his_own = await create(bob, his);
  assert.ok(his_own.success, `${his_own.code}: ${his_own.error}`);
  assert.deepEqual(await live(), [1, 2]);
});

test("Attack: the two do not see, count for, stop or resume each other", async () => {
  assert.match(await says(bob, "bobs"), /bobs/);
  assert.match(await says(alice, "again"), /again/);
  await provider.script({ turns: [{ text: "only hers" }] });
  assert.match(text(await alice.turn(id, "hello")), /only hers/);
  assert.ok(!bob.events.some((event) => JSON.stringify(event).includes("only hers")));
  const calls = Object.fromEntries((await host.ctl("status")).sessions.map((s) => [s.account, s.model_calls]));
  assert.deepEqual(calls, { 1: 5, 2: 2 });
  await bob.ok("session.close", id);
  assert.deepEqual(await live(), [1]);
  assert.match(await says(alice, "still"), /still/);
  assert.ok((await create(bob, his)).success, "he comes back");
  await alice.ok("session.close", id);
  assert.deepEqual(await live(), [2]);
  assert.ok((await create(alice, hers)).success, "she resumes while he uses the id");
  assert.match(await says(alice, "resumed"), /resumed/);
});

test("a gateway that is started again knows both apart", async () => {
  const [pid] = await host.pids("gateway");
  process.kill(pid, "SIGKILL");
  await until("a new gateway", async () => { const [next] = await host.pids("gateway"); return next && next !== pid && (await host.ctl("status")).ready; });
  assert.match(await says(bob, "bob-after"), /bob-after/);
  assert.match(await says(alice, "alice-after"), /alice-after/);
});

test("an operator says whose is meant, and the log tells them apart", async () => {
  assert.deepEqual(await live(), [1, 2]);
  await assert.rejects(host.ctl("sessions", "kill", id), /several tenants have a session of this id/);
  assert.deepEqual(await live(), [1, 2]);
  await host.ctl("sessions", "kill", id, "bob");
  assert.deepEqual(await live(), [1]);
  await host.ctl("sessions", "kill", id);
  assert.deepEqual(await live(), []);
  const killed = await until("the records", async () => {
    const found = (await host.records()).filter((r) => r.event === "admin" && r.fields.command === "kill session");
    return found.length === 2 && found;
  });
  assert.deepEqual(killed.map((r) => r.fields.account), ["2", "1"]);
  const story = await host.audit("timeline", id);
  assert.match(story, /  Account 2, in a session of its own with the same id: bob asked: “say bobs”/);
  assert.match(story, /  alice asked: “say again”/);
});
