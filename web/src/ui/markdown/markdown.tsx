// Markdown to nodes. No HTML string exists on the way: the parser's tokens become elements, text stays
// text, and raw HTML in the source is shown as it was written.

import MarkdownIt, { type Token } from "markdown-it";
import { type ComponentChild, Fragment, h } from "preact";
import { useMemo } from "preact/hooks";
import { memo } from "../memo";
import { codeText, directionOf, proseText } from "./bidi";
import { CodeBlock } from "./code";
import { endsInFence, splitMarkdown } from "./split";

const parser = new MarkdownIt({ html: false, linkify: false, breaks: false });

const URL_IN_TEXT = /https?:\/\/[^\s<>"'`]+[^\s<>"'`.,;:!?)\]}]/g;
const SAFE_LINK = /^(https?:|mailto:|#|\/(?!\/))/i;

function link(href: string, children: ComponentChild[]): ComponentChild {
  if (!SAFE_LINK.test(href)) return h(Fragment, null, ...children);
  return h("a", { href, target: "_blank", rel: "noopener noreferrer", title: href }, ...children);
}

function withLinks(text: string): ComponentChild[] {
  const out: ComponentChild[] = [];
  let from = 0;
  for (const match of text.matchAll(URL_IN_TEXT)) {
    out.push(proseText(text.slice(from, match.index)), link(match[0], [proseText(match[0])]));
    from = match.index + match[0].length;
  }
  out.push(proseText(text.slice(from)));
  return out;
}

interface Frame {
  tag: string;
  attrs: Record<string, string | number>;
  children: ComponentChild[];
  dir?: "ltr" | "rtl" | undefined;
}

const HEADING_SHIFT: Record<string, string> = { h1: "h3", h2: "h4", h3: "h5", h4: "h6", h5: "h6" };
// A list or a quote has the direction of its first word: `auto` would not look into its paragraphs.
const HAS_PARAGRAPHS = new Set(["ul", "ol", "blockquote"]);

// Long numbers would stand outside the page.
function numbered(dir: string | undefined, start: number, children: ComponentChild[]): ComponentChild {
  const digits = String(start + children.length - 1).length;
  const room = digits <= 2 ? undefined : digits === 3 ? "three-digits" : "many-digits";
  return h("ol", { dir, start: start === 1 ? undefined : start, class: room }, ...children);
}

function close(frame: Frame): ComponentChild {
  const { tag, attrs, children } = frame;
  if (tag === "a") return link(String(attrs["href"] ?? ""), children);
  if (tag === "table") return h("div", { class: "table-scroll", tabIndex: 0 }, h("table", null, ...children));
  if (tag === "th" || tag === "td") {
    const align = /text-align:(\w+)/.exec(String(attrs["style"] ?? ""))?.[1];
    return h(tag, { dir: "auto", class: align ? `align-${align}` : undefined }, ...children);
  }
  // The page has its own headings above these.
  if (HEADING_SHIFT[tag]) return h(HEADING_SHIFT[tag], { dir: "auto", class: `md-${tag}` }, ...children);
  if (tag === "ol") return numbered(frame.dir, Number(attrs["start"] ?? 1), children);
  if (HAS_PARAGRAPHS.has(tag)) return h(tag as "ul", { dir: frame.dir }, ...children);
  return h(tag as "p", tag === "p" ? { dir: "auto" } : null, ...children);
}

function build(tokens: Token[], growing: boolean): ComponentChild[] {
  const root: Frame = { tag: "", attrs: {}, children: [] };
  const stack: Frame[] = [root];
  let links = 0;
  const put = (child: ComponentChild) => stack.at(-1)!.children.push(child);
  tokens.forEach((token, i) => {
    if (token.nesting === 1) {
      if (token.hidden) return;
      if (token.tag === "a") links++;
      stack.push({ tag: token.tag, attrs: Object.fromEntries(token.attrs ?? []), children: [] });
    } else if (token.nesting === -1) {
      if (token.hidden || stack.length === 1) return;
      if (token.tag === "a") links--;
      const done = stack.pop()!;
      put(close(done));
    } else {
      if (token.type === "inline") direct(stack, token.content);
      put(leaf(token, links === 0, growing && i === tokens.length - 1));
    }
  });
  // An unbalanced end cannot lose content.
  while (stack.length > 1) {
    const done = stack.pop()!;
    put(close(done));
  }
  return root.children;
}

function direct(stack: Frame[], text: string): void {
  if (!stack.some((f) => !f.dir && HAS_PARAGRAPHS.has(f.tag))) return;
  const dir = directionOf(text);
  for (const frame of stack) frame.dir ??= dir;
}

function leaf(token: Token, mayLink: boolean, growing: boolean): ComponentChild {
  switch (token.type) {
    case "inline":
      return h(Fragment, null, ...build(token.children ?? [], false));
    case "text":
    case "text_special":
      return mayLink ? h(Fragment, null, ...withLinks(token.content)) : proseText(token.content);
    case "code_inline":
      return h("code", { dir: "ltr" }, codeText(token.content));
    case "fence":
    case "code_block":
      return h(CodeBlock, { code: token.content, language: token.info.trim().split(/\s+/)[0] ?? "", growing });
    case "softbreak":
      return "\n";
    case "hardbreak":
      return h("br", null);
    case "hr":
      return h("hr", null);
    case "image":
      // Nothing is fetched from elsewhere: a picture is a link to it.
      return link(String(token.attrGet("src") ?? ""), [proseText(`🖼 ${token.content || "image"}`)]);
    default:
      return proseText(token.content);
  }
}

const Piece = memo(function Piece({ text, growing }: { text: string; growing: boolean }) {
  const nodes = useMemo(() => build(parser.parse(text, {}), growing && endsInFence(text)), [text, growing]);
  return h(Fragment, null, ...nodes);
});

export function Markdown({ text, growing = false }: { text: string; growing?: boolean }) {
  const pieces = splitMarkdown(text);
  return (
    <div class="prose">
      {pieces.map((piece, i) => (
        <Piece key={i} text={piece} growing={growing && i === pieces.length - 1} />
      ))}
    </div>
  );
}
