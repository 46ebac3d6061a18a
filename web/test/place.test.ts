// The auditor's address: what it holds comes back, and what anybody wrote there does no harm.
import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_FILTER, placeOf, readPlace } from "../src/audit/place";

test("what is looked at stands in the address and comes back from it", () => {
  const filter = { ...NO_FILTER, text: "a b&c=#d", groups: [0, 5], actor: "ann", tenant: "7", session: "oqto-e0a6", outcome: "failure" as const,
    since: "between" as const, from: "2026-01-31T12:00", to: "2026-02-01T12:00", reads: true, intent: 12 };
  assert.deepEqual(readPlace(placeOf("list", filter, 42)), { view: "list", filter, entry: 42 });
  assert.deepEqual(readPlace(placeOf("story", NO_FILTER, null)), { view: "story", filter: NO_FILTER, entry: null });
});

test("an address that somebody made up asks for nothing that there is not", () => {
  const odd = readPlace("#view=x&events=9,99,-1,a&outcome=maybe&since=forever&from=yesterday&intent=1e9&entry=-3&text=" + "x".repeat(9999));
  assert.equal(odd.view, "story");
  assert.deepEqual(odd.filter.groups, [9]);
  assert.deepEqual([odd.filter.outcome, odd.filter.since, odd.filter.from, odd.filter.intent, odd.entry], ["", "", "", null, null]);
  assert.equal(odd.filter.text.length, 256);
});
