// A log with epochs and its signer, made by other code (log.ts) than checks them, and whoever stole some of
// its keys.
import assert from "node:assert/strict";
import { test } from "node:test";
import { addSeals, beginChain, Edge, Gap, restoreChain, saveChain, verifyEnd, verifyInEpoch, type Chain, type SealRow } from "../src/audit/epochs";
import { Invalid, parsePin, toBase64, toHex } from "../src/audit/verify";
import { leaf, root, signer } from "./log";

const ORIGIN = "audit.example/log";
type Key = ReturnType<typeof signer>;

function cover(leaves: Uint8Array[], from: number, to: number): string {
  const all: Uint8Array[] = [];
  for (let at = from; at < to; ) {
    let width = 1;
    while (at % (width * 2) === 0 && at + width * 2 <= to) width *= 2;
    all.push(root(leaves.slice(at, at + width)));
    at += width;
  }
  return Buffer.concat(all).toString("base64");
}

interface SealWords { epoch?: number; size?: number; root?: Uint8Array; key?: Key; log?: Key; signers?: Key[]; origin?: string; title?: string }

class Log {
  entries: string[] = [];
  seals: number[] = [];
  keys: Key[] = []; // by epoch
  log: Key = signer(ORIGIN);
  rotated: Key[] = [];

  get leaves() { return this.entries.map((e) => leaf(Buffer.from(e))); }
  root(size = this.entries.length) { return root(this.leaves.slice(0, size)); }
  get vkey() { return `${this.log.vkey}\n${this.keys[0]!.vkey}\n`; }

  append(count: number, text = "act") {
    for (let i = 0; i < count; i++) this.entries.push(JSON.stringify({ seq: this.entries.length, event: "exec", fields: { text } }));
    return this;
  }
  seal(words: SealWords = {}, extra: object = {}) {
    const epoch = words.epoch ?? this.keys.length;
    const size = this.entries.length;
    const key = words.key ?? signer(`${ORIGIN}/epoch/${epoch}`);
    const next = words.log ?? this.log;
    const body = `${words.title ?? "oqto-audit-seal/v1"}\n${words.origin ?? ORIGIN}\n${epoch}\n${words.size ?? size}\n${toBase64(words.root ?? this.root())}\n1700000000000\n${key.vkey}\n${next.vkey}\n`;
    const signers = words.signers ?? (epoch === 0 ? [next] : [this.log, this.keys.at(-1)!, ...(next === this.log ? [] : [next])]);
    this.entries.push(JSON.stringify({ seq: size, event: "epoch.seal", fields: { epoch: String(epoch), note: `${body}\n${signers.map((s) => s.line(body)).join("")}` }, ...extra }));
    this.seals.push(size);
    this.keys.push(key);
    this.log = next;
    return this;
  }
  note(size = this.entries.length, signers: Key[] = [this.log, this.keys.at(-1)!]) {
    const body = `${ORIGIN}\n${size}\n${toBase64(this.root(size))}\n`;
    return `${body}\n${signers.map((s) => s.line(body)).join("")}`;
  }
  rows(from = 0, to = this.entries.length): SealRow[] {
    let at = from;
    return this.seals.filter((index) => index >= from && index < to).map((index) => {
      const hashes = cover(this.leaves, at, index);
      at = index + 1;
      return { index, entry: this.entries[index]!, hashes };
    });
  }
  end(size = this.entries.length) { return cover(this.leaves, this.seals.filter((i) => i < size).at(-1)! + 1, size); }
  // The same history and the same keys: what somebody has who copied all of it.
  copy(): Log {
    const log = Object.assign(new Log(), this);
    [log.entries, log.seals, log.keys] = [[...this.entries], [...this.seals], [...this.keys]];
    return log;
  }
}

const honest = (epochs = 5) => {
  const log = new Log().seal();
  for (let i = 1; i < epochs; i++) log.append(i * 7 % 5).seal();
  return log.append(6);
};
async function follow(shown: Log, pin = shown.vkey, acceptGapAt = -1) {
  const chain = await addSeals(beginChain(await parsePin(pin)), shown.rows(), acceptGapAt);
  return { chain, checkpoint: await verifyEnd(chain, shown.note(), shown.end()) };
}
const refuses = (shown: Log, pin: string, why: RegExp) => assert.rejects(follow(shown, pin), (error: Error) => {
  assert.ok(error instanceof Invalid, String(error));
  assert.match(error.message, why);
  return true;
});

