import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Conversation } from "../state/conversation";
import { elapsed, useNow } from "../state/clock";
import { attempt } from "../state/sessions";
import { workspace } from "../state/store";
import type { Entry, Status } from "../state/timeline/types";
import { Skeleton } from "../ui/basics";
import { Icon, type IconName } from "../ui/icon";
import { Composer } from "./composer";
import { AskView, AssistantView, ErrorCard, ErrorView, NoticeView, UserView } from "./entries";

const NEAR_BOTTOM_PX = 48;

// Keeps the end in view while it grows, until the reader scrolls away.
function useStickyBottom() {
  const box = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const stuck = useRef(true);
  const [away, setAway] = useState(false);
  const nearBottom = () => {
    const el = box.current;
    return !el || el.scrollHeight - el.scrollTop - el.clientHeight < NEAR_BOTTOM_PX;
  };
  const toBottom = () => {
    const el = box.current;
    if (el) el.scrollTop = el.scrollHeight;
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
    onScroll: () => {
      stuck.current = nearBottom();
      setAway(!stuck.current);
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
  const empty = entries.length === 0;
  return (
    <div class="conversation">
      <div class="scroll" ref={scroll.box} onScroll={scroll.onScroll} tabIndex={0} role="region" aria-label="Conversation">
        <div class="column" ref={scroll.content}>
          {timeline.hasEarlier && <Earlier open={open} hold={scroll.hold} />}
          {entries.map((entry, i) => drawEntry(entry, entries[i + 1], i > asked, open, scroll.hold))}
          {open.problem.value && <Problem open={open} />}
          {empty && !open.problem.value && <Empty open={open} />}
          <WorkingLine open={open} status={status} />
        </div>
      </div>
      {scroll.away && (
        <button type="button" class="jump" data-testid="jump-latest" onClick={scroll.jump}>
          <Icon name="down" size={14} /> Jump to latest
        </button>
      )}
      <Composer key={open.id} open={open} />
    </div>
  );
}

// `current`: it belongs to the newest turn, so an action that it offers still makes sense.
function drawEntry(entry: Entry, next: Entry | undefined, current: boolean, open: Conversation, hold: () => void) {
  switch (entry.kind) {
    case "user":
      return <UserView key={entry.key} entry={entry} open={open} />;
    case "assistant": {
      const last = next ? next.kind !== "assistant" : !open.busy;
      const explained = next?.kind === "error";
      if (entry.blocks.length === 0 && (explained || entry.stage === "live")) return null;
      const props = { entry, open, last, current, explained, onToggle: hold };
      return <AssistantView key={entry.key} {...props} />;
    }
    case "error":
      return <ErrorView key={entry.key} entry={entry} open={open} current={current} />;
    case "notice":
      return <NoticeView key={entry.key} entry={entry} />;
    case "ask":
      return <AskView key={entry.key} entry={entry} open={open} />;
  }
}

function Earlier({ open, hold }: { open: Conversation; hold: () => void }) {
  const [busy, setBusy] = useState(false);
  const load = () => {
    hold();
    setBusy(true);
    void open.loadEarlier().finally(() => setBusy(false));
  };
  return (
    <button type="button" class="secondary small earlier" data-testid="load-earlier" disabled={busy} onClick={load}>
      {busy ? "Loading…" : "Show earlier messages"}
    </button>
  );
}

function Problem({ open }: { open: Conversation }) {
  return (
    <ErrorCard title="This session is not available right now" text={open.problem.value}>
      <button type="button" class="secondary small" data-testid="error-retry" onClick={() => attempt(open.start())}>
        <Icon name="retry" size={14} /> Try again
      </button>
    </ErrorCard>
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
