// Nothing is learned by asking again: states, titles and questions of all sessions come to every page at once,
// and a question finds its person wherever he looks. A host that is only its wire stands in for the real one.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { FakeHost } from "./fake_wire.mjs";
import { byId, openBrowser, openPage, root, sleep, until } from "./lib.mjs";

const shots = path.join(root, "build/screenshots");
let browser, host, page;

before(async () => {
  mkdirSync(shots, { recursive: true });
  browser = await openBrowser();
});
after(() => browser?.close());
beforeEach(async () => {
  host = await FakeHost.start();
  page = await openPage(browser);
  page.setDefaultTimeout(6000);
});
afterEach(async () => {
  assert.deepEqual(page.problems, [], "no script failed, and none broke the policy");
  await page.context().close();
  await host.stop();
});

const QUESTION = { approval: { kind: "host", what: "one.example", argv: ["curl", "-sS", "https://one.example"], pid: 7, cwd: "/workspace" } };
const row = (s, of = page) => of.locator(`.session-item[data-session="${s.row.session_id}"]`);
const open = async (s, of = page) => { await of.goto(`${host.origin}/#/s/${s.row.session_id}`); await byId(of, "composer").waitFor(); };
const shot = (name, of = page) => of.screenshot({ path: path.join(shots, `${name}.png`) });

function long(s, count = 40) {
  for (let i = 0; i < count; i++) {
    host.message(s, "user", `question ${i}`);
    host.message(s, "assistant", `answer ${i} `.repeat(30), { stop_reason: "stop" });
  }
}

async function inView(locator) {
  const box = await locator.boundingBox();
  const { height } = page.viewportSize();
  return box && box.y >= 0 && box.y + box.height <= height;
}

test("new sessions, states, titles and deletions are pushed; the list is asked for once", async () => {
  const first = host.make({ title: "first" });
  await open(first);
  const second = host.make({ title: "second" });
  host.changed(second);
  await row(second).waitFor({ timeout: 2000 });
  host.work(second);
  await until("its state", async () => /working/.test(await row(second).innerText()), 2000);
  second.row.title = "deploy the blue one";
  host.changed(second);
  await until("its title", async () => /deploy the blue one/.test(await row(second).innerText()), 2000);
  host.become(second, "asleep");
  await until("asleep", async () => /asleep/.test(await row(second).innerText()), 2000);
  host.sessions.delete(second.row.session_id);
  host.push({ type: "session_removed", session_id: second.row.session_id });
  await row(second).waitFor({ state: "detached", timeout: 2000 });
  host.push({ type: "workspace", workspace: { id: "w9", name: "made elsewhere", created_at: 1 } });
  await byId(page, "workspace-switcher").click();
  await byId(page, "workspace-item").filter({ hasText: "made elsewhere" }).waitFor({ timeout: 2000 });
  assert.equal(host.commands("list_sessions").length, 1);
});

test("a question stays above the composer after a reload, and stands in the conversation where it was asked", async () => {
  const s = host.make({ title: "long" });
  long(s);
  host.work(s, "fetch the page");
  host.message(s, "assistant", "I will fetch it.", { stop_reason: "tool_use" });
  // The ring no longer has what was asked before: only the state tells of it.
  const asked = host.ask(s, QUESTION);
  s.ring = [];
  await open(s);
  await page.reload();
  const card = byId(page, "approval-card").first();
  await card.waitFor();
  assert.ok(await inView(byId(page, "approval-deny")), "in view, whatever the conversation shows");
  assert.match(await byId(page, "approval-left").innerText(), /denied in \d+ s/);
  await until("the focus on Deny", async () => (await page.evaluate(() => document.activeElement?.dataset?.testid)) === "approval-deny", 3000);
  const line = byId(page, "ask-line");
  assert.equal(await line.count(), 1);
  const [said, at] = [await byId(page, "message-assistant").last().boundingBox(), await line.boundingBox()];
  assert.ok(at.y > said.y, "after what the agent said before it asked");
  await shot("attention-1440-question");
  // Scrolled to the very beginning it is still there.
  await page.locator(".scroll").evaluate((el) => (el.scrollTop = 0));
  await sleep(200);
  assert.ok(await inView(byId(page, "approval-deny")));
  await byId(page, "approval-deny").click();
  await until("the answer on the wire", async () => host.commands("input_response").length === 1);
  assert.equal(host.commands("input_response")[0].value, "Deny");
  assert.equal(host.commands("input_response")[0].request_id, asked.request_id);
  await page.locator(".scroll").evaluate((el) => (el.scrollTop = el.scrollHeight));
  await until("what came of it", async () => /Denied by you\./.test(await byId(page, "approval-card").last().innerText()), 3000);
  assert.equal(await byId(page, "pinned").count(), 0);
});

