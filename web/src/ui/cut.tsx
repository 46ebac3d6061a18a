// Getting the whole of what a message holds only a beginning of: to look at, or as a file.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Cut } from "../protocol/types";
import { mux } from "../state/link";
import { type Fetch, MOST_SHOWN_BYTES, PartPager, type Piece, sizeText, Stopped } from "../state/part";
import { messageOf } from "../state/store";
import { Icon } from "./icon";

function fetchPart(sessionId: string, cut: Cut): Fetch {
  return (offset, length) =>
    mux.request<Piece>(sessionId, "get_part", { message_id: cut.messageId, part_id: cut.partId, offset, length });
}

export function saveFile(name: string, pieces: string[]): void {
  const url = URL.createObjectURL(new Blob(pieces, { type: "text/plain;charset=utf-8" }));
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export interface Whole {
  // All of it, once somebody asked; the end of it, where `tail` was asked for.
  text?: string;
  tail?: string;
  total: number;
  // So many bytes are here, while it comes.
  got?: number | undefined;
  error: string;
  show(): void;
  save(name: string): void;
  stop(): void;
}

// Of nothing, if the part is not cut.
export function useWhole(sessionId: string, cut: Cut | undefined, withTail = false): Whole | null {
  const pager = useMemo(
    () => (cut ? new PartPager(fetchPart(sessionId, cut), cut.bytes) : null),
    [sessionId, cut?.messageId, cut?.partId],
  );
  const [text, setText] = useState<string>();
  const [tail, setTail] = useState<string>();
  const [got, setGot] = useState<number>();
  const [error, setError] = useState("");
  const wanted = useRef(false);
  useEffect(() => {
    // The beginning is shown already; without the end it stays at that.
    if (withTail) pager?.tail().then(setTail, () => {});
    return () => void (wanted.current = false);
  }, [pager]);
  if (!pager) return null;
  const load = async (then: (pieces: string[]) => void) => {
    wanted.current = true;
    setError("");
    setGot(pager.at);
    try {
      then(await pager.all(setGot, () => !wanted.current));
    } catch (failure) {
      if (!(failure instanceof Stopped)) setError(messageOf(failure));
    }
    setGot(undefined);
  };
  return {
    text, tail, total: pager.total, got, error,
    show: () => void load((pieces) => setText(pieces.join(""))),
    save: (name) => void load((pieces) => saveFile(name, pieces)),
    stop: () => void (wanted.current = false),
  };
}

// What can be done about it, in one line.
export function CutActions({ whole, name }: { whole: Whole; name: string }) {
  const size = sizeText(whole.total);
  if (whole.got !== undefined) {
    return (
      <span class="cut-actions" role="status">
        <span class="spinner" aria-hidden="true" /> {sizeText(whole.got)} of {size}
        <button type="button" class="quiet-button" onClick={whole.stop}>Stop</button>
      </span>
    );
  }
  return (
    <span class="cut-actions">
      {whole.error && <span class="cut-error" role="alert">{whole.error}</span>}
      {whole.text === undefined && whole.total <= MOST_SHOWN_BYTES && (
        <button type="button" class="quiet-button" data-testid="cut-show" onClick={whole.show}>Show all ({size})</button>
      )}
      <button type="button" class="quiet-button" data-testid="cut-save" onClick={() => whole.save(name)}>
        <Icon name="down" size={14} /> Save
      </button>
    </span>
  );
}

// Under a text of which only the beginning is shown.
export function CutLine({ whole, name }: { whole: Whole; name: string }) {
  return (
    <p class="cut-line" data-testid="cut-line">
      <span>{whole.text === undefined ? `This is the beginning. All of it is ${sizeText(whole.total)}.` : `All of it: ${sizeText(whole.total)}.`}</span>
      <CutActions whole={whole} name={name} />
    </p>
  );
}
