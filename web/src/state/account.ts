// The account's page, which is loaded when somebody opens it.

import { signal } from "@preact/signals";

type Page = typeof import("../views/account/page");

export const accountPage = signal<Page | null>(null);
export const accountFailure = signal("");

export async function loadAccount(): Promise<void> {
  accountFailure.value = "";
  try {
    accountPage.value ??= await import("../views/account/page");
  } catch {
    accountFailure.value = "This could not be loaded. Reload; if that does not help, this browser is too old for it, or ask the operator (`oqtoctl accounts --help`).";
  }
}
