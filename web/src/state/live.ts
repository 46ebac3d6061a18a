// One session as the host tells of it: its timeline, kept in step over lost connections, dropped events
// and restarts of the host.

import { batch, signal } from "@preact/signals";
import { CommandError, ConnectionLost } from "../net/mux";
import type { AgentEvent, AgentState, EffectivePolicy, Message, Stats } from "../protocol/types";
import { hooks, mux } from "./link";
import { messageOf } from "./store";
import { reduce, type Action } from "./timeline/reduce";
import { emptyTimeline } from "./timeline/types";

const PAGE = 100;
const HIDDEN_FLUSH_MS = 250;
const RESYNC_PAUSE_MS = 2_000;

interface SubscribeAnswer {
  epoch?: string;
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

export class Live {
  readonly id: string;
  readonly timeline = signal(emptyTimeline);
  readonly stats = signal<Stats | null>(null);
  readonly profile = signal("");
  readonly policy = signal<EffectivePolicy | null>(null);
  // The host's own word about this session's state has arrived.
  readonly known = signal(false);
  readonly problem = signal("");
  // `refused`: the problem is a rule, not a fault, and will be the same until the rule is mended.
  readonly problemCode = signal("");
  readonly stopping = signal(false);
  #subscribed = false;
  #seen = 0;
  #epoch: string | undefined;
  // What is shown cannot be continued: events in between are lost, or counted anew.
  #stale = false;
  #attempt = 0;
  #syncing = -1;
  #inbox: AgentEvent[] = [];
  #flushing = false;
  #held = false;
  #resyncAt = 0;
  #resyncTimer: ReturnType<typeof setTimeout> | undefined;
  #onTurnEnd: () => void;

  constructor(id: string, onTurnEnd: () => void) {
    this.id = id;
    this.#onTurnEnd = onTurnEnd;
  }

  dispatch(action: Action): void {
    this.timeline.value = reduce(this.timeline.value, action);
  }

  // --- what the host tells ---

  receive(event: AgentEvent): void {
    if (event.event === "session.unsubscribed") return this.rest();
    // Before the subscription is answered events are let go: the answer replays them in order.
    if (!this.#subscribed) return;
    if (event.epoch && this.#epoch && event.epoch !== this.#epoch) return this.#resync();
    if (event.seq <= this.#seen) return;
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
    if (this.#held || this.#inbox.length === 0) return;
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
    const attempt = ++this.#attempt;
    this.#syncing = attempt;
    this.#subscribed = false;
    this.#held = false;
    try {
      let answer = await this.#subscribe();
      if (attempt !== this.#attempt) return;
      const recounted = answer.seq < this.#seen || (!!answer.epoch && !!this.#epoch && answer.epoch !== this.#epoch);
      if (recounted) {
        this.#stale = true;
        this.#seen = 0;
        this.#epoch = answer.epoch;
        answer = await this.#subscribe();
        if (attempt !== this.#attempt) return;
      }
      this.#stale ||= !answer.complete;
      this.#epoch = answer.epoch;
      // A replay with a hole in it would tell half a story: history tells the whole one.
      if (!answer.complete) this.#seen = answer.seq;
      this.#inbox = [];
      this.#subscribed = true;
      // What is shown stays until the whole of what takes its place is here.
      this.#held = this.#stale;
      batch(() => {
        if (!this.#stale) this.dispatch({ type: "synced", seq: answer.seq, reset: false, state: answer.state });
        if (answer.state.profile) this.profile.value = answer.state.profile;
        this.policy.value = answer.state.policy ?? null;
        this.known.value = !this.#stale;
        this.trouble();
      });
      await this.#loadHistory(undefined, this.#stale ? answer : undefined);
    } catch (error) {
      if (error instanceof ConnectionLost) throw error;
      if (attempt !== this.#attempt) return;
      const unknown = error instanceof CommandError && error.code === "not_found";
      if (unknown) this.#nowStored();
      else this.trouble(error);
      await this.#loadHistory();
    }
    if (attempt === this.#attempt) this.#syncing = -1;
    void this.#loadStats();
  }

  #subscribe(): Promise<SubscribeAnswer> {
    hooks.makeRoom();
    return mux.request<SubscribeAnswer>(this.id, "session.subscribe", { since_seq: this.#seen, epoch: this.#epoch });
  }

  trouble(error?: unknown): void {
    this.problem.value = error === undefined ? "" : messageOf(error);
    this.problemCode.value = error instanceof CommandError ? error.code : "";
  }

  // No harness runs for it: what is stored can be read, and the next message starts it again.
  #nowStored(): void {
    this.#seen = 0;
    this.#epoch = undefined;
    batch(() => {
      this.dispatch({ type: "status", status: { state: "asleep", since: Date.now() } });
      this.known.value = true;
    });
  }

  #resync(): void {
    clearTimeout(this.#resyncTimer);
    const wait = this.#resyncAt + RESYNC_PAUSE_MS - Date.now();
    if (wait > 0) {
      this.#resyncTimer = setTimeout(() => this.#resync(), wait);
      return;
    }
    this.#resyncAt = Date.now();
    void this.sync().catch(() => {});
  }

  // It is followed, or is about to be.
  get followed(): boolean {
    return this.#subscribed || this.#syncing === this.#attempt;
  }

  // No more events come: nothing may be taken for live until `sync` has run again.
  rest(): void {
    this.#attempt++;
    this.#subscribed = false;
    this.known.value = false;
    clearTimeout(this.#resyncTimer);
  }

  // The connection ended. What was last known is shown until the next one begins.
  unlink(): void {
    this.#attempt++;
    this.#subscribed = false;
  }

  async #loadHistory(beforeIdx?: number, anew?: SubscribeAnswer): Promise<void> {
    const attempt = this.#attempt;
    const older = beforeIdx !== undefined;
    try {
      const page = await mux.request<HistoryPage>(this.id, "get_messages", {
        limit: PAGE,
        ...(older ? { before_idx: beforeIdx } : {}),
      });
      if (attempt !== this.#attempt && !older) return;
      const { messages = [], has_more: hasMore = false, seq } = page;
      const history: Action = { type: "history", messages, hasMore, older, seq };
      batch(() => {
        if (anew) this.#begin(anew);
        // The page holds what the events before it told; those go first, unless they are not all there.
        if (!anew || anew.complete) this.#flush();
        this.dispatch(history);
        if (anew) this.#flush();
      });
    } catch (error) {
      if (error instanceof ConnectionLost) throw error;
      if (attempt !== this.#attempt && !older) return;
      const isNew = this.timeline.value.entries.length === 0 && this.#subscribed;
      if (anew) this.#begin(anew);
      if (!isNew) this.trouble(error);
    }
  }

  #begin(answer: SubscribeAnswer): void {
    this.#held = false;
    this.#stale = false;
    this.dispatch({ type: "synced", seq: answer.seq, reset: true, state: answer.state });
    this.known.value = true;
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
}
