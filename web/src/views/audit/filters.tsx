import { useEffect, useState } from "preact/hooks";
import { EVENT_GROUPS } from "../../audit/entry";
import type { View } from "../../audit/place";
import { plain } from "../../audit/safe";
import { filter, filterCount, filtersOpen, NO_FILTER, search, type Filter } from "../../state/audit";
import { view } from "../../state/audit_place";
import { startStories } from "../../state/audit_story";
import { IconButton } from "../../ui/basics";
import { Icon } from "../../ui/icon";
import { ExportButton } from "./export";
import { Subjects } from "./subjects";

// Both views show what the filters ask for; only the one that is seen asks the host.
export function apply(change: Partial<Filter>): void {
  filter.value = { ...filter.value, ...change };
  show();
}

export function show(): void {
  if (view.value === "story") void startStories();
  else search(filter.value, EVENT_GROUPS);
}

export function go(to: View): void {
  view.value = to;
  show();
}

// A story is about one session or about one person.
function changeOf(name: "text" | "actor" | "tenant" | "session", text: string): Partial<Filter> {
  if (view.value === "story" && name === "session") return { session: text, tenant: "" };
  if (view.value === "story" && name === "tenant") return { tenant: text, session: "" };
  return { [name]: text };
}

function Words(props: { name: keyof Filter & ("text" | "actor" | "tenant" | "session"); label: string; hint: string }) {
  const now = filter.value[props.name];
  const [text, setText] = useState(now);
  useEffect(() => setText(now), [now]);
  return (
    <label class="audit-field">
      <span>{props.label}</span>
      <input
        type="search" value={text} placeholder={props.hint} autocomplete="off" spellcheck={false} maxLength={props.name === "text" ? 256 : 64}
        data-testid={`filter-${props.name}`} onInput={(e) => setText(e.currentTarget.value)} onChange={() => text !== now && apply(changeOf(props.name, text))}
      />
    </label>
  );
}

function When() {
  const f = filter.value;
  return (
    <>
      <label class="audit-field">
        <span>When</span>
        <select value={f.since} data-testid="filter-since" onChange={(e) => apply({ since: e.currentTarget.value as Filter["since"] })}>
          <option value="">any time</option>
          <option value="1h">last hour</option>
          <option value="24h">last 24 hours</option>
          <option value="7d">last 7 days</option>
          <option value="between">between…</option>
        </select>
      </label>
      {f.since === "between" && (
        <div class="audit-between">
          <label class="audit-field"><span>From (UTC)</span><input type="datetime-local" value={f.from} onChange={(e) => apply({ from: e.currentTarget.value })} /></label>
          <label class="audit-field"><span>To (UTC)</span><input type="datetime-local" value={f.to} onChange={(e) => apply({ to: e.currentTarget.value })} /></label>
        </div>
      )}
    </>
  );
}

function ListFields() {
  const f = filter.value;
  const toggle = (group: number) => apply({ groups: f.groups.includes(group) ? f.groups.filter((g) => g !== group) : [...f.groups, group] });
  return (
    <>
      <Words name="text" label="Text" hint="hello.txt" />
      <fieldset class="audit-field">
        <legend>What happened</legend>
        <div class="audit-groups">
          {EVENT_GROUPS.map((group, i) => (
            <button key={group.label} type="button" class="chip" aria-pressed={f.groups.includes(i)} data-testid={`group-${i}`} onClick={() => toggle(i)}>{group.label}</button>
          ))}
        </div>
      </fieldset>
      <div class="audit-pair">
        <Words name="actor" label="Who acted" hint="name" />
        <Words name="tenant" label="Account" hint="name, no." />
      </div>
      <Words name="session" label="Session" hint="the beginning of its id" />
      <label class="audit-field">
        <span>Outcome</span>
        <select value={f.outcome} data-testid="filter-outcome" onChange={(e) => apply({ outcome: e.currentTarget.value as Filter["outcome"] })}>
          <option value="">any</option>
          <option value="success">success</option>
          <option value="failure">failure</option>
        </select>
      </label>
      <When />
      <label class="audit-check">
        <input type="checkbox" checked={f.reads} data-testid="filter-reads" onChange={(e) => apply({ reads: e.currentTarget.checked })} />
        <span>Show who read the log</span>
      </label>
    </>
  );
}

function StoryFields() {
  return (
    <>
      <Words name="session" label="Session" hint="the beginning of its id" />
      <Words name="tenant" label="Person" hint="name, or account no." />
      <When />
      <Subjects />
    </>
  );
}

export function ViewSwitch() {
  return (
    <div class="audit-views" role="group" aria-label="View">
      <button type="button" aria-pressed={view.value === "story"} data-testid="view-story" onClick={() => go("story")}>Story</button>
      <button type="button" aria-pressed={view.value === "list"} data-testid="view-list" onClick={() => go("list")}>Every entry</button>
    </div>
  );
}

export function Filters() {
  const story = view.value === "story";
  return (
    <aside class={`audit-filters ${filtersOpen.value ? "open" : ""}`} aria-label="Filters">
      <form onSubmit={(e) => { e.preventDefault(); (document.activeElement as HTMLElement | null)?.blur(); filtersOpen.value = false; }}>
        <div class="audit-filters-head">
          <h2>{story ? "Whose story" : "Filters"}</h2>
          <IconButton class="audit-filter-button" icon="close" label="Close" onClick={() => (filtersOpen.value = false)} />
        </div>
        {story ? <StoryFields /> : <ListFields />}
        <button type="submit" class="sr">Search</button>
      </form>
      <div class="audit-filters-foot">
        {!story && <ExportButton />}
        <p>What is shown is the host's word; an entry that you open is proven. Whatever you search, open or export is recorded in the log.</p>
      </div>
    </aside>
  );
}

export function FilterSummary() {
  const f = filter.value;
  if (filterCount.value === 0) return null;
  const said = [
    f.text && `“${plain(f.text)}”`, ...f.groups.map((g) => EVENT_GROUPS[g]?.label.toLowerCase()), f.actor && `by ${plain(f.actor)}`, f.tenant && `account ${plain(f.tenant)}`,
    f.session && `session ${plain(f.session.slice(0, 8))}`, f.outcome, f.intent !== null && `what came of #${f.intent}`,
    f.since && (f.since === "between" ? "a span of time" : `the last ${{ "1h": "hour", "24h": "24 hours", "7d": "7 days" }[f.since]}`),
  ].filter(Boolean);
  return (
    <p class="audit-summary" data-testid="filter-summary">
      <Icon name="search" size={14} />
      <span>Only {said.join(", ")}</span>
      <button type="button" class="link-button" data-testid="filter-clear" onClick={() => apply({ ...NO_FILTER, reads: f.reads })}>Show everything</button>
    </p>
  );
}