test("the chain is followed from the pinned key to the checkpoint, in one go or in pages", async () => {
  for (const epochs of [1, 2, 3, 9, 40]) {
    const log = honest(epochs);
    const { chain, checkpoint } = await follow(log);
    assert.equal(checkpoint.size, BigInt(log.entries.length));
    assert.equal(chain.links.at(-1)!.epoch, epochs - 1);
    for (const page of [1, 3]) {
      let paged: Chain = beginChain(await parsePin(log.vkey));
      while (paged.edge.size <= log.seals.at(-1)!) paged = await addSeals(paged, log.rows(paged.edge.size).slice(0, page));
      assert.equal(saveChain(paged), saveChain(chain));
      await verifyEnd(paged, log.note(), log.end());
    }
  }
});

test("the tree's edge has the root that every implementation has, whatever way it was reached", async () => {
  const leaves = Array.from({ length: 70 }, (_, i) => leaf(Buffer.from(`${i}`)));
  for (let from = 0; from <= 70; from += 3) {
    for (let to = from; to <= 70; to++) {
      const edge = new Edge();
      await edge.grow(from, cover(leaves, 0, from));
      await edge.grow(to, cover(leaves, from, to));
      assert.equal(toHex(await edge.root()), toHex(root(leaves.slice(0, to))));
    }
  }
  await assert.rejects(new Edge().grow(7, cover(leaves, 0, 6)), Invalid);
  await assert.rejects(new Edge().grow(6, cover(leaves, 0, 7)), Invalid);
});

