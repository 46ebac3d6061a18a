// Files that were dropped or pasted: what can go with a message, and what cannot and why.

import { sizeText } from "../state/part";
import type { Image } from "../state/timeline/types";
import { languageOf } from "../ui/tool/describe";

export const PICTURE_TYPES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
export const MOST_TEXT_FILE_BYTES = 256 * 1024;

export const POSSIBLE = "Pictures (PNG, JPEG, GIF, WebP) and text files up to 256 KB can go with a message.";

// Something that a click puts into the message, or a word about why it cannot.
export type Offer =
  | { kind: "text"; name: string; text: string }
  | { kind: "picture"; files: File[] }
  | { kind: "no"; name: string; why: string };

export async function toImage(file: File): Promise<Image> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let binary = "";
  for (let i = 0; i < bytes.length; i += 0x8000) binary += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return { data: btoa(binary), mimeType: file.type };
}

// Of a file that is no picture.
export async function offerOf(file: File): Promise<Offer> {
  const no = (why: string): Offer => ({ kind: "no", name: file.name || "This file", why });
  if (file.size > MOST_TEXT_FILE_BYTES) return no(`has ${sizeText(file.size)} and cannot go with a message.`);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    if (text.includes("\0")) return no("is no text and cannot go with a message.");
    if (text.trim() === "") return no("is empty.");
    return { kind: "text", name: file.name || "text", text };
  } catch {
    return no("cannot be read as text.");
  }
}

// As a block of code with its name. The fence is longer than any in the text.
export function fenced(name: string, text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((m) => m[0].length));
  const fence = "`".repeat(longest + 1);
  return `${name}:\n${fence}${languageOf(name)}\n${text.replace(/\n$/, "")}\n${fence}\n`;
}

export function appended(draft: string, block: string): string {
  return draft.trim() === "" ? block : `${draft.replace(/\n*$/, "")}\n\n${block}`;
}

// What a paste brings besides its words. A file manager gives a file's name as its words.
export function pasted(data: DataTransfer): { files: File[]; hasWords: boolean } {
  const files = [...data.files];
  const words = data.getData("text/plain").trim();
  const isName = files.some((f) => f.name === words);
  return { files, hasWords: words !== "" && !isName };
}
