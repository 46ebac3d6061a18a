// Code and output before their colours are here, and after. A browser that cannot load the second script
// (its hash stands in the import map, which older ones do not read) shows the same words without colours.

import { signal } from "@preact/signals";
import type { Span as CodeSpan } from "./markdown/highlight";
import type { Span } from "./tool/terminal";

type Colours = typeof import("./colours");

const loaded = signal<Colours | null>(null);
const MOST_TRIES = 3;
let tries = 0;
let asking = false;

// Read while a view is drawn: it is drawn again when they come.
export function useColours(): Colours | null {
  if (!loaded.value && !asking && tries < MOST_TRIES) {
    asking = true;
    tries++;
    import("./colours").then((all) => (loaded.value = all), () => {}).finally(() => (asking = false));
  }
  return loaded.value;
}

export function codeSpans(colours: Colours | null, code: string, language: string): CodeSpan[] {
  return colours ? colours.highlight(code, language) : [{ kind: "", text: code }];
}

export function terminalSpans(colours: Colours | null, text: string): Span[] {
  return colours ? colours.renderTerminal(text) : [{ text: plainOutput(text), look: "" }];
}

const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)|[\]PX^_]|[ -/]*[0-~])?/g;
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

// The words alone; of what a carriage return wrote over, the last.
export function plainOutput(text: string): string {
  const words = text.replace(ESCAPES, "");
  const lines = words.includes("\r") ? words.split("\n").map(lastWritten).join("\n") : words;
  return lines.replace(CONTROLS, "");
}

function lastWritten(line: string): string {
  const ended = line.replace(/\r{1,8}$/, "");
  return ended.slice(ended.lastIndexOf("\r") + 1);
}
