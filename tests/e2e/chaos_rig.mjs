// Faults, and what goes on while they strike: five sessions of one host, each in the middle of
// something else, and a ledger of all that was said to them.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { Client } from "./client.mjs";
import { Host, Provider, sleep, until } from "./lib.mjs";
import { disagreements, sideBySide, storedViews } from "./views.mjs";

const kRecoverMs = 40_000;  // after a fault everything must work again; the guard waits longer with each restart
const kAbortMs = 12_000;

export function random(seed) {  // mulberry32
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const say = (token, times, delay) => ({ text: `A${token} `, repeatText: times, chunkSize: 6, chunkDelayMs: delay });

export class Rig {
  static async start(seed, hostOptions = {}) {
    const rig = new Rig();
    rig.random = random(seed);
    rig.turns = 0;
    rig.tokens = 0;
    rig.provider = await Provider.start({ directives: true, turns: [{ text: "unasked" }] });
    rig.host = await Host.start({ providerUrl: rig.provider.url, ...hostOptions });
    rig.cookie = await rig.host.setup();
    rig.client = await Client.open(rig.host, rig.cookie);
    rig.workspace = (await rig.client.ask("create_workspace", "_system", { name: "chaos" })).workspace.id;
    rig.sessions = {};
    return rig;
  }
  async stop() { await this.client?.close(); await this.host?.remove(); this.provider?.stop(); }

  // -------------------------------------------------------------- what is said

  /** A session with its ledger. */
  async open(name) {
    const id = `oqto-${randomUUID()}`;
    await this.client.ask("session.create", id, { config: { harness: "pi", workspace_id: this.workspace } });
    await this.client.follow(id);
    return (this.sessions[name] = { name, id, inputs: [], removed: new Set() });
  }
  /** Says something once and notes what came of it. */
  async input(session, cmd, doing, fields = {}) {
    const token = `T${++this.tokens}`;
    const entry = { token, cmd, client_id: `client-${token}-${session.id.slice(-6)}`, message: `${token} ${cmd} @do ${JSON.stringify(doing(token))}` };
    session.inputs.push(entry);
    await this.send(session, entry, fields);
    if (cmd === "prompt") this.turns++;
    return entry;
  }
  async send(session, entry, fields = {}) {
    const answer = await this.client.command(entry.cmd, session.id, { message: entry.message, client_id: entry.client_id, ...fields });
    if (answer.success) entry.outcome = "accepted";
    else if (["lost", "silent"].includes(answer.code)) entry.outcome = "unknown";
    else { entry.outcome = "refused"; entry.why = `${answer.code}: ${answer.error}`; }
  }
  count(session, name) { return this.client.followed.get(session.id)?.counts[name] ?? 0; }
  toolTurns(session, seconds) {
    return (token) => [{ toolCalls: [{ name: "bash", arguments: { command: `echo ${token} >> /workspace/ran-${session.id}; sleep ${seconds}; echo out-${token}` } }] }, say(token, 3, 0)];
  }

  /** The scenes. Each returns when its session is in the middle of it. */
  scenes = {
    text: async () => {
      const session = this.sessions.text ?? await this.open("text"), before = this.count(session, "stream.text_delta");
      const entry = await this.input(session, "prompt", (token) => [say(token, 60, 40)]);
      if (entry.outcome === "accepted") await this.client.seen(session.id, "stream.text_delta", before);
    },
    tool: async () => {
      const session = this.sessions.tool ?? await this.open("tool"), before = this.count(session, "tool.start");
      const entry = await this.input(session, "prompt", this.toolTurns(session, 2));
      if (entry.outcome === "accepted") await this.client.seen(session.id, "tool.start", before);
    },
    queue: async () => {
      const session = this.sessions.queue ?? await this.open("queue"), before = this.count(session, "tool.start");
      const entry = await this.input(session, "prompt", this.toolTurns(session, 2));
      if (entry.outcome !== "accepted") return;
      await this.client.seen(session.id, "tool.start", before);
      await this.input(session, "steer", (token) => [say(token, 10, 20)]);
      await this.input(session, "follow_up", (token) => [say(token, 10, 20)]);
      await this.input(session, "follow_up", (token) => [say(token, 2, 0)]);
    },
    abort: async () => {
      const session = this.sessions.abort ?? await this.open("abort"), before = this.count(session, "stream.text_delta");
      const entry = await this.input(session, "prompt", (token) => [say(token, 100, 40)]);
      if (entry.outcome !== "accepted") return;
      await this.client.seen(session.id, "stream.text_delta", before);
      const sent = Date.now();
      session.abort = this.client.command("abort", session.id, {}, 60_000).then((answer) => ({ answer, ms: Date.now() - sent }));
    },
    start: async () => {
      const id = `oqto-${randomUUID()}`;
      this.sessions.start = { name: "start", id, inputs: [], removed: new Set() };
      void this.client.command("session.create", id, { config: { harness: "pi", workspace_id: this.workspace } });
      await sleep(this.random() * 300);
    },
  };

  // -------------------------------------------------------------- faults

  async pidsOf(kind) {
    if (kind === "pi") return this.host.processes(/^pi\b/);
    if (kind === "relay") return this.host.processes(/^oqto-relay/);  // the connections' processes too
    return this.host.pids(kind);
  }
  async kill(kind) {
    const pids = await this.pidsOf(kind);
    assert.ok(pids.length > 0, `a ${kind} runs`);
    for (const pid of pids) try { process.kill(pid, "SIGKILL"); } catch { /* it was quicker */ }
  }
  async stall(kind, ms) {
    const pids = await this.pidsOf(kind);
    assert.ok(pids.length > 0, `a ${kind} runs`);
    const signal = (name) => { for (const pid of pids) try { process.kill(pid, name); } catch { /* it was ended meanwhile */ } };
    signal("SIGSTOP");
    try { await sleep(ms); } finally { signal("SIGCONT"); }
  }

  // -------------------------------------------------------------- afterwards

  async state(session) { return this.client.ask("get_state", session.id, {}, kRecoverMs); }
  atRest(session) {
    let state;
    return until("rest", async () => {
      state = await this.state(session);
      return !["working", "starting", "waiting"].includes(state.state) && !(state.queue ?? []).some((item) => item.state === "pending");
    }, kRecoverMs).then(() => state, () => { throw new Error(`the session does not come to rest: ${JSON.stringify(state)}`); });
  }
  /** Repeats what was said with the same client_id, and asks something new: no session.create. */
  async useAgain(session) {
    if (session.name === "start") {
      await this.client.ask("session.create", session.id, { config: { harness: "pi", workspace_id: this.workspace } }, kRecoverMs);
      await this.client.follow(session.id);
    }
    const doubtful = session.inputs.filter((entry) => entry.outcome !== "accepted"), last = session.inputs.at(-1);
    for (const entry of new Set([...doubtful, ...(last ? [last] : [])])) {
      await this.client.ask(entry.cmd, session.id, { message: entry.message, client_id: entry.client_id }, kRecoverMs);
      entry.outcome = "accepted";
    }
    await this.atRest(session);
    // What was accepted while nobody had noticed yet that the agent is gone may end with that as its reason.
    for (let tries = 1; ; tries++) {
      const probe = await this.input(session, "prompt", (token) => [say(token, 3, 0)]);
      if (probe.outcome !== "accepted") {
        await this.client.ask("prompt", session.id, { message: probe.message, client_id: probe.client_id }, kRecoverMs);
        probe.outcome = "accepted";
      }
      await this.atRest(session);
      const last = (await this.client.pages(session.id))?.messages.at(-1);
      if (last?.stop_reason === "stop") return;
      if (tries === 3) throw new Error(`three turns after the fault failed: ${JSON.stringify(last)?.slice(0, 300)}`);
    }
  }
  /** What a session's ledger does not find in its messages. */
  unaccounted(session, rows, queue) {
    const problems = [];
    for (const entry of session.inputs) {
      const at = rows.findIndex((row) => row.client_id === entry.client_id);
      const waits = queue.filter((item) => item.client_id === entry.client_id).length + (session.removed.has(entry.client_id) ? 1 : 0);
      if ((at >= 0 ? 1 : 0) + waits !== 1) { problems.push(`${entry.cmd} ${entry.token} is ${at >= 0 ? "a message" : "no message"} and ${waits} times in the queue`); continue; }
      if (at < 0) continue;
      if (rows[at].text !== entry.message) problems.push(`${entry.cmd} ${entry.token} became another text: ${rows[at].text.slice(0, 60)}`);
      let end = at + 1;  // the answer is to all that was said at once
      while (rows[end]?.role === "user") end++;
      const from = end;
      while (rows[end] && rows[end].role !== "user") end++;
      const answer = rows.slice(from, end), last = answer.at(-1), next = session.inputs.find((other) => other.client_id === rows[end]?.client_id);
      const ended = last?.role === "assistant" && ["stop", "length", "error", "aborted"].includes(last.stop);
      if (!ended && !(last && next && next.cmd !== "prompt")) problems.push(`${entry.cmd} ${entry.token} has neither an answer nor a reason\n${sideBySide({ get_messages: rows }, at)}`);
    }
    return problems;
  }
  ranTwice(session) {
    const file = path.join(this.host.state, "tenants/1/workspaces", this.workspace, `ran-${session.id}`);
    const ran = existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : [];
    return ran.filter((line, at) => ran.indexOf(line) !== at).map((line) => `the command of ${line} ran twice`);
  }
  async check(session, stalledMs) {
    const problems = [];
    try {
      await this.useAgain(session);
      const abort = await session.abort;
      if (abort && abort.answer.code !== "lost" && (abort.answer.code === "silent" || abort.ms > kAbortMs + stalledMs)) problems.push(`abort was answered after ${abort.ms} ms: ${JSON.stringify(abort.answer)}`);
    } catch (error) {
      problems.push(String(error.message));
    }
    try {
      problems.push(...await this.compare(session));
    } catch (error) {
      problems.push(String(error.message));
    }
    session.abort = undefined;
    return problems;
  }
  async compare(session) {
    const followed = this.client.followed.get(session.id);
    const pages = await until("all messages", async () => {
      const got = await this.client.pages(session.id, 7);
      return got && followed.seq >= got.seq && !followed.catching && got;
    }, 10_000);
    const state = await this.state(session);
    const { problems, views } = disagreements(this.host, session.id, followed, pages.messages, (await storedViews(this.host)).get(session.id), { damageAllowed: this.damageAllowed });
    problems.push(...this.unaccounted(session, views.get_messages, state.queue ?? []), ...this.ranTwice(session));
    for (const item of state.queue ?? []) {
      await this.client.ask("queue.remove", session.id, { item_id: item.id });
      session.removed.add(item.client_id);
    }
    return problems;
  }
  /** All scenes, one fault in the middle of them, and what was wrong afterwards. */
  async round(fault, strike) {
    await Promise.all(Object.values(this.scenes).map((scene) => scene()));
    await sleep(this.random() * 200);
    const began = Date.now();
    await strike();
    const stalledMs = Date.now() - began;
    const found = await Promise.all(Object.entries(this.sessions).map(async ([name, session]) => [name, await this.check(session, stalledMs)]));
    const problems = found.flatMap(([name, list]) => list.map((problem) => `[${fault} during ${name}] ${problem}`));
    for (const [name, list] of found) {
      const { id } = this.sessions[name];
      if (list.length === 0 && name !== "start") continue;
      delete this.sessions[name];  // what gave way must not hide what comes next
      this.client.followed.delete(id);
      await this.client.command(list.length === 0 ? "session.delete" : "session.close", id, {}, 15_000);
    }
    return problems;
  }
}
