// "Waiting for you": every open question of every session, newest first.

import { elapsed, useNow } from "../state/clock";
import { allowNotices, declineNotices, offersNotices } from "../state/attention";
import { type Question, questions, subjectOf } from "../state/inbox";
import { attempt, openSession } from "../state/sessions";
import { sessionId, titleOf } from "../state/store";
import { goToQuestion } from "./focus";

// In the sidebar it shows all; above a conversation, where there is no sidebar, those of the other ones.
export function Inbox({ inMain }: { inMain?: boolean }) {
  const list = questions.value.filter((q) => !inMain || q.session.session_id !== sessionId.value);
  const now = useNow(list.some((q) => q.timed));
  if (list.length === 0) return null;
  return (
    <section class={`inbox ${inMain ? "in-main" : "in-side"}`} aria-label="Waiting for you" data-testid={inMain ? "inbox-main" : "inbox"}>
      <h2>Waiting for you ({list.length})</h2>
      <ul>
        {list.map((q) => <InboxItem key={q.request.request_id} question={q} now={now} />)}
      </ul>
      {/* On a phone the pinned question offers it. */}
      {(!inMain || list.length === questions.value.length) && <NotifyOffer />}
    </section>
  );
}

// There before anything is in it, or a screen reader would not say what comes.
export function InboxVoice() {
  const count = questions.value.length;
  return <p class="sr" role="status">{count > 0 && `${count} ${count === 1 ? "question waits" : "questions wait"} for you`}</p>;
}

function InboxItem({ question: { session, request, at, timed }, now }: { question: Question; now: number }) {
  const open = () => {
    const here = session.session_id === sessionId.value;
    openSession(session.session_id);
    if (here) goToQuestion();
  };
  const left = timed && request.timeout ? elapsed(Math.max(0, at + request.timeout - now)) : "";
  return (
    <li>
      <button type="button" class="inbox-item" data-testid="inbox-item" data-session={session.session_id} onClick={open}>
        <span class="inbox-subject">{subjectOf(request)}</span>
        <span class="inbox-meta"><span>{titleOf(session)}</span>{left && <span>{left} left</span>}</span>
      </button>
    </li>
  );
}

export function NotifyOffer({ class: extra = "" }: { class?: string }) {
  if (!offersNotices.value) return null;
  return (
    <p class={`notify-offer ${extra}`} data-testid="notify-offer">
      <span>Be told of questions while you look elsewhere?</span>
      <button type="button" class="link-button" data-testid="notify-allow" onClick={() => attempt(allowNotices())}>Notify me</button>
      <button type="button" class="link-button" onClick={declineNotices}>No</button>
    </p>
  );
}
