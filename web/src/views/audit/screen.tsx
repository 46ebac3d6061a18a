// The auditor's page: filters, the time line, one entry, and how far all of it can be believed.
import { useEffect } from "preact/hooks";
import { signOut } from "../../state/app";
import { filtersOpen, newer, openIndex } from "../../state/audit";
import { view } from "../../state/audit_place";
import { finding, trouble } from "../../state/audit_trust";
import { useLayer } from "../../state/layers";
import { link, overlay, user } from "../../state/store";
import { theme, THEMES } from "../../state/theme";
import { IconButton, MenuItem, Popover } from "../../ui/basics";
import { Icon, Mark } from "../../ui/icon";
import { Overlays } from "../dialogs";
import { Detail } from "./detail";
import { Filters, FilterSummary, show, ViewSwitch } from "./filters";
import { Story } from "./story";
import { Timeline } from "./timeline";
import { FindingBanner, TrustChip, TrustDialog } from "./trust";

export function AuditScreen() {
  useLayer(filtersOpen.value, () => (filtersOpen.value = false));
  useEffect(() => {
    document.title = "Audit log · Oqto";
  }, []);
  return (
    <div class={`audit ${openIndex.value !== null ? "has-detail" : ""}`} data-testid="auditor">
      <Top />
      <Filters />
      {filtersOpen.value && <div class="backdrop" onClick={() => (filtersOpen.value = false)} />}
      <main class="audit-main">
        {link.value === "lost" && <p class="reconnect" role="status"><span class="spinner" aria-hidden="true" /> Reconnecting…</p>}
        {finding.value && <FindingBanner />}
        {trouble.value && (
          <p class="audit-note bad" role="alert"><Icon name="warning" /> <span>The host does not follow its own log: {trouble.value}. What is newer is not shown.</span></p>
        )}
        {view.value === "list" && <FilterSummary />}
        {newer.value > 0 && (
          <button type="button" class="audit-newer" data-testid="audit-newer" onClick={() => { newer.value = 0; show(); }}>
            <Icon name="retry" size={14} /> {newer.value} newer {newer.value === 1 ? "entry" : "entries"}
          </button>
        )}
        {view.value === "story" ? <Story /> : <Timeline />}
      </main>
      <Detail />
      <TrustDialog />
      <Overlays />
    </div>
  );
}

function Top() {
  const name = user.value?.username ?? "";
  return (
    <header class="audit-top">
      <IconButton class="audit-filter-button" icon="menu" label="Filters" testid="open-filters" aria-expanded={filtersOpen.value} onClick={() => (filtersOpen.value = true)} />
      <Mark size={24} />
      <h1>Audit log</h1>
      <ViewSwitch />
      <TrustChip />
      <Popover label={<span class="avatar">{name.slice(0, 1).toUpperCase()}</span>} name={`Signed in as ${name}, auditor`} buttonClass="avatar-button" testid="account-menu" align="end">
        {(close) => (
          <>
            <p class="menu-title">{name} · auditor</p>
            <div class="theme-switch" role="group" aria-label="Theme">
              {THEMES.map((t) => (
                <button key={t} type="button" aria-pressed={theme.value === t} data-testid={`theme-${t}`} onClick={() => (theme.value = t)}>{t}</button>
              ))}
            </div>
            <hr />
            <p class="menu-note">What you read here is itself recorded.</p>
            <MenuItem testid="open-account" onClick={() => { close(); overlay.value = "account"; }}>Password and sign-ins</MenuItem>
            <MenuItem testid="sign-out" onClick={() => { close(); void signOut(); }}>Sign out</MenuItem>
          </>
        )}
      </Popover>
    </header>
  );
}
