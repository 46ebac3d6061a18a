// The entries of a conversation, one component per kind.

import { useEffect, useMemo, useState } from "preact/hooks";
import { NOT_STARTED, type Conversation } from "../state/conversation";
import { duration, elapsed, useNow } from "../state/clock";
import { readableFailure } from "../state/failure";
import { attempt } from "../state/sessions";
import { isEmptyAnswer } from "../state/timeline/plan";
import type {
  AssistantEntry, Block, ErrorEntry, Image, NoticeEntry, UserEntry,
} from "../state/timeline/types";
import { CopyButton } from "../ui/basics";
import { CutLine, useWhole } from "../ui/cut";
import { Icon } from "../ui/icon";
import { proseText } from "../ui/markdown/bidi";
import { Markdown } from "../ui/markdown/markdown";
import { memo } from "../ui/memo";
import { AtWork } from "./at_work";
import { Attempts } from "./attempts";
import { BranchButton, WaysOut } from "./ways_out";

const PICTURES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);

// The policy allows blob: pictures only, so base64 becomes one for as long as it is shown.
export function Picture({ image }: { image: Image }) {
  const url = useMemo(() => {
    if (!PICTURES.has(image.mimeType)) return "";
    try {
      const bytes = Uint8Array.from(atob(image.data), (c) => c.charCodeAt(0));
      return URL.createObjectURL(new Blob([bytes], { type: image.mimeType }));
    } catch {
      return "";
    }
  }, [image.data]);
  useEffect(() => () => URL.revokeObjectURL(url), [url]);
  return url ? <img class="picture" src={url} alt="Picture sent with the message" /> : <span class="tag">picture</span>;
}

interface UserProps {
  entry: UserEntry;
  open: Conversation;
  // The agent is at rest and nothing came of it.
  unanswered: boolean;
}

export const UserView = memo(function UserView({ entry, open, unanswered }: UserProps) {
  const whole = useWhole(open.id, entry.cut);
  return (
    <article class="message user" data-testid="message-user" data-delivery={entry.delivery} aria-label="You">
      <div class="user-box">
        {entry.images.length > 0 && (
          <div class="pictures">
            {entry.images.map((image, i) => <Picture key={i} image={image} />)}
          </div>
        )}
        <div class="user-text" dir="auto">{proseText(whole?.text ?? entry.text)}</div>
        {whole && <CutLine whole={whole} name="message.txt" />}
      </div>
      {entry.delivery === "sending" && <p class="delivery">Sending…</p>}
      {entry.delivery === "accepted" && unanswered && (
        <p class="unanswered" data-testid="unanswered">
          The agent stopped before it answered this. <RetryButton open={open} />
        </p>
      )}
      {entry.code === NOT_STARTED && <p class="delivery" data-testid="not-started">Sent as soon as the session has started.</p>}
      {entry.delivery === "failed" && entry.code !== NOT_STARTED && (
        <ErrorCard title="This message was not accepted" text={entry.error ?? ""}>
          <button type="button" class="secondary small" data-testid="error-retry" onClick={() => open.resend(entry)}>
            <Icon name="retry" size={14} /> Send again
          </button>
          {entry.code === "limit" && <AtWork />}
          {entry.code === "refused" && <WaysOut open={open} />}
        </ErrorCard>
      )}
      <BranchButton entry={entry} open={open} />
    </article>
  );
});

type ThinkingBlock = Extract<Block, { kind: "thinking" }>;

export function Thinking({ block, live, sessionId }: { block: ThinkingBlock; live: boolean; sessionId: string }) {
  const [open, setOpen] = useState(false);
  const whole = useWhole(sessionId, block.cut);
  const running = live && block.endedAt === undefined;
  const now = useNow(running && block.startedAt !== undefined);
  const took = block.startedAt === undefined ? undefined : (running ? now : (block.endedAt ?? 0)) - block.startedAt;
  const words = running
    ? `Thinking${took !== undefined ? ` for ${elapsed(took)}` : ""}…`
    : took !== undefined && took >= 950
      ? `Thought for ${duration(took)}`
      : "Thought for a moment";
  return (
    <div class={`thinking ${running ? "running" : ""}`} data-testid="thinking">
      <button type="button" class="thinking-line" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Icon name="thought" size={14} />
        <span>{words}</span>
        <span class={`turn ${open ? "open" : ""}`}><Icon name="right" size={12} /></span>
      </button>
      {open && <div class="thinking-text" dir="auto">{proseText(whole?.text ?? block.text) || "Its thoughts were not told."}</div>}
      {open && whole && <CutLine whole={whole} name="thoughts.txt" />}
    </div>
  );
}

type TextBlock = Extract<Block, { kind: "text" }>;

function Answer({ block, growing, sessionId }: { block: TextBlock; growing: boolean; sessionId: string }) {
  const whole = useWhole(sessionId, block.cut);
  return (
    <>
      <Markdown text={whole?.text ?? block.text} growing={growing} />
      {whole && <CutLine whole={whole} name="answer.md" />}
    </>
  );
}

