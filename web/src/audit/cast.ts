// Recordings of terminals (asciicast v2), shown as text: sequences are taken out, so that nothing of a
// recording can act.

import { fromBase64, Invalid, leafHash, parseProof, sha256, toHex, verifyInclusion, type Checkpoint } from "./verify";

export interface Frame {
  at: number; // seconds
  text: string;
}

// A piece as the host shows it; `data` is salt and content, or `state` says why there is none.
export interface Piece {
  index: number;
  entry: string;
  proof: unknown;
  data?: string;
  state?: string;
}

// Which recording: nobody can add to another account's.
export interface Tape {
  terminal: unknown;
  account: unknown;
}

const SALT_BYTES = 16;

interface PieceEntry {
  seq?: unknown;
  event?: unknown;
  actor?: { account?: unknown };
  fields?: { terminal?: unknown; chunk?: unknown; recording_blob?: { commitment?: unknown } };
}

// The text of a piece, null if there is none. Its entry must stand in the tree (null: none is believed),
// be piece `chunk` of this recording, and commit to these bytes.
export async function openPiece(piece: Piece, chunk: number, tape: Tape, tree: Checkpoint | null): Promise<string | null> {
  const what = `Piece ${chunk} of the recording`;
  let entry: PieceEntry = {};
  try {
    entry = (JSON.parse(piece.entry) ?? {}) as PieceEntry;
  } catch {
    // Then it is none of them.
  }
  const { fields } = entry;
  if (entry.event !== "recording.chunk" || entry.seq !== piece.index || fields?.chunk !== String(chunk) || fields.terminal !== tape.terminal ||
      entry.actor?.account !== tape.account) {
    throw new Invalid(`${what} is missing: the host shows another entry in its place.`);
  }
  if (tree) {
    if (BigInt(piece.index) >= tree.size) throw new Invalid(`${what} is not covered by a checkpoint yet: try again in a moment.`);
    const inside = await verifyInclusion(BigInt(piece.index), tree.size, await leafHash(piece.entry), tree.root, parseProof(piece.proof));
    if (!inside) throw new Invalid(`${what} does not stand in the signed tree. Do not believe this recording.`);
  }
  if (piece.data === undefined) return null;
  const bytes = fromBase64(piece.data);
  if (toHex(await sha256(bytes)) !== fields.recording_blob?.commitment) throw new Invalid(`${what} is not what was recorded. Do not believe this recording.`);
  return new TextDecoder().decode(bytes.subarray(SALT_BYTES));
}

// Colours, cursor movement, titles and what else is not text.
const SEQUENCES =
  /\u001b\[[0-?]*[ -/]*[@-~]|\u001b[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\)?|\u001b[ -/]*[0-~]|[\u0000-\u0007\u000b-\u000c\u000e-\u001f\u007f-\u009f]/g;

export function framesOf(cast: string): Frame[] {
  const frames: Frame[] = [];
  for (const line of cast.split("\n")) {
    let event: unknown;
    try {
      event = JSON.parse(line);
    } catch {
      continue;
    }
    if (!Array.isArray(event) || typeof event[0] !== "number" || event[1] !== "o" || typeof event[2] !== "string") continue;
    frames.push({ at: event[0], text: event[2].replace(SEQUENCES, "") });
  }
  return frames;
}

// Carriage returns and backspaces as a terminal has them, within a line.
export function screenOf(frames: Frame[]): string {
  return frames
    .map((f) => f.text)
    .join("")
    .replaceAll("\r\n", "\n")
    .split("\n")
    .map((line) => {
      let shown = line.slice(line.lastIndexOf("\r", line.length - 2) + 1).replace("\r", "");
      while (/[^\b]\u0008/.test(shown)) shown = shown.replace(/[^\b]\u0008/, "");
      return shown.replaceAll("\b", "");
    })
    .join("\n");
}
