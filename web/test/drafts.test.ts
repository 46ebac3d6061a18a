import assert from "node:assert/strict";
import { test } from "node:test";
import { Drafts } from "../src/state/drafts";
import { bytesNear, readLimits } from "../src/state/limits";
import { appended, fenced } from "../src/views/attach";

class Area {
  map = new Map<string, string>();
  room = Infinity;
  get length() { return this.map.size; }
  key(i: number) { return [...this.map.keys()][i] ?? null; }
  getItem(key: string) { return this.map.get(key) ?? null; }
  removeItem(key: string) { this.map.delete(key); }
  setItem(key: string, value: string) {
    const used = [...this.map].reduce((sum, [k, v]) => sum + (k === key ? 0 : v.length), 0);
    if (used + value.length > this.room) throw new Error("QuotaExceededError");
    this.map.set(key, value);
  }
}
function make(lasting = new Area(), tab = new Area(), owner = "1") {
  const drafts = new Drafts(() => lasting, () => tab);
  drafts.own(owner);
  return { drafts, lasting, tab };
}

test("a draft outlives the page, and is gone once it is sent", () => {
  const { drafts, lasting } = make();
  drafts.set("a", "hello");
  assert.equal(drafts.get("a"), "hello");
  drafts.flush();
  assert.equal(make(lasting).drafts.get("a"), "hello");
  drafts.set("a", "");
  assert.equal(lasting.length, 0);
  assert.equal(make(lasting).drafts.get("a"), "");
});

test("another account sees none of it, and nothing of it is left", () => {
  const { drafts, lasting, tab } = make();
  drafts.set("a", "secret");
  drafts.set("b", "x".repeat(300_000));
  drafts.own("2");
  assert.deepEqual([drafts.get("a"), drafts.get("b"), lasting.length, tab.length], ["", "", 0, 0]);
});

test("signing out leaves nothing", () => {
  const { drafts, lasting } = make();
  lasting.map.set("oqto.theme", "dark");
  drafts.set("a", "x");
  drafts.flush();
  drafts.set("b", "y");
  drafts.clear();
  drafts.flush();
  assert.deepEqual([...lasting.map.keys()], ["oqto.theme"]);
});

test("drafts are bounded in number and in size, the oldest go first", () => {
  const { drafts, lasting } = make();
  for (let i = 0; i < 80; i++) {
    drafts.set(`s${i}`, `draft ${i}`);
    drafts.flush();
  }
  assert.equal(lasting.length, 50);
  assert.equal(drafts.get("s79"), "draft 79");
  for (let i = 0; i < 8; i++) {
    drafts.set(`big${i}`, "x".repeat(200_000));
    drafts.flush();
  }
  assert.ok([...lasting.map.values()].reduce((sum, v) => sum + v.length, 0) <= 1_000_000);
  assert.equal(drafts.get("big7").length, 200_000);
});

test("what is very long stays as long as the tab, and a full storage makes room", () => {
  const { drafts, lasting, tab } = make();
  drafts.set("a", "short");
  drafts.flush();
  drafts.set("a", "x".repeat(500_000));
  drafts.flush();
  assert.deepEqual([lasting.length, tab.length], [0, 1]);
  assert.equal(make(lasting, tab).drafts.get("a").length, 500_000);
  drafts.set("b", "y".repeat(900));
  drafts.flush();
  lasting.room = 1_000;
  drafts.set("c", "z".repeat(900));
  drafts.flush();
  assert.equal(make(lasting).drafts.get("c"), "z".repeat(900));
});

test("another tab's words are told, unless newer ones were written here", () => {
  const a = make();
  const told: string[] = [];
  a.drafts.watch("s", (text) => told.push(text));
  const other = make(a.lasting);
  other.drafts.set("s", "from there");
  other.drafts.flush();
  const key = [...a.lasting.map.keys()][0]!;
  a.drafts.changed(key, a.lasting.getItem(key));
  assert.deepEqual(told, ["from there"]);
  a.drafts.set("s", "from here");
  a.drafts.changed(key, a.lasting.getItem(key));
  a.drafts.changed("oqto.draft.2.s", JSON.stringify({ text: "somebody else's", at: 1 }));
  a.drafts.flush();
  a.drafts.changed(key, null);
  assert.deepEqual(told, ["from there", ""]);
});

test("limits are as the host says, or as they were before it said any", () => {
  assert.deepEqual(readLimits({ prompt_bytes: 100, images: 2, images_bytes: "x" }), { prompt_bytes: 100, images: 2, images_bytes: 10_485_760 });
  assert.equal(readLimits(undefined).prompt_bytes, 1_048_576);
  assert.equal(bytesNear("x".repeat(70), 100), 0);
  assert.equal(bytesNear("x".repeat(90), 100), 90);
  assert.equal(bytesNear("ä".repeat(45), 100), 90);
});

test("a file goes in as a block that its own text cannot end", () => {
  assert.equal(fenced("a.ts", "x\n"), "a.ts:\n```ts\nx\n```\n");
  assert.ok(fenced("a.md", "````\nx").startsWith("a.md:\n`````md\n"));
  assert.equal(appended("look:\n", "B"), "look:\n\nB");
  assert.equal(appended(" ", "B"), "B");
});
