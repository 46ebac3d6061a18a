// The signals every view reads. Functions that change them live in the other files of this folder.

import { computed, signal } from "@preact/signals";
import type { Link } from "../net/mux";
import type { Limits, Model, OfferedProfile, Session, SessionState, User, Workspace } from "../protocol/types";
import type { Conversation } from "./conversation";

export type Screen = "loading" | "unreachable" | "setup" | "login" | "register" | "reset" | "auditor" | "shell";

export const screen = signal<Screen>("loading");
// Token of the setup or invite link; taken out of the address bar as soon as it is read.
export const linkToken = signal("");
export const loginHint = signal("");

export const user = signal<User | null>(null);
export const models = signal<Model[]>([]);
// What this host can run, and how much; before the host has said so, nothing is ruled out.
export const offered = signal<OfferedProfile[]>([]);
export const limits = signal<Limits | null>(null);
export const link = signal<Link>("connecting");
export const listsLoaded = signal(false);

export const workspaces = signal<Workspace[]>([]);
export const sessions = signal<Session[]>([]);
// Begun here, and nothing said yet: the host does not know them.
export const unsent = signal<Session[]>([]);
export const workspaceId = signal("");
export const sessionId = signal("");
// What the address asked for and the host does not have.
export const missingId = signal("");
export const conversations = signal<ReadonlyMap<string, Conversation>>(new Map());

export const workspace = computed(() => workspaces.value.find((w) => w.id === workspaceId.value));
const isShown = (s: Session) => s.session_id === sessionId.value;
export const session = computed(() => sessions.value.find(isShown) ?? unsent.value.find(isShown));
export const conversation = computed(() => conversations.value.get(sessionId.value));

// The list is told of each change; a followed conversation hears of it a moment earlier.
export function stateOf(item: Session): SessionState {
  const open = conversations.value.get(item.session_id);
  return open?.known.value ? open.timeline.value.status.state : item.state;
}

export function titleOf(item: Session): string {
  const open = conversations.value.get(item.session_id);
  return open?.timeline.value.title || item.title || open?.firstWords.value || "New session";
}

// The model that a conversation uses, if the host has told about it.
export function modelOf(open: Conversation): Model | undefined {
  const { model, provider } = open.timeline.value;
  return models.value.find((m) => m.id === model && m.provider === provider);
}

export const workspaceSessions = computed(() =>
  [...unsent.value, ...sessions.value]
    .filter((s) => s.workspace_id === workspaceId.value)
    .toSorted((a, b) => b.last_activity - a.last_activity),
);

export interface Toast {
  id: number;
  text: string;
  tone: "plain" | "error";
}
export const toasts = signal<Toast[]>([]);
const TOAST_MS = 5_000;
let nextToast = 1;

export function toast(text: string, tone: Toast["tone"] = "plain"): void {
  const id = nextToast++;
  toasts.value = [...toasts.value.slice(-2), { id, text, tone }];
  setTimeout(() => (toasts.value = toasts.value.filter((t) => t.id !== id)), TOAST_MS);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export type Overlay = "palette" | "invites" | "account" | "workspace" | "rename" | "delete" | "shortcuts" | null;
export const overlay = signal<Overlay>(null);
export const drawerOpen = signal(false);
