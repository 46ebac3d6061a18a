// Compilers, runtimes and package managers.
#include <sys/mount.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/compat/compat.h"

namespace oqto::sandbox {
namespace {

namespace fs = std::filesystem;

TEST_F(Works, GccWithThreadsAndExceptions) {
  NEEDS(possible::with_program("g++"));
  std::ofstream(session->workspace() + "/a.cc")
      << "#include <cstdio>\n#include <stdexcept>\n#include <thread>\n"
         "int main() { try { throw std::runtime_error(\"caught\"); }\n"
         "catch (const std::exception& e) { std::thread([&] { std::puts(e.what()); }).join(); } }\n";
  expect_says("g++ -O1 -pthread -o a a.cc && ./a", "caught\n");
}

TEST_F(Works, CmakeWithATest) {
  NEEDS(possible::with_program("cmake"));
  NEEDS(possible::with_program("ninja"));
  std::ofstream(session->workspace() + "/main.c") << "int main(void) { return 0; }\n";
  std::ofstream(session->workspace() + "/CMakeLists.txt")
      << "cmake_minimum_required(VERSION 3.20)\nproject(p C)\nadd_executable(p main.c)\n"
         "enable_testing()\nadd_test(NAME t COMMAND p)\n";
  expect_says("cmake -G Ninja -S . -B out >log 2>&1 && cmake --build out -j2 >>log 2>&1 && "
              "ctest --test-dir out >>log 2>&1 && echo built || cat log",
              "built\n");
}

// npm with a registry of its own on loopback: a package that is packed, served and installed.
TEST_F(Works, NpmInstallsFromALockFile) {
  NEEDS(possible::with_program("npm"));
  NEEDS(possible::with_program("node"));
  std::ofstream(session->workspace() + "/registry.js") << R"(
    const fs = require('fs'), http = require('http'), crypto = require('crypto');
    const tar = fs.readFileSync('/workspace/dep-1.0.0.tgz');
    const integrity = 'sha512-' + crypto.createHash('sha512').update(tar).digest('base64');
    http.createServer((q, r) => q.url.endsWith('.tgz') ? r.end(tar) : r.end(JSON.stringify({name: 'dep',
      'dist-tags': {latest: '1.0.0'}, versions: {'1.0.0': {name: 'dep', version: '1.0.0',
      hasInstallScript: true, scripts: {install: 'node made.js'}, dist: {integrity, tarball: 'http://127.0.0.1:8125/dep/-/dep-1.0.0.tgz'}}}})))
      .listen(8125, '127.0.0.1', () => fs.writeFileSync('/workspace/listening', ''));)";
  const Ran ran = script(R"(
    mkdir dep app; cd dep
    echo '{"name":"dep","version":"1.0.0","main":"i.js","scripts":{"install":"node made.js"}}' > package.json
    echo 'module.exports = "from the registry"' > i.js
    echo 'require("fs").writeFileSync("built", "")' > made.js
    npm pack --silent --pack-destination .. >/dev/null; cd ..
    node registry.js & trap 'kill %1' EXIT; while [ ! -e listening ]; do sleep 0.05; done
    cd app; echo '{"name":"app","version":"1.0.0","dependencies":{"dep":"1.0.0"}}' > package.json
    export npm_config_registry=http://127.0.0.1:8125/ npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false
    npm install --silent --package-lock-only; rm -rf node_modules; npm ci --silent
    node -p 'require("dep")'; ls node_modules/dep/built)");
  EXPECT_EQ(ran.output, "from the registry\nnode_modules/dep/built\n");
}

TEST_F(Works, NodeWorkersTimersAndChildren) {
  NEEDS(possible::with_program("node"));
  std::ofstream(session->workspace() + "/w.js") << R"(
    const crypto = require('crypto'), {Worker, isMainThread, parentPort} = require('worker_threads');
    if (!isMainThread) { parentPort.postMessage(crypto.randomUUID().length); return; }
    let left = 4, sum = 0;
    for (let i = 0; i < 4; ++i) new Worker(__filename).on('message', (n) => { sum += n; if (--left == 0)
      require('child_process').execFile('/bin/echo', ['children work', sum], (e, out) => {
        process.stdout.write(out); require('fs').watch('.').close(); setTimeout(() => console.log('done'), 5); }); });)";
  expect_says("node w.js", "children work 144\ndone\n");
}

