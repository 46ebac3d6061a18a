// From an empty page to the shell, and back: who is signed in and what the address asks for.

import { batch } from "@preact/signals";
import { http, HttpError } from "../net/http";
import type { User } from "../protocol/types";
import { watchAttention } from "./attention";
import { auditorPage, loadAuditor } from "./auditor";
import { drafts } from "./drafts";
import { hooks, mux } from "./link";
import { outbox } from "./outbox";
import { isWorthFollowing, makeRoom, watchFollowing } from "./following";
import { onConnected, onPush } from "./pushes";
import { createWorkspace, forgetAll, loadLists, nowMade, openQuietly, openWorkspace, watchPlace } from "./sessions";
import { lastingStore, tabStore } from "./storage";
import {
  conversations, linkToken, listsLoaded, loginHint, messageOf, offered, overlay, screen, sessionId, toast, user, workspaces,
} from "./store";

export async function boot(): Promise<void> {
  hooks.connected = (told) => {
    onConnected(told);
    void (user.value?.role === "auditor" ? auditorPage.value?.auditConnected() : connected());
  };
  hooks.event = (event) => {
    if (event.event === "audit.grown") auditorPage.value?.auditGrew(event.acts, event.indexed);
    else conversations.value.get(event.session_id)?.receive(event);
  };
  hooks.push = onPush;
  hooks.made = nowMade;
  hooks.makeRoom = makeRoom;
  hooks.mayReconnect = stillSignedIn;
  watchPlace();
  watchFollowing();
  watchAttention();
  addEventListener("hashchange", () => {
    if (/^#(setup|invite|reset)=/.test(location.hash)) void arrive();
  });
  await arrive();
}

function takeToken(kind: "setup" | "invite" | "reset"): string {
  const found = new RegExp(`^#${kind}=(.{1,256})$`).exec(location.hash);
  if (!found) return "";
  history.replaceState(null, "", location.pathname);
  try {
    return decodeURIComponent(found[1]!);
  } catch {
    return found[1]!;  // the host says that it is not valid
  }
}

export async function arrive(): Promise<void> {
  screen.value = "loading";
  let state;
  try {
    state = await http.authState();
  } catch (error) {
    loginHint.value = messageOf(error);
    screen.value = "unreachable";
    return;
  }
  const setup = takeToken("setup");
  const invite = takeToken("invite");
  const reset = takeToken("reset");
  batch(() => {
    offered.value = state.profiles ?? [];
    linkToken.value = setup || invite || reset;
    if (state.setup_required) {
      screen.value = "setup";
    } else if (reset) {
      screen.value = "reset";  // whoever is signed in here: the link alone decides whose password it is
    } else if (invite && !state.user) {
      screen.value = "register";
    } else if (state.user) {
      if (invite) toast("You are signed in already. Sign out to use the invite.");
      enter(state.user);
    } else {
      loginHint.value = setup ? "This setup link was used already. Sign in with the account it made." : "";
      screen.value = "login";
    }
  });
}

export function enter(who: User): void {
  batch(() => {
    // Another person's unsent words are not this person's.
    const last = tabStore.get("user");
    if (last !== null && last !== String(who.id)) {
      tabStore.clear();
      outbox.clear();
    }
    tabStore.set("user", String(who.id));
    drafts.own(String(who.id));
    user.value = who;
    loginHint.value = "";
    linkToken.value = "";
    screen.value = who.role === "auditor" ? "auditor" : "shell";
  });
  if (who.role === "auditor") void audit();
  else mux.start();
}

async function audit(): Promise<void> {
  const page = await loadAuditor();
  if (!page) return;
  await page.startTrust();
  mux.start();
}

let firstRun: { workspace: string } | null = null;

// Whoever is new: a workspace and a session, without another question.
export function enterFirstTime(who: User, workspace: string, profile?: string): void {
  firstRun = { workspace };
  if (profile) lastingStore.set("profile", profile);
  enter(who);
}

async function connected(): Promise<void> {
  for (const open of conversations.value.values()) open.unlink();
  try {
    await loadLists();
    for (const open of conversations.value.values()) {
      // The one that `loadLists` has just opened is on its way already, unless the host does not know it yet.
      if (open.id === sessionId.value && open.made) continue;
      if (isWorthFollowing(open)) void open.catchUp();
      else if (open.made) open.rest();
    }
    // Words to sessions that are not open, from before a reload.
    for (const id of outbox.sessions()) openQuietly(id);
    if (firstRun && user.value?.role !== "auditor") await beFirst(firstRun);
  } catch (error) {
    listsLoaded.value = true;
    toast(messageOf(error), "error");
  }
}

async function beFirst(wish: { workspace: string }): Promise<void> {
  firstRun = null;
  // A second tab may have been quicker.
  const there = workspaces.value.find((w) => w.name === wish.workspace);
  if (there) openWorkspace(there.id);
  else await createWorkspace(wish.workspace);
}

async function stillSignedIn(): Promise<boolean> {
  try {
    await http.me();
    return true;
  } catch (error) {
    if (!(error instanceof HttpError) || error.status !== 401) return true;
    leave("Your sign-in has ended. Your drafts are kept in this browser.");
    return false;
  }
}

export function leave(hint: string): void {
  mux.stop();
  batch(() => {
    forgetAll();
    auditorPage.value?.left();
    overlay.value = null;
    user.value = null;
    loginHint.value = hint;
    screen.value = "login";
  });
}

export async function signOut(): Promise<void> {
  await http.logout();
  outbox.clear();
  tabStore.clear();
  drafts.clear();
  leave("You are signed out.");
}
