import assert from "node:assert/strict";
import { test } from "node:test";
import { backoffMs } from "../src/net/backoff";
import { readableFailure } from "../src/state/failure";
import { directionOf } from "../src/ui/markdown/bidi";
import { decodeHTMLStrict } from "../src/ui/markdown/entities";
import { highlight } from "../src/ui/markdown/highlight";
import { endsInFence, splitMarkdown } from "../src/ui/markdown/split";
import { diffLines } from "../src/ui/tool/diff";

test("splitting loses nothing and never cuts a code block or a list", () => {
  const text = "one\n\n```js\na\n\nb\n```\n\n- x\n\n- y\n\nend";
  const pieces = splitMarkdown(text);
  assert.equal(pieces.join("\n"), text);
  assert.ok(pieces.some((p) => p.includes("```js\na\n\nb\n```")));
  assert.ok(pieces.some((p) => p.includes("- x\n\n- y")));
});

test("a text with reference links stays whole", () => {
  assert.equal(splitMarkdown("[a][b]\n\nx\n\n[b]: https://example.org").length, 1);
});

test("an open code block is noticed", () => {
  assert.equal(endsInFence("```js\nlet a"), true);
  assert.equal(endsInFence("```js\nlet a\n```"), false);
});

test("highlighting keeps every character", () => {
  const code = "/* c */ const a = 'x\\'y' + 0x1f; // end\n\"open\n`t`";
  for (const language of ["ts", "python", "bash", "sql", "json", "yaml", "html", "diff", "nothing"]) {
    assert.equal(highlight(code, language).map((s) => s.text).join(""), code);
  }
  assert.ok(highlight(code, "ts").some((s) => s.kind === "keyword" && s.text === "const"));
});

test("a diff shows removed, added and equal lines", () => {
  const lines = diffLines("a\nb\nc\n", "a\nB\nc\nd\n");
  assert.deepEqual(lines.map((l) => l.sign + l.text), [" a", "-b", "+B", " c", "+d"]);
  assert.deepEqual(diffLines("", "x"), [{ sign: "+", text: "x" }]);
});

test("entities decode, and what is unknown stays", () => {
  assert.equal(decodeHTMLStrict("&amp;&#65;&#x42;&nope;&#0;"), "&AB&nope;\ufffd");
});

test("what a provider says comes out of its JSON", () => {
  assert.equal(readableFailure('500: {"message":"internal trouble","code":null}'), "internal trouble (status 500)");
  assert.equal(readableFailure('529 {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'), "Overloaded (status 529)");
  for (const text of ["Connection error.", '500: {"x":1}', "500: {oops}"]) assert.equal(readableFailure(text), text);
});

test("waiting grows to a ceiling and never vanishes", () => {
  assert.ok(backoffMs(0, () => 0) >= 200);
  assert.ok(backoffMs(99, () => 1) <= 15_000);
  assert.ok(backoffMs(5, () => 0.5) > backoffMs(1, () => 0.5));
});

test("a block has the direction of its first letter", () => {
  assert.equal(directionOf("1. مرحبا code"), "rtl");
  assert.equal(directionOf("(a) שלום"), "ltr");
  assert.equal(directionOf("12 – 13"), undefined);
});
