// Policy on a whole host: names, questions to the user, limits, refusals.
import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import { after, before, test } from "node:test";
import { build, byId, Host, Mux, openBrowser, openPage, Provider, toolOutput, toolTurns, until } from "./lib.mjs";

// Of the loopback network, so that nothing leaves this machine; the gateway is told that these may be dialled.
const network = `127.77.${1 + (process.pid % 250)}`;  // this run's alone
const allowedHost = `${network}.1`, otherHost = `${network}.2`;
const policy = `[limits]
cgroups = "optional"
open_files = 200
tmp_bytes = 4194304

[network]
mode = "filtered"
allow_domains = ["allowed.test:80"]
unknown = "prompt"

[guard]
enabled = true
paths = ["./private.txt"]
timeout_secs = 20
`;
const egress = `[egress]
allow_private = ["${network}.0/24"]
[egress.resolve]
"allowed.test" = "${allowedHost}"
"once.test" = "${otherHost}"
"elsewhere.test" = "${otherHost}"
"session.test" = "${otherHost}"
"denied.test" = "${otherHost}"
"silent.test" = "${otherHost}"
`;

let host, provider, browser, page, mux, workspace, session;
const servers = [];
const serve = (address, answer) => new Promise((done, fail) => {
  const server = http.createServer((request, response) => response.end(`${answer} for ${request.headers.host}\n`));
  server.once("error", fail);
  server.listen(80, address, () => { servers.push(server); done(); });
});

before(async () => {
  await serve(allowedHost, "allowed-answer");
  await serve(otherHost, "other-answer");
  provider = await Provider.start({ turns: [{ text: "ready" }] });
  host = await Host.start({ providerUrl: provider.url, egress, policy });
  const cookie = await host.setup("ada");
  mux = await Mux.open(host, cookie);
  workspace = await mux.workspace("sandboxed");
  session = await mux.session(workspace);
  browser = await openBrowser();
  page = await openPage(browser);
  await page.goto(host.origin);
  await byId(page, "username").fill("ada");
  await byId(page, "password").fill("correct horse battery");
  await byId(page, "login-submit").click();
  await byId(page, "session-item").first().click();
  await byId(page, "composer").waitFor();
});
after(async () => {
  await browser?.close(); mux?.close(); await host?.remove(); provider?.stop();
  for (const server of servers) server.close();
});

const bash = async (command, where = session) => {
  await provider.script({ turns: toolTurns(command) });
  return toolOutput(await mux.turn(where, "run it"));
};
/** Runs a command while its question is answered in the browser; returns the tool's output. */
const bashAsked = async (command, answer) => {
  const output = bash(command);
  const card = byId(page, "approval-card").and(page.locator(":not([data-resolved])"));
  await card.waitFor({ timeout: 20_000 });
  await answer(card);
  return output;
};
const curl = (url) => `curl -sS -m 25 -w '%{time_total}\\n' ${url} 2>&1 || echo "curl failed with $?"`;
const seconds = (output) => Number(/(\d+\.\d+)\s*$/m.exec(output)?.[1] ?? NaN);

test("the effective policy is shown for the session", async () => {
  const { policy } = await mux.ok("get_state", session);
  assert.equal(policy.network, "filtered");
  assert.deepEqual(policy.domains, ["allowed.test:80"]);
  await byId(page, "profile-badge").click();
  assert.match(await byId(page, "effective-policy").innerText(), /allowed\.test:80/);
  await page.keyboard.press("Escape");
});

test("a name that the policy allows is reached, in the chat as by the protocol", async () => {
  await provider.script({ turns: toolTurns(curl("http://allowed.test/"), "it answered") });
  await byId(page, "composer").fill("fetch it");
  await byId(page, "composer").press("Enter");
  await byId(page, "message-assistant").filter({ hasText: "it answered" }).waitFor({ timeout: 30_000 });
  assert.match(await bash(curl("http://allowed.test/")), /allowed-answer for allowed\.test/);
});

test("attack: other ports, addresses and resolvers fail at once", async () => {
  for (const [url, how] of [["http://allowed.test:8080/", /curl failed with 7/], ["http://192.0.2.7/", /curl failed with 7/],
    [`http://${otherHost}/`, /curl failed with 7/], ["http://198.18.0.2:22/", /curl failed with 7/]]) {
    const output = await bash(curl(url));
    assert.match(output, how, url);
    assert.doesNotMatch(output, /-answer/, url);
    assert.ok(seconds(output) < 2, `${url}: ${output}`);
  }
});

