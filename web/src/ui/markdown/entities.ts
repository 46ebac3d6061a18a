// Stands where markdown-it expects `entities`: the named references people write in prose, and
// every numeric one. An unknown name stays as it was written.
const NAMED: Record<string, string> = {
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", ensp: "\u2002", emsp: "\u2003",
  thinsp: "\u2009", copy: "©", reg: "®", trade: "™", hellip: "…", mdash: "—", ndash: "–",
  lsquo: "‘", rsquo: "’", ldquo: "“", rdquo: "”", laquo: "«", raquo: "»", bull: "•", middot: "·",
  times: "×", divide: "÷", plusmn: "±", deg: "°", micro: "µ", para: "¶", sect: "§", euro: "€",
  pound: "£", yen: "¥", cent: "¢", larr: "←", uarr: "↑", rarr: "→", darr: "↓", harr: "↔",
  rArr: "⇒", lArr: "⇐", hArr: "⇔", ne: "≠", le: "≤", ge: "≥", asymp: "≈", infin: "∞", sum: "∑",
  prod: "∏", radic: "√", part: "∂", nabla: "∇", isin: "∈", forall: "∀", exist: "∃", empty: "∅",
  cap: "∩", cup: "∪", sub: "⊂", sup: "⊃", and: "∧", or: "∨", not: "¬", alpha: "α", beta: "β",
  gamma: "γ", delta: "δ", epsilon: "ε", lambda: "λ", mu: "μ", pi: "π", sigma: "σ", tau: "τ",
  phi: "φ", omega: "ω", Delta: "Δ", Sigma: "Σ", Omega: "Ω", check: "✓", cross: "✗", star: "☆",
  auml: "ä", ouml: "ö", uuml: "ü", Auml: "Ä", Ouml: "Ö", Uuml: "Ü", szlig: "ß", eacute: "é",
  egrave: "è", agrave: "à", ccedil: "ç", ntilde: "ñ",
};

export function decodeHTMLStrict(text: string): string {
  return text.replace(/&(?:#x([0-9a-f]{1,6})|#([0-9]{1,7})|([a-z][a-z0-9]*));/gi, (all, hex, dec, name) => {
    if (name) return Object.hasOwn(NAMED, name) ? NAMED[name]! : all;
    const code = hex ? parseInt(hex, 16) : parseInt(dec, 10);
    const valid = code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
    return valid ? String.fromCodePoint(code) : "\ufffd";
  });
}
