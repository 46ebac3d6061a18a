// What one conversation looks like, as plain values. Everything here is immutable: an entry that did
// not change keeps its identity, so a view can skip it.

import type {
  Attempt, Cut, Delivery as Queued, InputRequest, Phase, Resolution, SessionState, StopReason, Usage,
} from "../../protocol/types";

// writing: the model still writes the arguments; waiting: not started yet; stopped: the turn ended first.
export type ToolState = "writing" | "waiting" | "running" | "done" | "failed" | "stopped";

export interface Tool {
  id: string;
  name: string;
  input: unknown;
  argsText: string;
  state: ToolState;
  output: string;
  startedAt?: number;
  durationMs?: number;
  // `output` or `input` is only a part of the whole.
  cut?: Cut;
  inputCut?: Cut;
}

export type Block =
  | { kind: "text"; index: number; text: string; cut?: Cut }
  | { kind: "thinking"; index: number; text: string; startedAt?: number; endedAt?: number; cut?: Cut }
  | { kind: "tool"; index: number; tool: Tool };

export interface Image {
  data: string;
  mimeType: string;
}

export type Delivery = "sending" | "accepted" | "failed";

export interface UserEntry {
  kind: "user";
  key: string;
  id?: string;
  idx?: number;
  clientId?: string;
  text: string;
  cut?: Cut;
  images: Image[];
  at: number;
  delivery: Delivery;
  error?: string;
  code?: string;
}

export interface AssistantEntry {
  kind: "assistant";
  key: string;
  idx?: number;
  blocks: Block[];
  at: number;
  endedAt?: number;
  // live: being streamed; partial: a snapshot taken while it was streamed; settled: final.
  stage: "live" | "partial" | "settled";
  // Of a snapshot: the last event that it contains.
  upTo?: number;
  model?: string;
  provider?: string;
  stopReason?: StopReason;
  usage?: Usage;
  error?: string;
  // Its end never came: the agent or the host went away while it was written.
  interrupted?: boolean;
  // Earlier tries that failed. While no other has begun, this entry is nothing but them.
  attempts?: Attempt[];
  retracted?: boolean;
  recovered?: boolean;
}

export interface ErrorEntry {
  kind: "error";
  key: string;
  text: string;
  recoverable: boolean;
  // Before it could be asked anything.
  starting?: boolean;
  at: number;
}

export interface NoticeEntry {
  kind: "notice";
  key: string;
  level: "info" | "warning" | "error";
  text: string;
  detail?: string;
  open?: boolean;
}

export interface AskEntry extends Resolution {
  kind: "ask";
  key: string;
  request: InputRequest;
  at: number;
  resolved: boolean;
  // Known to be open, but not yet at the place where it was asked.
  loose?: boolean;
  // Answered on this page.
  mine?: boolean;
  // Answered by somebody else, or elsewhere, while this page looked on.
  elsewhere?: boolean;
}

// sending, failed: this page's own, which the host does not have.
export interface Waiting {
  key: string;
  id?: string;
  clientId?: string;
  delivery: Queued;
  state: "sending" | "pending" | "returned" | "failed";
  text: string;
  // Only this page's own are known; `pictures` counts them in any case.
  images: Image[];
  pictures: number;
  at: number;
  // Why it came back, or was not taken.
  reason?: string;
}

export type Entry = UserEntry | AssistantEntry | ErrorEntry | NoticeEntry | AskEntry;

export interface Status {
  state: SessionState;
  phase?: Phase;
  detail?: string;
  since: number;
}

export interface ToolResult {
  output: string;
  isError: boolean;
  durationMs?: number;
  cut?: Cut;
}

export interface Timeline {
  entries: Entry[];
  queue: Waiting[];
  lastSeq: number;
  // Events up to here were replayed, not live, when the subscription began.
  replayedTo: number;
  status: Status;
  // When the host last told of progress: a delta, or that a step began.
  heardAt: number;
  title?: string;
  model?: string;
  provider?: string;
  thinkingLevel?: string;
  statusLines: Record<string, string>;
  hasEarlier: boolean;
  loaded: boolean;
  // Results whose calling message is on a page that is not loaded yet.
  orphans: Record<string, ToolResult>;
}

export const emptyTimeline: Timeline = {
  entries: [],
  queue: [],
  lastSeq: 0,
  replayedTo: 0,
  status: { state: "stopped", since: 0 },
  heardAt: 0,
  statusLines: {},
  hasEarlier: false,
  loaded: false,
  orphans: {},
};
