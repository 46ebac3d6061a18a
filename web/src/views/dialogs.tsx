import { useEffect, useState } from "preact/hooks";
import { http } from "../net/http";
import type { Invite, Role } from "../protocol/types";
import { accountFailure, accountPage, loadAccount } from "../state/account";
import { createWorkspace, deleteSession, renameSession } from "../state/sessions";
import { messageOf, overlay, session, titleOf } from "../state/store";
import { copyText, Dialog, Field, FormError, Skeleton } from "../ui/basics";
import { Palette } from "./palette";

const close = () => (overlay.value = null);

export function Overlays() {
  switch (overlay.value) {
    case "palette":
      return <Palette close={close} />;
    case "invites":
      return <Invites />;
    case "account":
      return <Account />;
    case "workspace":
      return <OneLine key="workspace" title="New workspace" label="Name" action="Create workspace" start="" testid="workspace" run={createWorkspace} />;
    case "rename": {
      const item = session.value;
      if (!item) return null;
      const run = (name: string) => renameSession(item.session_id, name);
      return <OneLine key="rename" title="Rename session" label="Title" action="Rename" start={titleOf(item)} testid="rename" run={run} />;
    }
    case "delete":
      return <DeleteSession />;
    case "shortcuts":
      return <Shortcuts />;
    default:
      return null;
  }
}

function Account() {
  useEffect(() => void loadAccount(), []);
  const page = accountPage.value;
  if (page) return <page.AccountDialog close={close} />;
  return (
    <Dialog title="Your account" close={close} class="wide">
      {accountFailure.value ? <FormError text={accountFailure.value} /> : <Skeleton />}
    </Dialog>
  );
}

interface OneLineProps {
  title: string;
  label: string;
  action: string;
  start: string;
  testid: string;
  run: (value: string) => Promise<void>;
}

function OneLine({ title, label, action, start, testid, run }: OneLineProps) {
  const [value, setValue] = useState(start);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const submit = async (event: Event) => {
    event.preventDefault();
    if (busy || !value.trim()) return;
    setBusy(true);
    setError("");
    try {
      await run(value.trim());
      close();
    } catch (failure) {
      setError(messageOf(failure));
      setBusy(false);
    }
  };
  return (
    <Dialog title={title} close={close}>
      <form onSubmit={submit} data-testid={`${testid}-form`}>
        <Field name={testid} label={label}>
          {(id) => (
            <input
              id={id} data-testid={`${testid}-name`} required maxLength={64} autofocus value={value}
              onInput={(e) => setValue(e.currentTarget.value)} onFocus={(e) => e.currentTarget.select()}
            />
          )}
        </Field>
        <FormError text={error} />
        <div class="dialog-actions">
          <button type="button" class="secondary" onClick={close}>Cancel</button>
          <button class="primary" data-testid={`${testid}-submit`} disabled={busy || !value.trim()}>{action}</button>
        </div>
      </form>
    </Dialog>
  );
}

function DeleteSession() {
  const item = session.value;
  const [error, setError] = useState("");
  if (!item) return null;
  const remove = () => deleteSession(item.session_id).then(close, (failure: unknown) => setError(messageOf(failure)));
  return (
    <Dialog title="Delete this session?" close={close}>
      <p>
        “{titleOf(item)}” and its messages are removed for good. Files in the workspace stay as they are.
      </p>
      <FormError text={error} />
      <div class="dialog-actions">
        <button type="button" class="secondary" autofocus onClick={close}>Keep it</button>
        <button type="button" class="danger-button" data-testid="delete-confirm" onClick={remove}>Delete</button>
      </div>
    </Dialog>
  );
}

const LIFETIMES: [number, string][] = [[24, "1 day"], [72, "3 days"], [168, "1 week"], [720, "30 days"]];
const ROLES: [Role, string][] = [["user", "User"], ["auditor", "Auditor"], ["admin", "Administrator"]];

const ROLE_HINTS: Record<Role, string> = {
  user: "Has workspaces and sessions of their own, and sees nobody else's.",
  auditor: "Reads the audit log here and with oqto-audit. Has no sessions.",
  admin: "A user who can also invite people. Sees nobody else's sessions.",
};

