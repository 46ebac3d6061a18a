// One session as this page knows it: its timeline, kept in step with the host.

import { batch, computed, signal } from "@preact/signals";
import { CommandError, ConnectionLost } from "../net/mux";
import type { AgentEvent, AgentState, EffectivePolicy, Message, Stats } from "../protocol/types";
import { mux } from "./link";
import { outbox, type Outgoing, type SendCommand } from "./outbox";
import { messageOf } from "./store";
import { reduce, type Action } from "./timeline/reduce";
import { emptyTimeline, type Image, type UserEntry } from "./timeline/types";

const PAGE = 100;
// Starting an agent is slower than any other command.
const START_TIMEOUT_MS = 90_000;
const HIDDEN_FLUSH_MS = 250;
const RESYNC_PAUSE_MS = 2_000;

interface SubscribeAnswer {
  seq: number;
  first_seq: number;
  complete: boolean;
  state: AgentState;
}

interface HistoryPage {
  messages?: Message[];
  has_more?: boolean;
  seq?: number;
}

interface Config {
  workspace_id: string;
  profile?: string;
  provider?: string;
  model?: string;
}

export class Conversation {
  readonly id: string;
  readonly timeline = signal(emptyTimeline);
  readonly stats = signal<Stats | null>(null);
  readonly profile = signal("");
  readonly policy = signal<EffectivePolicy | null>(null);
  // The host's own word about this session's state has arrived.
  readonly known = signal(false);
  readonly starting = signal(false);
  readonly problem = signal("");
  // The problem is a rule, not a fault: it will be the same until the rule is mended.
  readonly refused = signal(false);
  readonly stopping = signal(false);
  readonly firstWords = computed(() => {
    const first = this.timeline.value.entries.find((e): e is UserEntry => e.kind === "user");
    return first && !this.timeline.value.hasEarlier ? summary(first.text) : "";
  });

  config: Config;
  #subscribed = false;
  #seen = 0;
  #epoch = 0;
  #inbox: AgentEvent[] = [];
  #flushing = false;
  #resyncAt = 0;
  #start: Promise<void> | null = null;
  #onTurnEnd: () => void;

  constructor(id: string, config: Config, onTurnEnd: () => void) {
    this.id = id;
    this.config = config;
    this.#onTurnEnd = onTurnEnd;
    for (const item of outbox.of(id)) this.#show(item);
  }

  dispatch(action: Action): void {
    this.timeline.value = reduce(this.timeline.value, action);
  }

  // --- what the host tells ---

