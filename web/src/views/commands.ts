// Every action by name: what the palette offers.

import { signOut } from "../state/app";
import { isAwake } from "../state/acts";
import { whyNot } from "../state/offers";
import { PROFILES } from "../state/profiles";
import { questions, subjectOf } from "../state/inbox";
import { attempt, closeSession, newSession, openSession, openWorkspace } from "../state/sessions";
import {
  conversation, drawerOpen, models, overlay, session, sessions, stateOf, titleOf, user, workspaceId, workspaces,
} from "../state/store";
import { THEMES, theme } from "../state/theme";
import type { AssistantEntry } from "../state/timeline/types";
import { copyText } from "../ui/basics";
import { chooseModel, waysOut } from "./ways_out";

export interface Command {
  group: string;
  name: string;
  keys?: string;
  run: () => void;
}

export function focusComposer(): void {
  document.querySelector<HTMLElement>("#composer-text")?.focus();
}

function lastAnswer(): string {
  const entries = conversation.value?.timeline.value.entries ?? [];
  const last = entries.findLast(
    (e): e is AssistantEntry => e.kind === "assistant" && e.blocks.some((b) => b.kind === "text"),
  );
  return last ? last.blocks.map((b) => (b.kind === "text" ? b.text : "")).filter(Boolean).join("\n\n") : "";
}

function press(testid: string): void {
  document.querySelector<HTMLElement>(`[data-testid="${testid}"]`)?.click();
}

export function setAllTools(open: boolean): void {
  const press = (name: string) => {
    for (const line of document.querySelectorAll<HTMLElement>(`${name}[aria-expanded="${!open}"]`)) line.click();
  };
  press(open ? ".run-line" : ".tool-line");
  // The lines of a run are there once it is open.
  requestAnimationFrame(() => press(open ? ".tool-line" : ".run-line"));
}

function sessionCommands(): Command[] {
  const open = conversation.value;
  const item = session.value;
  if (!open || !item) return [];
  const list: Command[] = [];
  const add = (name: string, run: () => void, keys?: string) => list.push({ group: "Session", name, run, keys });
  if (open.busy) add("Stop the agent", () => attempt(open.stop()), "Esc");
  add("Write a message", focusComposer, "/");
  add("Jump to the latest", () => press("jump-latest"));
  add("Copy the last answer", () => void copyText(lastAnswer()));
  add("Open all tool cards", () => setAllTools(true));
  add("Close all tool cards", () => setAllTools(false));
  add("Rename…", () => (overlay.value = "rename"));
  add("Explain its sandbox profile", () => press("profile-badge"));
  for (const way of waysOut(open)) add(way.name, way.run);
  add("Choose another model", chooseModel);
  if (open.made && isAwake(stateOf(item))) add("Close (end the agent, keep the conversation)", () => attempt(closeSession(open.id)));
  add("Delete…", () => (overlay.value = "delete"));
  for (const m of models.value) {
    list.push({ group: "Model", name: m.name, run: () => attempt(open.setModel(m.provider, m.id)) });
  }
  return list;
}

export function actions(): Command[] {
  const list: Command[] = [];
  if (workspaceId.value) {
    list.push({ group: "New", name: "Session", keys: "Alt N", run: () => newSession() });
    for (const p of PROFILES.filter((p) => whyNot(p.name) === undefined)) {
      list.push({ group: "New", name: `Session for ${p.label.toLowerCase()}`, run: () => newSession(p.name) });
    }
  }
  list.push({ group: "New", name: "Workspace…", run: () => (overlay.value = "workspace") });
  for (const { session: from, request } of questions.value) {
    list.push({ group: "Waiting for you", name: `${subjectOf(request)} (${titleOf(from)})`, run: () => openSession(from.session_id) });
  }
  list.push(...sessionCommands());
  for (const s of sessions.value.filter((s) => s.session_id !== session.value?.session_id)) {
    list.push({ group: "Go to session", name: titleOf(s), run: () => openSession(s.session_id) });
  }
  for (const w of workspaces.value.filter((w) => w.id !== workspaceId.value)) {
    list.push({ group: "Go to workspace", name: w.name, run: () => openWorkspace(w.id) });
  }
  list.push({ group: "View", name: "Session list", run: () => (drawerOpen.value = !drawerOpen.value) });
  for (const t of THEMES) list.push({ group: "Theme", name: t, run: () => (theme.value = t) });
  list.push({ group: "Help", name: "Keyboard shortcuts", keys: "?", run: () => (overlay.value = "shortcuts") });
  if (user.value?.role === "admin") {
    list.push({ group: "People", name: "Invite people", run: () => (overlay.value = "invites") });
  }
  list.push({ group: "Account", name: "Password and sign-ins", run: () => (overlay.value = "account") });
  list.push({ group: "Account", name: "Sign out", run: () => attempt(signOut()) });
  return list;
}
