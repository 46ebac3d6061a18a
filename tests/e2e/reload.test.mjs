// What an operator changes while the host serves: certificate, models, policy. Nothing that is there ends by it.
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import tls from "node:tls";
import { after, before, test } from "node:test";
import { Host, Mux, Provider, bin, text, toolOutput, toolTurns, until } from "./lib.mjs";

let host, cookie, mux, workspace, provider, second;
const policyOf = (tmp) => `[limits]\ntmp_bytes = ${tmp}\n`;

before(async () => {
  provider = await Provider.start();
  second = await Provider.start();
  host = await Host.start({ providerUrl: provider.url, policy: "" });
  cookie = await host.setup();
  mux = await Mux.open(host, cookie);
  workspace = await mux.workspace();
});
after(async () => { mux?.close(); await host?.remove(); provider?.stop(); second?.stop(); });

const file = (name) => path.join(host.state, name);
// As certbot and lego do it: new files, then renamed into the place of the old ones.
function certificate(name, { days = 30, cert = "tls/cert.pem", key = "tls/key.pem" } = {}) {
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", String(days), "-subj", `/CN=${name}`,
    "-addext", `subjectAltName=DNS:${name}`, "-keyout", file("tls/new-key"), "-out", file("tls/new-cert")], { stdio: "ignore" });
  if (key) renameSync(file("tls/new-key"), file(key));
  if (cert) renameSync(file("tls/new-cert"), file(cert));
}
const served = () => new Promise((done, fail) => {
  const socket = tls.connect({ host: "127.0.0.1", port: host.port, servername: "localhost", rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] }, () => {
    done(socket.getPeerCertificate().subject.CN);
    socket.destroy();
  });
  socket.once("error", fail);
});
const reload = () => new Promise((done) => execFile(bin("oqtoctl"), ["reload", "--state", host.state, "--json"], (error, out, err) =>
  done({ code: error?.code ?? 0, said: out + err, parts: out ? Object.fromEntries(JSON.parse(out).parts.map((part) => [part.part, part])) : {} })));
const guardPid = async () => (await host.pids("guard"))[0];

test("a renewed certificate is served to new connections; those that are there go on", async () => {
  assert.equal(await served(), "localhost");
  const pids = await Promise.all(["guard", "relay", "gateway", "accounts", "runner"].map((kind) => host.pids(kind)));
  certificate("renewed.example");
  const { code, parts } = await reload();
  assert.equal(code, 0);
  assert.equal(parts.certificate.result, "changed");
  assert.equal(parts.certificate.what, "renewed.example");
  assert.ok(Math.abs(parts.certificate.expires_at - (Date.now() + 30 * 86_400_000)) < 86_400_000);
  assert.equal(parts.gateway.result, "unchanged");
  assert.equal(parts.policy.result, "unchanged");
  assert.equal(await served(), "renewed.example");
  assert.ok(await mux.ok("list_workspaces", "_system"), "the WebSocket of before");
  assert.deepEqual(await Promise.all(["guard", "relay", "gateway", "accounts", "runner"].map((kind) => host.pids(kind))), pids, "nothing was started again");
  assert.equal((await reload()).parts.certificate.result, "unchanged");
});

test("Attack: a certificate that is expired, cut, unreadable or not the key's is refused with the reason, and the old one serves on, also by a new relay", async () => {
  const good = { cert: readFileSync(file("tls/cert.pem")), key: readFileSync(file("tls/key.pem")) };
  const refused = async (reason) => {
    const { code, parts, said } = await reload();
    assert.equal(code, 1, said);
    assert.equal(parts.certificate.result, "refused");
    assert.match(parts.certificate.what, reason);
    assert.equal(await served(), "renewed.example");
  };
  certificate("other.example", { key: null });
  await refused(/does not belong to the certificate/);
  const [relay] = await host.pids("relay");
  process.kill(relay, "SIGKILL");
  await until("a new relay", async () => { const [pid] = await host.pids("relay"); return pid && pid !== relay && (await host.ctl("status")).ready; });
  assert.equal(await served(), "renewed.example", "a relay that is started again does not take what was refused");
  writeFileSync(file("tls/cert.pem"), good.cert.subarray(0, 200));
  await refused(/no PEM certificate/);
  rmSync(file("tls/cert.pem"));
  await refused(/cert\.pem: open: No such file/);
  writeFileSync(file("tls/cert.pem"), good.cert);
  writeFileSync(file("tls/key.pem"), good.key, { mode: 0o600 });
  assert.equal((await reload()).parts.certificate.result, "unchanged");
});

