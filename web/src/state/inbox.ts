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

const LIVE_MS = 2_000;
const seenAt = new Map<string, { at: number; timed: boolean }>();

// A list tells of a question without its time: it came just now, or with the session's last activity.
function seen(session: Session, request: InputRequest): { at: number; timed: boolean } {
  const known = seenAt.get(request.request_id);
  if (known) return known;
  const timed = Date.now() - session.last_activity < LIVE_MS;
  const first = { at: session.last_activity, timed };
  seenAt.set(request.request_id, first);
  return first;
}

function questionsOf(session: Session): Question[] {
  const open = conversations.value.get(session.session_id);
  if (open?.known.value) {
    return openAsks(open.timeline.value).map(({ request, at }) => ({ session, request, at, timed: true }));
  }
  return (session.pending_inputs ?? []).map((request) => ({ session, request, ...seen(session, request) }));
}

export const questions = computed(() => sessions.value.flatMap(questionsOf).toSorted((a, b) => b.at - a.at));

export function subjectOf({ approval, title }: InputRequest): string {
  if (!approval) return title;
  return approval.kind === "host" ? `Connect to ${approval.what}` : `Read ${approval.what}`;
}
