import { useEffect, useRef, useState } from "preact/hooks";
import { framesOf, openPiece, screenOf, type Frame, type Piece, type Tape } from "../../audit/cast";
import type { Entry } from "../../audit/entry";
import { plain, plainLines } from "../../audit/safe";
import { Invalid } from "../../audit/verify";
import { noted, pinned, whyNot, type Noted } from "../../state/audit_trust";
import { messageOf } from "../../state/store";

const MAX_PIECES = 4096;
const MAX_PAUSE_S = 2;
const TICK_MS = 50;

interface Loaded {
  frames: Frame[];
  gaps: string[];
  proven: boolean;
}

async function load(entry: Entry): Promise<Loaded> {
  const tape: Tape = { terminal: entry.fields["terminal"], account: entry.actor["account"] };
  const gaps: string[] = [];
  const proven = pinned.value !== null;
  let cast = "";
  let chunk = 0;
  for (let more = true; more && chunk < MAX_PIECES; ) {
    const { answer, checkpoint } = await noted<Noted & { pieces: Piece[]; next: number | null }>("audit.recording", { index: entry.index, chunk });
    if (proven && !checkpoint) throw new Invalid(whyNot());
    for (const piece of answer.pieces) {
      const text = await openPiece(piece, chunk, tape, checkpoint);
      if (text === null) gaps.push(`piece ${chunk} ${plain(String(piece.state))}`);
      else cast += text;
      ++chunk;
    }
    more = answer.next !== null && answer.pieces.length > 0;
  }
  return { frames: framesOf(cast), gaps, proven };
}

const clock = (s: number) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;

// Long pauses are shortened: nobody waits for a shell.
function timeline(frames: Frame[]): number[] {
  let at = 0;
  return frames.map((frame, i) => (at += Math.min(MAX_PAUSE_S, Math.max(0, frame.at - (frames[i - 1]?.at ?? 0)))));
}

export function Player({ entry }: { entry: Entry }) {
  const [tape, setTape] = useState<(Loaded & { times: number[] }) | null>(null);
  const [error, setError] = useState("");
  const [at, setAt] = useState(0);
  const [playing, setPlaying] = useState(false);
  const [speed, setSpeed] = useState(1);
  const box = useRef<HTMLPreElement>(null);
  useEffect(() => {
    if (!playing) return;
    const timer = setInterval(() => setAt((now) => now + (speed * TICK_MS) / 1000), TICK_MS);
    return () => clearInterval(timer);
  }, [playing, speed]);
  const end = tape?.times.at(-1) ?? 0;
  useEffect(() => {
    if (playing && at >= end) setPlaying(false);
    box.current?.scrollTo(0, box.current.scrollHeight);
  }, [at]);
  const start = async () => {
    setError("");
    try {
      const known = tape ?? { ...(await load(entry)), times: [] as number[] };
      if (!tape) {
        known.times = timeline(known.frames);
        setTape(known);
      }
      if (at >= (known.times.at(-1) ?? 0)) setAt(0);
      setPlaying(true);
    } catch (failure) {
      setError(messageOf(failure));
    }
  };
  const shown = tape ? tape.frames.filter((_, i) => tape.times[i]! <= at) : [];
  return (
    <section class="player" aria-label="Recording" data-testid="player">
      <div class="player-bar">
        <button type="button" class="secondary small" data-testid="player-play" onClick={() => (playing ? setPlaying(false) : void start())}>{playing ? "Pause" : "Play"}</button>
        <label><span class="sr">Speed</span>
          <select value={String(speed)} data-testid="player-speed" onChange={(e) => setSpeed(Number(e.currentTarget.value))}>
            {[1, 2, 4, 16].map((s) => <option key={s} value={String(s)}>{s}×</option>)}
          </select>
        </label>
        <span role="status">{error ? error : tape ? `${clock(Math.min(at, end))} of ${clock(end)} · ${tape.proven ? "every piece proven" : "not verified"}` : "not loaded"}</span>
      </div>
      {tape && tape.gaps.length > 0 && <p class="audit-note bad">{tape.gaps.join("; ")}</p>}
      <pre ref={box} tabIndex={0} data-testid="player-screen">{screenOf(shown).split("\n").map(plainLines).join("\n")}</pre>
    </section>
  );
}
