// What the fake host answers to each command, in the words of docs/protocol.md.
import { randomUUID } from "node:crypto";

const refused = (code, words) => Object.assign(new Error(words), { code });
const text = (message) => message.parts.filter((p) => p.type === "text").map((p) => p.text).join("\n");

function prompt(host, frame, s) {
  if (s.messages.some((m) => m.client_id && m.client_id === frame.client_id)) return {};
  if (s.state === "working" || s.state === "waiting") throw refused("busy", "the agent works");
  return { after: () => host.work(s, frame.message, { client_id: frame.client_id }) };
}

function wait(host, frame, s) {
  if (s.state !== "working" && s.state !== "waiting") return prompt(host, frame, s);
  const item = { id: randomUUID(), delivery: frame.cmd, state: "pending", message: frame.message, images: frame.images?.length ?? 0,
    client_id: frame.client_id, created_at: Date.now(), pictures: frame.images ?? [] };
  s.queue = [...s.queue, item];
  host.event(s, "queue.changed", { queue: host.items(s) });
  host.changed(s);
  return { item_id: item.id };
}

function itemOf(s, frame) {
  return s.queue.find((i) => i.id === frame.item_id) ?? (() => { throw refused("not_found", "the agent has it already"); })();
}

export const answers = {
  list_workspaces: (host) => ({ workspaces: host.workspaces }),
  create_workspace: (host, frame) => {
    const workspace = { id: `w${host.workspaces.length + 1}`, name: frame.name, created_at: Date.now() };
    host.workspaces.push(workspace);
    host.push({ type: "workspace", workspace });
    return { workspace };
  },
  list_sessions: (host) => ({ sessions: [...host.sessions.values()].map((s) => host.row(s)) }),
  get_models: (host) => host.models,
  get_stats: () => ({ tokens: { input: 0, output: 0, total: 0 }, calls: 0, cost: 0, estimated: false }),
  get_state: (host, _, s) => host.state(s),
  get_messages: (_, frame, s) => {
    const before = s.messages.filter((m) => frame.before_idx === undefined || m.idx < frame.before_idx);
    const messages = before.slice(-(frame.limit ?? 100));
    return { messages, has_more: before.length > messages.length, epoch: s.epoch, seq: s.seq };
  },
  "session.create": (host, frame, old, connection) => {
    const { workspace_id, profile = "development" } = frame.config;
    const offered = host.profiles.find((p) => p.name === profile);
    if (!offered?.available) {
      // As the real one: it is there for a moment, and everybody is told.
      const failed = host.make({ id: frame.session_id, workspace_id, profile, state: "failed" });
      host.changed(failed);
      host.sessions.delete(frame.session_id);
      host.push({ type: "session_removed", session_id: frame.session_id });
      throw refused("refused", `profile ${profile}: ${offered?.why ?? "unknown"}`);
    }
    const s = old ?? host.make({ id: frame.session_id || undefined, workspace_id, profile, state: "starting" });
    connection.follows.add(s.row.session_id);
    if (!old || ["asleep", "stopped", "failed"].includes(s.state)) host.become(s, "idle", "session.created", { resumed: !!old, harness: "pi" });
    return { session_id: s.row.session_id, workspace_id, profile, resumed: !!old };
  },
  "session.subscribe": (_host, frame, s, connection) => {
    const same = !frame.epoch || frame.epoch === s.epoch;
    const first = s.ring[0]?.seq ?? s.seq + 1;
    const since = frame.since_seq ?? 0;
    const complete = (same || since === 0) && since >= first - 1;
    connection.follows.delete(frame.session_id);
    const replay = s.ring.filter((e) => e.seq > since);
    return { epoch: s.epoch, seq: s.seq, first_seq: first, complete, state: _host.state(s),
      after: () => { replay.forEach((e) => connection.send(e)); connection.follows.add(frame.session_id); } };
  },
  "session.unsubscribe": (_, frame, _s, connection) => void connection.follows.delete(frame.session_id),
  "session.close": (host, _, s) => ({ after: () => host.become(s, "stopped", "session.closed", {}) }),
  "session.delete": (host, frame) => {
    host.sessions.delete(frame.session_id);
    host.push({ type: "session_removed", session_id: frame.session_id });
  },
  set_session_name: (host, frame, s) => {
    s.row.title = frame.name;
    host.event(s, "session.title_changed", { title: frame.name });
    host.changed(s);
  },
  set_model: (host, frame, s) => {
    Object.assign(s.row, { provider: frame.provider, model: frame.model_id });
    host.event(s, "config.model_changed", { provider: frame.provider, model_id: frame.model_id });
    host.changed(s);
    return { provider: frame.provider, model_id: frame.model_id };
  },
  prompt,
  steer: wait,
  follow_up: wait,
  "queue.edit": (host, frame, s) => {
    const item = itemOf(s, frame);
    s.queue = s.queue.map((i) => (i === item ? { ...i, message: frame.message } : i));
    host.event(s, "queue.changed", { queue: host.items(s) });
  },
  "queue.remove": (host, frame, s) => {
    const item = itemOf(s, frame);
    s.queue = s.queue.filter((i) => i !== item);
    host.event(s, "queue.changed", { queue: host.items(s) });
    host.changed(s);
    return { message: item.message, images: item.pictures, delivery: item.delivery };
  },
  abort: (host, _, s) => {
    if (s.state !== "working" && s.state !== "waiting") return {};
    s.pending = [];
    host.giveBack(s, "stopped");
    host.become(s, "idle", "agent.idle", {});
    return {};
  },
  input_response: (host, frame, s) => {
    const words = frame.cancelled ? "cancelled" : (frame.value ?? (frame.confirmed ? "yes" : "no"));
    return { after: () => host.resolve(s, frame.request_id, "answered", { by: host.user.username, answer: words }) };
  },
  fork: (host, frame, s) => {
    const at = s.messages.findIndex((m) => m.id === frame.message_id);
    if (at < 0) throw refused("not_found", "no such message");
    const { workspace_id, profile, title } = s.row;
    const made = host.make({ workspace_id, profile, title: `${title} (2)`, state: "asleep" });
    made.messages = s.messages.slice(0, at);
    host.changed(made);
    return { new_session_id: made.row.session_id, text: text(s.messages[at]), cancelled: false };
  },
  compact: async (host, _, s) => {
    if (s.state === "working") throw refused("busy", "the agent works");
    host.event(s, "compact.start", { reason: "manual" });
    await new Promise((done) => setTimeout(done, host.compactMs ?? 300));
    host.event(s, "compact.end", { success: true, summary: "They said hello.", tokens_before: 900 });
    return { summary: "They said hello.", tokens_before: 900 };
  },
};
