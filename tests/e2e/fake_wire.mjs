// A host that is only its wire: it serves the packed UI and speaks docs/protocol.md from memory, so that a
// test can put a page into any situation at once. What a real host does is tested with the real one.
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import https from "node:https";
import path from "node:path";
import { WebSocketServer } from "ws";
import { answers } from "./fake_commands.mjs";
import { build } from "./lib.mjs";

// The pack's table is described in relay/asset_pack.h.
function unpack(file) {
  const bytes = readFileSync(file);
  const assets = new Map();
  let at = 16;
  const text = () => {
    const length = bytes.readUInt16LE(at);
    at += 2 + length;
    return bytes.toString("utf8", at - length, at);
  };
  for (let left = bytes.readUInt32LE(12); left > 0; left--) {
    const name = text(), type = text(), csp = text();
    const body = bytes.subarray(Number(bytes.readBigUInt64LE(at + 4)), Number(bytes.readBigUInt64LE(at + 4) + bytes.readBigUInt64LE(at + 12)));
    at += 4 + 3 * 16;
    assets.set(name, { type, csp, body });
  }
  return assets;
}

function certificate() {
  const directory = mkdtempSync("/tmp/oqto-fake-");
  const [key, cert] = ["key.pem", "cert.pem"].map((name) => path.join(directory, name));
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], { stdio: "ignore" });
  const made = { key: readFileSync(key), cert: readFileSync(cert) };
  rmSync(directory, { recursive: true });
  return made;
}

const EVERYTHING = ["strict", "development", "minimal"].map((name) => ({ name, available: true }));
const LIMITS = { prompt_bytes: 1 << 20, images_bytes: 10 << 20, images: 20, queue: 32, subscriptions: 64, live_sessions: 16 };
const DEMO = { id: "demo", name: "Demo model", provider: "demo", reasoning: false, images: true, demo: true };

