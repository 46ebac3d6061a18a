import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { framesOf, openPiece, screenOf } from "../src/audit/cast";
import { plain } from "../src/audit/safe";
import { Invalid } from "../src/audit/verify";

const cast = (...events: unknown[]) => ['{"version":2,"width":80,"height":24}', ...events.map((e) => JSON.stringify(e)), ""].join("\n");

test("a recording is shown as text, whatever sequences are in it", () => {
  const frames = framesOf(cast([0.1, "o", "\u001b[31mred\u001b[0m\r\n"], [0.2, "i", "typed"], [0.3, "r", "90x20"], [0.4, "o", "\u001b]0;title\u0007\u001b[2J\u001b]52;c;aGk=\u001b\\next\u0000\u009b"], "x", [0.5, "o"]));
  assert.deepEqual(frames.map((f) => f.at), [0.1, 0.4]);
  assert.equal(screenOf(frames), "red\nnext");
});

test("carriage returns and backspaces do within a line what a terminal does", () => {
  assert.equal(screenOf([{ at: 0, text: "10%\r20%\r30%\r\nls -k\b \bl\r\n" }]), "30%\nls -l\n");
});

test("a piece of a recording that is not what was committed to is refused", async () => {
  const bytes = Buffer.concat([Buffer.alloc(16, 7), Buffer.from(cast([1, "o", "hi"]))]);
  const commitment = createHash("sha256").update(bytes).digest("hex");
  assert.equal(await openPiece(bytes.toString("base64"), commitment), cast([1, "o", "hi"]));
  bytes[20]! ^= 1;
  await assert.rejects(openPiece(bytes.toString("base64"), commitment), Invalid);
});

test("AttackCharactersThatDisguiseATextAreSpelledOut", () => {
  for (const c of ["\u202e", "\u2066", "\u200b", "\u001b", "\u0007", "\u0085", "\u2028", "\ufeff", "\u{e0041}", "\ud800", "\u3164", "\u00ad"]) {
    assert.match(plain(`a${c}b`), /^a\\u\{[0-9a-f]+\}b$/u, c.codePointAt(0)!.toString(16));
  }
  assert.equal(plain("hällo 日本 😀 <b>"), "hällo 日本 😀 <b>");
});
