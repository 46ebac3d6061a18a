// The careful answer to a question gets focus, but only if that cannot surprise anybody: it is in view, and
// nobody types, so that no key that is on its way presses it.

import { useEffect, useRef } from "preact/hooks";
import { drawerOpen, overlay } from "../state/store";

const TYPING_MS = 2_000;
let typedAt = -Infinity;
addEventListener("keydown", (event) => {
  // Enter ends what one was writing.
  if (isField(event.target)) typedAt = event.key === "Enter" ? -Infinity : performance.now();
}, { capture: true });

function isField(target: EventTarget | null): target is HTMLInputElement | HTMLTextAreaElement {
  return target instanceof HTMLTextAreaElement || target instanceof HTMLInputElement;
}

function isTyping(): boolean {
  const at = document.activeElement;
  return isField(at) && (at.value !== "" || performance.now() - typedAt < TYPING_MS);
}

function isInView(element: HTMLElement): boolean {
  const { top, bottom } = element.getBoundingClientRect();
  return document.visibilityState === "visible" && !overlay.value && !drawerOpen.value && top >= 0 && bottom <= innerHeight;
}

export function useCarefulFocus() {
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    const el = button.current;
    if (el && isInView(el) && !isTyping()) el.focus({ preventScroll: true });
  }, []);
  return button;
}

export function goToQuestion(): void {
  const buttons = document.querySelectorAll<HTMLElement>(".pinned .ask-card button");
  ([...buttons].find((b) => b.dataset.testid === "approval-deny") ?? buttons[0])?.focus();
}
