import { useState } from "preact/hooks";
import { plain, plainLines } from "../../audit/safe";
import { toHex } from "../../audit/verify";
import { checkNow, download, finding, forgetSeen, pinKey, pinned, trust, trustOpen, unpin } from "../../state/audit";
import { messageOf } from "../../state/store";
import { Dialog, FormError } from "../../ui/basics";
import { Icon } from "../../ui/icon";
import { utcTime } from "./timeline";

function chip(): { state: string; words: string; short: string } {
  const now = trust.value;
  if (finding.value) return { state: "bad", words: "The log was changed", short: "Changed" };
  switch (now.kind) {
    case "unpinned": return { state: "none", words: "Nothing is verified", short: "Unverified" };
    case "unable": return { state: "none", words: "This browser cannot verify", short: "Unverified" };
    case "checking": return { state: "wait", words: "Checking…", short: "Checking" };
    case "bad": return { state: "bad", words: "Not the pinned key's log", short: "Wrong key" };
    case "good": return { state: "good", words: `${Number(now.checkpoint.size).toLocaleString("en")} entries, signed · checked ${utcTime(now.at).slice(0, 5)} UTC`, short: "Verified" };
  }
}

export function TrustChip() {
  const { state, words, short } = chip();
  return (
    <button type="button" class="trust-chip" data-state={state} data-testid="trust" onClick={() => (trustOpen.value = true)}>
      <Icon name={state === "good" ? "check" : state === "wait" ? "retry" : "warning"} size={14} />
      <span class="trust-long">{words}</span>
      <span class="trust-short" aria-hidden="true">{short}</span>
    </button>
  );
}

const evidence = () => {
  const found = finding.value!;
  return `Two checkpoints of one log that do not fit together, both signed with ${pinned.value?.text ?? "the pinned key"}.\nFound by a browser at ${new Date(found.at).toISOString()}.\n\n----- seen before -----\n${found.seen}\n----- shown then -----\n${found.shown}`;
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
      {now.kind === "bad" && <p class="audit-note bad" role="alert"><Icon name="warning" /> <span>The host's newest checkpoint is not to be believed: {plain(now.why)}. Either this is another log, or the wrong key is pinned.</span></p>}
      {now.kind === "good" && (
        <div class="proof" data-state="good">
          <Icon name="check" />
          <div>
            <p>The host's newest checkpoint is signed with the pinned key, and continues everything that this browser has seen before.</p>
            <p class="audit-root">{Number(now.checkpoint.size).toLocaleString("en")} entries, root <code>{toHex(now.checkpoint.root).slice(0, 24)}…</code></p>
          </div>
        </div>
      )}
      {key ? (
        <div class="field">
          <span class="field-label">Pinned key</span>
          <code class="pinned-key" data-testid="pinned-key">{key.text}</code>
          <div class="trust-actions">
            <button type="button" class="secondary small" onClick={() => void checkNow()}>Check now</button>
            <button type="button" class="secondary small" data-testid="unpin" onClick={unpin}>Unpin</button>
            {(finding.value || now.kind === "good") && <button type="button" class="secondary small" data-testid="forget-seen" onClick={forgetSeen}>Forget what was seen</button>}
          </div>
          <p class="field-hint">This browser keeps the last checkpoint that it believed. Forget it only when the host's owner has told you why the log begins anew.</p>
        </div>
      ) : (
        <form onSubmit={submit}>
          <p><b>Nothing is verified yet.</b> Paste the log's public key, and this browser checks every entry that you open, and that the log only ever grows.</p>
          <div class="field">
            <label for="field-vkey">Public key of the log</label>
            <textarea
              id="field-vkey" rows={3} required spellcheck={false} autocomplete="off" placeholder="oqto.local/audit+1234abcd+AbCd…" data-testid="vkey"
              value={text} onInput={(e) => setText(e.currentTarget.value)}
            />
            <p class="field-hint">
              Do not take it from this page, nor from the network: whoever runs the host has it in the file <code>STATE/audit/key/log.vkey</code>. Have it sent another way, or compare it by voice.
            </p>
          </div>
          <FormError text={error} />
          <button class="primary" data-testid="pin">Pin this key</button>
        </form>
      )}
    </div>
  );
}
