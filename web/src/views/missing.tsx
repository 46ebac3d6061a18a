// The address names a session that is not in the list. Nothing else is opened in its place: the next
// message would go where nobody meant it to.

import { newSession, openWorkspace } from "../state/sessions";
import { sessions, workspaceId } from "../state/store";
import { Icon } from "../ui/icon";

export function Missing() {
  const has = sessions.value.some((s) => s.workspace_id === workspaceId.value);
  return (
    <div class="nothing" data-testid="session-missing">
      <h2>There is no such session here</h2>
      <p>It was deleted, or it belongs to another account.</p>
      {has ? (
        <button type="button" class="primary" data-testid="missing-action" onClick={() => openWorkspace(workspaceId.value)}>
          Go to your newest session
        </button>
      ) : (
        <button type="button" class="primary" data-testid="missing-action" onClick={() => newSession()}>
          <Icon name="plus" size={14} /> New session
        </button>
      )}
    </div>
  );
}
