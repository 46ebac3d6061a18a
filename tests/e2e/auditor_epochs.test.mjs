// The auditor's browser follows the seals of epochs, behind a relay that may be hostile and has stolen
// keys. The log, its signer and the process that answers are the real ones.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { ForgedLog, Key } from "./forged_log.mjs";
import { bin, byId, Host, Mux, openBrowser, openPage, until } from "./lib.mjs";

const HELD = Symbol("an answer that does not come");
const PASSWORD = "correct horse battery";
let host, browser, admin, page, vkey, logKey, asked = [];
const epochKeys = [];  // as they were stolen, each while its epoch ran
let answer = null;     // the hostile relay: (cmd, fields, what the host says) => what the browser gets

const keyDir = () => path.join(host.state, "audit/key");
const log = () => ForgedLog.read(path.join(host.state, "audit/log"));
const stealEpochKey = () => epochKeys.push(new Key(readFileSync(path.join(keyDir(), "epoch"), "latin1")));
const state = () => byId(page, "trust").getAttribute("data-state");

async function restart() {
  await host.down();
  await host.up();
}
async function openAuditor() {
  const opened = await openPage(browser);
  await opened.routeWebSocket(/\/ws\/mux/, (socket) => {
    const server = socket.connectToServer();
    const commands = new Map();
    socket.onMessage((text) => {
      const frame = JSON.parse(text);
      if (frame.cmd) {
        commands.set(frame.id, frame);
        asked.push(frame);
      }
      server.send(text);
    });
    server.onMessage((text) => {
      const frame = JSON.parse(text);
      const command = frame.event === "response" ? commands.get(frame.id) : undefined;
      const data = command && answer?.(command.cmd, command, frame.data ?? {});
      if (data === HELD) return;
      socket.send(data ? JSON.stringify({ ...frame, success: true, data }) : text);
    });
  });
  await opened.goto(`${host.origin}/#view=list`);
  await byId(opened, "username").fill("ada");
  await byId(opened, "password").fill(PASSWORD);
  await byId(opened, "login-submit").click();
  await byId(opened, "audit-row").first().waitFor();
  return opened;
}
async function dialog(act) {
  await byId(page, "trust").click();
  await act();
  await page.locator("dialog [aria-label=Close]").first().click();
}
const words = async () => {
  let said = "";
  await dialog(async () => (said = await byId(page, "trust-dialog").innerText()));
  return said;
};
const pin = (text) => dialog(async () => {
  if (await byId(page, "unpin").count()) await byId(page, "unpin").click();
  await byId(page, "vkey").fill(text);
  await byId(page, "pin").click();
  await byId(page, "pinned-key").waitFor();
});
const forget = () => page.evaluate(() => localStorage.clear());
/** What a browser that knows nothing but the pinned lines says about this host. */
async function judged(relay, lines = vkey) {
  await forget();
  answer = relay;
  await page.reload();
  await byId(page, "audit-row").first().waitFor();
  await pin(lines);
  await until("a judgement", async () => !["wait", "none"].includes(await state()));
  const said = await words();
  answer = null;
  return { state: await state(), said };
}
async function refused(relay, why) {
  const { state, said } = await judged(relay);
  assert.equal(state, "bad", said);
  assert.match(said, why);
}
const forgedBy = (forged, signers, hide) => (cmd, fields, real) => {
  if (cmd === "audit.seals") return forged.answerSeals(signers, fields, hide);
  if (cmd === "audit.checkpoint") return { ...real, ...forged.noted(signers, fields) };
  if (cmd === "audit.entry") return forged.answerEntry(signers, fields);
  return null;
};
const newest = () => epochKeys.at(-1);

before(async () => {
  host = await Host.start();
  admin = await host.setup();
  await host.invite(admin, "ada", PASSWORD, "auditor");
  for (let epoch = 0; epoch < 3; ++epoch) {
    stealEpochKey();
    await restart();
  }
  stealEpochKey();
  const mux = await Mux.open(host, (await host.request("POST", "/api/auth/login", { body: { username: "admin", password: PASSWORD } })).cookie);
  for (let i = 0; i < 5; ++i) await mux.ok("create_workspace", "_system", { name: `space ${i}` });
  await mux.close();
  vkey = readFileSync(path.join(keyDir(), "log.vkey"), "utf8");
  logKey = new Key(readFileSync(path.join(keyDir(), "log.key"), "utf8"));
  assert.equal(logKey.vkey, vkey.split("\n")[0]);
  browser = await openBrowser();
  page = await openAuditor();
});