  receive(event: AgentEvent): void {
    // Before the subscription is answered events are let go: the answer replays them in order.
    if (!this.#subscribed || event.seq <= this.#seen) return;
    if (event.seq > this.#seen + 1) return this.#resync();
    this.#seen = event.seq;
    this.#inbox.push(event);
    if (event.event === "stream.resync_required") this.#resync();
    this.#scheduleFlush();
  }

  #scheduleFlush(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    // A hidden page draws no frames, yet its title should tell that the turn ended.
    const late = setTimeout(() => this.#flush(), HIDDEN_FLUSH_MS);
    requestAnimationFrame(() => {
      clearTimeout(late);
      this.#flush();
    });
  }

  #flush(): void {
    this.#flushing = false;
    if (this.#inbox.length === 0) return;
    const events = this.#inbox;
    this.#inbox = [];
    let next = this.timeline.value;
    for (const event of events) next = reduce(next, { type: "event", event });
    const idle = events.some((e) => e.event === "agent.idle" && e.seq > next.replayedTo);
    const failed = events.some((e) => e.event === "agent.error" && e.seq > next.replayedTo);
    batch(() => {
      this.timeline.value = next;
      if (next.status.state !== "working") this.stopping.value = false;
    });
    if (idle) this.#onTurnEnd();
    if (idle) void this.#loadStats();
    if (failed) void this.#loadState();
  }

  // --- keeping in step ---

  // Subscribes from where this page stands. Throws `ConnectionLost`; other failures become `problem`.
  async sync(): Promise<void> {
    const epoch = ++this.#epoch;
    this.#subscribed = false;
    try {
      let answer = await this.#subscribe(this.#seen);
      if (epoch !== this.#epoch) return;
      const reset = answer.seq < this.#seen;
      if (reset) {
        answer = await this.#subscribe(0);
        if (epoch !== this.#epoch) return;
        this.#seen = 0;
      }
      if (!answer.complete) this.#seen = Math.max(this.#seen, answer.first_seq - 1);
      this.#inbox = [];
      this.#subscribed = true;
      batch(() => {
        this.dispatch({ type: "synced", seq: answer.seq, reset, gap: !answer.complete, state: answer.state });
        if (answer.state.profile) this.profile.value = answer.state.profile;
        this.policy.value = answer.state.policy ?? null;
        this.known.value = true;
        this.problem.value = "";
      });
    } catch (error) {
      if (error instanceof ConnectionLost) throw error;
      if (epoch !== this.#epoch) return;
      const stored = error instanceof CommandError && error.code === "not_found";
      if (stored) this.#nowStored();
      else this.problem.value = messageOf(error);
    }
    await this.#loadHistory();
    void this.#loadStats();
  }

  #subscribe(since: number): Promise<SubscribeAnswer> {
    return mux.request<SubscribeAnswer>(this.id, "session.subscribe", { since_seq: since });
  }

  // No harness runs for it: what is stored can be read, and the next message starts it again.
  #nowStored(): void {
    this.#seen = 0;
    batch(() => {
      this.dispatch({ type: "status", status: { state: "stopped", since: Date.now() } });
      this.known.value = true;
    });
  }

  #resync(): void {
    if (Date.now() - this.#resyncAt < RESYNC_PAUSE_MS) return;
    this.#resyncAt = Date.now();
    void this.sync().catch(() => {});
  }

  // The connection ended: nothing may be taken for live until `sync` has run again.
  unlink(): void {
    this.#epoch++;
    this.#subscribed = false;
  }

  async #loadHistory(beforeIdx?: number): Promise<void> {
    const epoch = this.#epoch;
    const older = beforeIdx !== undefined;
    try {
      const page = await mux.request<HistoryPage>(this.id, "get_messages", {
        limit: PAGE,
        ...(older ? { before_idx: beforeIdx } : {}),
      });
      if (epoch !== this.#epoch && !older) return;
      // The page holds what the events before it told; those go first.
      this.#flush();
      const { messages = [], has_more: hasMore = false, seq } = page;
      this.dispatch({ type: "history", messages, hasMore, older, seq });
    } catch (error) {
      if (error instanceof ConnectionLost) throw error;
      const isNew = this.timeline.value.entries.length === 0 && this.#subscribed;
      if (!isNew && epoch === this.#epoch) this.problem.value = messageOf(error);
    }
  }

  loadEarlier(): Promise<void> {
    const first = this.timeline.value.entries.find((e) => "idx" in e && e.idx !== undefined);
    const idx = first && "idx" in first ? first.idx : undefined;
    return idx === undefined ? Promise.resolve() : this.#loadHistory(idx).catch(() => {});
  }

  async #loadStats(): Promise<void> {
    const stats = await mux.request<Stats>(this.id, "get_stats").catch(() => null);
    if (stats?.tokens) this.stats.value = stats;
  }

  async #loadState(): Promise<void> {
    const state = await mux.request<AgentState>(this.id, "get_state").catch(() => null);
    if (!state) return;
    const { state: name, phase, detail, since } = state;
    this.dispatch({ type: "status", status: { state: name, phase, detail, since } });
  }

  // --- what the person does ---

  // Starts the harness (also for a stored session) and subscribes. One start at a time.
  start(): Promise<void> {
    this.#start ??= this.#create().finally(() => (this.#start = null));
    return this.#start;
  }

  async #create(): Promise<void> {
    batch(() => {
      this.starting.value = true;
      this.problem.value = "";
      this.refused.value = false;
    });
    try {
      const config = { harness: "pi", ...this.config };
      const made = await mux.request<{ profile?: string }>(
        this.id, "session.create", { config }, START_TIMEOUT_MS);
      if (made?.profile) this.profile.value = made.profile;
      await this.sync();
    } catch (error) {
      if (!(error instanceof ConnectionLost)) this.problem.value = messageOf(error);
      this.refused.value = error instanceof CommandError && error.code === "refused";
      throw error;
    } finally {
      this.starting.value = false;
    }
  }

  async #ensureLive(): Promise<void> {
    const { state } = this.timeline.value.status;
    if (this.#start) return this.#start;
    if (!this.#subscribed || state === "stopped" || state === "failed") await this.start();
  }

  get busy(): boolean {
    const { state } = this.timeline.value.status;
    return state === "working" || state === "waiting";
  }

  send(text: string, images: Image[], queue: "steer" | "follow_up" = "steer"): void {
    const cmd: SendCommand = this.busy ? queue : "prompt";
    const item = { sessionId: this.id, clientId: crypto.randomUUID(), cmd, text, images, at: Date.now() };
    outbox.add(item);
    this.#show(item);
    void this.#deliver(item);
  }

  #show(item: Outgoing): void {
    this.dispatch({ type: "sent", clientId: item.clientId, text: item.text, images: item.images, at: item.at });
  }

  async #deliver(item: Outgoing): Promise<void> {
    try {
      await this.#ensureLive();
      // A steering message for a turn that has ended meanwhile would wait for the next one.
      const cmd = this.busy ? item.cmd : "prompt";
      const images = item.images.map((i) => ({ data: i.data, media_type: i.mimeType }));
      await mux.request(this.id, cmd, {
        message: item.text,
        client_id: item.clientId,
        ...(images.length && cmd === "prompt" ? { images } : {}),
      });
      outbox.remove(item.clientId);
      this.dispatch({ type: "accepted", clientId: item.clientId });
    } catch (error) {
      // Still in the outbox: `catchUp` sends it when the connection is back.
      if (error instanceof ConnectionLost) return;
      outbox.remove(item.clientId);
      // The message itself says what went wrong.
      this.problem.value = "";
      const code = error instanceof CommandError ? error.code : "";
      this.dispatch({ type: "rejected", clientId: item.clientId, error: messageOf(error), code });
    }
  }

