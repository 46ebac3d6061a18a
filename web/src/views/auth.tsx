import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { http, HttpError } from "../net/http";
import { arrive, enter, enterFirstTime } from "../state/app";
import { nearest } from "../state/offers";
import { linkToken, loginHint, messageOf, screen } from "../state/store";
import { Field, FormError } from "../ui/basics";
import { Icon, Mark } from "../ui/icon";
import { ProfileChoice } from "./profile_choice";

const USERNAME = "[a-z](?:[._\\-]?[a-z0-9]){1,31}";
const PASSWORD_MIN = 12;

function Page({ title, lead, children, wide }: { title: string; lead?: string; children: ComponentChildren; wide?: boolean }) {
  return (
    <main class={`auth ${wide ? "wide" : ""}`}>
      <div class="auth-card">
        <div class="auth-brand">
          <Mark size={28} />
          <span>Oqto</span>
        </div>
        <h1>{title}</h1>
        {lead && <p class="auth-lead">{lead}</p>}
        {children}
      </div>
      <p class="auth-foot">
        <Icon name="shield" size={14} /> Coding agents, each in a sandbox of its own, on your machine.
      </p>
    </main>
  );
}

interface PasswordProps {
  value: string;
  set: (v: string) => void;
  fresh?: boolean;
  name?: string;
  label?: string;
}

// Runs one submission at a time and keeps its failure beside the form.
export function useSubmit(action: () => Promise<void>) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const submit = async (event: Event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setError("");
    try {
      await action();
    } catch (failure) {
      const wait = failure instanceof HttpError ? failure.retryAfterS : undefined;
      const said = messageOf(failure).replace(/[.\s]+$/, "");
      setError(wait ? `${said}. Try again in ${Math.ceil(wait)} s.` : `${said}.`);
    } finally {
      setBusy(false);
    }
  };
  return { busy, error, submit };
}

function UserName({ value, set, hint }: { value: string; set: (v: string) => void; hint?: boolean }) {
  return (
    <Field name="username" label="User name" hint={hint && "2 to 32 of a–z, 0–9; dot, dash and underscore between them; a letter first."}>
      {(id, hintId) => (
        <input
          id={id} name="username" data-testid="username" autocomplete="username" autocapitalize="none" spellcheck={false}
          required maxLength={hint ? 32 : undefined} pattern={hint ? USERNAME : undefined} aria-describedby={hint ? hintId : undefined} autofocus
          value={value} onInput={(e) => set(e.currentTarget.value)}
        />
      )}
    </Field>
  );
}

export function PasswordField({ value, set, fresh, name = "password", label = "Password" }: PasswordProps) {
  const [shown, setShown] = useState(false);
  const missing = PASSWORD_MIN - [...value].length;
  const hint = !fresh
    ? undefined
    : value && missing > 0
      ? `${missing} more ${missing === 1 ? "character" : "characters"} to go.`
      : value
        ? "Long enough."
        : "At least 12 characters. A few unrelated words are easiest to remember.";
  return (
    <Field name={name} label={label} hint={hint}>
      {(id, hintId) => (
        <span class="with-button">
          <input
            id={id} name={name} data-testid={name} type={(shown ? "text" : "password") as "password"} required
            minLength={fresh ? PASSWORD_MIN : undefined} maxLength={256} aria-describedby={fresh ? hintId : undefined}
            autocomplete={fresh ? "new-password" : "current-password"} value={value} onInput={(e) => set(e.currentTarget.value)}
          />
          <button type="button" class="quiet-button" aria-pressed={shown} onClick={() => setShown(!shown)}>
            {shown ? "Hide" : "Show"}
          </button>
        </span>
      )}
    </Field>
  );
}

const FIRST_WORKSPACE = "My project";

function WorkspaceField({ value, set }: { value: string; set: (v: string) => void }) {
  return (
    <Field name="workspace" label="Your first workspace" hint="A folder of its own that your agents work in. You can add more later.">
      {(id, hintId) => (
        <input
          id={id} name="workspace" data-testid="setup-workspace" required maxLength={64} aria-describedby={hintId}
          value={value} onInput={(e) => set(e.currentTarget.value)}
        />
      )}
    </Field>
  );
}

