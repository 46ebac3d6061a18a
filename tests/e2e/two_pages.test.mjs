// Two pages of one account before the real host and the real Pi: they agree without a reload, and what is
// said to a working agent waits where both can see it.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { byId, Host, openBrowser, openPage, Provider, until } from "./lib.mjs";

let host, provider, browser, page, other;
const bash = (command) => ({ toolCalls: [{ name: "bash", arguments: { command } }] });
const rules = [
  { when: { lastUserContains: "slow tool", lastRole: "user" }, turn: bash("sleep 300") },
  { when: { lastUserContains: "short tool", lastRole: "user" }, turn: bash("sleep 2; echo through") },
  { when: { lastUserContains: "short tool", lastRole: "tool" }, turn: { text: "The tool is through." } },
  { when: { lastUserContains: "steered words" }, turn: { text: "I read the steered words." } },
  { when: { lastUserContains: "queued words" }, turn: { text: "I read the queued words." } },
  { when: { lastUserContains: "fail now" }, turn: { error: { status: 400, message: "prompt is too long: 300000 tokens > 200000 maximum" } } },
  { when: { anyContains: "" }, turn: { text: "Fine." } },
];

before(async () => {
  provider = await Provider.start({ rules });
  host = await Host.start({ providerUrl: provider.url });
  browser = await openBrowser();
  page = await openPage(browser);
  await page.goto(host.link);
  await byId(page, "username").fill("ada");
  await byId(page, "password").fill("correct horse battery");
  await byId(page, "setup-submit").click();
  await byId(page, "empty-session").waitFor();
  other = await page.context().newPage();
  await other.goto(host.origin);
  await byId(other, "composer").waitFor();
});
after(async () => { await browser?.close(); await host?.remove(); provider?.stop(); });

const say = async (text, key = "Enter", of = page) => { await byId(of, "composer").fill(text); await byId(of, "composer").press(key); };
const answer = (text, of = page) => byId(of, "message-assistant").filter({ hasText: text });
const word = (of = page) => byId(of, "state-word").first().innerText();
const rest = () => until("at rest", async () => (await word()) === "ready", 30_000);
const item = (text, of = page) => byId(of, "waiting-item").filter({ hasText: text });
const texts = async () => (await page.locator(".message").allInnerTexts()).map((t) => t.split("\n")[0]);

test("an unused session is known to nobody; with its first message it is everywhere", async () => {
  assert.equal((await host.ctl("status")).processes.filter((p) => p.process === "session").length, 0);
  assert.equal(await byId(other, "session-item").filter({ hasNotText: "not sent yet" }).count(), 0);
  await say("short tool please");
  const row = byId(other, "session-item").filter({ hasText: "short tool please" });
  await row.waitFor({ timeout: 10_000 });
  await until("working there", async () => /working/.test(await row.innerText()), 5000);
  await answer("The tool is through.").waitFor({ timeout: 30_000 });
  await until("at rest there", async () => /ready/.test(await row.innerText()), 5000);
  await row.click();
  await answer("The tool is through.", other).waitFor();
});

test("waiting messages are seen on both pages and become messages where the agent takes them", async () => {
  await rest();
  await say("short tool again");
  // At once, before the first one is known to be taken: the meaning of the keys is the same.
  await say("queued words", "Alt+Enter");
  await say("steered words");
  await item("queued words", other).waitFor();
  assert.equal(await byId(page, "message-user").filter({ hasText: "queued words" }).count(), 0);
  await byId(item("queued words", other), "waiting-edit").click();
  await byId(other, "waiting-edit-text").fill("queued words, edited");
  await byId(other, "waiting-save").click();
  await item("queued words, edited").waitFor();
  await answer("I read the queued words.").waitFor({ timeout: 30_000 });
  await rest();
  const said = (await texts()).slice(-4);
  assert.deepEqual(said, ["steered words", "I read the steered words.", "queued words, edited", "I read the queued words."]);
  assert.equal(await byId(page, "waiting-item").count(), 0);
});

test("after Stop nothing that waited is lost, nor in the conversation", async () => {
  await say("slow tool");
  await until("it runs", async () => (await byId(page, "tool-card").last().getAttribute("data-state")) === "running");
  await say("queued words that come back", "Alt+Enter");
  await item("come back").waitFor();
  await byId(page, "stop").click();
  await until("in the composer", async () => (await byId(page, "composer").inputValue()) === "queued words that come back", 15_000);
  await rest();
  await until("nothing waits", async () => (await byId(page, "waiting-item").count()) === 0, 5000);
  assert.equal(await byId(page, "message-user").filter({ hasText: "come back" }).count(), 0);
  assert.equal(await byId(other, "composer").inputValue(), "");
  await byId(page, "composer").fill("");
});

test("from a model's error one goes back to before the message, and on in a branch", async () => {
  await say("fail now");
  await byId(page, "go-back").waitFor({ timeout: 60_000 });
  await rest();
  await byId(page, "go-back").click();
  await until("its text", async () => (await byId(page, "composer").inputValue()) === "fail now", 30_000);
  await answer("I read the queued words.").waitFor();
  assert.equal(await byId(page, "message-user").filter({ hasText: "fail now" }).count(), 0);
  await say("go on in the branch");
  await answer("Fine.").waitFor({ timeout: 30_000 });
  await until("both sessions there", async () => (await byId(other, "session-item").count()) === 2, 5000);
});

test("after a restart of the host both pages read on, and what sleeps is simply written to", async () => {
  await rest();
  await host.down();
  await host.up();
  await until("asleep", async () => (await word()) === "asleep", 60_000);
  await say("are you there");
  await until("the answer", async () => (await answer("Fine.").count()) >= 2, 60_000);
  assert.equal(await byId(page, "message-user").filter({ hasText: "are you there" }).count(), 1);
  assert.equal(await byId(page, "error-card").count(), 0);
  const row = byId(other, "session-item").first();
  await until("awake on the other page", async () => /ready|working/.test(await row.innerText()), 20_000);
});

test("no script failed, and none broke the policy", () => assert.deepEqual(page.problems, []));
