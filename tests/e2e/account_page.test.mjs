// One's own account in the browser: another password, where one is signed in, a link for a forgotten one.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { byId, Host, openBrowser, openPage, until } from "./lib.mjs";

const OLD = "correct horse battery", NEW = "a green cow in the cellar", THIRD = "seven boats upon the hill";
let host, browser, page;

before(async () => {
  host = await Host.start();
  browser = await openBrowser();
  page = await openPage(browser);
  await page.goto(host.link);
  await byId(page, "username").fill("ada");
  await byId(page, "password").fill(OLD);
  await byId(page, "setup-submit").click();
  await byId(page, "composer").waitFor();
});
after(async () => { await browser?.close(); await host?.remove(); });

async function signIn(to, password) {
  await to.goto(host.origin);
  await byId(to, "username").fill("ada");
  await byId(to, "password").fill(password);
  await byId(to, "login-submit").click();
}
async function openAccount(of) {
  await byId(of, "account-menu").click();
  await byId(of, "open-account").click();
  await byId(of, "login-item").first().waitFor();
}
const items = (of) => byId(of, "login-item");

/** Pictures for a person to look at: OQTO_E2E_SHOTS names the directory. */
async function shoot(of, name) {
  if (!process.env.OQTO_E2E_SHOTS) return;
  mkdirSync(process.env.OQTO_E2E_SHOTS, { recursive: true });
  for (const [width, height] of [[390, 844], [1440, 900]]) {
    for (const colorScheme of ["light", "dark"]) {
      await of.setViewportSize({ width, height });
      await of.emulateMedia({ colorScheme });
      await of.screenshot({ path: path.join(process.env.OQTO_E2E_SHOTS, `${name}-${width}-${colorScheme}.png`) });
    }
  }
  await of.setViewportSize({ width: 1280, height: 820 });
}

test("the list names each browser, and signing one out ends it there", async () => {
  const other = await openPage(browser, { userAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1" });
  await signIn(other, OLD);
  await byId(other, "composer").waitFor();
  await openAccount(page);
  assert.equal(await items(page).count(), 2);
  const phone = items(page).filter({ hasText: "Safari on iPhone" });
  assert.match(await phone.innerText(), /127\.0\.0\.1/);
  assert.match(await items(page).filter({ hasText: "this one" }).innerText(), /Chrom(e|ium) on Linux/);
  await shoot(page, "account");
  await phone.getByTestId("login-end").click();
  await until("one is left", async () => (await items(page).count()) === 1);
  await byId(other, "login-form").waitFor();
  assert.equal(await byId(page, "logins-end-others").count(), 0);
  await page.keyboard.press("Escape");
  await other.context().close();
});

test("the password is changed with the old one, and the others are signed out", async () => {
  const other = await openPage(browser);
  await signIn(other, OLD);
  await byId(other, "composer").waitFor();
  await openAccount(page);
  await byId(page, "old-password").fill("not the password");
  await byId(page, "new-password").fill(NEW);
  await byId(page, "password-submit").click();
  await until("it says so", async () => /current password is wrong/i.test(await byId(page, "password-form").innerText()));
  await byId(page, "old-password").fill(OLD);
  await byId(page, "password-submit").click();
  await until("it is changed", async () => (await byId(page, "old-password").inputValue()) === "" && (await items(page).count()) === 1);
  await byId(other, "login-form").waitFor();
  await byId(other, "username").fill("ada");
  await byId(other, "password").fill(NEW);
  await byId(other, "login-submit").click();
  await byId(other, "composer").waitFor();
  await page.keyboard.press("Escape");
  await byId(page, "composer").waitFor();
  await other.context().close();
});

test("a reset link sets a password and signs in, once, whoever was signed in there", async () => {
  const { url } = await host.ctl("accounts", "reset-password", "ada");
  const other = await openPage(browser);
  await other.goto(url);
  await byId(other, "reset-form").waitFor();
  assert.equal(new URL(other.url()).hash, "", "the link is not left in the address bar");
  await shoot(other, "reset");
  await byId(other, "password").fill(THIRD);
  await byId(other, "reset-submit").click();
  await byId(other, "composer").waitFor();
  await byId(page, "login-form").waitFor();
  const third = await openPage(browser);
  await third.goto(url);
  await byId(third, "password").fill(OLD);
  await byId(third, "reset-submit").click();
  await until("it is dead", async () => /not valid/.test(await byId(third, "form-error").innerText()));
  assert.deepEqual([...page.problems, ...other.problems, ...third.problems], [], "no policy was broken");
  await other.context().close();
  await third.context().close();
});

test("an auditor has the same page", async () => {
  const cookie = (await host.request("POST", "/api/auth/login", { body: { username: "ada", password: THIRD } })).cookie;
  const made = await host.request("POST", "/api/auth/invites", { cookie, body: { role: "auditor" } });
  const auditor = await openPage(browser);
  await auditor.goto(`${host.origin}/#invite=${made.json().code}`);
  await byId(auditor, "username").fill("otto");
  await byId(auditor, "password").fill(OLD);
  await byId(auditor, "register-submit").click();
  await byId(auditor, "auditor").waitFor();
  await openAccount(auditor);
  assert.equal(await items(auditor).count(), 1);
  await auditor.context().close();
});
