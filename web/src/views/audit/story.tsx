// The story of one session or one person: what was asked, and beneath it what the machine then did.
import { plain } from "../../audit/safe";
import { filter, openEntry, openIndex } from "../../state/audit";
import { earlier, isAbout, onlyBad, parts, subjects, tell, tellEarlier, telling, totals, unknown, untold, withMinor, type Scene, type Totals } from "../../state/audit_story";
import { Skeleton } from "../../ui/basics";
import { Icon, type IconName } from "../../ui/icon";
import { cut, utcDay, utcTime } from "./timeline";

const ICONS: Record<string, IconName> = {
  prompt: "user", command: "user", tool: "tool", program: "terminal", model: "spark", file: "file", network: "right", denial: "shield", question: "shield",
  session: "command", folded: "retry", violation: "warning", foreign: "warning", unreadable: "warning", reading: "eye",
};
const MARKS: Partial<Record<Scene["mark"], string>> = { failed: "failed", refused: "refused", open: "unfinished" };

const isBad = (scene: Scene): boolean => scene.mark === "failed" || scene.mark === "refused";
const hasBad = (scene: Scene): boolean => isBad(scene) || scene.within.some(hasBad);

export function lasted(ms: number): string {
  if (ms < 1000) return `${ms} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.floor((ms % 60_000) / 1000)} s`;
}

const all = (scenes: Scene[]): number => scenes.reduce((sum, one) => sum + 1 + all(one.within), 0);

function beneath(scene: Scene): string {
  const count = all(scene.within);
  const bad = scene.within.reduce((sum, one) => sum + badIn(one), 0);
  return `${count} ${count === 1 ? "step" : "steps"}${bad > 0 ? `, ${bad} failed or refused` : ""}`;
}
const badIn = (scene: Scene): number => (isBad(scene) ? 1 : 0) + scene.within.reduce((sum, one) => sum + badIn(one), 0);

function Line({ scene }: { scene: Scene }) {
  const word = MARKS[scene.mark];
  const end = [scene.result && plain(scene.result), scene.duration_ms !== undefined && lasted(scene.duration_ms)].filter(Boolean).join(" · ");
  return (
    <button
      type="button" class="story-line" data-testid="scene" data-kind={scene.kind} data-mark={scene.mark} data-index={scene.index}
      aria-current={scene.entries.includes(openIndex.value ?? -1) ? "true" : undefined} onClick={() => void openEntry(scene.index)}
    >
      <time class="audit-time" dateTime={new Date(scene.time).toISOString()}>{utcTime(scene.time)}</time>
      <span class={`audit-icon ${isBad(scene) ? "bad" : ""}`}><Icon name={scene.mark === "failed" ? "warning" : ICONS[scene.kind] ?? "file"} size={14} /></span>
      <span class="story-what">
        <span class="story-sentence">{cut(plain(scene.sentence), 500)}</span>
        {end && <span class="story-end"> {end}</span>}
        {word && <b class="story-mark"> {word}</b>}
      </span>
      <span class="audit-index">#{scene.index}</span>
    </button>
  );
}

// A prompt lies open; what ran in a tool call is one click away, unless something went wrong in it.
function SceneItem({ scene }: { scene: Scene }) {
  if (onlyBad.value && !hasBad(scene)) return null;
  const open = scene.kind === "prompt" || onlyBad.value || scene.within.some(hasBad);
  return (
    <li class={`story-scene kind-${scene.kind}`}>
      <Line scene={scene} />
      {scene.within.length > 0 && (
        <details open={open}>
          <summary data-testid="scene-steps">{beneath(scene)}</summary>
          <ol>{scene.within.map((one) => <SceneItem key={one.index} scene={one} />)}</ol>
        </details>
      )}
    </li>
  );
}

