// The wire's vocabulary, exactly as docs/protocol.md spells it. Times are unix milliseconds.

export type Role = "admin" | "user" | "auditor";
export interface User {
  id: number;
  username: string;
  role: Role;
}

export interface Model {
  id: string;
  name: string;
  provider: string;
  reasoning: boolean;
  images?: boolean;
  demo?: boolean;
}

export interface Workspace {
  id: string;
  name: string;
  created_at: number;
}

// asleep: the host ended the harness of a session that nobody used; the next message wakes it.
export type SessionState = "idle" | "working" | "stopped" | "asleep" | "failed" | "starting" | "waiting";
export type Profile = "minimal" | "development" | "strict";

// What this host can run; `why` says what it lacks for it.
export interface OfferedProfile {
  name: string;
  available: boolean;
  why?: string;
}

export interface Limits {
  prompt_bytes: number;
  images_bytes: number;
  images: number;
  queue: number;
  subscriptions: number;
  live_sessions: number;
}

export interface Connected {
  user?: User;
  models?: Model[];
  profiles?: OfferedProfile[];
  limits?: Limits;
}

// What changed anywhere in the account, told to each of its connections.
export type Push =
  | { type: "session"; session: Session }
  | { type: "session_removed"; session_id: string }
  | { type: "workspace"; workspace: Workspace }
  | { type: "models"; models: Model[] };

export interface Session {
  session_id: string;
  title: string;
  workspace_id: string;
  state: SessionState;
  profile: string;
  provider?: string;
  model?: string;
  created_at: number;
  last_activity: number;
  message_count: number;
  subscriber_count?: number;
  pending_inputs?: InputRequest[];
  queued?: number;
}

export type Delivery = "steer" | "follow_up";

// Said to a working agent, which has not taken it yet. `returned`: it never will.
export interface QueueItem {
  id: string;
  delivery: Delivery;
  state: "pending" | "returned";
  reason?: string;
  message: string;
  images: number;
  client_id?: string;
  created_at: number;
}

export type Phase =
  | "generating"
  | "thinking"
  | "tool_running"
  | "compacting"
  | "retrying"
  | "initializing";

export interface InputRequest {
  type: "select" | "confirm" | "input";
  request_id: string;
  title: string;
  options?: string[];
  message?: string;
  placeholder?: string;
  timeout?: number;
  // The host asks, not the harness.
  approval?: ApprovalFacts;
}

// How a question ended: who answered what, or that nobody did.
export interface Resolution {
  resolution?: "answered" | "timeout" | "ended";
  by?: string;
  answer?: string;
}

// What something in the sandbox attempted. Texts are as in the sandbox, deceptive characters escaped.
export interface ApprovalFacts {
  kind: "file_read" | "host";
  what: string;
  pid?: number;
  argv: string[];
  cwd?: string;
}

// Of a live session: what its profile, the host and the workspace leave it.
export interface EffectivePolicy {
  network: "isolated" | "filtered";
  asks_unknown_hosts: boolean;
  domains: string[];
  allow_read: string[];
  allow_write: string[];
  ask: string[];
  memory_bytes?: number;
  cpu_percent?: number;
  max_processes: number;
  tmp_bytes: number;
  wall_clock_s: number;
}

export interface AgentState {
  state: SessionState;
  phase?: Phase;
  detail?: string;
  since: number;
  model?: string;
  provider?: string;
  thinking_level?: string;
  profile: string;
  policy?: EffectivePolicy;
  pending_inputs: InputRequest[];
  queue?: QueueItem[];
  epoch?: string;
  seq: number;
}

// This is not all of it: the whole has so many bytes, and `get_part` gives it.
interface MayBeCut {
  cut?: { bytes: number };
}

// Where the whole of a cut part is.
export interface Cut {
  messageId: string;
  partId: string;
  bytes: number;
}

export type Part =
  | ({ type: "text"; id: string; text: string } & MayBeCut)
  | ({ type: "thinking"; id: string; text: string } & MayBeCut)
  | ({ type: "tool_call"; id: string; toolCallId: string; name: string; input: unknown; status?: string } & MayBeCut)
  | ({
      type: "tool_result";
      id: string;
      toolCallId: string;
      name?: string;
      output: unknown;
      isError: boolean;
      durationMs?: number;
    } & MayBeCut)
  | { type: "image"; id: string; source: "base64"; data: string; mimeType: string };

