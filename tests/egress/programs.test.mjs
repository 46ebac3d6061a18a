// Real programs in a filtered network: what is allowed works without their help, everything else fails
// at once. The hosts are this test's, in a network of its own. Needs root, for that network alone: the
// programs, and oqto-egress, run as a plain user.
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const build = process.env.OQTO_BUILD ?? path.resolve(here, "../../build");
const world = path.join(build, "tests/egress_test_world");
const names = ["good.test", "git.test", "registry.test", "pypi.test", "evil.test", "a.wild.test"];
const user = 65533;
const plain = { PATH: "/usr/local/bin:/usr/bin:/bin", LANG: "C.UTF-8" };
let dir, net, servers;

const make = (...argv) => execFileSync(argv[0], argv.slice(1), { cwd: dir, stdio: ["ignore", "pipe", "pipe"] });
const installed = (program) => spawnSync("sh", ["-c", `command -v ${program}`], { env: plain }).status === 0;

function certificates() {
  writeFileSync(path.join(dir, "names"), "subjectAltName=" + names.map((n) => `DNS:${n}`).join(",") + "\n");
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  make("openssl", "req", "-x509", ...key, "-days", "2", "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem");
  make("openssl", "req", ...key, "-subj", "/CN=good.test", "-keyout", "key.pem", "-out", "cert.csr");
  make("openssl", "x509", "-req", "-in", "cert.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
    "-days", "2", "-extfile", "names", "-out", "cert.pem");
}

const put = (file, content) => {
  const target = path.join(dir, "www", file);
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, content);
};

function pages() {
  for (const name of names) put(`${name}/index.html`, `hello from ${name}\n`);
  const source = path.join(dir, "source");
  make("git", "init", "-q", "-b", "main", source);
  writeFileSync(path.join(source, "file"), "content\n");
  make("git", "-C", source, "add", "file");
  make("git", "-C", source, "-c", "user.name=t", "-c", "user.email=t@good.test", "commit", "-q", "-m", "one");
  for (const name of ["git.test", "evil.test"]) {
    const bare = path.join(dir, "www", name, "repo.git");
    make("git", "clone", "-q", "--bare", source, bare);
    make("git", "-C", bare, "update-server-info");
  }
  const packed = path.join(dir, "package");
  mkdirSync(packed);
  writeFileSync(path.join(packed, "package.json"), '{"name":"left","version":"1.0.0"}');
  make("tar", "-czf", "left.tgz", "package");
  const tarball = readFileSync(path.join(dir, "left.tgz"));
  put("registry.test/left/-/left-1.0.0.tgz", tarball);
  const dist = { tarball: "https://registry.test/left/-/left-1.0.0.tgz", shasum: createHash("sha1").update(tarball).digest("hex") };
  put("registry.test/left/index.html", JSON.stringify({
    name: "left", "dist-tags": { latest: "1.0.0" }, versions: { "1.0.0": { name: "left", version: "1.0.0", dist } } }));
  const wheel = `import zipfile; z = zipfile.ZipFile("tiny-1.0-py3-none-any.whl", "w")
for name, text in (("tiny.py", "x = 1"), ("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n"),
    ("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"),
    ("tiny-1.0.dist-info/RECORD", "")): z.writestr(name, text)`;
  make("python3", "-c", wheel);
  put("pypi.test/files/tiny-1.0-py3-none-any.whl", readFileSync(path.join(dir, "tiny-1.0-py3-none-any.whl")));
  put("pypi.test/simple/tiny/index.html", '<a href="/files/tiny-1.0-py3-none-any.whl">tiny-1.0-py3-none-any.whl</a>');
}

// Linked statically, knows nothing of proxies: name, port, what to say; prints the answer.
const staticSource = `#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char** argv) {
  struct addrinfo* found;
  char text[4096];
  if (argc != 3 || getaddrinfo(argv[1], argv[2], NULL, &found) != 0) return 6;
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, found->ai_addr, found->ai_addrlen) != 0) return 7;
  const int size = snprintf(text, sizeof text, "GET / HTTP/1.0\\r\\nHost: %s\\r\\n\\r\\n", argv[1]);
  if (write(fd, text, (unsigned)size) != size) return 8;
  for (ssize_t n; (n = read(fd, text, sizeof text)) > 0;) fwrite(text, 1, (unsigned)n, stdout);
  return 0;
}`;

