// Which sandbox profiles this host can run, and which one a new session gets.

import type { OfferedProfile } from "../protocol/types";
import { PROFILES, profileText } from "./profiles";
import { lastingStore } from "./storage";
import { offered } from "./store";

// From the tightest to the loosest.
const ORDER = ["strict", "development", "minimal"];
const USUAL = "development";

export function whyNot(name: string, list: OfferedProfile[] = offered.value): string | undefined {
  const found = list.find((p) => p.name === name);
  return found && !found.available ? (found.why ?? "this host cannot run it") : undefined;
}

export function labelOf(name: string): string {
  return profileText(name)?.label ?? name;
}

// The wished one, or what comes nearest: a tighter one first.
export function nearest(wish: string, list: OfferedProfile[] = offered.value): string {
  if (whyNot(wish, list) === undefined) return wish;
  const at = ORDER.indexOf(wish);
  const candidates = [...ORDER.slice(0, Math.max(0, at)).reverse(), ...ORDER.slice(at + 1)];
  return candidates.find((name) => whyNot(name, list) === undefined) ?? wish;
}

export function wishedProfile(): string {
  return lastingStore.get("profile") || USUAL;
}

// What another profile than the wished one means, said before anything runs in it.
export function insteadOf(wish: string, got: string): string {
  if (wish === got) return "";
  const looser = ORDER.indexOf(got) > ORDER.indexOf(wish);
  return `“${labelOf(wish)}” cannot run on this host: ${whyNot(wish) ?? "it lacks what that needs"}. This session uses “${labelOf(got)}” instead, which allows ${looser ? "more" : "less"}.`;
}

// What a session that did not start with this profile can be started with.
export function others(name: string) {
  return PROFILES.filter((p) => p.name !== name && whyNot(p.name) === undefined);
}
