// What the agent or the host asks. An open question is pinned above the composer, wherever one has scrolled
// to; in the conversation stands a line where it was asked, which says in the end what came of it.

import { useState } from "preact/hooks";
import type { Conversation } from "../state/conversation";
import { elapsed, useNow } from "../state/clock";
import { subjectOf } from "../state/inbox";
import { attempt } from "../state/sessions";
import { openAsks, outcome } from "../state/timeline/asks";
import type { AskEntry } from "../state/timeline/types";
import { memo } from "../ui/memo";
import { ApprovalCard } from "./approval";
import { goToQuestion, useCarefulFocus } from "./focus";
import { NotifyOffer } from "./inbox";

export function PinnedQuestions({ open }: { open: Conversation }) {
  const asks = openAsks(open.timeline.value);
  if (asks.length === 0) return null;
  return (
    <div class="pinned" role="region" aria-label={asks.length === 1 ? "A question waits for you" : `${asks.length} questions wait for you`} data-testid="pinned">
      {asks.map((entry) =>
        entry.request.approval
          ? <ApprovalCard key={entry.key} entry={entry} open={open} />
          : <AskCard key={entry.key} entry={entry} open={open} />,
      )}
      <NotifyOffer class="phone-only" />
    </div>
  );
}

export const AskLine = memo(function AskLine({ entry }: { entry: AskEntry }) {
  const id = entry.request.approval ? "approval-card" : "ask-card";
  return (
    <div class="ask-line" role={entry.resolved ? "status" : undefined} data-testid={entry.resolved ? id : "ask-line"} data-resolved={entry.resolved || undefined}>
      <span class="ask-subject">{subjectOf(entry.request)}</span>
      {entry.resolved
        ? <span>{outcome(entry)}</span>
        : <button type="button" class="link-button" onClick={goToQuestion}>waits for your answer below</button>}
    </div>
  );
});

export const AskCard = memo(function AskCard({ entry, open }: { entry: AskEntry; open: Conversation }) {
  const { request } = entry;
  const [value, setValue] = useState("");
  const limited = !!request.timeout;
  const deny = useCarefulFocus();
  const now = useNow(limited);
  const answer = (fields: { value?: string; confirmed?: boolean; cancelled?: boolean }) =>
    attempt(open.answer(request.request_id, fields));
  const left = limited ? Math.max(0, entry.at + request.timeout! - now) : 0;
  return (
    <section class="ask-card" data-testid="ask-card" aria-label={request.title}>
      <h2>{request.title}</h2>
      {request.message && <p class="ask-message">{request.message}</p>}
      {request.type === "select" && (
        <div class="ask-options">
          {request.options?.map((option) => (
            <button key={option} type="button" class="secondary" onClick={() => answer({ value: option })}>{option}</button>
          ))}
        </div>
      )}
      {request.type === "input" && (
        <form onSubmit={(e) => (e.preventDefault(), answer({ value }))}>
          <input
            aria-label={request.title} placeholder={request.placeholder} value={value}
            onInput={(e) => setValue(e.currentTarget.value)}
          />
          <button class="primary">Answer</button>
        </form>
      )}
      <div class="ask-actions">
        {request.type === "confirm" ? (
          <>
            <button type="button" class="secondary" ref={deny} onClick={() => answer({ confirmed: false })}>Deny</button>
            <button type="button" class="secondary" onClick={() => answer({ confirmed: true })}>Allow</button>
          </>
        ) : (
          <button type="button" class="quiet-button" onClick={() => answer({ cancelled: true })}>Dismiss</button>
        )}
        {limited && <span class="ask-left">closes in {elapsed(left)}</span>}
      </div>
    </section>
  );
});
