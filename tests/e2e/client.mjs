// A client that follows sessions as docs/protocol.md says: it counts events, connects again when the
// connection ends, resubscribes with epoch and seq, and fetches the messages when events are lost.
import { Mux, sleep, until } from "./lib.mjs";

/** What one session looks like to whoever follows it. */
class Followed {
  epoch = undefined;
  seq = 0;
  messages = [];         // as shown: in order, one per id
  open = new Map();      // streams that have not ended: id → {text, whole}
  ever = new Map();      // every message that was ever shown as complete
  faults = [];           // where the stream itself broke its promise
  queue = [];
  counts = {};           // events so far, by name
  catching = undefined;  // events that came while the messages were fetched

  take(event) {
    if (this.catching) return void this.catching.push(event);
    if (event.epoch !== this.epoch) {
      if (this.seq !== 0) this.faults.push(`an event of epoch ${event.epoch} while following ${this.epoch}`);
      this.epoch = event.epoch;
    } else if (event.seq <= this.seq) {
      return;  // the answer of subscribe crossed it
    } else if (this.seq !== 0 && event.seq !== this.seq + 1) {
      this.faults.push(`event ${event.seq} came after ${this.seq}`);
    }
    this.seq = event.seq;
    this.apply(event);
  }
  apply(event) {
    const { message_id: id } = event;
    this.counts[event.event] = (this.counts[event.event] ?? 0) + 1;
    if (event.event === "user.message") this.show(event.message);
    if (event.event === "stream.message_start") this.open.set(id, { text: "", whole: true });
    if (event.event === "stream.text_delta") {
      if (!this.open.has(id)) this.open.set(id, { text: "", whole: false });
      this.open.get(id).text += event.delta;
    }
    if (event.event === "stream.message_retracted") this.open.delete(id);
    if (event.event === "stream.message_end") this.show(event.message);
    if (event.event === "queue.changed") this.queue = event.queue;
  }
  show(message) {
    const streamed = this.open.get(message.id);
    const text = (message.parts ?? []).filter((p) => p.type === "text").map((p) => p.text).join("");
    const cut = message.parts?.some((p) => p.cut);
    if (streamed?.whole && !cut && streamed.text !== text && message.role === "assistant") {
      this.faults.push(`message ${message.id} was streamed as ${JSON.stringify(streamed.text.slice(0, 80))} (${streamed.text.length}) and ended as ${JSON.stringify(text.slice(0, 80))} (${text.length})`);
    }
    this.open.delete(message.id);
    this.ever.set(message.id, message);
    if (this.messages.some((m) => m.id === message.id)) this.faults.push(`message ${message.id} was shown twice`);
    else this.messages.push(message);
  }
}

export class Client {
  constructor(host, cookie) {
    Object.assign(this, { host, cookie, followed: new Map(), stopped: false, connections: 0 });
  }
  static async open(host, cookie) {
    const client = new Client(host, cookie);
    await client.connect();
    return client;
  }
  async connect() {
    const mux = await Mux.open(this.host, this.cookie);
    const take = mux.take.bind(mux);
    mux.take = (message) => {
      if (message.channel === "agent" && message.event !== "response") this.followed.get(message.session_id)?.take(message);
      else take(message);  // events are not kept: a session may stream for long
    };
    this.mux = mux;
    this.connections++;
    void mux.closed.then(() => this.again(mux));
    for (const session of this.followed.keys()) await this.catchUp(session);
  }
  async again(mux) {
    while (!this.stopped && this.mux === mux) {
      await sleep(100);
      await this.connect().catch(() => {});
    }
  }
  /** One command; code `lost` if the connection ended before the answer. */
  command(cmd, session, fields, ms) {
    const { mux } = this;
    const lost = { success: false, code: "lost", error: "the connection ended" };
    if (mux.socket.readyState !== 1) return Promise.resolve(lost);
    return Promise.race([
      mux.command(cmd, session, fields, ms).catch((error) => ({ success: false, code: "silent", error: error.message })),
      mux.closed.then(() => lost)]);
  }
  /** Asks again while the host says that it cannot now, or the connection ends. */
  async ask(cmd, session, fields, ms = 45_000) {
    const end = Date.now() + ms;
    for (;;) {
      const answer = await this.command(cmd, session, fields, Math.max(1000, end - Date.now()));
      if (answer.success) return answer.data;
      if (!["lost", "unavailable", "busy"].includes(answer.code) || Date.now() > end) {
        throw new Error(`${cmd} of ${session}: ${answer.code}: ${answer.error}`);
      }
      await sleep(200);
    }
  }
  async follow(session) {
    this.followed.set(session, new Followed());
    await this.catchUp(session);
    return this.followed.get(session);
  }
  async catchUp(session) {
    const view = this.followed.get(session);
    const { epoch, seq } = view;
    view.catching = [];
    const answer = await this.command("session.subscribe", session, { since_seq: seq, ...(epoch === undefined ? {} : { epoch }) });
    if (!answer.success) return void this.give(view);  // not known yet, or the connection is gone again
    if (answer.data.complete && seq !== 0) return void this.give(view);
    let page;
    for (const { mux } = this; !(page = await this.pages(session)); await sleep(200)) if (this.mux !== mux || mux.socket.readyState !== 1) return;  // the next connection catches up
    const ids = page.messages.map((m) => m.id);
    for (const id of ids.filter((it, at) => ids.indexOf(it) !== at)) view.faults.push(`get_messages had message ${id} twice`);
    view.epoch = page.epoch ?? answer.data.epoch;
    view.seq = page.seq;
    view.messages = page.messages.filter((m) => m.role !== "assistant" || m.stop_reason);
    view.open = new Map(page.messages.filter((m) => m.role === "assistant" && !m.stop_reason).map((m) => [m.id, { text: "", whole: false }]));
    for (const message of view.messages) view.ever.set(message.id, message);
    this.give(view);
  }
  give(view) {
    const kept = view.catching ?? [];
    view.catching = undefined;
    for (const event of kept) view.take(event);
  }
  /** Waits for one more event of that name than there were `before`. */
  seen(session, name, before = 0, ms = 20_000) {
    return until(`${name} of ${session}`, async () => (this.followed.get(session)?.counts[name] ?? 0) > before, ms);
  }
  /** All messages, page by page from the end; undefined if the connection ended meanwhile. */
  async pages(session, limit = 200) {
    let messages = [], first;
    for (let before_idx; ;) {
      const answer = await this.command("get_messages", session, { limit, ...(before_idx === undefined ? {} : { before_idx }) });
      if (!answer.success) return undefined;
      first ??= answer.data;
      messages = [...answer.data.messages, ...messages];
      if (!answer.data.has_more) return { messages, epoch: first.epoch, seq: first.seq };
      before_idx = messages[0].idx;
    }
  }
  close() {
    this.stopped = true;
    return this.mux.close();
  }
}
