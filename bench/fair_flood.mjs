// The floods that come from outside, in a process of their own so that they do not delay whoever measures:
//   siege PORT SLICES              guesses at passwords, from ever other addresses of this machine
//   commands PORT COOKIE SESSION SLICES   commands of one tenant, each with a long name, 32 at a time
import https from "node:https";
import { Host, Mux, sleep } from "../tests/e2e/lib.mjs";

const [what, port, ...rest] = process.argv.slice(2);
const [start, each, count] = rest.slice(-3).map(Number);
const FLOODING = 2, KINDS = 3;
const over = () => Date.now() >= start + each * count;
const flooding = () => Date.now() >= start && Math.floor((Date.now() - start) / each) % KINDS === FLOODING;
let acts = 0;
async function whileFlooding(act) {
  while (!over()) { if (flooding()) { await act(); ++acts; } else await sleep(2); }
}

let guesses = 0;
function guess() {
  const n = guesses++;
  const body = JSON.stringify({ username: `nobody${n}`, password: "wrong password" });
  return new Promise((done) => {
    const request = https.request({ host: "127.0.0.1", localAddress: `127.${n % 20 + 1}.${Math.floor(n / 20) % 250}.1`, port, method: "POST", path: "/api/auth/login", agent: false, rejectUnauthorized: false, servername: "localhost",
      headers: { host: `localhost:${port}`, origin: `https://localhost:${port}`, "content-type": "application/json", "content-length": body.length } }, (answer) => { answer.resume(); answer.on("end", done); });
    request.on("error", done);
    request.end(body);
  });
}

if (what === "siege") {
  await Promise.all(Array.from({ length: 20 }, () => whileFlooding(guess)));
} else if (what === "commands") {
  const host = Object.assign(new Host(), { port: Number(port), origin: `https://localhost:${port}` });
  const mux = await Mux.open(host, rest[0]);
  const name = "x".repeat(200);
  await Promise.all(Array.from({ length: 32 }, () => whileFlooding(() => mux.command("set_session_name", rest[1], { name }).catch(() => { --acts; }))));
  mux.close();
}
console.log(acts);
process.exit(0);
