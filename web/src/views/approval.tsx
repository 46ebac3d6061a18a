// A question of the host itself: something in the sandbox attempted what its policy leaves to its user.

import { useRef } from "preact/hooks";
import type { Conversation } from "../state/conversation";
import { elapsed, useNow } from "../state/clock";
import { attempt } from "../state/sessions";
import type { AskEntry } from "../state/timeline/types";
import { Icon } from "../ui/icon";
import { memo } from "../ui/memo";
import { focusComposer } from "./commands";
import { useCarefulFocus } from "./focus";

const DENY = "Deny";
const HINTS: Record<string, string> = {
  Once: "This time only",
  "For this session": "Until the session ends",
  [DENY]: "The program is told that it may not",
};

export const ApprovalCard = memo(function ApprovalCard({ entry, open }: { entry: AskEntry; open: Conversation }) {
  const { request } = entry;
  const facts = request.approval!;
  const card = useRef<HTMLElement>(null);
  const deny = useCarefulFocus();
  const now = useNow(true);
  const answer = (value: string) => {
    const inside = card.current?.contains(document.activeElement);
    attempt(open.answer(request.request_id, { value }));
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
            ref={option === DENY ? deny : undefined} onClick={() => answer(option)}
          >
            {option}
          </button>
        ))}
        {request.timeout && (
          <span class="ask-left" role="timer" aria-live="off" data-testid="approval-left">denied in {elapsed(left)}</span>
        )}
      </div>
    </section>
  );
});
