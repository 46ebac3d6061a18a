// Writing a message: what must not be lost, not be sent by accident, and not go to the wrong place.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { answer, FakeHost, userMessage } from "./fake_host.mjs";
import { byId, openBrowser, openPage, until } from "./lib.mjs";

let browser;
before(async () => { browser = await openBrowser(); });
after(() => browser.close());

async function withHost(run, options = {}) {
  const host = await FakeHost.start(options);
  const id = host.session("one", [userMessage("hi"), answer("hello")]);
  const page = await openPage(browser);
  try {
    await page.goto(`${host.origin}/#/s/${id}`);
    await byId(page, "composer").waitFor();
    await run(page, host, id);
    assert.deepEqual(page.problems, []);
  } finally {
    await page.context().close();
    await host.stop();
  }
}
const draft = (page) => byId(page, "composer").inputValue();
/** Gives the page a paste or a drop: `files` are `[name, type, text]`. */
const give = (page, kind, files, words = "") => page.evaluate(([kind, files, words]) => {
  const data = new DataTransfer();
  for (const [name, type, text] of files) data.items.add(new File([text], name, { type }));
  if (words) data.setData("text/plain", words);
  const target = kind === "paste" ? document.querySelector("#composer-text") : document.querySelector(".scroll");
  const event = kind === "paste" ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
    : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
  // The browser itself puts words in, unless it is kept from it; a made event does not.
  return !target.dispatchEvent(event);
}, [kind, files, words]);

test("the Enter that ends a composition does not send, in either order of events", async () => {
  await withHost(async (page, host) => {
    const area = byId(page, "composer");
    await area.fill("日本");
    for (const [isComposing, keyCode] of [[false, 229], [true, 13]]) {
      await area.evaluate((el, [isComposing, keyCode]) => {
        el.dispatchEvent(new CompositionEvent("compositionstart", { bubbles: true }));
        if (!isComposing) el.dispatchEvent(new CompositionEvent("compositionend", { bubbles: true, data: "本" }));
        el.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", keyCode, isComposing, bubbles: true, cancelable: true }));
      }, [isComposing, keyCode]);
    }
    await page.waitForTimeout(200);
    assert.equal(host.sent("prompt").length, 0);
    assert.equal(await draft(page), "日本");
    await area.press("Enter");
    await until("the message", async () => host.sent("prompt").length === 1);
  });
});

test("of words with a picture of them the words go in, and the picture is offered", async () => {
  await withHost(async (page) => {
    const shot = ["image.png", "image/png", "png"];
    assert.equal(await give(page, "paste", [shot], "a\tb\n1\t2"), false, "the browser puts the words in");
    assert.equal(await page.locator(".picture-slot").count(), 0);
    await byId(page, "offer-take").click();
    await page.locator(".picture-slot").waitFor();
    assert.equal(await byId(page, "offer").count(), 0);
    assert.equal(await give(page, "paste", [shot]), true);
    await until("the picture alone", async () => (await page.locator(".picture-slot").count()) === 2);
    // A file manager's words are the file's name.
    assert.equal(await give(page, "paste", [shot], "image.png"), true);
    await until("the file", async () => (await page.locator(".picture-slot").count()) === 3);
  });
});

test("files that cannot go with a message are named, and text goes in with one click", async () => {
  await withHost(async (page) => {
    await byId(page, "composer").fill("look at this");
    assert.equal(await give(page, "drop", [["notes.py", "", "print(1)\n"], ["report.pdf", "application/pdf", "%PDF\0"], ["big.log", "", "x".repeat(300_000)], ["shot.png", "image/png", "png"]]), true);
    await page.locator(".picture-slot").waitFor();
    const offers = await byId(page, "offer").allInnerTexts();
    assert.equal(offers.length, 3);
    assert.match(offers[0], /^notes\.py is text \(9 bytes\)\./);
    assert.match(offers[1], /^report\.pdf is no text and cannot go with a message\./);
    await page.getByText("Pictures (PNG, JPEG, GIF, WebP) and text files up to 256 KB can go with a message.").waitFor();
    assert.match(offers[2], /^big\.log has 300 KB and cannot go/);
    await byId(page, "offer-take").click();
    assert.equal(await draft(page), "look at this\n\nnotes.py:\n```py\nprint(1)\n```\n");
    await byId(page, "offer-leave").first().click();
    assert.equal(await byId(page, "offer").count(), 1);
  });
});

