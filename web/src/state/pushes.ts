// What the host tells about the whole account, unasked: the lists are never older than this.

import type { Connected, Push, Session } from "../protocol/types";
import { isAwake } from "./acts";
import { noteQuestions } from "./inbox";
import { forgetSession, openWorkspace, takeModels, takeSession, takeWorkspace } from "./sessions";
import { conversations, limits, offered, sessionId, sessions, toast, user, workspaceId } from "./store";
import { isUnsent, noteUnsent } from "./unsent";

export function onConnected(told: Connected): void {
  if (told.models) takeModels(told.models);
  if (told.profiles) offered.value = told.profiles;
  if (told.limits) limits.value = told.limits;
  if (told.user) user.value = told.user;
}

export function onPush(push: Push): void {
  switch (push.type) {
    case "session":
      // While it starts this page knows more of it; if that fails, it never was.
      if (isUnsent(push.session.session_id)) return noteUnsent(push.session);
      noteQuestions(push.session);
      takeSession(push.session);
      return follow(push.session);
    case "session_removed": {
      if (isUnsent(push.session_id)) return;
      const shown = push.session_id === sessionId.value && sessions.value.some((s) => s.session_id === push.session_id);
      forgetSession(push.session_id);
      if (shown) toast("That session was deleted elsewhere.");
      return;
    }
    case "workspace":
      takeWorkspace(push.workspace);
      if (!workspaceId.value) openWorkspace(push.workspace.id);
      return;
    case "models":
      return takeModels(push.models);
  }
}

// One that is looked at, and comes to life again after this page had stopped to follow it.
function follow({ session_id: id, state }: Session): void {
  const open = conversations.value.get(id);
  if (!open || id !== sessionId.value || !open.made || open.followed || open.known.value || open.starting.value) return;
  if (isAwake(state)) void open.catchUp();
}
