import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { duration, elapsed, useNow } from "../../state/clock";
import type { Tool, ToolState } from "../../state/timeline/types";
import { CopyButton } from "../basics";
import { Icon } from "../icon";
import { Highlighted } from "../markdown/code";
import { memo } from "../memo";
import { describe, type Described, type Edit, languageOf } from "./describe";
import { diffLines } from "./diff";

const OUTCOMES: Record<ToolState, string> = {
  writing: "preparing",
  waiting: "queued",
  running: "running",
  done: "done",
  failed: "failed",
  stopped: "stopped",
};

const LONG_LINES = 400;

// One tool call. Closed it is one line; open it shows everything.
export const ToolCard = memo(function ToolCard({ tool, onToggle }: { tool: Tool; onToggle?: (() => void) | undefined }) {
  const [chosen, setChosen] = useState<boolean | null>(null);
  const what = useMemo(() => describe(tool), [tool.name, tool.input]);
  const open = chosen ?? false;
  const running = tool.state === "running";
  const ended = tool.state === "done" || tool.state === "failed" || tool.state === "stopped";
  const bodyId = `tool-${tool.id}`;
  const card = useRef<HTMLElement>(null);
  const toggle = () => {
    onToggle?.();
    setChosen(!open);
  };
  // What was asked for should be seen: the line stays, or moves up just far enough.
  useLayoutEffect(() => {
    if (chosen) reveal(card.current);
  }, [chosen]);
  return (
    <section class="tool-card" ref={card} data-testid="tool-card" data-tool={tool.name} data-state={tool.state}>
      <button
        type="button"
        class="tool-line"
        aria-expanded={open}
        aria-controls={bodyId}
        data-testid="tool-toggle"
        onClick={toggle}
      >
        <Icon name={what.icon} />
        <span class="tool-verb">{ended && (tool.state !== "stopped" || tool.output) ? what.did : what.doing}</span>
        <span class={`tool-object ${what.objectIsCode ? "mono" : ""}`}>{what.object || "…"}</span>
        <Outcome tool={tool} />
        <span class={`turn ${open ? "open" : ""}`}>
          <Icon name="right" size={14} />
        </span>
      </button>
      {!open && running && tool.output && <LiveTail text={tool.output} />}
      {open && (
        <div class="tool-body" id={bodyId}>
          <Arguments tool={tool} what={what} />
          <Result tool={tool} />
        </div>
      )}
    </section>
  );
});

function reveal(card: HTMLElement | null): void {
  const room = card?.closest(".scroll")?.getBoundingClientRect();
  if (!card || !room) return;
  const tall = card.getBoundingClientRect().height > room.height;
  card.scrollIntoView({ block: tall ? "start" : "nearest" });
}

function Outcome({ tool }: { tool: Tool }) {
  const now = useNow(tool.state === "running" && tool.startedAt !== undefined);
  const time =
    tool.state === "running" && tool.startedAt !== undefined
      ? elapsed(now - tool.startedAt)
      : tool.durationMs !== undefined
        ? duration(tool.durationMs)
        : "";
  return (
    <span class="tool-outcome" data-state={tool.state}>
      {tool.state === "done" && <Icon name="check" size={14} />}
      {tool.state === "failed" && <Icon name="cross" size={14} />}
      {tool.state === "stopped" && <Icon name="stop" size={12} />}
      {(tool.state === "running" || tool.state === "writing") && <span class="spinner" aria-hidden="true" />}
      <span class="tool-word">{OUTCOMES[tool.state]}</span>
      {time && <span class="tool-time">{time}</span>}
    </span>
  );
}

const TAIL_LINES = 4;

// The newest lines of a running tool, without opening its card.
function LiveTail({ text }: { text: string }) {
  const lines = text.replace(/\n+$/, "").split("\n").slice(-TAIL_LINES);
  return (
    <pre class="tool-tail" data-testid="tool-tail">
      {lines.join("\n")}
    </pre>
  );
}

function Arguments({ tool, what }: { tool: Tool; what: Described }) {
  if (tool.state === "writing") return <Box title="Arguments (being written)" text={tool.argsText || "…"} />;
  const rest = Object.entries(what.rest);
  return (
    <>
      {what.command !== undefined && <Box title="Command" text={what.command} language="bash" prefix="$ " />}
      {what.path && tool.name !== "ls" && <PathLine path={what.path} />}
      {what.edits && <Diff edits={what.edits} />}
      {what.content !== undefined && (
        <Box title="Content" text={what.content} language={languageOf(what.path ?? "")} numbered />
      )}
      {rest.length > 0 && <Box title="Arguments" text={JSON.stringify(what.rest, null, 2)} language="json" />}
    </>
  );
}