test("a draft outlives its tab and is the same in two", async () => {
  await withHost(async (page, host, id) => {
    const context = page.context();
    await byId(page, "composer").fill("not sent yet");
    await page.waitForTimeout(400);
    const second = await context.newPage();
    await second.goto(`${host.origin}/#/s/${id}`);
    assert.equal(await byId(second, "composer").inputValue(), "not sent yet");
    await byId(second, "composer").fill("changed there");
    await until("the other tab", async () => (await draft(page)) === "changed there");
    await byId(second, "composer").press("Enter");
    await until("it is sent", async () => (await draft(page)) === "");
    await byId(page, "composer").fill("again");
    await page.close();
    const third = await context.newPage();
    await third.goto(`${host.origin}/#/s/${id}`);
    assert.equal(await byId(third, "composer").inputValue(), "again");
  });
});

test("drafts are gone after signing out, and never another person's", async () => {
  await withHost(async (page, host, id) => {
    const stored = () => page.evaluate(() => Object.keys(localStorage).filter((k) => k.startsWith("oqto.draft.")).length);
    await byId(page, "composer").fill("a secret");
    await until("it is kept", async () => (await stored()) === 1);
    // The sign-in ends without a word, and somebody else comes.
    host.user = { id: 2, username: "bob", role: "user" };
    await page.reload();
    await byId(page, "composer").waitFor();
    assert.equal(await draft(page), "");
    assert.equal(await stored(), 0);
    await byId(page, "composer").fill("bob's");
    await until("it is kept", async () => (await stored()) === 1);
    await byId(page, "account-menu").click();
    await byId(page, "sign-out").click();
    await page.getByText("You are signed out.").waitFor();
    assert.equal(await stored(), 0);
  });
});

test("the limit of a message is known before it is sent", async () => {
  await withHost(async (page, host) => {
    const area = byId(page, "composer");
    await area.fill("x".repeat(1_000));
    assert.equal(await byId(page, "composer-limit").count(), 0);
    await area.fill("x".repeat(1_700));
    assert.equal(await byId(page, "composer-limit").innerText(), "2 KB of the 2 KB that a message may have.");
    await area.fill("ä".repeat(1_500));
    assert.match(await byId(page, "composer-limit").innerText(), /^Too long by 1 KB: a message may have 2 KB\. Send it in parts/);
    assert.ok(await byId(page, "send").isDisabled());
    await area.press("Enter");
    await page.waitForTimeout(200);
    assert.equal(host.sent("prompt").length, 0);
    assert.equal((await draft(page)).length, 1_500);
    await give(page, "paste", [["a.png", "image/png", "1"], ["b.png", "image/png", "2"], ["c.png", "image/png", "3"]]);
    await page.getByText("A message may have 2 pictures.").waitFor();
  }, { connected: { limits: { prompt_bytes: 2_000, images_bytes: 1_000, images: 2 } } });
});

test("being offline is said at once, and nothing that is not known", async () => {
  await withHost(async (page, host, id) => {
    host.emit(id, "agent.working", { phase: "generating" });
    await page.context().setOffline(true);
    const start = Date.now();
    await byId(page, "reconnect-bar").waitFor({ timeout: 3_000 });
    assert.ok(Date.now() - start < 1_000, `${Date.now() - start} ms`);
    assert.equal((await byId(page, "reconnect-bar").innerText()).trim(), "This device is offline. What you send is kept until the connection is back.");
    await page.context().setOffline(false);
    await byId(page, "reconnect-bar").waitFor({ state: "detached", timeout: 5_000 });
    await host.down();
    await byId(page, "reconnect-bar").waitFor();
    assert.match(await byId(page, "reconnect-bar").innerText(), /The host does not answer/);
    assert.doesNotMatch(await byId(page, "reconnect-bar").innerText(), /keeps working/);
    await host.up();
    await byId(page, "reconnect-bar").waitFor({ state: "detached", timeout: 20_000 });
  });
});

test("an address of a session that is not here opens no other", async () => {
  await withHost(async (page, host, id) => {
    const gone = "oqto-00000000-0000-4000-8000-000000000000";
    await page.goto(`${host.origin}/#/s/${gone}`);
    await byId(page, "session-missing").waitFor();
    await page.reload();
    await byId(page, "session-missing").waitFor();
    assert.match(await byId(page, "session-missing").innerText(), /There is no such session here/);
    assert.equal(await byId(page, "composer").count(), 0);
    assert.ok(page.url().endsWith(gone));
    await byId(page, "missing-action").click();
    await byId(page, "composer").waitFor();
    assert.ok(page.url().endsWith(id));
  });
});
