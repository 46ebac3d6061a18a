import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { framesOf, openPiece, screenOf, type Piece } from "../src/audit/cast";
import { plain } from "../src/audit/safe";
import { Invalid, toBase64, type Checkpoint } from "../src/audit/verify";
import { leaf, path, root } from "./log";

const cast = (...events: unknown[]) => ['{"version":2,"width":80,"height":24}', ...events.map((e) => JSON.stringify(e)), ""].join("\n");

test("a recording is shown as text, whatever sequences are in it", () => {
  const frames = framesOf(cast([0.1, "o", "\u001b[31mred\u001b[0m\r\n"], [0.2, "i", "typed"], [0.3, "r", "90x20"], [0.4, "o", "\u001b]0;title\u0007\u001b[2J\u001b]52;c;aGk=\u001b\\next\u0000\u009b"], "x", [0.5, "o"]));
  assert.deepEqual(frames.map((f) => f.at), [0.1, 0.4]);
  assert.equal(screenOf(frames), "red\nnext");
});

test("carriage returns and backspaces do within a line what a terminal does", () => {
  assert.equal(screenOf([{ at: 0, text: "10%\r20%\r30%\r\nls -k\b \bl\r\n" }]), "30%\nls -l\n");
});

function recorded(content: string, words: object = {}, fields: object = {}) {
  const bytes = Buffer.concat([Buffer.alloc(16, 7), Buffer.from(content)]);
  const commitment = createHash("sha256").update(bytes).digest("hex");
  const entry = JSON.stringify({ seq: 3, event: "recording.chunk", actor: { account: 7 }, fields: { terminal: "t", chunk: "0", recording_blob: { commitment }, ...fields }, ...words });
  const leaves = [0, 1, 2, 4, 5].map((i) => leaf(Buffer.from(`${i}`)));
  leaves.splice(3, 0, leaf(Buffer.from(entry)));
  const tree: Checkpoint = { origin: "", note: "", size: BigInt(leaves.length), root: root(leaves) };
  return { bytes, tree, piece: { index: 3, entry, proof: path(3, leaves).map(toBase64), data: bytes.toString("base64") } as Piece };
}
const TAPE = { terminal: "t", account: 7 };

test("a piece of a recording is opened if its entry is proven and commits to it", async () => {
  const { piece, tree } = recorded("hi");
  assert.equal(await openPiece(piece, 0, TAPE, tree), "hi");
  assert.equal(await openPiece(piece, 0, TAPE, null), "hi");
  const { data: _data, ...erased } = piece;
  assert.equal(await openPiece({ ...erased, state: "is erased" }, 0, TAPE, tree), null);
});

test("AttackPiecesThatWereNotRecordedAreRefused", async () => {
  const { piece, tree, bytes } = recorded("hi");
  bytes[17] = 0;
  const other = recorded("forged");
  const wrong: [Piece, number, RegExp][] = [
    [{ ...piece, data: bytes.toString("base64") }, 0, /not what was recorded/],
    [{ ...piece, data: other.piece.data! }, 0, /not what was recorded/],
    [other.piece, 0, /does not stand in the signed tree/],
    [{ ...piece, proof: null }, 0, /gave no proof/],
    [{ ...piece, index: 9 }, 0, /another entry in its place/],
    [piece, 1, /Piece 1 .* is missing/],
    [{ ...piece, entry: "null" }, 0, /is missing/],
    [{ ...piece, entry: "x" }, 0, /is missing/],
  ];
  for (const [bad, chunk, why] of wrong) {
    await assert.rejects(openPiece(bad, chunk, TAPE, tree), (error: Error) => error instanceof Invalid && why.test(error.message), String(why));
  }
  for (const one of [recorded("x", { actor: { account: 8 } }), recorded("x", { event: "exec" }), recorded("x", {}, { terminal: "u" }), recorded("x", {}, { chunk: 0 })]) {
    await assert.rejects(openPiece(one.piece, 0, TAPE, one.tree), /is missing/);
  }
});

test("AttackCharactersThatDisguiseATextAreSpelledOut", () => {
  for (const c of ["\u202e", "\u2066", "\u200b", "\u001b", "\u0007", "\u0085", "\u2028", "\ufeff", "\u{e0041}", "\ud800", "\u3164", "\u00ad"]) {
    assert.match(plain(`a${c}b`), /^a\\u\{[0-9a-f]+\}b$/u, c.codePointAt(0)!.toString(16));
  }
  assert.equal(plain("hällo 日本 😀 <b>"), "hällo 日本 😀 <b>");
});
