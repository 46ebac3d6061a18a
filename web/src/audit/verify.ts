// What an auditor's browser believes, and why: signed notes, checkpoints and Merkle proofs, checked
// here against a key that a person pasted. Nothing the host says is taken as true. Formats: C2SP
// signed-note, tlog-checkpoint and tlog-proof; RFC 9162 §2.1. Only WebCrypto, no other code.

export interface VerifierKey {
  name: string; // the log's origin
  id: Uint8Array; // 4 bytes: SHA-256(name, newline, type, key)
  key: Uint8Array; // Ed25519
  text: string;
}

export interface Checkpoint {
  origin: string;
  size: bigint;
  root: Uint8Array;
  note: string;
}

export class Invalid extends Error {}

const ED25519 = 1;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
export const HASH_BYTES = 32;
const MAX_PROOF = 63;
const MAX_ORIGIN = 100;
const MAX_SIGNATURES = 16;
const MAX_SIZE = 2n ** 53n;

const encoder = new TextEncoder();
const bytesOf = (text: string): Uint8Array<ArrayBuffer> => encoder.encode(text) as Uint8Array<ArrayBuffer>;

function join(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

export function toHex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

// Strict: what decodes, encodes back to the same text.
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  let binary: string;
  try {
    binary = atob(text);
  } catch {
    throw new Invalid("not base64");
  }
  if (btoa(binary) !== text) throw new Invalid("not the one spelling of base64");
  return Uint8Array.from(binary, (c) => c.charCodeAt(0)) as Uint8Array<ArrayBuffer>;
}

export async function sha256(bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));
}

export const leafHash = (entry: string): Promise<Uint8Array> => sha256(join(Uint8Array.of(0), bytesOf(entry)));
export const nodeHash = (left: Uint8Array, right: Uint8Array): Promise<Uint8Array> =>
  sha256(join(Uint8Array.of(1), left, right));

// "name+hash+base64" of a log's or an epoch's key.
export async function parseKeyLine(text: string): Promise<VerifierKey> {
  const found = /^([\x21-\x2a\x2c-\x7e]{1,140})\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/.exec(text);
  if (!found) throw new Invalid("A key looks like name+12345678+AbCd…, on one line.");
  const [, name, hash, encoded] = found as unknown as [string, string, string, string];
  let bytes: Uint8Array;
  try {
    bytes = fromBase64(encoded);
  } catch {
    throw new Invalid("The key's last part is not base64: was it cut?");
  }
  if (bytes.length !== 1 + KEY_BYTES || bytes[0] !== ED25519) {
    throw new Invalid("This is not the Ed25519 key of a log.");
  }
  const id = (await sha256(join(bytesOf(`${name}\n`), bytes))).slice(0, 4);
  if (toHex(id) !== hash) throw new Invalid("The key does not fit its own hash: a character is wrong.");
  return { name, id, key: bytes.slice(1), text };
}

// What a person pins: the lines of the file log.vkey. The second one, the key of epoch 0, is what makes
// the past safe from whoever steals the log's key (docs/audit.md).
export interface Pin {
  log: VerifierKey;
  first: VerifierKey | null;
  text: string;
}

export async function parsePin(text: string): Promise<Pin> {
  const lines = text.trim().split(/\s*\n\s*/);
  if (lines.length > 2) throw new Invalid("There is more than one log's key. Paste the one or two lines of log.vkey.");
  const log = await parseKeyLine(lines[0]!);
  if (log.name.length > MAX_ORIGIN || log.name.includes("/epoch/")) {
    throw new Invalid("The first line is the key of an epoch. Paste both lines of log.vkey, in their order.");
  }
  const first = lines[1] === undefined ? null : await parseKeyLine(lines[1]);
  if (first && first.name !== `${log.name}/epoch/0`) {
    throw new Invalid("The second line is not the key of this log's epoch 0. Paste both lines of one log.vkey.");
  }
  return { log, first, text: first ? `${log.text}\n${first.text}` : log.text };
}

interface Signature {
  name: string;
  id: Uint8Array;
  bytes: Uint8Array;
}

export interface Note {
  body: string;
  signatures: Signature[];
}

export function readNote(note: string): Note {
  const cut = note.lastIndexOf("\n\n");
  if (cut < 0 || !note.endsWith("\n") || note.length > 65536) throw new Invalid("not a signed note");
  const body = note.slice(0, cut + 1);
  const lines = note.slice(cut + 2, -1).split("\n");
  if (lines.length > MAX_SIGNATURES) throw new Invalid("the note has too many signatures");
  const signatures = lines.map((line) => {
    const found = /^\u2014 ([^\s+]+) ([A-Za-z0-9+/]+=*)$/.exec(line);
    if (!found) throw new Invalid("a signature line of the note is malformed");
    const bytes = fromBase64(found[2]!);
    if (bytes.length < 5) throw new Invalid("a signature of the note is too short");
    return { name: found[1]!, id: bytes.slice(0, 4), bytes: bytes.slice(4) };
  });
  return { body, signatures };
}

export type Signed = "good" | "absent" | "wrong";

