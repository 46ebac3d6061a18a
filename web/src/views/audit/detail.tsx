import { act, className, sessionOf, valueText, who } from "../../audit/entry";
import { plain, plainLines } from "../../audit/safe";
import { toHex } from "../../audit/verify";
import { closeEntry, openEntry, opened, openIndex, type Opened, type Proof } from "../../state/audit";
import { view } from "../../state/audit_place";
import { trust, trustOpen, type Guard } from "../../state/audit_trust";
import { useLayer } from "../../state/layers";
import { CopyButton, IconButton, Skeleton } from "../../ui/basics";
import { Icon } from "../../ui/icon";
import { apply } from "./filters";
import { Player } from "./player";
import { cut, utcDay, utcTime } from "./timeline";
import { checkingWords } from "./trust";

export function Detail() {
  const index = openIndex.value;
  useLayer(index !== null, closeEntry);
  if (index === null) return null;
  return (
    <section class="audit-detail" aria-label={`Entry ${index}`} data-testid="audit-detail">
      <header class="audit-detail-head">
        <h2>Entry {index.toLocaleString("en")}</h2>
        <IconButton icon="close" label="Close" testid="detail-close" onClick={closeEntry} />
      </header>
      {opened.value ? <Shown shown={opened.value} /> : <Skeleton lines={6} />}
    </section>
  );
}

function Shown({ shown }: { shown: Opened }) {
  const { entry, proof } = shown;
  const { verb, object } = act(entry);
  const session = sessionOf(entry);
  return (
    <div class="audit-detail-body">
      <p class="audit-sentence"><b>{plain(who(entry))}</b> {entry.phase === "outcome" ? "finished" : plain(verb)} <span class="mono">{cut(plain(object), 400)}</span></p>
      <p class="audit-when">{utcDay(entry.time)}, {utcTime(entry.time)} UTC</p>
      <ProofCard proof={proof} index={entry.index} />
      <dl class="audit-facts">
        <dt>Event</dt><dd>{plain(entry.event)} · {plain(entry.phase)}{entry.outcome !== "unknown" && ` · ${plain(entry.outcome)}`}</dd>
        <dt>OCSF class</dt><dd>{entry.classUid} {className(entry.classUid)}, activity {entry.activityId}</dd>
        {Object.entries(entry.actor).map(([key, value]) => <Fact key={`a${key}`} name={`actor ${key}`} value={value} />)}
        {Object.entries(entry.fields).map(([key, value]) => <Fact key={`f${key}`} name={key} value={value} />)}
        {Object.entries(entry.personal).map(([key, value]) => <Fact key={`p${key}`} name={key} value={value} sealed />)}
      </dl>
      <Sealed shown={shown} />
      <div class="audit-links">
        {session && <button type="button" class="secondary small" data-testid="only-session" onClick={() => apply({ session, tenant: "" })}>Only this session</button>}
        {entry.intent !== null && <button type="button" class="secondary small" data-testid="goto-intent" onClick={() => void openEntry(entry.intent!)}>What began it: #{entry.intent}</button>}
        {entry.phase === "intent" && <button type="button" class="secondary small" data-testid="goto-outcome" onClick={() => { view.value = "list"; apply({ intent: entry.index }); }}>What came of it</button>}
      </div>
      {entry.event === "recording.chunk" && <Player key={entry.index} entry={entry} />}
      <details class="audit-raw">
        <summary>The entry's own bytes</summary>
        <CopyButton text={() => entry.raw} />
        <pre tabIndex={0} data-testid="raw-json">{plainLines(entry.raw)}</pre>
      </details>
    </div>
  );
}

function Fact({ name, value, sealed }: { name: string; value: unknown; sealed?: boolean }) {
  return (
    <>
      <dt>{plain(name.replaceAll("_", " "))}{sealed && <span class="sealed-mark" title="Encrypted in the log with a key of this account and day"> <Icon name="shield" size={12} /><span class="sr">sealed</span></span>}</dt>
      <dd class="mono" data-field={plain(name)}>{plainLines(valueText(value))}</dd>
    </>
  );
}

function Sealed({ shown }: { shown: Opened }) {
  const { entry, committed } = shown;
  if (!committed) return <p class="audit-note bad" role="alert"><Icon name="warning" /> <span>The host shows something else than what this entry commits to. Do not believe the fields with a shield.</span></p>;
  if (entry.sealed === "erased") return <p class="audit-note"><Icon name="shield" /> <span>The personal part was erased: its key was destroyed. The entry and its proof stay.</span></p>;
  if (entry.sealed === "sealed") return <p class="audit-note"><Icon name="shield" /> <span>The personal part is sealed, and its key is not on this host.</span></p>;
  return null;
}

// Who could have made up this entry: said with every proof.
function guardWords(guard: Guard | null, index: number): string {
  if (!guard) return "Only the log's key stands behind it: whoever stole that key could have written another past. Pin both lines of log.vkey to be safe from that.";
  if (index < guard.since) return `It is older than entry ${guard.since.toLocaleString("en")}, where the seals that are left begin: only the log's key stands behind it.`;
  return "Its epoch's key signed as well. That key exists no more once the epoch has ended, so that nobody can write this past again.";
}

function ProofCard({ proof, index }: { proof: Proof; index: number }) {
  switch (proof.kind) {
    case "checking":
      return <p class="proof" data-state="wait" data-testid="proof"><span class="spinner" aria-hidden="true" /> <span>{checkingWords(trust.value)}</span></p>;
    case "pending":
      return <p class="proof" data-state="wait" data-testid="proof"><span class="spinner" aria-hidden="true" /> <span>Recorded. The next signed checkpoint will cover it in a moment.</span></p>;
    case "unpinned":
      return (
        <div class="proof" data-state="none" data-testid="proof">
          <Icon name="warning" />
          <div>
            <p><b>Not verified.</b> This browser has no key of the log, so it believes the host.</p>
            <button type="button" class="link-button" onClick={() => (trustOpen.value = true)}>Pin the log's public key</button>
          </div>
        </div>
      );
    case "bad":
      return <div class="proof" data-state="bad" data-testid="proof" role="alert"><Icon name="warning" /><p><b>The proof fails.</b> {plain(proof.why)}</p></div>;
    case "good":
      return (
        <div class="proof" data-state="good" data-testid="proof">
          <Icon name="check" />
          <div>
            <p><b>Proven.</b> Entry {index.toLocaleString("en")} is in the signed tree of {Number(proof.checkpoint.size).toLocaleString("en")} entries. Checked here, in your browser.</p>
            <p class="audit-root" data-testid="proof-guard">{guardWords(proof.guard, index)}</p>
            <p class="audit-root">root <code>{toHex(proof.checkpoint.root).slice(0, 16)}…</code></p>
          </div>
        </div>
      );
  }
}
