import { useState } from "preact/hooks";
import { plain, plainLines } from "../../audit/safe";
import { toHex } from "../../audit/verify";
import { acceptGap, checkNow, download, forgetSeen, pinKey, unpin } from "../../state/audit";
import { finding, pinned, trust, trustOpen, type Guard, type Trust as Believed } from "../../state/audit_trust";
import { messageOf } from "../../state/store";
import { Dialog, FormError } from "../../ui/basics";
import { Icon } from "../../ui/icon";
import { utcTime } from "./timeline";

export function checkingWords(now: Believed): string {
  if (now.kind !== "checking" || now.percent === undefined) return "Checking…";
  return `Following the seals: ${now.epochs!.toLocaleString("en")} epochs, ${now.percent} %`;
}

function chip(): { state: string; words: string; short: string } {
  const now = trust.value;
  if (finding.value) return { state: "bad", words: "The log was changed", short: "Changed" };
  switch (now.kind) {
    case "unpinned": return { state: "none", words: "Nothing is verified", short: "Unverified" };
    case "unable": return { state: "none", words: "This browser cannot verify", short: "Unverified" };
    case "checking": return { state: "wait", words: checkingWords(now), short: "Checking" };
    case "gap": return { state: "bad", words: "Seals are missing", short: "Missing" };
    case "bad": return { state: "bad", words: "Not to be believed", short: "Refused" };
    case "good": {
      const whole = now.guard && now.guard.since === 0;
      const words = `${Number(now.checkpoint.size).toLocaleString("en")} entries, signed · ${whole ? "checked" : now.guard ? "in part by the log's key alone · checked" : "by the log's key alone · checked"} ${utcTime(now.at).slice(0, 5)} UTC`;
      return { state: whole ? "good" : "part", words, short: whole ? "Verified" : "Partly" };
    }
  }
}

export function TrustChip() {
  const { state, words, short } = chip();
  return (
    <button type="button" class="trust-chip" data-state={state} data-testid="trust" onClick={() => (trustOpen.value = true)}>
      <Icon name={state === "good" || state === "part" ? "check" : state === "wait" ? "retry" : "warning"} size={14} />
      <span class="trust-long">{words}</span>
      <span class="trust-short" aria-hidden="true">{short}</span>
    </button>
  );
}

const evidence = () => {
  const found = finding.value!;
  return `Two checkpoints of one log that do not fit together, both signed with ${pinned.value?.log.text ?? "the pinned key"}.\nFound by a browser at ${new Date(found.at).toISOString()}.\n\n----- seen before -----\n${found.seen}\n----- shown then -----\n${found.shown}`;
};

export function FindingBanner() {
  const found = finding.value!;
  return (
    <section class="finding" role="alert" data-testid="finding" data-kind={found.kind}>
      <Icon name="warning" size={20} />
      <div>
        <h2>{found.kind === "rollback" ? "The log was rolled back" : "The log contradicts itself"}</h2>
        <p>
          {found.kind === "rollback"
            ? "The host shows a smaller log than this browser has seen, both signed with the same key. Entries were taken away."
            : "The host shows a log that does not continue the one that this browser has seen, both signed with the same key. The past was changed."}
          {" "}Keep both notes: together they are the evidence.
        </p>
        <div class="finding-notes">
          <figure><figcaption>Seen before</figcaption><pre tabIndex={0}>{plainLines(found.seen)}</pre></figure>
          <figure><figcaption>Shown now</figcaption><pre tabIndex={0}>{plainLines(found.shown)}</pre></figure>
        </div>
        <button type="button" class="danger-button small" data-testid="finding-download" onClick={() => download("audit-evidence.txt", "text/plain", [evidence()])}>
          <Icon name="down" size={14} /> Download the evidence
        </button>
      </div>
    </section>
  );
}

export function TrustDialog() {
  if (!trustOpen.value) return null;
  return <Dialog title="What can be believed" close={() => (trustOpen.value = false)} class="trust-dialog"><Trust /></Dialog>;
}