const imported = new WeakMap<VerifierKey, Promise<CryptoKey>>();
function importKey(key: VerifierKey): Promise<CryptoKey> {
  let made = imported.get(key);
  if (!made) imported.set(key, (made = crypto.subtle.importKey("raw", key.key as Uint8Array<ArrayBuffer>, "Ed25519", false, ["verify"])));
  return made;
}

// Whether this key has signed, exactly once. Lines of other keys are left alone.
export async function signatureBy(note: Note, key: VerifierKey): Promise<Signed> {
  const own = note.signatures.filter((s) => s.name === key.name && equal(s.id, key.id));
  if (own.length !== 1 || own[0]!.bytes.length !== SIGNATURE_BYTES) return "absent";
  const good = await crypto.subtle.verify("Ed25519", await importKey(key), own[0]!.bytes as Uint8Array<ArrayBuffer>, bytesOf(note.body));
  return good ? "good" : "wrong";
}

// What a note claims; nothing is verified.
export function readCheckpoint(note: string): Checkpoint {
  const [origin, size, root, ...more] = readNote(note).body.slice(0, -1).split("\n");
  if (!origin || !size || !/^(0|[1-9][0-9]{0,15})$/.test(size) || !root || more.some((line) => line === "")) {
    throw new Invalid("the note is no checkpoint");
  }
  const hash = fromBase64(root);
  if (hash.length !== HASH_BYTES || BigInt(size) > MAX_SIZE) throw new Invalid("the note is no checkpoint");
  return { origin, size: BigInt(size), root: hash, note };
}

// Demands this key's signature, and its name as the origin.
export async function verifyCheckpoint(note: string, key: VerifierKey): Promise<Checkpoint> {
  const checkpoint = readCheckpoint(note);
  if (checkpoint.origin !== key.name) throw new Invalid("the checkpoint is of a log of another name than the key");
  const signed = await signatureBy(readNote(note), key);
  if (signed === "absent") throw new Invalid("the checkpoint is not signed with the pinned key: it is of another log, or the log's key was rotated since. Pin both lines of log.vkey as it is on the host now");
  if (signed === "wrong") throw new Invalid("the checkpoint's signature is wrong");
  return checkpoint;
}

export function parseProof(hashes: unknown): Uint8Array[] {
  if (!Array.isArray(hashes) || hashes.length > MAX_PROOF) throw new Invalid("the host gave no proof");
  return hashes.map((text) => {
    const hash = typeof text === "string" ? fromBase64(text) : new Uint8Array();
    if (hash.length !== HASH_BYTES) throw new Invalid("the proof holds something that is no hash");
    return hash;
  });
}

// RFC 9162 §2.1.3.2.
export async function verifyInclusion(
  index: bigint, size: bigint, leaf: Uint8Array, root: Uint8Array, proof: Uint8Array[],
): Promise<boolean> {
  if (index < 0n || index >= size) return false;
  let place = index;
  let last = size - 1n;
  let sum = leaf;
  for (const sibling of proof) {
    if (last === 0n) return false;
    if (place % 2n === 1n || place === last) {
      sum = await nodeHash(sibling, sum);
      while (place % 2n === 0n && place !== 0n) {
        place /= 2n;
        last /= 2n;
      }
    } else {
      sum = await nodeHash(sum, sibling);
    }
    place /= 2n;
    last /= 2n;
  }
  return last === 0n && equal(sum, root);
}

// RFC 9162 §2.1.4.2: the tree of `oldSize` is the beginning of the one of `size`.
export async function verifyConsistency(
  oldSize: bigint, oldRoot: Uint8Array, size: bigint, root: Uint8Array, proof: Uint8Array[],
): Promise<boolean> {
  if (oldSize < 0n || oldSize > size) return false;
  if (oldSize === size) return proof.length === 0 && equal(oldRoot, root);
  if (oldSize === 0n) return proof.length === 0;
  const path = (oldSize & (oldSize - 1n)) === 0n ? [oldRoot, ...proof] : [...proof];
  if (path.length === 0) return false;
  let place = oldSize - 1n;
  let last = size - 1n;
  while (place % 2n === 1n) {
    place /= 2n;
    last /= 2n;
  }
  let oldSum = path[0]!;
  let sum = path[0]!;
  for (const sibling of path.slice(1)) {
    if (last === 0n) return false;
    if (place % 2n === 1n || place === last) {
      oldSum = await nodeHash(sibling, oldSum);
      sum = await nodeHash(sibling, sum);
      while (place % 2n === 0n && place !== 0n) {
        place /= 2n;
        last /= 2n;
      }
    } else {
      sum = await nodeHash(sum, sibling);
    }
    place /= 2n;
    last /= 2n;
  }
  return last === 0n && equal(oldSum, oldRoot) && equal(sum, root);
}

// Whether this browser can check an Ed25519 signature at all.
export async function canVerify(): Promise<boolean> {
  try {
    await crypto.subtle.importKey("raw", new Uint8Array(KEY_BYTES), "Ed25519", false, ["verify"]);
    return true;
  } catch {
    return false;
  }
}
