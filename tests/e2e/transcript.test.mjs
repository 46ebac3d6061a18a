// How a conversation is drawn: what models write inside what, at the widths people have.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { answer, FakeHost, toolCall, userMessage } from "./fake_host.mjs";
import { byId, openBrowser, openPage, until } from "./lib.mjs";

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

/** A page at a session with these messages; `id` is the session's. */
async function withMessages(messages, run, more = {}) {
  const host = await FakeHost.start();
  const small = host.session("small", [userMessage("hi"), answer("hello")]);
  const id = host.session("long", messages, more);
  const page = await openPage(browser);
  try {
    await page.goto(`${host.origin}/#/s/${id}`);
    await byId(page, "message-user").first().waitFor();
    await run(page, host, id, small);
    assert.deepEqual(page.problems, []);
  } finally {
    await page.context().close();
    await host.stop();
  }
}
const steps = (count, failing = -1) => Array.from({ length: count }, (_, i) => toolCall("bash", { command: `step ${i}` }, `out ${i}`, { error: i === failing, ms: 5_000 })).flat();

test("older runs of steps are one line with the outcome, then a line each, then all of it", async () => {
  const messages = [userMessage("go"), answer("First I look."), ...steps(9, 3), answer("Now this."), ...steps(4), answer("Done.")];
  await withMessages(messages, async (page) => {
    assert.equal(await byId(page, "run-toggle").innerText(), "9 steps, 1 failed, 0:45");
    assert.equal(await byId(page, "tool-card").count(), 4, "the newest run stands open");
    await byId(page, "run-toggle").click();
    assert.equal(await byId(page, "tool-card").count(), 13);
    await byId(page, "tool-toggle").nth(3).click();
    assert.equal(await byId(page, "tool-output").innerText(), "out 3");
    await byId(page, "run-toggle").click();
    assert.equal(await byId(page, "tool-card").count(), 4);
  });
});

test("a run that somebody has opened does not fold away when a newer one begins", async () => {
  await withMessages([userMessage("go"), ...steps(3), answer("Done.")], async (page, host, id) => {
    await byId(page, "tool-toggle").first().click();
    for (const message of [userMessage("more"), ...steps(1)]) host.message(id, message);
    await until("the newer run", async () => (await byId(page, "tool-card").count()) === 4);
    assert.equal(await byId(page, "tool-output").innerText(), "out 0");
    assert.equal(await byId(page, "run").count(), 0);
  });
});

test("tries that failed fold into the answer that came of them", async () => {
  await withMessages([userMessage("hi")], async (page, host, id) => {
    host.emit(id, "agent.working", { phase: "generating" });
    for (const [n, message_id] of ["m1", "m2"].entries()) {
      host.emit(id, "stream.message_start", { message_id, role: "assistant" });
      host.emit(id, "stream.text_delta", { message_id, content_index: 0, delta: `partial ${n} ` });
      await page.getByText(`partial ${n}`).waitFor();
      host.emit(id, "stream.message_retracted", { message_id, error: `broke off ${n}` });
      host.emit(id, "retry.start", { attempt: n + 1, max_attempts: 3, delay_ms: 9, error: `broke off ${n}` });
      await page.getByText(`failed: broke off ${n}`).waitFor();
      assert.equal(await page.getByText(`partial ${n}`).count(), 0);
    }
    host.message(id, answer("The answer.", { id: "m3", attempts: [{ error: "broke off 0", text: "partial 0" }, { error: "broke off 1", text: "partial 1" }] }));
    host.emit(id, "retry.end", { success: true, attempt: 2 });
    host.emit(id, "agent.idle");
    await page.getByText("The answer.").waitFor();
    for (const _ of ["live", "reloaded"]) {
      assert.equal(await byId(page, "message-assistant").count(), 1);
      assert.match(await byId(page, "attempts").innerText(), /^2 tries failed: broke off 1/);
      assert.equal(await byId(page, "notice").count(), 0);
      await byId(page, "attempts").locator("button").click();
      assert.match(await byId(page, "attempts").innerText(), /Try 1 failed: broke off 0\s+partial 0\s+Try 2 failed: broke off 1\s+partial 1/);
      await page.reload();
      await page.getByText("The answer.").waitFor();
    }
  });
});

