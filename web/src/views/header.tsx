import { Fragment } from "preact";
import type { Model } from "../protocol/types";
import { isAwake } from "../state/acts";
import { mux } from "../state/link";
import { labelOf, others } from "../state/offers";
import { ALWAYS, effectiveText, profileText, REACHES, READS } from "../state/profiles";
import { attempt, closeSession, restartWithProfile, takeModels } from "../state/sessions";
import { lastingStore } from "../state/storage";
import { conversation, drawerOpen, models, overlay, session, stateOf, titleOf } from "../state/store";
import { IconButton, MenuItem, Popover, StateDot } from "../ui/basics";
import { Icon } from "../ui/icon";
import { waysOut } from "./ways_out";

export function Header() {
  const item = session.value;
  return (
    <header class="top">
      <IconButton
        class="drawer-only"
        icon="menu"
        label="Sessions"
        testid="open-drawer"
        aria-expanded={drawerOpen.value}
        aria-controls="sidebar"
        onClick={() => (drawerOpen.value = true)}
      />
      <h1 class="top-title" dir="auto" data-testid="session-title">{item ? titleOf(item) : "Oqto"}</h1>
      {item && (
        <>
          <span class="top-state">
            <StateDot state={stateOf(item)} testid="state-word" />
          </span>
          <span class="top-tools">
            <ModelPicker />
            <ProfileBadge />
          </span>
          <SessionMenu />
        </>
      )}
      <IconButton class="palette-button" icon="command" label="Command palette (Ctrl K)" testid="open-palette" onClick={() => (overlay.value = "palette")} />
    </header>
  );
}

const LEVELS = ["off", "minimal", "low", "medium", "high"];

function ModelPicker() {
  const open = conversation.value;
  const { model, provider, thinkingLevel } = open?.timeline.value ?? {};
  const id = model || session.value?.model;
  const from = provider || session.value?.provider;
  const list = models.value;
  // Before a session says which one it uses, only a choice of one is known.
  const current = list.find((m) => m.id === id && (!from || m.provider === from)) ?? (!id && list.length === 1 ? list[0] : undefined);
  const load = () => {
    const target = open?.made && open.known.value && isAwake(open.timeline.value.status.state) ? open.id : "_system";
    mux.request<Model[] | { models: Model[] }>(target, "get_models").then(
      (data) => takeModels(Array.isArray(data) ? data : data.models),
      () => {},
    );
  };
  const choose = (m: Model) => {
    lastingStore.set("model", `${m.provider}\n${m.id}`);
    if (open) attempt(open.setModel(m.provider, m.id));
  };
  const label = (
    <>
      <span class="picker-name">{current?.name ?? (id || "Default model")}</span>
      {current?.demo && !/demo/i.test(current.name) && <span class="tag">demo</span>}
      <Icon name="chevron" size={14} />
    </>
  );
  return (
    <Popover label={label} name="Choose the model" buttonClass="picker" testid="model-picker" align="end" onOpen={load}>
      {(close) => (
        <>
          {list.length === 0 && (
            <p class="menu-note">
              {stateOf(session.value!) === "idle"
                ? "The host offers no model. Its administrator can add one."
                : "The models show here once an agent has started."}
            </p>
          )}
          {list.map((m) => (
            <MenuItem
              key={`${m.provider}/${m.id}`}
              checked={m === current}
              testid="model-item"
              hint={m.provider}
              onClick={() => {
                close();
                choose(m);
              }}
            >
              {m.name}
              {m.demo && <small>Scripted and offline. It is no AI.</small>}
            </MenuItem>
          ))}
          {current?.reasoning && (
            <>
              <hr />
              <p class="menu-title">Thinking</p>
              <div class="theme-switch" role="group" aria-label="Thinking level">
                {LEVELS.map((level) => (
                  <button
                    key={level}
                    type="button"
                    aria-pressed={thinkingLevel === level}
                    onClick={() => open && attempt(open.setThinking(level))}
                  >
                    {level}
                  </button>
                ))}
              </div>
            </>
          )}
        </>
      )}
    </Popover>
  );
}

export function ProfileBadge() {
  const open = conversation.value;
  const name = open?.profile.value || session.value?.profile || "";
  if (!name) return null;
  const text = profileText(name);
  const empty = open?.timeline.value.entries.length === 0;
  const policy = open?.policy.value;
  const label = (
    <>
      <Icon name="shield" size={14} />
      <span>{labelOf(name)}</span>
    </>
  );
  return (
    <Popover label={label} name={`Sandbox profile: ${labelOf(name)}. What it allows`} buttonClass="badge" testid="profile-badge" align="end">
      {(close) => (
        <div class="explain" data-testid="profile-explanation">
          <div class="explain-head">
            <h2>{text?.label ?? name}</h2>
            <IconButton icon="close" label="Close" onClick={close} />
          </div>
          <p>{text?.gist ?? "A profile of this host. Its administrator knows what it allows."}</p>
          {policy && (
            <dl data-testid="effective-policy">
              {effectiveText(policy).map(([name, words]) => <Fragment key={name}><dt>{name}</dt><dd>{words}</dd></Fragment>)}
              {text && <><dt>Runs</dt><dd>{text.runs}</dd></>}
            </dl>
          )}
          {!policy && text && (
            <dl>
              <dt>Reads</dt>
              <dd>{READS}</dd>
              <dt>Writes</dt>
              <dd>{text.writes}</dd>
              <dt>Runs</dt>
              <dd>{text.runs}</dd>
              <dt>Reaches</dt>
              <dd>{REACHES}</dd>
              <dt>Up to</dt>
              <dd>{text.upTo}</dd>
            </dl>
          )}
          <ul>
            {ALWAYS.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
          <p class="menu-note">
            Policy files call it <code>{name}</code>. The host's <code>/etc/oqto/sandbox.toml</code> sets what each profile grants; the workspace's
            own <code>.oqto/sandbox.toml</code> can only tighten it.
          </p>
          {empty && open && (
            <div class="explain-change">
              <span>Start over as</span>
              {others(name).map((p) => (
                <button
                  key={p.name}
                  type="button"
                  class="secondary small"
                  onClick={() => {
                    close();
                    attempt(restartWithProfile(open.id, p.name));
                  }}
                >
                  {p.label}
                </button>
              ))}
            </div>
          )}
          {!empty && <p class="menu-note">A profile holds for a session's whole life. For another one, start a new session.</p>}
        </div>
      )}
    </Popover>
  );
}

function SessionMenu() {
  const item = session.value!;
  const open = conversation.value;
  return (
    <Popover label={<Icon name="more" />} name="Session actions" buttonClass="icon-button" testid="session-menu" align="end">
      {(close) => {
        const then = (action: () => void) => () => {
          close();
          action();
        };
        return (
          <>
            <MenuItem testid="session-rename" onClick={then(() => (overlay.value = "rename"))}>Rename…</MenuItem>
            {open && waysOut(open).map((way) => (
              <MenuItem key={way.id} testid={`menu-${way.id}`} onClick={then(way.run)}>
                {way.name} <small>{way.hint}</small>
              </MenuItem>
            ))}
            {open?.made && isAwake(stateOf(item)) && (
              <MenuItem testid="session-close" onClick={then(() => attempt(closeSession(item.session_id)))}>
                Close <small>Ends the agent. The conversation stays, and your next message goes on with it.</small>
              </MenuItem>
            )}
            <hr />
            <MenuItem danger testid="session-delete" onClick={then(() => (overlay.value = "delete"))}>Delete…</MenuItem>
          </>
        );
      }}
    </Popover>
  );
}
