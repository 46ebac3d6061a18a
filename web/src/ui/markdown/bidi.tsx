// Characters that turn the direction of text around. In what a model or a program wrote they may make
// a sentence or a line of code read as what it is not, so none of them acts here beyond its own words.

import { type ComponentChild, h } from "preact";

const ANY = /[\u202a-\u202e\u2066-\u2069]/;
const OVERRIDES = /([\u202d\u202e])/;
const ALL = /([\u202a-\u202e\u2066-\u2069])/;

function mark(character: string, key: number): ComponentChild {
  const name = `U+${character.codePointAt(0)!.toString(16).toUpperCase()}`;
  return h("span", { key, class: "bidi-mark", title: "A character that would turn the text around. It has no effect here." }, name);
}

function marked(text: string, which: RegExp): ComponentChild[] {
  return text.split(which).map((piece, i) => (i % 2 ? mark(piece, i) : piece));
}

// Of prose: overrides are shown by name; embeddings and isolates, which Arabic or Hebrew text may need,
// act within this text only.
export function proseText(text: string): ComponentChild {
  return ANY.test(text) ? h("bdi", null, ...marked(text, OVERRIDES)) : text;
}

// Of code nothing may be reordered at all.
export function codeText(text: string): ComponentChild {
  return ANY.test(text) ? h("bdi", { dir: "ltr" }, ...marked(text, ALL)) : text;
}

const STRONG = /([\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc])|\p{L}/u;

// The direction of the first letter, if there is one.
export function directionOf(text: string): "ltr" | "rtl" | undefined {
  const found = STRONG.exec(text);
  return found ? (found[1] ? "rtl" : "ltr") : undefined;
}
