// The main job, as a person does it: set up, sign in, chat with the real Pi in its sandbox, come back.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { byId, Host, openBrowser, openPage, Provider, root, sleep, until } from "./lib.mjs";

const shots = path.join(root, "build/screenshots");
let host, provider, browser, page;
const rules = [
  { when: { lastUserContains: "say hello", lastRole: "user" }, turn: { thinking: "The user wants a greeting.", text: "Hello **there**, nice to meet you.", chunkSize: 4, chunkDelayMs: 150 } },
  { when: { lastUserContains: "make the file", lastRole: "user" }, turn: { toolCalls: [{ name: "bash", arguments: { command: "echo from-the-sandbox > made.txt; id -u; cat made.txt" } }] } },
  { when: { lastUserContains: "make the file", lastRole: "tool" }, turn: { text: "It is made." } },
  { when: { lastUserContains: "talk for long", lastRole: "user" }, turn: { text: "word ", repeatText: 4000, chunkSize: 5, chunkDelayMs: 25 } },
  { when: { lastUserContains: "run for long", lastRole: "user" }, turn: { toolCalls: [{ name: "bash", arguments: { command: "echo started; sleep 300; echo finished" } }] } },
  { when: { lastUserContains: "work while away", lastRole: "user" }, turn: { toolCalls: [{ name: "bash", arguments: { command: "sleep 3; echo done-while-away > away.txt" } }] } },
  { when: { lastUserContains: "work while away", lastRole: "tool" }, turn: { text: "I worked while you were away." } },
  { when: { lastUserContains: "what did I say first" }, turn: { text: "You asked me to say hello." } },
];

before(async () => {
  mkdirSync(shots, { recursive: true });
  provider = await Provider.start({ rules });
  host = await Host.start({ providerUrl: provider.url });
  browser = await openBrowser();
  page = await openPage(browser);
});
after(async () => { await browser?.close(); await host?.remove(); provider?.stop(); });

const shot = (name, of = page) => of.screenshot({ path: path.join(shots, `${name}.png`) });
const send = async (text, of = page) => { await byId(of, "composer").fill(text); await byId(of, "composer").press("Enter"); };
const assistant = (text, of = page) => byId(of, "message-assistant").filter({ hasText: text }).last();
const idle = (of = page) => until("at rest", async () => /ready/.test(await byId(of, "state-word").first().innerText()), 30_000);

test("the setup link makes the first administrator", async () => {
  await page.goto(host.link);
  await byId(page, "username").fill("ada");
  await byId(page, "password").fill("correct horse battery");
  await shot("1-setup");
  await byId(page, "setup-submit").click();
  await byId(page, "composer").waitFor();
  await shot("2-first-chat");
});

test("the setup link is dead afterwards", async () => {
  const token = new URL(host.link).hash.replace("#setup=", "");
  const answer = await host.request("POST", "/api/auth/setup", { body: { token, username: "eve", password: "correct horse battery" } });
  assert.ok(answer.status >= 400, `${answer.status}`);
  assert.ok(!answer.cookie);
});

test("signing in works with user name and password, and only with the right one", async () => {
  const second = await openPage(browser);
  await second.goto(host.origin);
  await byId(second, "username").fill("ada");
  await byId(second, "password").fill("wrong horse battery");
  await byId(second, "login-submit").click();
  await byId(second, "form-error").waitFor();
  await byId(second, "password").fill("correct horse battery");
  await byId(second, "login-submit").click();
  await byId(second, "workspace-switcher").waitFor();
  await second.context().close();
});

test("a workspace and a session, and the answer streams in with its thinking folded", async () => {
  await byId(page, "workspace-switcher").click();
  await byId(page, "workspace-create").click();
  await byId(page, "workspace-name").fill("second workspace");
  await byId(page, "workspace-submit").click();
  await byId(page, "session-new").click();
  await byId(page, "composer").waitFor();
  await send("say hello");
  await assistant("Hello").waitFor({ timeout: 60_000 });
  const partial = await assistant("Hello").innerText();
  await assistant("nice to meet you").waitFor();
  assert.ok(!partial.includes("nice to meet you."), "the text came in pieces");
  await idle();
  assert.equal(await assistant("Hello").locator("strong").innerText(), "there");
  const thinking = byId(page, "thinking").first();
  assert.ok(!(await thinking.innerText()).includes("wants a greeting"), "folded");
  await shot("3-hello");
});