test("an unknown name asks the user with what is known, and Once lets it through", async () => {
  const output = await bashAsked(curl("http://once.test/"), async (card) => {
    assert.equal(await card.getAttribute("data-kind"), "host");
    assert.equal(await byId(card, "approval-what").innerText(), "once.test");
    assert.match(await byId(card, "approval-argv").innerText(), /^curl\s+-sS/);
    assert.equal(await byId(card, "approval-cwd").innerText(), "/workspace");
    assert.match(await byId(card, "approval-left").innerText(), /denied in \d+ s/);
    assert.match((await mux.ok("get_state", session)).state, /waiting/);
    await page.screenshot({ path: path.join(build, "screenshots/8-question.png") });
    await byId(card, "approval-once").click();
  });
  assert.match(output, /other-answer for once\.test/);
});

test("Deny refuses it, by keyboard too, and the program is told at once", async () => {
  const started = Date.now();
  const output = await bashAsked(curl("http://denied.test/"), async (card) => {
    await until("the focus on Deny", async () => (await page.evaluate(() => document.activeElement?.dataset?.testid)) === "approval-deny");
    await page.keyboard.press("Enter");
    await card.waitFor({ state: "detached" });
  });
  assert.match(output, /curl failed with 6/);
  assert.ok(Date.now() - started < 15_000);
  await until("the answer in the conversation", async () => /denied\.test.*Denied by you/s.test(await byId(page, "approval-card").last().innerText()));
});

test("For this session is asked once", async () => {
  const first = await bashAsked(curl("http://session.test/"), (card) => byId(card, "approval-session").click());
  assert.match(first, /other-answer/);
  const from = mux.events.length;
  assert.match(await bash(curl("http://session.test/")), /other-answer/);
  assert.ok(!mux.events.slice(from).some((e) => e.event === "agent.input_needed"));
});

test("a question that nobody answers is a no", async () => {
  const from = mux.events.length;
  const output = await bash(curl("http://silent.test/"));
  assert.match(output, /curl failed with (6|28)/);
  const asked = mux.events.slice(from).find((e) => e.event === "agent.input_needed");
  assert.ok(asked);
  await mux.event(session, "agent.input_resolved", from, 30_000);
  await until("what came of it", async () => /silent\.test.*Nobody answered within \d+ s: denied/s.test(await byId(page, "approval-card").last().innerText()));
});

test("a question reaches a page that shows something else", async () => {
  const other = await page.context().newPage();
  await other.goto(host.origin);
  await byId(other, "session-new").click();
  await byId(other, "empty-session").waitFor();
  const output = bash(curl("http://elsewhere.test/"));
  const item = byId(other, "inbox-item").filter({ visible: true });
  await item.waitFor({ timeout: 10_000 });
  assert.match(await item.innerText(), /Connect to elsewhere\.test/);
  assert.match(await other.title(), /^\(1\) /);
  await item.click();
  await byId(other, "approval-once").click();
  assert.match(await output, /other-answer for elsewhere\.test/);
  await until("by whom, on the first page", async () => /elsewhere\.test.*Allowed once by \w+ on another device/s.test(await byId(page, "approval-card").last().innerText()));
  await byId(other, "inbox").waitFor({ state: "detached" });
  await other.close();
});

test("a guarded file asks with the program, its arguments and its directory", async () => {
  const dir = path.join(host.state, "tenants/1/workspaces", workspace);
  writeFileSync(path.join(dir, "private.txt"), "the-private-text\n", { mode: 0o644 });
  const fresh = await mux.session(workspace);
  await page.reload();
  await byId(page, "session-item").first().click();
  await byId(page, "composer").waitFor();
  await provider.script({ turns: toolTurns("cat private.txt; echo; cat private.txt") });
  const turn = mux.turn(fresh, "read it");
  const card = byId(page, "approval-card").and(page.locator(":not([data-resolved])"));
  await card.waitFor({ timeout: 20_000 });
  assert.equal(await card.getAttribute("data-kind"), "file_read");
  assert.match(await byId(card, "approval-what").innerText(), /private\.txt/);
  assert.match(await byId(card, "approval-argv").innerText(), /cat\s+private\.txt/);
  assert.equal(await byId(card, "approval-cwd").innerText(), "/workspace");
  await byId(card, "approval-session").click();
  assert.match(toolOutput(await turn), /the-private-text\s+the-private-text/);
  await mux.ok("session.close", fresh);
});

test("attack: another account can neither see nor answer a question", async () => {
  const invited = await host.invite((await host.request("POST", "/api/auth/login", { body: { username: "ada", password: "correct horse battery" } })).cookie, "bob");
  const bob = await Mux.open(host, invited);
  const from = mux.events.length;
  const output = bash(curl("http://bobs-try.test/"));
  const asked = await mux.event(session, "agent.input_needed", from);
  const answer = await bob.command("input_response", session, { request_id: asked.request.request_id, value: "Once" });
  assert.equal(answer.code, "not_found");
  await mux.ok("input_response", session, { request_id: asked.request.request_id, value: "Deny" });
  assert.match(await output, /curl failed with 6/);
  assert.equal(bob.events.length, 0);
  bob.close();
});

