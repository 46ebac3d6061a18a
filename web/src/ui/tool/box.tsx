// Text in a scrolling box that can be grown to its full height.

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { CopyButton } from "../basics";
import { codeText } from "../markdown/bidi";
import { Highlighted } from "../markdown/code";

const LONG_LINES = 400;

interface BoxProps {
  title: string;
  text: string;
  language?: string;
  prefix?: string;
  numbered?: boolean;
  // Its end is what matters: it opens there, and stays there while it grows.
  atEnd?: boolean;
  failed?: boolean;
  testid?: string;
  // In words, how much there is; else the lines are counted.
  count?: string;
  actions?: ComponentChildren;
  // How the text is drawn, if not as it is.
  children?: ComponentChildren;
}

export function Box({ title, text, language, prefix, numbered, atEnd, failed, testid, count, actions, children }: BoxProps) {
  const box = useRef<HTMLPreElement>(null);
  const stuck = useRef(true);
  const [full, setFull] = useState(false);
  const [overflows, setOverflows] = useState(false);
  const lines = useMemo(() => text.replace(/\n$/, "").split("\n").length, [text]);
  const words = count ?? (lines > 1 ? `${lines} lines` : "");
  useLayoutEffect(() => {
    const pre = box.current;
    if (!pre) return;
    setOverflows(pre.scrollHeight > pre.clientHeight + 4);
    if (atEnd && stuck.current) pre.scrollTop = pre.scrollHeight;
  }, [text, atEnd]);
  const onScroll = () => {
    const pre = box.current;
    if (pre) stuck.current = pre.scrollHeight - pre.scrollTop - pre.clientHeight < 24;
  };
  return (
    <div class={`box ${failed ? "failed" : ""}`}>
      <div class="box-head">
        <span class="box-title">{title}</span>
        {words && <span class="box-count" data-testid={testid && `${testid}-amount`}>{words}</span>}
        <span class="box-space" />
        {actions}
        {(overflows || full) && (
          <button type="button" class="quiet-button" aria-expanded={full} onClick={() => setFull(!full)}>
            {full ? "Less room" : "More room"}
          </button>
        )}
        <CopyButton text={() => text} />
      </div>
      <pre ref={box} tabIndex={0} dir="ltr" class={full ? "full" : ""} data-testid={testid} onScroll={onScroll}>
        {numbered && lines <= LONG_LINES && <LineNumbers count={lines} />}
        <code>
          {prefix && <span class="prompt">{prefix}</span>}
          {children ?? (language ? <Highlighted code={text} language={language} /> : codeText(text))}
        </code>
      </pre>
    </div>
  );
}

function LineNumbers({ count }: { count: number }) {
  return (
    <span class="line-numbers" aria-hidden="true">
      {Array.from({ length: count }, (_, i) => i + 1).join("\n")}
    </span>
  );
}
