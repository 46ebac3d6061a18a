// Recordings of terminals (asciicast v2), shown as text: sequences are taken out, so that nothing of a
// recording can act.

import { fromBase64, Invalid, sha256, toHex } from "./verify";

export interface Frame {
  at: number; // seconds
  text: string;
}

const SALT_BYTES = 16;

// A piece as the host opened it: salt and content, which the proven entry commits to.
export async function openPiece(data: string, commitment: string): Promise<string> {
  const bytes = fromBase64(data);
  if (toHex(await sha256(bytes)) !== commitment) throw new Invalid("a piece of the recording is not what was recorded");
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
