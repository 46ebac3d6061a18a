// What a terminal would show of a program's output: colours, carriage returns, lines that are written
// over. Links, titles and every other escape leave their words and nothing else. Whatever comes in,
// the work is linear in its length.

export interface Span {
  text: string;
  // Space-separated names of classes; "" is plain.
  look: string;
}

// A style in one number: foreground (0: default, 1–16), background, flags.
const FG = 31;
const BG_SHIFT = 5;
const BG = 31 << BG_SHIFT;
const BOLD = 1 << 10;
const DIM = 1 << 11;
const ITALIC = 1 << 12;
const UNDERLINE = 1 << 13;
const INVERSE = 1 << 14;
const STRUCK = 1 << 15;

// How far back a program may write over its lines: a tall screen.
const SCREEN_ROWS = 200;
const MOST_ROWS = 1_000;
// Blanks that cursor movements may make, in all.
const MOST_BLANKS = 65_536;
// More pieces than this are not drawn in colour; the end keeps its own.
const MOST_SPANS = 4_000;

const CONTROL = /[\x00-\x08\x0a-\x1f\x7f-\x9f]/;
const NEXT_CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;
// The contents end at anything that may begin another escape, so no character is looked at twice.
const STRING = /(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x80-\x9f\n]*(?:\x07|\x9c|\x1b\\)/y;
const SHORT = /\x1b(?:[ -/]*[0-~]|[ -/]*$)/y;

interface Row {
  // As long as a row is only added to, it is these pieces; once written over, it is cells.
  pieces: { text: string; style: number }[];
  cells: string[] | null;
  styles: number[];
  length: number;
}

const newRow = (): Row => ({ pieces: [], cells: null, styles: [], length: 0 });

function toCells(row: Row): string[] {
  if (row.cells) return row.cells;
  const cells: string[] = [];
  for (const { text, style } of row.pieces) {
    for (let i = 0; i < text.length; i++) {
      cells.push(text[i]!);
      row.styles.push(style);
    }
  }
  row.pieces = [];
  return (row.cells = cells);
}

class Screen {
  #rows: Row[] = [newRow()];
  #row = 0;
  #column = 0;
  #blanks = MOST_BLANKS;
  #done: { text: string; style: number }[] = [];
  style = 0;