test("SIGHUP reloads and stops nothing", async () => {
  const pid = await guardPid();
  certificate("by-signal.example");
  process.kill(pid, "SIGHUP");
  await until("the certificate of after the signal", async () => (await served()) === "by-signal.example");
  for (let i = 0; i < 20; ++i) process.kill(pid, "SIGHUP");
  assert.equal(await guardPid(), pid);
  assert.ok(await mux.ok("list_workspaces", "_system"));
});

test("a session that is there calls with the new key; a broken gateway.toml is refused with its line", async () => {
  const session = await mux.session(workspace);
  await provider.script({ turns: toolTurns("echo one") });
  await mux.turn(session, "first");
  host.configure(second.url);
  await second.script({ turns: [{ text: "from the second" }] });
  const { parts } = await reload();
  assert.equal(parts.gateway.result, "changed", JSON.stringify(parts));
  assert.equal(parts.gateway.what, "mock; default mock/mock-1");
  assert.match(text(await mux.turn(session, "second")), /from the second/);
  writeFileSync(file("config/gateway.toml"), "[[provider]]\nname = \"x\"\nkind = \"psychic\"\n");
  const bad = await reload();
  assert.equal(bad.code, 1);
  assert.ok(bad.parts.gateway.what.startsWith(`${file("config/gateway.toml")}:3: `), bad.parts.gateway.what);
  await second.script({ turns: [{ text: "still the second" }] });
  assert.match(text(await mux.turn(session, "third")), /still the second/);
  rmSync(file("config/gateway.toml"));
  assert.match((await reload()).parts.gateway.what, /gateway\.toml: is gone; to do without it put an empty file there or restart the host$/);
  await second.script({ turns: [{ text: "the second as ever" }] });
  assert.match(text(await mux.turn(session, "fourth")), /the second as ever/);
  writeFileSync(file("config/gateway.toml"), "", { mode: 0o600 });
  const demo = await reload();
  assert.equal(demo.parts.gateway.what, "demo; default demo/demo");
  host.configure(second.url);
  assert.equal((await reload()).code, 0);
});

test("a new policy holds for new sessions; one with a mistake is refused with its line", async () => {
  const size = async (session) => {
    await second.script({ turns: toolTurns("df --output=size -B1 /tmp | tail -1") });
    return Number(toolOutput(await mux.turn(session, "how much")).trim());
  };
  const old = await mux.session(workspace);
  const before = await size(old);
  writeFileSync(file("host-policy.toml"), policyOf(64 << 20), { mode: 0o644 });
  const { parts } = await reload();
  assert.equal(parts.policy.result, "changed", JSON.stringify(parts));
  assert.equal(parts.policy.what, file("host-policy.toml"));
  const fresh = await mux.session(workspace);
  const now = await size(fresh);
  assert.ok(now >= 64 << 20 && now < 80 << 20, `${now}, a little for the file system itself`);
  assert.notEqual(now, before);
  assert.equal(await size(old), before, "a session that is there keeps its policy");
  writeFileSync(file("host-policy.toml"), "[limits]\nnonsense = 1\n", { mode: 0o644 });
  const bad = await reload();
  assert.equal(bad.code, 1);
  assert.ok(bad.parts.policy.what.startsWith(`${file("host-policy.toml")}:2`), bad.parts.policy.what);
  execFileSync("chmod", ["666", file("host-policy.toml")]);
  assert.match((await reload()).parts.policy.what, /a file of root that nobody else can write/);
  assert.equal(await size(await mux.session(workspace)), now);
  rmSync(file("host-policy.toml"));
  assert.match((await reload()).parts.policy.what, /host-policy\.toml: is gone; to do without it put an empty file there/);
  assert.equal(await size(await mux.session(workspace)), now);
  writeFileSync(file("host-policy.toml"), "", { mode: 0o644 });
  assert.equal((await reload()).parts.policy.result, "changed");
  rmSync(file("host-policy.toml"));
  assert.equal((await reload()).parts.policy.what, "built in", "nothing else was in force");
});