// What protects the past, in words that nobody overlooks.
function GuardNote({ guard }: { guard: Guard | null }) {
  if (guard && guard.since === 0) {
    return <p class="audit-root" data-testid="guard">Every seal from epoch 0 to epoch {guard.epoch.toLocaleString("en")} was followed: keys that are stolen today cannot have changed what earlier epochs sealed.</p>;
  }
  return (
    <p class="audit-note warn" role="note" data-testid="guard"><Icon name="warning" /> <span>
      {guard
        ? `Before entry ${guard.since.toLocaleString("en")} the past is protected by the log's key alone: the seals of its epochs are not there. From that entry on every seal was followed, to epoch ${guard.epoch.toLocaleString("en")}.`
        : "The past is protected by the log's key alone: whoever steals it could write another one. Pin both lines of log.vkey, and this browser follows the seals of all epochs."}
    </span></p>
  );
}

function Trust() {
  const now = trust.value;
  const key = pinned.value;
  const [text, setText] = useState("");
  const [error, setError] = useState("");
  const submit = async (event: Event) => {
    event.preventDefault();
    setError("");
    try {
      await pinKey(text);
      setText("");
    } catch (failure) {
      setError(messageOf(failure));
    }
  };
  return (
    <div class="trust" data-testid="trust-dialog">
      {now.kind === "unable" && <p class="audit-note bad"><Icon name="warning" /> <span>This browser has no Ed25519 in WebCrypto. A newer one has, or check a copy with <code>oqto-audit verify</code>.</span></p>}
      {now.kind === "bad" && <p class="audit-note bad" role="alert"><Icon name="warning" /> <span>What the host shows is not to be believed. {plain(now.why)}</span></p>}
      {now.kind === "gap" && (
        <div class="proof" data-state="bad" role="alert" data-testid="gap">
          <Icon name="warning" />
          <div>
            <p><b>Nothing is believed now.</b> {now.why}</p>
            <p>Ask the host's owner before you go on. What is before entry {now.index.toLocaleString("en")} is then protected by the log's key alone.</p>
            <button type="button" class="danger-button small" data-testid="accept-gap" onClick={acceptGap}>Go on without these seals</button>
          </div>
        </div>
      )}
      {now.kind === "good" && (
        <div class="proof" data-state="good">
          <Icon name="check" />
          <div>
            <p>The host's newest checkpoint is signed with the pinned key, and continues everything that this browser has seen before.</p>
            <p class="audit-root">{Number(now.checkpoint.size).toLocaleString("en")} entries, root <code>{toHex(now.checkpoint.root).slice(0, 24)}…</code></p>
          </div>
        </div>
      )}
      {now.kind === "checking" && now.percent !== undefined && <p class="audit-note" role="status"><span class="spinner" aria-hidden="true" /> <span>{checkingWords(now)}. What is done is kept, also when you leave.</span></p>}
      {now.kind === "good" && <GuardNote guard={now.guard} />}
      {key ? (
        <div class="field">
          <span class="field-label">{key.first ? "Pinned keys: the log's, and epoch 0's" : "Pinned key of the log"}</span>
          <code class="pinned-key" data-testid="pinned-key">{key.text}</code>
          <div class="trust-actions">
            <button type="button" class="secondary small" onClick={() => void checkNow()}>Check now</button>
            <button type="button" class="secondary small" data-testid="unpin" onClick={unpin}>Unpin</button>
            {(finding.value || now.kind === "good" || now.kind === "bad") && <button type="button" class="secondary small" data-testid="forget-seen" onClick={forgetSeen}>Forget what was seen</button>}
          </div>
          <p class="field-hint">This browser keeps the last checkpoint that it believed, and how far it followed the seals. Forget it only when the host's owner has told you why the log begins anew.</p>
        </div>
      ) : (
        <form onSubmit={submit}>
          <p><b>Nothing is verified yet.</b> Paste the log's public keys, and this browser checks every entry that you open, that the log only ever grows, and every epoch's seal.</p>
          <div class="field">
            <label for="field-vkey">Both lines of log.vkey</label>
            <textarea
              id="field-vkey" rows={5} required spellcheck={false} autocomplete="off" placeholder={"host1/audit/5f3a9c0e1b2d4f60+1234abcd+AbCd…\nhost1/audit/5f3a9c0e1b2d4f60/epoch/0+5678ef01+EfGh…"} data-testid="vkey"
              value={text} onInput={(e) => setText(e.currentTarget.value)}
            />
            <p class="field-hint">
              Do not take them from this page, nor from the network: whoever runs the host has them in the file <code>STATE/audit/key/log.vkey</code>. Have it sent another way, or compare it by voice. With the first line alone the past is protected by the log's key alone.
            </p>
          </div>
          <FormError text={error} />
          <button class="primary" data-testid="pin">Pin</button>
        </form>
      )}
    </div>
  );
}