test("a tool call is a card with arguments, output and duration, run in the sandbox", async () => {
  await send("make the file");
  await assistant("It is made.").waitFor({ timeout: 30_000 });
  await idle();
  const card = byId(page, "tool-card").last();
  assert.equal(await card.getAttribute("data-tool"), "bash");
  if ((await byId(card, "tool-output").count()) === 0) await byId(card, "tool-toggle").click();
  const output = await byId(card, "tool-output").innerText();
  assert.match(output, /1000\s+from-the-sandbox/, "the uid inside, and the file's content");
  assert.match(await card.innerText(), /echo from-the-sandbox/);
  assert.match(await card.innerText(), /\d\s*(ms|s)\b/);
  await shot("4-tool");
});

test("stop ends the turn within a second, in the middle of text and of bash", async () => {
  await send("talk for long");
  await assistant("word word").waitFor();
  let started = Date.now();
  await byId(page, "stop").click();
  await idle();
  assert.ok(Date.now() - started < 1500, `mid-text: ${Date.now() - started} ms`);
  await send("run for long");
  await until("the tool's output", async () => (await byId(page, "tool-card").last().getAttribute("data-state")) === "running");
  await sleep(500);
  started = Date.now();
  await byId(page, "stop").click();
  await idle();
  assert.ok(Date.now() - started < 1500, `mid-bash: ${Date.now() - started} ms`);
});

test("a reload and a second tab show everything, still streaming", async () => {
  await send("talk for long");
  await assistant("word word word").waitFor();
  await page.reload();
  await assistant("word word word").waitFor();
  const tab = await page.context().newPage();
  await tab.goto(page.url());
  await assistant("word word word", tab).waitFor();
  const before = (await assistant("word word word", tab).innerText()).length;
  await until("more text in the second tab", async () => (await assistant("word word word", tab).innerText()).length > before + 50);
  assert.ok(await byId(tab, "message-user").filter({ hasText: "say hello" }).count(), "the first prompt is there");
  await byId(tab, "stop").click();
  await idle();
  await tab.close();
});

test("with every tab closed the agent works on, and it is all there afterwards", async () => {
  const url = page.url();
  await send("work while away");
  await until("the tool runs", async () => (await byId(page, "tool-card").last().getAttribute("data-state")) === "running");
  const context = page.context();
  await page.close();
  await sleep(5000);
  page = Object.assign(await context.newPage(), { problems: page.problems });
  await page.goto(url);
  await assistant("I worked while you were away").waitFor();
});

test("after a restart of the whole host the conversation is there and goes on", async () => {
  assert.equal(await host.down(), 0);
  await host.up();
  await page.goto(host.origin);
  await byId(page, "session-item").first().click();
  await assistant("I worked while you were away").waitFor();
  await send("what did I say first");
  await assistant("You asked me to say hello.").waitFor({ timeout: 60_000 });
  const last = (await provider.requests()).at(-1);
  assert.match(JSON.stringify(last.body ?? last), /say hello/, "Pi sent the whole conversation");
  await shot("5-after-restart");
});

test("the page works in the dark and on a phone", async () => {
  await page.emulateMedia({ colorScheme: "dark" });
  await shot("6-dark");
  await page.setViewportSize({ width: 390, height: 844 });
  await sleep(600);  // the drawer slides away
  await shot("7-phone");
  assert.ok(await byId(page, "composer").isVisible());
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${overflow} px too wide`);
  await page.setViewportSize({ width: 1280, height: 820 });
});

test("nothing broke the content security policy, and no script failed", () => {
  assert.deepEqual(page.problems, []);
});

test("stopping leaves nothing behind: no process, no mount, no socket", async () => {
  assert.equal(await host.down("SIGINT"), 0);
  assert.deepEqual(host.processes(/(?:)/), []);
  assert.ok(!readFileSync("/proc/self/mounts", "utf8").includes(host.state));
  assert.ok(!existsSync(path.join(host.state, "control.sock")));
});
