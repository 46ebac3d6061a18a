import { useLayer } from "../state/layers";
import {
  conversation, drawerOpen, listsLoaded, missingId, overlay, sessionId, toasts, workspaceId,
} from "../state/store";
import { newSession } from "../state/sessions";
import { Skeleton } from "../ui/basics";
import { Icon } from "../ui/icon";
import { ConversationView } from "./conversation";
import { Overlays } from "./dialogs";
import { Header } from "./header";
import { Inbox, InboxVoice } from "./inbox";
import { Missing } from "./missing";
import { ReconnectBar } from "./reconnect";
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
        {open ? <ConversationView key={sessionId.value} open={open} /> : missingId.value ? <Missing /> : <Nothing />}
      </main>
      <Overlays />
      <InboxVoice />
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
