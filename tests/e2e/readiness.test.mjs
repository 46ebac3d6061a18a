// Whether the host is ready, as its operator and a load balancer see it: each fault is made for real, has to be
// named with what to do, and has to be over when its cause is.
import assert from "node:assert/strict";
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmdirSync, rmSync, writeFileSync, writeSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Host, Mux, bin, sleep, until } from "./lib.mjs";

const inside = process.env.OQTO_E2E_STATE, kDay = 86_400_000;
let host, cookie;

/** What a load balancer gets. */
async function health(method = "GET") { return host.request(method, "/api/health"); }
/** `oqtoctl status` as a person reads it. */
function status() {
  return new Promise((done) => execFile(bin("oqtoctl"), ["status", "--state", host.state], (error, stdout) => done({ code: error?.code ?? 0, text: stdout })));
}
const isReady = async () => (await health()).status === 200;

/** Both sides agree that `part` keeps the host from being ready. */
async function isDegraded(part, what) {
  await until(`503 because of ${part}`, async () => (await health()).status === 503);
  const answer = await health();
  assert.equal(answer.text, '{"ready":false}');
  assert.equal(answer.headers["retry-after"], "2");
  let json;  // what is said may be of a second ago
  const named = await until(`${part}: ${what}`, async () => {
    json = await host.ctl("status");
    assert.equal(json.ready, false);
    return json.degraded.find((each) => each.part === part && what.test(each.what));
  });
  assert.ok(json.not_ready.includes(part));
  assert.ok(named.fix.length > 10);
  const { code, text } = await status();
  assert.equal(code, 1);
  assert.match(text, new RegExp(`^Not ready: .*${part}`, "m"));
  assert.ok(text.includes(named.fix));
  assert.equal((await host.request("GET", "/health")).status, 200, "the relay is alive all the same");
}
async function isReadyAgain() {
  await until("ready again", isReady, 60_000);
  assert.equal((await host.ctl("status")).ready, true);
  assert.equal((await status()).code, 0);
}

const pidOf = async (part) => (await host.ctl("status")).processes.find((p) => p.process === part && p.account === null).pid;
async function frozen(part, then) {
  const pid = await pidOf(part);
  process.kill(pid, "SIGSTOP");
  try { await then(pid); } finally { process.kill(pid, "SIGCONT"); }
}

// ---------------------------------------------------------------- parts

async function parts() {
  const good = await health();
  assert.equal(good.status, 200);
  assert.equal(good.json().ready, true);
  assert.equal((await health("HEAD")).status, 200);
  for (const part of ["auditd", "accounts"]) {
    await frozen(part, async (pid) => {
      await isDegraded(part, /^it does not answer$/);
      const { degraded } = await host.ctl("status");
      assert.ok(degraded.find((each) => each.part === part).fix.includes(`kill -9 ${pid}`), "what helps");
    });
    await isReadyAgain();
  }
}

async function deadSigner() {
  await frozen("signer", async () => {
    await until("auditd says that its signer is silent", async () =>
      (await host.ctl("status")).degraded.some((each) => each.part === "auditd" && /signer/.test(each.what)), 60_000);
    assert.equal((await health()).status, 503);
  });
  await isReadyAgain();
  // It dies at once each time it is started, so the guard waits longer each time.
  for (const [part, program] of [["signer", /^oqto-audit-signer/], ["gateway", /^oqto-gateway/]]) {
    const killer = setInterval(() => {
      for (const pid of host.processes(program)) try { process.kill(pid, "SIGKILL"); } catch { /* gone */ }
    }, 100);
    try {
      await until(`${part} is named`, async () => { await isDegraded(part, /restarting|starting/); return true; }, 60_000);
    } finally { clearInterval(killer); }
    await isReadyAgain();
  }
}

async function aTenantsHistory() {
  const mux = await Mux.open(host, cookie);
  await mux.workspace();
  const history = await until("its history serves", async () =>
    (await host.ctl("status")).processes.find((p) => p.process === "hstry" && p.health === "ready"));
  process.kill(history.pid, "SIGSTOP");
  try {
    const warned = await until("a warning names the account", async () =>
      (await host.ctl("status")).warnings.find((each) => each.part === "hstry" && /it does not answer$/.test(each.what)), 60_000);
    assert.equal(warned.what, `of account ${history.account}: it does not answer`);
    assert.ok(warned.fix.includes("tenants kill"));
    assert.equal((await health()).status, 200, "one tenant's trouble takes the host from nobody");
    assert.equal((await status()).code, 0);
  } finally {
    process.kill(history.pid, "SIGCONT");
  }
  await until("the warning ends", async () => !(await host.ctl("status")).warnings.some((each) => each.part === "hstry"));
  await mux.close();
}

// A probe is a write: however many strangers ask, there are few of them.
async function aFlood() {
  // Its file has its length from the start, and is written from its beginning again and again.
  const frame = 4096 + 24, wal = () => readFileSync(path.join(host.state, "accounts/accounts.db-wal"));
  const written = (one, other) => {
    let count = 0;
    for (let at = 32; at < Math.max(one.length, other.length); at += frame) count += Number(!one.subarray(at, at + frame).equals(other.subarray(at, at + frame)));
    return count;
  };
  await until("the host is ready", isReady);
  await sleep(1100);  // a probe is due
  const before = wal(), began = Date.now();
  const answers = await Promise.all(Array.from({ length: 40 }, () => health()));
  for (let i = 0; i < 3; ++i) answers.push(...await Promise.all(Array.from({ length: 20 }, () => health())));
  assert.ok(answers.every((answer) => answer.status === 200));
  const writes = written(before, wal()), most = Math.floor((Date.now() - began) / 1000) + 2;
  assert.ok(writes > 0 && writes <= most, `${writes} writes for ${answers.length} questions`);
}

