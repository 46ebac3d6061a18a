import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode, format, parse } from "../src/ui/markdown/urls";

test("an address is encoded once, whatever it holds", () => {
  const address = (text: string) => encode(format(parse(text)));
  assert.equal(address("https://example.org/a?b=c&d#e"), "https://example.org/a?b=c&d#e");
  assert.equal(address("https://example.org/a b/ü"), "https://example.org/a%20b/%C3%BC");
  assert.equal(address("https://example.org/%41%20"), "https://example.org/%41%20");
  assert.equal(address("100%"), "100%25");
  assert.equal(address(encode("a b")), "a%20b");
  assert.equal(address("\ud800"), "\ud800");
  assert.equal(decode("https://example.org/%C3%BC"), "https://example.org/ü");
  assert.equal(decode("%ff"), "%ff");
});
