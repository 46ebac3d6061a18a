// What an operator does to a host that serves: starts a second one by mistake, sets it up by a file.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { Host, Mux, bin, build, freePort, root } from "./lib.mjs";

let host, cookie, mux, workspace;
const runScript = process.env.OQTO_RUN ?? path.join(root, "run");
const isTheirs = !readFileSync(runScript, "utf8").includes("setting uid-base");

before(async () => {
  host = await Host.start();
  cookie = await host.setup();
  mux = await Mux.open(host, cookie);
  workspace = await mux.workspace();
});
after(async () => { mux?.close(); await host?.remove(); });

const guardPid = async () => (await host.pids("guard"))[0];
// ---------------------------------------------------------------- two of them

function guard(...args) {
  return new Promise((done) => {
    const child = spawn(bin("oqto-guard"), ["--bin", path.join(build, "bin"), "--web", path.join(build, "web.pack"), "--pi", path.join(build, "pi-runtime"), ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (d) => { said += d; });
    child.on("exit", (code) => done({ code, said }));
  });
}

test("Attack: a second host whose uids overlap the first's is refused, told whose they are, and changes nothing", async () => {
  const state = mkdtempSync("/tmp/oqto-second-");
  const pid = await guardPid();
  for (const base of [host.uidBase, host.uidBase + 199_999, host.uidBase - 199_999]) {
    const second = await guard("--state", state, "--port", String(await freePort()), "--uid-base", String(base));
    assert.equal(second.code, 1, second.said);
    assert.match(second.said, new RegExp(`pid ${pid} \\(${host.state}\\) has ${host.uidBase} to ${host.uidBase + 199_999}`));
  }
  rmSync(state, { recursive: true });
  assert.ok(await mux.session(workspace), "the first one still starts sessions");
});

test("./run serves where oqto.conf says", { skip: isTheirs && "not possible here: OQTO_RUN is another start script" }, async () => {
  const state = mkdtempSync("/tmp/oqto-conf-"), port = await freePort(), base = host.uidBase + 400_000;
  execFileSync("chmod", ["755", state]);
  mkdirSync(path.join(state, "config"), { mode: 0o700 });
  writeFileSync(path.join(state, "config/oqto.conf"), `port = ${port}\norigin = https://agents.example:${port}\nuid-base = ${base}\n`, { mode: 0o600 });
  const child = spawn(runScript, ["--state", state, "--host-policy", "/nonexistent"], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = new Promise((done) => child.once("exit", done));
  try {
    const link = await new Promise((done, fail) => {
      let out = "";
      child.stdout.on("data", (d) => { out += d; const found = /Open (\S+)/.exec(out); if (found) done(found[1]); });
      child.once("exit", (code) => fail(new Error(`ended with ${code}`)));
    });
    assert.ok(link.startsWith(`https://agents.example:${port}/#setup=`), link);
    assert.equal(readFileSync(path.join(state, "url"), "utf8").trim(), `https://agents.example:${port}`);
    assert.match(execFileSync("openssl", ["x509", "-in", path.join(state, "tls/cert.pem"), "-noout", "-subject"]).toString(), /agents\.example/);
    assert.equal(statSync(path.join(state, "accounts")).uid, base + 2);
  } finally {
    child.kill("SIGTERM");
    await exited;
    rmSync(state, { recursive: true });
  }
});
