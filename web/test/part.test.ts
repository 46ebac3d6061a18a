import assert from "node:assert/strict";
import { test } from "node:test";
import { PartPager, PIECE_BYTES, sizeText, Stopped, TAIL_BYTES, type Fetch } from "../src/state/part";

const whole = Array.from({ length: 60_000 }, (_, i) => `line ${i}\n`).join("");

// As the host gives pieces: by bytes.
const from = (text: string, log: number[] = []): Fetch => async (offset, length) => {
  log.push(offset);
  const piece = text.slice(offset, offset + length);
  const next = offset + piece.length;
  return { text: piece, offset, next: next < text.length ? next : null, total: text.length };
};
const nothing = () => {};

test("all of a part comes in pieces, in order", async () => {
  const log: number[] = [];
  const seen: number[] = [];
  const pager = new PartPager(from(whole, log), whole.length);
  const pieces = await pager.all((at) => seen.push(at));
  assert.equal(pieces.join(""), whole);
  assert.deepEqual(log, [0, PIECE_BYTES, 2 * PIECE_BYTES]);
  assert.equal(seen.at(-1), whole.length);
  assert.equal((await pager.all(nothing)).join(""), whole);
  assert.equal(log.length, 3);
});

test("after a failure it goes on where it was", async () => {
  let fail = true;
  const good = from(whole);
  const pager = new PartPager(async (offset, length) => {
    if (offset > 0 && fail) throw new Error("lost");
    return good(offset, length);
  }, whole.length);
  await assert.rejects(pager.all(nothing), /lost/);
  assert.equal(pager.at, PIECE_BYTES);
  fail = false;
  assert.equal((await pager.all(nothing)).join(""), whole);
});

test("two who ask at once are served once, and it stops when nobody wants it", async () => {
  const log: number[] = [];
  const pager = new PartPager(from(whole, log), whole.length);
  await Promise.all([pager.all(nothing), pager.all(nothing)]);
  assert.equal(log.length, 3);
  await assert.rejects(new PartPager(from(whole), 1).all(nothing, () => true), Stopped);
});

test("a host that repeats itself is left", async () => {
  const again: Fetch = async (offset) => ({ text: "x", offset, next: offset, total: 9 });
  await assert.rejects(new PartPager(again, 9).all(nothing), /does not fit/);
  const elsewhere: Fetch = async () => ({ text: "x", offset: 5, next: null, total: 9 });
  await assert.rejects(new PartPager(elsewhere, 9).all(nothing), /does not fit/);
});

test("the end begins with a whole line", async () => {
  const end = await new PartPager(from(whole), whole.length).tail();
  assert.ok(end.length <= TAIL_BYTES && end.length > TAIL_BYTES - 20);
  assert.match(end, /^line \d+\n/);
  assert.ok(whole.endsWith(end));
  assert.equal(await new PartPager(from("a\nb"), 3).tail(), "a\nb");
});

test("sizes are told as people say them", () => {
  assert.deepEqual([12, 64_000, 5_234_567, 999_700, 3e9].map(sizeText), ["12 bytes", "64 KB", "5.2 MB", "1.0 MB", "3.0 GB"]);
});
