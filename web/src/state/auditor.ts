// The auditor's page, which is loaded when an auditor signs in.

import { signal } from "@preact/signals";

type Page = typeof import("../views/audit/page");

export const auditorPage = signal<Page | null>(null);
export const auditorFailure = signal("");

// Browsers that cannot check a script that is loaded later by its hash do not load it at all.
const TOO_OLD =
  "The auditor's page could not be loaded. Reload; if that does not help, this browser is too old for it: Chrome 127, Firefox 138 or Safari 18.4 is needed. " +
  "A copy of the log can always be checked with `oqto-audit verify`.";

export async function loadAuditor(): Promise<Page | null> {
  auditorFailure.value = "";
  try {
    auditorPage.value ??= await import("../views/audit/page");
  } catch {
    auditorFailure.value = TOO_OLD;
  }
  return auditorPage.value;
}
