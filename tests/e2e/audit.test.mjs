// The log, as an auditor gets it: a copy of the directory and a public key.
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { bin, Host, Mux, Provider, toolTurns } from "./lib.mjs";

const run = promisify(execFile);
let host, provider, copy, key;

before(async () => {
  provider = await Provider.start({ turns: [{ text: "ready" }] });
  host = await Host.start({ providerUrl: provider.url });
  const mux = await Mux.open(host, await host.setup());
  const session = await mux.session(await mux.workspace());
  await provider.script({ turns: toolTurns("for i in $(seq 300); do /bin/true $i; done") });
  await mux.turn(session, "make some records");
  copy = mkdtempSync("/tmp/oqto-log-copy-");
  for (const part of ["checkpoint", "tile", "segment", "blob", "keys"]) {  // in this order, while it is running
    spawnSync("cp", ["-r", path.join(host.state, "audit/log", part), copy]);
  }
  key = path.join(copy, "..", path.basename(copy) + ".vkey");
  cpSync(path.join(host.state, "audit/key/log.vkey"), key);
  mux.close();
});
after(async () => { rmSync(copy, { recursive: true, force: true }); rmSync(key, { force: true }); await host?.remove(); provider?.stop(); });

const verify = () => run(bin("oqto-audit"), ["verify", "--log", copy, "--vkey", key]);
const files = (dir) => readdirSync(dir, { withFileTypes: true }).flatMap((e) => e.isDirectory() ? files(path.join(dir, e.name)) : [path.join(dir, e.name)]);

test("a copy made while the host runs verifies offline with nothing but the public key", async () => {
  assert.match((await verify()).stdout, /\d+ entries/);
});

// keys/ is not of the log: a damaged one opens nothing, and changes no proof.
test("a flipped bit anywhere in the copy makes verification fail", async () => {
  for (const file of files(copy).filter((f) => statSync(f).size > 0 && !f.startsWith(path.join(copy, "keys/")))) {
    const bytes = readFileSync(file);
    for (const at of [0, bytes.length >> 1, bytes.length - 1]) {
      const broken = Buffer.from(bytes);
      broken[at] ^= 1;
      writeFileSync(file, broken);
      await assert.rejects(verify(), (error) => error.code === 1, `${file} at ${at}`);
    }
    writeFileSync(file, bytes);
  }
  await verify();
});

test("every exec of the sandbox is in the log, with its arguments", async () => {
  const records = await host.records();
  const seen = new Set(records.filter((r) => r.event === "exec").flatMap((r) => [r.fields.argv].flat(2)).filter((a) => /^\d+$/.test(a)));
  for (let i = 1; i <= 300; ++i) assert.ok(seen.has(String(i)), `exec ${i}`);
});

test("the wrong key, a truncated log and a missing file are each named", async () => {
  const other = readFileSync(key, "utf8").replace(/\+([A-Za-z0-9+/])/, (_, c) => `+${c === "A" ? "B" : "A"}`);
  writeFileSync(key + ".wrong", other);
  await assert.rejects(run(bin("oqto-audit"), ["verify", "--log", copy, "--vkey", key + ".wrong"]));
  rmSync(key + ".wrong");
});
