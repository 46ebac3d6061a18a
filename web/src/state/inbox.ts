// What waits for the person, of all sessions: told by the host to every page, whatever it shows.

import { computed } from "@preact/signals";
import type { InputRequest, Session } from "../protocol/types";
import { conversations, sessions } from "./store";
import { openAsks } from "./timeline/asks";

export interface Question {
  session: Session;
  request: InputRequest;
  at: number;
  // When it was asked is known, so that it can be counted down.
  timed: boolean;
}

interface Asked {
  at: number;
  timed: boolean;
}
const askedAt = new Map<string, Asked>();

// A push comes with the question; a list does not say since when it has been open.
export function noteQuestions(session: Session): void {
  for (const { request_id: id } of session.pending_inputs ?? []) {
    if (!askedAt.has(id)) askedAt.set(id, { at: Date.now(), timed: true });
  }
}

function asked(session: Session, request: InputRequest): Asked {
  return askedAt.get(request.request_id) ?? { at: session.last_activity, timed: false };
}

function questionsOf(session: Session): Question[] {
  const open = conversations.value.get(session.session_id);
  if (open?.known.value) {
    return openAsks(open.timeline.value).map(({ request, at }) => ({ session, request, at, timed: true }));
  }
  return (session.pending_inputs ?? []).map((request) => ({ session, request, ...asked(session, request) }));
}

function isSame(a: Question, b: Question | undefined): boolean {
  return !!b && a.request.request_id === b.request.request_id && a.session === b.session && a.at === b.at && a.timed === b.timed;
}

// The same list as before if nothing in it changed: a conversation changes with every word that comes.
let last: Question[] = [];
export const questions = computed(() => {
  const next = sessions.value.flatMap(questionsOf).toSorted((a, b) => b.at - a.at);
  if (next.length !== last.length || !next.every((q, i) => isSame(q, last[i]))) last = next;
  return last;
});

export function subjectOf({ approval, title }: InputRequest): string {
  if (!approval) return title;
  return approval.kind === "host" ? `Connect to ${approval.what}` : `Read ${approval.what}`;
}