test("focus does not jump to Deny while somebody types", async () => {
  const s = host.make({ title: "typing" });
  await open(s);
  host.work(s, "go");
  await byId(page, "composer").fill("half a sent");
  host.ask(s, QUESTION);
  await byId(page, "approval-deny").waitFor();
  await sleep(200);
  assert.equal(await page.evaluate(() => document.activeElement?.id), "composer-text");
});

test("a question that was answered elsewhere, or by nobody, says so", async () => {
  const s = host.make({ title: "elsewhere" });
  await open(s);
  host.work(s, "go");
  const one = host.ask(s, QUESTION);
  await byId(page, "approval-deny").waitFor();
  host.resolve(s, one.request_id, "answered", { by: "anna", answer: "Deny" });
  await until("by whom", async () => /Denied by anna on another device\./.test(await byId(page, "approval-card").last().innerText()), 3000);
  const two = host.ask(s, QUESTION);
  await byId(page, "approval-deny").waitFor();
  host.resolve(s, two.request_id, "timeout");
  await until("by nobody", async () => /Nobody answered within 60 s: denied\./.test(await byId(page, "approval-card").last().innerText()), 3000);
  const three = host.ask(s, { type: "confirm", title: "Push to main?", options: undefined, timeout: undefined });
  await byId(page, "ask-card").waitFor();
  host.resolve(s, three.request_id, "answered", { by: "anna", answer: "yes" });
  await until("what was said", async () => /Push to main\?.*Allowed by anna on another device\./s.test(await byId(page, "ask-card").last().innerText()), 3000);
});

