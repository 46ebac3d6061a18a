// The sandbox profiles to choose from. What this host cannot run is shown with the reason, and is no choice.

import { whyNot } from "../state/offers";
import { PROFILES } from "../state/profiles";
import { newSession } from "../state/sessions";
import { MenuItem } from "../ui/basics";

export function ProfileChoice({ value, set }: { value: string; set: (name: string) => void }) {
  return (
    <div class="choices">
      {PROFILES.map((p) => {
        const why = whyNot(p.name);
        return (
          <label key={p.name} class="choice" data-testid={`profile-${p.name}`}>
            <input
              type="radio" name="profile" value={p.name} checked={value === p.name} disabled={why !== undefined}
              aria-describedby={`profile-${p.name}-gist`} onChange={() => set(p.name)}
            />
            <span>
              <strong>{p.label}</strong>
              <small id={`profile-${p.name}-gist`}>{why === undefined ? p.gist : `Not on this host: ${why}`}</small>
            </span>
          </label>
        );
      })}
    </div>
  );
}

export function ProfileMenu({ close }: { close: () => void }) {
  return (
    <>
      <p class="menu-title">New session for</p>
      {PROFILES.map((p) => {
        const why = whyNot(p.name);
        return (
          <MenuItem
            key={p.name}
            testid={`session-new-${p.name}`}
            disabled={why !== undefined}
            onClick={() => {
              close();
              newSession(p.name);
            }}
          >
            {p.label}
            <small>{why === undefined ? p.gist : `Not on this host: ${why}`}</small>
          </MenuItem>
        );
      })}
    </>
  );
}
