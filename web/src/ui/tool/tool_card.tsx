import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { duration, elapsed, useNow } from "../../state/clock";
import { sizeText } from "../../state/part";
import type { Tool, ToolState } from "../../state/timeline/types";
import { CopyButton } from "../basics";
import { Icon } from "../icon";
import { memo } from "../memo";
import { Box } from "./box";
import { CutActions, useWhole } from "../cut";
import { describe, type Described, type Edit, languageOf } from "./describe";
import { diffLines } from "./diff";
import { LiveTail, Result } from "./output";

const OUTCOMES: Record<ToolState, string> = {
  writing: "preparing",
  waiting: "queued",
  running: "running",
  done: "done",
  failed: "failed",
  stopped: "stopped",
};

interface ToolCardProps {
  tool: Tool;
  sessionId: string;
  onToggle?: (() => void) | undefined;
}

// One tool call. Closed it is one line; open it shows everything.
export const ToolCard = memo(function ToolCard({ tool, sessionId, onToggle }: ToolCardProps) {
  const [chosen, setChosen] = useState<boolean | null>(null);
  const what = useMemo(() => describe(tool.name, tool.input), [tool.name, tool.input]);
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
          {tool.inputCut ? <CutArguments tool={tool} sessionId={sessionId} /> : <Arguments tool={tool} what={what} />}
          <Result tool={tool} sessionId={sessionId} />
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

// Arguments of which the message holds only a beginning; the whole is their JSON.
function CutArguments({ tool, sessionId }: { tool: Tool; sessionId: string }) {
  const whole = useWhole(sessionId, tool.inputCut)!;
  const input = useMemo(() => parsed(whole.text), [whole.text]);
  const beginning = typeof tool.input === "string" ? tool.input : JSON.stringify(tool.input ?? "", null, 2);
  const size = sizeText(whole.total);
  if (input) {
    return (
      <>
        <Arguments tool={{ ...tool, input }} what={describe(tool.name, input)} />
        <CutActions whole={whole} name={`${tool.name}-arguments.json`} />
      </>
    );
  }
  const text = whole.text ?? beginning;
  return (
    <Box
      title="Arguments" text={text} count={whole.text ? size : `the first ${sizeText(text.length)} of ${size}`} testid="tool-input"
      actions={<CutActions whole={whole} name={`${tool.name}-arguments.json`} />}
    />
  );
}

function parsed(text: string | undefined): object | null {
  try {
    const value: unknown = text ? JSON.parse(text) : null;
    return value && typeof value === "object" ? value : null;
  } catch {
    return null;
  }
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
        <span class="box-space" />
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