test("questions of all sessions stand in one inbox, in the title and on the icon, and open at the question", async () => {
  const shown = host.make({ title: "notes", ago: 3000 });
  const asks = host.make({ title: "fix CI", ago: 5000 });
  const also = host.make({ title: "deploy", ago: 6000 });
  await open(shown);
  const icon = () => page.evaluate(() => document.querySelector('link[rel="icon"]').href);
  const quiet = await icon();
  host.work(asks);
  host.ask(asks, QUESTION);
  await byId(page, "inbox").waitFor({ timeout: 2000 });
  // It began before the other one, and asks after it: what is newest is the question.
  host.work(also);
  also.row.last_activity -= 60_000;
  host.ask(also, { ...QUESTION, approval: { ...QUESTION.approval, what: "two.example" } });
  await until("both", async () => (await byId(page, "inbox-item").filter({ visible: true }).count()) === 2, 2000);
  assert.match(await byId(page, "inbox").innerText(), /Waiting for you \(2\)/);
  assert.match(await byId(page, "inbox-item").filter({ visible: true }).first().innerText(), /two\.example.*deploy.*left/s, "newest first, with the time that is left");
  assert.match(await page.title(), /^\(2\) /);
  assert.notEqual(await icon(), quiet);
  // Words that come in do not touch any of it.
  await page.evaluate(() => {
    window.touched = 0;
    new MutationObserver(() => window.touched++).observe(document.head, { subtree: true, attributes: true });
    new MutationObserver(() => window.touched++).observe(document.querySelector('[data-testid="inbox"] h2'), { subtree: true, characterData: true, childList: true });
  });
  host.event(shown, "stream.message_start", { message_id: "m", role: "assistant" });
  for (let i = 0; i < 20; i++) {
    host.event(shown, "stream.text_delta", { message_id: "m", content_index: 0, delta: `word ${i} ` });
    await sleep(20);
  }
  await byId(page, "message-assistant").filter({ hasText: "word 19" }).waitFor();
  assert.equal(await page.evaluate(() => window.touched), 0);
  await shot("attention-1440-inbox");
  await page.emulateMedia({ colorScheme: "dark" });
  await shot("attention-1440-inbox-dark");
  for (const width of [390, 320]) {
    await page.setViewportSize({ width, height: 700 });
    await byId(page, "inbox-main").waitFor();
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${width} px wide`);
    await shot(`attention-${width}-inbox-dark`);
  }
  await byId(page, "inbox-main").locator(byId(page, "inbox-item")).filter({ hasText: "fix CI" }).click();
  await byId(page, "approval-what").waitFor();
  assert.equal(await byId(page, "approval-what").innerText(), "one.example");
  await sleep(300);
  assert.ok(await inView(byId(page, "approval-deny")));
  await shot("attention-320-question-dark");
  host.resolve(asks, asks.pending[0].request_id, "answered", { by: "ada", answer: "Once" });
  host.resolve(also, also.pending[0].request_id, "timeout");
  await until("an empty inbox", async () => (await byId(page, "inbox").count()) === 0, 2000);
  await until("a plain title", async () => !/^\(/.test(await page.title()), 2000);
  assert.equal(await icon(), quiet);
});

const NOTES = () => {
  window.notes = [];
  window.Notification = class {
    static permission = "default";
    static async requestPermission() { return (this.permission = "granted"); }
    constructor(title, options) { Object.assign(this, { title, ...options, open: true }); window.notes.push(this); }
    close() { this.open = false; }
  };
};
const hide = (hidden) => page.evaluate((hidden) => {
  Object.defineProperty(document, "visibilityState", { configurable: true, get: () => (hidden ? "hidden" : "visible") });
  document.dispatchEvent(new Event("visibilitychange"));
}, hidden);

test("a notification comes only when it was asked for and nobody looks, once, and goes with the answer", async () => {
  await page.addInitScript(NOTES);
  const shown = host.make({ title: "notes" });
  const asks = host.make({ title: "fix CI" });
  await open(shown);
  assert.equal(await byId(page, "notify-offer").count(), 0, "not at the start");
  host.work(asks);
  const first = host.ask(asks, QUESTION);
  await byId(page, "notify-allow").first().click();
  await until("no more offers", async () => (await byId(page, "notify-offer").count()) === 0);
  assert.equal(await page.evaluate(() => window.notes.length), 0, "the page is in view");
  host.resolve(asks, first.request_id, "timeout");
  await hide(true);
  const second = host.ask(asks, { ...QUESTION, approval: { ...QUESTION.approval, what: "two.example" } });
  await until("a notification", async () => page.evaluate(() => window.notes.length === 1), 3000);
  host.changed(asks);
  await sleep(200);
  const [note, ...more] = await page.evaluate(() => window.notes.map(({ title, body, open }) => ({ title, body, open })));
  assert.deepEqual(more, []);
  assert.match(note.title, /two\.example/);
  assert.match(note.body, /fix CI.*curl/);
  assert.ok(note.open);
  await page.evaluate(() => window.notes[0].onclick());
  await byId(page, "approval-what").waitFor();
  await hide(true);
  const third = host.ask(asks, QUESTION);
  await until("another", async () => page.evaluate(() => window.notes.length === 2), 3000);
  host.resolve(asks, second.request_id, "answered", { by: "ada", answer: "Once" });
  host.resolve(asks, third.request_id, "answered", { by: "ada", answer: "Once" });
  await until("both closed", async () => page.evaluate(() => window.notes.every((n) => !n.open)), 3000);
});

test("two pages agree, without a reload of either", async () => {
  const s = host.make({ title: "shared" });
  await open(s);
  const other = await openPage(browser);
  await open(host.make({ title: "somewhere else" }), other);
  await byId(page, "composer").fill("do it");
  await byId(page, "composer").press("Enter");
  await until("working there", async () => /working/.test(await row(s, other).innerText()), 2000);
  host.ask(s, QUESTION);
  await byId(other, "inbox-item").first().click();
  await byId(other, "approval-once").click();
  await until("answered here", async () => /Allowed once by ada on another device\./.test(await byId(page, "approval-card").last().innerText()), 2000);
  host.finish(s, "It is done.");
  for (const p of [page, other]) await byId(p, "message-assistant").filter({ hasText: "It is done." }).waitFor({ timeout: 2000 });
  await byId(other, "session-menu").click();
  await byId(other, "session-rename").click();
  await byId(other, "rename-name").fill("the shared one");
  await byId(other, "rename-submit").click();
  await until("its title here", async () => (await byId(page, "session-title").innerText()) === "the shared one", 2000);
  await byId(other, "session-menu").click();
  await byId(other, "session-delete").click();
  await byId(other, "delete-confirm").click();
  await row(s).waitFor({ state: "detached", timeout: 2000 });
  assert.deepEqual(other.problems, []);
  await other.context().close();
});
