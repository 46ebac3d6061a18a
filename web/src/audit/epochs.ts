// The chain of epochs, followed from the key of epoch 0 that a person pinned. Each epoch ends with a seal,
// an entry of the log that names the tree before it and the next epoch's key, and is signed with the log's
// key and the key that ends (docs/audit.md). No seal needs an inclusion proof of its own: the right edge of
// the tree is carried from seal to seal, each seal's entry is hashed into its place, and the edge must have
// the root that the next seal and at last the checkpoint sign. One pass shows that every seal stands in the
// log at the index it names, and that every signed tree is the beginning of the next one.

import {
  equal, fromBase64, HASH_BYTES, Invalid, leafHash, nodeHash, parseKeyLine, readCheckpoint, readNote, sha256, signatureBy, toBase64,
  type Checkpoint, type Note, type Pin, type VerifierKey,
} from "./verify";

export interface SealRow {
  index: number;
  entry: string;
  hashes: string; // base64: the subtrees between the place before and this one
}

// Whose signatures a tree needs that is larger than `index`, the place of the seal.
export interface EpochKeys {
  epoch: number;
  index: number;
  log: VerifierKey;
  key: VerifierKey;
}

export interface Chain {
  pin: Pin & { first: VerifierKey };
  links: EpochKeys[]; // the newest ones, in order; the last is the epoch that runs
  edge: Edge;
  vouched: boolean; // the pinned log's key was one of the chain's
  since: number; // a gap was accepted: what is before this entry has the log's key's word alone
}

// Seals are not there. Whether they were pruned, only a person can find out.
export class Gap extends Invalid {
  readonly expected: number;
  readonly epoch: number;
  readonly index: number;
  constructor(expected: number, epoch: number, index: number) {
    super(
      `The seals of the epochs ${expected} to ${epoch - 1} are not there: the log shows none before entry ${index}. If the log was pruned, ` +
        "whoever runs the host can say so and has them in an archive; if it was not, somebody hides them.");
    this.expected = expected;
    this.epoch = epoch;
    this.index = index;
  }
}

const MAX_LINKS = 64;
const MAX_SEAL = 2048;
const TITLE = "oqto-audit-seal/v1";
const LOOK = "Have a copy of the log checked with `oqto-audit verify`";

// ---------------------------------------------------------------- the tree's right edge

// The roots of the complete subtrees, largest first: one per bit of the size.
export class Edge {
  size = 0;
  nodes: { width: number; hash: Uint8Array }[] = [];

  copy(): Edge {
    const edge = new Edge();
    edge.size = this.size;
    edge.nodes = [...this.nodes];
    return edge;
  }

  async add(width: number, hash: Uint8Array): Promise<void> {
    let top = { width, hash };
    this.size += width;
    while (this.nodes.at(-1)?.width === top.width) {
      const left = this.nodes.pop()!;
      top = { width: left.width * 2, hash: await nodeHash(left.hash, top.hash) };
    }
    this.nodes.push(top);
  }

  async root(): Promise<Uint8Array> {
    let sum = this.nodes.at(-1)?.hash;
    if (!sum) return sha256(new Uint8Array());
    for (let i = this.nodes.length - 2; i >= 0; i--) sum = await nodeHash(this.nodes[i]!.hash, sum);
    return sum;
  }

  // To `size`, by the fewest complete subtrees between here and there; these must be all of the hashes.
  async grow(size: number, hashes: string): Promise<void> {
    const bytes = typeof hashes === "string" ? fromBase64(hashes) : new Uint8Array();
    let at = 0;
    while (this.size < size) {
      let width = 1;
      while (this.size % (width * 2) === 0 && this.size + width * 2 <= size) width *= 2;
      if (at + HASH_BYTES > bytes.length) throw new Invalid(`The host sent too few hashes for the tree of ${size} entries: try again.`);
      await this.add(width, bytes.slice(at, at + HASH_BYTES));
      at += HASH_BYTES;
    }
    if (this.size !== size || at !== bytes.length) throw new Invalid(`The host's hashes do not lead to the tree of ${size} entries: try again.`);
  }
}

// ---------------------------------------------------------------- seals

interface Seal {
  epoch: number;
  size: number;
  root: Uint8Array;
  key: VerifierKey;
  log: VerifierKey;
  note: Note;
}

// The log's key is the same from seal to seal.
let lastLog: VerifierKey | null = null;
async function logKey(text: string): Promise<VerifierKey> {
  if (lastLog?.text !== text) lastLog = await parseKeyLine(text);
  return lastLog;
}

const whole = (text: string | undefined): number => (/^(0|[1-9][0-9]{0,15})$/.test(text ?? "") ? Number(text) : NaN);