// ---------------------------------------------------------------- the certificate

function certificate(fromMs, untilMs) {
  const utc = (ms) => new Date(ms).toISOString().replace(/[-:T]/g, "").slice(0, 14) + "Z";
  const dir = mkdtempSync("/tmp/oqto-cert-");
  try {
    writeFileSync(path.join(dir, "ca.cnf"), `[ca]\ndefault_ca=d\n[d]\ndatabase=${dir}/index\nserial=${dir}/serial\nnew_certs_dir=${dir}\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n`);
    writeFileSync(path.join(dir, "index"), "");
    writeFileSync(path.join(dir, "serial"), "01\n");
    const key = path.join(host.state, "tls/key.pem");
    execFileSync("openssl", ["req", "-new", "-key", key, "-subj", "/CN=localhost", "-out", `${dir}/request`], { stdio: "pipe" });
    execFileSync("openssl", ["ca", "-batch", "-config", `${dir}/ca.cnf`, "-selfsign", "-keyfile", key, "-in", `${dir}/request`,
      "-startdate", utc(fromMs), "-enddate", utc(untilMs), "-notext", "-out", `${dir}/cert`], { stdio: "pipe" });
    return readFileSync(`${dir}/cert`);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

async function certificates() {
  const file = path.join(host.state, "tls/cert.pem"), good = readFileSync(file), now = Date.now();
  const warned = async () => (await host.ctl("status")).warnings.find((each) => each.part === "certificate")?.what ?? "";
  // While it serves, an expired one is refused: the host has to come up with it, and says so at once.
  await host.down();
  writeFileSync(file, certificate(now - 30 * kDay, now - kDay));
  await host.up();
  await until("its words", async () => /^Not ready: certificate\.\n  certificate: it expired at 20.*\n    do: .*oqtoctl reload/m.test(host.log));
  await isDegraded("certificate", /^it expired at 20/);
  writeFileSync(file, certificate(now - kDay, now + 10 * kDay));
  await host.ctl("reload");
  await isReadyAgain();
  await until("a warning", async () => /^it expires at 20/.test(await warned()));
  assert.match((await status()).text, /^The host is ready\.\nWarnings:\n(.*\n)*  certificate: it expires at 20/m);
  writeFileSync(file, good);
  await host.ctl("reload");
  await until("the warning ends", async () => await warned() === "");
  await isReadyAgain();
}

// ---------------------------------------------------------------- the cgroup tree

const tree = () => readFileSync("/proc/self/mountinfo", "utf8").split("\n").filter((line) => line.includes(" - cgroup2 "))
  .map((line) => path.join(line.split(" ")[4], `oqto-${host.uidBase}/sessions`)).find((dir) => existsSync(dir));

async function lostCgroups(t) {
  const dir = tree();
  if (!dir) return t.skip("no cgroup v2 tree of this host here");
  rmdirSync(dir);
  await isDegraded("cgroups", /^the cgroup tree of this host was removed/);
}

// ---------------------------------------------------------------- the disk

function fill(megabytes) {
  const file = path.join(inside, `filler-${megabytes}`), fd = openSync(file, "w"), block = Buffer.alloc(1 << 20, 1);
  try { for (let i = 0; i < megabytes; ++i) writeSync(fd, block); } catch { /* no room */ }
  closeSync(fd);
  return file;
}

async function fullDisk() {
  host = await Host.start();
  try {
    await isReadyAgain();
    const file = fill(1000);
    await isDegraded("disk", /^(9[5-9]|100) % of the room of the state directory's file system is used$/);
    rmSync(file);
    await isReadyAgain();
    await host.audit("verify");
  } finally {
    await host.remove();
  }
}

/** Why the kernel does not let this test have a file system of its own, or null. */
function whyNot() {
  const tried = spawnSync("unshare", ["-m", "--propagation", "private", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt"], { encoding: "utf8" });
  return tried.status === 0 ? null : `no file system of its own: ${tried.stderr?.trim() || tried.error}`;
}

if (inside) {
  test("a full disk", fullDisk);
} else {
  before(async () => {
    host = await Host.start();
    cookie = await host.setup();
  });
  after(async () => { await host?.remove(); });
  test("a part that is stopped is named, with what to do; the host is ready again when it goes on", parts);
  test("a signer or a gateway that is silent or dead", deadSigner);
  test("Attack: a tenant whose history does not answer takes nobody's host away", aTenantsHistory);
  test("Attack: a flood of questions is no flood of writes", aFlood);
  test("an expired certificate, one that soon expires, and a reload", certificates);
  test("a cgroup tree that somebody removed (the last one: only a restart helps)", lostCgroups);
  const reason = whyNot();
  test("a full disk, on a file system of the test's own", { skip: reason ?? false, timeout: 180_000 }, () => {
    const dir = mkdtempSync("/tmp/oqto-ready-");
    try {
      execFileSync("unshare", ["-m", "--propagation", "private", "sh", "-c", 'mount -t tmpfs -o size=160m,mode=755 tmpfs "$1" && exec "$2" --test "$3"', "sh", dir, process.execPath, fileURLToPath(import.meta.url)],
        { env: { ...process.env, OQTO_E2E_STATE: dir, NODE_TEST_CONTEXT: undefined }, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 26 });
    } catch (error) {
      assert.fail(`${error.stdout}\n${error.stderr}`);
    } finally {
      rmdirSync(dir);
    }
  });
}
