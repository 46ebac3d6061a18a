// Sessions without chores: what sleeps is as usable as what is awake, nothing empty piles up, what cannot be
// started says what can, and a conversation that does not go on has a way out.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { FakeHost } from "./fake_wire.mjs";
import { byId, openBrowser, openPage, root, sleep, until } from "./lib.mjs";

const shots = path.join(root, "build/screenshots");
const NO_STRICT = [{ name: "strict", available: false, why: "it needs cgroup limits, which this host does not have" },
  { name: "development", available: true }, { name: "minimal", available: true }];
let browser, host, page;

before(async () => {
  mkdirSync(shots, { recursive: true });
  browser = await openBrowser();
});
after(() => browser?.close());
afterEach(async () => {
  assert.deepEqual(page.problems, []);
  await page.context().close();
  await host.stop();
});

async function begin(options, init) {
  host = await FakeHost.start(options);
  page = await openPage(browser);
  page.setDefaultTimeout(6000);
  if (init) await page.addInitScript(init);
  return host;
}
const open = async (s) => { await page.goto(`${host.origin}/#/s/${s.row.session_id}`); await byId(page, "composer").waitFor(); };
const say = async (text) => { await byId(page, "composer").fill(text); await byId(page, "composer").press("Enter"); };
const rows = () => byId(page, "session-item");
const stateWord = () => byId(page, "state-word").first().innerText();
const answer = (text) => byId(page, "message-assistant").filter({ hasText: text });
const shot = (name) => page.screenshot({ path: path.join(shots, `${name}.png`) });

