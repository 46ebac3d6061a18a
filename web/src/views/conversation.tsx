import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Conversation } from "../state/conversation";
import { elapsed, took, useNow } from "../state/clock";
import { workspace } from "../state/store";
import type { Item } from "../state/timeline/plan";
import type { AssistantEntry, Entry, Status } from "../state/timeline/types";
import { Skeleton } from "../ui/basics";
import { Icon, type IconName } from "../ui/icon";
import { Composer } from "./composer";
import { AssistantView, ErrorView, NoticeView, UserView } from "./entries";
import { Problem } from "./problem";
import { AskLine, PinnedQuestions } from "./questions";
import { RunView } from "./run";
import { nextOf, type Place, Transcript } from "./transcript";
import { ComposerNote, WaitingList } from "./waiting";

const NEAR_BOTTOM_PX = 48;

// Keeps the end in view while it grows, until the reader scrolls away.
function useStickyBottom() {
  const box = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const stuck = useRef(true);
  const lastTop = useRef(0);
  const anchor = useRef<{ el: Element; top: number } | null>(null);
  const [away, setAway] = useState(false);
  // What opens under the reader's hand should not jump away from it.
  const hold = useRef(() => void (stuck.current = false));
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
    // What comes in above must not push away what is being read: `keep` before it is drawn, `restore` after.
    leave: () => (stuck.current = false),
    keep: () => {
      const el = stuck.current ? null : firstInView(box.current);
      anchor.current = el && { el, top: el.getBoundingClientRect().top };
    },
    restore: () => {
      const el = box.current;
      const held = anchor.current;
      anchor.current = null;
      if (!el || !held?.el.isConnected) return;
      el.scrollTop += held.el.getBoundingClientRect().top - held.top;
      lastTop.current = el.scrollTop;
    },
    hold: hold.current,
    jump: () => {
      stuck.current = true;
      toBottom();
      setAway(false);
    },
  };
}

function firstInView(box: HTMLElement | null): Element | null {
  if (!box) return null;
  const { top } = box.getBoundingClientRect();
  const below = (el: Element) => el.getBoundingClientRect().bottom > top;
  const chunk = [...box.querySelectorAll(".chunk")].find(below);
  return [...(chunk?.children ?? [])].find(below) ?? chunk ?? null;
}

export function ConversationView({ open }: { open: Conversation }) {
  const scroll = useStickyBottom();
  const timeline = open.timeline.value;
  const { entries, status } = timeline;
  const mine = entries.findLast((e) => e.kind === "user")?.key;
  // Whoever sends wants to see what comes of it.
  useLayoutEffect(() => scroll.jump(), [mine]);
  const first = entries[0]?.key;
  const drawn = useRef(first);
  if (drawn.current !== first) scroll.keep();
  drawn.current = first;
  useLayoutEffect(() => scroll.restore(), [first]);
  const empty = entries.length === 0;
  return (
    <div class="conversation">
      <div class="scroll" ref={scroll.box} onScroll={scroll.onScroll} tabIndex={0} role="region" aria-label="Conversation">
        <div class="column" ref={scroll.content}>
          {timeline.hasEarlier && <Earlier open={open} leave={scroll.leave} />}
          <Transcript open={open} box={scroll.box} hold={scroll.hold} draw={drawItem} />
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
function drawItem(item: Item, i: number, items: Item[], entries: Entry[], place: Place) {
  const { open, hold } = place;
  if (item.kind === "run") {
    const past = !place.newest || items.findLastIndex((other) => other.kind === "run" && other.tools > 0) !== i;
    return <RunView key={item.key} run={item} past={past} sessionId={open.id} onToggle={hold} />;
  }
  const { at } = item;
  const following = entries[at + 1];
  const next = following ? nextOf(following) : place.next;
  const ended = !following && place.ended;
  const current = at > place.asked;
  if (item.kind === "piece") {
    const last = next ? next !== "assistant" : !place.busy;
    const explained = next === "error" || next === "retry";
    const { from, to, head, tail } = item;
    const props = { entry: item.entry, from, to, head, tail, open, last, current, explained, ended };
    return <AssistantView key={item.key} {...props} />;
  }
  return drawEntry(item.entry, current, ended, open);
}

function drawEntry(entry: Exclude<Entry, AssistantEntry>, current: boolean, ended: boolean, open: Conversation) {
  switch (entry.kind) {
    case "user":
      return <UserView key={entry.key} entry={entry} open={open} unanswered={ended && isAtRest(open)} />;
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

function Earlier({ open, leave }: { open: Conversation; leave: () => void }) {
  const [busy, setBusy] = useState(false);
  const load = () => {
    leave();
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

// A model that has said nothing for so long is waited for.
const SILENT_MS = 10_000;

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
  const silent = now - open.timeline.value.heardAt;
  const waits = status.phase === "generating" && silent >= SILENT_MS && open.timeline.value.heardAt > 0;
  const phase = waits ? "Waiting for the model" : (PHASES[status.phase ?? ""] ?? "Working");
  const lines = Object.values(open.timeline.value.statusLines);
  return (
    <p class="working" data-testid="working">
      <span class="spinner" aria-hidden="true" />
      <span class="working-phase">
        {open.stopping.value ? "Stopping" : phase}
        {status.phase === "tool_running" && status.detail ? <code>{status.detail}</code> : null}
        {status.phase !== "tool_running" && status.detail ? ` (${status.detail})` : ""}
      </span>
      <span class="working-time">{waits ? took(silent) : elapsed(now - status.since)}</span>
      {lines.map((line) => <span key={line} class="working-extra">{line}</span>)}
    </p>
  );
}
