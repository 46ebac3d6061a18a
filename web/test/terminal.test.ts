import assert from "node:assert/strict";
import { test } from "node:test";
import { plainOutput } from "../src/ui/colour";
import { renderTerminal } from "../src/ui/tool/terminal";

const terminalText = (text: string) => renderTerminal(text).map((s) => s.text).join("");

const show = (text: string) => renderTerminal(text).map((s) => (s.look ? `<${s.look}>${s.text}</>` : s.text)).join("");

test("colours become classes, and end where they end", () => {
  assert.equal(show("a \x1b[31mred\x1b[0m b"), "a <t-f1>red</> b");
  assert.equal(show("\x1b[1;4;92mok\x1b[22;24;39m."), "<t-f10 t-bold t-underline>ok</>.");
  assert.equal(show("\x1b[41mx\x1b[49my\x1b[107mz"), "<t-b1>x</>y<t-b15>z</>");
  assert.equal(show("\x1b[31mone\ntwo\x1b[m\nthree"), "<t-f1>one\ntwo\n</>three");
});

test("256 colours and true colour become the nearest of sixteen", () => {
  assert.equal(show("\x1b[38;5;9mx"), "<t-f9>x</>");
  assert.equal(show("\x1b[38;5;196mx"), "<t-f9>x</>");
  assert.equal(show("\x1b[48;5;22mx"), "<t-b2>x</>");
  assert.equal(show("\x1b[38;5;250mx"), "<t-f7>x</>");
  assert.equal(show("\x1b[38;2;10;10;120mx"), "<t-f4>x</>");
  assert.equal(show("\x1b[38:2::250:10:10mx\x1b[39my"), "<t-f9>x</>y");
  assert.equal(show("\x1b[38;5mx\x1b[38mx"), "<t-f0>x</>".replace("x", "xx"));
});

test("inverse swaps, and hidden text is shown", () => {
  assert.equal(show("\x1b[7mx\x1b[27m"), "<t-inverse>x</>");
  assert.equal(show("\x1b[31;7mx"), "<t-b1>x</>");
  assert.equal(show("\x1b[8mx"), "x");
});

test("a carriage return writes over, as a terminal does", () => {
  assert.equal(show("10%\r 50%\r100%\n"), "100%\n");
  assert.equal(show("abcdef\rXY"), "XYcdef");
  assert.equal(show("abcdef\r\x1b[KXY"), "XY");
  assert.equal(show("a\r\nb\r\r\nc"), "a\nb\nc");
  assert.equal(show("ab\b\bxy"), "xy");
  assert.equal(show("\x1b[32mgreen\r\x1b[31mr"), "<t-f1>r</><t-f2>reen</>");
  assert.equal(show("loading\x1b[1G\x1b[2Kdone"), "done");
});

test("progress over several lines writes over them", () => {
  assert.equal(show("a 1%\nb 1%\n\x1b[2Aa 99%\nb 99%\n"), "a 99%\nb 99%\n");
  assert.equal(show("one\ntwo\nthree\x1b[1A\r\x1b[Jnew"), "one\nnew");
  assert.equal(show("x\x1b[99Ay"), "xy");
});

test("links are their words, and every other escape is nothing", () => {
  assert.equal(show("\x1b]8;;https://evil.example\x07here\x1b]8;;\x07 and \x1b]8;;x\x1b\\there\x1b]8;;\x1b\\"), "here and there");
  assert.equal(show("\x1b]0;title\x07a\x1bPq#0\x1b\\b\x1b_apc\x1b\\c"), "abc");
  assert.equal(show("\x1b[?25la\x1b[?25h\x1b[2J\x1b[Hb\x1b(Bc\x1b=d\x1b[6ne\x07\x00\x7f\u0085f"), "abcdef");
  assert.equal(show("\x9b31mx\x9d0;t\x9cy"), "<t-f1>xy</>");
});

test("an escape without an end takes no words with it", () => {
  assert.equal(show("a\x1b]8;;never ends\nb"), "a8;;never ends\nb");
  assert.equal(show("a\x1b["), "a");
  assert.equal(show("a\x1b[31"), "a");
  assert.equal(show("a\x1b[3\nb"), "a3\nb");
  assert.equal(show("a\x1b"), "a");
  assert.equal(show("a\x1b]8;;\x1b[31mb"), "a8;;<t-f1>b</>");
  assert.equal(show("\x1b[\x1b[31mx"), "<t-f1>x</>");
});

test("text without controls stays one piece", () => {
  assert.deepEqual(renderTerminal("a\tb"), [{ text: "a\tb", look: "" }]);
  assert.equal(terminalText("tab\tand\nlines\n"), "tab\tand\nlines\n");
  assert.equal(terminalText("🚚 a\r🚚 b"), "🚚 b");
});

test("long output keeps every line, with and without escapes in it", () => {
  const lines = Array.from({ length: 5_000 }, (_, i) => `line ${i}`).join("\n");
  assert.equal(terminalText(`${lines}\n\x1b[31mend`), `${lines}\nend`);
  const coloured = lines.replaceAll("line", "\x1b[3mline\x1b[0m");
  assert.equal(terminalText(coloured), lines);
});

test("a million bytes of anything take less than 100 ms", () => {
  const times = (s: string) => s.repeat(Math.ceil(1_000_000 / s.length));
  const hostile: Record<string, string> = {
    text: times("a line of text as there are many\n"), returns: times("a\r"), colours: times("\x1b[31ma\x1b[32mb"), lines: times("\x1b[m\n"),
    openStrings: times("\x1b]"), oneString: `\x1b]8;;${times("x")}`, openCsi: times("\x1b["), digits: `\x1b[${times("1")}`, params: `\x1b[${times("1;")}m`,
    up: times("\x1b[999A\n"), right: times("\x1b[999Cx\n"), rightOnly: times("\x1b[999Cx"), erase: `${"x".repeat(500_000)}${times("\rx\x1b[K\x1b[1K")}`.slice(0, 1_000_000), line: `${times("x")}\ry`,
    nested: times("\x1b]8;;\x1b]8;;\x07"), osc: times("\x1b]8;;u\x07x"), below: times("a\nb\x1b[1A\x1b[J"), backspace: times("ab\b"), c1: times("\x9d\x90"),
  };
  for (const [name, text] of Object.entries(hostile)) {
    renderTerminal(text.slice(0, 50_000));
    // Of the processor's time: other work on this machine is not meant.
    const best = Math.min(...[1, 2, 3, 4].map(() => {
      const start = process.cpuUsage();
      const spans = renderTerminal(text);
      const took = process.cpuUsage(start).user / 1_000;
      assert.ok(spans.length <= 4_001, name);
      return took;
    }));
    if (process.env["OQTO_TIMES"]) console.log(name, best.toFixed(1));
    assert.ok(best < 100, `${name}: ${best} ms`);
  }
});

test("without the script for colours the words are the same, in no more time", () => {
  const text = "\x1b[31mred\x1b[0m 10%\r20%\r\n\x1b]8;;https://x\x07link\x1b]8;;\x1b\\ \x1b]never\nend\x07\x1b";
  assert.equal(plainOutput(text), "20%\nlink never\nend");
  for (const bit of ["\x1b", "\x1b]", "\x1b[", "\x1b[1", "\r", "a\r", "\r\n", "x", "\x1b]8;;"]) {
    const start = process.cpuUsage();
    plainOutput(bit.repeat(1_000_000 / bit.length));
    assert.ok(process.cpuUsage(start).user < 300_000, JSON.stringify(bit));
  }
});