test("answers are told as what they are", async () => {
  const messages = [
    userMessage("a"), answer(""), userMessage("b"), answer("half an ans", { stop_reason: "length" }), userMessage("c"), answer("saved", { recovered: true }),
    userMessage("d"), answer("part", { stop_reason: "aborted" }), userMessage("e"), answer("", { stop_reason: "error", error: "503 no room" })];
  await withMessages(messages, async (page) => {
    assert.equal(await byId(page, "empty-answer").innerText(), "The model answered with nothing.");
    assert.match(await byId(page, "cut-by-length").innerText(), /^Cut by the model's length limit/);
    assert.match(await byId(page, "recovered").innerText(), /after a crash/);
    assert.equal(await byId(page, "aborted").count(), 1);
    assert.match(await byId(page, "error-card").innerText(), /503 no room/);
  });
});

test("a model that says nothing for ten seconds is waited for, in words", async () => {
  await withMessages([userMessage("hi")], async (page, host, id) => {
    host.emit(id, "agent.working", { phase: "generating" }, Date.now() - 41_000);
    await page.getByText("Waiting for the model").waitFor();
    assert.match(await byId(page, "working").innerText(), /Waiting for the model\s*0:4\d/);
    host.emit(id, "stream.message_start", { message_id: "m", role: "assistant" });
    await page.getByText("Writing").waitFor();
  });
});

test("5,000 messages: keys and switching stay quick, nothing jumps, all of it can be searched", async () => {
  const messages = [];
  for (let i = 0; messages.length < 5_000; i++) {
    messages.push(userMessage(`question ${i}: ${"some words ".repeat(6)}`), ...toolCall("bash", { command: `ls ${i}` }, "line\n".repeat(20)),
      answer(`### Answer ${i}\n\n${"words of an answer ".repeat(14)}\n\n- one \`code\`\n- two\n\n\`\`\`js\nconst a = ${i};\n\`\`\`\n\n| a | b |\n|---|---|\n| 1 | 2 |\n`));
  }
  await withMessages(messages, async (page, host, id, small) => {
    const drift = await page.evaluate(async () => {
      const pause = (ms) => new Promise((done) => setTimeout(done, ms));
      const box = document.querySelector(".scroll");
      let worst = 0;
      for (let more; (more = document.querySelector('[data-testid="load-earlier"]')); ) {
        box.scrollTop = 0;
        await pause(60);
        const mark = document.querySelector(".message");
        const top = mark.getBoundingClientRect().top;
        const height = box.scrollHeight;
        more.click();
        while (box.scrollHeight === height && document.contains(more)) await pause(10);
        await pause(60);
        worst = Math.max(worst, Math.abs(mark.getBoundingClientRect().top - top));
      }
      return worst;
    });
    assert.ok(drift < 1, `older messages moved what was read by ${drift} px`);
    await byId(page, "jump-latest").click();
    await until("all of it", async () => page.evaluate(() => document.body.textContent.includes("question 0:")), 60_000);
    const key = await page.evaluate(async () => {
      document.querySelector("#composer-text").focus();
      const times = [];
      for (let i = 0; i < 30; i++) {
        const start = performance.now();
        document.execCommand("insertText", false, "a");
        await new Promise((done) => setTimeout(done, 0));
        document.querySelector(".scroll").scrollHeight;  // what layout a key costs is in it
        times.push(performance.now() - start);
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 5)));
      }
      return times.sort((a, b) => a - b)[15];
    });
    const open = (session, title) => page.evaluate(async ([session, title]) => {
      const start = performance.now();
      document.querySelector(`[data-session="${session}"]`).click();
      while (document.querySelector('[data-testid="session-title"]').textContent !== title || !document.querySelector(".message")) await new Promise((done) => setTimeout(done, 0));
      await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
      return performance.now() - start;
    }, [session, title]);
    const switching = [];
    for (let i = 0; i < 3; i++) switching.push(await open(small, "small"), await open(id, "long"));
    switching.sort((a, b) => a - b);
    console.log(`a key ${key.toFixed(1)} ms, switching ${switching[3].toFixed(0)} ms, at most ${switching[5].toFixed(0)} ms, drift ${drift.toFixed(2)} px`);
    assert.ok(key < 16, `a key costs ${key} ms`);
    assert.ok(switching[3] < 300, `switching costs ${switching} ms`);
    // What streams below does not move what is read above.
    await page.evaluate(() => { const box = document.querySelector(".scroll"); box.scrollTop = box.scrollHeight / 2; });
    await page.waitForTimeout(400);
    const place = () => page.evaluate(() => {
      const box = document.querySelector(".scroll").getBoundingClientRect();
      return [...document.querySelectorAll(".message")].map((m) => m.getBoundingClientRect()).find((m) => m.top >= box.top)?.top;
    });
    const before = await place();
    host.emit(id, "agent.working", { phase: "generating" });
    for (let i = 0; i < 20; i++) host.emit(id, "stream.text_delta", { message_id: "live", content_index: 0, delta: "more words\n\n" });
    await page.waitForTimeout(400);
    assert.ok(Math.abs((await place()) - before) < 1);
  });
});
