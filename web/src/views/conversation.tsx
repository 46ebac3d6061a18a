import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Conversation } from "../state/conversation";
import { elapsed, useNow } from "../state/clock";
import { workspace } from "../state/store";
import type { Entry, Status } from "../state/timeline/types";
import { Skeleton } from "../ui/basics";
import { Icon, type IconName } from "../ui/icon";
import { Composer } from "./composer";
import { AssistantView, ErrorView, NoticeView, UserView } from "./entries";
import { Problem } from "./problem";
import { AskLine, PinnedQuestions } from "./questions";
import { ComposerNote, WaitingList } from "./waiting";

const NEAR_BOTTOM_PX = 48;

// Keeps the end in view while it grows, until the reader scrolls away.
function useStickyBottom() {
  const box = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const stuck = useRef(true);
  const lastTop = useRef(0);
  const fromEnd = useRef<number | null>(null);
  const [away, setAway] = useState(false);
  const nearBottom = () => {
    const el = box.current;
    return !el || el.scrollHeight - el.scrollTop - el.clientHeight < NEAR_BOTTOM_PX;
  };
  const toBottom = () => {
    const el = box.current;
    if (!el) return;
    el.scrollTop = el.scrollHeight;
    lastTop.current = el.scrollTop;
  };
  useLayoutEffect(() => {
    const observer = new ResizeObserver(() => {
      if (stuck.current) toBottom();
      else setAway(!nearBottom());
    });
    if (content.current) observer.observe(content.current);
    if (box.current) observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  return {
    box,
    content,
    away,
    // The content may have grown since the scrolling that this tells of: only upwards is leaving.
    onScroll: () => {
      const top = box.current?.scrollTop ?? 0;
      if (nearBottom()) stuck.current = true;
      else if (top < lastTop.current) stuck.current = false;
      lastTop.current = top;
      setAway(!stuck.current && !nearBottom());
    },
    // What comes in above must not push away what is being read.
    keep: () => {
      stuck.current = false;
      const el = box.current;
      if (el) fromEnd.current = el.scrollHeight - el.scrollTop;
    },
    restore: () => {
      const el = box.current;
      if (!el || fromEnd.current === null) return;
      el.scrollTop = el.scrollHeight - fromEnd.current;
      lastTop.current = el.scrollTop;
      fromEnd.current = null;
    },
    // What opens under the reader's hand should not jump away from it.
    hold: () => (stuck.current = false),
    jump: () => {
      stuck.current = true;
      toBottom();
      setAway(false);
    },
  };
}

export function ConversationView({ open }: { open: Conversation }) {
  const scroll = useStickyBottom();
  const timeline = open.timeline.value;
  const { entries, status } = timeline;
  const asked = entries.findLastIndex((e) => e.kind === "user");
  const mine = entries[asked]?.key;
  // Whoever sends wants to see what comes of it.
  useLayoutEffect(() => scroll.jump(), [mine]);
  useLayoutEffect(() => scroll.restore(), [entries[0]?.key]);
  const empty = entries.length === 0;
  return (
    <div class="conversation">
      <div class="scroll" ref={scroll.box} onScroll={scroll.onScroll} tabIndex={0} role="region" aria-label="Conversation">
        <div class="column" ref={scroll.content}>
          {timeline.hasEarlier && <Earlier open={open} keep={scroll.keep} />}
          {entries.map((entry, i) => drawEntry(entry, entries[i + 1], i > asked, open, scroll.hold))}
          {open.problem.value && <Problem open={open} />}
          {empty && !open.problem.value && <Empty open={open} />}
          <WorkingLine open={open} status={status} />
        </div>
      </div>
      {scroll.away && (
        <div class="jump-place">
          <button type="button" class="jump" data-testid="jump-latest" onClick={scroll.jump}>
            <Icon name="down" size={14} /> Jump to latest
          </button>
        </div>
      )}
      <div class="above-composer">
        <PinnedQuestions open={open} />
        <WaitingList open={open} />
        <ComposerNote open={open} />
      </div>
      <Composer key={open.id} open={open} />
    </div>
  );
}

// `current`: it belongs to the newest turn, so an action that it offers still makes sense.
function drawEntry(entry: Entry, next: Entry | undefined, current: boolean, open: Conversation, hold: () => void) {
  const ended = !next && !open.busy && open.timeline.value.loaded && !open.starting.value;
  switch (entry.kind) {
    case "user":
      return <UserView key={entry.key} entry={entry} open={open} unanswered={ended && isAtRest(open)} />;
    case "assistant": {
      const last = next ? next.kind !== "assistant" : !open.busy;
      const explained = next?.kind === "error" || (next?.kind === "notice" && next.key.startsWith("retry"));
      if (entry.blocks.length === 0 && (explained || !last || entry.stage === "live")) return null;
      const props = { entry, open, last, current, explained, ended, onToggle: hold };
      return <AssistantView key={entry.key} {...props} />;
    }
    case "error":
      return <ErrorView key={entry.key} entry={entry} open={open} current={current} />;
    case "notice":
      return <NoticeView key={entry.key} entry={entry} />;
    case "ask":
      return <AskLine key={entry.key} entry={entry} />;
  }
}

function isAtRest(open: Conversation): boolean {
  return open.known.value && open.timeline.value.status.state !== "starting";
}

function Earlier({ open, keep }: { open: Conversation; keep: () => void }) {
  const [busy, setBusy] = useState(false);
  const load = () => {
    keep();
    setBusy(true);
    void open.loadEarlier().finally(() => setBusy(false));
  };
  return (
    <button type="button" class="secondary small earlier" data-testid="load-earlier" disabled={busy} onClick={load}>
      {busy ? "Loading…" : "Show earlier messages"}
    </button>
  );
}

const SUGGESTIONS: { icon: IconName; title: string; text: string }[] = [
  { icon: "folder", title: "Look around", text: "list files" },
  { icon: "file", title: "Make a file", text: "create hello.txt with Hello from my first agent" },
  { icon: "terminal", title: "Run something", text: "run uname -a && id" },
];

function Empty({ open }: { open: Conversation }) {
  if (!open.starting.value && !open.timeline.value.loaded) return <Skeleton lines={4} />;
  return (
    <div class="empty" data-testid="empty-session">
      <h2>What should the agent do in {workspace.value?.name ?? "this workspace"}?</h2>
      {open.instead.value && <p class="instead" role="status" data-testid="instead">{open.instead.value}</p>}
      <p>
        It works in its own sandbox, and what it does stands here step by step. Describe a task, or try one of these.
      </p>
      <div class="suggestions">
        {SUGGESTIONS.map((s) => (
          <button key={s.title} type="button" class="suggestion" data-testid="suggestion" onClick={() => open.send(s.text, [])}>
            <Icon name={s.icon} />
            <span>
              <strong>{s.title}</strong>
              <span class="suggestion-text">{s.text}</span>
            </span>
          </button>
        ))}
      </div>
    </div>
  );
}

const PHASES: Record<string, string> = {
  generating: "Writing",
  thinking: "Thinking",
  tool_running: "Running",
  compacting: "Summarising the conversation",
  retrying: "Trying the model again",
  initializing: "Getting ready",
};

function WorkingLine({ open, status }: { open: Conversation; status: Status }) {
  const starting = open.starting.value || status.state === "starting";
  const working = status.state === "working";
  const now = useNow(working);
  if (starting) {
    return (
      <p class="working" role="status" data-testid="working">
        <span class="spinner" aria-hidden="true" /> Starting the agent in its sandbox…
      </p>
    );
  }
  if (!working) return null;
  const phase = PHASES[status.phase ?? ""] ?? "Working";
  const lines = Object.values(open.timeline.value.statusLines);
  return (
    <p class="working" data-testid="working">
      <span class="spinner" aria-hidden="true" />
      <span class="working-phase">
        {open.stopping.value ? "Stopping" : phase}
        {status.phase === "tool_running" && status.detail ? <code>{status.detail}</code> : null}
        {status.phase !== "tool_running" && status.detail ? ` (${status.detail})` : ""}
      </span>
      <span class="working-time">{elapsed(now - status.since)}</span>
      {lines.map((line) => <span key={line} class="working-extra">{line}</span>)}
    </p>
  );
}
