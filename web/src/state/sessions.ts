// Workspaces and sessions: the lists, which one is shown, and what can be done with them.

import { batch, effect } from "@preact/signals";
import type { Model, Session, Workspace } from "../protocol/types";
import { SYSTEM_SESSION } from "../protocol/types";
import { Conversation } from "./conversation";
import { drafts } from "./drafts";
import { mux } from "./link";
import { outbox } from "./outbox";
import { lastingStore } from "./storage";
import {
  conversations, drawerOpen, link, listsLoaded, messageOf, missingId, modelOf, models, screen, sessionId, sessions, titleOf,
  toast, workspaceId, workspaces,
} from "./store";

const REFRESH_MS = 60_000;
const HASH = /^#\/s\/([\w-]{1,80})$/;

export async function loadLists(): Promise<void> {
  const [spaces, list] = await Promise.all([
    mux.request<{ workspaces: Workspace[] }>(SYSTEM_SESSION, "list_workspaces"),
    mux.request<{ sessions: Session[] }>(SYSTEM_SESSION, "list_sessions"),
  ]);
  batch(() => {
    workspaces.value = spaces.workspaces;
    takeSessions(list.sessions);
    listsLoaded.value = true;
    choosePlace();
  });
}

// A session that this page just asked for may not be in the host's list yet.
function takeSessions(list: Session[]): void {
  const known = new Set(list.map((s) => s.session_id));
  const fresh = sessions.value.filter((s) => {
    const open = conversations.value.get(s.session_id);
    return !known.has(s.session_id) && open && (open.starting.value || open.problem.value);
  });
  sessions.value = [...fresh, ...list];
}

export async function refreshSessions(): Promise<void> {
  if (link.value !== "open" || !listsLoaded.value) return;
  const list = await mux.request<{ sessions: Session[] }>(SYSTEM_SESSION, "list_sessions").catch(() => null);
  if (list) takeSessions(list.sessions);
}

function choosePlace(): void {
  const asked = HASH.exec(location.hash)?.[1];
  const wanted = asked ?? sessionId.value;
  const session = sessions.value.find((s) => s.session_id === wanted);
  if (session) return openSession(session.session_id);
  if (asked) return openNothing(asked);
  const stored = lastingStore.get("workspace");
  const space = workspaces.value.find((w) => w.id === (workspaceId.value || stored)) ?? workspaces.value[0];
  openWorkspace(space?.id ?? "");
}

// The address stays: a reload asks again, and so does a list that comes to have it.
function openNothing(id: string): void {
  const stored = lastingStore.get("workspace");
  batch(() => {
    const space = workspaces.value.find((w) => w.id === (workspaceId.value || stored)) ?? workspaces.value[0];
    workspaceId.value = space?.id ?? "";
    sessionId.value = "";
    missingId.value = id;
  });
}

export function openWorkspace(id: string): void {
  batch(() => {
    workspaceId.value = id;
    lastingStore.set("workspace", id);
    const newest = sessions.value
      .filter((s) => s.workspace_id === id)
      .toSorted((a, b) => b.last_activity - a.last_activity)[0];
    if (newest) openSession(newest.session_id);
    else show("");
  });
}

function show(id: string): void {
  sessionId.value = id;
  missingId.value = "";
  const hash = id ? `#/s/${id}` : "";
  if (location.hash !== hash) history.pushState(null, "", hash || location.pathname);
}

export function openSession(id: string): void {
  const session = sessions.value.find((s) => s.session_id === id);
  if (!session) return;
  batch(() => {
    if (workspaceId.value !== session.workspace_id) {
      workspaceId.value = session.workspace_id;
      lastingStore.set("workspace", session.workspace_id);
    }
    show(id);
    drawerOpen.value = false;
    if (!conversations.value.has(id)) {
      const { workspace_id, profile, provider, model } = session;
      const opened = adopt(new Conversation(id, { workspace_id, profile, provider, model }, () => void turnEnded(id)));
      opened.profile.value = profile;
      void opened.catchUp();
    }
  });
}

function adopt(conversation: Conversation): Conversation {
  conversations.value = new Map(conversations.value).set(conversation.id, conversation);
  return conversation;
}

export function takeModels(list: Model[]): void {
  // A host that has just started knows them only after its first session has.
  if (list.length > 0) models.value = list;
}

const MODELS_PAUSE_MS = 700;
const MOST_TRIES = 5;

// The agent tells its models a moment after it is idle for the first time.
async function learnModels(tries = MOST_TRIES): Promise<void> {
  const list = await mux.request<Model[]>(SYSTEM_SESSION, "get_models").catch(() => []);
  takeModels(list);
  if (list.length === 0 && tries > 1) setTimeout(() => void learnModels(tries - 1), MODELS_PAUSE_MS);
}