before(async () => {
  dir = mkdtempSync("/tmp/oqto-egress-");
  chmodSync(dir, 0o755);
  certificates();
  pages();
  writeFileSync(path.join(dir, "static.c"), staticSource);
  make("gcc", "-static", "-O1", "-w", "-o", "static", "static.c");
  mkdirSync(path.join(dir, "home"));
  make("chown", String(user), path.join(dir, "home"));
  net = spawn("unshare", ["--net", "sh", "-c", "ip link set lo up && echo up && exec sleep 300"], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((up) => net.stdout.once("data", up));
  servers = spawn("nsenter", ["-t", String(net.pid), "-n", process.execPath, path.join(here, "servers.mjs"), dir],
    { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((ready) => servers.stdout.once("data", ready));
});
after(() => {
  servers?.kill();
  net?.kill("SIGKILL");
  if (dir) rmSync(dir, { recursive: true, force: true });
});

// Runs it with these rules; every name leads to the test's hosts, whatever the rules say.
function inside(argv, { rules = ["good.test", "git.test", "registry.test", "pypi.test", "*.wild.test"], env = {} } = {}) {
  const options = rules.flatMap((rule) => [80, 443].flatMap((port) => ["--rule", `${rule}:${port}`]));
  for (const name of names) options.push("--resolve", `${name}=127.0.0.2`);
  const ca = path.join(dir, "ca.pem");
  const result = spawnSync("nsenter", ["-t", String(net.pid), "-n", world, "--allow-private", "127.0.0.2/32", ...options, "--", ...argv], {
    encoding: "utf8", timeout: 60_000, cwd: path.join(dir, "home"),
    env: { ...plain, HOME: path.join(dir, "home"), SSL_CERT_FILE: ca, NODE_EXTRA_CA_CERTS: ca, GIT_SSL_CAINFO: ca, CURL_CA_BUNDLE: ca,
      GIT_TERMINAL_PROMPT: "0", ...env },
  });
  assert.equal(result.error, undefined, "it neither works nor fails");
  return result;
}
const visits = () => (existsSync(path.join(dir, "visits")) ? readFileSync(path.join(dir, "visits"), "utf8") : "");
const works = (result, pattern) => {
  assert.equal(result.status, 0, result.stderr);
  if (pattern) assert.match(result.stdout, pattern);
};
const fails = (result, status, pattern) => {
  assert.equal(result.status, status, `${result.stdout}${result.stderr}`);
  if (pattern) assert.match(result.stderr + result.stdout, pattern);
  assert.doesNotMatch(visits(), /^evil\.test /m, "nothing reached the host");
};

test("curl over http and https reaches the allowed host, and no other", () => {
  works(inside(["curl", "-sS", "http://good.test/"]), /hello from good/);
  works(inside(["curl", "-sS", "https://good.test/"]), /hello from good/);
  works(inside(["curl", "-sS", "--http2", "https://a.wild.test/"]), /hello from a\.wild/);
  fails(inside(["curl", "-sS", "http://evil.test/"]), 6);
  fails(inside(["curl", "-sS", "https://evil.test/"]), 6);
  fails(inside(["curl", "-sS", "https://good.test:8443/"]), 7);
  fails(inside(["curl", "-sS", "-6", "https://good.test/"]), 7);
});

test("curl cannot reach another host through the allowed one's address", () => {
  fails(inside(["curl", "-sS", "--connect-to", "evil.test:443:good.test:443", "https://evil.test/"]), 35, /unrecognized name/);
  fails(inside(["curl", "-sS", "-H", "Host: evil.test", "http://good.test/", "-w", "%{http_code}"]), 0, /403$/);
  fails(inside(["curl", "-sS", "--connect-to", "evil.test:443:127.0.0.2:443", "https://evil.test/"]), 7);
  fails(inside(["curl", "-sS", "--connect-to", "evil.test:443:93.184.216.34:443", "https://evil.test/"]), 7);
});

test("the same programs reach the other host when a rule says so: the rule is what decides", () => {
  const rules = ["evil.test"];
  works(inside(["curl", "-sS", "https://evil.test/"], { rules }), /hello from evil/);
  works(inside(["./../static", "evil.test", "80"], { rules }), /hello from evil/);
  rmSync(path.join(dir, "visits"));
});

test("git clones over https", () => {
  works(inside(["git", "clone", "-q", "https://git.test/repo.git", "cloned"]));
  assert.equal(readFileSync(path.join(dir, "home/cloned/file"), "utf8"), "content\n");
  fails(inside(["git", "clone", "-q", "https://evil.test/repo.git", "stolen"]), 128, /Could not resolve host/);
});

test("npm views and installs", () => {
  const npm = (...args) => ["npm", "--registry", "https://registry.test/", "--cafile", path.join(dir, "ca.pem"), "--fetch-retries", "0",
    "--no-audit", "--no-fund", "--no-update-notifier", ...args];
  works(inside(npm("view", "left", "version")), /1\.0\.0/);
  works(inside(npm("install", "--prefix", "project", "left")));
  assert.ok(existsSync(path.join(dir, "home/project/node_modules/left/package.json")));
  fails(inside([...npm("view", "left"), "--registry", "https://evil.test/"]), 1, /ENOTFOUND/);
});

test("pip installs", { skip: !installed("pip") && "pip is not installed" }, () => {
  const pip = (index) => ["pip", "install", "--disable-pip-version-check", "--retries", "0", "--no-cache-dir", "--target", "site",
    "--cert", path.join(dir, "ca.pem"), "--index-url", `https://${index}/simple/`, "tiny"];
  works(inside(pip("pypi.test")));
  assert.ok(existsSync(path.join(dir, "home/site/tiny.py")));
  fails(inside(pip("evil.test")), 1);
});

test("python's urllib and node's fetch", () => {
  const python = (url) => ["python3", "-c", `import urllib.request as u; print(u.urlopen("${url}").read().decode())`];
  works(inside(python("https://good.test/")), /hello from good/);
  fails(inside(python("https://evil.test/")), 1, /Name or service not known/);
  const node = (url) => ["node", "-e", `fetch("${url}").then((r) => r.text()).then(console.log, (e) => { console.error(e.cause.code); process.exit(1); })`];
  works(inside(node("https://good.test/")), /hello from good/);
  fails(inside(node("https://evil.test/")), 1, /ENOTFOUND/);
});

test("a lookup for IPv4 alone that asks whether the machine has any", () => {
  works(inside(["getent", "ahostsv4", "good.test"]), /^198\.1[89]\./);
  fails(inside(["getent", "ahostsv4", "evil.test"]), 2);
});

test("go", { skip: !installed("go") && "go is not installed" }, () => {
  const source = path.join(dir, "main.go");
  writeFileSync(source, `package main
import ("fmt"; "io"; "net/http"; "os")
func main() { r, err := http.Get(os.Args[1]); if err != nil { fmt.Println(err); os.Exit(1) }; io.Copy(os.Stdout, r.Body) }`);
  execFileSync("go", ["build", "-o", path.join(dir, "gone"), source], { env: { ...process.env, CGO_ENABLED: "0" } });
  works(inside([path.join(dir, "gone"), "https://good.test/"]), /hello from good/);
  fails(inside([path.join(dir, "gone"), "https://evil.test/"]), 1, /no such host/);
});

test("a static program, and programs that do not care for proxy variables", () => {
  const env = { http_proxy: "http://127.0.0.1:9", HTTPS_PROXY: "http://127.0.0.1:9", ALL_PROXY: "socks5://127.0.0.1:9" };
  works(inside(["./../static", "good.test", "80"], { env }), /hello from good/);
  fails(inside(["./../static", "evil.test", "80"], { env }), 6);
  fails(inside(["./../static", "127.0.0.2", "80"], { env }), 7);
  const shell = (host) => ["bash", "-c", `exec 3<>/dev/tcp/${host}/80 && printf 'GET / HTTP/1.0\\r\\nHost: ${host}\\r\\n\\r\\n' >&3 && cat <&3`];
  works(inside(shell("good.test"), { env }), /hello from good/);
  fails(inside(shell("evil.test"), { env }), 1, /Name or service not known|resolve/);
});
