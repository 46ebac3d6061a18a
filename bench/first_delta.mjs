// From a prompt to the first delta of its answer: through the whole host, and of a bare Pi on its pipes, turn
// by turn in one run; idle, and with both processors busy. What is between the two is ours.
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { performance } from "node:perf_hooks";
import { Host, Mux, Provider, sleep, until } from "../tests/e2e/lib.mjs";
import { BarePi } from "./bare_pi.mjs";

const rounds = Number(process.argv[2] ?? 100);
const now = () => performance.now();
const at = (values, part) => [...values].sort((a, b) => a - b)[Math.floor(values.length * part)];

async function ourTurn(mux, session) {
  const from = mux.events.length;
  const start = now();
  const seen = new Promise((done) => { const take = mux.take.bind(mux); mux.take = (m) => { if (m.event === "stream.text_delta") { mux.take = take; done(now()); } take(m); }; });
  void mux.command("prompt", session, { message: "go" });
  const took = (await seen) - start;
  await until("idle", async () => mux.events.slice(from).some((e) => e.event === "agent.idle"));
  return took;
}

const provider = await Provider.start({ turns: [{ text: "instant answer" }] });
const host = await Host.start({ providerUrl: provider.url });
const home = mkdtempSync("/tmp/oqto-bench-");
mkdirSync(path.join(home, ".pi/agent"), { recursive: true });
chmodSync(home, 0o755);
writeFileSync(path.join(home, ".pi/agent/models.json"), JSON.stringify({ providers: { mock: { baseUrl: `${provider.url}/v1`, api: "openai-completions", apiKey: "x", models: [{ id: "mock-1", reasoning: true, contextWindow: 200000 }] } } }));
writeFileSync(path.join(home, ".pi/agent/settings.json"), JSON.stringify({ defaultProvider: "mock", defaultModel: "mock-1", enableInstallTelemetry: false, cacheWarming: "off" }));
const mux = await Mux.open(host, await host.setup());
const session = await mux.session(await mux.workspace());
await until("pi", async () => { const s = await mux.ok("get_state", session); return s.state === "idle" && s.model; });
const bare = new BarePi(home);
const burners = [];
try {
  for (const load of ["idle", "both processors busy"]) {
    if (load !== "idle") for (let i = 0; i < 2; ++i) burners.push(spawn(process.execPath, ["-e", "for(;;);"]));
    const ours = [], floor = [];
    for (let i = 0; i < rounds + 5; ++i) {
      const pair = [await bare.turn(), await ourTurn(mux, session)];
      if (i < 5) continue;  // both warm up
      floor.push(pair[0]);
      ours.push(pair[1]);
      await sleep(5);
    }
    const difference = ours.map((value, i) => value - floor[i]);
    const show = (values) => [0.1, 0.5, 0.9].map((part) => at(values, part).toFixed(1)).join(" / ");
    console.log(`${load} (load ${readFileSync("/proc/loadavg", "utf8").split(" ")[0]}), p10 / p50 / p90 ms: whole path ${show(ours)}, bare Pi ${show(floor)}, ours ${show(difference)}; ratio of medians ${(at(ours, 0.5) / at(floor, 0.5)).toFixed(2)}`);
  }
} finally {
  for (const burner of burners) burner.kill();
  await bare.end();
  mux.close();
  await host.remove();
  provider.stop();
  rmSync(home, { recursive: true, force: true });
}
