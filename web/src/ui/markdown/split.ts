// Cuts a text into pieces that can be parsed each for itself, so that while an answer streams in only
// its last piece is parsed again.

const FENCE = /^ {0,3}(`{3,}|~{3,})/;
// A line that may continue what stood before the blank line: list items and anything indented.
const CONTINUES = /^(\s|[-*+]\s|\d{1,9}[.)]\s)/;
const REFERENCE = /^ {0,3}\[[^\]]+\]:/m;

export function splitMarkdown(text: string): string[] {
  // A reference definition may serve links anywhere in the text.
  if (REFERENCE.test(text)) return [text];
  const pieces: string[] = [];
  let current: string[] = [];
  let fence = "";
  let blank = false;
  for (const line of text.split("\n")) {
    const mark = FENCE.exec(line.trimStart() === line ? line : line.replace(/^\s+/, ""))?.[1];
    const startsNew = blank && !fence && line !== "" && !CONTINUES.test(line);
    if (startsNew && current.length > 0) {
      pieces.push(current.join("\n"));
      current = [];
    }
    if (mark && !fence) fence = mark;
    else if (mark && fence && mark[0] === fence[0] && mark.length >= fence.length && line.trim() === mark) fence = "";
    current.push(line);
    blank = line.trim() === "";
  }
  if (current.length > 0) pieces.push(current.join("\n"));
  return pieces;
}

// While a text streams, a code block may still be open at its end.
export function endsInFence(text: string): boolean {
  let fence = "";
  for (const line of text.split("\n")) {
    const mark = FENCE.exec(line)?.[1];
    if (!mark) continue;
    if (!fence) fence = mark;
    else if (mark[0] === fence[0] && mark.length >= fence.length && line.trim() === mark) fence = "";
  }
  return fence !== "";
}
