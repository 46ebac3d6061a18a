// The whole of a part of which a message holds only a beginning: fetched piece by piece, and going on
// where it was after a lost connection.

export interface Piece {
  text: string;
  offset: number;
  next: number | null;
  total: number;
}

export type Fetch = (offset: number, length: number) => Promise<Piece>;

export const PIECE_BYTES = 262_144;
// As much of the end as is shown before somebody asks for all.
export const TAIL_BYTES = 65_536;
// What a page can hold and draw; more can be saved to a file.
export const MOST_SHOWN_BYTES = 16 * 1024 * 1024;

export class PartPager {
  readonly pieces: string[] = [];
  total: number;
  #at = 0;
  #done = false;
  #running: Promise<string[]> | null = null;
  #fetch: Fetch;

  constructor(fetch: Fetch, bytes: number) {
    this.#fetch = fetch;
    this.total = bytes;
  }

  get at(): number {
    return this.#at;
  }

  // All of it. Whoever asks while it is fetched gets the same answer; `aborted` is asked between pieces.
  all(progress: (at: number, total: number) => void, aborted: () => boolean = () => false): Promise<string[]> {
    this.#running ??= this.#run(progress, aborted).finally(() => (this.#running = null));
    return this.#running;
  }

  async #run(progress: (at: number, total: number) => void, aborted: () => boolean): Promise<string[]> {
    while (!this.#done) {
      if (aborted()) throw new Stopped();
      const piece = await this.#fetch(this.#at, PIECE_BYTES);
      check(piece, this.#at);
      this.pieces.push(piece.text);
      this.total = piece.total;
      this.#at = piece.next ?? piece.total;
      this.#done = piece.next === null;
      progress(this.#at, this.total);
    }
    return this.pieces;
  }

  // Its last lines.
  async tail(): Promise<string> {
    const from = Math.max(0, this.total - TAIL_BYTES);
    const piece = await this.#fetch(from, TAIL_BYTES);
    this.total = piece.total;
    return from > 0 ? piece.text.slice(piece.text.indexOf("\n") + 1) : piece.text;
  }
}

export class Stopped extends Error {
  constructor() {
    super("Stopped.");
  }
}

// A host that repeats itself would keep a page busy for ever.
function check(piece: Piece, at: number): void {
  const forward = piece.next === null || piece.next > at;
  if (typeof piece.text !== "string" || !(piece.total >= 0) || piece.offset !== at || !forward) {
    throw new Error("The host gave a piece that does not fit. Try again.");
  }
}

export function sizeText(bytes: number): string {
  if (bytes < 1_000) return `${bytes} bytes`;
  const units = ["KB", "MB", "GB"];
  let value = bytes / 1_000;
  let unit = 0;
  while (value >= 999.5 && unit < 2) {
    value /= 1_000;
    unit++;
  }
  return `${value < 9.95 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function byteLength(text: string): number {
  return new Blob([text]).size;
}
