// How a conversation is drawn: what models write inside what, at the widths people have.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { answer, FakeHost, userMessage } from "./fake_host.mjs";
import { byId, openBrowser, openPage } from "./lib.mjs";

const LONG_LINE = "x".repeat(160);
const LONG_WORD = "Donaudampfschifffahrts".repeat(30);
const FENCE = `\`\`\`a-language-with-a-name-that-never-ends-and-goes-on\n${LONG_LINE}\n\`\`\``;
const TABLE = `| ${"column ".repeat(4)} | b | c |\n|---|---|---|\n| ${LONG_LINE} | ${"w ".repeat(60)} | 3 |`;
// Every block, also as the content of every other.
const BLOCKS = {
  fence: FENCE, table: TABLE, word: LONG_WORD, code: `before \`${LONG_LINE}\` after`, heading: `## ${LONG_WORD}`, rule: "---",
  image: `![${LONG_WORD}](https://example.org/${LONG_LINE}.png)`, link: `[${LONG_LINE}](https://example.org/${LONG_LINE}) and https://example.org/${LONG_LINE}`,
  details: `<details><summary>${LONG_WORD}</summary>${LONG_LINE}</details>`, indented: `    ${LONG_LINE}`,
};
const inside = (first, rest) => (text) => first + text.split("\n").join(`\n${rest}`);
const WRAPS = {
  item: inside("- ", "  "), number: inside("1. ", "   "), large: inside("123456789. ", "           "), quote: inside("> ", "> "),
  itemInItem: (t) => WRAPS.item(`one\n\n${WRAPS.item(t)}`), quoteInItem: (t) => WRAPS.item(`one\n\n${WRAPS.quote(t)}`),
  itemInQuote: (t) => WRAPS.quote(`one\n\n${WRAPS.number(t)}`), deep: (t) => WRAPS.quote(WRAPS.item(`a\n\n${WRAPS.quote(WRAPS.number(`b\n\n${WRAPS.item(t)}`))}`)),
};
const nasty = Object.values(BLOCKS).join("\n\n") + "\n\n" + Object.values(WRAPS).flatMap((wrap) => Object.values(BLOCKS).map((b) => `Next:\n\n${wrap(b)}`)).join("\n\n");
let endless = FENCE;
for (let i = 0; i < 24; i++) endless = (i % 2 ? WRAPS.item : WRAPS.quote)(`level\n\n${endless}`);

/** In the page: every element of `.prose` that runs out of what holds it. */
function runaways() {
  const found = [];
  const scrolls = (el) => ["auto", "scroll"].includes(getComputedStyle(el).overflowX);
  for (const el of document.querySelectorAll(".prose *, .user-box *")) {
    let holder = el.parentElement;
    while (!scrolls(holder) && !holder.matches(".scroll")) holder = holder.parentElement;
    if (!holder.matches(".scroll")) continue;  // it can be scrolled to
    const box = el.getBoundingClientRect(), room = document.querySelector(".column").getBoundingClientRect();
    if (box.width && (box.right > room.right + 1 || box.left < room.left - 1)) found.push(`${el.tagName}.${el.className} ${Math.round(box.left)}–${Math.round(box.right)} of ${Math.round(room.left)}–${Math.round(room.right)}`);
  }
  if (document.documentElement.scrollWidth > innerWidth) found.push("the page scrolls sideways");
  return found;
}
/** In the page: each Copy button that a finger could not hit. */
async function unreachable() {
  const found = [];
  for (const button of document.querySelectorAll(".code-block .quiet-button")) {
    button.scrollIntoView({ block: "center" });
    const box = button.getBoundingClientRect();
    const hit = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
    if (!button.contains(hit)) found.push(`${Math.round(box.left)}–${Math.round(box.right)}: ${hit?.className}`);
  }
  return found;
}

let browser;
before(async () => { browser = await openBrowser(); });
after(() => browser.close());

for (const width of [320, 390, 1440]) {
  test(`nothing in an answer runs off the screen at ${width} px, and every Copy can be reached`, async () => {
    const host = await FakeHost.start();
    host.session("nasty", [userMessage(`${LONG_WORD} ${LONG_LINE}`), answer(nasty), answer(endless)]);
    const page = await openPage(browser, { viewport: { width, height: 800 } });
    try {
      await page.goto(host.origin);
      await byId(page, "message-assistant").last().waitFor();
      assert.deepEqual(await page.evaluate(runaways), []);
      assert.deepEqual(await page.evaluate(unreachable), []);
      // What is cut off by its box can be scrolled to.
      assert.ok(await page.evaluate(() => [...document.querySelectorAll(".code-block pre")].some((pre) => { pre.scrollLeft = 50; return pre.scrollLeft > 0; })));
      assert.deepEqual(page.problems, []);
    } finally {
      await page.context().close();
      await host.stop();
    }
  });
}

test("Arabic and Hebrew stand at their side, and no character turns other words around", async () => {
  const host = await FakeHost.start();
  host.session("جلسة", [userMessage("مرحبا\nand English"), answer("مرحبا بالعالم\n\n- عنصر\n\nabc \u202egnp.exe\n\n```js\na \u2066b\n```\n\n`x\u202ey`")]);
  const page = await openPage(browser);
  try {
    await page.goto(host.origin);
    await byId(page, "message-assistant").waitFor();
    const seen = await page.evaluate(() => ({
      paragraph: getComputedStyle(document.querySelector(".prose p")).direction, list: getComputedStyle(document.querySelector(".prose ul")).direction,
      title: getComputedStyle(document.querySelector(".top-title")).direction, marks: [...document.querySelectorAll(".bidi-mark")].map((m) => m.textContent),
      left: document.querySelector(".prose").textContent.match(/[\u202d\u202e\u2066]/)?.length ?? 0 }));
    assert.deepEqual(seen, { paragraph: "rtl", list: "rtl", title: "rtl", marks: ["U+202E", "U+2066", "U+202E"], left: 0 });
    await byId(page, "composer").fill("שלום");
    assert.equal(await byId(page, "composer").evaluate((el) => getComputedStyle(el).direction), "rtl");
  } finally {
    await page.context().close();
    await host.stop();
  }
});
