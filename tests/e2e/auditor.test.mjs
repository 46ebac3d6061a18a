// The auditor in the browser: what somebody commanded and what the machine then did, each entry proven
// against a key that came another way, and a host that lies is found out.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { PASSWORD, startAuditedHost } from "./auditor_rig.mjs";
import { bin, build, byId, Mux, openBrowser, openPage, until } from "./lib.mjs";

const shots = path.join(build, "screenshots");
let host, provider, browser, page, alice, keyFile, vkey, vkeyOfAnother;

const shot = (name) => page.screenshot({ path: path.join(shots, `auditor-${name}.png`) });
const row = (text) => byId(page, "audit-row").filter({ hasText: text }).first();
const proofState = () => byId(page, "proof").getAttribute("data-state");
async function search(text) {
  await byId(page, "filter-text").fill(text);
  await byId(page, "filter-text").press("Enter");
  await byId(page, "filter-summary").waitFor();
  await idle();
}
const idle = () => page.waitForSelector('[data-testid="audit-list"][aria-busy="false"]');
async function clear() {
  if (await byId(page, "filter-clear").count()) await byId(page, "filter-clear").click();
  await idle();
}
async function pin(text) {
  await byId(page, "trust").click();
  if (await byId(page, "unpin").count()) await byId(page, "unpin").click();
  await byId(page, "vkey").fill(text);
  await byId(page, "pin").click();
}
const closeDialog = () => page.locator("dialog [aria-label=Close]").first().click();

before(async () => {
  mkdirSync(shots, { recursive: true });
  ({ host, provider, alice } = await startAuditedHost());
  // As an auditor gets it: from whoever runs the host, not from the page.
  keyFile = readFileSync(path.join(host.state, "audit/key/log.vkey"), "utf8");
  vkey = keyFile.split("\n")[0];
  const another = path.join(host.state, "another");
  execFileSync(path.join(build, "bin/oqto-audit"), ["keygen", "--name", vkey.split("+")[0], "--out", another]);
  vkeyOfAnother = readFileSync(`${another}.vkey`, "utf8").trim();
  browser = await openBrowser();
  page = await openPage(browser, { acceptDownloads: true });
});

after(async () => {
  await browser?.close();
  await host?.remove();
  provider?.stop();
});

test("an administrator invites an auditor, who signs in and sees the time line", async () => {
  const invite = await host.ctl("invite", "--role", "auditor");
  const code = invite.code ?? new URL(invite.link).hash.replace("#invite=", "");
  await page.goto(`${host.origin}/#invite=${code}`);
  await byId(page, "username").fill("ada");
  await byId(page, "password").fill(PASSWORD);
  await byId(page, "register-submit").click();
  await byId(page, "auditor").waitFor();
  await byId(page, "scene").first().waitFor();
  assert.match(await byId(page, "trust").innerText(), /Nothing is verified/);
  await shot("1-unpinned");
});

