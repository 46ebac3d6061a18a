import { useEffect, useState } from "preact/hooks";
import { EVENT_GROUPS } from "../../audit/entry";
import { plain } from "../../audit/safe";
import { filter, filterCount, filtersOpen, NO_FILTER, search, type Filter } from "../../state/audit";
import { IconButton } from "../../ui/basics";
import { Icon } from "../../ui/icon";
import { ExportButton } from "./export";

export const apply = (change: Partial<Filter>) => search({ ...filter.value, ...change }, EVENT_GROUPS);

function Words(props: { name: keyof Filter & ("text" | "actor" | "tenant" | "session"); label: string; hint: string }) {
  const now = filter.value[props.name];
  const [text, setText] = useState(now);
  useEffect(() => setText(now), [now]);
  return (
    <label class="audit-field">
      <span>{props.label}</span>
      <input
        type="search" value={text} placeholder={props.hint} autocomplete="off" spellcheck={false} maxLength={props.name === "text" ? 256 : 64}
        data-testid={`filter-${props.name}`} onInput={(e) => setText(e.currentTarget.value)} onChange={() => text !== now && apply({ [props.name]: text })}
      />
    </label>
  );
}

export function Filters() {
  const f = filter.value;
  const toggle = (group: number) => apply({ groups: f.groups.includes(group) ? f.groups.filter((g) => g !== group) : [...f.groups, group] });
  return (
    <aside class={`audit-filters ${filtersOpen.value ? "open" : ""}`} aria-label="Filters">
      <form onSubmit={(e) => { e.preventDefault(); (document.activeElement as HTMLElement | null)?.blur(); filtersOpen.value = false; }}>
        <div class="audit-filters-head">
          <h2>Filters</h2>
          <IconButton class="audit-filter-button" icon="close" label="Close" onClick={() => (filtersOpen.value = false)} />
        </div>
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
        <div class="audit-pair">
          <label class="audit-field">
            <span>Outcome</span>
            <select value={f.outcome} data-testid="filter-outcome" onChange={(e) => apply({ outcome: e.currentTarget.value as Filter["outcome"] })}>
              <option value="">any</option>
              <option value="success">success</option>
              <option value="failure">failure</option>
            </select>
          </label>
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
        </div>
        {f.since === "between" && (
          <div class="audit-between">
            <label class="audit-field"><span>From (UTC)</span><input type="datetime-local" value={f.from} onChange={(e) => apply({ from: e.currentTarget.value })} /></label>
            <label class="audit-field"><span>To (UTC)</span><input type="datetime-local" value={f.to} onChange={(e) => apply({ to: e.currentTarget.value })} /></label>
          </div>
        )}
        <label class="audit-check">
          <input type="checkbox" checked={f.reads} data-testid="filter-reads" onChange={(e) => apply({ reads: e.currentTarget.checked })} />
          <span>Show who read the log</span>
        </label>
        <button type="submit" class="sr">Search</button>
      </form>
      <div class="audit-filters-foot">
        <ExportButton />
        <p>The list is the host's word; an entry that you open is proven. Whatever you search, open or export is recorded in the log.</p>
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
      <button type="button" class="link-button" data-testid="filter-clear" onClick={() => search({ ...NO_FILTER, reads: f.reads }, EVENT_GROUPS)}>Show everything</button>
    </p>
  );
}
