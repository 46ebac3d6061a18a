// What the auditor looks at, in the address: a reload shows the same, and a link can be handed on. It stands
// behind the #, which no server gets to see.

import { effect, signal } from "@preact/signals";
import { NO_FILTER, placeOf, readPlace, type View } from "../audit/place";
import { filter, openEntry, openIndex } from "./audit";

export const view = signal<View>("story");

let stop: (() => void) | null = null;

// `shown`: called when the address was changed by hand.
export function followPlace(shown: () => void): void {
  const take = () => {
    const place = readPlace(location.hash);
    view.value = place.view;
    filter.value = place.filter;
    if (place.entry !== null && place.entry !== openIndex.value) void openEntry(place.entry);
  };
  if (stop) return;
  take();
  const onHash = () => {
    if (location.hash === placeOf(view.value, filter.value, openIndex.value)) return;
    take();
    shown();
  };
  addEventListener("hashchange", onHash);
  const write = effect(() => history.replaceState(null, "", placeOf(view.value, filter.value, openIndex.value)));
  stop = () => {
    removeEventListener("hashchange", onHash);
    write();
  };
}

// Another person's questions are not the next one's.
export function leavePlace(): void {
  stop?.();
  stop = null;
  filter.value = NO_FILTER;
  view.value = "story";
  history.replaceState(null, "", location.pathname);
}