// A session without a name is named after the first thing that was asked in it.
async function turnEnded(id: string): Promise<void> {
  const open = conversations.value.get(id);
  if (open && !modelOf(open)) void learnModels();
  await refreshSessions();
  const session = sessions.value.find((s) => s.session_id === id);
  const words = open?.firstWords.value;
  if (session && !session.title && words) await renameSession(id, words).catch(() => {});
}

function chosenModel(): { provider?: string; model?: string } {
  const [provider, model] = (lastingStore.get("model") ?? "").split("\n");
  const known = models.value.some((m) => m.provider === provider && m.id === model);
  return known ? { provider, model } : {};
}

export function newSession(profile = lastingStore.get("profile") ?? undefined): Conversation | null {
  if (!workspaceId.value) return null;
  const id = `oqto-${crypto.randomUUID()}`;
  const config = { workspace_id: workspaceId.value, profile, ...chosenModel() };
  const now = Date.now();
  const made = new Conversation(id, config, () => void turnEnded(id));
  const row: Session = {
    session_id: id, title: "", workspace_id: config.workspace_id, state: "starting", profile: profile ?? "",
    provider: config.provider, model: config.model, created_at: now, last_activity: now, message_count: 0,
  };
  batch(() => {
    adopt(made);
    sessions.value = [row, ...sessions.value];
    show(id);
    drawerOpen.value = false;
  });
  made.start().then(refreshSessions, () => changeSession(id, { state: "failed" }));
  return made;
}

// Profiles hold from the start of a session on, so another one means another session.
export async function restartWithProfile(id: string, profile: string): Promise<void> {
  lastingStore.set("profile", profile);
  const made = newSession(profile);
  if (made) drafts.set(made.id, drafts.get(id));
  await deleteSession(id);
}

export async function createWorkspace(name: string): Promise<void> {
  const { workspace } = await mux.request<{ workspace: Workspace }>(SYSTEM_SESSION, "create_workspace", { name });
  batch(() => {
    workspaces.value = [...workspaces.value, workspace];
    openWorkspace(workspace.id);
  });
}

function changeSession(id: string, change: Partial<Session>): void {
  sessions.value = sessions.value.map((s) => (s.session_id === id ? { ...s, ...change } : s));
}

export async function renameSession(id: string, name: string): Promise<void> {
  await mux.request(id, "set_session_name", { name });
  const open = conversations.value.get(id);
  if (open) open.timeline.value = { ...open.timeline.value, title: name };
  changeSession(id, { title: name });
}

export async function closeSession(id: string): Promise<void> {
  await mux.request(id, "session.close");
  changeSession(id, { state: "stopped" });
}

export async function deleteSession(id: string): Promise<void> {
  await mux.request(id, "session.delete");
  batch(() => {
    sessions.value = sessions.value.filter((s) => s.session_id !== id);
    const rest = new Map(conversations.value);
    rest.delete(id);
    conversations.value = rest;
    drafts.set(id, "");
    for (const item of outbox.of(id)) outbox.remove(item.clientId);
    if (sessionId.value === id) openWorkspace(workspaceId.value);
  });
}

// Runs an action that has no place of its own to show a failure in.
export function attempt(action: Promise<unknown>): void {
  action.catch((error: unknown) => toast(messageOf(error), "error"));
}

export function stepSession(by: 1 | -1, list: Session[]): void {
  const at = list.findIndex((s) => s.session_id === sessionId.value);
  const next = list[Math.min(list.length - 1, Math.max(0, at + by))];
  if (next) openSession(next.session_id);
}

export function forgetAll(): void {
  batch(() => {
    conversations.value = new Map();
    sessions.value = [];
    workspaces.value = [];
    workspaceId.value = "";
    sessionId.value = "";
    missingId.value = "";
    listsLoaded.value = false;
  });
}

export function watchPlace(): void {
  addEventListener("popstate", () => {
    const id = HASH.exec(location.hash)?.[1];
    if (!id || id === sessionId.value) return;
    if (sessions.value.some((s) => s.session_id === id)) openSession(id);
    else if (listsLoaded.value) openNothing(id);
  });
  effect(() => {
    if (missingId.value && sessions.value.some((s) => s.session_id === missingId.value)) openSession(missingId.peek());
  });
  const refresh = () => {
    if (document.visibilityState === "visible") void refreshSessions();
  };
  document.addEventListener("visibilitychange", refresh);
  setInterval(refresh, REFRESH_MS);
  effect(() => {
    document.title = pageTitle();
  });
}

const STATE_MARK: Partial<Record<string, string>> = { working: "● Working", waiting: "◐ Waiting for you", failed: "✗ Failed" };

function pageTitle(): string {
  if (screen.value !== "shell") return "Oqto";
  const session = sessions.value.find((s) => s.session_id === sessionId.value);
  if (!session) return "Oqto";
  const status = conversations.value.get(session.session_id)?.timeline.value.status.state ?? session.state;
  const mark = STATE_MARK[status];
  return `${mark ? `${mark} — ` : ""}${titleOf(session)} · Oqto`;
}