// What the seal in an entry says, in the only spelling that it has; nothing is verified.
async function readSeal(row: SealRow): Promise<Seal> {
  const what = `The seal in entry ${row.index}`;
  let entry: { seq?: unknown; event?: unknown; fields?: { note?: unknown } };
  try {
    entry = JSON.parse(row.entry) as typeof entry;
  } catch {
    throw new Invalid(`${what} is no entry. ${LOOK}.`);
  }
  const text = entry?.fields?.note;
  if (entry?.event !== "epoch.seal" || entry.seq !== row.index || typeof text !== "string" || text.length > MAX_SEAL) {
    throw new Invalid(`${what} is no seal. ${LOOK}.`);
  }
  const note = readNote(text);
  const lines = note.body.split("\n");
  const [title, origin, epoch, size, root, time, key, log, end] = lines as [string, string, string, string, string, string, string, string, string];
  if (lines.length !== 9 || end !== "" || title !== TITLE || [epoch, size, time].some((n) => !Number.isSafeInteger(whole(n)))) {
    throw new Invalid(`${what} is no seal. ${LOOK}.`);
  }
  const seal = { epoch: whole(epoch), size: whole(size), root: fromBase64(root), key: await parseKeyLine(key), log: await logKey(log), note };
  if (seal.root.length !== HASH_BYTES || seal.log.name !== origin || seal.key.name !== `${origin}/epoch/${epoch}`) {
    throw new Invalid(`${what} has keys of other names than its own. ${LOOK}.`);
  }
  return seal;
}

async function demand(seal: Seal, key: VerifierKey, otherwise: string): Promise<void> {
  if ((await signatureBy(seal.note, key)) !== "good") throw new Invalid(otherwise);
}

// The signatures that a seal must have; the checks run while the next seals are read.
function signatures(seal: Seal, before: EpochKeys | undefined): Promise<void>[] {
  const what = `The seal of epoch ${seal.epoch} in entry ${seal.size}`;
  if (!before) return [demand(seal, seal.log, `${what} is not signed with the log's key that it names. ${LOOK}.`)];
  const all = [
    demand(seal, before.log, `${what} is not signed with the log's key. ${LOOK}.`),
    demand(seal, before.key, `${what} is not signed with the key of epoch ${before.epoch}, which it ends: whoever made it had the log's key alone. ${LOOK}.`),
  ];
  if (seal.log.text !== before.log.text) {
    all.push(demand(seal, seal.log, `${what} names another key of the log, which did not sign it. ${LOOK}.`));
  }
  return all;
}

function checkPlace(chain: Chain, seal: Seal, row: SealRow, before: EpochKeys | undefined): void {
  const what = `The seal in entry ${row.index}`;
  const next = before ? before.epoch + 1 : 0;
  if (seal.log.name !== chain.pin.log.name) throw new Invalid(`${what} is of the log ${seal.log.name}, not of the pinned one. ${LOOK}.`);
  if (seal.size !== row.index) throw new Invalid(`${what} says that it stands behind ${seal.size} entries. ${LOOK}.`);
  if (seal.epoch < next) throw new Invalid(`${what} begins epoch ${seal.epoch} again, where epoch ${next} must begin. ${LOOK}.`);
  if (seal.epoch > next) throw new Gap(next, seal.epoch, row.index);
  if (!before && row.index !== 0) throw new Invalid(`The log does not begin with the seal of epoch 0: it stands in entry ${row.index}. ${LOOK}.`);
  if (!before && seal.key.text !== chain.pin.first.text) {
    throw new Invalid(
      "Epoch 0 had another key than the second pinned line: this is another history under the log's name. " +
        "Compare the pinned lines with log.vkey on the host; if they are right, do not believe this host.");
  }
}

export function beginChain(pin: Pin): Chain {
  if (!pin.first) throw new Invalid("The key of epoch 0 is not pinned.");
  return { pin: { ...pin, first: pin.first }, links: [], edge: new Edge(), vouched: false, since: 0 };
}

// The chain with these seals behind it; the old one stays as it is. `acceptGapAt`: the index of a seal
// before which others may be missing, as a person decided.
export async function addSeals(old: Chain, rows: SealRow[], acceptGapAt = -1): Promise<Chain> {
  const chain: Chain = { ...old, links: [...old.links], edge: old.edge.copy() };
  const checks: Promise<void>[] = [];
  try {
    for (const row of rows) await addSeal(chain, row, acceptGapAt, checks);
  } finally {
    // The first that fails, in the order of the log, even when something behind it failed as well.
    for (const check of await Promise.allSettled(checks)) if (check.status === "rejected") throw check.reason;
  }
  chain.links = chain.links.slice(-MAX_LINKS);
  return chain;
}

