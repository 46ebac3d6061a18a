// The proofs are made by other code (log.ts) than checks them.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  fromBase64, Invalid, leafHash, parsePin, parseProof, toBase64, toHex, verifyCheckpoint, verifyConsistency, verifyInclusion,
} from "../src/audit/verify";
import { leaf, path, prefix, root, sha, signer } from "./log";

const parseKey = async (text: string) => (await parsePin(text)).log;

const tree = (n: number) => Array.from({ length: n }, (_, i) => leaf(Buffer.from(`entry ${i}`)));
const flipped = (bytes: Uint8Array) => bytes.map((b, i) => (i === 7 ? b ^ 1 : b));
const MOST = 33;

test("the classic eight leaves have the roots that every implementation has", async () => {
  const leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"].map((h) => leaf(Buffer.from(h, "hex")));
  const whole = fromBase64(toBase64(Buffer.from("5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328", "hex")));
  assert.equal(toHex(root(leaves)), toHex(whole));
  for (let i = 0; i < 8; i++) assert.ok(await verifyInclusion(BigInt(i), 8n, leaves[i]!, whole, path(i, leaves)));
  assert.equal(toHex(await leafHash("")), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
});

test("every entry of every small tree is proven, and nothing else is", async () => {
  for (let n = 1; n <= MOST; n++) {
    const leaves = tree(n);
    const top = root(leaves);
    for (let i = 0; i < n; i++) {
      const proof = path(i, leaves);
      assert.ok(await verifyInclusion(BigInt(i), BigInt(n), leaves[i]!, top, proof), `${i} of ${n}`);
      assert.equal(await verifyInclusion(BigInt(i), BigInt(n), flipped(leaves[i]!), top, proof), false, "a flipped byte of the entry");
      assert.equal(await verifyInclusion(BigInt(i), BigInt(n), leaves[i]!, flipped(top), proof), false, "a flipped byte of the root");
      assert.equal(await verifyInclusion(BigInt(i), BigInt(n), leaves[i]!, top, [...proof, top]), false, "a hash too many");
      if (proof.length > 0) {
        assert.equal(await verifyInclusion(BigInt(i), BigInt(n), leaves[i]!, top, proof.slice(1)), false, "a hash too few");
        assert.equal(await verifyInclusion(BigInt(i), BigInt(n), leaves[i]!, top, [flipped(proof[0]!), ...proof.slice(1)]), false, "a flipped byte of the proof");
      }
      for (const index of [n, n + 1, 2 * n, -1]) {
        assert.equal(await verifyInclusion(BigInt(index), BigInt(n), leaves[i]!, top, proof), false, "an index beyond the tree");
      }
      for (let other = 0; other < n; other++) {
        if (other !== i) assert.equal(await verifyInclusion(BigInt(other), BigInt(n), leaves[i]!, top, proof), false, "another index");
      }
    }
  }
  assert.equal(await verifyInclusion(0n, 0n, sha(), sha(), []), false, "an empty tree holds nothing");
});

test("an inclusion proof does not hold for a tree of half or twice the size", async () => {
  const leaves = tree(12);
  assert.equal(await verifyInclusion(5n, 24n, leaves[5]!, root(leaves), path(5, leaves)), false);
  assert.equal(await verifyInclusion(5n, 6n, leaves[5]!, root(leaves), path(5, leaves)), false);
});

test("every size is proven to continue every smaller one, and no other tree", async () => {
  for (let n = 1; n <= MOST; n++) {
    const leaves = tree(n);
    const top = root(leaves);
    for (let m = 0; m <= n; m++) {
      const old = root(leaves.slice(0, m));
      const proof = prefix(m, leaves);
      const check = (a: number, ra: Uint8Array, b: number, rb: Uint8Array, p: Uint8Array[]) => verifyConsistency(BigInt(a), ra, BigInt(b), rb, p);
      assert.ok(await check(m, old, n, top, proof), `${m} to ${n}`);
      assert.equal(await check(m, old, n, top, [...proof, top]), false, "a hash too many");
      if (proof.length > 0) assert.equal(await check(m, old, n, top, proof.slice(0, -1)), false, "a hash too few");
      if (m > 0) assert.equal(await check(m, flipped(old), n, top, proof), false, "another old root");
      if (m > 0) assert.equal(await check(m, old, n, flipped(top), proof), false, "another new root");
      if (m < n) assert.equal(await check(n, top, m, old, proof), false, "backwards");
    }
  }
});

test("a tree that was rewritten is not consistent, whatever proof it comes with", async () => {
  const before = tree(20);
  const after = tree(30);
  after[4] = leaf(Buffer.from("something else"));
  for (const proof of [prefix(20, after), prefix(20, tree(30)), [], [root(before)]]) {
    assert.equal(await verifyConsistency(20n, root(before), 30n, root(after), proof), false);
  }
});

const body = (size: number, top: Uint8Array, origin = "audit.example/log") => `${origin}\n${size}\n${toBase64(top)}\n`;

test("the verifier key of the C2SP specification is read, and no other spelling of it", async () => {
  const text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
  const key = await parseKey(`  ${text}\n`);
  assert.equal(key.name, "PeterNeumann");
  assert.equal(toHex(key.id), "c74f20a3");
  for (const wrong of ["", "x", text.slice(0, -1), text + "A", text.replace("c7", "c8"), text.replace("Peter", "Pater"),
    text.replace("+AR", "+BR"), text.replace("+", " +"), `${text}\n${text}`, text.replace("c74f", "C74F")]) {
    await assert.rejects(parseKey(wrong), Invalid, wrong);
  }
});

test("both lines of log.vkey are pinned, and nothing but them", async () => {
  const log = signer("audit.example/log"), first = signer("audit.example/log/epoch/0"), later = signer("audit.example/log/epoch/1"), other = signer("other.example/log/epoch/0");
  const pin = await parsePin(`${log.vkey}\n${first.vkey}\n`);
  assert.deepEqual([pin.log.text, pin.first?.text, pin.text], [log.vkey, first.vkey, `${log.vkey}\n${first.vkey}`]);
  assert.equal((await parsePin(log.vkey)).first, null);
  for (const wrong of [`${log.vkey}\n${later.vkey}`, `${log.vkey}\n${other.vkey}`, `${first.vkey}\n${log.vkey}`, first.vkey, `${log.vkey}\n${log.vkey}`,
    `${log.vkey}\n${first.vkey}\n${later.vkey}`, `${log.vkey}\n${first.vkey.slice(0, -3)}`, `${log.vkey}${first.vkey}`]) {
    await assert.rejects(parsePin(wrong), Invalid, wrong);
  }
});

test("a signed note that is no checkpoint is refused, whoever signed it", async () => {
  const key = await parseKey("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
  const note = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
  await assert.rejects(verifyCheckpoint(note, key), /no checkpoint/);
});

test("a checkpoint is believed only with the pinned key's signature over these very bytes", async () => {
  const log = signer("audit.example/log");
  const witness = signer("witness.example");
  const forger = signer("audit.example/log");
  const text = body(30, root(tree(30)));
  const note = `${text}\n${log.line(text)}${witness.line(text)}`;
  const key = await parseKey(log.vkey);
  const good = await verifyCheckpoint(note, key);
  assert.equal(good.size, 30n);
  assert.equal(toHex(good.root), toHex(root(tree(30))));

  await assert.rejects(verifyCheckpoint(note, await parseKey(forger.vkey)), /not signed with the pinned key/);
  await assert.rejects(verifyCheckpoint(`${text}\n${forger.line(text)}`, key), /not signed/);
  await assert.rejects(verifyCheckpoint(`${text}\n${witness.line(text, "audit.example/log")}`, key), /not signed/);
  const other = body(31, root(tree(30)));
  await assert.rejects(verifyCheckpoint(`${other}\n${log.line(text)}`, key), /signature is wrong/);
  await assert.rejects(verifyCheckpoint(`${text}\n${log.line(text)}${log.line(text)}`, key), /not signed/);
  const elsewhere = body(30, root(tree(30)), "other.example/log");
  await assert.rejects(verifyCheckpoint(`${elsewhere}\n${log.line(elsewhere)}`, key), /another name/);
  for (const size of ["030", "-1", "+30", "30 ", "1e3", "9".repeat(20)]) {
    const odd = `audit.example/log\n${size}\n${toBase64(root(tree(30)))}\n`;
    await assert.rejects(verifyCheckpoint(`${odd}\n${log.line(odd)}`, key), Invalid, size);
  }
});

test("every flipped character of a checkpoint is refused", async () => {
  const log = signer("audit.example/log");
  const key = await parseKey(log.vkey);
  const text = body(30, root(tree(30)));
  const note = `${text}\n${log.line(text)}`;
  for (let i = 0; i < note.length; i++) {
    for (const mask of [1, 0x20]) {
      const bad = note.slice(0, i) + String.fromCharCode(note.charCodeAt(i) ^ mask) + note.slice(i + 1);
      await assert.rejects(verifyCheckpoint(bad, key), Invalid, `character ${i}`);
    }
    await assert.rejects(verifyCheckpoint(note.slice(0, i), key), Invalid, `cut at ${i}`);
  }
});

test("what the host sends as a proof may be anything", () => {
  const hash = toBase64(sha());
  assert.equal(parseProof([hash]).length, 1);
  for (const odd of [null, "x", {}, 3, undefined, [1], ["x"], [hash.slice(1)], [`${hash} `], [toBase64(new Uint8Array(31))], Array(64).fill(hash)]) {
    assert.throws(() => parseProof(odd), Invalid);
  }
});
