import { computed, signal } from "@preact/signals";
import { Fragment } from "preact";
import type { Session } from "../protocol/types";
import { signOut } from "../state/app";
import { ago } from "../state/clock";
import { byDay } from "../state/days";
import { attempt, newSession, openSession, openWorkspace, stepSession } from "../state/sessions";
import {
  conversation, drawerOpen, listsLoaded, overlay, sessionId, stateOf, titleOf, unsent, user, workspace, workspaceId, workspaces,
  workspaceSessions,
} from "../state/store";
import { THEMES, theme } from "../state/theme";
import { IconButton, MenuItem, Popover, Skeleton, StateDot } from "../ui/basics";
import { Icon, Mark } from "../ui/icon";
import { focusComposer } from "./commands";
import { Inbox } from "./inbox";
import { ProfileMenu } from "./profile_choice";

const filter = signal("");
const shown = computed(() => {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  return workspaceSessions.value.filter((s) => words.every((w) => titleOf(s).toLowerCase().includes(w)));
});

export function Sidebar() {
  return (
    <nav class={`sidebar ${drawerOpen.value ? "open" : ""}`} id="sidebar" aria-label="Workspaces and sessions">
      {conversation.value && (
        <button type="button" class="skip" onClick={focusComposer}>Skip to the composer</button>
      )}
      <div class="sidebar-top">
        <WorkspaceSwitcher />
        <IconButton class="drawer-only" icon="close" label="Close the list" onClick={() => (drawerOpen.value = false)} />
      </div>
      {workspaceId.value && (
        <>
          <NewSession />
          <label class="search">
            <Icon name="search" size={14} />
            <input
              type="search"
              placeholder="Filter sessions"
              aria-label="Filter sessions by title"
              data-testid="session-filter"
              value={filter.value}
              onInput={(e) => (filter.value = e.currentTarget.value)}
              onKeyDown={(e) => e.key === "ArrowDown" && focusList(e)}
            />
          </label>
        </>
      )}
      <Inbox />
      <SessionList />
      <Account />
    </nav>
  );
}

function focusList(event: KeyboardEvent): void {
  event.preventDefault();
  document.querySelector<HTMLElement>(".session-item")?.focus();
}

function WorkspaceSwitcher() {
  const label = (
    <>
      <Mark size={22} />
      <span class="workspace-name">{workspace.value?.name ?? "No workspace"}</span>
      <Icon name="chevron" size={14} />
    </>
  );
  return (
    <Popover label={label} name="Switch workspace" buttonClass="workspace-button" testid="workspace-switcher">
      {(close) => (
        <>
          {workspaces.value.map((w) => (
            <MenuItem
              key={w.id}
              checked={w.id === workspaceId.value}
              testid="workspace-item"
              onClick={() => {
                close();
                openWorkspace(w.id);
              }}
            >
              {w.name}
            </MenuItem>
          ))}
          {workspaces.value.length > 0 && <hr />}
          <MenuItem
            testid="workspace-create"
            onClick={() => {
              close();
              overlay.value = "workspace";
            }}
          >
            <Icon name="plus" size={14} /> New workspace
          </MenuItem>
        </>
      )}
    </Popover>
  );
}

function NewSession() {
  return (
    <div class="split-button">
      <button type="button" class="secondary" data-testid="session-new" onClick={() => newSession()}>
        <Icon name="plus" size={14} /> New session
      </button>
      <Popover label={<Icon name="chevron" size={14} />} name="New session with another profile" buttonClass="secondary" align="end">
        {(close) => <ProfileMenu close={close} />}
      </Popover>
    </div>
  );
}

function SessionList() {
  if (!listsLoaded.value) return <div class="session-list"><Skeleton lines={4} /></div>;
  if (!workspaceId.value) return <div class="session-list" />;
  const onKey = (event: KeyboardEvent) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    const rows = [...document.querySelectorAll<HTMLElement>(".session-item")];
    const at = rows.indexOf(document.activeElement as HTMLElement);
    rows[at + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
  };
  return (
    <ul class="session-list" onKeyDown={onKey} data-testid="session-list">
      {byDay(shown.value).map(([day, list]) => (
        <Fragment key={day}>
          <li class="list-day" data-testid="list-day">{day}</li>
          {list.map((s) => <li key={s.session_id}><SessionRow item={s} /></li>)}
        </Fragment>
      ))}
      {shown.value.length === 0 && (
        <li class="list-empty">{filter.value ? "No session has these words in its title." : "No sessions yet."}</li>
      )}
    </ul>
  );
}

function isUnsent(item: Session): boolean {
  return unsent.value.includes(item);
}

function SessionRow({ item }: { item: Session }) {
  const current = item.session_id === sessionId.value;
  return (
    <button
      type="button"
      class="session-item"
      aria-current={current ? "page" : undefined}
      data-testid="session-item"
      data-session={item.session_id}
      onClick={() => openSession(item.session_id)}
    >
      <span class="session-title" dir="auto">{titleOf(item)}</span>
      <span class="session-meta">
        <StateDot state={stateOf(item)} />
        <span class="session-age">{isUnsent(item) ? "not sent yet" : ago(item.last_activity)}</span>
      </span>
    </button>
  );
}

const THEME_WORDS = { system: "System", light: "Light", dark: "Dark" } as const;

function Account() {
  const who = user.value;
  if (!who) return null;
  const label = (
    <>
      <span class="avatar" aria-hidden="true">{who.username.slice(0, 1).toUpperCase()}</span>
      <span class="account-name">
        {who.username}
        <small>{who.role === "admin" ? "administrator" : who.role}</small>
      </span>
      <Icon name="chevron" size={14} />
    </>
  );
  return (
    <div class="account">
      <Popover label={label} name="Account" buttonClass="account-button" testid="account-menu" up>
        {(close) => (
          <>
            <div class="theme-switch" role="group" aria-label="Theme">
              {THEMES.map((t) => (
                <button
                  key={t} type="button" aria-pressed={theme.value === t} data-testid={`theme-${t}`} onClick={() => (theme.value = t)}
                >
                  {THEME_WORDS[t]}
                </button>
              ))}
            </div>
            <hr />
            {who.role === "admin" && (
              <MenuItem
                testid="open-invites"
                onClick={() => {
                  close();
                  overlay.value = "invites";
                }}
              >
                Invite people
              </MenuItem>
            )}
            <MenuItem
              hint="?"
              onClick={() => {
                close();
                overlay.value = "shortcuts";
              }}
            >
              Keyboard shortcuts
            </MenuItem>
            <MenuItem
              testid="open-account"
              onClick={() => {
                close();
                overlay.value = "account";
              }}
            >
              Password and sign-ins
            </MenuItem>
            <MenuItem testid="sign-out" onClick={() => attempt(signOut())}>
              Sign out
            </MenuItem>
          </>
        )}
      </Popover>
    </div>
  );
}

export function nextSession(by: 1 | -1): void {
  stepSession(by, shown.value);
}
