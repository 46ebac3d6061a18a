// A question of the host itself: something in the sandbox attempted what its policy leaves to its user.

import { useRef } from "preact/hooks";
import type { Conversation } from "../state/conversation";
import { elapsed, useNow } from "../state/clock";
import { attempt } from "../state/sessions";
import { overlay } from "../state/store";
import type { AskEntry } from "../state/timeline/types";
import { Icon } from "../ui/icon";
import { memo } from "../ui/memo";
import { focusComposer } from "./commands";

const DENY = "Deny";
const HINTS: Record<string, string> = {
  Once: "This time only",
  "For this session": "Until the session ends",
  [DENY]: "The program is told that it may not",
};

export const ApprovalView = memo(function ApprovalView({ entry, open }: { entry: AskEntry; open: Conversation }) {
  const { request } = entry;
  const facts = request.approval!;
  const card = useRef<HTMLElement>(null);
  const now = useNow(!entry.resolved);
  if (entry.resolved) {
    return (
      <div class="notice info" role="status" data-testid="approval-card" data-resolved="true">
        <span>{request.title} {entry.answer ? `You said: ${entry.answer}` : "Not answered by you: denied unless someone else allowed it"}</span>
      </div>
    );
  }
  const answer = (value: string) => {
    const inside = card.current?.contains(document.activeElement);
    void attempt(open.answer(request.request_id, { value }));
    if (inside) focusComposer();
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    answer(DENY);
  };
  const left = Math.max(0, entry.at + (request.timeout ?? 0) - now);
  const id = request.request_id;
  return (
    <section
      ref={card} class="ask-card approval" role="alertdialog" aria-labelledby={`${id}-title`} aria-describedby={`${id}-facts`}
      data-testid="approval-card" data-kind={facts.kind} onKeyDown={onKey}
    >
      <h2 id={`${id}-title`}>
        <Icon name="shield" /> {facts.kind === "host" ? "The agent wants to connect to" : "The agent wants to read"}{" "}
        <code class="approval-what" data-testid="approval-what">{facts.what}</code>
      </h2>
      <dl id={`${id}-facts`} class="approval-facts">
        <dt>Program</dt>
        <dd data-testid="approval-argv">
          {facts.argv.length ? facts.argv.map((word, i) => <code key={i}>{word}</code>) : "not known"}
        </dd>
        {facts.pid !== undefined && <><dt>Process</dt><dd>{facts.pid}</dd></>}
        {facts.cwd && <><dt>In</dt><dd data-testid="approval-cwd"><code>{facts.cwd}</code></dd></>}
      </dl>
      <div class="ask-options">
        {request.options?.map((option) => (
          <button
            key={option} type="button" class="secondary" title={HINTS[option]}
            data-testid={`approval-${option === DENY ? "deny" : option === "Once" ? "once" : "session"}`}
            ref={option === DENY ? focusOnce : undefined} onClick={() => answer(option)}
          >
            {option}
          </button>
        ))}
        <span class="ask-left" role="timer" aria-live="off" data-testid="approval-left">denied in {elapsed(left)}</span>
      </div>
    </section>
  );
});

const focused = new WeakSet<HTMLElement>();

// The careful answer gets focus when the question appears, unless someone is writing or elsewhere.
export function focusOnce(button: HTMLButtonElement | null): void {
  if (!button || focused.has(button)) return;
  focused.add(button);
  const at = document.activeElement;
  const writing = at instanceof HTMLTextAreaElement && at.value !== "";
  if (!writing && !overlay.value) button.focus();
}
