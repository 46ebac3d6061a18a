// The entries of a conversation, in chunks. Only what is near the view is drawn at once; the rest follows
// when the page has nothing else to do, so that the browser's own search finds it. What is out of view is
// kept out of layout by the browser (content-visibility).

import type { ComponentChild, RefObject } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Conversation } from "../state/conversation";
import { type Chunk, chunksOf, guessHeight } from "../state/timeline/chunks";
import { type Item, planItems } from "../state/timeline/plan";
import type { Entry } from "../state/timeline/types";
import { memo } from "../ui/memo";

// What stands behind a chunk, as far as its own last entry is drawn by it.
export type Next = "assistant" | "error" | "retry" | "other" | "";

export interface Place {
  open: Conversation;
  hold: () => void;
  // Index in the chunk of the newest message of the person.
  asked: number;
  next: Next;
  busy: boolean;
  // Nothing follows, and the agent is at rest.
  ended: boolean;
  // Its last run of steps is the newest one.
  newest: boolean;
}

type Draw = (item: Item, i: number, items: Item[], entries: Entry[], place: Place) => ComponentChild;

export function nextOf(entry: Entry | undefined): Next {
  if (!entry) return "";
  if (entry.kind === "notice") return entry.key.startsWith("retry") ? "retry" : "other";
  return entry.kind === "assistant" || entry.kind === "error" ? entry.kind : "other";
}

interface BodyProps extends Place {
  entries: Entry[];
  draw: Draw;
}

const Body = memo(function Body({ entries, draw, ...place }: BodyProps) {
  const items = useMemo(() => planItems(entries, place.next === ""), [entries, place.next === ""]);
  return <>{items.map((item, i) => draw(item, i, items, entries, place))}</>;
});

// Neither drawn nor near: as high as it will be, about.
const NEAR = "1500px 0px";
const DRAWN_AT_ONCE = 2;
const anchors = CSS.supports("overflow-anchor", "auto");

interface SlotProps extends BodyProps {
  chunk: Chunk;
  atOnce: boolean;
  box: RefObject<HTMLDivElement | null>;
}

function Slot({ chunk, atOnce, box, ...body }: SlotProps) {
  const slot = useRef<HTMLDivElement>(null);
  const [drawn, setDrawn] = useState(atOnce);
  const guess = useMemo(() => guessHeight(chunk, box.current?.clientWidth ?? 620), []);
  const before = useRef(0);
  const show = () => {
    before.current = slot.current?.offsetHeight ?? 0;
    setDrawn(true);
  };
  useLayoutEffect(() => {
    const el = slot.current!;
    el.style.height = drawn ? "" : `${guess}px`;
    el.style.containIntrinsicSize = `auto ${guess}px`;
    // Where the browser does not hold what is read in its place.
    const grown = el.offsetTop < (box.current?.scrollTop ?? 0) ? el.offsetHeight - before.current : 0;
    if (drawn && before.current && grown && !anchors) box.current!.scrollTop += grown;
  }, [drawn]);
  useEffect(() => {
    if (drawn) return;
    const observer = new IntersectionObserver((seen) => seen.some((s) => s.isIntersecting) && show(), { root: box.current, rootMargin: NEAR });
    observer.observe(slot.current!);
    const late = whenIdle(show);
    return () => {
      observer.disconnect();
      late();
    };
  }, [drawn]);
  return <div class={`chunk ${atOnce ? "now" : ""}`} ref={slot}>{drawn && <Body {...body} />}</div>;
}

// One chunk per pause, the newest first.
const waiting: (() => void)[] = [];
let pumping = false;

function whenIdle(draw: () => void): () => void {
  waiting.push(draw);
  if (!pumping) {
    pumping = true;
    later();
  }
  return () => {
    const at = waiting.indexOf(draw);
    if (at >= 0) waiting.splice(at, 1);
  };
}

function later(): void {
  if (typeof requestIdleCallback === "function") requestIdleCallback(pump);
  else setTimeout(pump, 60);
}

function pump(): void {
  waiting.pop()?.();
  pumping = waiting.length > 0;
  if (pumping) later();
}

interface TranscriptProps {
  open: Conversation;
  box: RefObject<HTMLDivElement | null>;
  hold: () => void;
  draw: Draw;
}

const clamp = (at: number, length: number) => Math.max(-1, Math.min(at, length));
const hasTools = (chunk: Chunk) => chunk.entries.some((e) => e.kind === "assistant" && e.blocks.some((b) => b.kind === "tool"));

export function Transcript({ open, box, hold, draw }: TranscriptProps) {
  const { entries, loaded } = open.timeline.value;
  const known = useRef<Chunk[]>([]);
  const chunks = useMemo(() => (known.current = chunksOf(entries, known.current)), [entries]);
  const asked = entries.findLastIndex((e) => e.kind === "user");
  const { busy } = open;
  const atRest = !busy && loaded && !open.starting.value;
  const newest = chunks.findLastIndex(hasTools);
  let from = 0;
  return (
    <>
      {chunks.map((chunk, i) => {
        const { length } = chunk.entries;
        const place = { asked: clamp(asked - from, length) };
        const isLast = i === chunks.length - 1;
        from += length;
        return (
          <Slot
            key={chunk.key} chunk={chunk} entries={chunk.entries} box={box} draw={draw} open={open} hold={hold} {...place}
            atOnce={i >= chunks.length - DRAWN_AT_ONCE} next={nextOf(chunks[i + 1]?.entries[0])} busy={isLast && busy}
            ended={isLast && atRest} newest={i === newest}
          />
        );
      })}
    </>
  );
}
