#include "cli/test_guard.h"

namespace oqto::cli {
namespace {

ipc::CtlProcess process(ipc::Process which, ipc::Health health = ipc::Health::ready) {
  ipc::CtlProcess row;
  row.process = which;
  row.health = health;
  row.pid = 4711;
  row.uid = 900;
  row.started_at_ms = 1'772'357'400'000;  // 2026-03-01T09:30:00Z
  return row;
}

void send_core(ipc::Channel& channel, ipc::Health gateway = ipc::Health::ready) {
  for (const auto which : {ipc::Process::guard, ipc::Process::auditd, ipc::Process::audit_signer,
                           ipc::Process::accounts, ipc::Process::relay, ipc::Process::auditor}) {
    ASSERT_TRUE(channel.send(process(which)));
  }
  ASSERT_TRUE(channel.send(process(ipc::Process::gateway, gateway)));
}

TEST(Status, SaysWhetherTenantsAreHeldToTheirShareOfTheDisk) {
  for (const auto limits : {ipc::DiskLimits::none, ipc::DiskLimits::file_system, ipc::DiskLimits::image}) {
    FakeGuard guard;
    guard.listen([&](ipc::Channel& channel, const ipc::CtlRequest&) {
      send_core(channel);
      (void)channel.send(ipc::CtlStorage{.limits = limits, .tenant_bytes = 3ULL << 30, .tenant_files = 5000,
                                         .promised_bytes = 9ULL << 30, .tenants_bytes = 8ULL << 30,
                                         .tenants_free = 1ULL << 30, .state_bytes = 10ULL << 30, .state_free = 1ULL << 30});
      ipc::CtlTenant tenant;
      tenant.account = 7;
      tenant.disk_bytes = 2900ULL << 20;
      tenant.disk_limit = 3ULL << 30;
      (void)channel.send(tenant);
      (void)channel.send(ipc::CtlEnd{.ok = 1, .why = ""});
    });
    const Ran ran = oqtoctl({"status", "--state", guard.state()});
    const bool is_limited = limits != ipc::DiskLimits::none;
    EXPECT_EQ(ran.out.find("NOT limited") == std::string::npos, is_limited) << ran.out;
    EXPECT_EQ(ran.out.find("at most 3072 MiB and 5000 files") != std::string::npos, is_limited) << ran.out;
    EXPECT_EQ(ran.out.find("more than there is") != std::string::npos, is_limited) << ran.out;
    EXPECT_NE(ran.out.find("2900 of 3072 (!)"), std::string::npos) << ran.out;
    EXPECT_NE(ran.out.find("1024 MiB free of 10240 MiB (!)"), std::string::npos) << ran.out;
    const Ran json = oqtoctl({"status", "--json", "--state", guard.state()});
    EXPECT_NE(json.out.find(limits == ipc::DiskLimits::none ? R"("limits": "none")" : R"("limits": ")"), std::string::npos) << json.out;
    EXPECT_NE(json.out.find("\"disk_limit_bytes\": 3221225472"), std::string::npos) << json.out;
  }
}

TEST(Status, ShowsProcessesTenantsAndSessionsInColumns) {
  FakeGuard guard;
  guard.listen([](ipc::Channel& channel, const ipc::CtlRequest& request) {
    EXPECT_EQ(request.verb, ipc::CtlVerb::status);
    send_core(channel);
    ipc::CtlTenant tenant;
    tenant.account = 7;
    tenant.username = "ann\x1b[2J";
    (void)channel.send(tenant);
    ipc::CtlSession session;
    session.account = 7;
    session.session = *Uuid::parse("11111111-2222-4333-8444-555555555555");
    session.health = ipc::Health::ready;
    session.memory_bytes = 64ULL << 20;
    session.memory_limit = 128ULL << 20;
    session.cpu_pressure = 1234;
    (void)channel.send(session);
    (void)channel.send(ipc::CtlEnd{.ok = 1, .why = ""});
  });
  const Ran ran = oqtoctl({"status", "--state", guard.state()}, "XST-1");
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_NE(ran.out.find("PROCESS   ACCOUNT  HEALTH  PID   UID  RESTARTS  SINCE\n"
                         "guard     -        ready   4711  900  0         "
                         "2026-03-01T10:30:00+01:00\n"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("ann?[2J"), std::string::npos) << "a name must not steer the terminal";
  EXPECT_NE(ran.out.find("oqto-11111111-2222-4333-8444-555555555555  7"), std::string::npos);
  EXPECT_NE(ran.out.find("64 of 128"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("12.3 %"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("The host is ready."), std::string::npos);

  const Ran json = oqtoctl({"status", "--json", "--state=" + guard.state()});
  EXPECT_EQ(json.status, 0);
  EXPECT_NE(json.out.find("\"ready\": true"), std::string::npos);
  EXPECT_NE(json.out.find("\"session_id\": \"oqto-11111111-2222-4333-8444-555555555555\""),
            std::string::npos);
  EXPECT_NE(json.out.find("\"memory_limit_bytes\": 134217728"), std::string::npos) << json.out;
  EXPECT_NE(json.out.find("\"cpu\": 12.34"), std::string::npos) << json.out;
}

TEST(Status, SaysWhatIsNotReadyAndExitsOne) {
  FakeGuard guard;
  guard.listen([](ipc::Channel& channel, const ipc::CtlRequest&) {
    send_core(channel, ipc::Health::restarting);
    (void)channel.send(ipc::CtlEnd{.ok = 1, .why = ""});
  });
  const Ran ran = oqtoctl({"status", "--state", guard.state()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(ran.out.find("Not ready: gateway."), std::string::npos) << ran.out;
}

TEST(Status, WaitsUntilEveryCoreProcessIsReady) {
  FakeGuard guard;
  std::atomic<int> asked = 0;
  guard.listen([&asked](ipc::Channel& channel, const ipc::CtlRequest&) {
    if (++asked > 1) send_core(channel, asked > 2 ? ipc::Health::ready : ipc::Health::starting);
    (void)channel.send(ipc::CtlEnd{.ok = 1, .why = ""});
  });
  const Ran ran = oqtoctl({"status", "--wait", "30", "--state", guard.state()});
  EXPECT_EQ(ran.status, 0) << ran.out << ran.err;
  EXPECT_EQ(asked, 3);
}

TEST(Status, WithoutAHostSaysHowToStartOne) {
  FakeGuard guard;  // does not listen
  for (const std::string& state : {guard.state(), std::string("/nonexistent/state")}) {
    const Ran ran = oqtoctl({"status", "--state", state});
    EXPECT_EQ(ran.status, 1);
    EXPECT_EQ(ran.out, "");
    EXPECT_NE(ran.err.find("no host is running in " + state + ": start it with `./run --state"),
              std::string::npos) << ran.err;
  }
}

TEST(Status, GuardThatHangsUpIsAClearError) {
  FakeGuard guard;
  guard.listen([](ipc::Channel& channel, const ipc::CtlRequest&) { channel = ipc::Channel(); });
  const Ran ran = oqtoctl({"status", "--state", guard.state()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(ran.err.find("closed the connection"), std::string::npos) << ran.err;
}

TEST(Status, MalformedAnswerIsAClearError) {
  FakeGuard guard;
  guard.listen([](ipc::Channel& channel, const ipc::CtlRequest&) {
    (void)channel.send(ipc::LookupToken{});
  });
  const Ran ran = oqtoctl({"status", "--state", guard.state()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(ran.err.find("malformed"), std::string::npos) << ran.err;
}

TEST(Reload, SaysWhatBecameOfEachPartAndExitsOneIfOneWasRefused) {
  FakeGuard guard;
  std::atomic<bool> refuses = false;
  guard.listen([&refuses](ipc::Channel& channel, const ipc::CtlRequest& request) {
    EXPECT_EQ(request.verb, ipc::CtlVerb::reload);
    (void)channel.send(ipc::Reloaded{ipc::ReloadPart::certificate, 1, 1, "agents.example\x1b[2J", 1'772'357'400'000});
    (void)channel.send(refuses ? ipc::Reloaded{ipc::ReloadPart::gateway, 0, 0, "gateway.toml:3: no", 0}
                               : ipc::Reloaded{ipc::ReloadPart::gateway, 1, 0, "demo", 0});
    (void)channel.send(ipc::Reloaded{ipc::ReloadPart::policy, 1, 0, "built in", 0});
    (void)channel.send(ipc::CtlEnd{.ok = 1, .why = ""});
  });
  const Ran whole = oqtoctl({"reload", "--state", guard.state()});
  EXPECT_EQ(whole.status, 0) << whole.err;
  EXPECT_EQ(whole.out, "PART         RESULT     WHAT\n"
                       "certificate  changed    agents.example?[2J; until 2026-03-01T09:30:00+00:00\n"
                       "gateway      unchanged  demo\n"
                       "policy       unchanged  built in\n");
  refuses = true;
  const Ran refused = oqtoctl({"reload", "--state", guard.state()});
  EXPECT_EQ(refused.status, 1);
  EXPECT_NE(refused.out.find("gateway      refused    gateway.toml:3: no\n"), std::string::npos) << refused.out;
  const Ran json = oqtoctl({"reload", "--json", "--state", guard.state()});
  EXPECT_EQ(json.status, 1);
  EXPECT_NE(json.out.find("\"result\": \"refused\""), std::string::npos) << json.out;
  EXPECT_NE(json.out.find("\"expires_at\": 1772357400000"), std::string::npos) << json.out;
}

TEST(Reload, OfAHostThatIsBusyOrAnswersNonsenseIsAClearError) {
  FakeGuard guard;
  std::atomic<int> asked = 0;
  guard.listen([&asked](ipc::Channel& channel, const ipc::CtlRequest&) {
    if (asked++ == 0) return (void)channel.send(ipc::CtlEnd{0, "a reload is under way"});
    for (int i = 0; i < 50; ++i) (void)channel.send(ipc::Reloaded{ipc::ReloadPart::policy, 1, 0, "", 0});
  });
  EXPECT_EQ(oqtoctl({"reload", "--state", guard.state()}).err, "oqtoctl: a reload is under way\n");
  const Ran flooded = oqtoctl({"reload", "--state", guard.state()});
  EXPECT_EQ(flooded.status, 1);
  EXPECT_NE(flooded.err.find("malformed"), std::string::npos) << flooded.err;
}

TEST(SetupLink, IsOneLineWithTheAddressOfTheHost) {
  FakeGuard guard;
  guard.listen([](ipc::Channel& channel, const ipc::CtlRequest& request) {
    EXPECT_EQ(request.verb, ipc::CtlVerb::accounts);
    serve_accounts(channel, ipc::AdminVerb::setup_link, "{}",
                   R"({"setup_required":true,"token":"TOKEN"})");
  });
  EXPECT_EQ(oqtoctl({"setup-link", "--state", guard.state()}).out,
            "https://localhost:8443/#setup=TOKEN\n");
  std::ofstream(guard.state() + "/url") << "https://localhost:9443/\n";
  EXPECT_EQ(oqtoctl({"setup-link", "--state", guard.state()}).out,
            "https://localhost:9443/#setup=TOKEN\n");
  const Ran ran = oqtoctl({"setup-link", "--json", "--url", "https://oqto.example", "--state",
                           guard.state()});
  EXPECT_NE(ran.out.find("\"url\": \"https://oqto.example/#setup=TOKEN\""), std::string::npos);
  EXPECT_EQ(oqtoctl({"setup-link", "--url", "javascript:x", "--state", guard.state()}).status, 1);
}

TEST(SetupLink, OfAHostThatIsSetUpIsAClearError) {
  FakeGuard guard;
  guard.listen([](ipc::Channel& channel, const ipc::CtlRequest&) {
    serve_accounts(channel, ipc::AdminVerb::setup_link, "{}", R"({"setup_required":false})");
  });
  const Ran ran = oqtoctl({"setup-link", "--state", guard.state()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_EQ(ran.out, "");
  EXPECT_NE(ran.err.find("set up already: sign in at https://localhost:8443/"), std::string::npos);
  EXPECT_EQ(oqtoctl({"setup-link", "--json", "--state", guard.state()}).status, 0);
}

TEST(Invite, SendsRoleAndHoursAndPrintsTheLink) {
  FakeGuard guard;
  guard.listen([](ipc::Channel& channel, const ipc::CtlRequest&) {
    serve_accounts(channel, ipc::AdminVerb::create_invite, R"({"role":"admin","expires_hours":48})",
                   R"({"id":1,"code":"CODE","role":"admin","expires_at":1772357400000})");
  });
  const Ran ran = oqtoctl({"invite", "--role", "admin", "--expires", "2d", "--state",
                           guard.state()});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.out, "https://localhost:8443/#invite=CODE\n"
                     "For one new account (admin), until 2026-03-01T09:30:00+00:00.\n");
}

TEST(Accounts, ListReadsEveryPage) {
  FakeGuard guard;
  guard.listen([](ipc::Channel& channel, const ipc::CtlRequest&) {
    auto pair = sys::seqpacket_pair();
    ASSERT_TRUE(channel.send(ipc::CtlAccounts{}, pair->second));
    ipc::Channel accounts(std::move(pair->first));
    for (const auto& [ask, answer] : std::vector<std::pair<std::string, std::string>>{
             {R"({"after":0})",
              R"({"accounts":[{"id":1,"username":"root","role":"admin","created_at":1772357400000,
                  "disabled":false}],"next_after":1})"},
             {R"({"after":1})",
              R"({"accounts":[{"id":2,"username":"ann","role":"user","created_at":1772357400000,
                  "last_login_at":1772357400000,"disabled":true}]})"}}) {
      const auto received = accounts.wait(kAnswerMs);
      ASSERT_TRUE(received);
      EXPECT_EQ(received->as<ipc::AdminCall>()->body.value, ask);
      ASSERT_TRUE(accounts.send(ipc::AdminReply{.ok = 1, .body = {answer}}));
    }
  });
  const Ran ran = oqtoctl({"accounts", "--state", guard.state()});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.out, "ID  USERNAME  ROLE   STATE     CREATED                    LAST LOGIN\n"
                     "1   root      admin  active    2026-03-01T09:30:00+00:00  -\n"
                     "2   ann       user   disabled  2026-03-01T09:30:00+00:00  "
                     "2026-03-01T09:30:00+00:00\n");
}

TEST(Accounts, DisableSendsTheNameAsDataAndShowsTheRefusal) {
  FakeGuard guard;
  guard.listen([](ipc::Channel& channel, const ipc::CtlRequest&) {
    serve_accounts(channel, ipc::AdminVerb::disable, R"({"username":"a\"b","disabled":true})",
                   R"({"error":"there is no account of that name"})", 0);
  });
  const Ran ran = oqtoctl({"accounts", "disable", "a\"b", "--state", guard.state()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_EQ(ran.err, "oqtoctl: there is no account of that name\n");
}

TEST(Accounts, GarbledAnswerIsAClearError) {
  FakeGuard guard;
  guard.listen([](ipc::Channel& channel, const ipc::CtlRequest&) {
    serve_accounts(channel, ipc::AdminVerb::list_accounts, R"({"after":0})", R"({"accounts":[7]})");
  });
  const Ran ran = oqtoctl({"accounts", "list", "--state", guard.state()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(ran.err.find("cannot be read"), std::string::npos) << ran.err;
}

TEST(Kill, NamesTheSessionAndTheTenant) {
  FakeGuard guard;
  guard.listen([](ipc::Channel& channel, const ipc::CtlRequest& request) {
    if (request.verb == ipc::CtlVerb::accounts) {
      return serve_accounts(channel, ipc::AdminVerb::list_accounts, R"({"after":0})",
                            R"({"accounts":[{"id":7,"username":"ann","role":"user",
                                "created_at":1,"disabled":false}]})");
    }
    const bool session = request.verb == ipc::CtlVerb::kill_session && request.account != 8 &&
                         request.session.text() == "11111111-2222-4333-8444-555555555555";
    const bool tenant = request.verb == ipc::CtlVerb::kill_tenant && request.account == 7;
    (void)channel.send(session || tenant ? ipc::CtlEnd{.ok = 1, .why = ""}
                                         : ipc::CtlEnd{.ok = 0, .why = "there is no such session"});
  });
  const std::string id = "oqto-11111111-2222-4333-8444-555555555555";
  EXPECT_EQ(oqtoctl({"sessions", "kill", id, "--state", guard.state()}).status, 0);
  EXPECT_EQ(oqtoctl({"sessions", "kill", id, "ann", "--state", guard.state()}).status, 0);
  EXPECT_EQ(oqtoctl({"sessions", "kill", id, "8", "--state", guard.state()}).status, 1);
  EXPECT_EQ(oqtoctl({"tenants", "kill", "7", "--state", guard.state()}).status, 0);
  EXPECT_EQ(oqtoctl({"tenants", "kill", "ann", "--state", guard.state()}).status, 0);
  EXPECT_EQ(oqtoctl({"tenants", "kill", "bob", "--state", guard.state()}).status, 1);
  const std::string other = "oqto-11111111-2222-4333-8444-555555555556";
  EXPECT_EQ(oqtoctl({"sessions", "kill", other, "--state", guard.state()}).err,
            "oqtoctl: there is no such session\n");
  EXPECT_EQ(oqtoctl({"sessions", "kill", "../x", "--state", guard.state()}).status, 1);
}

TEST(AuditLog, NamesTheTenantTheDayAndTheEntry) {
  FakeGuard guard;
  guard.listen([](ipc::Channel& channel, const ipc::CtlRequest& request) {
    const bool erase = request.verb == ipc::CtlVerb::audit_erase && request.day == 20484;
    (void)channel.send(erase ? ipc::CtlEnd{.ok = 1, .why = "", .index = 4711} : ipc::CtlEnd{.ok = 0, .why = "no", .index = 0});
  });
  const auto erase = [&](const char* day) { return oqtoctl({"audit", "erase", "7", day, "--json", "--state", guard.state()}); };
  EXPECT_EQ(erase("2026-01-31").out, "{\"entry\":4711}\n");
  for (const char* day : {"2026-02-30", "2026-1-31", "../x", "2026-01-30"}) EXPECT_EQ(erase(day).status, 1) << day;
}

TEST(Usage, WrongOnesExitTwoWithOneLine) {
  for (const std::vector<std::string>& wrong : std::vector<std::vector<std::string>>{
           {}, {"frobnicate"}, {"status", "--frobnicate"}, {"status", "now"}, {"reload", "now"}, {"reload", "--wait", "1"}, {"status", "--wait"},
           {"status", "--wait", "soon"}, {"status", "--role", "admin"}, {"invite", "--role", "god"},
           {"invite", "--expires", "31d"}, {"invite", "--expires", "0h"}, {"accounts", "disable"},
           {"accounts", "delete", "ann"}, {"accounts", "revoke", "ann", "x"}, {"accounts", "logins"},
           {"accounts", "reset-password", "ann", "--expires", "8d"}, {"invites", "revoke", "0"}, {"invites", "x"}, {"sessions"}, {"tenants", "kill"}, {"completion", "csh"},
           {"status", "--json=yes"}}) {
    const Ran ran = oqtoctl(wrong);
    EXPECT_EQ(ran.status, 2);
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
  }
}

TEST(Usage, EveryCommandHasHelp) {
  EXPECT_EQ(oqtoctl({"--help"}).status, 0);
  for (const char* command : {"status", "reload", "setup-link", "invite", "accounts", "sessions", "tenants",
                              "audit", "invites", "completion"}) {
    const Ran ran = oqtoctl({command, "--help"});
    EXPECT_EQ(ran.status, 0);
    EXPECT_TRUE(ran.out.starts_with(std::string("usage: oqtoctl ") + command)) << ran.out;
  }
}

TEST(Completion, IsAScriptThatBashRuns) {
  const Ran script = oqtoctl({"completion", "bash"});
  EXPECT_EQ(script.status, 0);
  FakeGuard dir;
  const std::string file = dir.state() + "/completion";
  std::ofstream(file) << script.out
                      << "COMP_WORDS=(oqtoctl se); COMP_CWORD=1; _oqtoctl\n"
                      << "echo \"${COMPREPLY[@]}\"\n"
                      << "COMP_WORDS=(oqtoctl invite --r); COMP_CWORD=2; _oqtoctl\n"
                      << "[ \"${COMPREPLY[*]}\" = --role ]\n";
  EXPECT_EQ(std::system(("test \"$(bash " + file + ")\" = 'setup-link sessions'").c_str()), 0);
}

}  // namespace
}  // namespace oqto::cli
