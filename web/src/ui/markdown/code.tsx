import { useMemo } from "preact/hooks";
import { CopyButton } from "../basics";
import { codeSpans, useColours } from "../colour";
import { codeText } from "./bidi";

export function Highlighted({ code, language }: { code: string; language: string }) {
  const colours = useColours();
  const spans = useMemo(() => codeSpans(colours, code, language), [colours, code, language]);
  return (
    <>
      {spans.map((span, i) => (span.kind ? <span key={i} class={`hl-${span.kind}`}>{codeText(span.text)}</span> : codeText(span.text)))}
    </>
  );
}

// A code block. Colours come when it is complete, so that they do not flicker while it grows.
export function CodeBlock({ code, language, growing }: { code: string; language: string; growing: boolean }) {
  const text = code.replace(/\n$/, "");
  return (
    <figure class="code-block">
      <figcaption>
        <span class="code-language">{language || "text"}</span>
        <CopyButton text={() => text} />
      </figcaption>
      <pre tabIndex={0} dir="ltr">
        <code>{growing ? codeText(text) : <Highlighted code={text} language={language.toLowerCase()} />}</code>
      </pre>
    </figure>
  );
}