test("the page opens with the story of the newest session: what was asked, and what the machine then did", async () => {
  const scenes = byId(page, "scene");
  const prompt = page.locator('li.kind-prompt').filter({ hasText: "deploy the blue version" });
  assert.match(await prompt.locator("> [data-testid=scene]").innerText(), /alice asked: “deploy the blue version”/);
  assert.match(await prompt.locator("> details > summary").innerText(), /steps/);
  const tool = prompt.locator("li.kind-tool").first();
  assert.match(await tool.innerText(), /The agent used bash/);
  await tool.locator("summary").first().click();
  await tool.locator("details details > summary").first().click();  // what the shell then started
  const echo = tool.locator('[data-kind="program"]').filter({ hasText: "/bin/echo deploying 2" }).first();
  await echo.waitFor({ state: "visible" });
  assert.match(await prompt.innerText(), /called the model mock\/mock-1/);
  assert.match(await byId(page, "story-summary").innerText(), /2 prompts, 1 tool call, .*model calls \(.*tokens in/);
  assert.equal(await scenes.filter({ hasText: "list_sessions" }).locator("xpath=self::*[@data-kind='command']").count(), 0);
  const folded = page.locator('[data-kind="folded"]').first();
  assert.match(await folded.innerText(), /pages and the host do by themselves/);
  await echo.click();
  await byId(page, "audit-detail").waitFor();
  assert.match(await byId(page, "audit-detail").innerText(), /1007 Process Activity/);
  await byId(page, "detail-close").click();
  await shot("1-story");
});

test("a person's story, only what failed, and what pages do by themselves, are one click each", async () => {
  await byId(page, "person").filter({ hasText: "alice" }).click();
  await until("her sign-up", async () => (await byId(page, "scene").filter({ hasText: "alice made the account" }).count()) > 0);
  await byId(page, "story-minor").check();
  await until("each of them", async () => (await page.locator('[data-kind="folded"]').count()) === 0 && (await byId(page, "scene").count()) > 5);
  assert.ok(await byId(page, "scene").filter({ hasText: /alice (connected|commanded)/ }).count() > 0);
  await byId(page, "story-minor").uncheck();
  await until("folded again", async () => (await page.locator('[data-kind="folded"]').count()) > 0);
});

test("the address holds what is looked at: a reload and a shared link show the same", async () => {
  assert.match(page.url(), /#view=story&tenant=alice/);
  await page.reload();
  await byId(page, "scene").first().waitFor();
  assert.equal(await byId(page, "filter-tenant").inputValue(), "alice");
  const other = await page.context().newPage();
  await other.goto(`${host.origin}/#view=list&text=deploy&events=0&entry=0`);
  await byId(other, "audit-row").first().waitFor();
  assert.equal(await byId(other, "filter-text").inputValue(), "deploy");
  assert.equal(await byId(other, "group-0").getAttribute("aria-pressed"), "true");
  assert.match(await byId(other, "audit-detail").innerText(), /Entry 0/);
  await other.close();
  await byId(page, "filter-tenant").fill("alcie");
  await byId(page, "filter-tenant").press("Enter");
  await byId(page, "story-nothing").waitFor();
  assert.match(await byId(page, "story-nothing").innerText(), /no account or user alcie: did you mean alice\?/);
  await byId(page, "filter-tenant").fill("");
  await byId(page, "filter-tenant").press("Enter");
  await byId(page, "scene").first().waitFor();
});

test("the story fits a phone, in the dark and in the light", async () => {
  await byId(page, "subject-session").first().click();
  await byId(page, "scene").first().waitFor();
  for (const [width, height] of [[390, 844], [1440, 900]]) {
    for (const colorScheme of ["light", "dark"]) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      await shot(`story-${width}-${colorScheme}`);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `nothing is wider than ${width}`);
    }
  }
  await page.setViewportSize({ width: 1280, height: 820 });
  await page.emulateMedia({ colorScheme: "light" });
  await byId(page, "view-list").click();
  await byId(page, "audit-row").first().waitFor();
  await clear();
});

test("without a pinned key the page says plainly that nothing is verified, and how to get the key", async () => {
  await byId(page, "audit-row").first().click();
  await byId(page, "proof").waitFor();
  assert.equal(await proofState(), "none");
  assert.match(await byId(page, "proof").innerText(), /Not verified/);
  await byId(page, "trust").click();
  assert.match(await byId(page, "trust-dialog").innerText(), /log\.vkey/);
  await shot("2-pin");
  await closeDialog();
});

test("an entry is proven in the browser against the pasted key", async () => {
  await pin(keyFile);
  await until("a verified checkpoint", async () => (await byId(page, "trust").getAttribute("data-state")) === "good");
  await closeDialog();
  await search("deploy");
  await row("deploy the blue version").click();
  await until("a proof", async () => (await proofState()) === "good");
  assert.match(await byId(page, "proof").innerText(), /Proven\..*signed tree of [\d,]+ entries\. Checked here, in your browser/s);
  assert.match(await byId(page, "audit-detail").innerText(), /alice.*deploy the blue version/s);
  assert.match(await byId(page, "audit-detail").innerText(), /6003 API Activity/);
  await shot("3-proven");
});

test("what the machine then did stands in the same session", async () => {
  await byId(page, "only-session").click();
  await idle();
  await until("the programs", async () => (await row("/bin/echo deploying 2").count()) > 0 && (await row("/usr/bin/id").count()) > 0);
  await row("/bin/echo deploying 2").click();
  await until("a proof", async () => (await proofState()) === "good");
  assert.match(await byId(page, "audit-detail").innerText(), /1007 Process Activity/);
  await shot("4-session");
  await clear();
});

test("a wrong pinned key proves nothing", async () => {
  await pin(vkeyOfAnother);
  await until("the refusal", async () => (await byId(page, "trust").getAttribute("data-state")) === "bad");
  await closeDialog();
  await byId(page, "audit-row").first().click();
  await until("a failed proof", async () => (await proofState()) === "bad");
  assert.match(await byId(page, "proof").innerText(), /not signed with the pinned key/);
  await shot("5-wrong-key");
  for (const odd of ["", "hello", `${vkey}A`, vkey.replace("+", " +")]) {
    await byId(page, "trust").click();
    if (await byId(page, "unpin").count()) await byId(page, "unpin").click();
    await byId(page, "vkey").fill(odd || " ");
    await byId(page, "pin").click();
    await until("an error", async () => (await page.locator("dialog [role=alert]:not([hidden])").count()) > 0);
    assert.match(await byId(page, "trust").innerText(), /Nothing is verified/);
    await closeDialog();
  }
  await pin(keyFile);
  await closeDialog();
  await until("a verified checkpoint", async () => (await byId(page, "trust").getAttribute("data-state")) === "good");
  await byId(page, "detail-close").click();
});

