// A hostile program in a session (the attacker A of SECURITY.md). Each attack is the same program
// run twice: in a naive set-up, where it works, and inside each profile, where it must not.
#pragma once
#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <string>
#include <vector>

#include "sandbox/launch/test_session.h"

namespace oqto::sandbox {

using Words = std::vector<std::string>;
constexpr uid_t kRoot = 0;

// The attacker's program lies below /usr in the mount namespace of the test: the one place where it
// can be executed outside and inside, in every profile.
const std::string& probe();
Words probe_words(const Words& attack);

// In a plain bubblewrap without filters, with the host's files: what namespaces alone do.
std::string in_plain_bubblewrap(uid_t uid, const Words& attack);
std::string outside(uid_t uid, const Words& attack);

bool is_closed(const std::string& said);

// A name, or a System V key, that no other test on this host uses now.
std::string unique(const std::string& name);
std::string unique_key();

// What a program says first, within some seconds: "" if it ends without a word.
std::string first_byte(const Fd& io);

// A profile as a session of this test gets it: a host without cgroup controllers will do.
Policy test_policy(ipc::Profile profile);

class Attack : public ::testing::TestWithParam<ipc::Profile> {
 protected:
  void SetUp() override { begin({.policy = policy()}); }
  void begin(TestSession::Options options);
  [[nodiscard]] static Policy policy() { return test_policy(GetParam()); }
  [[nodiscard]] bool runs_own_programs() const { return policy().run_own_programs != 0; }
  std::string inside(const Words& attack) { return session->run(probe_words(attack)).output; }
  Ran inside_ran(const Words& attack) { return session->run(probe_words(attack)); }
  // Open to `control_uid` outside, and closed inside with exactly this error.
  void expect_closed(const Words& attack, const std::string& why, uid_t control_uid);
  // The same for every spelling of argument `index` that the kernel takes for the same value: bits
  // 32 to 63 set in several ways. The negative spelling must be closed too, whatever it means.
  void expect_closed_in_every_spelling(Words attack, std::size_t index, const std::string& why,
                                       uid_t control_uid);
  [[nodiscard]] uid_t agent() const { return session->uid(); }

  std::unique_ptr<TestSession> session;
};

// A program that says "holding" and stays; inside a session or outside.
class Held {
 public:
  Held(uid_t uid, const Words& attack);        // outside
  Held(TestSession& in, const Words& attack);  // inside
  ~Held();
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  [[nodiscard]] std::string pid() const { return std::to_string(pid_); }  // on the host

 private:
  pid_t pid_ = -1;
  TestSession* in_ = nullptr;
  std::uint32_t program_ = 0;
  Fd io_;
};

}  // namespace oqto::sandbox