test("a later visit goes on from what was verified, and takes nothing else for it", async () => {
  const log = honest();
  const pin = await parsePin(log.vkey);
  const { chain } = await follow(log);
  const kept = saveChain(chain);
  log.append(3).seal().append(2);
  const again = await restoreChain(kept, pin);
  assert.ok(again);
  const later = await addSeals(again, log.rows(again.edge.size));
  assert.equal((await verifyEnd(later, log.note(), log.end())).size, BigInt(log.entries.length));
  assert.equal(await restoreChain(kept, await parsePin(honest().vkey)), null, "another pin");
  for (const odd of [null, "", "x", "{}", kept.replace('"size":', '"size":1'), kept.slice(0, -5), kept.replace(/"edge":\["/, '"edge":["A')]) assert.equal(await restoreChain(odd, pin), null);
});

test("the keys of a rotated log lead from the old one to the new one, and either may be pinned", async () => {
  const log = honest();
  const old = log.vkey;
  const next = signer(ORIGIN);
  log.seal({ log: next }).append(4).seal().append(1);
  assert.notEqual(log.vkey, old);
  for (const pin of [old, log.vkey]) assert.equal((await follow(log, pin)).checkpoint.size, BigInt(log.entries.length));
  await refuses(log, `${signer(ORIGIN).vkey}\n${log.keys[0]!.vkey}`, /never had the pinned key/);
});

test("a checkpoint of every size wants the keys of its own epoch", async () => {
  const log = honest(3);
  const { chain } = await follow(log);
  for (let size = 1; size <= log.entries.length; size++) {
    const epoch = log.seals.filter((index) => index < size).length - 1;
    for (let by = 0; by < 3; by++) {
      const note = log.note(size, [log.log, log.keys[by]!]);
      if (by === epoch) assert.equal((await verifyInEpoch(note, chain)).size, BigInt(size));
      else await assert.rejects(verifyInEpoch(note, chain), /not with that of epoch/);
    }
  }
});

test("AttackASealSignedWithTheLogsKeyAlone", async () => {
  const log = honest();
  const pin = log.vkey;
  const mine = log.copy();
  mine.seal({ signers: [log.log] }).append(3);
  await refuses(mine, pin, /not signed with the key of epoch 4, which it ends/);
  const other = signer(`${ORIGIN}/epoch/4`);
  await refuses(log.copy().seal({ signers: [log.log, other] }).append(3), pin, /not signed with the key of epoch 4/);
  await refuses(log.copy().seal({ signers: [log.log, log.keys[3]!] }).append(3), pin, /not signed with the key of epoch 4/);
  await refuses(log.copy().seal({ signers: [log.log, log.keys[4]!, log.keys[4]!] }).append(3), pin, /not signed with the key of epoch 4/);
});

test("AttackASealSignedWithTheEpochsKeyAlone", async () => {
  const log = honest();
  await refuses(log.copy().seal({ signers: [log.keys[4]!] }).append(3), log.vkey, /not signed with the log's key/);
});

test("AttackAnEpochIsSkipped", async () => {
  const log = honest();
  await refuses(log.copy().seal({ epoch: 6 }).append(1), log.vkey, /seals of the epochs 5 to 5 are not there/);
  const hidden = log.copy();
  hidden.seals.splice(2, 1);
  await refuses(hidden, log.vkey, /seals of the epochs 2 to 2 are not there/);
  await refuses(log.copy().seal({ epoch: 4 }).append(1), log.vkey, /begins epoch 4 again/);
});

test("AttackASealWhoseSizeIsNotItsIndex", async () => {
  const log = honest();
  const size = log.entries.length;
  await refuses(log.copy().seal({ size: size - 1, root: log.root(size - 1) }).append(1), log.vkey, /says that it stands behind/);
  await refuses(log.copy().seal({ size: size + 1 }).append(1), log.vkey, /says that it stands behind/);
  const moved = log.copy();
  moved.seal().append(2);
  moved.entries.splice(size, 1);
  moved.entries.push(JSON.stringify({ ...JSON.parse(log.copy().seal().entries[size]!), seq: moved.entries.length }));
  moved.seals[moved.seals.length - 1] = moved.entries.length - 1;
  await refuses(moved.append(1), log.vkey, /says that it stands behind/);
});

test("AttackASealOfAnotherTree", async () => {
  const log = honest();
  await refuses(log.copy().seal({ root: new Uint8Array(32) }).append(1), log.vkey, /seals another tree/);
});

test("AttackACheckpointSignedWithAnOldEpochsKey", async () => {
  const log = honest();
  const { chain } = await follow(log);
  for (const old of [0, 1, 3]) {
    await assert.rejects(verifyInEpoch(log.note(undefined, [log.log, log.keys[old]!]), chain), /not with that of epoch 4/);
  }
  await assert.rejects(verifyInEpoch(log.note(undefined, [log.log]), chain), /signed with the log's key, but not with that of epoch 4/);
  await assert.rejects(verifyInEpoch(log.note(undefined, [log.keys[4]!]), chain), /not signed with the log's key/);
  const twice = [log.log, log.keys[4]!, log.keys[4]!];
  await assert.rejects(verifyInEpoch(log.note(undefined, twice), chain), Invalid);
});

test("AttackAForkAfterTheLogsKeyWasStolen", async () => {
  const log = honest();
  const pin = log.vkey;
  // The thief has the log's key: whatever is shown, a key of an epoch that ended, or of the one that runs, is missing.
  const begun = new Log();
  begun.log = log.log;
  begun.seal().append(9).seal().append(3);
  await refuses(begun, pin, /Epoch 0 had another key/);
  const cut = log.copy();
  cut.entries = log.entries.slice(0, log.seals[3]!);
  cut.seals = log.seals.slice(0, 3);
  cut.keys = log.keys.slice(0, 3);
  await refuses(cut.append(20, "forged").seal({ signers: [log.log] }).append(2), pin, /not signed with the key of epoch 2/);
  const rewritten = log.copy();
  rewritten.entries[2] = rewritten.entries[2]!.replace("act", "forged");
  await refuses(rewritten, pin, /seals another tree/);
  // The thief has the key of the epoch that runs as well: what was sealed before stays as it was.
  rewritten.entries = log.entries.map((e) => e.replace('"act"', '"forged"'));
  await refuses(rewritten, pin, /seals another tree/);
  const behind = log.copy();
  const rows = log.rows();
  behind.entries[log.seals[4]! - 1] = behind.entries[log.seals[4]! - 1]!.replace("act", "forged");
  const chain = await addSeals(beginChain(await parsePin(pin)), rows);
  await assert.rejects(verifyEnd(chain, behind.note(), behind.end()), /does not continue what epoch 4 began with/);
});

test("AttackAKeyOfAnEarlierEpochRewritesWhatCameBeforeIt", async () => {
  // The key of epoch 2 was stolen while it was in use. Its thief cannot change what epoch 1 sealed.
  const log = honest();
  const mine = log.copy();
  mine.entries = log.entries.slice(0, log.seals[3]!);
  mine.seals = log.seals.slice(0, 3);
  mine.keys = log.keys.slice(0, 3);
  mine.entries[1] = mine.entries[1]!.replace("act", "forged");
  mine.seal().append(3).seal().append(1);
  await refuses(mine, log.vkey, /The seal of epoch 1 .* seals another tree/);
});

test("AttackARotationThatTheOldKeysDidNotSign", async () => {
  const log = honest();
  const thief = signer(ORIGIN);
  await refuses(log.copy().seal({ log: thief, signers: [thief, log.keys[4]!] }).append(1), log.vkey, /not signed with the log's key/);
  await refuses(log.copy().seal({ log: thief, signers: [log.log, thief] }).append(1), log.vkey, /not signed with the key of epoch 4/);
  await refuses(log.copy().seal({ log: thief, signers: [log.log, log.keys[4]!] }).append(1), log.vkey, /another key of the log, which did not sign it/);
});

test("AttackSealsOfOtherNamesAndSpellings", async () => {
  const log = honest();
  const wrong: [SealWords, RegExp][] = [
    [{ title: "oqto-audit-seal/v2" }, /is no seal/],
    [{ origin: "other.example/log" }, /keys of other names/],
    [{ key: signer(`${ORIGIN}/epoch/4`) }, /keys of other names/],
    [{ size: 1e17 }, /is no seal/],
  ];
  for (const [words, why] of wrong) await refuses(log.copy().seal(words).append(1), log.vkey, why);
  await refuses(log.copy().seal({}, { event: "exec" }).append(1), log.vkey, /is no seal/);
  await refuses(log.copy().seal({}, { seq: 3 }).append(1), log.vkey, /is no seal/);
  const stranger = new Log();
  stranger.seal({ origin: ORIGIN }).append(1);
  await refuses(stranger, log.vkey, /Epoch 0 had another key/);
});

test("AttackHashesAndOrdersThatDoNotFit", async () => {
  const log = honest();
  const pin = await parsePin(log.vkey);
  const rows = log.rows();
  for (const bad of [
    rows.map((row, i) => (i === 2 ? { ...row, hashes: "" } : row)),
    rows.map((row, i) => (i === 2 ? { ...row, hashes: `${row.hashes}${toBase64(new Uint8Array(32))}` } : row)),
    rows.map((row, i) => (i === 2 ? { ...row, hashes: row.hashes.replace(/^./, (c) => (c === "A" ? "B" : "A")) } : row)),
    rows.map((row, i) => (i === 2 ? { ...row, hashes: 7 as unknown as string } : row)),
    rows.map((row, i) => (i === 2 ? { ...row, index: 1e300 } : row)),
    rows.map((row, i) => (i === 2 ? { ...row, entry: "{}" } : row)),
    rows.map((row, i) => (i === 2 ? { ...row, entry: "null" } : row)),
    [rows[1]!, rows[0]!], [rows[0]!, rows[0]!], rows.slice(1),
  ]) {
    await assert.rejects(addSeals(beginChain(pin), bad), Invalid);
  }
});

test("AttackSealsThatWereHiddenAsPrunedNeedAPersonsWord", async () => {
  const log = honest(8);
  const pin = await parsePin(log.vkey);
  const gap = log.rows(0).slice(3);
  gap[0] = { ...gap[0]!, hashes: cover(log.leaves, 0, log.seals[3]!) };
  await assert.rejects(addSeals(beginChain(pin), gap), (error) => error instanceof Gap && error.expected === 0 && error.epoch === 3 && error.index === log.seals[3]);
  const chain = await addSeals(beginChain(pin), gap, log.seals[3]);
  assert.equal(chain.since, log.seals[3]);
  await verifyEnd(chain, log.note(), log.end());
  // Also then the seals behind it are followed, and the log's key must be the pinned one.
  const mine = log.copy();
  const thief = signer(ORIGIN);
  mine.seal({ epoch: 9, log: thief, signers: [thief] }).append(1);
  const rows = mine.rows();
  const broken = await addSeals(await addSeals(beginChain(pin), rows.slice(0, 8)), rows.slice(8), rows[8]!.index);
  await assert.rejects(verifyEnd(broken, mine.note(), mine.end()), /never had the pinned key/);
});

test("of a log that was pruned and rotated either key may be pinned, as long as a seal that it signed is left", async () => {
  const log = honest(4);
  const old = log.vkey;
  log.seal({ log: signer(ORIGIN) }).append(2).seal().append(1);
  const from = async (first: number, pin: string) => {
    const rows = log.rows().slice(first);
    rows[0] = { ...rows[0]!, hashes: cover(log.leaves, 0, log.seals[first]!) };
    return verifyEnd(await addSeals(beginChain(await parsePin(pin)), rows, log.seals[first]), log.note(), log.end());
  };
  for (const first of [1, 4]) {
    for (const pin of [old, log.vkey]) await from(first, pin);
  }
  await from(5, log.vkey);
  await assert.rejects(from(5, old), /never had the pinned key/);
});
