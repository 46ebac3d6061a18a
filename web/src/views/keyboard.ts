// Keys that work everywhere in the shell.

import { closeNewest, anyOpen } from "../state/layers";
import { newSession } from "../state/sessions";
import { overlay, screen, workspaceId } from "../state/store";
import { focusComposer } from "./commands";
import { nextSession } from "./sidebar";

function isWriting(target: EventTarget | null): boolean {
  return target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}

function onKey(event: KeyboardEvent): void {
  if (event.key === "Escape" && anyOpen()) {
    event.preventDefault();
    event.stopPropagation();
    closeNewest();
    return;
  }
  if (screen.value !== "shell") return;
  const command = event.ctrlKey || event.metaKey;
  if (command && !event.altKey && event.key.toLowerCase() === "k") {
    event.preventDefault();
    overlay.value = overlay.value === "palette" ? null : "palette";
    return;
  }
  if (overlay.value || command) return;
  if (event.altKey) {
    const act = alt(event);
    if (!act) return;
    event.preventDefault();
    act();
  } else if (!isWriting(event.target) && event.key === "/") {
    event.preventDefault();
    focusComposer();
  } else if (!isWriting(event.target) && event.key === "?") {
    event.preventDefault();
    overlay.value = "shortcuts";
  }
}

function alt(event: KeyboardEvent): (() => void) | undefined {
  // By place on the keyboard: with Alt held, some layouts give another letter.
  if (event.code === "KeyN" && workspaceId.value) return () => void newSession();
  if (event.key === "ArrowUp") return () => nextSession(-1);
  if (event.key === "ArrowDown") return () => nextSession(1);
  return undefined;
}

export function listenForKeys(): void {
  addEventListener("keydown", onKey, { capture: true });
}