export type StopReason = "stop" | "length" | "tool_use" | "error" | "aborted";

export interface Usage {
  input_tokens?: number;
  output_tokens?: number;
}

// An earlier try of an answer that failed, with what it had said.
export interface Attempt {
  error: string;
  text?: string;
}

export interface Message {
  id: string;
  idx?: number;
  role: "user" | "assistant" | "system" | "tool";
  parts: Part[];
  created_at: number;
  client_id?: string;
  model?: string;
  provider?: string;
  stop_reason?: StopReason;
  usage?: Usage;
  tool_call_id?: string;
  tool_name?: string;
  is_error?: boolean;
  error?: string;
  attempts?: Attempt[];
  // Read from the agent's own file after a crash.
  recovered?: boolean;
}

export interface Stats {
  tokens: { input: number; output: number; total: number };
  calls: number;
  cost: number;
}

export interface Invite {
  id: number | string;
  role: Role;
  created_at: number;
  expires_at: number;
  used_by: string | null;
  made_by?: string | null;
  state?: "open" | "suspended" | "expired" | "used";
}

export interface LoginEntry {
  id: number;
  created_at: number;
  last_seen_at: number;
  expires_at: number;
  remote: string;
  agent: string;
  current: boolean;
}

interface Head {
  session_id: string;
  ts: number;
  // What `seq` is counted in: another one begins with each start of the tenant's runner.
  epoch?: string;
  seq: number;
}

interface Streamed {
  message_id: string;
  content_index: number;
}

type Body =
  | { event: "audit.grown"; acts: number; indexed: number }
  | { event: "session.created"; resumed: boolean; harness: string }
  | { event: "session.closed"; reason?: string }
  | { event: "session.asleep" }
  | { event: "session.unsubscribed"; reason?: string }
  | { event: "session.title_changed"; title: string }
  | { event: "agent.working"; phase: Phase; detail?: string }
  | { event: "agent.idle"; message_version?: { version: number; message_count: number } }
  | { event: "agent.error"; error: string; recoverable: boolean; phase?: Phase }
  | { event: "agent.input_needed"; request: InputRequest }
  | ({ event: "agent.input_resolved"; request_id: string } & Resolution)
  | { event: "queue.changed"; queue: QueueItem[] }
  | { event: "user.message"; message: Message }
  | { event: "stream.message_start"; message_id: string; role: string }
  | ({ event: "stream.text_delta"; delta: string } & Streamed)
  | ({ event: "stream.thinking_delta"; delta: string } & Streamed)
  | ({ event: "stream.tool_call_start"; tool_call_id: string; name: string } & Streamed)
  | ({ event: "stream.tool_call_delta"; tool_call_id: string; delta: string } & Streamed)
  | ({
      event: "stream.tool_call_end";
      tool_call_id: string;
      tool_call: { id: string; name: string; input: unknown };
    } & Streamed)
  | { event: "stream.message_retracted"; message_id: string; error: string }
  | { event: "stream.message_end"; message: Message }
  | { event: "tool.start"; tool_call_id: string; name: string; input: unknown }
  | { event: "tool.progress"; tool_call_id: string; name: string; partial_output: unknown }
  | {
      event: "tool.end";
      tool_call_id: string;
      name: string;
      output: unknown;
      is_error: boolean;
      duration_ms?: number;
    }
  | { event: "retry.start"; attempt: number; max_attempts: number; delay_ms: number; error: string }
  | { event: "retry.end"; success: boolean; attempt: number; final_error?: string }
  | { event: "compact.start"; reason: string }
  | { event: "compact.end"; success: boolean; error?: string; summary?: string; tokens_before?: number }
  | { event: "config.model_changed"; provider: string; model_id: string }
  | { event: "config.thinking_level_changed"; level: string }
  | { event: "notify"; level: "info" | "warning" | "error"; message: string }
  | { event: "status"; key: string; text?: string }
  | { event: "persisted"; message_count: number }
  | { event: "stream.resync_required"; dropped_count: number; reason: string };

export type AgentEvent = Head & Body;

export interface Response {
  event: "response";
  session_id: string;
  id: string;
  cmd: string;
  success: boolean;
  data?: unknown;
  error?: string;
  code?: string;
}

export const SYSTEM_SESSION = "_system";