  // Text without controls other than line feeds.
  write(text: string): void {
    if (text.length > 4_096 && this.#atEnd()) text = this.#passBy(text);
    let from = 0;
    for (;;) {
      const at = text.indexOf("\n", from);
      this.#put(at < 0 ? text.slice(from) : text.slice(from, at));
      if (at < 0) return;
      this.#lineFeed();
      from = at + 1;
    }
  }

  back(): void {
    this.#column = 0;
  }

  // Cursor movements and erasing; the rest of what a sequence may ask for is not shown.
  move(command: string, n: number): void {
    switch (command) {
      case "A":
      case "F":
        this.#row = Math.max(0, this.#rows.length - SCREEN_ROWS, this.#row - Math.max(1, n));
        if (command === "F") this.#column = 0;
        return;
      case "B":
      case "E":
        this.#row = Math.min(this.#rows.length - 1, this.#row + Math.max(1, n));
        if (command === "E") this.#column = 0;
        return;
      case "C":
        this.#column += Math.min(Math.max(1, n), 512);
        return;
      case "D":
        this.#column = Math.max(0, this.#column - Math.max(1, n));
        return;
      case "G":
        this.#column = Math.min(Math.max(1, n), 512) - 1;
        return;
      case "K":
        return this.#erase(n);
      case "J":
        // Only what is below, as progress of several lines does; a cleared screen would lose words.
        if (n !== 0 || this.#row === this.#rows.length - 1) return;
        this.#rows.length = this.#row + 1;
        this.#erase(0);
    }
  }

  finish(): Span[] {
    for (const row of this.#rows.splice(0, this.#rows.length - 1)) this.#settle(row, true);
    this.#settle(this.#rows[0]!, false);
    const spans = this.#done;
    const cut = Math.max(0, spans.length - MOST_SPANS);
    const plain = spans.slice(0, cut).map((s) => s.text).join("");
    const rest = spans.slice(cut).map(({ text, style }) => ({ text, look: lookOf(style) }));
    return plain ? [{ text: plain, look: "" }, ...rest] : rest;
  }

  #atEnd(): boolean {
    const row = this.#rows[this.#row]!;
    return this.#row === this.#rows.length - 1 && !row.cells && this.#column === row.length;
  }

  // Of much plain text only the last rows can be written over later: the rest is settled at once.
  #passBy(text: string): string {
    let at = text.length;
    for (let i = 0; i < SCREEN_ROWS && at > 0; i++) at = text.lastIndexOf("\n", at - 1);
    if (at <= 0) return text;
    for (const row of this.#rows.splice(0, this.#rows.length - 1)) this.#settle(row, true);
    this.#settle(this.#rows[0]!, false);
    this.#add(text.slice(0, at + 1), this.style);
    this.#rows = [newRow()];
    this.#row = this.#column = 0;
    return text.slice(at + 1);
  }

  #put(text: string): void {
    if (!text) return;
    const row = this.#rows[this.#row]!;
    if (this.#column > row.length) this.#pad(row);
    if (!row.cells && this.#column === row.length) {
      const last = row.pieces.at(-1);
      if (last && last.style === this.style) last.text += text;
      else row.pieces.push({ text, style: this.style });
      row.length += text.length;
    } else {
      const cells = toCells(row);
      for (let i = 0; i < text.length; i++) {
        cells[this.#column + i] = text[i]!;
        row.styles[this.#column + i] = this.style;
      }
      row.length = cells.length;
    }
    this.#column += text.length;
  }

  #pad(row: Row): void {
    const blanks = Math.min(this.#column - row.length, this.#blanks);
    this.#blanks -= blanks;
    this.#column = row.length;
    if (blanks === 0) return;
    const { style } = this;
    this.style = 0;
    this.#put(" ".repeat(blanks));
    this.style = style;
  }

  #lineFeed(): void {
    this.#column = 0;
    if (++this.#row < this.#rows.length) return;
    this.#rows.push(newRow());
    if (this.#rows.length <= MOST_ROWS) return;
    for (const row of this.#rows.splice(0, this.#rows.length - SCREEN_ROWS)) this.#settle(row, true);
    this.#row = this.#rows.length - 1;
  }

  #erase(how: number): void {
    const row = this.#rows[this.#row]!;
    if (how === 0 && this.#column >= row.length) return;
    const cells = toCells(row);
    if (how === 1) cells.fill(" ", 0, Math.min(cells.length, this.#column + 1));
    else cells.length = row.styles.length = row.length = how === 2 ? 0 : Math.min(this.#column, cells.length);
  }

  #settle(row: Row, ended: boolean): void {
    if (row.cells) {
      let from = 0;
      for (let i = 1; i <= row.cells.length; i++) {
        if (i < row.cells.length && row.styles[i] === row.styles[from]) continue;
        this.#add(row.cells.slice(from, i).join(""), row.styles[from]!);
        from = i;
      }
    } else {
      for (const { text, style } of row.pieces) this.#add(text, style);
    }
    if (ended) this.#add("\n", this.#done.at(-1)?.style ?? 0);
  }

  #add(text: string, style: number): void {
    const last = this.#done.at(-1);
    if (!text) return;
    if (last && last.style === style) last.text += text;
    else this.#done.push({ text, style });
  }
}

function lookOf(style: number): string {
  if (style === 0) return "";
  let fg = style & FG;
  let bg = (style & BG) >> BG_SHIFT;
  const names: string[] = [];
  if (style & INVERSE) {
    if (!fg && !bg) names.push("t-inverse");
    [fg, bg] = [bg, fg];
  }
  if (fg) names.push(`t-f${fg - 1}`);
  if (bg) names.push(`t-b${bg - 1}`);
  if (style & BOLD) names.push("t-bold");
  if (style & DIM) names.push("t-dim");
  if (style & ITALIC) names.push("t-italic");
  if (style & UNDERLINE) names.push("t-underline");
  if (style & STRUCK) names.push("t-struck");
  return names.join(" ");
}

// The one of the 16 named colours that is nearest in hue: those are chosen to be legible in both themes.
function nearest(r: number, g: number, b: number): number {
  const most = Math.max(r, g, b);
  const range = most - Math.min(r, g, b);
  if (range < 48) return most < 64 ? 0 : most < 150 ? 8 : most < 230 ? 7 : 15;
  const hue = most === r ? (g - b) / range : most === g ? 2 + (b - r) / range : 4 + (r - g) / range;
  const named = [1, 3, 2, 6, 4, 5][((Math.round(hue) % 6) + 6) % 6]!;
  return most > 200 ? named + 8 : named;
}

function ofPalette(n: number): number {
  if (n < 16) return n;
  if (n >= 232) return nearest((n - 232) * 10 + 8, (n - 232) * 10 + 8, (n - 232) * 10 + 8);
  const level = (v: number) => (v === 0 ? 0 : 55 + v * 40);
  return nearest(level(Math.floor((n - 16) / 36)), level(Math.floor((n - 16) / 6) % 6), level((n - 16) % 6));
}

const byte = (n: number | undefined) => Math.min(255, Math.max(0, n || 0));

// 38 and 48: `5;n` or `2;r;g;b`. Returns the colour, and how many numbers it took.
function extended(numbers: number[], at: number): [number, number] {
  if (numbers[at] === 5) return [ofPalette(byte(numbers[at + 1])), 2];
  if (numbers[at] === 2) return [nearest(byte(numbers[at + 1]), byte(numbers[at + 2]), byte(numbers[at + 3])), 4];
  return [-1, 1];
}

const SET: Record<number, number> = { 1: BOLD, 2: DIM, 3: ITALIC, 4: UNDERLINE, 7: INVERSE, 9: STRUCK, 21: UNDERLINE };
const UNSET: Record<number, number> = { 22: BOLD | DIM, 23: ITALIC, 24: UNDERLINE, 27: INVERSE, 29: STRUCK, 39: FG, 49: BG };

// `38:2::r:g:b` is `38;2;r;g;b`; of other numbers with colons only the first counts.
function numbersOf(given: string): number[] {
  if (given.length <= 3) {
    const n = Number(given);
    if (n >= 0) return [n];
  }
  return given.split(";").flatMap((group) => {
    if (!group.includes(":")) return [Number(group) || 0];
    const [first, kind, ...rest] = group.split(":").map(Number);
    if (first !== 38 && first !== 48) return first === 4 && kind === 0 ? [24] : [first!];
    return [first, kind!, ...(kind === 2 ? rest.slice(-3) : rest.slice(0, 1))];
  });
}

function restyle(style: number, given: string): number {
  const paint = (colour: number, back: boolean) =>
    colour < 0 ? style : back ? (style & ~BG) | ((colour + 1) << BG_SHIFT) : (style & ~FG) | (colour + 1);
  const numbers = numbersOf(given);
  for (let i = 0; i < numbers.length; i++) {
    const n = numbers[i]!;
    if (n === 0) style = 0;
    else if (SET[n]) style |= SET[n];
    else if (UNSET[n]) style &= ~UNSET[n];
    else if (n >= 30 && n <= 37) style = paint(n - 30, false);
    else if (n >= 40 && n <= 47) style = paint(n - 40, true);
    else if (n >= 90 && n <= 97) style = paint(n - 82, false);
    else if (n >= 100 && n <= 107) style = paint(n - 92, true);
    else if (n === 38 || n === 48) {
      const [colour, took] = extended(numbers, i + 1);
      style = paint(colour, n === 48);
      i += took;
    }
  }
  return style;
}

// The end of a control sequence's body at `at`: its final byte, or where it breaks off.
function endOfSequence(text: string, at: number): number {
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code < 0x20 || code > 0x3f) break;
    at++;
  }
  return at;
}

function sequence(screen: Screen, text: string, body: number): number {
  const end = endOfSequence(text, body);
  if (end >= text.length) return end;
  const code = text.charCodeAt(end);
  // What is no sequence after all is text.
  if (code < 0x40 || code > 0x7e) return body;
  if (code === 0x6d) screen.style = restyle(screen.style, text.slice(body, Math.min(end, body + 512)));
  else screen.move(text[end]!, Math.min(parseInt(text.slice(body, body + 5), 10) || 0, 9_999));
  return end + 1;
}

// Acts on the control at `at` and returns where the text goes on.
function control(screen: Screen, text: string, at: number): number {
  const code = text.charCodeAt(at);
  if (code === 0x0d) screen.back();
  if (code === 0x08) screen.move("D", 1);
  if (code === 0x9b) return sequence(screen, text, at + 1);
  if (code !== 0x1b && code < 0x80) return at + 1;
  if (code === 0x1b && text[at + 1] === "[") return sequence(screen, text, at + 2);
  STRING.lastIndex = at;
  if (STRING.test(text)) return STRING.lastIndex;
  if (code !== 0x1b) return at + 1;
  // A string without an end is text: nothing that a program wrote may vanish with it.
  if ("]PX^_".includes(text[at + 1] ?? "]")) return at + 2;
  SHORT.lastIndex = at;
  return SHORT.test(text) ? SHORT.lastIndex : at + 1;
}

export function renderTerminal(text: string): Span[] {
  if (!CONTROL.test(text)) return [{ text, look: "" }];
  const screen = new Screen();
  let from = 0;
  while (from < text.length) {
    NEXT_CONTROL.lastIndex = from;
    const at = NEXT_CONTROL.exec(text)?.index ?? text.length;
    if (at > from) screen.write(text.slice(from, at));
    from = at < text.length ? control(screen, text, at) : at;
  }
  return screen.finish();
}
