// A recording in the real log, played in the auditor's browser. What was shown in the terminal is an attack.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { build, byId, Host, Mux, openBrowser, openPage, until } from "./lib.mjs";

const PASSWORD = "correct horse battery";
let host, browser, page, programs, relay = null;

const screen = () => byId(page, "player-screen").innerText();
const status = () => byId(page, "player").locator("[role=status]").innerText();
// The page's clock stands still, and the mouse with it.
const press = () => byId(page, "player-play").dispatchEvent("click");
async function openRecording() {
  await byId(page, "filter-text").fill("recording.chunk");
  await byId(page, "filter-text").press("Enter");
  await page.waitForSelector('[data-testid="audit-list"][aria-busy="false"]');
  await page.locator('[data-testid="audit-row"][data-event="recording.chunk"]').first().click();
  await byId(page, "player").waitFor();
  await until("a proof", async () => (await byId(page, "proof").getAttribute("data-state")) === "good");
}

before(async () => {
  mkdirSync(path.join(build, "screenshots"), { recursive: true });
  programs = mkdtempSync("/tmp/oqto-recording-");
  for (const name of readdirSync(path.join(build, "bin"))) {
    symlinkSync(name === "oqto-runner" ? path.join(build, "tests/hostile-runner-recording") : path.join(build, "bin", name), path.join(programs, name));
  }
  host = await Host.start({ args: ["--bin", programs] });
  const admin = await host.setup("alice");
  await host.invite(admin, "ada", PASSWORD, "auditor");
  await Mux.open(host, admin).catch(() => {});  // her runner starts, and records
  await until("the recording", async () => (await host.records()).filter((r) => r.event === "recording.chunk").length >= 2);
  browser = await openBrowser();
  page = await openPage(browser);
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"], { origin: host.origin });
  await page.routeWebSocket(/\/ws\/mux/, (socket) => {
    const server = socket.connectToServer();
    const commands = new Map();
    socket.onMessage((text) => {
      const frame = JSON.parse(text);
      commands.set(frame.id, frame.cmd);
      server.send(text);
    });
    server.onMessage((text) => {
      const frame = JSON.parse(text);
      const changed = commands.get(frame.id) === "audit.recording" && relay?.(frame.data);
      socket.send(changed ? JSON.stringify({ ...frame, data: changed }) : text);
    });
  });
  await page.goto(`${host.origin}/#view=list`);
  await byId(page, "username").fill("ada");
  await byId(page, "password").fill(PASSWORD);
  await byId(page, "login-submit").click();
  await byId(page, "audit-row").first().waitFor();
  await byId(page, "trust").click();
  await byId(page, "vkey").fill(readFileSync(path.join(host.state, "audit/key/log.vkey"), "utf8"));
  await byId(page, "pin").click();
  await until("trust", async () => (await byId(page, "trust").getAttribute("data-state")) === "good");
  await page.locator("dialog [aria-label=Close]").first().click();
});

after(async () => {
  await browser?.close();
  await host?.remove();
  if (programs) rmSync(programs, { recursive: true });
});

test("a recording plays at the speed that is chosen, and pauses", async () => {
  await openRecording();
  await page.clock.install();
  await page.clock.pauseAt(Date.now() + 1_000);
  await press();
  await until("the pieces", async () => /of 0:10/.test(await status()));
  assert.match(await status(), /0:00 of 0:10 · every piece proven/);
  assert.match(await screen(), /^\$ make deploy\n?$/);
  await page.clock.runFor(1_500);
  assert.match(await status(), /0:01 of/);
  assert.match(await screen(), /compiling done/);
  assert.doesNotMatch(await screen(), /99%|after the titles/, "a carriage return overwrites");
  await press();
  await page.clock.runFor(5_000);
  assert.match(await status(), /0:01 of/, "paused");
  await byId(page, "player-speed").evaluate((select) => {
    select.value = "4";
    select.dispatchEvent(new Event("change", { bubbles: true }));
  });
  await press();
  await page.clock.runFor(1_100);
  assert.match(await status(), /0:05 of/);
  assert.match(await screen(), /after the link/);
  assert.doesNotMatch(await screen(), /the last line/);
  await page.clock.runFor(3_000);
  assert.match(await status(), /0:10 of 0:10/);
  assert.match(await screen(), /the last line/);
  assert.equal(await byId(page, "player-play").innerText(), "Play", "it stops at its end");
  await page.clock.resume();
  await byId(page, "player-screen").scrollIntoViewIfNeeded();
  await page.screenshot({ path: path.join(build, "screenshots/auditor-recording.png") });
});

test("AttackEscapeSequencesInARecordingDoNothingToThePage", async () => {
  const shown = await screen();
  for (const line of ["after the titles", "after the clipboard", "after the link", "after the bidi", "after the questions", "the last line"]) {
    assert.ok(shown.includes(line), `${line} in ${JSON.stringify(shown)}`);
  }
  assert.equal(await page.title(), "Audit log · Oqto");
  assert.equal(await page.evaluate(() => navigator.clipboard.readText().catch(() => "")), "");
  const inside = await byId(page, "player-screen").evaluate((e) => ({ children: e.childElementCount, text: e.textContent }));
  assert.equal(inside.children, 0, "no link, no picture, no script: text");
  assert.doesNotMatch(inside.text, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/);
  assert.match(inside.text, /abc\\u\{202e\}gnp\.exe/);
  assert.match(inside.text, /<img src=x onerror=/);
  assert.doesNotMatch(inside.text, /owned title|owned too|b3duZWQgY2xpcGJvYXJk/);
  assert.deepEqual(page.problems, []);
});

test("AttackAHostThatShowsAnotherRecordingIsFoundOut", async () => {
  const attacks = [
    [(data) => ({ ...data, pieces: data.pieces.map((p, i) => (i ? p : { ...p, data: Buffer.concat([Buffer.alloc(16), Buffer.from('[0,"o","harmless"]\n')]).toString("base64") })) }), /Piece 0 .* is not what was recorded/],
    [(data) => ({ ...data, pieces: data.pieces.slice(1) }), /Piece 0 of the recording is missing/],
    [(data) => ({ ...data, pieces: data.pieces.map((p) => ({ ...p, entry: p.entry.replace(/"time":\d/, '"time":9') })) }), /Piece 0 .* does not stand in the signed tree/],
  ];
  for (const [attack, why] of attacks) {
    await byId(page, "detail-close").click();
    relay = attack;
    await openRecording();
    await byId(page, "player-play").click();
    await until("the refusal", async () => why.test(await status()));
    assert.equal((await screen()).trim(), "");
  }
  relay = null;
});

test("reading a recording is itself recorded", async () => {
  const read = (await host.records()).filter((r) => r.event === "audit.read" && /audit\.recording/.test(JSON.stringify(r)));
  assert.ok(read.length > 0);
});