test("filters and pages show every entry once, from the newest to the first", async () => {
  const auditor = await Mux.open(host, (await host.request("POST", "/api/auth/login", { body: { username: "ada", password: PASSWORD } })).cookie);
  const found = [];
  let before;
  do {
    const got = await auditor.ok("audit.search", "_system", { without: ["audit.read"], limit: 7, ...(before === undefined ? {} : { before }) });
    found.push(...got.entries.map((e) => e.index));
    before = got.next ?? undefined;
  } while (before !== undefined);
  const records = (await host.records()).filter((r) => r.event !== "audit.read" && r.seq <= found[0]).map((r) => r.seq).reverse();
  assert.deepEqual(found, records);
  const failures = await auditor.ok("audit.search", "_system", { actors: ["alice"], events: ["command"], limit: 100 });
  assert.ok(failures.entries.length > 0);
  for (const { entry } of failures.entries) assert.equal(JSON.parse(entry).actor.username, "alice");
  const none = await auditor.ok("audit.search", "_system", { text: "nosuchword" });
  assert.deepEqual([none.entries, none.next], [[], null]);
  const day = await auditor.ok("audit.search", "_system", { to_ms: 1000 });
  assert.deepEqual(day.entries, []);
  await auditor.close();
  await byId(page, "group-1").click();
  await idle();
  for (const event of await byId(page, "audit-row").evaluateAll((all) => all.map((e) => e.dataset.event))) assert.equal(event, "exec");
  await clear();
  await page.keyboard.press("Escape");
  await page.locator("h1").click();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await byId(page, "audit-detail").waitFor();
  await page.keyboard.press("Escape");
  await byId(page, "audit-detail").waitFor({ state: "detached" });
});

test("an export is what stands in the log", async () => {
  await byId(page, "group-0").click();
  await idle();
  await byId(page, "export-open").click();
  const [file] = await Promise.all([page.waitForEvent("download"), byId(page, "export-start").click()]);
  const lines = readFileSync(await file.path(), "utf8").trim().split("\n").map((line) => JSON.parse(line));
  assert.ok(lines.some((l) => l.event === "command"));
  assert.deepEqual(lines.map((l) => l.seq), lines.map((l) => l.seq).toSorted((a, b) => a - b));
  await closeDialog();
  await clear();
});

test("AttackEntryTextsThatActAreInert", async () => {
  await search("onerror");
  await byId(page, "audit-row").first().waitFor();
  const line = await row("img src").innerText();
  assert.match(line, /\\u\{202e\}/);
  assert.match(line, /\\u\{1b\}/);
  await row("img src").click();
  await until("a proof", async () => (await proofState()) === "good");
  const shown = await page.locator(".audit").evaluate((all) => ({ text: all.textContent, images: all.querySelectorAll("img, script, iframe").length }));
  assert.equal(shown.images, 0);
  assert.doesNotMatch(shown.text, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/);
  assert.deepEqual(page.problems, []);
  await shot("6-hostile");
  await byId(page, "detail-close").click();
  await clear();
});

test("it works on a phone and in the dark", async () => {
  await page.setViewportSize({ width: 390, height: 800 });
  await page.emulateMedia({ colorScheme: "dark" });
  await until("the drawer is closed", () => page.locator(".audit-filters").evaluate((e) => getComputedStyle(e).visibility === "hidden" && e.getBoundingClientRect().right <= 0));
  await shot("7-phone");
  await byId(page, "open-filters").click();
  await byId(page, "filter-text").waitFor();
  await shot("8-phone-filters");
  await page.keyboard.press("Escape");
  await until("the drawer is closed", () => page.locator(".audit-filters").evaluate((e) => e.getBoundingClientRect().right <= 0));
  await byId(page, "audit-row").first().click();
  await until("a proof", async () => (await proofState()) === "good");
  await shot("9-phone-entry");
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is wider than the screen");
  await byId(page, "detail-close").click();
  await page.setViewportSize({ width: 1280, height: 820 });
  await byId(page, "audit-row").first().click();
  await until("a proof", async () => (await proofState()) === "good");
  await shot("10-dark");
  await page.emulateMedia({ colorScheme: "light" });
  await byId(page, "detail-close").click();
});