async function atWidths(name) {
  for (const [width, colorScheme] of [[1440, "light"], [390, "dark"], [320, "light"]]) {
    await page.setViewportSize({ width, height: 860 });
    await page.emulateMedia({ colorScheme });
    await sleep(250);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${width} px wide`);
    await shot(`${name}-${width}`);
  }
  await page.setViewportSize({ width: 1280, height: 820 });
}

test("a new session is nobody's business until its first message", async () => {
  await begin();
  const old = host.make({ title: "old" });
  await open(old);
  await byId(page, "session-new").click();
  await byId(page, "empty-session").waitFor();
  assert.equal(await stateWord(), "ready");
  for (let i = 0; i < 5; i++) await byId(page, "session-new").click();
  assert.equal(await rows().count(), 2, "one, however often it is asked for");
  await page.reload();
  await byId(page, "empty-session").waitFor();
  assert.equal(await rows().count(), 2, "nor by reloads");
  await rows().filter({ hasText: "old" }).click();
  await until("it is gone when it is left", async () => (await rows().count()) === 1);
  // Words that were not sent keep it.
  await byId(page, "session-new").click();
  await byId(page, "composer").fill("half a thought");
  await rows().filter({ hasText: "old" }).click();
  await until("the other one", async () => (await byId(page, "session-title").innerText()) === "old");
  await rows().filter({ hasText: "not sent yet" }).click();
  await until("the draft", async () => (await byId(page, "composer").inputValue()) === "half a thought");
  assert.equal(host.commands("session.create").length, 0);
  assert.equal(host.sessions.size, 1, "the host never heard of it");
  await byId(page, "composer").press("Enter");
  await byId(page, "stop").waitFor();
  assert.equal(host.commands("session.create").length, 1);
  assert.equal(await rows().count(), 2);
  assert.equal(await rows().filter({ hasText: "not sent yet" }).count(), 0);
  assert.equal(await byId(page, "message-user").count(), 1);
});

test("the first words of a new session outlast a dead connection and a reload, and arrive once", async () => {
  await begin();
  await page.goto(host.origin);
  await byId(page, "empty-session").waitFor();
  host.deaf = true;
  host.cut();
  await byId(page, "reconnect-bar").waitFor();
  await say("said into the void");
  await byId(page, "message-user").waitFor();
  await page.reload();
  await sleep(500);
  host.deaf = false;
  await until("it arrives", async () => host.commands("prompt").length === 1, 20_000);
  await until("working", async () => (await stateWord()) === "working", 10_000);
  await sleep(300);
  assert.deepEqual(host.commands("session.create").map((f) => f.session_id), [host.commands("prompt")[0].session_id]);
  assert.equal(host.commands("prompt")[0].message, "said into the void");
  assert.equal(await byId(page, "message-user").count(), 1);
  assert.equal(await rows().count(), 1);
});

test("days group the list", async () => {
  await begin();
  const day = 86_400_000;
  for (const [title, ago] of [["now", 0], ["yesterday's", day], ["some days", 3 * day], ["long ago", 400 * day]]) host.make({ title, ago });
  await page.goto(host.origin);
  await rows().first().waitFor();
  const days = await byId(page, "list-day").allInnerTexts();
  assert.deepEqual(days.slice(0, 3), ["Today", "Yesterday", "Last 7 days"]);
  assert.match(days[3], /\w+ \d{4}/);
});

test("what sleeps or was closed is written to like what is awake, in a person's words", async () => {
  await begin();
  const s = host.make({ title: "sleeper", state: "asleep" });
  host.message(s, "user", "earlier");
  host.message(s, "assistant", "and its answer", { stop_reason: "stop" });
  await open(s);
  await answer("and its answer").waitFor();
  assert.equal(await stateWord(), "asleep");
  await say("wake up");
  await until("working", async () => (await stateWord()) === "working");
  assert.equal(host.commands("session.create").length, 0, "the host wakes it");
  host.finish(s, "I am awake.");
  await answer("I am awake.").waitFor();
  host.become(s, "asleep", "session.asleep");
  await until("asleep again", async () => (await stateWord()) === "asleep");
  host.become(s, "stopped", "session.closed");
  await until("closed", async () => (await stateWord()) === "closed");
  await say("go on");
  await until("working", async () => (await stateWord()) === "working");
  const words = await page.locator("body").innerText();
  assert.doesNotMatch(words, /\b(idle|stopped)\b/i);
});

test("too many at work: which ones, and what to do about it", async () => {
  await begin();
  const s = host.make({ title: "the next" });
  const busy = host.make({ title: "a long build" });
  host.work(busy, "build it");
  await open(s);
  host.refuse("prompt", "limit", "16 sessions work at once; wait until one of them is done");
  await say("start too");
  await byId(page, "at-work").waitFor();
  assert.match(await byId(page, "at-work-item").innerText(), /a long build/);
  await atWidths("sessions-limit");
  // The same for one that cannot even be started.
  await byId(page, "session-new").click();
  host.refuse("session.create", "limit", "16 sessions work at once");
  await say("and another one");
  await byId(page, "error-card").filter({ hasText: "Too many sessions at once" }).waitFor();
  await byId(page, "at-work-open").click();
  await until("it is opened", async () => (await byId(page, "session-title").innerText()) === "a long build");
  await rows().filter({ hasText: "the next" }).click();
  host.refuse("session.create", null);
  await byId(page, "at-work-stop").click();
  await until("it is stopped", async () => host.commands("abort", busy.row.session_id).length === 1);
  host.refuse("prompt", null);
  await byId(page, "error-retry").click();
  await until("working", async () => (await stateWord()) === "working");
  assert.equal(await byId(page, "message-user").count(), 1);
});

test("another epoch, or events that are gone: the conversation is read anew and goes on", async () => {
  await begin();
  const s = host.make({ title: "epochs" });
  await open(s);
  await say("first");
  await until("working", async () => (await stateWord()) === "working");
  host.finish(s, "one");
  await answer("one").waitFor();
  // While nobody looks: the runner is started anew, and counts further than this page has seen.
  const before = s.seq;
  for (const c of host.connections) c.follows.clear();
  host.restart(s);
  host.event(s, "session.created", { resumed: true });
  host.work(s, "said meanwhile");
  host.finish(s, "two");
  while (s.seq < before + 3) host.event(s, "persisted", { message_count: 4 });
  host.cut();
  await answer("two").waitFor({ timeout: 10_000 });
  const texts = async () => (await page.locator(".message").allInnerTexts()).map((t) => t.split("\n")[0]);
  assert.deepEqual(await texts(), ["first", "one", "said meanwhile", "two"]);
  const last = host.commands("session.subscribe").at(-1);
  assert.equal(last.epoch, s.epoch);
  // And while it looks: an event of another epoch.
  for (let i = 0; i < 150; i++) s.messages.push({ id: `m${i}`, idx: s.messages.length, role: "user", created_at: 1, parts: [{ type: "text", id: "t", text: `many ${i}` }] });
  const { epoch } = s;
  host.restart(s);
  assert.notEqual(s.epoch, epoch);
  host.work(s, "after the restart");
  await byId(page, "message-user").filter({ hasText: "after the restart" }).waitFor({ timeout: 6000 });
  host.finish(s, "three");
  await answer("three").waitFor();
  assert.equal(await byId(page, "message-user").filter({ hasText: "after the restart" }).count(), 1);
});

test("what nobody looks at is followed no longer, and caught up with when it is opened", async () => {
  await begin({}, () => {
    // Five minutes are over sooner.
    const now = Date.now.bind(Date);
    window.ahead = 0;
    Date.now = () => now() + window.ahead;
    const every = window.setInterval.bind(window);
    window.setInterval = (f, ms, ...rest) => every(f, ms === 30_000 ? 200 : ms, ...rest);
  });
  const a = host.make({ title: "looked at once" }), b = host.make({ title: "shown" }), busy = host.make({ title: "works" });
  await open(a);
  host.work(busy, "long");
  await rows().filter({ hasText: "works" }).click();
  await until("it is followed", async () => host.commands("session.subscribe", busy.row.session_id).length === 1);
  await rows().filter({ hasText: "shown" }).click();
  await until("it is followed", async () => host.commands("session.subscribe", b.row.session_id).length === 1);
  await sleep(600);
  assert.equal(host.commands("session.unsubscribe").length, 0);
  await page.evaluate(() => (window.ahead = 5 * 60_000 + 1000));
  await until("it is let go", async () => host.commands("session.unsubscribe", a.row.session_id).length === 1, 3000);
  await sleep(500);
  assert.deepEqual(host.commands("session.unsubscribe").map((f) => f.session_id), [a.row.session_id], "what is shown or works is kept");
  host.work(a, "from elsewhere");
  host.finish(a, "missed it?");
  await rows().filter({ hasText: "looked at once" }).click();
  await answer("missed it?").waitFor();
  // The host itself lets one go that is shown; it comes back when something happens in it.
  for (const c of host.connections) { c.follows.delete(a.row.session_id); c.send({ channel: "agent", event: "session.unsubscribed", session_id: a.row.session_id, ts: 1, reason: "too many" }); }
  host.work(a, "again");
  await byId(page, "message-user").filter({ hasText: "again" }).waitFor();
});

test("a refused subscription says so", async () => {
  await begin();
  const s = host.make({ title: "crowded" });
  host.refuse("session.subscribe", "limit", "this connection follows 64 sessions already");
  await open(s);
  await byId(page, "error-card").waitFor();
  assert.match(await byId(page, "error-card").innerText(), /Too many sessions at once.*follows 64/s);
  host.refuse("session.subscribe", null);
  await byId(page, "error-retry").click();
  await byId(page, "error-card").waitFor({ state: "detached" });
});

test("setup shows what this host cannot run, with the reason, and does not offer it", async () => {
  await begin({ setup: true, workspaces: [], profiles: NO_STRICT });
  await page.goto(`${host.origin}/#setup=token`);
  await byId(page, "setup-form").waitFor();
  assert.ok(await byId(page, "profile-strict").locator("input").isDisabled());
  assert.match(await byId(page, "profile-strict").innerText(), /Read and edit.*Not on this host: it needs cgroup limits/s);
  assert.match(await byId(page, "profile-minimal").innerText(), /Large builds.*loosest/s);
  assert.ok(await byId(page, "profile-development").locator("input").isChecked());
  await atWidths("sessions-setup");
  await byId(page, "username").fill("ada");
  await byId(page, "password").fill("correct horse battery");
  await byId(page, "setup-submit").click();
  await byId(page, "empty-session").waitFor();
  assert.equal(host.workspaces.length, 1);
  assert.equal(host.sessions.size, 0);
});