export class FakeHost {
  static async start({ profiles = EVERYTHING, limits = LIMITS, models = [DEMO], workspaces = ["work"], setup = false } = {}) {
    const host = new FakeHost();
    Object.assign(host, { profiles, limits, models, setup, sessions: new Map(), log: [], connections: new Set(), refusals: new Map() });
    host.user = setup ? null : { id: 1, username: "ada", role: "admin" };
    host.workspaces = workspaces.map((name, i) => ({ id: `w${i + 1}`, name, created_at: i }));
    const assets = unpack(process.env.OQTO_WEB_PACK ?? path.join(build, "web.pack"));
    host.server = https.createServer(certificate(), (request, answer) => host.#http(assets, request, answer));
    host.sockets = new WebSocketServer({ server: host.server, handleProtocols: () => "host.mux.v1" });
    host.sockets.on("connection", (socket) => host.#connect(socket));
    await new Promise((done) => host.server.listen(0, "127.0.0.1", done));
    host.origin = `https://localhost:${host.server.address().port}`;
    return host;
  }

  async stop() {
    this.cut();
    this.sockets.close();
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  /** Ends every connection, as a dead network would; with `deaf` no other one begins. */
  cut() { for (const connection of this.connections) connection.socket.terminate(); }

  #http(assets, request, answer) {
    const route = request.url.split("?")[0];
    const json = (status, body) => answer.writeHead(status, { "content-type": "application/json" }).end(body === null ? "" : JSON.stringify(body));
    const enter = (role) => { this.user = { id: 1, username: "ada", role }; this.setup = false; json(201, { user: this.user }); };
    switch (route) {
      case "/api/auth/state": return json(200, { setup_required: this.setup, user: this.user, profiles: this.profiles });
      case "/api/me": return this.user ? json(200, this.user) : json(401, { error: "no", code: "UNAUTHORIZED" });
      case "/api/auth/setup": return enter("admin");
      case "/api/auth/register": return enter("user");
    }
    const asset = assets.get(route);
    if (!asset) return json(404, { error: "no such page", code: "NOT_FOUND" });
    answer.writeHead(200, { "content-type": asset.type, ...(asset.csp ? { "content-security-policy": asset.csp } : {}) }).end(asset.body);
  }

  #connect(socket) {
    if (this.deaf) return socket.terminate();
    const connection = { socket, follows: new Set(), send: (frame) => socket.send(JSON.stringify(frame)) };
    this.connections.add(connection);
    socket.on("close", () => this.connections.delete(connection));
    socket.on("error", () => {});
    socket.on("message", (data) => this.#command(connection, JSON.parse(String(data))));
    connection.send({ channel: "system", type: "connected", user: this.user, models: this.models, profiles: this.profiles, limits: this.limits });
    connection.ping = setInterval(() => connection.send({ channel: "system", type: "ping" }), 10_000).unref();
    socket.on("close", () => clearInterval(connection.ping));
  }

  async #command(connection, frame) {
    const { cmd, session_id: id } = frame;
    this.log.push(frame);
    const head = { channel: "agent", event: "response", session_id: id, id: frame.id, cmd };
    try {
      const refusal = this.refusals.get(cmd);
      if (refusal) throw Object.assign(new Error(refusal.error), { code: refusal.code });
      if (!answers[cmd]) throw Object.assign(new Error(`not built: ${cmd}`), { code: "not_available_yet" });
      const session = this.sessions.get(id);
      if (!session && id !== "_system" && cmd !== "session.create") throw Object.assign(new Error("no such session"), { code: "not_found" });
      const data = await answers[cmd](this, frame, session, connection);
      // What an answer promises comes after it.
      const { after, ...rest } = data ?? {};
      connection.send({ ...head, success: true, data: Array.isArray(data) ? data : rest });
      after?.();
    } catch (error) {
      connection.send({ ...head, success: false, error: error.message, code: error.code ?? "bad_request" });
    }
  }

  /** From now on this command is refused; `null` lifts it. */
  refuse(cmd, code, error = "refused by the test") {
    if (code === null) this.refusals.delete(cmd);
    else this.refusals.set(cmd, { code, error });
  }

  commands(cmd, id) { return this.log.filter((f) => f.cmd === cmd && (!id || f.session_id === id)); }

  // ------------------------------------------------------------ sessions

  push(frame) { for (const c of this.connections) c.send({ channel: "system", ...frame }); }

  row(s) {
    return { ...s.row, state: s.state, message_count: s.messages.length, pending_inputs: s.pending, queued: s.queue.length,
      subscriber_count: [...this.connections].filter((c) => c.follows.has(s.row.session_id)).length };
  }
  changed(s) { this.push({ type: "session", session: this.row(s) }); }

  /** A session as if it had been there all along, known to nobody until `push` or a list. */
  make({ id = `oqto-${randomUUID()}`, title = "", workspace_id = "w1", state = "idle", profile = "development", ago = 0, model = "demo", provider = "demo" } = {}) {
    const at = Date.now() - ago;
    const session = { state, since: at, epoch: randomUUID(), seq: 0, ring: [], messages: [], queue: [], pending: [],
      row: { session_id: id, title, workspace_id, profile, provider, model, created_at: at, last_activity: at } };
    this.sessions.set(id, session);
    return session;
  }

  state(s) {
    return { state: s.state, since: s.since, model: s.row.model, provider: s.row.provider, profile: s.row.profile,
      pending_inputs: s.pending, queue: s.queue, epoch: s.epoch, seq: s.seq };
  }

  event(s, event, fields = {}) {
    const frame = { channel: "agent", session_id: s.row.session_id, runner_id: "local", ts: Date.now(), epoch: s.epoch, seq: ++s.seq, event, ...fields };
    s.ring.push(frame);
    for (const c of this.connections) if (c.follows.has(s.row.session_id)) c.send(frame);
  }

  become(s, state, event, fields = {}) {
    s.state = state;
    s.since = Date.now();
    if (event) this.event(s, event, fields);
    this.changed(s);
  }

  message(s, role, text, more = {}) {
    const message = { id: randomUUID(), idx: s.messages.length, role, created_at: Date.now(), parts: [{ type: "text", id: randomUUID(), text }], ...more };
    s.messages.push(message);
    this.event(s, role === "user" ? "user.message" : "stream.message_end", { message });
    return message;
  }

  work(s, text, more) {
    s.row.last_activity = Date.now();
    this.become(s, "working", "agent.working", { phase: "generating" });
    if (text !== undefined) this.message(s, "user", text, more);
  }

  /** The turn ends, with these words of the agent; what waits as a follow-up begins the next one. */
  finish(s, text = "Done.", more = {}) {
    this.message(s, "assistant", text, { stop_reason: "stop", model: "demo", provider: "demo", ...more });
    if (more.stop_reason === "error") this.giveBack(s, "the model failed");
    this.become(s, "idle", "agent.idle", {});
  }

  giveBack(s, reason) {
    if (!s.queue.some((i) => i.state === "pending")) return;
    s.queue = s.queue.map((i) => ({ ...i, state: "returned", reason: i.reason ?? reason }));
    this.event(s, "queue.changed", { queue: this.items(s) });
  }
  items(s) { return s.queue.map(({ pictures, ...item }) => item); }

  /** The agent takes what waits longest: only now it becomes a message. */
  deliver(s) {
    const item = s.queue.find((i) => i.state === "pending");
    s.queue = s.queue.filter((i) => i !== item);
    this.event(s, "queue.changed", { queue: this.items(s) });
    this.message(s, "user", item.message, { client_id: item.client_id });
    this.changed(s);
  }

  ask(s, request) {
    const full = { type: "select", request_id: randomUUID(), title: "May it?", options: ["Once", "For this session", "Deny"], timeout: 60_000, ...request };
    s.pending = [...s.pending, full];
    this.become(s, "waiting", "agent.input_needed", { request: full });
    return full;
  }

  resolve(s, request_id, resolution, more = {}) {
    s.pending = s.pending.filter((p) => p.request_id !== request_id);
    this.event(s, "agent.input_resolved", { request_id, resolution, ...more });
    if (s.pending.length === 0) this.become(s, "working", "agent.working", { phase: "tool_running" });
    else this.changed(s);
  }

  /** The tenant's runner was restarted: counting begins again, and the ring is empty. */
  restart(s) {
    Object.assign(s, { epoch: randomUUID(), seq: 0, ring: [], state: "asleep" });
  }
}
