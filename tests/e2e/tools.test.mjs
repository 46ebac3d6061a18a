// What tools put out, as people want to read it: coloured, its end first, and all of it on demand.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { answer, FakeHost, textPart, toolCall, userMessage } from "./fake_host.mjs";
import { byId, openBrowser, openPage, until } from "./lib.mjs";

let browser;
before(async () => { browser = await openBrowser(); });
after(() => browser.close());

/** A page at a session with these messages. `parts`: what get_part has, by part id. */
async function withSession(messages, parts, run) {
  const get_part = (frame) => {
    const whole = Buffer.from(parts[frame.part_id] ?? "");
    if (!whole.length) throw { code: "not_found", error: "There is no such part." };
    const offset = frame.offset ?? 0, end = Math.min(whole.length, offset + Math.min(frame.length ?? 262_144, 524_288));
    return { text: whole.toString("utf8", offset, end), offset, next: end < whole.length ? end : null, total: whole.length };
  };
  const host = await FakeHost.start({ commands: { get_part } });
  host.session("tools", messages);
  const page = await openPage(browser);
  try {
    await page.goto(host.origin);
    await byId(page, "message-assistant").first().waitFor();
    await run(page, host);
    assert.deepEqual(page.problems, []);
  } finally {
    await page.context().close();
    await host.stop();
  }
}
const atEnd = (box) => box.evaluate((pre) => pre.scrollHeight > pre.clientHeight && pre.scrollHeight - pre.scrollTop - pre.clientHeight < 30);

test("colours, carriage returns and links are shown as a terminal shows them", async () => {
  const output = "\x1b[31mred\x1b[0m 10%\r\x1b[32mgreen\x1b[0m 100%\n\x1b]8;;https://evil.example\x07link\x1b]8;;\x07 \u202eabc";
  await withSession([userMessage("go"), ...toolCall("bash", { command: "x" }, output), answer("done")], {}, async (page) => {
    await byId(page, "tool-toggle").click();
    const box = byId(page, "tool-output");
    assert.equal(await box.innerText(), "green 100%\nlink U+202Eabc");
    assert.equal(await box.locator("a").count(), 0);
    await box.locator(".t-f2").waitFor();
    assert.equal(await box.innerText(), "green 100%\nlink U+202Eabc");
    const colours = await box.evaluate((pre) => [pre, pre.querySelector(".t-f2")].map((el) => getComputedStyle(el).color));
    assert.notEqual(colours[0], colours[1]);
  });
});

test("long output opens at its end and says how much it is", async () => {
  const output = Array.from({ length: 400 }, (_, i) => `line ${i}`).join("\n");
  await withSession([userMessage("go"), ...toolCall("bash", { command: "x" }, output)], {}, async (page) => {
    await byId(page, "tool-toggle").click();
    assert.ok(await atEnd(byId(page, "tool-output")));
    assert.equal(await byId(page, "tool-output-amount").innerText(), "400 lines");
  });
});

test("of cut output the end is shown, all of it on demand, and it can be saved", async () => {
  const whole = Array.from({ length: 90_000 }, (_, i) => `line ${i} of many, with some words behind it`).join("\n");
  const call = toolCall("bash", { command: "x" }, whole.slice(0, 50_000), { result: { id: "part-1", cut: { bytes: whole.length } } });
  await withSession([userMessage("go"), ...call], { "part-1": whole }, async (page, host) => {
    await byId(page, "tool-toggle").click();
    const box = byId(page, "tool-output");
    await until("its end", async () => (await box.innerText()).endsWith("line 89999 of many, with some words behind it"));
    assert.match(await byId(page, "tool-output-amount").innerText(), /^the last 6\d KB of 4\.\d MB$/);
    assert.equal(await byId(page, "cut-show").innerText(), "Show all (4.1 MB)");
    const [file] = await Promise.all([page.waitForEvent("download"), byId(page, "cut-save").click()]);
    assert.equal(file.suggestedFilename(), "bash-output.txt");
    assert.equal(readFileSync(await file.path(), "utf8"), whole);
    const asked = host.sent("get_part").length;
    await byId(page, "cut-show").click();
    await until("all of it", async () => /^90,000 lines · 4\.1 MB$/.test(await byId(page, "tool-output-amount").innerText()));
    assert.equal(host.sent("get_part").length, asked, "what was fetched is not fetched again");
    assert.ok(await atEnd(box));
    assert.ok((await box.evaluate((pre) => pre.textContent)) === whole);
  });
});

test("where the host cannot give all of it, the beginning stays and the reason is said", async () => {
  const call = toolCall("bash", { command: "x" }, "the beginning\n".repeat(9), { result: { id: "gone", cut: { bytes: 5_000_000 } } });
  await withSession([userMessage("go"), ...call], {}, async (page) => {
    await byId(page, "tool-toggle").click();
    assert.equal(await byId(page, "tool-output-amount").innerText(), "126 bytes of 5.0 MB");
    await byId(page, "cut-show").click();
    await page.getByText("There is no such part.").waitFor();
    assert.match(await byId(page, "tool-output").innerText(), /^the beginning/);
  });
});

test("cut answers, messages and arguments can be had whole", async () => {
  const text = `${"word ".repeat(400)}THE END`;
  const input = JSON.stringify({ path: "big.txt", content: `${"x\n".repeat(300)}last line` });
  const [call, result] = toolCall("write", input.slice(0, 40), "ok", { call: { id: "in-1", cut: { bytes: input.length } } });
  const messages = [
    userMessage("", { parts: [textPart("the start of a long prom", { id: "u-1", cut: { bytes: text.length } })] }),
    call, result, answer("", { parts: [textPart("the start of a long ans", { id: "a-1", cut: { bytes: text.length } })] })];
  await withSession(messages, { "u-1": text, "a-1": text, "in-1": input }, async (page) => {
    for (const id of ["message-user", "message-assistant"]) {
      const message = byId(page, id).last();
      assert.match(await byId(message, "cut-line").innerText(), /^This is the beginning\. All of it is 2 KB\./);
      await byId(message, "cut-show").click();
      await message.getByText("THE END").waitFor();
    }
    await byId(page, "tool-toggle").click();
    assert.match(await byId(page, "tool-input").innerText(), /^\{"path":"big.txt"/);
    await byId(byId(page, "tool-card"), "cut-show").click();
    await byId(page, "tool-card").getByText("last line").waitFor();
    assert.equal(await byId(page, "tool-card").locator(".path-line code").innerText(), "big.txt");
  });
});
