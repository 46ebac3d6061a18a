// Workspaces and sessions: which one is shown, and what can be done with them.

import { batch, effect } from "@preact/signals";
import type { Model, Session, Workspace } from "../protocol/types";
import { SYSTEM_SESSION } from "../protocol/types";
import { forkBefore } from "./acts";
import { Conversation } from "./conversation";
import { drafts } from "./drafts";
import { noteSeen } from "./following";
import { draftOf, giveToComposer } from "./handoff";
import { mux } from "./link";
import { insteadOf, nearest, wishedProfile } from "./offers";
import { outbox } from "./outbox";
import { lastingStore } from "./storage";
import {
  conversations, drawerOpen, listsLoaded, messageOf, missingId, models, sessionId, sessions, toast, unsent,
  workspaceId, workspaces,
} from "./store";
import { addUnsent, changeUnsent, dropUnsent, isUnsent, leaveUnsent, loadUnsent, takeUnsent } from "./unsent";

const HASH = /^#\/s\/([\w-]{1,80})$/;

// Once for each connection: what changes afterwards is pushed.
export async function loadLists(): Promise<void> {
  const [spaces, list] = await Promise.all([
    mux.request<{ workspaces: Workspace[] }>(SYSTEM_SESSION, "list_workspaces"),
    mux.request<{ sessions: Session[] }>(SYSTEM_SESSION, "list_sessions"),
  ]);
  batch(() => {
    workspaces.value = spaces.workspaces;
    sessions.value = list.sessions;
    loadUnsent();
    listsLoaded.value = true;
    choosePlace();
  });
}

function find(id: string): Session | undefined {
  return sessions.value.find((s) => s.session_id === id) ?? unsent.value.find((s) => s.session_id === id);
}

function choosePlace(): void {
  const asked = HASH.exec(location.hash)?.[1];
  const session = find(asked ?? sessionId.value);
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
    else if (id) newSession();
    else show("");
  });
}

function show(id: string): void {
  noteSeen(sessionId.value);
  sessionId.value = id;
  missingId.value = "";
  leaveUnsent(id);
  const hash = id ? `#/s/${id}` : "";
  if (location.hash !== hash) history.pushState(null, "", hash || location.pathname);
}

export function openSession(id: string): void {
  const session = find(id);
  if (!session) return;
  batch(() => {
    if (workspaceId.value !== session.workspace_id) {
      workspaceId.value = session.workspace_id;
      lastingStore.set("workspace", session.workspace_id);
    }
    const open = conversations.value.get(id) ?? take(session);
    show(id);
    drawerOpen.value = false;
    if (open.made && !open.followed && !open.starting.value) void open.catchUp();
  });
}

function take(session: Session): Conversation {
  const { session_id: id, workspace_id, profile, provider, model } = session;
  const made = !isUnsent(id);
  const opened = new Conversation(id, { workspace_id, profile, provider, model }, () => void turnEnded(id), made);
  opened.profile.value = profile;
  conversations.value = new Map(conversations.value).set(id, opened);
  if (made) return opened;
  const { timeline } = opened;
  timeline.value = { ...timeline.value, loaded: true, provider, model, status: { state: "idle", since: session.created_at } };
  opened.known.value = true;
  return opened;
}

// For what still has to be said in it: it is not shown.
export function openQuietly(id: string): void {
  const session = find(id);
  if (session && !conversations.value.has(id)) void take(session).catchUp();
}

export function takeModels(list: Model[]): void {
  // A host that has just started knows them only after its first session has.
  if (list.length > 0) models.value = list;
}

async function turnEnded(id: string): Promise<void> {
  const session = sessions.value.find((s) => s.session_id === id);
  const words = conversations.value.get(id)?.firstWords.value;
  if (session && !session.title && words) await renameSession(id, words).catch(() => {});
}

function chosenModel(): { provider?: string; model?: string } {
  const [provider, model] = (lastingStore.get("model") ?? "").split("\n");
  const known = models.value.some((m) => m.provider === provider && m.id === model);
  return known ? { provider, model } : {};
}

