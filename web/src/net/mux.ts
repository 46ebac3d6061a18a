// The one WebSocket. It knows envelopes, requests, silence and reconnecting; it knows nothing of
// sessions. A request belongs to the connection it was sent on: when that ends, it is rejected with
// `ConnectionLost`, and no later answer can reach it.

import type { AgentEvent, Connected, Push, Response } from "../protocol/types";
import { backoffMs } from "./backoff";

export class ConnectionLost extends Error {
  constructor() {
    super("The connection to the host was lost.");
  }
}

export class CommandError extends Error {
  readonly code: string;
  constructor(message: string, code: string) {
    super(message);
    this.code = code;
  }
}

export type Link = "connecting" | "open" | "lost";

export interface MuxListener {
  onLink(link: Link): void;
  onConnected(told: Connected): void;
  onPush(push: Push): void;
  onEvent(event: AgentEvent): void;
  // Asked after a connection that never opened. The browser hides the status of a refused upgrade,
  // so only the listener can find out whether the login ended. `false` stops reconnecting.
  mayReconnect(): Promise<boolean>;
}

const REQUEST_TIMEOUT_MS = 30_000;
const OPEN_TIMEOUT_MS = 15_000;
// The host pings every 10 s.
const SILENCE_MS = 45_000;
const WATCH_MS = 5_000;

interface Pending {
  resolve(data: unknown): void;
  reject(error: Error): void;
  timer: ReturnType<typeof setTimeout>;
}

export class Mux {
  #listener: MuxListener;
  #socket: WebSocket | null = null;
  #pending = new Map<string, Pending>();
  #ready = false;
  #running = false;
  #attempt = 0;
  #heardAt = 0;
  #nextId = 1;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #watchTimer: ReturnType<typeof setInterval> | undefined;

  constructor(listener: MuxListener) {
    this.#listener = listener;
    const wake = () => this.#wake();
    addEventListener("online", wake);
    // Silence would tell it only much later.
    addEventListener("offline", () => this.#running && this.#socket && this.#lost());
    document.addEventListener("visibilitychange", wake);
  }

  get open(): boolean {
    return this.#ready;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#attempt = 0;
    this.#watchTimer = setInterval(() => this.#watch(), WATCH_MS);
    this.#connect();
  }

  stop(): void {
    this.#running = false;
    clearTimeout(this.#retryTimer);
    clearInterval(this.#watchTimer);
    this.#drop();
  }

  // Sends one command and resolves with its `data`. `timeoutMs` 0 waits as long as the connection.
  request<T>(
    sessionId: string,
    cmd: string,
    fields: object = {},
    timeoutMs = REQUEST_TIMEOUT_MS,
  ): Promise<T> {
    const socket = this.#socket;
    if (!socket || !this.#ready) return Promise.reject(new ConnectionLost());
    const id = `r${this.#nextId++}`;
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(
        () => this.#settle(id, (p) => p.reject(new CommandError(`The host did not answer “${cmd}” in time.`, "timeout"))),
        timeoutMs || 2 ** 31 - 1,
      );
      this.#pending.set(id, { resolve: resolve as (data: unknown) => void, reject, timer });
      socket.send(JSON.stringify({ channel: "agent", id, session_id: sessionId, cmd, ...fields }));
    });
  }

  #connect(): void {
    this.#listener.onLink("connecting");
    const scheme = location.protocol === "http:" ? "ws:" : "wss:";
    const socket = new WebSocket(`${scheme}//${location.host}/ws/mux`, "host.mux.v1");
    this.#socket = socket;
    this.#heardAt = Date.now();
    const tooLong = setTimeout(() => socket === this.#socket && !this.#ready && this.#lost(), OPEN_TIMEOUT_MS);
    socket.onmessage = (frame) => {
      if (socket !== this.#socket) return;
      this.#heardAt = Date.now();
      if (typeof frame.data === "string") this.#receive(frame.data);
    };
    socket.onclose = () => {
      clearTimeout(tooLong);
      if (socket === this.#socket) this.#lost();
    };
  }

  #receive(text: string): void {
    let frame: any;
    try {
      frame = JSON.parse(text);
    } catch {
      return;
    }
    if (frame?.channel === "system") {
      if (frame.type === "connected") {
        this.#ready = true;
        this.#attempt = 0;
        this.#listener.onConnected(frame);
        this.#listener.onLink("open");
      } else if (frame.type === "error") {
        this.#refuse(frame);
      } else if (frame.type !== "ping") {
        this.#listener.onPush(frame);
      }
      return;
    }
    if (frame?.type === "error") return this.#refuse(frame);
    if (frame?.channel !== "agent") return;
    if (frame.event !== "response") return this.#listener.onEvent(frame as AgentEvent);
    const answer = frame as Response;
    this.#settle(answer.id, (p) =>
      answer.success
        ? p.resolve(answer.data)
        : p.reject(new CommandError(answer.error ?? "The host refused.", answer.code ?? "refused")),
    );
  }

  #refuse(frame: { id?: unknown; error?: unknown }): void {
    if (typeof frame.id !== "string") return;
    this.#settle(frame.id, (p) => p.reject(new CommandError(String(frame.error ?? "refused"), "bad_request")));
  }

  #settle(id: string, how: (pending: Pending) => void): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    how(pending);
  }

  #watch(): void {
    if (this.#socket && Date.now() - this.#heardAt > SILENCE_MS) this.#lost();
  }

  // A page that comes back from sleep or a dead network should not sit out its backoff.
  #wake(): void {
    if (!this.#running || document.visibilityState === "hidden") return;
    if (this.#socket) return this.#watch();
    this.#attempt = 0;
    clearTimeout(this.#retryTimer);
    this.#connect();
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    this.#ready = false;
    socket?.close();
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const p of pending) {
      clearTimeout(p.timer);
      p.reject(new ConnectionLost());
    }
  }

  #lost(): void {
    const wasReady = this.#ready;
    this.#drop();
    if (!this.#running) return;
    this.#listener.onLink("lost");
    const again = () => {
      this.#retryTimer = setTimeout(() => this.#connect(), backoffMs(this.#attempt++));
    };
    if (wasReady) return again();
    void this.#listener.mayReconnect().then((may) => {
      if (this.#running && !this.#socket && may) again();
    });
  }
}