test("every question and answer is in the log, with who answered", async () => {
  const records = await host.records();
  const asked = records.find((r) => r.event === "approval" && r.fields.host === "once.test" && r.fields.request_id);
  assert.ok(asked, "the question");
  const answer = records.find((r) => r.event === "command" && r.fields.command === "input_response" && JSON.stringify(r.fields.args).includes(asked.fields.request_id));
  assert.equal(answer.actor.username, "ada");
  assert.match(JSON.stringify(answer.fields.args), /Once/);
  assert.ok(records.some((r) => r.event === "approval" && r.fields.host === "denied.test" && r.fields.choice === "deny"), "what came of it");
  assert.ok(records.some((r) => r.event === "network" && JSON.stringify(r.fields).includes("allowed.test")), "connections");
  const start = records.find((r) => r.event === "session.start" && r.fields.policy);
  assert.match(JSON.stringify(start.fields.policy), /network=filtered/);
});

test("nothing of a sandbox stays in the workspace when its session is over", async () => {
  const clean = await mux.workspace("clean");
  const directory = path.join(host.state, "tenants/1/workspaces", clean);
  const one = await mux.session(clean);
  assert.match(await bash("git init -q . && touch made && ls -A", one), /made/);
  await mux.ok("session.close", one);
  await until("the tidying", async () => readdirSync(directory).join() === "made", 10_000);
});

test("a gateway that is killed comes back with the names and listeners of live sessions", async () => {
  const [old] = await host.pids("gateway");
  process.kill(old, "SIGKILL");
  await until("the next one", async () => (await host.pids("gateway")).some((pid) => pid !== old));
  await until("its answer", async () => /allowed-answer/.test(await bash(curl("http://allowed.test/"))), 40_000);
  const from = mux.events.length;
  const output = bash(curl("http://session.test/"));
  const asked = await mux.event(session, "agent.input_needed", from);  // what it knew by heart is gone
  await mux.ok("input_response", session, { request_id: asked.request.request_id, value: "Deny" });
  assert.match(await output, /curl failed with 6/);
});

test("the host's limits hold", async () => {
  assert.match(await bash("ulimit -n"), /^200$/m);
  assert.match(await bash("head -c 60000000 /dev/zero > /tmp/big; ls -s /tmp/big"), /No space left/);
});

test("a session's time is over when its policy says so, and its user learns why", async () => {
  const short = await mux.workspace("short");
  host.workspacePolicy(short, "[limits]\nwall_clock_s = 6\n");
  const limited = await mux.session(short);
  const closed = await mux.event(limited, "session.closed", 0, 30_000);
  assert.match(closed.reason, /wall_clock_s is 6/);
});

test("an agent can neither write nor replace its own policy", async () => {
  const output = await bash("mkdir .oqto; echo x > .oqto/sandbox.toml; mv .oqto elsewhere; ln -s /etc .oqto; cat .oqto/sandbox.toml; echo end");
  assert.match(output, /end/);
  const again = await mux.session(workspace);
  await mux.ok("session.close", again);
});

test("a policy that is refused is shown in the page with its line and the fix", async () => {
  const broken = await mux.workspace("broken");
  host.workspacePolicy(broken, "[limits]\nmax_processes = \"many\"\n");
  await page.reload();
  await byId(page, "workspace-switcher").click();
  await page.getByText("broken", { exact: true }).first().click();
  await byId(page, "session-new").click();
  await byId(page, "composer").fill("start");
  await byId(page, "composer").press("Enter");
  const card = byId(page, "error-card").first();
  await card.waitFor({ timeout: 30_000 });
  const words = await card.innerText();
  assert.match(words, /refuses to start/);
  assert.match(words, /sandbox\.toml:2/);
  assert.match(words, /max_processes = "many"/);
});

test("strict wants cgroup limits unless the host says otherwise", async () => {
  const strict = await mux.ok("session.create", "", { config: { harness: "pi", workspace_id: workspace, profile: "strict" } }, 90_000);
  assert.equal(strict.profile, "strict", "this host said that they are optional");
  await mux.ok("session.close", strict.session_id);
  const plain = await Host.start({ providerUrl: provider.url });
  try {
    const other = await Mux.open(plain, await plain.setup());
    const answer = await other.command("session.create", "", { config: { harness: "pi", workspace_id: await other.workspace(), profile: "strict" } }, 90_000);
    if (/sessions have no cgroup limits/.test(plain.log)) {
      assert.equal(answer.code, "refused");
      assert.match(answer.error, /requires cgroup limits/);
      assert.match(answer.error, /cgroups = "optional"/);
    } else {
      assert.equal(answer.data.profile, "strict");
    }
    other.close();
  } finally {
    await plain.remove();
  }
});

test("a host policy that is refused keeps the host from starting, and says where", async () => {
  await assert.rejects(Host.start({ policy: "[network]\nmode = \"sideways\"\n" }), /host-policy\.toml:2/);
});