async function addSeal(chain: Chain, row: SealRow, acceptGapAt: number, checks: Promise<void>[]): Promise<void> {
  if (!Number.isSafeInteger(row.index) || row.index < chain.edge.size) throw new Invalid("The host's seals are in no order: try again.");
  const seal = await readSeal(row);
  let before = chain.links.at(-1);
  try {
    checkPlace(chain, seal, row, before);
  } catch (error) {
    if (!(error instanceof Gap) || row.index !== acceptGapAt) throw error;
    const known = [chain.pin.log, ...(before && chain.vouched ? [before.log] : [])];
    chain.vouched = (await Promise.all(known.map((key) => signatureBy(seal.note, key)))).includes("good");
    chain.since = row.index;
    chain.links = [];
    before = undefined;
  }
  for (const check of signatures(seal, before)) {
    check.catch(() => {}); // it is awaited at the end
    checks.push(check);
  }
  await chain.edge.grow(row.index, row.hashes);
  if (!equal(await chain.edge.root(), seal.root)) {
    throw new Invalid(`The seal of epoch ${seal.epoch} in entry ${row.index} seals another tree than the host's: what is before it was changed. ${LOOK}.`);
  }
  await chain.edge.add(1, await leafHash(row.entry));
  chain.vouched ||= seal.log.text === chain.pin.log.text;
  chain.links.push({ epoch: seal.epoch, index: row.index, log: seal.log, key: seal.key });
}

// ---------------------------------------------------------------- checkpoints

export const keysOf = (chain: Chain, size: bigint): EpochKeys | undefined => chain.links.findLast((link) => BigInt(link.index) < size);

// Thrown where newer seals may be what is missing.
export class UnknownEpoch extends Invalid {}

// Demands the signature of the log's key and that of the epoch that a tree of this size belongs to.
export async function verifyInEpoch(text: string, chain: Chain): Promise<Checkpoint> {
  const checkpoint = readCheckpoint(text);
  const note = readNote(text);
  if (checkpoint.origin !== chain.pin.log.name) throw new Invalid("the checkpoint is of a log of another name than the key");
  const keys = keysOf(chain, checkpoint.size);
  if (!keys) throw new UnknownEpoch(`no seal is known of the epoch that a tree of ${checkpoint.size} entries belongs to: check again`);
  if ((await signatureBy(note, keys.log)) !== "good") {
    throw new UnknownEpoch(`the checkpoint of ${checkpoint.size} entries is not signed with the log's key of epoch ${keys.epoch}`);
  }
  if ((await signatureBy(note, keys.key)) !== "good") {
    throw new UnknownEpoch(
      `the checkpoint of ${checkpoint.size} entries is signed with the log's key, but not with that of epoch ${keys.epoch}, to which it belongs: ` +
        "whoever made it may have stolen the log's key. Have a copy of the log checked with `oqto-audit verify`");
  }
  return checkpoint;
}

// The end of the seals: the hashes behind the last one lead to this checkpoint.
export async function verifyEnd(chain: Chain, text: string, hashes: string): Promise<Checkpoint> {
  const claimed = readCheckpoint(text).size;
  if (claimed < BigInt(chain.edge.size)) {
    throw new Invalid(`The host shows a log of ${claimed} entries, but this browser has verified ${chain.edge.size}: entries were taken away. ${LOOK}.`);
  }
  const checkpoint = await verifyInEpoch(text, chain);
  const edge = chain.edge.copy();
  await edge.grow(Number(checkpoint.size), hashes);
  if (!equal(await edge.root(), checkpoint.root)) {
    throw new Invalid(`The checkpoint of ${checkpoint.size} entries does not continue what epoch ${chain.links.at(-1)!.epoch} began with: what was sealed is changed in it. ${LOOK}.`);
  }
  if (!chain.vouched) {
    throw new Invalid("The log never had the pinned key. Compare it with the first line of log.vkey on the host: it changes when the log's key is rotated.");
  }
  return checkpoint;
}

// ---------------------------------------------------------------- kept between visits

export function saveChain(chain: Chain): string {
  return JSON.stringify({
    pin: chain.pin.text, vouched: chain.vouched, since: chain.since, size: chain.edge.size,
    edge: chain.edge.nodes.map((node) => toBase64(node.hash)),
    links: chain.links.slice(-2).map((link) => [link.epoch, link.index, link.log.text, link.key.text]),
  });
}

// null: not what this page stored, or for another pin. Then it begins again.
export async function restoreChain(text: string | null, pin: Pin): Promise<Chain | null> {
  try {
    const kept = JSON.parse(text ?? "null") as { pin: string; vouched: boolean; since: number; size: number; edge: string[]; links: [number, number, string, string][] };
    if (!kept || kept.pin !== pin.text) return null;
    const chain = beginChain(pin);
    for (const [epoch, index, log, key] of kept.links) chain.links.push({ epoch, index, log: await parseKeyLine(log), key: await parseKeyLine(key) });
    await chain.edge.grow(kept.size, toBase64(Uint8Array.from(kept.edge.flatMap((hash) => [...fromBase64(hash)]))));
    chain.vouched = kept.vouched;
    chain.since = kept.since;
    return chain.links.at(-1)?.index === chain.edge.size - 1 ? chain : null;
  } catch {
    return null;
  }
}
