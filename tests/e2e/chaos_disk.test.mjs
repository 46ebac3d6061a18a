// The disk full in the middle of everything. The host's state lies on a small file system that only this
// test sees: it is mounted in a mount namespace of the test's own, where the test runs once more.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmdirSync, rmSync, statfsSync, writeSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Rig } from "./chaos_rig.mjs";
import { sleep } from "./lib.mjs";

const inside = process.env.OQTO_E2E_STATE, megabytes = 160;
const seed = Number(process.env.OQTO_CHAOS_SEED ?? 1);

/** Writes until nothing fits any more; returns the file. */
function fill() {
  const file = path.join(inside, "filler"), fd = openSync(file, "w"), block = Buffer.alloc(1 << 20, 1);
  for (let size = block.length; size >= 512;) try { writeSync(fd, block, 0, size); } catch { size >>= 1; }
  closeSync(fd);
  return file;
}

async function fullDisk() {
  console.log(`chaos_disk: OQTO_CHAOS_SEED=${seed}`);
  const rig = await Rig.start(seed);
  rig.damageAllowed = true;  // of Pi's file: it appends behind a line of which only the beginning fitted
  try {
    const problems = [], free = () => { const { bavail, bsize } = statfsSync(inside); return bavail * bsize; };
    for (const ms of [3000, 7000]) {
      problems.push(...await rig.round(`disk full for ${ms} ms`, async () => {
        const file = fill();
        for (const end = Date.now() + ms; Date.now() < end; await sleep(300)) {
          if (free() > 4096) fill();  // something was removed meanwhile
          const { sessions } = rig;
          const answer = await rig.client.command("get_state", sessions.text.id, {}, 10_000);  // reading needs no room
          if (!answer.success && answer.code !== "lost") problems.push(`get_state while the disk is full: ${answer.code}: ${answer.error}`);
          const refused = await rig.client.command("set_session_name", sessions.text.id, { name: "no room" }, 20_000);
          if (!refused.success && !refused.error) problems.push("what cannot be done is refused without a word");
        }
        rmSync(file, { force: true });
      }));
    }
    assert.equal(problems.length, 0, `seed ${seed}\n${problems.join("\n\n")}`);
    await rig.host.audit("verify");
  } finally {
    await rig.stop();
  }
}

/** Why the kernel does not let this test have a file system of its own, or null. */
function whyNot() {
  const tried = spawnSync("unshare", ["-m", "--propagation", "private", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt"], { encoding: "utf8" });
  return tried.status === 0 ? null : `no file system of its own: ${tried.stderr?.trim() || tried.error}`;
}

if (inside) {
  test("a full disk loses and doubles nothing", fullDisk);
} else {
  const reason = whyNot();
  test("a full disk in the middle of text, a tool, a queue, an abort and a start: nothing is lost or doubled", { skip: reason ?? false, timeout: 150_000 }, () => {
    if (reason) return console.log(`chaos_disk: skipped: ${reason}`);
    const dir = mkdtempSync("/tmp/oqto-disk-");
    try {
      execFileSync("unshare", ["-m", "--propagation", "private", "sh", "-c", 'mount -t tmpfs -o "size=$1m,mode=755" tmpfs "$2" && exec "$3" --test "$4"', "sh", String(megabytes), dir, process.execPath, fileURLToPath(import.meta.url)],
        { env: { ...process.env, OQTO_E2E_STATE: dir, NODE_TEST_CONTEXT: undefined }, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 26 });
    } catch (error) {
      assert.fail(`${error.stdout}\n${error.stderr}`);
    } finally {
      rmdirSync(dir);
    }
  });
}
