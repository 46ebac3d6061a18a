// Attacks on files: the host's, the read-only ones, those that somebody will obey later.
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "tests/attacks/attack.h"

namespace oqto::sandbox {
namespace {

namespace fs = std::filesystem;

TEST_P(Attack, OnFilesOfTheHost) {
  expect_closed({"read", "/etc/shadow"}, "ENOENT", kRoot);
  std::ofstream(session->dir() + "/beside") << "secret";
  expect_closed({"read", session->dir() + "/beside"}, "ENOENT", kRoot);
  EXPECT_EQ(inside({"read", "/proc/1/root/etc/shadow"}), "closed: EACCES\n");
  EXPECT_EQ(inside({"climb", "etc/shadow"}), "closed: ENOENT\n");
  for (const char* path : {"/root", "/home/user", "/var/lib", "/run/user", "/sys", "/boot", "/mnt",
                           "/media", "/srv", "/lost+found", "/var/run", "/oldroot", "/newroot"}) {
    EXPECT_TRUE(is_closed(inside({"list", path}))) << path;
  }
}

TEST_P(Attack, OnSecretsBelowEtc) {  // what is there is a short list, and nothing secret
  const std::set<std::string> known = {"alternatives", "group",  "hostname",      "hosts",
                                       "ld.so.cache",  "localtime", "nsswitch.conf", "passwd",
                                       "pki",          "resolv.conf", "ssl"};
  std::istringstream said(inside({"list", "/etc"}));
  for (std::string name; said >> name;) EXPECT_TRUE(known.contains(name)) << name;
  EXPECT_EQ(inside({"list", "/etc/ssl"}), "certs \n");
  for (const char* path : {"/etc/ssl/private", "/etc/pki/tls/private", "/etc/ssh", "/etc/oqto",
                           "/etc/sudoers", "/etc/environment", "/etc/machine-id", "/etc/fstab"}) {
    EXPECT_TRUE(is_closed(inside({"read", path}))) << path;
    EXPECT_TRUE(is_closed(inside({"list", path}))) << path;
  }
  EXPECT_EQ(inside({"list", "/home"}), "agent \n");
}

TEST_P(Attack, OnReadOnlyFiles) {
  EXPECT_EQ(inside({"write", "/workspace/file"}), "open\n");
  EXPECT_EQ(inside({"write", "/home/agent/file"}), "open\n");
  for (const char* path :
       {"/home/agent/.pi/agent/models.json", "/home/agent/.pi/agent/settings.json",
        "/home/agent/.pi/agent/auth.json", "/etc/passwd", "/etc/resolv.conf", "/usr/bin/true",
        "/opt/oqto/oqto-init", "/opt/pi/x", "/x", "/dev/x", "/run/x", "/var/x", "/opt/x"}) {
    EXPECT_TRUE(is_closed(inside({"write", path}))) << path;
  }
  EXPECT_EQ(inside({"replace", "/workspace/file"}), "open\n");
  EXPECT_EQ(inside({"replace", "/home/agent/.pi/agent/models.json"}), "closed: EBUSY\n");
  EXPECT_EQ(inside({"rename", "/home/agent/.pi", "/home/agent/.pi2"}).substr(0, 6), "closed");
  EXPECT_EQ(inside({"reopen", "/etc/passwd"}).substr(0, 6), "closed");
}

TEST_P(Attack, OnlyItsOwnDirectoriesAreWritable) {
  std::istringstream said(inside({"walk-writable"}));
  for (std::string path; said >> path;) {
    const bool own = path == "/workspace" || path == "/tmp" || path == "/home/agent" ||
                     path == "/dev/shm" || path.starts_with("/workspace/");
    EXPECT_TRUE(own) << path;
  }
}

TEST_P(Attack, OnDevices) {
  std::istringstream said(inside({"walk-kind", "devices"}));
  for (std::string path; said >> path;) {
    const bool harmless = path == "/dev/null" || path == "/dev/zero" || path == "/dev/full" ||
                          path == "/dev/random" || path == "/dev/urandom" || path == "/dev/tty" ||
                          path == "/dev/ptmx" || path == "/dev/console";
    EXPECT_TRUE(harmless) << path;
  }
  const std::string aside = session->dir() + "/null";
  EXPECT_EQ(outside(kRoot, {"mknod", aside}), "open\n");
  for (const char* path : {"/workspace/null", "/tmp/null", "/home/agent/null", "/dev/shm/null"}) {
    EXPECT_TRUE(is_closed(inside({"mknod", path}))) << path;
  }
}

TEST_P(Attack, OnTheKernelsSettings) {
  EXPECT_EQ(outside(kRoot, {"walk-sysctls", "/proc/sys"}), "open\n");
  EXPECT_TRUE(is_closed(inside({"walk-sysctls", "/proc/sys"})));
  for (const char* path :
       {"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/overcommit_memory",
        "/proc/sysrq-trigger", "/proc/sys/fs/binfmt_misc/register", "/proc/irq/default_smp_affinity",
        "/sys/kernel/uevent_helper", "/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/cgroup.procs",
        "/proc/self/attr/exec", "/proc/self/uid_map", "/proc/self/setgroups"}) {
    EXPECT_TRUE(is_closed(inside({"write", path}))) << path;
  }
  for (const char* path : {"/proc/kcore", "/proc/kmsg", "/proc/kallsyms.x", "/proc/kpagecount",
                           "/proc/kpageflags", "/proc/iomem.x", "/proc/slabinfo"}) {
    EXPECT_TRUE(is_closed(inside({"read", path}))) << path;
  }
}

TEST_P(Attack, ByAFilesHandle) {
  expect_closed({"handle", "/usr/bin/true"}, "EPERM", kRoot);
}

TEST_P(Attack, ByMountsThatPropagate) {
  std::istringstream mounts(inside({"mounts"}));
  for (std::string line; std::getline(mounts, line);) {
    EXPECT_EQ(line.find(" shared:"), std::string::npos) << line;
    EXPECT_EQ(line.find(" master:"), std::string::npos) << line;
    const bool system = line.find(" /usr ") != std::string::npos;
    EXPECT_TRUE(!system || line.find(" ro,") != std::string::npos) << line;
    EXPECT_NE(line.find("nosuid"), std::string::npos) << line;
  }
  // A mount that is made outside while the session runs. The naive set-up sees it.
  TestSession shared({.policy = policy()});
  ASSERT_EQ(::mount(shared.dir().c_str(), shared.dir().c_str(), nullptr, MS_BIND, nullptr), 0);
  ASSERT_EQ(::mount(nullptr, shared.dir().c_str(), nullptr, MS_SHARED, nullptr), 0);
  const std::string point = shared.workspace() + "/point";
  ASSERT_EQ(::mkdir(point.c_str(), 0755), 0);
  ASSERT_EQ(shared.start(), "");
  ASSERT_EQ(::mount("tmpfs", point.c_str(), "tmpfs", 0, nullptr), 0);
  std::ofstream(point + "/seen") << "x";
  EXPECT_EQ(outside(kRoot, {"read", point + "/seen"}), "open\n");
  EXPECT_EQ(shared.run(probe_words({"read", "/workspace/point/seen"})).output, "closed: ENOENT\n");
  EXPECT_EQ(::umount2(point.c_str(), MNT_DETACH), 0);
  EXPECT_EQ(::umount2(shared.dir().c_str(), MNT_DETACH), 0);
}

// --- what somebody obeys later -------------------------------------------------------------------

// Planting what the workspace's owner, or the next session, executes or obeys without looking.
void expect_planting_fails(TestSession& session, const std::string& there) {
  const auto run = [&](const Words& attack) { return session.run(probe_words(attack)).output; };
  for (const char* path : {"/.oqto/sandbox.toml", "/.oqto/x", "/.git/hooks/post-checkout",
                           "/.git/hooks/x", "/.git/config", "/.git/config.worktree"}) {
    EXPECT_TRUE(is_closed(run({"write", there + path}))) << path;
    EXPECT_TRUE(is_closed(run({"replace", there + path}))) << path;
    EXPECT_TRUE(is_closed(run({"remove", there + path}))) << path;
  }
  for (const char* name : {"/.oqto", "/.git", "/.git/hooks", "/.git/config"}) {
    const std::string path = there + name;
    EXPECT_TRUE(is_closed(run({"rename", path, there + "/aside"}))) << path;
    EXPECT_EQ(run({"mkdir", there + "/other"}).substr(0, 4), "open");
    EXPECT_TRUE(is_closed(run({"exchange", path, there + "/other"}))) << path;
    EXPECT_TRUE(is_closed(run({"rename", there + "/other", path}))) << path;
    EXPECT_EQ(run({"remove", there + "/other"}).substr(0, 4), "open");
  }
  EXPECT_TRUE(is_closed(run({"rename", there, there + "2"})));
}

void make_repository(const std::string& workspace, uid_t owner) {
  const std::string git = "git -c init.defaultBranch=main init -q . && git config user.name t";
  const Ran ran = run_outside(owner, {"/bin/sh", "-c",
                                      "cd " + workspace + " && HOME=" + workspace + " && export HOME && " +
                                          git + " && mkdir -p .oqto && echo 'profile = \"strict\"' > "
                                                ".oqto/sandbox.toml"});
  ASSERT_EQ(ran.exit_status, 0);
}

TEST_P(Attack, PlantingWhatIsObeyedLaterInARepository) {
  TestSession fresh({.policy = policy()});
  make_repository(fresh.workspace(), fresh.uid());
  const std::string hook = fresh.workspace() + "/.git/hooks/control";
  EXPECT_EQ(outside(fresh.uid(), {"write", hook}), "open\n");
  ASSERT_EQ(fresh.start(), "");
  expect_planting_fails(fresh, "/workspace");
}

TEST_P(Attack, PlantingWhatIsObeyedLaterWhereItDoesNotExistYet) {
  TestSession fresh({.policy = policy()});
  ASSERT_EQ(fresh.start(), "");
  // Whatever is seen inside: outside, nothing that git or Oqto would obey has come to be.
  const Words plants[] = {{"mkdir", "/workspace/.git"},         {"mkdir", "/workspace/.git/hooks"},
                          {"write", "/workspace/.git/hooks/x"}, {"write", "/workspace/.git/config"},
                          {"mkdir", "/workspace/.oqto"},        {"write", "/workspace/.oqto/sandbox.toml"}};
  for (const Words& plant : plants) (void)fresh.run(probe_words(plant));
  (void)fresh.run({"/bin/sh", "-c", "cd /workspace && git init -q . && git config core.pager evil"});
  for (const char* name : {".git/hooks/x", ".git/config", ".oqto/sandbox.toml"}) {
    const fs::path path = fresh.workspace() + "/" + name;
    std::error_code error;
    EXPECT_TRUE(!fs::exists(path, error) || fs::file_size(path, error) == 0) << name;
  }
}

TEST_P(Attack, PlantingByAHardLinkASymbolicLinkOrAnotherName) {
  TestSession fresh({.policy = policy()});
  make_repository(fresh.workspace(), fresh.uid());
  ASSERT_EQ(fresh.start(), "");
  const auto run = [&](const Words& attack) { return fresh.run(probe_words(attack)).output; };
  EXPECT_TRUE(is_closed(run({"link", "/workspace/.git/config", "/workspace/c"})));
  EXPECT_EQ(run({"symlink", "/workspace/.git/config", "/workspace/s"}), "open\n");
  EXPECT_TRUE(is_closed(run({"write", "/workspace/s"})));
  EXPECT_TRUE(is_closed(run({"write", "/workspace/./.git/../.git/config"})));
  EXPECT_TRUE(is_closed(run({"write", "/proc/self/cwd/.git/config"})));
  EXPECT_TRUE(is_closed(run({"write", "/proc/self/root/workspace/.git/config"})));
  EXPECT_TRUE(is_closed(run({"reopen", "/workspace/.git/config"})));
  EXPECT_TRUE(is_closed(run({"chmod", "/workspace/.git/config", "0777"})));
}

TEST_P(Attack, ByLeasesOnFilesThatOthersOpen) {
  const std::string file = session->workspace() + "/file";
  EXPECT_EQ(outside(agent(), {"write", file}), "open\n");
  EXPECT_EQ(outside(agent(), {"lease", file}), "open\n");
  EXPECT_EQ(inside({"lease", "/workspace/file"}), "closed: EPERM\n");
}

TEST_P(Attack, LeavesNothingBehindInTheWorkspaceAlsoWhenKilled) {
  TestSession fresh({.policy = policy()});
  std::ofstream(fresh.workspace() + "/kept") << "x";
  ASSERT_EQ(fresh.start(), "");
  EXPECT_EQ(fresh.run({"/bin/true"}).exit_status, 0);
  ASSERT_EQ(::kill(fresh.launcher(), SIGKILL), 0);
  EXPECT_TRUE(fresh.wait_gone());
  const auto left = [&] {
    Words names;
    for (const auto& entry : fs::recursive_directory_iterator(fresh.workspace())) {
      names.push_back(entry.path().filename());
    }
    return names;
  };
  for (int i = 0; i < 200 && left().size() > 1; ++i) ::usleep(10'000);
  EXPECT_EQ(left(), Words{"kept"});
}

TEST_P(Attack, ByProgramsInItsPathThatTheNextSessionWouldStart) {
  for (const char* name : {"bwrap", "oqto-init", "pi", "node", "bash", "true"}) {
    const std::string script = "mkdir -p /home/agent/.local/bin && printf '#!/bin/sh\\ntouch "
                               "/workspace/pwned\\n' > /home/agent/.local/bin/" +
                               std::string(name) + " && chmod +x /home/agent/.local/bin/" + name;
    ASSERT_EQ(session->run({"/bin/bash", "-c", script}).exit_status, 0);
  }
  ASSERT_EQ(session->run({"/bin/bash", "-c", "cd && ln -sf .local/bin bin && cp -r .local /workspace/"})
                .exit_status,
            0);
  TestSession next({.policy = policy(), .share_home_of = session->home(), .uid = agent()});
  ASSERT_EQ(next.start(), "");
  EXPECT_EQ(next.run({"/bin/bash", "-c", "true; /usr/bin/env true; type -P true"}).output,
            "/usr/bin/true\n");
  EXPECT_FALSE(fs::exists(next.workspace() + "/pwned"));
  if (runs_own_programs()) {  // the control: with that directory first it works
    (void)next.run({"/bin/bash", "-c", "PATH=$HOME/.local/bin:$PATH; /usr/bin/env true"});
    EXPECT_TRUE(fs::exists(next.workspace() + "/pwned"));
  }
}

TEST_P(Attack, ByLinksInTheHomeThatTheNextStartWouldWriteThrough) {
  const std::string victim = session->dir() + "/victim";
  ASSERT_TRUE(fs::create_directory(victim));
  ASSERT_EQ(::chown(victim.c_str(), agent(), agent()), 0);
  std::ofstream(victim + "/models.json") << "untouched";
  ASSERT_EQ(::chown((victim + "/models.json").c_str(), agent(), agent()), 0);
  for (const char* link : {"/.pi", "/.pi/agent", "/.pi/agent/models.json", "/.cache", "/.git"}) {
    TestSession next({.policy = policy(), .uid = agent()});
    fs::create_directories(fs::path(next.home() + link).parent_path());
    for (auto dir = fs::path(next.home() + link).parent_path(); dir != fs::path(next.home());
         dir = dir.parent_path()) {
      ASSERT_EQ(::chown(dir.c_str(), agent(), agent()), 0);
    }
    const bool file = std::string(link).ends_with(".json");
    fs::create_symlink(file ? victim + "/models.json" : victim, next.home() + link);
    // The naive start writes through it.
    EXPECT_EQ(outside(agent(), {"write", next.home() + link + (file ? "" : "/control")}), "open\n");
    fs::remove(victim + "/control");
    EXPECT_EQ(next.start(), "") << link;
    Words names;
    for (const auto& entry : fs::directory_iterator(victim)) names.push_back(entry.path().filename());
    EXPECT_EQ(names, Words{"models.json"}) << link;
    std::ifstream read(victim + "/models.json");
    std::string content;
    read >> content;
    EXPECT_EQ(content, "untouched") << link;
  }
}

}  // namespace
}  // namespace oqto::sandbox
