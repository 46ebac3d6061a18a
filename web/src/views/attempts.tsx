// Tries of an answer that failed, folded into one line of it.

import { useState } from "preact/hooks";
import type { Attempt } from "../protocol/types";
import { readableFailure } from "../state/failure";
import { Icon } from "../ui/icon";
import { proseText } from "../ui/markdown/bidi";

const MOST_WORDS = 120;

function short(text: string): string {
  const line = readableFailure(text).split("\n", 1)[0]!;
  return line.length > MOST_WORDS ? `${line.slice(0, MOST_WORDS).trimEnd()}…` : line;
}

export function Attempts({ attempts }: { attempts: Attempt[] }) {
  const [open, setOpen] = useState(false);
  const last = attempts.at(-1)!;
  const words = attempts.length === 1 ? "Try 1 failed" : `${attempts.length} tries failed`;
  return (
    <div class="attempts" data-testid="attempts">
      <button type="button" class="thinking-line" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Icon name="retry" size={14} />
        <span>{words}: {proseText(short(last.error))}</span>
        <span class={`turn ${open ? "open" : ""}`}><Icon name="right" size={12} /></span>
      </button>
      {open && (
        <ol class="attempt-list">
          {attempts.map((attempt, i) => (
            <li key={i}>
              <p>Try {i + 1} failed: {proseText(readableFailure(attempt.error))}</p>
              {attempt.text ? <div class="thinking-text" dir="auto">{proseText(attempt.text)}</div> : <p class="turn-note">It had said nothing yet.</p>}
            </li>
          ))}
        </ol>
      )}
    </div>
  );
}
