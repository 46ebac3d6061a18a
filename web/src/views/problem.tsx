// A session that cannot be had: why, and what else there is to do.

import type { Conversation } from "../state/conversation";
import { labelOf, others } from "../state/offers";
import { attempt } from "../state/sessions";
import { lastingStore } from "../state/storage";
import { Icon } from "../ui/icon";
import { AtWork } from "./at_work";
import { ErrorCard } from "./entries";

const TITLES: Record<string, string> = {
  refused: "The host refuses to start this session",
  limit: "Too many sessions at once",
};

export function Problem({ open }: { open: Conversation }) {
  const code = open.problemCode.value;
  const profile = open.profile.value;
  const title = TITLES[code] ?? (open.made ? "This session is not available right now" : "This session did not start");
  // What works here is the wish from now on: otherwise the next session would stand before the same door.
  const startWith = async (name: string) => {
    await open.restart(name);
    lastingStore.set("profile", name);
  };
  const start = open.made ? () => open.start() : () => open.restart();
  return (
    <ErrorCard title={title} text={open.problem.value}>
      <div class="ways-out">
        <button type="button" class="secondary small" data-testid="error-retry" disabled={open.starting.value} onClick={() => attempt(start())}>
          <Icon name="retry" size={14} /> Try again
        </button>
        {!open.made && code !== "limit" && others(profile).map((p) => (
          <button
            key={p.name} type="button" class="secondary small" data-testid={`start-with-${p.name}`} title={p.gist}
            disabled={open.starting.value} onClick={() => attempt(startWith(p.name))}
          >
            Start with “{labelOf(p.name)}”
          </button>
        ))}
      </div>
      {code === "limit" && <AtWork />}
    </ErrorCard>
  );
}
