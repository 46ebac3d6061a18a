// Each figure is taken beside its floor, turn by turn, in one run: compare within a row only.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { performance } from "node:perf_hooks";
import { Host, Mux, Provider, sleep, until } from "../tests/e2e/lib.mjs";
import { BarePi } from "./bare_pi.mjs";

const rounds = Number(process.argv[2] ?? 15);
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
  const floors = [], bareStart = [], ourStart = [], sessions = [];
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

    await bare.end();
    if (i >= rounds + 1) sessions.push(session); else await mux.ok("session.close", session);
  }
  const records = await host.records();
  const outcomes = new Map(records.filter((r) => r.event === "session.start" && r.phase === "outcome").map((r) => [r.intent, r.time]));
  const starts = records.filter((r) => r.event === "session.start" && r.phase === "intent" && outcomes.has(r.seq ?? r.index)).map((r) => outcomes.get(r.seq ?? r.index) - r.time);
  row("sandbox ready (record to init ready)", starts.length ? median(starts) : "not measured", median(floors), "bubblewrap hardened, true, with setpriv");
  row("Pi ready in the sandbox, from the browser", median(ourStart), median(bareStart), "bare Pi, warm cache");

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
