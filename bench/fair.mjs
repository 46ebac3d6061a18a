// What one tenant's flood costs another: the p99 of signing in, of a command (recorded before it is done) and of a model call,
// while nothing else goes on, while the other tenant uses the processors only, and while it floods. All in
// one run, slice by slice in turn. The ratio to "burning" is what the flood costs beyond processor time.
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";

const USAGE = `usage: bench/fair [--seconds N] [--only sign-in|command|model-call] [--json]
Prints the p50 and p99 of one tenant beside another that floods, and their ratio; the aim is at most 2. Needs root.
  --seconds N   of each measurement, a third of them for each of quiet, burning and flooding (default 90, at least 9)
  --only WHAT   one of the three
  --json        one object a line
`;
const KINDS = ["quiet", "burning", "flooding"];
const EACH_MS = 3000, SETTLE_MS = 400;

function options() {
  const chosen = { seconds: 90, only: undefined, json: false };
  for (const args = process.argv.slice(2); args.length;) {
    const flag = args.shift();
    if (flag === "--help") { process.stdout.write(USAGE); process.exit(0); }
    if (flag === "--json") chosen.json = true;
    else if (flag === "--seconds" && Number(args[0]) >= 9) chosen.seconds = Number(args.shift());
    else if (flag === "--only" && ["sign-in", "command", "model-call"].includes(args[0])) chosen.only = args.shift();
    else { process.stderr.write(USAGE); process.exit(2); }
  }
  return chosen;
}
const chosen = options();
const { Host, Mux, Provider, build, sleep, toolTurns, until } = await import("../tests/e2e/lib.mjs");  // what it needs is not there for --help

const at = (values, part) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))];
const tool = path.join(build, "tests/tools/bench_fair");
const here = path.dirname(fileURLToPath(import.meta.url));

const provider = await Provider.start({ directives: true, turns: [{ text: "done" }] });
const fast = spawn(tool, ["provider", "3600"], { stdio: ["ignore", "pipe", "inherit"] });
const fastPort = await new Promise((done) => fast.stdout.once("data", (d) => done(Number(String(d)))));
const fastProvider = `[[provider]]\nname = "fast"\nkind = "openai"\nbase_url = "http://127.0.0.1:${fastPort}/v1"\nkey = "sk-of-the-bench"\n[[provider.model]]\nid = "fast-1"\nname = "Fast"\n`;
const host = await Host.start({ providerUrl: provider.url, egress: fastProvider });

async function tenant(admin, name) {
  const cookie = await host.invite(admin, name);
  const account = (await host.request("GET", "/api/me", { cookie })).json().id;
  const mux = await Mux.open(host, cookie);
  const workspace = await mux.workspace();
  const session = await mux.session(workspace);
  const directory = path.join(host.state, "tenants", String(account), "workspaces", workspace);
  copyFileSync(tool, path.join(directory, "bench_fair"));
  chmodSync(path.join(directory, "bench_fair"), 0o755);
  await until("pi", async () => { const s = await mux.ok("get_state", session); return s.state === "idle" && s.model; });
  return { name, cookie, mux, session, directory };
}
/** Starts the tool inside a tenant's sandbox; it ends by itself. */
async function inside(who, args, out) {
  const command = `nohup ./bench_fair ${args.join(" ")} >${out} 2>&1 </dev/null & echo started`;
  await who.mux.turn(who.session, `@do ${JSON.stringify(toolTurns(command))}`);
}

/** What the floods say that they have done, when they have ended. */
async function countActs(who, loads) {
  let acts = 0;
  for (const child of loads) acts += Number(await child.said);
  await sleep(2000);  // for those inside
  for (const file of ["execs.out", "bodies.out"]) {
    const lines = existsSync(path.join(who.directory, file)) ? readFileSync(path.join(who.directory, file), "utf8").split("\n") : [];
    for (const line of lines) acts += Number(line) || 0;
  }
  return acts;
}