// Begins one on this page. The host hears of it with the first message.
export function newSession(wish?: string, model = chosenModel()): Conversation | null {
  const workspace_id = workspaceId.value;
  if (!workspace_id) return null;
  const wished = wish ?? wishedProfile();
  const profile = nearest(wished);
  const now = Date.now();
  const begun = unsent.value.find((s) => s.workspace_id === workspace_id);
  const id = begun?.session_id ?? `oqto-${crypto.randomUUID()}`;
  batch(() => {
    if (begun) changeUnsent(id, { profile, ...model });
    else addUnsent({ session_id: id, title: "", workspace_id, state: "idle", profile, ...model, created_at: now, last_activity: now, message_count: 0 });
    openSession(id);
    const open = conversations.value.get(id)!;
    open.config = { ...open.config, profile, ...model };
    open.profile.value = profile;
    open.instead.value = insteadOf(wished, profile);
  });
  return conversations.value.get(id)!;
}

// Profiles hold from the start of a session on, so another one means another session.
export async function restartWithProfile(id: string, profile: string): Promise<void> {
  lastingStore.set("profile", profile);
  const made = newSession(profile);
  if (!made || made.id === id) return;
  if (draftOf(id)) giveToComposer(made.id, draftOf(id));
  await deleteSession(id);
}

// The same beginning once more: workspace, profile and model, and an empty conversation.
export function startOver(id: string): void {
  const from = find(id);
  if (!from) return;
  const { provider, model } = conversations.value.get(id)?.timeline.value ?? from;
  newSession(from.profile || undefined, provider && model ? { provider, model } : undefined);
}

// Goes on from before that message, whose text comes back for editing.
export async function goBackBefore(id: string, messageId: string): Promise<void> {
  const from = find(id);
  const made = await forkBefore(id, messageId);
  if (from && !find(made.id)) {
    const now = Date.now();
    sessions.value = [{ ...from, session_id: made.id, state: "starting", created_at: now, last_activity: now, pending_inputs: [], queued: 0 }, ...sessions.value];
  }
  giveToComposer(made.id, made.text);
  openSession(made.id);
}

export async function createWorkspace(name: string): Promise<void> {
  const { workspace } = await mux.request<{ workspace: Workspace }>(SYSTEM_SESSION, "create_workspace", { name });
  batch(() => {
    takeWorkspace(workspace);
    openWorkspace(workspace.id);
  });
}

export function takeWorkspace(workspace: Workspace): void {
  workspaces.value = [...workspaces.value.filter((w) => w.id !== workspace.id), workspace];
}

export function takeSession(session: Session): void {
  const known = sessions.value.some((s) => s.session_id === session.session_id);
  batch(() => {
    dropUnsent(session.session_id);
    sessions.value = known
      ? sessions.value.map((s) => (s.session_id === session.session_id ? session : s))
      : [session, ...sessions.value];
  });
}

// The first message made it real.
export function nowMade(id: string): void {
  const row = isUnsent(id) ? takeUnsent(id) : undefined;
  if (row) takeSession(row);
}

function changeSession(id: string, change: Partial<Session>): void {
  sessions.value = sessions.value.map((s) => (s.session_id === id ? { ...s, ...change } : s));
}

export async function renameSession(id: string, name: string): Promise<void> {
  if (find(id) && !isUnsent(id)) await mux.request(id, "set_session_name", { name });
  const open = conversations.value.get(id);
  if (open) open.timeline.value = { ...open.timeline.value, title: name };
  changeSession(id, { title: name });
}

export async function closeSession(id: string): Promise<void> {
  await mux.request(id, "session.close");
}

export async function deleteSession(id: string): Promise<void> {
  const answer = isUnsent(id) ? undefined : await mux.request<{ remains?: string } | undefined>(id, "session.delete");
  forgetSession(id);
  if (answer?.remains) toast(answer.remains, "error");
}

export function forgetSession(id: string): void {
  const known = find(id) !== undefined;
  batch(() => {
    dropUnsent(id);
    sessions.value = sessions.value.filter((s) => s.session_id !== id);
    const rest = new Map(conversations.value);
    rest.get(id)?.rest();
    rest.delete(id);
    conversations.value = rest;
    drafts.set(id, "");
    for (const item of outbox.of(id)) outbox.remove(item.clientId);
    if (known && sessionId.value === id) openWorkspace(workspaceId.value);
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
    for (const open of conversations.value.values()) open.rest();
    conversations.value = new Map();
    sessions.value = [];
    unsent.value = [];
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
    if (find(id)) openSession(id);
    else if (listsLoaded.value) openNothing(id);
  });
  effect(() => {
    if (missingId.value && find(missingId.value)) openSession(missingId.peek());
  });
}
