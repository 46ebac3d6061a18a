import { useEffect, useRef } from "preact/hooks";
import { act, who, type Entry } from "../../audit/entry";
import { plain } from "../../audit/safe";
import { failure, filterCount, loading, loadOlder, older, openEntry, openIndex, refresh, rows, unknown } from "../../state/audit";
import { anyOpen } from "../../state/layers";
import { Skeleton } from "../../ui/basics";
import { Icon, type IconName } from "../../ui/icon";

const MAX_SHOWN = 220;

export const utcTime = (ms: number) => new Date(ms).toISOString().slice(11, 19);
export const utcDay = (ms: number) =>
  new Date(ms).toLocaleDateString("en-GB", { timeZone: "UTC", weekday: "long", day: "numeric", month: "long", year: "numeric" });

const ICONS: Record<string, IconName> = {
  command: "user", exec: "terminal", "tool.call": "tool", "model.call": "spark", denial: "shield", approval: "shield", violation: "warning",
  "audit.read": "eye", network: "right", "recording.chunk": "terminal",
};
const iconOf = (event: string): IconName => ICONS[event] ?? (/^(login|logout|account|invite|setup)/.test(event) ? "user" : /^session/.test(event) ? "command" : "file");

export function cut(text: string, max = MAX_SHOWN): string {
  return text.length > max ? `${text.slice(0, max)}…` : text;
}

function Line({ entry }: { entry: Entry }) {
  const { verb, object } = act(entry);
  const bad = entry.outcome === "failure" || entry.event === "violation";
  const outcome = entry.phase === "outcome";
  return (
    <li>
      <button
        type="button" class={`audit-row ${outcome ? "outcome" : ""}`} data-index={entry.index} data-testid="audit-row" data-event={plain(entry.event)}
        aria-current={openIndex.value === entry.index ? "true" : undefined} onClick={() => void openEntry(entry.index)}
      >
        <time class="audit-time" dateTime={new Date(entry.time).toISOString()}>{utcTime(entry.time)}</time>
        <span class={`audit-icon ${bad ? "bad" : ""}`}><Icon name={bad ? "warning" : outcome ? "check" : iconOf(entry.event)} size={14} /></span>
        <span class="audit-who">{cut(who(entry), 40)}</span>
        <span class="audit-what">
          <b>{outcome ? `${bad ? "failed" : "done"}` : cut(plain(verb), 60)}</b>{" "}
          {outcome && entry.intent !== null && <span class="audit-object">what #{entry.intent} began {cut(plain(object), 80)}</span>}
          {!outcome && <span class="audit-object">{entry.sealed ? `(${entry.sealed})` : cut(plain(object))}</span>}
        </span>
        {bad && <span class="audit-bad">failure</span>}
        <span class="audit-index">#{entry.index}</span>
      </button>
    </li>
  );
}

// The arrow keys (or j and k) walk through the lines; Enter opens; / goes to the search.
function useKeys(): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (anyOpen() && target.closest("dialog, .popover")) return;
      if (event.ctrlKey || event.metaKey || event.altKey || target.matches("input, select, textarea")) return;
      if (event.key === "/") {
        event.preventDefault();
        document.querySelector<HTMLInputElement>("[data-testid=filter-text]")?.focus();
        return;
      }
      const step = event.key === "ArrowDown" || event.key === "j" ? 1 : event.key === "ArrowUp" || event.key === "k" ? -1 : 0;
      if (step === 0 || target.closest(".audit-detail")) return;
      const lines = [...document.querySelectorAll<HTMLElement>(".audit-row")];
      const at = lines.indexOf(document.activeElement as HTMLElement);
      const next = lines[at < 0 ? 0 : at + step];
      if (!next) return;
      event.preventDefault();
      next.focus();
      next.scrollIntoView({ block: "nearest" });
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

export function Timeline() {
  useKeys();
  const end = useRef<HTMLDivElement>(null);
  const list = rows.value;
  useEffect(() => {
    const seen = new IntersectionObserver((marks) => {
      if (marks.some((m) => m.isIntersecting) && !loading.value && older.value !== null && rows.value.length > 0) void loadOlder();
    });
    if (end.current) seen.observe(end.current);
    return () => seen.disconnect();
  }, [list.length]);
  let day = "";
  return (
    <div class="audit-list" data-testid="audit-list" aria-busy={loading.value}>
      {failure.value && (
        <div class="audit-note bad" role="alert" data-testid="audit-failure">
          <Icon name="warning" /> <span>{failure.value}</span>
          <button type="button" class="secondary small" onClick={() => void refresh()}>Try again</button>
        </div>
      )}
      <ol>
        {list.map((entry) => {
          const today = utcDay(entry.time);
          const head = today === day ? null : <li key={`d${entry.index}`} class="audit-day"><span>{today}</span><small>UTC</small></li>;
          day = today;
          return [head, <Line key={entry.index} entry={entry} />];
        })}
      </ol>
      {loading.value && <Skeleton lines={list.length > 0 ? 2 : 8} />}
      {!loading.value && !failure.value && list.length === 0 && older.value === null && (
        <div class="nothing">
          <h2>{filterCount.value > 0 ? "No entry fits" : "Nothing is recorded yet"}</h2>
          {unknown.value.map((sentence) => <p key={sentence} data-testid="audit-unknown">{plain(sentence)}.</p>)}
          <p>{filterCount.value > 0 ? "Fewer filters show more. Words match beginnings of words." : "Everything that people command will stand here."}</p>
        </div>
      )}
      {!loading.value && older.value !== null && (
        <button type="button" class="secondary audit-more" data-testid="audit-more" onClick={() => void loadOlder()}>
          {list.length > 0 ? "Older entries" : `Nothing down to #${older.value} · look further`}
        </button>
      )}
      {!loading.value && older.value === null && list.length > 0 && <p class="audit-end">{filterCount.value > 0 ? "That is all that fits." : "The log begins here."}</p>}
      <div ref={end} />
    </div>
  );
}