  // After a connection began: what was missed comes in, then what was not answered goes out.
  async catchUp(): Promise<void> {
    try {
      await this.sync();
    } catch {
      return;
    }
    for (const item of outbox.of(this.id)) void this.#deliver(item);
  }

  // Sends a refused message again. After a refusal the host has certainly not taken it, so it gets
  // a new client_id; after silence it may have, so it keeps its own.
  resend(entry: UserEntry): void {
    if (entry.clientId && entry.code !== "timeout") {
      // One that the history holds stays where it is; it is said once more.
      this.dispatch({ type: entry.id ? "accepted" : "withdrawn", clientId: entry.clientId });
    } else if (entry.clientId) {
      const cmd: SendCommand = this.busy ? "steer" : "prompt";
      const { clientId, text, images, at } = entry;
      const item = { sessionId: this.id, clientId, cmd, text, images, at };
      outbox.add(item);
      this.#show(item);
      void this.#deliver(item);
      return;
    }
    this.send(entry.text, entry.images);
  }

  lastUser(): UserEntry | undefined {
    return this.timeline.value.entries.findLast((e): e is UserEntry => e.kind === "user");
  }

  async stop(): Promise<void> {
    if (!this.busy || this.stopping.value) return;
    this.stopping.value = true;
    try {
      await mux.request(this.id, "abort");
    } finally {
      this.stopping.value = false;
    }
  }

  async setModel(provider: string, modelId: string): Promise<void> {
    this.config = { ...this.config, provider, model: modelId };
    await this.#ensureLive();
    await mux.request(this.id, "set_model", { provider, model_id: modelId });
    this.timeline.value = { ...this.timeline.value, provider, model: modelId };
  }

  async setThinking(level: string): Promise<void> {
    await this.#ensureLive();
    const data = await mux.request<{ level?: string }>(this.id, "set_thinking_level", { level });
    this.timeline.value = { ...this.timeline.value, thinkingLevel: data?.level ?? level };
  }

  async answer(requestId: string, fields: { value?: string; confirmed?: boolean; cancelled?: boolean }): Promise<void> {
    await mux.request(this.id, "input_response", { request_id: requestId, ...fields });
    const words = fields.cancelled ? "Dismissed" : (fields.value ?? (fields.confirmed ? "Allowed" : "Denied"));
    this.dispatch({ type: "answered", requestId, answer: words });
  }
}

export function summary(text: string): string {
  const line = text.trim().split("\n", 1)[0]!.replace(/\s+/g, " ");
  return line.length > 60 ? `${line.slice(0, 57).trimEnd()}…` : line;
}
