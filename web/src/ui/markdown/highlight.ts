// A small lexer that is right often enough to help reading: comments, strings, numbers, keywords.
// It never loses or changes a character.

export interface Span {
  kind: "" | "comment" | "string" | "number" | "keyword" | "added" | "removed" | "meta";
  text: string;
}

const C_LIKE =
  "abstract as async await auto bool break case catch char class const constexpr continue default defer delete do double else enum " +
  "explicit export extends extern false final finally float fn for from func function go if impl implements import in inline " +
  "instanceof int interface let long loop match mod module mut namespace new nil noexcept null nullptr of operator override " +
  "package private protected pub public range return self short signed sizeof static struct super switch template this throw " +
  "trait true try type typedef typename typeof undefined union unsafe unsigned use using var virtual void volatile where while yield";
const PYTHON =
  "and as assert async await break class continue def del elif else except False finally for from global if import in is " +
  "lambda match case None nonlocal not or pass raise return self True try while with yield";
const SHELL =
  "if then else elif fi for while until do done case esac in function return exit export local set unset cd echo source sudo";
const SQL =
  "select from where insert into update delete create table index view drop alter join left right inner outer on group by order " +
  "limit values set and or not null is as distinct primary key references begin commit rollback";
const DATA = "true false null yes no on off";

interface Grammar {
  words: Set<string>;
  pattern: RegExp;
  ignoreCase?: boolean;
}

const STRINGS = `"(?:[^"\\\\\\n]|\\\\.)*"?|'(?:[^'\\\\\\n]|\\\\.)*'?`;
const NUMBER = `\\b(?:0x[\\da-fA-F_]+|\\d[\\d_]*(?:\\.\\d+)?(?:[eE][+-]?\\d+)?)\\b`;
const WORD = `[A-Za-z_$][\\w$]*`;

function grammar(words: string, comments: string, strings = STRINGS, ignoreCase = false): Grammar {
  const pattern = new RegExp(`(${comments})|(${strings})|(${NUMBER})|(${WORD})`, "g");
  return { words: new Set(words.split(" ")), pattern, ignoreCase };
}

const HASH_COMMENT = "(?<![\\w$&{])#[^\\n]*";
const TRIPLE = `"""[\\s\\S]*?(?:"""|$)|'''[\\s\\S]*?(?:'''|$)|${STRINGS}`;
const c = grammar(C_LIKE, "//[^\\n]*|/\\*[\\s\\S]*?(?:\\*/|$)", `\`(?:[^\`\\\\]|\\\\.)*\`?|${STRINGS}`);
const python = grammar(PYTHON, HASH_COMMENT, TRIPLE);
const shell = grammar(SHELL, HASH_COMMENT);
const sql = grammar(SQL, "--[^\\n]*|/\\*[\\s\\S]*?(?:\\*/|$)", STRINGS, true);
const data = grammar(DATA, HASH_COMMENT);
const json = grammar(DATA, "(?!)");
const css = grammar("important media supports keyframes import root", "/\\*[\\s\\S]*?(?:\\*/|$)");
const markup = grammar("", "<!--[\\s\\S]*?(?:-->|$)");

const GRAMMARS: Record<string, Grammar> = {};
function name(languages: string, g: Grammar): void {
  for (const language of languages.split(" ")) GRAMMARS[language] = g;
}
name("c cc cpp c++ h hpp cs csharp java js jsx javascript mjs ts tsx typescript go rust rs swift kotlin kt php dart scala zig proto", c);
name("py python", python);
name("sh bash shell zsh console fish dockerfile makefile make cmake", shell);
name("sql", sql);
name("yaml yml toml ini conf rb ruby r perl pl elixir nix", data);
name("json jsonc json5", json);
name("css scss less", css);
name("html xml svg vue svelte", markup);

const LONGEST = 60_000;

export function highlight(code: string, language: string): Span[] {
  if (code.length > LONGEST) return [{ kind: "", text: code }];
  if (language === "diff" || language === "patch") return highlightDiff(code);
  const known = GRAMMARS[language];
  return known ? lex(code, known) : [{ kind: "", text: code }];
}

function highlightDiff(code: string): Span[] {
  return code.split(/(?<=\n)/).map((text) => {
    if (/^(\+\+\+|---|@@|diff |index )/.test(text)) return { kind: "meta", text };
    return { kind: text.startsWith("+") ? "added" : text.startsWith("-") ? "removed" : "", text };
  });
}

function lex(code: string, g: Grammar): Span[] {
  const spans: Span[] = [];
  let from = 0;
  for (const match of code.matchAll(g.pattern)) {
    const [text, comment, string, number] = match;
    const word = g.ignoreCase ? text.toLowerCase() : text;
    const kind = comment ? "comment" : string ? "string" : number ? "number" : g.words.has(word) ? "keyword" : "";
    if (!kind || !text) continue;
    if (match.index > from) spans.push({ kind: "", text: code.slice(from, match.index) });
    spans.push({ kind, text });
    from = match.index + text.length;
  }
  if (from < code.length) spans.push({ kind: "", text: code.slice(from) });
  return spans;
}
