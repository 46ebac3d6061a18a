// A tool's output, as a terminal shows it and with its end in view.

import { useMemo } from "preact/hooks";
import { sizeText } from "../../state/part";
import type { Tool } from "../../state/timeline/types";
import { terminalSpans, useColours } from "../colour";
import { CutActions, useWhole, type Whole } from "../cut";
import { codeText } from "../markdown/bidi";
import { Box } from "./box";
import type { Span } from "./terminal";

const TAIL_LINES = 4;
const TAIL_CHARACTERS = 16_384;

// The newest lines of a running tool, without opening its card.
export function LiveTail({ text }: { text: string }) {
  const shown = terminalSpans(useColours(), text.slice(-TAIL_CHARACTERS)).map((s) => s.text).join("");
  const lines = shown.replace(/\n+$/, "").split("\n").slice(-TAIL_LINES);
  return (
    <pre class="tool-tail" dir="ltr" data-testid="tool-tail">
      {codeText(lines.join("\n"))}
    </pre>
  );
}

const PAGE_LINES = 200;
const LONG_CHARACTERS = 100_000;

// Cuts spans at every so many lines: pages that are out of view need not be laid out.
function pagesOf(spans: Span[]): Span[][] {
  const pages: Span[][] = [[]];
  let lines = 0;
  for (const { text, look } of spans) {
    let from = 0;
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) {
      if (++lines % PAGE_LINES !== 0) continue;
      pages.at(-1)!.push({ text: text.slice(from, at + 1), look });
      pages.push([]);
      from = at + 1;
    }
    if (from < text.length) pages.at(-1)!.push({ text: text.slice(from), look });
  }
  return pages;
}

const draw = (spans: Span[]) =>
  spans.map((s, i) => (s.look ? <span key={i} class={s.look}>{codeText(s.text)}</span> : codeText(s.text)));

export function TerminalText({ spans, length }: { spans: Span[]; length: number }) {
  if (length < LONG_CHARACTERS) return <>{draw(spans)}</>;
  return <>{pagesOf(spans).map((page, i) => <span key={i} class="output-page">{draw(page)}</span>)}</>;
}

function amount(whole: Whole | null, lines: number, shown: string): string {
  const count = lines > 1 ? `${lines.toLocaleString("en")} lines` : "";
  if (!whole) return count;
  const size = sizeText(whole.total);
  if (whole.text !== undefined) return [count, size].filter(Boolean).join(" · ");
  if (whole.tail !== undefined) return `the last ${sizeText(shown.length)} of ${size}`;
  return `${sizeText(shown.length)} of ${size}`;
}

export function Result({ tool, sessionId }: { tool: Tool; sessionId: string }) {
  const whole = useWhole(sessionId, tool.cut, true);
  const text = whole?.text ?? whole?.tail ?? tool.output;
  const colours = useColours();
  const spans = useMemo(() => terminalSpans(colours, text), [colours, text]);
  const shown = useMemo(() => spans.map((s) => s.text).join(""), [spans]);
  const lines = useMemo(() => shown.replace(/\n$/, "").split("\n").length, [shown]);
  if (tool.state === "writing" || tool.state === "waiting") return null;
  if (!tool.output) {
    const words = tool.state === "running" ? "No output yet." : tool.state === "stopped" ? "Stopped before it ended." : "No output.";
    return (
      <p class="tool-empty" data-testid="tool-output">
        {words}
      </p>
    );
  }
  const unfinished = tool.state === "running" || tool.state === "stopped";
  return (
    <Box
      title={unfinished ? "Output so far" : tool.state === "failed" ? "Error" : "Result"} text={shown} count={amount(whole, lines, shown)}
      atEnd testid="tool-output" failed={tool.state === "failed"}
      actions={whole && <CutActions whole={whole} name={`${tool.name}-output.txt`} />}
    >
      <TerminalText spans={spans} length={shown.length} />
    </Box>
  );
}
