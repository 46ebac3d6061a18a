// What an entry holds was chosen by strangers. It is shown as text, with every character that could
// disguise it spelled out.

const DANGEROUS =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffc]|[\u{e0000}-\u{e0fff}]|[\ud800-\udfff]/gu;

export function plain(text: string): string {
  return text.replace(DANGEROUS, (c) => {
    if (c === "\n") return "⏎";
    if (c === "\t") return "⇥";
    return `\\u{${c.codePointAt(0)!.toString(16)}}`;
  });
}

// For places with lines of their own: only the line ends stay.
export function plainLines(text: string): string {
  return text.split("\n").map(plain).join("\n");
}
