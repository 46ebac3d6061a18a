// A log as whoever owns the host can forge it: its entries as they lie in the log directory, and the keys
// that were stolen. Trees and signatures are made from their definitions (RFC 6962, C2SP signed-note).
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

const sha = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const leaf = (entry) => sha(Buffer.of(0), entry);
export function root(leaves) {
  if (leaves.length < 2) return leaves[0] ?? sha();
  const k = 2 ** Math.floor(Math.log2(leaves.length - 1));
  return sha(Buffer.of(1), root(leaves.slice(0, k)), root(leaves.slice(k)));
}
function cover(leaves, from, to) {
  const all = [];
  for (let at = from, width; at < to; at += width) {
    for (width = 1; at % (width * 2) === 0 && at + width * 2 <= to; width *= 2);
    all.push(root(leaves.slice(at, at + width)));
  }
  return Buffer.concat(all).toString("base64");
}
function path_of(m, leaves) {
  if (leaves.length <= 1) return [];
  const k = 2 ** Math.floor(Math.log2(leaves.length - 1));
  return m < k ? [...path_of(m, leaves.slice(0, k)), root(leaves.slice(k))] : [...path_of(m - k, leaves.slice(k)), root(leaves.slice(0, k))];
}
function subproof(m, leaves, whole) {
  if (m === leaves.length) return whole ? [] : [root(leaves)];
  const k = 2 ** Math.floor(Math.log2(leaves.length - 1));
  return m <= k ? [...subproof(m, leaves.slice(0, k), whole), root(leaves.slice(k))] : [...subproof(m - k, leaves.slice(k), false), root(leaves.slice(0, k))];
}

/** A signing key: `PRIVATE+KEY+name+hash+base64` as the signer keeps it, or a new one. */
export class Key {
  constructor(text, name) {
    const found = /PRIVATE\+KEY\+([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})/.exec(text ?? "");
    this.name = found?.[1] ?? name;
    this.secret = found
      ? createPrivateKey({ format: "der", type: "pkcs8", key: Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), Buffer.from(found[3], "base64").subarray(1)]) })
      : generateKeyPairSync("ed25519").privateKey;
    this.typed = Buffer.concat([Buffer.of(1), createPublicKey(this.secret).export({ type: "spki", format: "der" }).subarray(-32)]);
    this.id = sha(Buffer.from(`${this.name}\n`), this.typed).subarray(0, 4);
    this.vkey = `${this.name}+${this.id.toString("hex")}+${this.typed.toString("base64")}`;
  }
  line(body) { return `\u2014 ${this.name} ${Buffer.concat([this.id, sign(null, Buffer.from(body), this.secret)]).toString("base64")}\n`; }
}

export class ForgedLog {
  /** All entries that are in the tiles of this log directory. */
  static read(log) {
    const forged = new ForgedLog();
    const dir = path.join(log, "tile/entries");
    const bundles = new Map();
    for (const name of readdirSync(dir, { recursive: true })) {
      const found = /^(\d{3})(?:\.p\/(\d+))?$/.exec(name);
      if (!found) continue;
      const width = Number(found[2] ?? 256);
      if (width > (bundles.get(found[1])?.width ?? 0)) bundles.set(found[1], { width, bytes: readFileSync(path.join(dir, name)) });
    }
    for (const [, { bytes }] of [...bundles].sort(([a], [b]) => a.localeCompare(b))) {
      for (let at = 0; at < bytes.length; ) {
        const length = bytes.readUInt16BE(at);
        forged.push(bytes.subarray(at + 2, at + 2 + length).toString());
        at += 2 + length;
      }
    }
    return forged;
  }
  entries = [];
  leaves = [];
  seals = [];
  get size() { return this.entries.length; }
  push(entry) {
    if (entry.includes('"event":"epoch.seal"')) this.seals.push(this.size);
    this.entries.push(entry);
    this.leaves.push(leaf(Buffer.from(entry)));
  }
  append(count) {
    for (let i = 0; i < count; ++i) this.push(JSON.stringify({ seq: this.size, time: 1, event: "exec", fields: { argv: "forged" } }));
    return this;
  }
  cut(size) {
    [this.entries, this.leaves, this.seals] = [this.entries.slice(0, size), this.leaves.slice(0, size), this.seals.filter((i) => i < size)];
    return this;
  }
  change(index, edit) {
    this.entries[index] = edit(this.entries[index]);
    this.leaves[index] = leaf(Buffer.from(this.entries[index]));
    return this;
  }
  seal({ epoch, key, log, size = this.size, signers }) {
    const body = `oqto-audit-seal/v1\n${log.name}\n${epoch}\n${size}\n${root(this.leaves).toString("base64")}\n1700000000000\n${key.vkey}\n${log.vkey}\n`;
    this.push(JSON.stringify({ seq: this.size, time: 1, event: "epoch.seal", fields: { epoch: String(epoch), note: `${body}\n${signers.map((k) => k.line(body)).join("")}` } }));
    return this;
  }
  note(signers, size = this.size) {
    const body = `${signers[0].name.replace(/\/epoch\/.*/, "")}\n${size}\n${root(this.leaves.slice(0, size)).toString("base64")}\n`;
    return `${body}\n${signers.map((k) => k.line(body)).join("")}`;
  }
  /** What answers carry, for a checkpoint of everything. */
  noted(signers, { old_size }) {
    const base64 = (hashes) => hashes.map((h) => h.toString("base64"));
    const proof = old_size === undefined ? {} : { old_size, consistency: old_size > this.size ? null : old_size === 0 ? [] : base64(subproof(old_size, this.leaves, true)) };
    return { note: this.note(signers), ...proof };
  }
  answerSeals(signers, { from, old_size }, hide = () => false) {
    let at = Math.min(from, this.size);
    const seals = this.seals.filter((index) => index >= from && !hide(index)).map((index) => {
      const hashes = cover(this.leaves, at, index);
      at = index + 1;
      return { index, entry: this.entries[index], hashes };
    });
    return { ...this.noted(signers, { old_size }), seals, next: null, hashes: cover(this.leaves, at, this.size) };
  }
  answerEntry(signers, { index, old_size }) {
    return { index, entry: this.entries[index], proof: path_of(index, this.leaves).map((h) => h.toString("base64")), ...this.noted(signers, { old_size }) };
  }
}
