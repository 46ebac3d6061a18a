// The host in a rootless container: a user namespace with 65,536 ids, root of nothing outside.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdtempSync, rmSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { root } from "./lib.mjs";

const base = 1_650_000_000 + (process.pid % 400) * 65_536;
let directory;

before(() => {
  directory = mkdtempSync("/tmp/oqto-e2e-container-");
  chmodSync(directory, 0o755);
  chownSync(directory, base, base);
});
after(() => rmSync(directory, { recursive: true, force: true }));

const inside = (command, env = {}) => spawnSync("python3", [path.join(root, "tests/tools/rootless.py"), String(base), ...command],
  { encoding: "utf8", cwd: path.join(root, "tests/e2e"), timeout: 240_000, maxBuffer: 1 << 26, env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...env } });

test("the uids of an ordinary host are refused there with those that fit", () => {
  const { status, stderr } = inside([path.join(root, "run"), "--state", path.join(directory, "defaults"), "--port", "18999"]);
  assert.notEqual(status, 0);
  assert.match(stderr, /--uid-base 10000 --uid-count 50000/);
});

test("with 50,000 of its 65,536 ids the host serves two tenants there, and they are as far apart as anywhere", () => {
  const { status, stdout, stderr } = inside([process.execPath, "--test", "--test-reporter=tap", "isolation.test.mjs"],
    { OQTO_E2E_STATE: directory, OQTO_E2E_UIDS: "10000:50000" });
  assert.equal(status, 0, stdout.slice(-4000) + stderr.slice(-2000));
  assert.match(stdout, /^# pass [1-9]/m);
  assert.match(stdout, /^# skipped 0/m);
});