after(async () => {
  await browser?.close();
  await host?.remove();
});

test("with both lines pinned every seal is followed, and a later visit goes on from there", async () => {
  const { state: good, said } = await judged(null);
  assert.equal(good, "good");
  assert.match(said, /Every seal from epoch 0 to epoch 3 was followed/);
  await byId(page, "audit-row").first().click();
  await until("a proof", async () => (await byId(page, "proof").getAttribute("data-state")) === "good");
  assert.match(await byId(page, "proof-guard").innerText(), /Its epoch's key signed as well/);
  assert.equal(asked.find((frame) => frame.cmd === "audit.seals").from, 0);
  asked = [];
  await page.reload();
  await until("good again", async () => (await state()) === "good");
  const seals = asked.filter((frame) => frame.cmd === "audit.seals");
  assert.ok(seals.length > 0 && seals.every((frame) => frame.from > log().seals[2]), "what was verified is not asked for again");
  assert.ok((await host.records()).some((r) => r.event === "audit.read" && /audit\.seals/.test(JSON.stringify(r))), "and asking is recorded");
  assert.deepEqual(page.problems, []);
});

test("an epoch that ends while the page is open is followed to the next one", async () => {
  await judged(null);
  await restart();
  stealEpochKey();
  await until("the connection", async () => (await page.locator(".reconnect").count()) === 0);
  await until("the next epoch", async () => /to epoch 4 was followed/.test(await words()));
  assert.equal(await state(), "good");
  assert.equal(await byId(page, "finding").count(), 0);
});

test("many seals come in pages, progress is shown, and a visit that ends in the middle was not in vain", async () => {
  const real = log();
  const bySingles = (until) => (cmd, fields) => {
    if (cmd !== "audit.seals") return null;
    const page = real.answerSeals([logKey, newest()], fields);
    if (page.seals.length === 0) return null;
    if (page.seals[0].index >= until) return HELD;
    const { hashes: _end, ...rest } = page;
    return { ...rest, seals: page.seals.slice(0, 1), next: page.seals[0].index + 1 };
  };
  await forget();
  answer = bySingles(real.seals[3]);
  await page.reload();
  await byId(page, "audit-row").first().waitFor();
  await pin(vkey);
  await until("the progress", async () => /Following the seals: 3 epochs, \d+ %/.test(await byId(page, "trust").innerText()));
  assert.match(await words(), /What is done is kept/);
  await byId(page, "audit-row").first().click();
  assert.match(await byId(page, "proof").innerText(), /Following the seals/);
  asked = [];
  answer = bySingles(Infinity);
  await page.reload();
  await until("the rest", async () => (await state()) === "good");
  assert.ok(asked.filter((frame) => frame.cmd === "audit.seals").every((frame) => frame.from > real.seals[2]));
  answer = null;
});

test("a pin of one line is allowed, and the page says plainly what it lacks", async () => {
  const { state, said } = await judged(null, vkey.split("\n")[0]);
  assert.equal(state, "part");
  assert.match(said, /The past is protected by the log's key alone/);
  assert.match(await byId(page, "trust").innerText(), /by the log's key alone/);
  await byId(page, "audit-row").first().click();
  await until("a proof", async () => (await byId(page, "proof").getAttribute("data-state")) === "good");
  assert.match(await byId(page, "proof-guard").innerText(), /Only the log's key stands behind it/);
});

test("AttackASealSignedWithTheLogsKeyAlone", async () => {
  const mine = new Key(null, `${logKey.name}/epoch/5`);
  const forged = log().seal({ epoch: 5, key: mine, log: logKey, signers: [logKey] }).append(3);
  await refused(forgedBy(forged, [logKey, mine]), /seal of epoch 5 in entry \d+ is not signed with the key of epoch 4, which it ends/);
});

test("AttackASkippedEpoch", async () => {
  const mine = new Key(null, `${logKey.name}/epoch/6`);
  const forged = log().seal({ epoch: 6, key: mine, log: logKey, signers: [logKey, newest()] }).append(3);
  await refused(forgedBy(forged, [logKey, mine]), /seals of the epochs 5 to 5 are not there/);
  const hidden = log();
  await refused(forgedBy(hidden, [logKey, newest()], (index) => index === hidden.seals[2]), /seals of the epochs 2 to 2 are not there/);
});

test("AttackASealWhoseSizeIsNotItsIndex", async () => {
  const mine = new Key(null, `${logKey.name}/epoch/5`);
  const forged = log();
  forged.seal({ epoch: 5, key: mine, log: logKey, size: forged.size - 1, signers: [logKey, newest()] }).append(3);
  await refused(forgedBy(forged, [logKey, mine]), /says that it stands behind \d+ entries/);
});

test("AttackACheckpointSignedWithAnOldEpochsKey", async () => {
  for (const old of epochKeys.slice(0, -1)) {
    await refused(forgedBy(log(), [logKey, old]), /signed with the log's key, but not with that of epoch 4/);
  }
  await refused(forgedBy(log(), [logKey]), /signed with the log's key, but not with that of epoch 4/);
});

test("AttackAForkAfterTheLogsKeyWasStolen", async () => {
  // A history that begins anew, one that leaves the old one where an epoch's key is gone, and the old one with an entry changed.
  const first = new Key(null, `${logKey.name}/epoch/0`);
  const begun = new ForgedLog().seal({ epoch: 0, key: first, log: logKey, signers: [logKey] }).append(300);
  await refused(forgedBy(begun, [logKey, first]), /Epoch 0 had another key/);
  const mine = new Key(null, `${logKey.name}/epoch/2`);
  const real = log();
  const branched = log().cut(real.seals[2]).append(1).seal({ epoch: 2, key: mine, log: logKey, signers: [logKey] }).append(300);
  await refused(forgedBy(branched, [logKey, mine]), /seal of epoch 2 .* not signed with the key of epoch 1/);
  // With all keys that are on the host now, too: what earlier epochs sealed cannot be rewritten.
  const rewritten = log().change(real.seals[1] + 1, (entry) => entry.replace('"outcome":"', '"outcome":"x'));
  await refused(forgedBy(rewritten, [logKey, newest()]), /seal of epoch 2 .* seals another tree/);
  // The seals as they are, and another tree behind a checkpoint that the thief of the current keys signed.
  const seals = log().cut(rewritten.size);
  const swapped = (cmd, fields, data) => cmd === "audit.seals" ? { ...seals.answerSeals([logKey, newest()], fields), ...rewritten.noted([logKey, newest()], fields) } : forgedBy(rewritten, [logKey, newest()])(cmd, fields, data);
  await refused(swapped, /does not continue what epoch 4 began with/);
  // Or the honest checkpoint with the seals, and the other tree with the entries.
  const twoFaced = (cmd, fields, data) => forgedBy(cmd === "audit.seals" ? seals : rewritten, [logKey, newest()])(cmd, fields, data);
  await forget();
  answer = twoFaced;
  await page.reload();
  await byId(page, "audit-row").first().waitFor();
  await pin(vkey);
  await byId(page, "finding").waitFor();
  assert.equal(await byId(page, "finding").getAttribute("data-kind"), "fork");
});

test("AttackSealsThatAreHiddenAsPrunedNeedTheAuditorsWord", async () => {
  const real = log();
  answer = forgedBy(real, [logKey, newest()], (index) => index < real.seals[3]);
  const { state: before, said } = await judged(answer);
  assert.equal(before, "bad");
  assert.match(said, /seals of the epochs 0 to 2 are not there.*none before entry \d+/s);
  answer = forgedBy(real, [logKey, newest()], (index) => index < real.seals[3]);
  await dialog(() => byId(page, "accept-gap").click());
  await until("the rest", async () => (await state()) === "part");
  assert.match(await words(), /Before entry [\d,]+ the past is protected by the log's key alone/);
  answer = null;
});

test("the log's key is rotated: whoever pinned the old lines follows it, and one old line alone does not", async () => {
  await judged(null);
  const old = vkey;
  await host.down();
  execFileSync(bin("oqto-audit"), ["rotate", "--key-dir", keyDir()]);
  await host.up();
  vkey = readFileSync(path.join(keyDir(), "log.vkey"), "utf8");
  assert.notEqual(vkey, old);
  await page.reload();
  await until("good with the old lines", async () => (await state()) === "good" && (await words()).includes(`to epoch ${log().seals.length - 1} was followed`));
  assert.equal(await byId(page, "finding").count(), 0);
  assert.equal((await judged(null, old)).state, "good");
  assert.equal((await judged(null)).state, "good");
  const alone = await judged(null, old.split("\n")[0]);
  assert.equal(alone.state, "bad");
  assert.match(alone.said, /the log's key was rotated since\. Pin both lines of log\.vkey/);
  const never = new Key(null, logKey.name);
  const other = await judged(null, `${never.vkey}\n${vkey.split("\n")[1]}`);
  assert.match(other.said, /The log never had the pinned key/);
});
