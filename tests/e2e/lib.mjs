// What the end-to-end tests share: a host of their own (./run in a temporary state directory), the
// scripted provider, Chromium, and a plain WebSocket client for what a browser would never send.
import { execFile, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import https from "node:https";
import net from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { chromium } from "playwright-core";
import WebSocket from "ws";

export { sleep };
export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
// OQTO_BUILD and OQTO_RUN: another build and its start script. OQTO_E2E_STATE: where hosts keep their state.
export const build = process.env.OQTO_BUILD ?? path.join(root, "build");
export const bin = (name) => path.join(build, "bin", name);
const run = promisify(execFile);

/** Waits until `probe` gives something truthy, and returns it. */
export async function until(what, probe, ms = 20_000) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await probe().catch((error) => { if (Date.now() > end) throw error; });
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${ms} ms in vain for: ${what}`);
    await sleep(50);
  }
}

export async function freePort() {
  return new Promise((done) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

// ---------------------------------------------------------------- the scripted provider

export class Provider {
  static async start(script = {}) {
    const provider = new Provider();
    provider.child = spawn(process.execPath, [path.join(root, "tests/tools/mock-provider.mjs"),
      "--port", "0", "--lifetime", "1500", "--quiet"], { stdio: ["ignore", "pipe", "inherit"] });
    const line = await new Promise((done) => provider.child.stdout.once("data", (d) => done(String(d))));
    provider.url = JSON.parse(line.split("\n")[0]).url;
    await provider.script(script);
    return provider;
  }
  async control(name, body) {
    const answer = await fetch(`${this.url}/__mock/${name}`, body === undefined ? {} : { method: "POST", body: JSON.stringify(body) });
    return answer.json();
  }
  script(script) { return this.control("script", script); }
  requests() { return this.control("requests"); }
  state() { return this.control("state"); }
  stop() { this.child.kill("SIGTERM"); }
}

// ---------------------------------------------------------------- the host

// OQTO_E2E_UIDS: the uids of one host, BASE:COUNT, where there are few.
const [uidBase, uidCount] = (process.env.OQTO_E2E_UIDS ?? `${1_700_000_000 + (process.pid % 400) * 1_000_000}:200000`).split(":").map(Number);
let nextUidBase = uidBase;

export class Host {
  /** `providerUrl`: an OpenAI-like provider besides the demo; it is then the default. `egress`: more of
   * gateway.toml. `policy`: the host's sandbox.toml; none by default, whatever this machine has. */
  static async start({ providerUrl, anthropicUrl, egress = "", policy, args = [] } = {}) {
    const host = new Host();
    host.state = mkdtempSync(path.join(process.env.OQTO_E2E_STATE ?? "/tmp", "oqto-e2e-"));
    execFileSync("chmod", ["755", host.state]);
    host.port = await freePort();
    host.uidBase = nextUidBase;
    nextUidBase += uidCount;
    const file = path.join(host.state, "host-policy.toml");
    if (policy !== undefined) writeFileSync(file, policy, { mode: 0o644 });
    host.args = ["--host-policy", file, ...args];
    host.origin = `https://localhost:${host.port}`;
    mkdirSync(path.join(host.state, "config"), { mode: 0o700 });
    if (providerUrl || anthropicUrl || egress) host.configure(providerUrl, anthropicUrl, egress);
    await host.up().catch(async (error) => { await host.remove(); throw error; });
    return host;
  }
  configure(providerUrl, anthropicUrl, egress = "") {
    let text = providerUrl ? 'default = "mock/mock-1"\n' : "";
    if (providerUrl) text += `[[provider]]\nname = "mock"\nkind = "openai"\nbase_url = "${providerUrl}/v1"\nkey = "sk-secret-key-of-the-host"\n[[provider.model]]\nid = "mock-1"\nname = "Mock"\nreasoning = true\ncontext_window = 200000\n`;
    if (anthropicUrl) text += `[[provider]]\nname = "claude"\nkind = "anthropic"\nbase_url = "${anthropicUrl}"\nkey = "sk-ant-secret-key"\n[[provider.model]]\nid = "mock-2"\nname = "Mock Two"\nreasoning = true\n`;
    writeFileSync(path.join(this.state, "config/gateway.toml"), text + egress, { mode: 0o600 });
  }
  /** As its owner would from outside: inside it is protected. */
  workspacePolicy(workspace, text, account = 1) {
    const directory = path.join(this.state, "tenants", String(account), "workspaces", workspace, ".oqto");
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    writeFileSync(path.join(directory, "sandbox.toml"), text, { mode: 0o644 });
  }
  async up() {
    this.log = "";
    this.child = spawn(process.env.OQTO_RUN ?? path.join(root, "run"), ["--state", this.state, "--port", String(this.port),
      "--uid-base", String(this.uidBase), "--uid-count", String(uidCount), ...this.args], { stdio: ["ignore", "pipe", "pipe"] });
    this.child.stderr.on("data", (d) => { this.log += d; if (process.env.OQTO_E2E_VERBOSE) process.stderr.write(d); });
    this.exited = new Promise((done) => this.child.once("exit", (code, signal) => done(code ?? signal)));
    this.link = await new Promise((done, fail) => {
      let out = "";
      const timer = setTimeout(() => fail(new Error(`no link within 120 s\n${this.log}`)), 120_000);
      this.child.stdout.on("data", (d) => {
        out += d;
        const found = /Open (\S+)/.exec(out);
        if (found) { clearTimeout(timer); done(found[1]); }
      });
      void this.exited.then((code) => { clearTimeout(timer); fail(new Error(`the host ended with ${code}\n${this.log}`)); });
    });
  }
  /** Orderly stop; returns the exit status. */
  async down(signal = "SIGTERM") {
    this.child.kill(signal);
    return Promise.race([this.exited, sleep(60_000, undefined, { ref: false }).then(() => { throw new Error(`did not stop\n${this.log}`); })]);
  }
  async remove() {
    if (this.child.exitCode === null) await this.down();
    rmSync(this.state, { recursive: true, force: true });
  }
  /** The answer of oqtoctl; `status` exits 1 while something is not ready, with the same answer. */
  async ctl(...args) {
    const answer = await run(bin("oqtoctl"), [...args, "--state", this.state, "--json"]).catch((error) => error);
    if (!answer.stdout) throw new Error(`oqtoctl ${args.join(" ")}: ${answer.stderr}`);
    return JSON.parse(answer.stdout);
  }
  /** Pids of this host's processes that match, as seen from outside. */
  processes(match) {
    return readdirSync("/proc").filter((pid) => /^\d+$/.test(pid)).filter((pid) => {
      try {
        const { uid } = statSync(`/proc/${pid}`);
        return uid >= this.uidBase && uid < this.uidBase + uidCount && match.test(readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " "));
      } catch { return false; }
    }).map(Number);
  }
  async audit(...args) {
    const log = path.join(this.state, "audit/log"), key = path.join(this.state, "audit/key/log.vkey");
    return (await run(bin("oqto-audit"), [...args, "--log", log, ...(args[0] === "verify" ? ["--vkey", key] : [])], { maxBuffer: 1 << 28 })).stdout;
  }
  async records() {
    return (await this.audit("tail", "-n", "1000000", "--json")).trim().split("\n").filter(Boolean).map((line) => JSON.parse(line));
  }
  async pids(kind) { return (await this.ctl("status")).processes.filter((p) => p.process === kind && p.pid).map((p) => p.pid); }
  /** HTTP to the host, without following anything. */
  request(method, target, { body, cookie, headers = {} } = {}) {
    return new Promise((done, fail) => {
      const text = body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body);
      const request = https.request({ host: "127.0.0.1", port: this.port, method, path: target, rejectUnauthorized: false, servername: "localhost", agent: false,
        headers: { host: `localhost:${this.port}`, ...(method === "POST" ? { origin: this.origin, "content-type": "application/json" } : {}), ...(cookie ? { cookie } : {}), ...(text ? { "content-length": Buffer.byteLength(text) } : {}), ...headers } }, (answer) => {
        let text = "";
        answer.on("data", (d) => (text += d));
        answer.on("end", () => done({ status: answer.statusCode, headers: answer.headers, text, json: () => JSON.parse(text), cookie: answer.headers["set-cookie"]?.[0]?.split(";")[0] }));
      });
      request.on("error", fail);
      if (text) request.write(text);
      request.end();
    });
  }
  /** Makes the first administrator over HTTP and returns the cookie. */
  async setup(username = "admin", password = "correct horse battery") {
    const token = new URL(this.link).hash.replace("#setup=", "");
    const answer = await this.request("POST", "/api/auth/setup", { body: { token, username, password } });
    if (answer.status !== 201) throw new Error(`setup: ${answer.status} ${answer.text}`);
    return answer.cookie;
  }
  async invite(cookie, username, password = "correct horse battery", role = "user") {
    const invite = await this.request("POST", "/api/auth/invites", { cookie, body: { role } });
    const answer = await this.request("POST", "/api/auth/register", { body: { invite_code: invite.json().code, username, password } });
    if (answer.status !== 201) throw new Error(`register: ${answer.status} ${answer.text}`);
    return answer.cookie;
  }
}