function count(n: number, one: string, many: string): string | false {
  return n > 0 && `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

function said(t: Totals): string {
  const parts = [
    count(t.prompts, "prompt", "prompts"), count(t.tools, "tool call", "tool calls"), count(t.programs, "program", "programs"),
    count(t.files, "file record", "file records"), count(t.connections, "connection", "connections"),
    t.models > 0 && `${count(t.models, "model call", "model calls")} (${t.tokens_in.toLocaleString("en")} tokens in, ${t.tokens_out.toLocaleString("en")} out${t.cost_nanos > 0 ? `, cost ${(t.cost_nanos / 1e9).toFixed(4)}` : ""})`,
  ].filter(Boolean);
  return parts.length > 0 ? parts.join(", ") : "Nothing that anybody asked for";
}

// Whose story it is, in words rather than in an id.
function title(): string {
  const { session, tenant } = filter.value;
  if (!session) return `What ${plain(tenant)} did`;
  const id = session.replace(/^oqto-/, "");
  const known = subjects.value?.sessions.find((one) => one.session.startsWith(id));
  return known ? `A session of ${plain(known.name || `account ${known.account}`)}, ${utcDay(known.time)}` : `Session ${plain(id)}`;
}

function Summary() {
  const t = totals.value;
  if (!t) return null;
  const bad = t.failed + t.refused;
  return (
    <div class="story-summary" data-testid="story-summary">
      <h2>{title()}</h2>
      <p>{said(t)}.</p>
      <div class="story-switches">
        {bad > 0 ? (
          <label class="audit-check"><input type="checkbox" checked={onlyBad.value} data-testid="story-bad" onChange={(e) => (onlyBad.value = e.currentTarget.checked)} />
            <span><b class="story-mark">{[count(t.failed, "failure", "failures"), count(t.refused, "refusal", "refusals")].filter(Boolean).join(", ")}</b>: only these</span></label>
        ) : <span>Nothing failed, nothing was refused.</span>}
        <label class="audit-check"><input type="checkbox" checked={withMinor.value} data-testid="story-minor" onChange={(e) => { withMinor.value = e.currentTarget.checked; void tell(); }} />
          <span>Also what pages and the host do by themselves</span></label>
      </div>
    </div>
  );
}

function Nothing() {
  if (!isAbout.value && !subjects.value) return null;
  if (!isAbout.value) return <div class="nothing"><h2>No session yet</h2><p>When somebody begins one, its story stands here.</p></div>;
  return (
    <div class="nothing" data-testid="story-nothing">
      <h2>Nothing found</h2>
      {unknown.value.map((sentence) => <p key={sentence}>{plain(sentence)}.</p>)}
      {unknown.value.length === 0 && <p>The log has no entry about this in this time.</p>}
    </div>
  );
}

export function Story() {
  const told = parts.value;
  const scenes = told.flatMap((part) => part.scenes);
  let day = "";
  return (
    <div class="audit-list story" data-testid="story" aria-busy={telling.value}>
      {untold.value && (
        <div class="audit-note bad" role="alert"><Icon name="warning" /> <span>{untold.value}</span>
          <button type="button" class="secondary small" onClick={() => void tell()}>Try again</button></div>
      )}
      {scenes.length > 0 && <Summary />}
      {earlier.value !== null && <button type="button" class="secondary audit-more" data-testid="story-earlier" disabled={telling.value} onClick={() => void tellEarlier()}>What was before</button>}
      <ol>
        {scenes.map((scene, at) => {
          const today = utcDay(scene.time);
          const head = today === day ? null : <li key={`d${at}`} class="audit-day"><span>{today}</span><small>UTC</small></li>;
          day = today;
          return [head, <SceneItem key={`${scene.index}${scene.kind}`} scene={scene} />];
        })}
      </ol>
      {telling.value && <Skeleton lines={scenes.length > 0 ? 2 : 8} />}
      {!telling.value && !untold.value && scenes.length === 0 && <Nothing />}
    </div>
  );
}