test("reading is itself recorded, with the query, before the answer", async () => {
  const reads = (await host.records()).filter((r) => r.event === "audit.read");
  const said = (await host.audit("search", "--event", "audit.read", "--json")).trim().split("\n").map((l) => JSON.parse(l));
  assert.equal(said.length, reads.length);
  const searches = said.filter((r) => r.phase === "intent" && r.fields.command === "audit.search");
  assert.ok(searches.some((r) => r.fields.username === "ada" && /onerror/.test(JSON.stringify(r.fields))), "the search for onerror");
  assert.ok(said.some((r) => r.fields.command === "audit.export") && said.some((r) => r.fields.command === "audit.entry"));
  const intents = new Set(said.filter((r) => r.phase === "intent").map((r) => r.seq));
  for (const r of said.filter((r) => r.phase === "outcome")) assert.ok(intents.has(r.intent) && r.intent < r.seq);
});

test("AttackAnAlteredCopyOfTheLogIsNoticedInTheBrowser", async () => {
  // Whoever owns the host changes what an entry says, where it is read from: a bundle that is full, so that
  // auditd does not write it again.
  const mux = await Mux.open(host, alice);
  for (let i = 0; (await host.records()).length < 300; ++i) await mux.ok("create_workspace", "_system", { name: `space ${i}` });
  await mux.close();
  await search("deploy the blue");
  const index = Number(await row("deploy the blue version").getAttribute("data-index"));
  const bundles = execFileSync("find", [path.join(host.state, "audit/log/tile/entries"), "-type", "f"], { encoding: "utf8" }).trim().split("\n");
  for (const file of bundles) {
    const bytes = readFileSync(file);
    const at = bytes.indexOf(`{"seq":${index},`);
    if (at < 0) continue;
    const name = bytes.indexOf('"username":"alice"', at);
    bytes.write("mallo", name + 12);
    writeFileSync(file, bytes);
  }
  const [before] = await host.pids("auditor");
  process.kill(before, "SIGKILL");  // it keeps what it read last
  await until("another auditor process", async () => (await host.ctl("status")).processes.some((p) => p.process === "auditor" && p.health === "ready" && p.pid !== before));
  await page.reload();
  await byId(page, "audit-row").first().waitFor();
  await search("deploy the blue");
  await row("deploy the blue version").click();
  await until("a failed proof", async () => (await proofState()) === "bad");
  assert.match(await byId(page, "proof").innerText(), /not what stands in the signed tree/);
  await shot("11-altered");
  await byId(page, "detail-close").click();
  await clear();
});

test("AttackARolledBackLogIsNoticedAndTheTwoNotesAreTheEvidence", async () => {
  await host.down();
  const audit = path.join(host.state, "audit"), kept = path.join(host.state, "audit-kept");
  execFileSync("cp", ["-a", audit, kept]);
  execFileSync("chmod", ["-R", "go=", path.join(audit, "log")]);  // as it was before there was an auditor
  await host.up();
  const mux = await Mux.open(host, alice);
  const before = (await host.records()).length;
  for (let i = 0; i < 80; ++i) await mux.ok("create_workspace", "_system", { name: `more ${i}` });
  await mux.close();
  await page.reload();
  await byId(page, "audit-row").first().waitFor();
  await until("a verified checkpoint", async () => (await byId(page, "trust").getAttribute("data-state")) === "good");
  await until("everything was seen", async () => {
    await byId(page, "trust").click();
    await page.getByRole("button", { name: "Check now" }).click();
    await closeDialog();
    return Number(/([\d,]+) entries/.exec(await byId(page, "trust").innerText())?.[1].replaceAll(",", "")) > before + 150;
  });
  assert.equal(await byId(page, "finding").count(), 0, "an orderly restart is no finding");

  await host.down();  // and the log, with everything the signer remembers, is put back
  execFileSync("rm", ["-rf", audit]);
  execFileSync("mv", [kept, audit]);
  execFileSync(bin("oqtoctl"), ["adopt", "--state", host.state]);  // whoever does this is root there
  await host.up();
  await page.reload();
  await byId(page, "finding").waitFor();
  assert.equal(await byId(page, "finding").getAttribute("data-kind"), "rollback");
  assert.match(await byId(page, "finding").innerText(), /The log was rolled back/);
  assert.match(await byId(page, "trust").innerText(), /The log was changed/);
  await shot("12-rollback");
  const [file] = await Promise.all([page.waitForEvent("download"), byId(page, "finding-download").click()]);
  const text = readFileSync(await file.path(), "utf8");
  assert.equal(text.split(`\u2014 ${vkey.split("+")[0]} `).length, 3, "two notes, both signed by the log");
  await page.reload();
  await byId(page, "finding").waitFor();  // it does not go away by itself
  assert.deepEqual(page.problems, []);
});
