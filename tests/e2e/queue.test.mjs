// What is said to a working agent waits in plain sight, can be changed and taken back, and is never lost.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { FakeHost } from "./fake_wire.mjs";
import { byId, openBrowser, openPage, root, until } from "./lib.mjs";

const shots = path.join(root, "build/screenshots");
let browser, host, page, s;

before(async () => {
  mkdirSync(shots, { recursive: true });
  browser = await openBrowser();
});
after(() => browser?.close());
beforeEach(async () => {
  host = await FakeHost.start();
  page = await openPage(browser);
  page.setDefaultTimeout(6000);
  s = host.make({ title: "queue" });
  await page.goto(`${host.origin}/#/s/${s.row.session_id}`);
  await byId(page, "composer").waitFor();
  await say("do the work");
  await byId(page, "stop").waitFor();
});
afterEach(async () => {
  assert.deepEqual(page.problems, []);
  await page.context().close();
  await host.stop();
});

const say = async (text, key = "Enter") => { await byId(page, "composer").fill(text); await byId(page, "composer").press(key); };
const item = (text) => byId(page, "waiting-item").filter({ hasText: text });
const bubbles = () => byId(page, "message-user").count();
const composer = () => byId(page, "composer").inputValue();
const shot = (name) => page.screenshot({ path: path.join(shots, `${name}.png`) });

test("what waits is a list that says when it is read, and becomes a message only then", async () => {
  await say("steered one");
  await say("queued one", "Alt+Enter");
  await item("queued one").waitFor();
  assert.match(await item("steered one").innerText(), /after its current step/);
  assert.match(await item("queued one").innerText(), /when it is done/);
  assert.equal(await bubbles(), 1, "they are no messages yet");
  await shot("queue-1440");
  await page.setViewportSize({ width: 390, height: 700 });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.waitForTimeout(400);
  await shot("queue-390-dark");
  host.message(s, "assistant", "A step.", { stop_reason: "tool_use" });
  host.deliver(s);
  await item("steered one").waitFor({ state: "detached" });
  await until("the bubble", async () => (await bubbles()) === 2);
  const [step, steered] = [await byId(page, "message-assistant").last().boundingBox(), await byId(page, "message-user").last().boundingBox()];
  assert.ok(steered.y > step.y, "where the agent took it");
  await page.reload();
  await item("queued one").waitFor();
  assert.equal(await bubbles(), 2);
});

test("what waits can be edited in place and removed", async () => {
  await say("first wording");
  await byId(item("first wording"), "waiting-edit").click();
  await byId(page, "waiting-edit-text").fill("second wording");
  await byId(page, "waiting-save").click();
  await item("second wording").waitFor();
  assert.equal(host.commands("queue.edit")[0].message, "second wording");
  await byId(item("second wording"), "waiting-remove").click();
  await item("second wording").waitFor({ state: "detached" });
  assert.equal(host.commands("queue.remove").length, 1);
  // The agent was quicker.
  await say("too late");
  await item("too late").waitFor();
  await byId(item("too late"), "waiting-edit").click();
  await byId(page, "waiting-edit-text").fill("changed");
  s.queue = [];
  await byId(page, "waiting-save").click();
  await byId(page, "toast").filter({ hasText: "has read it already" }).waitFor();
});

test("after Stop the newest stands in the composer again, and the others as not sent", async () => {
  await say("older words", "Alt+Enter");
  await say("newest words", "Alt+Enter");
  await item("newest words").waitFor();
  await byId(page, "stop").click();
  await until("the words in the composer", async () => (await composer()) === "newest words", 3000);
  assert.match(await byId(page, "composer-note").innerText(), /Not sent/);
  await until("one left", async () => (await byId(page, "waiting-item").count()) === 1);
  assert.match(await item("older words").innerText(), /Not sent\. Stopped\./);
  await shot("queue-1280-returned");
  assert.equal(await bubbles(), 1);
  // Sent again, the other one does not slip in by itself.
  await byId(page, "composer").press("Enter");
  await until("two bubbles", async () => (await bubbles()) === 2);
  assert.equal(await composer(), "");
  await byId(page, "composer-note").waitFor({ state: "detached" });
  await byId(item("older words"), "waiting-edit").click();
  await until("its words", async () => (await composer()) === "older words");
  assert.equal(await byId(page, "waiting-item").count(), 0);
});

test("a draft in the composer stays when something comes back, and Discard removes for good", async () => {
  await say("queued one", "Alt+Enter");
  await item("queued one").waitFor();
  await byId(page, "composer").fill("a draft");
  await byId(page, "stop").click();
  await until("not sent", async () => (await item("queued one").getAttribute("data-state")) === "returned");
  await page.waitForTimeout(200);
  assert.equal(await composer(), "a draft");
  await byId(item("queued one"), "waiting-remove").click();
  await item("queued one").waitFor({ state: "detached" });
  assert.equal(await composer(), "a draft");
});

test("a page that did not send it leaves it where it is", async () => {
  const other = await openPage(browser);
  await other.goto(page.url());
  await byId(other, "composer").waitFor();
  await say("from the first page", "Alt+Enter");
  await byId(other, "waiting-item").filter({ hasText: "from the first page" }).waitFor();
  host.finish(s, "", { stop_reason: "error", error: "the provider said no" });
  await until("the words come back to their page", async () => (await composer()) === "from the first page", 3000);
  assert.equal(await byId(other, "composer").inputValue(), "");
  await other.context().close();
});

test("a message that meets somebody else's turn waits instead of being refused", async () => {
  host.finish(s);
  await byId(page, "send").waitFor();
  // The other device's prompt is on its way to this page.
  s.state = "working";
  await say("a moment too late");
  await item("a moment too late").waitFor();
  assert.equal(await item("a moment too late").getAttribute("data-delivery"), "follow_up");
  assert.equal(await byId(page, "error-card").count(), 0);
  assert.equal(await bubbles(), 1);
});