test("an invited person arrives in a workspace and a session, in one step", async () => {
  await begin({ workspaces: [] });
  host.user = null;
  await page.goto(`${host.origin}/#invite=code`);
  await byId(page, "username").fill("bob");
  await byId(page, "password").fill("correct horse battery");
  await byId(page, "setup-workspace").fill("bob's work");
  await byId(page, "register-submit").click();
  await byId(page, "empty-session").waitFor();
  assert.match(await byId(page, "empty-session").innerText(), /bob's work/);
});

test("a remembered profile that is not available is replaced visibly", async () => {
  await begin({ profiles: NO_STRICT }, () => localStorage.setItem("oqto.profile", "strict"));
  await page.goto(host.origin);
  await byId(page, "instead").waitFor();
  assert.match(await byId(page, "instead").innerText(), /“Read and edit” cannot run on this host: it needs cgroup limits.*“Everyday work” instead, which allows more/s);
  assert.match(await byId(page, "profile-badge").innerText(), /Everyday work/);
  await atWidths("sessions-instead");
  await say("go");
  await until("it is started", async () => host.commands("session.create").length === 1);
  assert.equal(host.commands("session.create")[0].config.profile, "development");
});

test("a session that does not start offers another profile, and sends what was said", async () => {
  await begin({}, () => localStorage.setItem("oqto.profile", "strict"));
  await page.goto(host.origin);
  await byId(page, "composer").waitFor();
  host.profiles = NO_STRICT;
  await say("hello");
  await byId(page, "error-card").waitFor();
  assert.match(await byId(page, "error-card").innerText(), /refuses to start.*cgroup/s);
  await atWidths("sessions-refused");
  await byId(page, "error-retry").click();
  await until("tried again", async () => host.commands("session.create").length === 2);
  await byId(page, "start-with-development").click();
  await until("working", async () => (await stateWord()) === "working");
  assert.equal(host.commands("prompt")[0].message, "hello");
  assert.equal(await byId(page, "message-user").count(), 1);
  assert.equal(await byId(page, "error-card").count(), 0);
  await byId(page, "session-new").click();
  await until("the next one is begun with what works", async () => /Everyday work/.test(await byId(page, "profile-badge").innerText()));
});

async function poisoned() {
  await begin();
  const s = host.make({ title: "poisoned" });
  host.message(s, "user", "good question");
  host.message(s, "assistant", "good answer", { stop_reason: "stop" });
  host.message(s, "user", "the fatal words");
  host.message(s, "assistant", "", { stop_reason: "error", error: "prompt is too long" });
  await open(s);
  await byId(page, "ways-out").waitFor();
  return s;
}

test("from a model's error one goes back to before the message, which comes back for editing", async () => {
  const s = await poisoned();
  await atWidths("sessions-ways-out");
  await byId(page, "go-back").click();
  await until("the branch", async () => (await byId(page, "composer").inputValue()) === "the fatal words");
  assert.equal(host.commands("fork", s.row.session_id)[0].message_id, s.messages[2].id);
  await answer("good answer").waitFor();
  assert.equal(await byId(page, "message-user").count(), 1);
  assert.equal(await rows().count(), 2);
});

test("any message can be edited in a new branch", async () => {
  const s = await poisoned();
  await byId(page, "edit-branch").first().click();
  await until("the branch", async () => (await byId(page, "composer").inputValue()) === "good question");
  assert.equal(host.commands("fork")[0].message_id, s.messages[0].id);
});

test("one can summarise and go on, unless the agent works", async () => {
  const s = await poisoned();
  host.compactMs = 600;
  await byId(page, "summarise").click();
  await byId(page, "notice").filter({ hasText: "Summarising" }).waitFor();
  await byId(page, "toast").filter({ hasText: "was summarised" }).waitFor();
  host.refuse("compact", "busy", "the agent works");
  await byId(page, "session-menu").click();
  await byId(page, "menu-summarise").click();
  await byId(page, "toast").filter({ hasText: "the agent works" }).waitFor();
  assert.equal(host.commands("compact", s.row.session_id).length, 2);
});

test("one can start over, or choose another model; the palette knows it too", async () => {
  await poisoned();
  await byId(page, "choose-model").click();
  await byId(page, "model-item").first().waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+k");
  await byId(page, "palette-input").fill("start over");
  assert.match(await byId(page, "palette-item").first().innerText(), /Start over in a new session/);
  await page.keyboard.press("Enter");
  await byId(page, "empty-session").waitFor();
});
