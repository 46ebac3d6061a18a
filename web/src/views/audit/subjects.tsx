// Whose story is told: the newest sessions, and everybody who has an account.
import { plain } from "../../audit/safe";
import { filter, filtersOpen } from "../../state/audit";
import { subjects } from "../../state/audit_story";
import { apply } from "./filters";

const when = (ms: number) => `${new Date(ms).toISOString().slice(0, 10)} ${new Date(ms).toISOString().slice(11, 16)}`;

export function Subjects() {
  const there = subjects.value;
  const f = filter.value;
  if (!there) return null;
  const choose = (change: { session: string; tenant: string }) => {
    filtersOpen.value = false;
    apply(change);
  };
  return (
    <nav class="audit-subjects" aria-label="Whose story" data-testid="subjects">
      <h3>People</h3>
      <ul>
        {there.people.map((one) => {
          const name = one.name || one.account;
          return (
            <li key={one.account}>
              <button type="button" data-testid="person" aria-current={!f.session && (f.tenant === name || f.tenant === one.account) ? "true" : undefined} onClick={() => choose({ tenant: name, session: "" })}>
                <span>{plain(one.name || `account ${one.account}`)}</span><small>no. {plain(one.account)}</small>
              </button>
            </li>
          );
        })}
      </ul>
      <h3>Sessions, newest first</h3>
      {there.sessions.length === 0 && <p>None yet.</p>}
      <ul>
        {there.sessions.map((one) => (
          <li key={one.session + String(one.time)}>
            <button type="button" data-testid="subject-session" data-session={one.session} aria-current={f.session !== "" && one.session.startsWith(f.session.replace(/^oqto-/, "")) ? "true" : undefined} onClick={() => choose({ session: one.session, tenant: "" })}>
              <span>{plain(one.name || `account ${one.account}`)} <code>{plain(one.session.slice(0, 8))}</code></span><small>{when(one.time)}</small>
            </button>
          </li>
        ))}
      </ul>
    </nav>
  );
}
