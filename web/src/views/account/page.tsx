// One's own account: the password, and where one is signed in. A file of its own: few open it.
import { useEffect, useState } from "preact/hooks";
import { http } from "../../net/http";
import type { LoginEntry } from "../../protocol/types";
import { signOut } from "../../state/app";
import { ago } from "../../state/clock";
import { messageOf, toast, user } from "../../state/store";
import { Dialog, FormError, Skeleton } from "../../ui/basics";
import { PasswordField, useSubmit } from "../auth";
import { deviceName } from "./device";
import "../../styles/account.css";

export function AccountDialog({ close }: { close: () => void }) {
  const [logins, setLogins] = useState<LoginEntry[] | null>(null);
  const [error, setError] = useState("");
  const load = () => http.logins().then((r) => setLogins(r.logins), (failure: unknown) => setError(messageOf(failure)));
  useEffect(() => void load(), []);
  return (
    <Dialog title="Your account" close={close} class="wide account-dialog">
      <Password after={load} />
      <section aria-labelledby="logins-title">
        <h3 id="logins-title">Where you are signed in</h3>
        <FormError text={error} />
        {logins ? <Logins list={logins} after={load} fail={setError} /> : !error && <Skeleton />}
      </section>
    </Dialog>
  );
}

function Password({ after }: { after: () => Promise<void> }) {
  const [old, setOld] = useState("");
  const [fresh, setFresh] = useState("");
  const [keep, setKeep] = useState(false);
  const { busy, error, submit } = useSubmit(async () => {
    const { ended } = await http.changePassword(old, fresh, keep);
    setOld("");
    setFresh("");
    toast(ended ? `The password was changed, and ${ended === 1 ? "one other sign-in was" : `${ended} other sign-ins were`} ended.` : "The password was changed.");
    await after();
  });
  return (
    <section aria-labelledby="password-title">
      <h3 id="password-title">Change your password</h3>
      <form class="password-form" onSubmit={submit} data-testid="password-form">
        <input hidden name="username" autocomplete="username" value={user.value?.username} readOnly />
        <PasswordField value={old} set={setOld} name="old-password" label="Current password" />
        <PasswordField value={fresh} set={setFresh} fresh name="new-password" label="New password" />
        <label class="check">
          <input type="checkbox" data-testid="keep-others" checked={keep} onChange={(e) => setKeep(e.currentTarget.checked)} />
          Stay signed in everywhere else
        </label>
        <FormError text={error} />
        <button class="primary" data-testid="password-submit" disabled={busy}>{busy ? "Changing…" : "Change the password"}</button>
      </form>
    </section>
  );
}

interface LoginsProps {
  list: LoginEntry[];
  after: () => Promise<void>;
  fail: (why: string) => void;
}

function Logins({ list, after, fail }: LoginsProps) {
  const [busy, setBusy] = useState(false);
  const end = async (which: { id: number } | { others: true }, current = false) => {
    setBusy(true);
    fail("");
    try {
      if (current) return await signOut();  // what this browser keeps goes with it
      await http.endLogins(which);
      await after();
    } catch (failure) {
      fail(messageOf(failure));
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <ul class="login-list" data-testid="login-list">
        {list.map((login) => (
          <li key={login.id} data-testid="login-item">
            <span>
              <strong title={login.agent}>{deviceName(login.agent)}</strong>
              {login.current && <em class="login-here">this one</em>}
              <small>
                used {seen(login.last_seen_at)} · signed in {new Date(login.created_at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })}
                {login.remote && ` · from ${address(login.remote)}`}
              </small>
            </span>
            <button
              type="button" class="secondary small" data-testid="login-end" disabled={busy}
              aria-label={`Sign out ${deviceName(login.agent)}, used ${seen(login.last_seen_at)}`} onClick={() => void end({ id: login.id }, login.current)}
            >
              Sign out
            </button>
          </li>
        ))}
      </ul>
      {list.length > 1 && (
        <button type="button" class="secondary" data-testid="logins-end-others" disabled={busy} onClick={() => void end({ others: true })}>
          Sign out all others
        </button>
      )}
    </>
  );
}

function seen(ms: number): string {
  const words = ago(ms);
  return words === "now" ? "just now" : /[dh]$|min$/.test(words) ? `${words} ago` : `on ${words}`;
}

// Without the port, which says nothing to a person.
function address(remote: string): string {
  return remote.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
}