// ---------------------------------------------------------------- the protocol, without a browser

export class Mux {
  static async open(host, cookie) {
    const mux = new Mux();
    mux.events = [];
    mux.system = [];
    mux.pending = new Map();
    mux.number = 0;
    mux.socket = new WebSocket(`wss://localhost:${host.port}/ws/mux`, "host.mux.v1", { rejectUnauthorized: false, perMessageDeflate: false, maxPayload: 64 << 20,
      headers: { cookie: cookie ?? "", origin: host.origin } });
    mux.closed = new Promise((done) => mux.socket.once("close", done));
    mux.socket.on("message", (data) => mux.take(JSON.parse(String(data))));
    await new Promise((done, fail) => {
      mux.socket.once("open", done);
      mux.socket.once("error", fail);
      mux.socket.once("unexpected-response", (_, answer) => fail(new Error(`HTTP ${answer.statusCode}`)));
    });
    mux.socket.on("error", () => {});
    return mux;
  }
  take(message) {
    if (message.channel === "system") return void this.system.push(message);
    if (message.event === "response") return void this.pending.get(message.id)?.(message);
    this.events.push(message);
  }
  send(value) { this.socket.send(typeof value === "string" ? value : JSON.stringify(value)); }
  command(cmd, session_id, fields = {}, ms = 60_000) {
    const id = `t${++this.number}`;
    return new Promise((done, fail) => {
      const timer = setTimeout(() => fail(new Error(`no answer to ${cmd}`)), ms).unref();
      this.pending.set(id, (answer) => { clearTimeout(timer); this.pending.delete(id); done(answer); });
      this.send({ channel: "agent", id, session_id, cmd, ...fields });
    });
  }
  /** As command, but throws on success:false. */
  async ok(cmd, session_id, fields, ms) {
    const answer = await this.command(cmd, session_id, fields, ms);
    if (!answer.success) throw new Error(`${cmd}: ${answer.code}: ${answer.error}`);
    return answer.data;
  }
  async workspace(name = "work") { return (await this.ok("create_workspace", "_system", { name })).workspace.id; }
  async session(workspace_id, config = {}) {
    const data = await this.ok("session.create", "", { config: { harness: "pi", workspace_id, ...config } }, 90_000);
    return data.session_id;
  }
  event(session, name, from = 0, ms = 30_000) {
    return until(`event ${name}`, async () => this.events.slice(from).find((e) => e.session_id === session && e.event === name), ms);
  }
  /** Sends a prompt and waits until the turn is over; returns the events of it. */
  async turn(session, message, ms = 60_000) {
    const from = this.events.length;
    await this.ok("prompt", session, { message });
    await until("the end of the turn", async () => this.events.slice(from).some((e) => e.session_id === session && e.event === "agent.idle"), ms);
    return this.events.slice(from).filter((e) => e.session_id === session);
  }
  close() { this.socket.terminate(); return this.closed; }
}

export const text = (events) => events.filter((e) => e.event === "stream.text_delta").map((e) => e.delta).join("");
export const toolOutput = (events) => events.filter((e) => e.event === "tool.end").map((e) => e.output).join("\n");
export const toolTurns = (command, end = "done") => [
  { toolCalls: [{ name: "bash", arguments: { command } }] }, { text: end }];

// ---------------------------------------------------------------- the browser

export async function openBrowser() {
  return chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"] });
}
export async function openPage(browser, options = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 820 }, ...options });
  const page = await context.newPage();
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("console", (message) => { if (/Content Security Policy|Trusted/i.test(message.text())) page.problems.push(message.text()); });
  return page;
}
export const byId = (page, id) => page.locator(`[data-testid="${id}"]`);
export const read = (file) => readFileSync(file, "utf8");