function PathLine({ path }: { path: string }) {
  return (
    <div class="path-line">
      <span class="box-title">File</span>
      <code>{path}</code>
      <CopyButton text={() => path} />
    </div>
  );
}

function Result({ tool }: { tool: Tool }) {
  const waiting = tool.state === "writing" || tool.state === "waiting";
  if (waiting) return null;
  if (!tool.output) {
    const words = tool.state === "running" ? "No output yet." : tool.state === "stopped" ? "Stopped before it ended." : "No output.";
    return (
      <p class="tool-empty" data-testid="tool-output">
        {words}
      </p>
    );
  }
  const title = tool.state === "running" || tool.state === "stopped" ? "Output so far" : tool.state === "failed" ? "Error" : "Result";
  return <Box title={title} text={tool.output} follow={tool.state === "running"} testid="tool-output" failed={tool.state === "failed"} />;
}

interface BoxProps {
  title: string;
  text: string;
  language?: string;
  prefix?: string;
  numbered?: boolean;
  follow?: boolean;
  failed?: boolean;
  testid?: string;
}

// Text in a scrolling box that can be grown to its full height.
function Box({ title, text, language, prefix, numbered, follow, failed, testid }: BoxProps) {
  const box = useRef<HTMLPreElement>(null);
  const stuck = useRef(true);
  const [full, setFull] = useState(false);
  const [overflows, setOverflows] = useState(false);
  const lines = text.replace(/\n$/, "").split("\n").length;
  useLayoutEffect(() => {
    const pre = box.current;
    if (!pre) return;
    setOverflows(pre.scrollHeight > pre.clientHeight + 4);
    if (follow && stuck.current) pre.scrollTop = pre.scrollHeight;
  }, [text, follow]);
  const onScroll = () => {
    const pre = box.current;
    if (pre) stuck.current = pre.scrollHeight - pre.scrollTop - pre.clientHeight < 24;
  };
  return (
    <div class={`box ${failed ? "failed" : ""}`}>
      <div class="box-head">
        <span class="box-title">{title}</span>
        {lines > 1 && <span class="box-count">{lines} lines</span>}
        {(overflows || full) && (
          <button type="button" class="quiet-button" aria-expanded={full} onClick={() => setFull(!full)}>
            {full ? "Show less" : "Show all"}
          </button>
        )}
        <CopyButton text={() => text} />
      </div>
      <pre ref={box} tabIndex={0} class={full ? "full" : ""} data-testid={testid} onScroll={onScroll}>
        {numbered && lines <= LONG_LINES && <LineNumbers count={lines} />}
        <code>
          {prefix && <span class="prompt">{prefix}</span>}
          {language ? <Highlighted code={text} language={language} /> : text}
        </code>
      </pre>
    </div>
  );
}

function LineNumbers({ count }: { count: number }) {
  return (
    <span class="line-numbers" aria-hidden="true">
      {Array.from({ length: count }, (_, i) => i + 1).join("\n")}
    </span>
  );
}

const SIGN_WORDS = { "+": "added", "-": "removed", " ": "same" } as const;

function Diff({ edits }: { edits: Edit[] }) {
  const hunks = useMemo(() => edits.map((e) => diffLines(e.before, e.after)), [edits]);
  const all = hunks.flat();
  const added = all.filter((l) => l.sign === "+").length;
  const removed = all.filter((l) => l.sign === "-").length;
  return (
    <div class="box" data-testid="diff">
      <div class="box-head">
        <span class="box-title">Changes</span>
        <span class="box-count">
          <span class="added">+{added}</span> <span class="removed">−{removed}</span>
        </span>
        <CopyButton label="Copy new" text={() => edits.map((e) => e.after).join("\n")} />
      </div>
      <div class="diff" tabIndex={0} role="region" aria-label="Changed lines">
        {hunks.map((lines, h) => (
          <div class="hunk" key={h}>
            {lines.map((line, i) => (
              <div key={i} class={`diff-line ${SIGN_WORDS[line.sign]}`}>
                <span class="sign">{line.sign === "-" ? "−" : line.sign}</span>
                <code>{line.text || " "}</code>
              </div>
            ))}
          </div>
        ))}
      </div>
    </div>
  );
}