interface AssistantProps {
  entry: AssistantEntry;
  open: Conversation;
  // The turn ended with this message: its foot and a lone failure are shown here.
  last: boolean;
  current: boolean;
  explained: boolean;
  // Nothing follows it, and the agent is at rest.
  ended: boolean;
  // The texts of it that are drawn here, and whether its first and last words are.
  from: number;
  to: number;
  head: boolean;
  tail: boolean;
}

export const AssistantView = memo(function AssistantView(props: AssistantProps) {
  const { entry, open, from, to, head, tail } = props;
  const live = entry.stage === "live";
  const ending = tail ? endingOf(props) : [];
  if (from === to && !head && ending.length === 0) return null;
  return (
    <article class="message assistant" data-testid="message-assistant" data-stage={entry.stage} aria-label="Agent">
      {head && entry.recovered && <p class="turn-note" data-testid="recovered">Read from the agent's own file after a crash.</p>}
      {head && entry.attempts && <Attempts attempts={entry.attempts} />}
      {entry.blocks.slice(from, to).map((block, i) => {
        const growing = live && from + i === entry.blocks.length - 1;
        return block.kind === "text" && <Answer key={block.index} block={block} growing={growing} sessionId={open.id} />;
      })}
      {ending}
    </article>
  );
});

// What is to be said after its last block: how it ended, and what can be done.
function endingOf({ entry, open, last, current, explained, ended }: AssistantProps) {
  const live = entry.stage === "live";
  const cut = ended && !live && (entry.interrupted || entry.stage === "partial" || entry.stopReason === "tool_use");
  const text = entry.blocks.map((b) => (b.kind === "text" ? b.text : "")).filter(Boolean).join("\n\n");
  const failed = (entry.stopReason === "error" && last && !explained) || (entry.retracted && ended);
  const error = entry.error ?? entry.attempts?.at(-1)?.error;
  return [
    isEmptyAnswer(entry) && <p key="empty" class="turn-note" data-testid="empty-answer">The model answered with nothing.</p>,
    entry.stopReason === "aborted" && last && <p key="aborted" class="turn-note" data-testid="aborted">Stopped by you.</p>,
    entry.stopReason === "length" && <p key="length" class="turn-note" data-testid="cut-by-length">Cut by the model's length limit. Ask it to go on.</p>,
    failed && (
      <ErrorCard
        key="error"
        title={entry.blocks.length ? "The model's answer broke off" : "The model could not answer"}
        text={error ? readableFailure(error) : "What it had said until then is kept."}
      >
        {current && <WaysOut open={open}><RetryButton open={open} /></WaysOut>}
      </ErrorCard>
    ),
    cut && !failed && (
      <ErrorCard key="cut" title="The agent was interrupted here" text="It or the host ended before it was done.">
        {current && <RetryButton open={open} />}
      </ErrorCard>
    ),
    last && !live && text && (
      <footer key="foot" class="turn-foot">
        <CopyButton text={() => text} />
        {entry.model && <span>{entry.model}</span>}
        <time dateTime={new Date(entry.at).toISOString()}>
          {new Date(entry.endedAt ?? entry.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}
        </time>
      </footer>
    ),
  ].filter(Boolean);
}

function RetryButton({ open }: { open: Conversation }) {
  const last = open.lastUser();
  if (!last) return null;
  return (
    <button
      type="button"
      class="secondary small"
      data-testid="error-retry"
      disabled={open.busy}
      onClick={() => open.send(last.text, last.images)}
    >
      <Icon name="retry" size={14} /> Try again
    </button>
  );
}

export function ErrorCard({ title, text, children }: { title: string; text: string; children?: preact.ComponentChildren }) {
  return (
    <div class="error-card" role="alert" data-testid="error-card">
      <Icon name="warning" />
      <div class="error-text">
        <strong>{title}</strong>
        {text && <p>{text}</p>}
      </div>
      {children}
    </div>
  );
}

export const ErrorView = memo(function ErrorView({ entry, open, current }: { entry: ErrorEntry; open: Conversation; current: boolean }) {
  return (
    <div class="message">
      <ErrorCard title={entry.starting ? "The agent could not be started" : entry.recoverable ? "The model could not answer" : "The agent ended"} text={readableFailure(entry.text)}>
        {current && entry.recoverable && <WaysOut open={open}><RetryButton open={open} /></WaysOut>}
        {current && !entry.recoverable && (
          <button type="button" class="secondary small" data-testid="error-restart" onClick={() => attempt(open.start())}>
            <Icon name="retry" size={14} /> Start it again
          </button>
        )}
      </ErrorCard>
    </div>
  );
});

export const NoticeView = memo(function NoticeView({ entry }: { entry: NoticeEntry }) {
  return (
    <div class={`notice ${entry.level}`} role="status" data-testid="notice">
      {entry.open && <span class="spinner" aria-hidden="true" />}
      {!entry.detail && <span>{entry.text}</span>}
      {entry.detail && (
        <details>
          <summary>{entry.text}</summary>
          <div class="notice-detail">{entry.detail}</div>
        </details>
      )}
    </div>
  );
});