function Invites() {
  const [invites, setInvites] = useState<Invite[] | null>(null);
  const [role, setRole] = useState<Role>("user");
  const [hours, setHours] = useState(72);
  const [made, setMade] = useState("");
  const [copied, setCopied] = useState(false);
  const [error, setError] = useState("");
  const load = () => http.invites().then((r) => setInvites(r.invites));
  const run = (action: () => Promise<unknown>) => {
    setError("");
    action().then(load).catch((failure: unknown) => setError(messageOf(failure)));
  };
  useEffect(() => run(async () => {}), []);
  const create = (event: Event) => {
    event.preventDefault();
    run(async () => {
      const { code } = await http.createInvite(role, hours);
      setMade(`${location.origin}/#invite=${encodeURIComponent(code)}`);
      setCopied(false);
    });
  };
  const copy = async () => setCopied(await copyText(made));
  return (
    <Dialog title="Invite people" close={close} class="wide">
      <form class="invite-form" onSubmit={create}>
        <Field name="invite-role" label="Role">
          {(id) => (
            <select id={id} value={role} onChange={(e) => setRole(e.currentTarget.value as Role)}>
              {ROLES.map(([value, words]) => <option key={value} value={value}>{words}</option>)}
            </select>
          )}
        </Field>
        <Field name="invite-life" label="Valid for">
          {(id) => (
            <select id={id} value={hours} onChange={(e) => setHours(Number(e.currentTarget.value))}>
              {LIFETIMES.map(([value, words]) => <option key={value} value={value}>{words}</option>)}
            </select>
          )}
        </Field>
        <button class="primary" data-testid="invite-create">Create link</button>
      </form>
      <p class="field-hint">{ROLE_HINTS[role]}</p>
      {made && (
        <div class="invite-made" role="status">
          <p>Send this link to one person. It works once, and it is shown only now.</p>
          <span class="with-button">
            <input readOnly data-testid="invite-link" aria-label="Invite link" value={made} onFocus={(e) => e.currentTarget.select()} />
            <button type="button" class="quiet-button" onClick={copy}>{copied ? "Copied" : "Copy"}</button>
          </span>
        </div>
      )}
      <FormError text={error} />
      <InviteList invites={invites} revoke={(id) => run(() => http.revokeInvite(id))} />
    </Dialog>
  );
}

function InviteList({ invites, revoke }: { invites: Invite[] | null; revoke: (id: Invite["id"]) => void }) {
  if (!invites) return <Skeleton />;
  if (invites.length === 0) return <p class="menu-note">Nobody is invited yet.</p>;
  return (
    <ul class="invite-list" data-testid="invite-list">
      {invites.map((invite) => (
        <li key={invite.id} data-testid="invite-item">
          <span>
            <strong>{ROLES.find(([r]) => r === invite.role)?.[1] ?? invite.role}</strong>
            <small>
              created {new Date(invite.created_at).toLocaleDateString()}{invite.made_by && ` by ${invite.made_by}`} · {inviteState(invite)}
            </small>
          </span>
          {!invite.used_by && invite.expires_at > Date.now() && (
            <button type="button" class="secondary small" data-testid="invite-revoke" onClick={() => revoke(invite.id)}>
              Revoke
            </button>
          )}
        </li>
      ))}
    </ul>
  );
}

function within(ms: number): string {
  const hours = Math.round(ms / 3_600_000);
  if (hours < 1) return "less than an hour";
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}

function inviteState(invite: Invite): string {
  if (invite.used_by) return `used by ${invite.used_by}`;
  if (invite.expires_at <= Date.now()) return "expired";
  if (invite.state === "suspended") return `suspended: ${invite.made_by ?? "its maker"} may not invite now`;
  return `expires in ${within(invite.expires_at - Date.now())}`;
}

const KEYS: [string, string][] = [
  ["Ctrl K", "Command palette: every action"],
  ["Enter", "Send"],
  ["Shift Enter", "New line"],
  ["Alt Enter", "While the agent works: send when it is done"],
  ["Esc", "Close what opened last; in the composer: stop the agent"],
  ["↑", "In an empty composer: take back the last message"],
  ["Alt N", "New session"],
  ["Alt ↑ / ↓", "Previous or next session"],
  ["/", "Go to the composer"],
  ["?", "This list"],
];

function Shortcuts() {
  return (
    <Dialog title="Keyboard shortcuts" close={close}>
      <dl class="keys">
        {KEYS.map(([keys, words]) => (
          <div key={keys}>
            <dt><kbd>{keys}</kbd></dt>
            <dd>{words}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