/** One measurement: `load` starts what the other tenant does, `measure` gives [{at, ms}]. */
async function figure(name, load, measure) {
  const count = Math.max(3, Math.round(chosen.seconds * 1000 / EACH_MS / 3) * 3);
  // Another one each time: who has flooded the log is slowed down by his share of it, and starts nothing soon.
  const loud = await tenant(admin, `loud${++tenants}`);
  const slices = [Date.now() + 10_000, EACH_MS, count];  // time enough to start the loads
  await inside(loud, ["burn", ...slices, 2], "burn.out");
  const loads = await load(slices, loud);
  if (Date.now() > slices[0]) throw new Error("the loads were not started in time: the machine is too busy to measure on");
  const samples = await measure(slices);
  loud.mux.close();
  const acts = await countActs(loud, loads);
  if (acts === 0) throw new Error(`${name}: the flood did nothing`);
  const kinds = KINDS.map(() => []);
  let failed = 0;
  for (const { at: began, ms, good } of samples) {
    const offset = began - slices[0];
    if (offset < 0) continue;
    if (!good) ++failed;
    else if (offset % EACH_MS >= SETTLE_MS) kinds[Math.floor(offset / EACH_MS) % 3].push(ms);
  }
  const result = { what: name, failed, acts_of_the_flood: acts };
  for (const [i, kind] of KINDS.entries()) result[kind] = { n: kinds[i].length, p50_ms: at(kinds[i], 0.5), p99_ms: at(kinds[i], 0.99) };
  result.p99_to_quiet = result.flooding.p99_ms / result.quiet.p99_ms;
  result.p99_to_burning = result.flooding.p99_ms / result.burning.p99_ms;
  if (chosen.json) return void console.log(JSON.stringify(result));
  const show = (kind) => `${kind} ${result[kind].p50_ms?.toFixed(1)} / ${result[kind].p99_ms?.toFixed(1)} (${result[kind].n})`;
  console.log(`${name}: p50 / p99 ms (samples): ${KINDS.map(show).join(", ")}; failed ${failed}, acts of the flood ${acts}; p99 flooding to quiet ${result.p99_to_quiet.toFixed(2)}, to burning ${result.p99_to_burning.toFixed(2)} (aim: at most 2)`);
}

/** One act after the other, with a short rest. */
async function repeat([start, each, count], act) {
  const samples = [];
  await sleep(Math.max(0, start - Date.now()));
  while (Date.now() < start + each * count) {
    const began = Date.now(), clock = performance.now();
    const good = await act().catch(() => false);
    samples.push({ at: began, ms: performance.now() - clock, good });
    await sleep(5);
  }
  return samples;
}
/** What it says at its end is in `said`. */
function flood(...args) {
  const child = spawn(process.execPath, [path.join(here, "fair_flood.mjs"), ...args.map(String)], { stdio: ["ignore", "pipe", "inherit"] });
  let out = "";
  child.stdout.on("data", (d) => (out += d));
  return { said: new Promise((done) => child.once("close", () => done(out))) };
}

const admin = await host.setup();
const calm = await tenant(admin, "calm");
let tenants = 0;
const wanted = (name) => chosen.only === undefined || chosen.only === name;
try {
  if (!chosen.json) console.log(`load ${readFileSync("/proc/loadavg", "utf8").split(" ")[0]}, ${execFileSync("nproc").toString().trim()} processors`);
  if (wanted("sign-in")) {
    await host.invite(admin, "visitor");  // not "calm": the 33rd sign-in ends the first login, and with it a connection
    let device = "";
    const signIn = async () => {
      const answer = await host.request("POST", "/api/auth/login", { cookie: device, body: { username: "visitor", password: "correct horse battery" } });
      const cookie = answer.headers["set-cookie"]?.find((c) => c.startsWith("__Host-oqto-device="));
      if (cookie) device = cookie.split(";")[0];
      return answer.status === 200;
    };
    await signIn();  // a known device from now on
    await figure("sign-in of a known device beside a siege", async (slices) => [flood("siege", host.port, ...slices)], (slices) => repeat(slices, signIn));
  }
  if (wanted("command")) {
    let n = 0;
    await figure("a command beside a log that is filled", async (slices, loud) => {
      await inside(loud, ["execs", ...slices, 4], "execs.out");
      return [flood("commands", host.port, loud.cookie, loud.session, ...slices)];
    }, (slices) => repeat(slices, async () => (await calm.mux.command("set_session_name", calm.session, { name: `n${++n}` })).success));
  }
  if (wanted("model-call")) {
    await figure("a model call beside bodies of 30 MiB", async (slices, loud) => {
      await inside(loud, ["bodies", ...slices, 8, 30 << 20], "bodies.out");
      await inside(calm, ["calls", ...slices], "calls.out");
      return [];
    }, async (slices) => {
      await sleep(slices[0] + slices[1] * slices[2] - Date.now() + 3000);
      return readFileSync(path.join(calm.directory, "calls.out"), "utf8").trim().split("\n").map((line) => {
        const [began, us, status] = line.split(" ").map(Number);
        return { at: began, ms: us / 1000, good: status === 200 };
      });
    });
  }
} finally {
  calm.mux.close();
  fast.kill();
  await host.remove();
  provider.stop();
}
