// What a browser is told when its WebSocket ends.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Host, Mux, byId, openBrowser, openPage, until } from "./lib.mjs";

let host;
before(async () => { host = await Host.start(); await host.setup("ada"); });
after(async () => { await host?.remove(); });
const signIn = async (username) => (await host.request("POST", "/api/auth/login", { body: { username, password: "correct horse battery" } })).cookie;

test("an orderly stop closes with 1001, for users and auditors, and waits for nobody", async () => {
  const cookie = await signIn("ada");
  const auditor = await host.invite(cookie, "ann", undefined, "auditor");
  const user = await Mux.open(host, cookie), other = await Mux.open(host, auditor), deaf = await Mux.open(host, cookie);
  deaf.socket._socket.pause();  // it neither reads nor answers
  assert.equal(await host.down(), 0);
  assert.equal(await user.closed, 1001);
  assert.equal(await other.closed, 1001);
  deaf.socket.terminate();
  await host.up();
});

test("a logout ends the connection at once and without a code", async () => {
  const cookie = await signIn("ada"), mux = await Mux.open(host, cookie);
  assert.equal((await host.request("POST", "/api/auth/logout", { cookie, body: {} })).status, 204);
  assert.equal(await mux.closed, 1006);
});

test("the page connects again after an orderly stop", async () => {
  const browser = await openBrowser();
  try {
    const page = await openPage(browser);
    await page.goto(host.origin);
    await byId(page, "username").fill("ada");
    await byId(page, "password").fill("correct horse battery");
    await byId(page, "login-submit").click();
    await byId(page, "account-menu").waitFor();
    assert.equal(await host.down(), 0);
    await host.up();
    await until("the page to be connected again", async () => (await host.ctl("status")).tenants.some((t) => t.connections === 1), 60_000);
    assert.deepEqual(page.problems, []);
  } finally {
    await browser.close();
  }
});
