// One part at a time is replaced by a program that holds its descriptors and means harm.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { test } from "node:test";
import { build, Host, Mux, sleep, until } from "./lib.mjs";

/** A directory of our programs in which one is exchanged. */
function programsWith(part, standIn) {
  const dir = mkdtempSync("/tmp/oqto-hostile-");
  for (const name of readdirSync(path.join(build, "bin"))) {
    symlinkSync(name === part ? path.join(build, "tests", standIn) : path.join(build, "bin", name), path.join(dir, name));
  }
  return dir;
}
const attacks = (host) => [...host.log.matchAll(/msg="attack" name="([^"]+)" result="([^"]+)"/g)].map(([, name, result]) => [name, result]);

test("attack: a compromised relay gets no channel, names nobody, and is killed and restarted", async () => {
  const dir = programsWith("oqto-relay", "hostile-relay");
  const host = await Host.start({ args: ["--bin", dir] });
  try {
    await until("its attacks", async () => attacks(host).length >= 8, 60_000);
    assert.deepEqual(attacks(host).filter(([, result]) => result !== "held"), []);
    await until("its end", async () => (await host.records()).filter((r) => r.event === "violation").length >= 2, 60_000);
    const relay = (await host.ctl("status")).processes.find((p) => p.process === "relay");
    assert.ok(relay.restarts >= 1);
    const forged = (await host.records()).filter((r) => /forged/.test(JSON.stringify(r)));
    assert.ok(forged.length >= 1 && forged.every((r) => r.actor.process === "relay"), "the log names who spoke");
    for (const kind of ["accounts", "auditd", "signer", "gateway"]) assert.equal((await host.ctl("status")).processes.find((p) => p.process === kind).restarts, 0);
    await host.audit("verify");
  } finally {
    await host.remove();
    rmSync(dir, { recursive: true });
  }
});

test("attack: a compromised runner reaches its own tenant's things only", async () => {
  const dir = programsWith("oqto-runner", "hostile-runner");
  const host = await Host.start({ args: ["--bin", dir] });
  try {
    const admin = await host.setup("alice");
    const bob = await host.invite(admin, "bob");
    await Mux.open(host, admin).catch(() => {});  // tenant 1 exists
    await Mux.open(host, bob).catch(() => {});    // tenant 2: the attacker
    await until("its attacks", async () => attacks(host).length >= 10, 60_000);
    assert.deepEqual(attacks(host).filter(([name, result]) => result !== "held"), []);
    await until("its end", async () => (await host.records()).some((r) => r.event === "violation"), 30_000);
    const forged = (await host.records()).filter((r) => /forged-by-runner/.test(JSON.stringify(r)));
    assert.ok(forged.length >= 1 && forged.every((r) => r.actor.process === "runner"));
    await sleep(100);
    assert.equal((await host.request("GET", "/api/health")).status, 200);
  } finally {
    await host.remove();
    rmSync(dir, { recursive: true });
  }
});

test("attack: a second connection under the number of a first one gets no channel", async () => {
  const dir = programsWith("oqto-relay", "hostile-relay-reuse");
  const host = await Host.start({ args: ["--bin", dir] });
  try {
    const token = new URL(host.link).hash.replace("#setup=", "");
    net.connect(host.port, "127.0.0.1").end(JSON.stringify({ token, username: "alice", password: "correct horse battery" }));
    await until("its attacks", async () => attacks(host).length >= 2, 60_000);
    assert.deepEqual(attacks(host).filter(([, result]) => result !== "held"), []);
    assert.deepEqual((await host.ctl("status")).tenants.filter((t) => t.account === 0), []);
  } finally {
    await host.remove();
    rmSync(dir, { recursive: true });
  }
});

test("attack: a session's number used twice does not carry the policy of one workspace to another", async () => {
  const dir = programsWith("oqto-runner", "hostile-runner-race");
  const host = await Host.start({ policy: '[limits]\ncgroups = "optional"\n', args: ["--bin", dir] });
  try {
    // Not waited for: it fails when the hostile runner begins, and by then the policy must be written.
    void Mux.open(host, await host.setup("alice")).catch(() => {});
    const strict = path.join(host.state, "tenants/1/workspaces/22222222-2222-2222-2222-222222222222");
    await until("the workspace", async () => existsSync(strict));
    mkdirSync(path.join(strict, ".oqto"));
    writeFileSync(path.join(strict, ".oqto/sandbox.toml"), 'profile = "strict"\n');
    await until("its attacks", async () => attacks(host).length >= 1, 100_000);
    assert.deepEqual(attacks(host).filter(([, result]) => result !== "held"), []);
  } finally {
    await host.remove();
    rmSync(dir, { recursive: true });
  }
});

test("attack: a compromised gateway gets no socket and no answer that a session's policy does not give it", async () => {
  const dir = programsWith("oqto-gateway", "hostile-gateway");
  // One attack per life, and a session for each: an isolated one for i and q, else one that may reach a name.
  const lives = [..."slpmftiq"];
  let life = 0;
  const next = net.createServer((socket) => socket.end(lives[Math.min(life++, lives.length - 1)])).listen(0, "127.0.0.1").unref();
  await new Promise((done) => next.once("listening", done));
  const host = await Host.start({
    policy: '[limits]\ncgroups = "optional"\n[network]\nmode = "filtered"\nallow_domains = ["allowed.test:80"]\n',
    egress: `# attack=${next.address().port}\n`, args: ["--bin", dir] });
  try {
    const mux = await Mux.open(host, await host.setup("alice"));
    const open = await mux.workspace("open"), closed = await mux.workspace("closed");
    host.workspacePolicy(closed, "isolate_network = true\n");
    const violations = async () => (await host.records()).filter((r) => r.event === "violation");
    const begin = (workspace) => mux.command("session.create", "", { config: { harness: "pi", workspace_id: workspace } }).catch(() => {});
    void begin(open);
    await until("what it survives", async () => attacks(host).length >= 4, 30_000);
    assert.deepEqual(attacks(host).filter(([, result]) => result !== "held"), []);
    process.kill(host.processes(/oqto-gateway/)[0], "SIGKILL");
    for (let i = 1; i < lives.length; ++i) {
      await until("the next life", async () => life === i + 1, 40_000);
      void begin(lives[i] === "i" || lives[i] === "q" ? closed : open);
      await until(`the end of attack ${lives[i]}`, async () => (await violations()).length >= i, 40_000);
    }
    assert.deepEqual(attacks(host).filter(([, result]) => result !== "held"), []);
    assert.ok((await violations()).every((r) => r.fields.process === "gateway"));
    await host.audit("verify");
  } finally {
    next.close();
    await host.remove();
    rmSync(dir, { recursive: true });
  }
});
