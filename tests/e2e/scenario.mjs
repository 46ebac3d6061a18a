// What the tests of sessions share: one host with the scripted provider, one account, one workspace,
// and prompts that say themselves how they are answered.
import { randomUUID } from "node:crypto";
import { Host, Mux, Provider, read, sleep, until } from "./lib.mjs";

/** A prompt that is answered by these turns, one after another (tests/tools/mock-provider.mjs). */
export const asking = (text, ...turns) => `${text} @do ${JSON.stringify(turns)}`;
export const bashCall = (command) => ({ toolCalls: [{ name: "bash", arguments: { command } }] });
export const plain = (message) => (message.parts ?? []).filter((p) => p.type === "text").map((p) => p.text).join("");
/** What was said, without how it is to be answered. */
export const said = (text) => text.split(" @do ")[0];
export const newId = () => `oqto-${randomUUID()}`;

// A 1×1 PNG.
export const picture = { media_type: "image/png", data: "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==" };
/** A provider whose model takes pictures, as more of gateway.toml. */
export const eyes = (url) => `[[provider]]\nname = "eyes"\nkind = "openai"\nbase_url = "${url}/v1"\nkey = "sk-other-key"\n[[provider.model]]\nid = "eye-1"\nname = "Eye"\nimages = true\ncontext_window = 200000\n`;

export class Scenario {
  static async start(options = {}) {
    const scenario = new Scenario();
    scenario.provider = await Provider.start({ directives: true, turns: [{ text: "unasked" }] });
    scenario.host = await Host.start({ providerUrl: scenario.provider.url, ...options, ...(options.egressOf ? { egress: options.egressOf(scenario.provider.url) } : {}) });
    scenario.cookie = await scenario.host.setup("ada");
    scenario.mux = await Mux.open(scenario.host, scenario.cookie);
    scenario.workspace = await scenario.mux.workspace();
    return scenario;
  }
  async stop() { this.mux?.close(); await this.host?.remove(); this.provider?.stop(); }

  session(config) { return this.mux.session(this.workspace, config); }
  /** Waits until a session neither works nor starts; its STATE. */
  async rest(session, ms = 30_000, mux = this.mux) {
    let state;
    await until(`${session} to rest`, async () => {
      state = await mux.ok("get_state", session);
      return !["working", "starting", "waiting"].includes(state.state);
    }, ms);
    return state;
  }
  async messages(session) { return (await this.mux.ok("get_messages", session, { limit: 200 })).messages; }
  /** Kills every process of a kind and waits until others stand in for it. */
  async kill(kind) {
    const before = await this.host.pids(kind);
    for (const pid of before) process.kill(pid, "SIGKILL");
    await until(`a new ${kind}`, async () => { const now = await this.host.pids(kind); return now.length > 0 && !now.some((pid) => before.includes(pid)); }, 40_000);
  }
  /** The pids of one session's agent: what its launcher has below it. */
  async pisOf(session) {
    const { pid } = (await this.host.ctl("status")).sessions.find((it) => it.session_id === session);
    const parent = (of) => Number(/\) \S (\d+)/.exec(read(`/proc/${of}/stat`))?.[1]);
    const below = (of) => { try { for (let at = of; at > 1; at = parent(at)) if (at === pid) return true; } catch { /* it has ended */ } return false; };
    return this.host.processes(/^pi\b/).filter(below);
  }
  async killRunner() {
    const { mux } = this;
    await this.kill("runner");
    await mux.closed;
    this.mux = await this.reach();
  }
  /** A new connection, once the host answers on it. */
  reach(cookie = this.cookie) {
    return until("a connection that answers", async () => {
      const mux = await Mux.open(this.host, cookie);
      const answer = await mux.command("list_sessions", "_system", {}, 5000).catch(() => ({}));
      return answer.success ? mux : void mux.close();
    }, 40_000);
  }
  /** Says something until it is accepted, as a person would who is told to try again. */
  async insist(session, message, ms = 30_000, fields = {}) {
    let answer;
    await until("the prompt to be accepted", async () => {
      answer = await this.mux.command("prompt", session, { message, ...fields }, 20_000);
      return answer.success;
    }, ms).catch(() => { throw new Error(`the prompt is not accepted: ${answer?.code}: ${answer?.error ?? "no answer"}`); });
  }
  /** The messages that the model got with its latest call that contains `text`, as {role, text}. */
  async modelSaw(text) {
    const flat = (content) => (typeof content === "string" ? content : (content ?? []).map((c) => c.text ?? `[${c.type}]`).join(""));
    const call = (await this.provider.requests()).findLast((r) => JSON.stringify(r.body?.messages ?? "").includes(text));
    return call?.body.messages.map((m) => ({ role: m.role, text: said(flat(m.content)) }));
  }
  /** A part as a whole, piece by piece. */
  async wholePart(session, message_id, part_id, length = 524_288) {
    let text = "", pieces = 0, total;
    for (let offset = 0; offset !== null; pieces++) {
      const piece = await this.mux.ok("get_part", session, { message_id, part_id, offset, length });
      if (Buffer.byteLength(piece.text) > length) throw new Error(`a piece of ${Buffer.byteLength(piece.text)} bytes instead of ${length}`);
      if (piece.next !== null && piece.next <= offset) throw new Error(`from ${offset} it goes on at ${piece.next}`);
      text += piece.text;
      total = piece.total;
      offset = piece.next;
    }
    return { text, pieces, total };
  }
}

/** As when the host is told to stop a process, and go on after a while. */
export async function stalled(pids, ms) {
  for (const pid of pids) process.kill(pid, "SIGSTOP");
  try { await sleep(ms); } finally { for (const pid of pids) try { process.kill(pid, "SIGCONT"); } catch { /* it was ended meanwhile */ } }
}
