// What `oqtoctl status` says of a host that is not ready, or will not be.
#include <nlohmann/json.hpp>

#include "cli/test_guard.h"

namespace oqto::cli {
namespace {

void send_host(ipc::Channel& channel, const std::vector<ipc::CtlTrouble>& troubles) {
  for (const auto which : {ipc::Process::guard, ipc::Process::auditd, ipc::Process::audit_signer,
                           ipc::Process::accounts, ipc::Process::relay, ipc::Process::gateway,
                           ipc::Process::auditor}) {
    ipc::CtlProcess row;
    row.process = which;
    row.health = ipc::Health::ready;
    row.pid = which == ipc::Process::auditd ? 4711 : 12;
    (void)channel.send(row);
  }
  for (const auto& trouble : troubles) (void)channel.send(trouble);
  (void)channel.send(ipc::CtlEnd{.ok = 1, .why = ""});
}

Ran status_of(const std::vector<ipc::CtlTrouble>& troubles, std::vector<std::string> more = {}) {
  FakeGuard guard;
  guard.listen(
      [&troubles](ipc::Channel& channel, const ipc::CtlRequest&) { send_host(channel, troubles); });
  std::vector<std::string> arguments{"status", "--state", guard.state()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return oqtoctl(arguments);
}

TEST(Readiness, EachTroubleSaysWhatToDoNextAndTheExitStatusIsOne) {
  const Ran ran =
      status_of({{1, "certificate", "it expires at 2026-12-01T00:00:00.000Z"},
                 {0, "auditd", "it does not answer"},
                 {0, "disk", "97 % of the room of the state directory's file system is used"}});
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(ran.out.find("\nNot ready: auditd, disk.\n"
                         "  auditd: it does not answer\n    do: `kill -9 4711`, that is auditd: "),
            std::string::npos)
      << ran.out;
  EXPECT_NE(ran.out.find("  disk: 97 % of the room of the state directory's file system is used\n  "
                         "  do: make room"),
            std::string::npos)
      << ran.out;
  EXPECT_NE(
      ran.out.find("Warnings:\n  certificate: it expires at 2026-12-01T00:00:00.000Z\n    do: "),
      std::string::npos)
      << ran.out;
  EXPECT_EQ(ran.out.find("The host is ready"), std::string::npos);
}

TEST(Readiness, ASilentSignerIsWhatIsToBeKilled) {
  const Ran ran = status_of({{0, "auditd", "the audit signer does not answer"}});
  EXPECT_NE(
      ran.out.find(
          "  auditd: the audit signer does not answer\n    do: `kill -9 12`, that is signer: "),
      std::string::npos)
      << ran.out;
}

TEST(Readiness, AttackATenantsPartThatSpeaksOfTheSignerDoesNotHaveItKilled) {
  const Ran ran = status_of({{1, "hstry", "of account 7: the audit signer does not answer"}});
  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(ran.out.find("kill -9"), std::string::npos) << ran.out;
}

TEST(Readiness, AWarningAloneIsReady) {
  const Ran ran =
      status_of({{1, "disk", "81 % of the room of the state directory's file system is used"}});
  EXPECT_EQ(ran.status, 0);
  EXPECT_NE(ran.out.find("\nThe host is ready.\nWarnings:\n  disk: 81 %"), std::string::npos)
      << ran.out;
}

TEST(Readiness, JsonHasPartWhatAndFix) {
  const Ran ran = status_of({{0, "accounts", "the accounts database failed"},
                             {1, "hstry", "of account 7: disk I/O error"}},
                            {"--json"});
  EXPECT_EQ(ran.status, 1);
  const auto json = nlohmann::json::parse(ran.out);
  EXPECT_EQ(json["ready"], false);
  EXPECT_EQ(json["not_ready"], nlohmann::json({"accounts"}));
  ASSERT_EQ(json["degraded"].size(), 1U);
  EXPECT_EQ(json["degraded"][0]["part"], "accounts");
  EXPECT_EQ(json["degraded"][0]["what"], "the accounts database failed");
  EXPECT_NE(json["degraded"][0]["fix"], "");
  ASSERT_EQ(json["warnings"].size(), 1U);
  EXPECT_EQ(json["warnings"][0]["part"], "hstry");
  const auto ready = nlohmann::json::parse(status_of({}, {"--json"}).out);
  EXPECT_EQ(ready["ready"], true);
  EXPECT_EQ(ready["degraded"], nlohmann::json::array());
  EXPECT_EQ(ready["warnings"], nlohmann::json::array());
}

TEST(Readiness, WaitsForTheTroubleToEnd) {
  FakeGuard guard;
  std::atomic<int> asked = 0;
  guard.listen([&asked](ipc::Channel& channel, const ipc::CtlRequest&) {
    send_host(channel, ++asked < 3 ? std::vector<ipc::CtlTrouble>{{0, "disk", "full"}}
                                   : std::vector<ipc::CtlTrouble>{});
  });
  const Ran ran = oqtoctl({"status", "--wait", "30", "--state", guard.state()});
  EXPECT_EQ(ran.status, 0) << ran.out;
  EXPECT_EQ(asked, 3);
}

TEST(Readiness, AttackWhatATenantsPartSaysDoesNotSteerTheTerminal) {
  const Ran ran = status_of({{1, "hstry", "of account 7: \x1b[2J\nNot ready: relay."}});
  EXPECT_EQ(ran.status, 0);
  EXPECT_NE(ran.out.find("hstry: of account 7: ?[2J?Not ready: relay.\n"), std::string::npos)
      << ran.out;
}

}  // namespace
}  // namespace oqto::cli
