// What somebody has written and not sent. It outlives the tab, belongs to one account, and is the same
// in every tab: the newest keystroke counts. Bounded, so that it never fills the browser's storage.

import type { Image } from "./timeline/types";

const PREFIX = "oqto.draft.";
const MOST_DRAFTS = 50;
const MOST_CHARACTERS = 1_000_000;
// A longer one is kept as long as the tab.
const MOST_OF_ONE = 256_000;
const PAUSE_MS = 250;

type Area = Pick<Storage, "getItem" | "setItem" | "removeItem" | "key" | "length">;

function keysOf(area: Area): string[] {
  return Array.from({ length: area.length }, (_, i) => area.key(i)).filter((k): k is string => !!k?.startsWith(PREFIX));
}

// A full or forbidden storage loses comfort, never function.
function quietly<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}

interface Stored {
  text: string;
  at: number;
}

function parse(value: string | null): Stored {
  try {
    const { text, at } = JSON.parse(value ?? "") as Stored;
    return typeof text === "string" && typeof at === "number" ? { text, at } : { text: "", at: 0 };
  } catch {
    return { text: "", at: 0 };
  }
}

export class Drafts {
  #lasting: () => Area;
  #tab: () => Area;
  #owner = "";
  // Written here, not stored yet.
  #fresh = new Map<string, string>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watchers = new Map<string, (text: string) => void>();
  // Pictures do not outlive the page.
  readonly pictures = new Map<string, Image[]>();

  constructor(lasting: () => Area, tab: () => Area) {
    this.#lasting = lasting;
    this.#tab = tab;
  }

  // Another person's words are not this person's: they go.
  own(owner: string): void {
    if (owner === this.#owner) return;
    this.flush();
    if (this.#owner) this.pictures.clear();
    this.#owner = owner;
    for (const area of [this.#lasting, this.#tab]) {
      quietly(() => keysOf(area()).filter((k) => !k.startsWith(this.#key(""))).forEach((k) => area().removeItem(k)));
    }
  }

  get(id: string): string {
    const fresh = this.#fresh.get(id);
    if (fresh !== undefined) return fresh;
    const key = this.#key(id);
    return [this.#lasting, this.#tab].map((area) => parse(quietly(() => area().getItem(key)) ?? null)).reduce((a, b) => (b.at > a.at ? b : a)).text;
  }

  set(id: string, text: string): void {
    this.#fresh.set(id, text);
    clearTimeout(this.#timer);
    // What was sent must not stand in another tab.
    if (text === "") this.flush();
    else this.#timer = setTimeout(() => this.flush(), PAUSE_MS);
  }

  flush(): void {
    clearTimeout(this.#timer);
    for (const [id, text] of this.#fresh) this.#store(this.#key(id), text);
    this.#fresh.clear();
  }

  clear(): void {
    this.#fresh.clear();
    this.pictures.clear();
    for (const area of [this.#lasting, this.#tab]) quietly(() => keysOf(area()).forEach((k) => area().removeItem(k)));
  }

  // Tells of words that another tab wrote, unless newer ones were written here.
  watch(id: string, told: (text: string) => void): () => void {
    this.#watchers.set(id, told);
    return () => void (this.#watchers.get(id) === told && this.#watchers.delete(id));
  }

  changed(key: string | null, value: string | null): void {
    if (!key?.startsWith(this.#key("")) || !this.#owner) return;
    const id = key.slice(this.#key("").length);
    if (!this.#fresh.has(id)) this.#watchers.get(id)?.(parse(value).text);
  }

  #key(id: string): string {
    return `${PREFIX}${this.#owner}.${id}`;
  }

  #store(key: string, text: string): void {
    const long = text.length > MOST_OF_ONE;
    for (const area of [this.#lasting, this.#tab]) {
      if (text === "" || long === (area === this.#lasting)) quietly(() => area().removeItem(key));
    }
    if (text === "" || !this.#owner) return;
    const value = JSON.stringify({ text, at: Date.now() });
    const area = long ? this.#tab : this.#lasting;
    quietly(() => this.#makeRoom(area(), key, value.length));
    if (quietly(() => (area().setItem(key, value), true))) return;
    quietly(() => this.#makeRoom(area(), key, MOST_CHARACTERS));
    quietly(() => area().setItem(key, value));
  }

  // The oldest go first.
  #makeRoom(area: Area, except: string, size: number): void {
    const others = keysOf(area).filter((k) => k !== except);
    const list = others.map((key) => ({ key, value: area.getItem(key) ?? "" })).map((d) => ({ ...d, at: parse(d.value).at }));
    list.sort((a, b) => b.at - a.at);
    let room = MOST_CHARACTERS - size;
    list.forEach(({ key, value }, i) => {
      room -= value.length;
      if (room < 0 || i >= MOST_DRAFTS - 1) area.removeItem(key);
    });
  }
}

export const drafts = new Drafts(() => localStorage, () => sessionStorage);

if (typeof window !== "undefined") {
  addEventListener("storage", (e) => e.storageArea === localStorage && drafts.changed(e.key, e.newValue));
  addEventListener("pagehide", () => drafts.flush());
  document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && drafts.flush());
}
