// What a browser is told when its WebSocket ends.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Host, Mux, byId, openBrowser, openPage, until } from "./lib.mjs";

let host, browser;
before(async () => { host = await Host.start(); browser = await openBrowser(); });
after(async () => { await browser?.close(); await host?.remove(); });

test("an orderly stop closes with 1001, for users and auditors, and waits for nobody; the page connects again", async () => {
  const page = await openPage(browser);
  await page.goto(host.link);
  await byId(page, "username").fill("ada");
  await byId(page, "password").fill("correct horse battery");
  await byId(page, "setup-submit").click();
  await byId(page, "empty-session").waitFor();
  const login = await host.request("POST", "/api/auth/login", { body: { username: "ada", password: "correct horse battery" } });
  const auditor = await host.invite(login.cookie, "auditor", undefined, "auditor");
  const user = await Mux.open(host, login.cookie), other = await Mux.open(host, auditor), deaf = await Mux.open(host, login.cookie);
  deaf.socket._socket.pause();  // it neither reads nor answers
  assert.equal(await host.down(), 0);
  assert.equal(await user.closed, 1001);
  assert.equal(await other.closed, 1001);
  deaf.socket.terminate();
  await host.up();
  await until("the page to be connected again", async () => (await host.ctl("status")).tenants.some((t) => t.connections === 1), 60_000);
  assert.deepEqual(page.problems, []);
});