test("Attack: a gateway that answers a reload late puts no later file in force, and is not killed for it", async () => {
  const [gateway] = await host.pids("gateway");
  const good = readFileSync(file("config/gateway.toml"));
  process.kill(gateway, "SIGSTOP");
  let later = [];
  try {
    const late = await reload();
    assert.match(late.parts.gateway.what, /^it did not answer in time/);
    writeFileSync(file("config/gateway.toml"), "[[provider]]\nname = \"x\"\nkind = \"psychic\"\n");
    later = [reload(), reload()];
    assert.match((await Promise.race(later)).said, /a reload or a stop is under way/, "one of the two");
    for (let i = 0; i < 2; ++i) {
      process.kill(await guardPid(), "SIGHUP");
      await host.ctl("status");  // it has read the signal
    }
  } finally {
    process.kill(gateway, "SIGCONT");
  }
  const second = (await Promise.all(later)).find((each) => each.parts.gateway);
  assert.match(second.parts.gateway.what, /gateway\.toml:3: /, "its own answer");
  assert.deepEqual(await host.pids("gateway"), [gateway]);
  process.kill(gateway, "SIGKILL");
  await until("another gateway, with what was in force", async () => { const [pid] = await host.pids("gateway"); return pid && pid !== gateway && (await host.ctl("status")).ready; });
  await until("the late answer is in the log", async () => (await host.records()).some((r) => /answered a reload late: gateway unchanged/.test(r.fields.reason ?? "")));
  writeFileSync(file("config/gateway.toml"), good);
});

test("each reload is in the log, with who asked and what came of it", async () => {
  const records = await until("the records", async () => {
    const all = (await host.records()).filter((r) => r.event === "admin" && r.fields.command === "reload");
    return all.length > 10 && all;
  });
  const by = records.filter((r) => r.fields.signal === "1");
  assert.ok(by.length >= 2, "those of the signal");
  assert.ok(by.some((r) => r.fields.reason === "joined with the reload after it"), "one that a second signal overtook");
  assert.ok(records.some((r) => r.outcome === "success" && r.fields.reason.includes("certificate changed: renewed.example")));
  assert.ok(records.some((r) => r.outcome === "failure" && /gateway refused: .*gateway\.toml:3: /.test(r.fields.reason)));
  assert.ok(records.every((r) => r.fields.operator_uid ?? r.fields.uid));
  const all = await host.records();
  assert.ok(all.filter((r) => r.event === "config.load").length >= 4, "the gateway says which configuration is in force");
  assert.ok(all.filter((r) => r.event === "policy.load").length >= 9);
});

test("a stop ends the reload that is under way; it and the one that waited for it are in the log", async () => {
  process.kill((await host.pids("gateway"))[0], "SIGSTOP");
  const both = [reload(), reload()];
  assert.match((await Promise.race(both)).said, /a reload or a stop is under way/);
  process.kill(await guardPid(), "SIGHUP");
  await host.ctl("status");  // it has read the signal
  await host.down();
  const ended = (await Promise.all(both)).find((each) => each.parts.gateway);
  assert.equal(ended.parts.gateway.what, "the host stops");
  await host.up();
  const reasons = (await host.records()).filter((r) => r.event === "admin").map((r) => r.fields.reason ?? "");
  assert.ok(reasons.some((reason) => /gateway refused: the host stops/.test(reason)));
  assert.ok(reasons.includes("not carried out: the host stops"));
});
