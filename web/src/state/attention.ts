// Where an open question shows although nobody looks at the page: title, icon, the installed app's badge,
// and a notification.

import { computed, effect, signal } from "@preact/signals";
import mark from "../assets/mark.svg";
import markWaiting from "../assets/mark_waiting.svg";
import { type Question, questions, subjectOf } from "./inbox";
import { openSession } from "./sessions";
import { lastingStore } from "./storage";
import { screen, session, stateOf, titleOf } from "./store";

const NEVER = "no";
const IN_VIEW = "oqto.in-view";
const supported = typeof Notification === "function";

export const permission = signal(supported ? Notification.permission : "denied");
const declined = signal(lastingStore.get("notify") === NEVER);
// Asked for when there is something to be told of, never at the start.
export const offersNotices = computed(() => permission.value === "default" && !declined.value);

export async function allowNotices(): Promise<void> {
  permission.value = await Notification.requestPermission();
}

export function declineNotices(): void {
  lastingStore.set("notify", NEVER);
  declined.value = true;
}

const STATE_MARK: Partial<Record<string, string>> = { working: "● Working", waiting: "◐ Waiting for you", failed: "✗ Failed" };

function pageTitle(): string {
  if (screen.value !== "shell") return "Oqto";
  const count = questions.value.length;
  const item = session.value;
  const mark = item && STATE_MARK[stateOf(item)];
  return `${count ? `(${count}) ` : ""}${mark ? `${mark} — ` : ""}${item ? `${titleOf(item)} · ` : ""}Oqto`;
}

function showCount(count: number): void {
  const icon = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
  if (icon) icon.href = count ? markWaiting : mark;
  // Neither every browser has it, nor every place where one runs.
  const badge = count ? navigator.setAppBadge?.(count) : navigator.clearAppBadge?.();
  badge?.catch(() => {});
}

const told = new Map<string, Notification | null>();

// Another page of the same browser that is in view has shown it already.
async function isSeenElsewhere(): Promise<boolean> {
  const locks = await navigator.locks?.query().catch(() => null);
  return locks?.held?.some((lock) => lock.name === IN_VIEW) ?? false;
}

let inView = false;

function noteView(): void {
  if (document.visibilityState !== "visible" || inView) return;
  inView = true;
  const hidden = new Promise<void>((done) => {
    document.addEventListener("visibilitychange", () => {
      inView = false;
      done();
    }, { once: true });
  });
  void navigator.locks?.request(IN_VIEW, { mode: "shared" }, () => hidden);
}

async function tell({ session: from, request }: Question): Promise<void> {
  const id = request.request_id;
  told.set(id, null);
  if (!supported || Notification.permission !== "granted" || document.visibilityState === "visible") return;
  if (await isSeenElsewhere()) return;
  const program = request.approval?.argv.length ? ` by ${request.approval.argv.join(" ").slice(0, 120)}` : "";
  try {
    const note = new Notification(`${subjectOf(request)}?`, { body: `Asked in “${titleOf(from)}”${program}`, tag: id });
    note.onclick = () => {
      window.focus();
      openSession(from.session_id);
      note.close();
    };
    // Answered while it was asked whether somebody looks.
    if (told.has(id)) told.set(id, note);
    else note.close();
  } catch {
    // Some phones let only a service worker notify, which this page does without.
  }
}

function tellAll(open: Question[]): void {
  const ids = new Set(open.map((q) => q.request.request_id));
  for (const [id, note] of told) {
    if (ids.has(id)) continue;
    note?.close();
    told.delete(id);
  }
  for (const question of open) if (!told.has(question.request.request_id)) void tell(question);
}

export function watchAttention(): void {
  noteView();
  document.addEventListener("visibilitychange", noteView);
  effect(() => {
    document.title = pageTitle();
  });
  effect(() => showCount(screen.value === "shell" ? questions.value.length : 0));
  effect(() => tellAll(questions.value));
}
