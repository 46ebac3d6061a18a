// One session as this page knows it, and what a person does with it.

import { batch, computed, signal } from "@preact/signals";
import { CommandError, ConnectionLost } from "../net/mux";
import { isAwake, say } from "./acts";
import { hooks, mux } from "./link";
import { Live } from "./live";
import { outbox, type Outgoing, type SendCommand } from "./outbox";
import { messageOf } from "./store";
import type { Image, UserEntry } from "./timeline/types";

// Starting an agent is slower than any other command.
const START_TIMEOUT_MS = 90_000;

// Of a message to a session that could not be started.
export const NOT_STARTED = "not_started";

export interface Config {
  workspace_id: string;
  profile?: string;
  provider?: string;
  model?: string;
}

export class Conversation extends Live {
  readonly starting = signal(false);
  // What another profile than the wished one means, if the host cannot run that one.
  readonly instead = signal("");
  readonly firstWords = computed(() => {
    const first = this.timeline.value.entries.find((e): e is UserEntry => e.kind === "user");
    return first && !this.timeline.value.hasEarlier ? summary(first.text) : "";
  });

  config: Config;
  // The host knows this session. One that nothing was said in yet exists on this page only.
  made: boolean;
  // Messages that this page sent, and whether it stopped the turn: what comes back comes back here.
  readonly sentHere = new Set<string>();
  stoppedHere = false;
  readonly givenBack = new Set<string>();
  // About the words in the composer.
  readonly note = signal("");
  #thinking: string | undefined;
  #start: Promise<void> | null = null;

  constructor(id: string, config: Config, onTurnEnd: () => void, made = true) {
    super(id, onTurnEnd);
    this.config = config;
    this.made = made;
    for (const item of outbox.of(id)) this.#show(item);
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
      this.trouble();
    });
    try {
      hooks.makeRoom();
      const config = { harness: "pi", ...this.config };
      const made = await mux.request<{ profile?: string }>(
        this.id, "session.create", { config }, START_TIMEOUT_MS);
      this.made = true;
      hooks.made(this.id);
      if (made?.profile) this.profile.value = made.profile;
      await this.sync();
      if (this.#thinking) await this.setThinking(this.#thinking);
    } catch (error) {
      if (!(error instanceof ConnectionLost)) {
        this.trouble(error);
        if (!this.made) this.dispatch({ type: "status", status: { state: "failed", since: Date.now() } });
      }
      throw error;
    } finally {
      this.starting.value = false;
    }
  }

  async #ensureLive(): Promise<void> {
    if (this.#start) return this.#start;
    if (!this.made || !this.followed || !isAwake(this.timeline.value.status.state)) await this.start();
  }

  get busy(): boolean {
    const { state } = this.timeline.value.status;
    return state === "working" || state === "waiting";
  }

  send(text: string, images: Image[], queue: "steer" | "follow_up" = "steer"): void {
    // What was said a moment ago has the agent at work already, though it has not said so yet.
    const begun = this.busy || (this.made && outbox.of(this.id).length > 0);
    const cmd: SendCommand = begun ? queue : "prompt";
    this.stoppedHere = false;
    this.#post({ sessionId: this.id, clientId: crypto.randomUUID(), cmd, text, images, at: Date.now() });
  }

  #post(item: Outgoing): void {
    outbox.add(item);
    this.#show(item);
    void this.#deliver(item);
  }

  #show({ clientId, cmd, text, images, at }: Outgoing): void {
    this.dispatch({ type: "sent", clientId, cmd, text, images, at });
  }

  async #deliver(item: Outgoing): Promise<void> {
    try {
      if (this.#start || !this.made) await this.start();
      // A steering message for a turn that has ended meanwhile would wait for the next one.
      const answer = await say(item, this.busy ? item.cmd : "prompt");
      this.sentHere.add(item.clientId);
      outbox.remove(item.clientId);
      this.dispatch({ type: "accepted", clientId: item.clientId, itemId: answer?.item_id });
      // It woke a session that this page had stopped to follow.
      if (!this.followed) await this.sync();
    } catch (error) {
      // Still in the outbox: `catchUp` sends it when the connection is back.
      if (error instanceof ConnectionLost) return;
      // Kept for when it starts after all: the session says what is the matter, not its message.
      if (!this.made) return this.dispatch({ type: "rejected", clientId: item.clientId, error: "", code: NOT_STARTED });
      outbox.remove(item.clientId);
      const code = error instanceof CommandError ? error.code : "";
      // The message itself says what went wrong.
      this.trouble();
      this.dispatch({ type: "rejected", clientId: item.clientId, error: messageOf(error), code });
    }
  }

  // After a connection began: what was missed comes in, then what was not answered goes out.
  async catchUp(): Promise<void> {
    try {
      if (this.made) await this.sync();
    } catch {
      return;
    }
    this.#deliverAll();
  }

  #deliverAll(): void {
    for (const item of outbox.of(this.id)) {
      this.#show(item);
      void this.#deliver(item);
    }
  }

  // What could not be started is tried again, perhaps with another profile, and with what was said to it.
  async restart(profile?: string): Promise<void> {
    if (profile) this.config = { ...this.config, profile };
    if (profile) this.profile.value = profile;
    await this.start();
    this.#deliverAll();
  }

  // Sends a refused message again. After a refusal the host has certainly not taken it, so it gets
  // a new client_id; after silence it may have, so it keeps its own.
  resend(entry: UserEntry): void {
    if (entry.clientId && entry.code !== "timeout") {
      // One that the history holds stays where it is; it is said once more.
      this.dispatch({ type: entry.id ? "accepted" : "withdrawn", clientId: entry.clientId });
    } else if (entry.clientId) {
      const { clientId, text, images, at } = entry;
      // The same message at the same place: it is no new one.
      this.#post({ sessionId: this.id, clientId, cmd: "prompt", text, images, at });
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
    this.stoppedHere = true;
    try {
      await mux.request(this.id, "abort");
    } finally {
      this.stopping.value = false;
    }
  }

  async setModel(provider: string, modelId: string): Promise<void> {
    this.config = { ...this.config, provider, model: modelId };
    // One that sleeps takes it with its next start.
    if (this.made) await mux.request(this.id, "set_model", { provider, model_id: modelId });
    this.timeline.value = { ...this.timeline.value, provider, model: modelId };
  }

  async setThinking(level: string): Promise<void> {
    this.#thinking = this.made ? undefined : level;
    let data: { level?: string } | undefined;
    if (this.made) {
      await this.#ensureLive();
      data = await mux.request<{ level?: string }>(this.id, "set_thinking_level", { level });
    }
    this.timeline.value = { ...this.timeline.value, thinkingLevel: data?.level ?? level };
  }

  forgetUnsent(clientId: string): void {
    outbox.remove(clientId);
    this.dispatch({ type: "withdrawn", clientId });
  }

  async answer(requestId: string, fields: { value?: string; confirmed?: boolean; cancelled?: boolean }): Promise<void> {
    const words = fields.cancelled ? "cancelled" : (fields.value ?? (fields.confirmed ? "yes" : "no"));
    this.dispatch({ type: "answered", requestId, answer: words });
    try {
      await mux.request(this.id, "input_response", { request_id: requestId, ...fields });
    } catch (error) {
      this.dispatch({ type: "answered", requestId, answer: undefined });
      throw error;
    }
  }
}

export function summary(text: string): string {
  const line = text.trim().split("\n", 1)[0]!.replace(/\s+/g, " ");
  return line.length > 60 ? `${line.slice(0, 57).trimEnd()}…` : line;
}
