// So many sessions may work at once. Which ones do, and what can be done about it.

import { abort } from "../state/acts";
import { attempt, openSession } from "../state/sessions";
import { sessions, stateOf, titleOf, workspaces } from "../state/store";
import { StateDot } from "../ui/basics";

const WORKS = new Set(["working", "waiting", "starting"]);

export function AtWork() {
  const list = sessions.value.filter((s) => WORKS.has(stateOf(s)));
  if (list.length === 0) return null;
  return (
    <ul class="at-work" data-testid="at-work" aria-label="Sessions at work">
      {list.map((s) => (
        <li key={s.session_id} data-testid="at-work-item">
          <span class="at-work-title">{titleOf(s)}</span>
          <StateDot state={stateOf(s)} />
          <small>{workspaces.value.length > 1 ? workspaces.value.find((w) => w.id === s.workspace_id)?.name : ""}</small>
          <button type="button" class="secondary small" data-testid="at-work-stop" onClick={() => attempt(abort(s.session_id))}>Stop</button>
          <button type="button" class="secondary small" data-testid="at-work-open" onClick={() => openSession(s.session_id)}>Open</button>
        </li>
      ))}
    </ul>
  );
}
