// The proofs are made here from the definitions of RFC 6962, by other code than checks them.
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { test } from "node:test";
import {
  fromBase64, Invalid, leafHash, parseKey, parseProof, toBase64, toHex, verifyCheckpoint, verifyConsistency, verifyInclusion,
} from "../src/audit/verify";

const sha = (...parts: Uint8Array[]) => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
};
const leaf = (entry: Uint8Array) => sha(Uint8Array.of(0), entry);
const split = (n: number) => 2 ** Math.floor(Math.log2(n - 1));
function root(leaves: Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return sha();
  if (leaves.length === 1) return leaves[0]!;
  const k = split(leaves.length);
  return sha(Uint8Array.of(1), root(leaves.slice(0, k)), root(leaves.slice(k)));
}
function path(m: number, leaves: Uint8Array[]): Uint8Array[] {
  if (leaves.length <= 1) return [];
  const k = split(leaves.length);
  return m < k ? [...path(m, leaves.slice(0, k)), root(leaves.slice(k))] : [...path(m - k, leaves.slice(k)), root(leaves.slice(0, k))];
}
function subproof(m: number, leaves: Uint8Array[], whole: boolean): Uint8Array[] {
  if (m === leaves.length) return whole ? [] : [root(leaves)];
  const k = split(leaves.length);
  return m <= k ? [...subproof(m, leaves.slice(0, k), whole), root(leaves.slice(k))]
    : [...subproof(m - k, leaves.slice(k), false), root(leaves.slice(0, k))];
}
const prefix = (m: number, leaves: Uint8Array[]) => (m === 0 ? [] : subproof(m, leaves, true));
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

function signer(name: string) {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = new Uint8Array(publicKey.export({ type: "spki", format: "der" }).subarray(-32));
  const typed = Buffer.concat([Uint8Array.of(1), raw]);
  const id = sha(Buffer.from(`${name}\n`), typed).slice(0, 4);
  return {
    vkey: `${name}+${toHex(id)}+${typed.toString("base64")}`,
    line: (body: string, as = name) => `\u2014 ${as} ${Buffer.concat([id, sign(null, Buffer.from(body), privateKey)]).toString("base64")}\n`,
  };
}
const body = (size: number, top: Uint8Array, origin = "audit.example/log") => `${origin}\n${size}\n${toBase64(top)}\n`;

test("the verifier key of the C2SP specification is read, and no other spelling of it", async () => {
  const text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
  const key = await parseKey(`  ${text}\n`);
  assert.equal(key.name, "PeterNeumann");
  assert.equal((await parseKey(`${text}\nPeterNeumann/epoch/0+00000000+AAAA\n`)).text, text);
  assert.equal(toHex(key.id), "c74f20a3");
  for (const wrong of ["", "x", text.slice(0, -1), text + "A", text.replace("c7", "c8"), text.replace("Peter", "Pater"),
    text.replace("+AR", "+BR"), text.replace("+", " +"), `${text}\n${text}`, text.replace("c74f", "C74F")]) {
    await assert.rejects(parseKey(wrong), Invalid, wrong);
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
