// Days as a person counts them.

import type { Session } from "../protocol/types";

const DAY_MS = 86_400_000;

function midnight(at: number): number {
  return new Date(at).setHours(0, 0, 0, 0);
}

export function dayOf(at: number, now = Date.now()): string {
  // Rounded: a day of the change to summer time has 23 hours.
  const days = Math.round((midnight(now) - midnight(at)) / DAY_MS);
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days < 7) return "Last 7 days";
  const sameYear = new Date(at).getFullYear() === new Date(now).getFullYear();
  return new Date(at).toLocaleDateString(undefined, { month: "long", year: sameYear ? undefined : "numeric" });
}

// In the order of the list, which is by time.
export function byDay(list: Session[], now = Date.now()): [day: string, sessions: Session[]][] {
  const groups = new Map<string, Session[]>();
  for (const session of list) {
    const day = dayOf(session.last_activity, now);
    groups.set(day, [...(groups.get(day) ?? []), session]);
  }
  return [...groups];
}
