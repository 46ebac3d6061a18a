// A host that is only its wire: serves a packed UI as the relay does (same policy, same hashes) and
// speaks docs/protocol.md, with whatever sessions and messages a test wants. No agent runs. Over plain
// http on localhost, which a browser takes for a secure place.
import { existsSync, readFileSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import { randomUUID } from "node:crypto";
import { WebSocketServer } from "ws";
import { build, root } from "./lib.mjs";

/** The files of a pack (relay/asset_pack.h), by path. */
export function readPack(file) {
  const bytes = readFileSync(file);
  let at = 16;
  const number = (width) => { at += width; return width === 8 ? Number(bytes.readBigUInt64LE(at - 8)) : bytes.readUIntLE(at - width, width); };
  const text = () => { const size = number(2); at += size; return bytes.toString("utf8", at - size, at); };
  const files = new Map();
  for (let left = bytes.readUInt32LE(12); left > 0; left--) {
    const [name, type, csp] = [text(), text(), text()];
    number(4);
    const [start, size] = [number(8), number(8)];
    at += 32;  // the packed forms
    files.set(name, { type, csp, body: bytes.subarray(start, start + size) });
  }
  return files;
}
const packFile = () => [process.env.OQTO_WEB_PACK, path.join(build, "web.pack"), path.join(root, "web.pack")].find((f) => f && existsSync(f));

export const textPart = (text, more = {}) => ({ type: "text", id: `p-${randomUUID()}`, text, ...more });
export const userMessage = (text, more = {}) => ({ id: `u-${randomUUID()}`, role: "user", created_at: Date.now(), parts: [textPart(text)], ...more });
export const answer = (text, more = {}) => ({
  id: `a-${randomUUID()}`, role: "assistant", created_at: Date.now(), stop_reason: "stop", model: "fake-1", provider: "fake",
  parts: text ? [textPart(text)] : [], ...more });
/** An assistant's message that calls one tool, and the message with its result. */
export function toolCall(name, input, output, { error = false, ms = 12, call = {}, result = {}, message = {} } = {}) {
  const id = `t-${randomUUID()}`;
  return [
    answer("", { stop_reason: "tool_use", parts: [{ type: "tool_call", id: `c-${id}`, toolCallId: id, name, input, ...call }], ...message }),
    { id: `r-${id}`, role: "tool", created_at: Date.now(), tool_call_id: id, tool_name: name, is_error: error,
      parts: [{ type: "tool_result", id: `o-${id}`, toolCallId: id, name, output, isError: error, durationMs: ms, ...result }] }];
}

const MODELS = [{ id: "fake-1", name: "Fake", provider: "fake", reasoning: false, images: true }];

export class FakeHost {
  /** `commands`: answers of your own, `name: (frame, host, socket) => data`; throw `{code, error}` to refuse. */
  static async start({ username = "alice", id = 1, models = MODELS, connected = {}, commands = {} } = {}) {
    const host = new FakeHost();
    Object.assign(host, { user: { id, username, role: "user" }, models, connected, commands, requests: [], sockets: new Set() });
    host.workspaces = [{ id: "w1", name: "work", created_at: 1 }];
    host.sessions = new Map();
    host.files = readPack(packFile() ?? "web.pack");
    await host.listen(0);
    host.port = host.server.address().port;
    host.origin = `http://localhost:${host.port}`;
    return host;
  }
  async listen(port) {
    this.server = http.createServer((request, answer) => this.#http(request, answer));
    this.mux = new WebSocketServer({ server: this.server, path: "/ws/mux", handleProtocols: () => "host.mux.v1", maxPayload: 12 << 20 });
    this.mux.on("connection", (socket) => this.#accept(socket));
    await new Promise((done) => this.server.listen(port, "127.0.0.1", done));
  }
  /** As if the host had ended; `up` brings it back on the same port. */
  async down() {
    for (const socket of this.sockets) socket.terminate();
    await new Promise((done) => { this.server.close(done); this.server.closeAllConnections(); });
  }
  up() { return this.listen(this.port); }
  async stop() { if (this.server.listening) await this.down(); }

  // ---------------------------------------------------------------- what it has

  session(title = "", messages = [], more = {}) {
    const id = more.session_id ?? `oqto-${randomUUID()}`;
    const now = Date.now();
    this.sessions.set(id, {
      row: { session_id: id, title, workspace_id: "w1", state: "idle", profile: "development", provider: "fake", model: "fake-1",
        created_at: now, last_activity: now, subscriber_count: 0, pending_inputs: [], queued: 0, ...more },
      messages: messages.map((m, idx) => ({ idx, ...m })), events: [], seq: 0, epoch: "e1", status: { state: more.state ?? "idle", since: now }, queue: [] });
    return id;
  }
  row(id) {
    const { row, messages, status } = this.sessions.get(id);
    return { ...row, state: status.state, message_count: messages.length };
  }
  /** One event, to everybody who follows the session. */
  emit(id, event, fields = {}, ts = Date.now()) {
    const session = this.sessions.get(id);
    const frame = { channel: "agent", session_id: id, runner_id: "local", ts, epoch: session.epoch, seq: ++session.seq, event, ...fields };
    session.events.push(frame);
    if (event === "agent.working") session.status = { state: "working", since: ts, phase: fields.phase, detail: fields.detail };
    if (event === "agent.idle") session.status = { state: "idle", since: ts };
    for (const socket of this.sockets) if (socket.following.has(id)) socket.send(JSON.stringify(frame));
    return frame;
  }
  /** A message that is stored and told. */
  message(id, message) {
    const { messages } = this.sessions.get(id);
    messages.push({ idx: messages.length, ...message });
    return this.emit(id, message.role === "user" ? "user.message" : "stream.message_end", { message: messages.at(-1) });
  }
  /** On the channel `system`, to every connection. */
  push(type, fields) { for (const socket of this.sockets) socket.send(JSON.stringify({ channel: "system", type, ...fields })); }
  sent(cmd) { return this.requests.filter((r) => r.cmd === cmd); }

  // ---------------------------------------------------------------- http

  #http(request, answer) {
    const { pathname } = new URL(request.url, "http://host/");
    const json = (value, status = 200) => answer.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" }).end(value === null ? "" : JSON.stringify(value));
    if (pathname === "/api/auth/state") return json({ setup_required: false, user: this.user, profiles: [] });
    if (pathname === "/api/me") return this.user ? json(this.user) : json({ error: "sign in", code: "UNAUTHORIZED" }, 401);
    if (pathname === "/api/auth/logout") { this.user = null; return json(null, 204); }
    if (pathname === "/api/auth/login") { this.user = this.nextUser ?? this.user; return json({ user: this.user }); }
    const file = this.files.get(pathname);
    if (!file) return answer.writeHead(404).end();
    answer.writeHead(200, { "content-type": file.type, "cache-control": "no-store", "x-content-type-options": "nosniff",
      ...(file.csp ? { "content-security-policy": file.csp } : {}) }).end(file.body);
  }

  // ---------------------------------------------------------------- the mux

  #accept(socket) {
    this.sockets.add(socket);
    socket.following = new Set();
    const ping = setInterval(() => socket.send('{"channel":"system","type":"ping"}'), 10_000);
    socket.on("close", () => { clearInterval(ping); this.sockets.delete(socket); });
    socket.send(JSON.stringify({ channel: "system", type: "connected", user: this.user, models: this.models, profiles: [], ...this.connected }));
    socket.on("message", (data) => void this.#command(socket, JSON.parse(String(data))));
  }
  async #command(socket, frame) {
    this.requests.push(frame);
    const answer = { channel: "agent", event: "response", session_id: frame.session_id, id: frame.id, cmd: frame.cmd };
    const run = this.commands[frame.cmd] ?? COMMANDS[frame.cmd];
    try {
      if (!run) throw { code: "not_available_yet", error: `${frame.cmd} is not built` };
      const data = await run(frame, this, socket);
      socket.send(JSON.stringify({ ...answer, success: true, data: data ?? {} }));
    } catch (error) {
      if (error instanceof Error) console.error(error);
      socket.send(JSON.stringify({ ...answer, success: false, code: error.code ?? "unavailable", error: error.error ?? String(error) }));
    }
    if (frame.cmd === "session.subscribe" && this.sessions.has(frame.session_id)) {
      for (const event of this.sessions.get(frame.session_id).events) if (event.seq > frame.since_seq) socket.send(JSON.stringify(event));
    }
  }
  find(id) {
    const session = this.sessions.get(id);
    if (!session) throw { code: "not_found", error: "There is no such session." };
    return session;
  }
}

const stateOf = ({ row, status, seq, epoch, queue }) => ({
  ...status, model: row.model, provider: row.provider, profile: row.profile, pending_inputs: row.pending_inputs, queue, epoch, seq });

/** What the host answers unless a test says otherwise. */
export const COMMANDS = {
  list_workspaces: (_, host) => ({ workspaces: host.workspaces }),
  list_sessions: (_, host) => ({ sessions: [...host.sessions.keys()].map((id) => host.row(id)).reverse() }),
  "session.create": (frame, host, socket) => {
    const id = host.sessions.has(frame.session_id) ? frame.session_id : host.session("", [], { session_id: frame.session_id });
    socket.following.add(id);
    return { session_id: id, workspace_id: "w1", profile: "development", resumed: false };
  },
  "session.subscribe": (frame, host, socket) => {
    const session = host.find(frame.session_id);
    socket.following.add(frame.session_id);
    return { epoch: session.epoch, seq: session.seq, first_seq: 1, complete: true, state: stateOf(session) };
  },
  "session.delete": (frame, host) => void host.sessions.delete(frame.session_id),
  set_session_name: (frame, host) => { host.find(frame.session_id).row.title = frame.name; },
  get_state: (frame, host) => stateOf(host.find(frame.session_id)),
  get_messages: (frame, host) => {
    const { messages, seq, epoch } = host.find(frame.session_id);
    const before = frame.before_idx ?? messages.length;
    const from = Math.max(0, before - (frame.limit ?? 100));
    return { messages: messages.slice(from, before), has_more: from > 0, seq, epoch };
  },
  get_stats: () => ({ tokens: { input: 0, output: 0, total: 0 }, calls: 0, cost: 0, estimated: false }),
  get_models: (_, host) => host.models,
  set_model: (frame) => ({ provider: frame.provider, model_id: frame.model_id }),
  prompt: (frame, host) => {
    const parts = [textPart(frame.message), ...(frame.images ?? []).map((i) => ({ type: "image", id: randomUUID(), source: "base64", data: i.data, mimeType: i.media_type }))];
    host.message(frame.session_id, userMessage("", { client_id: frame.client_id, parts }));
  },
  steer: (frame) => ({ item_id: frame.client_id }),
  follow_up: (frame) => ({ item_id: frame.client_id }),
  abort: (frame, host) => void host.emit(frame.session_id, "agent.idle"),
  input_response: () => ({}),
};
