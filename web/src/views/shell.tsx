import { useEffect, useState } from "preact/hooks";
import { useLayer } from "../state/layers";
import {
  conversation, drawerOpen, link, listsLoaded, overlay, sessionId, sessions, stateOf, toasts, workspaceId,
} from "../state/store";
import { newSession } from "../state/sessions";
import { Skeleton } from "../ui/basics";
import { Icon } from "../ui/icon";
import { ConversationView } from "./conversation";
import { Overlays } from "./dialogs";
import { Header } from "./header";
import { Inbox, InboxVoice } from "./inbox";
import { Sidebar } from "./sidebar";

export function Shell() {
  useLayer(drawerOpen.value, () => (drawerOpen.value = false));
  const open = conversation.value;
  return (
    <div class="shell">
      <Sidebar />
      {drawerOpen.value && <div class="backdrop" onClick={() => (drawerOpen.value = false)} />}
      <main class="main">
        <ReconnectBar />
        <Header />
        <Inbox inMain />
        {open ? <ConversationView key={sessionId.value} open={open} /> : <Nothing />}
      </main>
      <Overlays />
      <InboxVoice />
    </div>
  );
}

const QUIET_MS = 800;

// A blip that heals at once is not worth a word.
function ReconnectBar() {
  const [shown, setShown] = useState(false);
  const lost = link.value === "lost";
  const working = sessions.value.some((s) => stateOf(s) === "working");
  useEffect(() => {
    if (!lost) return setShown(false);
    const timer = setTimeout(() => setShown(true), QUIET_MS);
    return () => clearTimeout(timer);
  }, [lost]);
  if (!shown) return null;
  return (
    <div class="reconnect" role="status" data-testid="reconnect-bar">
      <span class="spinner" aria-hidden="true" /> Reconnecting…{working && " your agent keeps working."}
    </div>
  );
}

function Nothing() {
  if (!listsLoaded.value) return <div class="nothing"><Skeleton lines={4} /></div>;
  if (!workspaceId.value) {
    return (
      <div class="nothing">
        <h2>Create your first workspace</h2>
        <p>A workspace is a folder of its own in which your agents work.</p>
        <button type="button" class="primary" data-testid="workspace-create-first" onClick={() => (overlay.value = "workspace")}>
          Create a workspace
        </button>
      </div>
    );
  }
  return (
    <div class="nothing">
      <h2>No session is open</h2>
      <p>A session is one conversation with an agent, in a sandbox of its own.</p>
      <button type="button" class="primary" data-testid="session-new-first" onClick={() => newSession()}>
        <Icon name="plus" size={14} /> New session
      </button>
    </div>
  );
}

export function Toasts() {
  return (
    <div class="toasts" aria-live="polite">
      {toasts.value.map((t) => (
        <div key={t.id} class={`toast ${t.tone}`} data-testid="toast">{t.text}</div>
      ))}
    </div>
  );
}
