// What can be done when a conversation does not go on: a model that refuses it, or one that has become too long.

import type { ComponentChildren } from "preact";
import { compact } from "../state/acts";
import type { Conversation } from "../state/conversation";
import { attempt, goBackBefore, startOver } from "../state/sessions";
import { toast } from "../state/store";
import type { UserEntry } from "../state/timeline/types";
import { IconButton } from "../ui/basics";

export interface WayOut {
  id: string;
  name: string;
  hint: string;
  run: () => void;
}

function lastStored(open: Conversation): UserEntry | undefined {
  return open.timeline.value.entries.findLast((e): e is UserEntry => e.kind === "user" && !!e.id);
}

export function chooseModel(): void {
  document.querySelector<HTMLElement>('[data-testid="model-picker"]')?.click();
}

async function summarise(open: Conversation): Promise<void> {
  if (open.busy) return toast("The agent works. Stop it first, or wait until it is done.");
  await compact(open.id);
  toast("The conversation so far was summarised. Go on with your next message.");
}

export function waysOut(open: Conversation): WayOut[] {
  const last = lastStored(open);
  if (!open.made || !last?.id) return [];
  const { id } = last;
  return [
    { id: "go-back", name: "Go back to before the last message", hint: "In a branch; the message comes back for editing.", run: () => attempt(goBackBefore(open.id, id)) },
    { id: "summarise", name: "Summarise and go on", hint: "Frees room: the model goes on with a summary.", run: () => attempt(summarise(open)) },
    { id: "start-over", name: "Start over in a new session", hint: "The same workspace and model, and an empty conversation.", run: () => startOver(open.id) },
  ];
}

// Beside an error of the model's side. What it offers is what the menu of the session offers.
export function WaysOut({ open, children }: { open: Conversation; children?: ComponentChildren }) {
  const ways = waysOut(open);
  return (
    <div class="ways-out" data-testid="ways-out">
      {children}
      {ways.map((way) => (
        <button key={way.id} type="button" class="secondary small" title={way.hint} data-testid={way.id} onClick={way.run}>{way.name}</button>
      ))}
      <button type="button" class="secondary small" data-testid="choose-model" onClick={chooseModel}>Choose another model</button>
    </div>
  );
}

export function BranchButton({ entry, open }: { entry: UserEntry; open: Conversation }) {
  const { id } = entry;
  if (!id || entry.delivery !== "accepted") return null;
  return (
    <IconButton class="branch" icon="pencil" label="Edit in a new branch" testid="edit-branch" onClick={() => attempt(goBackBefore(open.id, id))} />
  );
}