TEST_F(Works, PythonVirtualEnvironmentAndAsyncio) {
  NEEDS(possible::with_program("python3"));
  expect_says(R"(python3 - <<'END'
import asyncio, subprocess, multiprocessing
async def main():
    async def serve(r, w):
        w.write((await r.readline()).upper()); await w.drain(); w.close()
    server = await asyncio.start_server(serve, '127.0.0.1', 8126)
    r, w = await asyncio.open_connection('127.0.0.1', 8126)
    w.write(b'asyncio\n'); print((await r.readline()).decode().strip())
    p = await asyncio.create_subprocess_exec('/bin/echo', 'child', stdout=subprocess.PIPE)
    print((await p.communicate())[0].decode().strip())
    server.close()
asyncio.run(main())
with multiprocessing.Pool(2) as pool: print(sum(pool.map(abs, range(-10, 0))))
END)",
              "ASYNCIO\nchild\n55\n");
  if (!fs::exists("/usr/lib/python3/dist-packages/ensurepip") &&
      run_outside(session->uid(), {"/usr/bin/python3", "-c", "import ensurepip"}).exit_status != 0) {
    std::printf("python3-venv is not installed on this machine: without pip\n");
    expect_says("python3 -m venv --without-pip v && v/bin/python -c 'import sys; "
                "print(sys.prefix)'",
                "/workspace/v\n");
    return;
  }
  expect_says("python3 -m venv v && v/bin/python -c 'import sys; print(sys.prefix)' && "
              "v/bin/pip --version | cut -d' ' -f1",
              "/workspace/v\npip\n");
}

// A toolchain in somebody's home, which a policy grants. Where /usr has one, that is used.
TEST_F(Works, Cargo) {
  std::string setup;
  if (!fs::exists("/usr/bin/cargo")) {
    const char* home = std::getenv("HOME");
    const fs::path cargo = fs::path(home == nullptr ? "/root" : home) / ".cargo";
    const fs::path rustup = cargo.parent_path() / ".rustup";
    if (!fs::exists(cargo / "bin/cargo") || !fs::exists(rustup / "toolchains")) {
      std::printf("cargo is not installed on this machine: nothing was tried\n");
      return;
    }
    fs::path toolchain;
    for (const auto& entry : fs::directory_iterator(rustup / "toolchains")) toolchain = entry.path();
    // A session's uid cannot pass through root's home, so it lies elsewhere for this test's
    // processes, whose mounts are private.
    (void)built("tests");
    ASSERT_EQ(::mount(toolchain.c_str(), "/srv", nullptr, MS_BIND, nullptr), 0);
    setup = "export PATH=/srv/bin:$PATH CARGO_HOME=/workspace/.cargo\n";
    Policy policy = profile_policy(ipc::Profile::development);
    policy.allow_read.values = {"/srv"};
    begin(policy);
  }
  const Ran ran = script(setup + "cargo new --quiet --vcs none hello 2>&1 && cd hello && "
                                 "cargo run --quiet --offline");
  EXPECT_EQ(ran.output, "Hello, world!\n");
}

TEST_F(Works, Go) {
  NEEDS(possible::with_program("go"));
  std::ofstream(session->workspace() + "/m.go")
      << "package main\nimport (\"fmt\"; \"net\"; \"sync\")\nfunc main() {\n"
         "  l, _ := net.Listen(\"tcp\", \"127.0.0.1:0\"); var w sync.WaitGroup; w.Add(1)\n"
         "  go func() { c, _ := l.Accept(); fmt.Fprintln(c, \"go\"); c.Close(); w.Done() }()\n"
         "  c, _ := net.Dial(\"tcp\", l.Addr().String()); var s string; fmt.Fscanln(c, &s)\n"
         "  w.Wait(); fmt.Println(s) }\n";
  expect_says("GOFLAGS=-mod=mod GOCACHE=/tmp/go go run m.go", "go\n");
}

}  // namespace
}  // namespace oqto::sandbox