export function Login() {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const { busy, error, submit } = useSubmit(async () => enter((await http.login(name, password)).user));
  return (
    <Page title="Sign in">
      {loginHint.value && <p class="auth-note" role="status">{loginHint.value}</p>}
      <form onSubmit={submit} data-testid="login-form">
        <UserName value={name} set={setName} />
        <PasswordField value={password} set={setPassword} />
        <FormError text={error} />
        <button class="primary wide-button" data-testid="login-submit" disabled={busy}>
          {busy ? "Signing in…" : "Sign in"}
        </button>
      </form>
    </Page>
  );
}

export function Reset() {
  const [password, setPassword] = useState("");
  const { busy, error, submit } = useSubmit(async () => {
    await http.reset(linkToken.value, password);
    location.reload();  // nothing stays of whoever was signed in here before
  });
  return (
    <Page title="Choose a new password" lead="This link works once. It signs you out everywhere else.">
      <form onSubmit={submit} data-testid="reset-form">
        <PasswordField value={password} set={setPassword} fresh label="New password" />
        <FormError text={error} />
        <button class="primary wide-button" data-testid="reset-submit" disabled={busy}>
          {busy ? "Setting it…" : "Set the password and sign in"}
        </button>
      </form>
      <p class="auth-alt">
        You know the old one? <button class="link-button" onClick={() => (screen.value = "login")}>Sign in</button>
      </p>
    </Page>
  );
}

export function Register() {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [space, setSpace] = useState(FIRST_WORKSPACE);
  const { busy, error, submit } = useSubmit(async () => {
    const { user } = await http.register(linkToken.value, name, password);
    enterFirstTime(user, space.trim() || FIRST_WORKSPACE);
  });
  return (
    <Page title="You are invited" lead="Choose a name and a password. Your sessions, files and processes are yours alone.">
      <form onSubmit={submit} data-testid="register-form">
        <UserName value={name} set={setName} hint />
        <PasswordField value={password} set={setPassword} fresh />
        <WorkspaceField value={space} set={setSpace} />
        <FormError text={error} />
        <button class="primary wide-button" data-testid="register-submit" disabled={busy}>
          {busy ? "Creating the account…" : "Create account"}
        </button>
      </form>
      <p class="auth-alt">
        Have an account? <button class="link-button" onClick={() => (screen.value = "login")}>Sign in</button>
      </p>
    </Page>
  );
}

function Step({ number, title, children }: { number: number; title: string; children: ComponentChildren }) {
  return (
    <fieldset class="step">
      <legend>
        <span class="step-number" aria-hidden="true">{number}</span>
        {title}
      </legend>
      {children}
    </fieldset>
  );
}

export function Setup() {
  const [token, setToken] = useState(linkToken.value);
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [space, setSpace] = useState(FIRST_WORKSPACE);
  const [profile, setProfile] = useState(() => nearest("development"));
  const { busy, error, submit } = useSubmit(async () => {
    const { user } = await http.setup(token.trim(), name, password);
    enterFirstTime(user, space.trim(), profile);
  });
  return (
    <Page wide title="Set up Oqto" lead="Three short steps, then your agent is ready to talk.">
      <form onSubmit={submit} data-testid="setup-form">
        <Step number={1} title="Create the administrator">
          {!linkToken.value && (
            <Field name="setup-token" label="Setup token" hint="It is the end of the link that the host printed when it started.">
              {(id, hintId) => (
                <input
                  id={id} name="token" data-testid="setup-token" required autocomplete="off" spellcheck={false} aria-describedby={hintId}
                  value={token} onInput={(e) => setToken(e.currentTarget.value)}
                />
              )}
            </Field>
          )}
          <UserName value={name} set={setName} hint />
          <PasswordField value={password} set={setPassword} fresh />
        </Step>
        <Step number={2} title="Name your first workspace">
          <WorkspaceField value={space} set={setSpace} />
        </Step>
        <Step number={3} title="Choose what your agents may do">
          <ProfileChoice value={profile} set={setProfile} />
        </Step>
        <FormError text={error} />
        <button class="primary wide-button" data-testid="setup-submit" disabled={busy}>
          {busy ? "Creating the account…" : "Create and open the first chat"}
        </button>
      </form>
    </Page>
  );
}

export function Unreachable() {
  return (
    <Page title="The host does not answer" lead={loginHint.value}>
      <button class="primary wide-button" onClick={() => void arrive()}>Try again</button>
    </Page>
  );
}
