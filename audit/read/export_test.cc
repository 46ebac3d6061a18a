// What other systems get: every event, with the fields that its recorder writes, with those that are not
// sealed, and with none of them, is what OCSF demands.
#include <gtest/gtest.h>

#include <map>

#include "audit/auditd/entry.h"
#include "audit/read/command_line.h"
#include "audit/read/export.h"
#include "audit/tests/test_host.h"

namespace oqto::audit {
namespace {

using ipc::Event;
using ipc::FieldKey;
using Fields = std::vector<std::pair<FieldKey, std::string>>;
using enum FieldKey;

constexpr const char* kUuid = "e0a6cb16-9495-4ee4-91ea-dcdcaaa467fd";

// As the recorders write them.
const std::map<Event, Fields>& fields_of_events() {
  static const Fields kLogin = {{account, "2"}, {username, "anna"}, {remote, "127.0.0.1:36058"}, {reason, "wrong password"}};
  static const Fields kFile = {{FieldKey::path, "/workspace/a b.txt"}, {call_id, "call_1"}, {bytes, "12"}, {sha256, "00"}};
  static const Fields kExec = {{pid, "20662"}, {ppid, "20647"}, {argv, "/bin/bash"}, {argv, "-c"}, {argv, "echo \"it's\""},
                               {exe, "/usr/bin/bash"}, {cwd, "/workspace"}, {FieldKey::session, kUuid}};
  static const Fields kHost = {{boot, kUuid}, {boottime_ms, "5"}, {reason, "SIGTERM"}, {operator_name, "root"}, {operator_uid, "0"}};
  static const std::map<Event, Fields> kFields = {
      {Event::process_start, {{process, "runner"}, {pid, "20625"}, {uid, "1845001004"}, {account, "2"}}},
      {Event::process_stop, {{process, "session"}, {pid, "20643"}, {FieldKey::signal, "9"}}},
      {Event::login, kLogin},
      {Event::logout, kLogin},
      {Event::setup, {{username, "admin"}, {role, "admin"}, {remote, "[::1]:54022"}}},
      {Event::invite_create, {{account, "1"}, {username, "admin"}, {role, "user"}, {invite, "3"}, {remote, "127.0.0.1:1"}}},
      {Event::invite_revoke, {{account, "1"}, {username, "admin"}, {invite, "3"}}},
      {Event::account_create, {{username, "anna"}, {role, "user"}, {remote, "127.0.0.1:2"}, {request_id, "invite 1"}}},
      {Event::account_change, {{account, "2"}, {username, "anna"}, {reason, "disabled"}}},
      {Event::connection, {{connection, "4"}, {account, "2"}, {username, "anna"}, {remote, "127.0.0.1:54044"}}},
      {Event::command, {{command, "prompt"}, {FieldKey::session, kUuid}, {connection, "4"}, {request_id, "t3"}, {args, "{}"}}},
      {Event::workspace_create, {{workspace, kUuid}}},
      {Event::session_start, {{account, "2"}, {FieldKey::session, kUuid}, {workspace, kUuid}, {policy, "profile=development"}}},
      {Event::session_stop, {{FieldKey::session, kUuid}, {account, "2"}, {reason, "closed by its user"}}},
      {Event::exec, kExec},
      {Event::model_call, {{FieldKey::session, kUuid}, {account, "2"}, {provider, "mock"}, {model, "mock-1"}, {tokens_in, "9"}, {http_status, "200"}, {cost_nanos, "12"}}},
      {Event::violation, {{process, "relay connection"}, {connection, "4"}, {remote, "127.0.0.1:5"}, {reason, "a message that is not allowed here"}}},
      {Event::admin, {{process, "oqtoctl"}, {command, "setup_link"}, {operator_name, "root"}}},
      {Event::denial, {{reason, "no rule allows this name"}, {FieldKey::session, kUuid}, {account, "2"}, {host, "not a host\n"}, {port, "9999"}, {pid, "7"}, {count, "3"}}},
      {Event::approval, {{FieldKey::session, kUuid}, {request_id, "ask-1"}, {host, "example.org"}, {argv, "curl"}, {choice, "once"}}},
      {Event::network, {{host, "example.org"}, {port, "443"}, {address, "93.184.216.34"}, {bytes_in, "10"}, {bytes_out, "20"}, {protocol, "tcp"}}},
      {Event::login_throttled, kLogin},
      {Event::token_create, kLogin},
      {Event::token_revoke, kLogin},
      {Event::role_change, {{account, "2"}, {username, "anna"}, {role, "admin"}}},
      {Event::tool_call, {{FieldKey::session, kUuid}, {tool, "bash"}, {call_id, "call_1"}, {args, "{}"}, {duration_ms, "35"}}},
      {Event::file_create, kFile},
      {Event::file_read, kFile},
      {Event::file_update, kFile},
      {Event::file_delete, kFile},
      {Event::file_rename, {{FieldKey::path, "/workspace/a"}, {target, "/workspace/b"}, {call_id, "call_1"}}},
      {Event::terminal_open, {{terminal, kUuid}, {columns, "80"}, {rows, "24"}, {FieldKey::session, kUuid}}},
      {Event::terminal_close, {{terminal, kUuid}, {FieldKey::session, kUuid}}},
      {Event::recording_chunk, {{terminal, kUuid}, {chunk, "0"}, {bytes, "12"}}},
      {Event::ssh_open, {{host, "2001:db8::1"}, {port, "22"}, {fingerprint, "SHA256:x"}}},
      {Event::ssh_close, {{host, "ssh.example.org"}, {port, "22"}}},
      {Event::ssh_sign, {{fingerprint, "SHA256:x"}}},
      {Event::config_load, {{rule, "gateway.toml"}, {sha256, "4744"}}},
      {Event::policy_load, {{profile, "strict"}, {policy, "profile=strict"}}},
      {Event::clock_step, {{reason, "the clock was set back"}, {boottime_ms, "5"}}},
      {Event::log_gap, {{count, "12"}, {process, "runner"}, {account, "2"}}},
      {Event::log_full, {{reason, "no room"}}},
      {Event::epoch_seal, {{epoch, "1"}, {note, "oqto-audit-seal/v1\n"}, {boottime_ms, "5"}}},
      {Event::audit_read, {{account, "3"}, {username, "ada"}, {connection, "5"}, {command, "audit.search"}, {query, "{}"}, {entries, "4"}}},
      {Event::key_erase, {{account, "2"}, {day, "2026-01-31"}}},
      {Event::log_prune, {{minimum_index, "4096"}}},
      {Event::host_start, kHost},
      {Event::host_stop, kHost},
      {Event::exec_exit, {{pid, "20662"}, {exit_status, "1"}, {duration_ms, "35"}, {at, "2026-01-31T12:00:00.123Z"}, {FieldKey::session, kUuid}}},
      {Event::password_change, {{account, "2"}, {username, "anna"}, {remote, "127.0.0.1:6"}}},
      {Event::budget, {{account, "2"}, {limit, "1000000"}, {reason, "slowed until the day is over"}}},
      {Event::adopt, {{machine, "00ff"}, {operator_name, "root"}}},
  };
  return kFields;
}

std::string entry_of(std::uint64_t index, Event event, ipc::Phase phase, ipc::Outcome outcome, const Fields& fields, bool by_tenant) {
  Actor actor;
  actor.process = by_tenant ? ipc::Process::runner : ipc::Process::guard;
  actor.account = by_tenant ? 2 : 0;
  actor.username = by_tenant ? "anna" : "";
  actor.pid = 20603;
  ipc::AuditAppend record = audit::record(event, phase);
  record.outcome = outcome;
  if (phase == ipc::Phase::outcome) record.intent = 0;
  for (const auto& [key, value] : fields) record.add(key, value);
  return encode_entry(index, 1'795'939'232'000 + index, actor, record, {});
}

std::string events_of_every_kind() {
  std::string lines;
  std::uint64_t index = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(Event::kEnd); ++i) {
    const auto event = static_cast<Event>(i);
    for (std::size_t phase = 0; phase < static_cast<std::size_t>(ipc::Phase::kEnd); ++phase) {
      for (std::size_t outcome = 0; outcome < static_cast<std::size_t>(ipc::Outcome::kEnd); ++outcome) {
        for (const bool by_tenant : {false, true}) {
          const Fields& all = fields_of_events().at(event);
          Fields in_clear = all;
          std::erase_if(in_clear, [&](const auto& field) { return is_personal(field.first, by_tenant); });
          for (const Fields& fields : {all, in_clear, Fields{}}) {
            const std::string entry = entry_of(index, event, static_cast<ipc::Phase>(phase), static_cast<ipc::Outcome>(outcome), fields, by_tenant);
            lines += to_ocsf(index, entry, {.log = "host.example/audit"}) + "\n";
            ++index;
          }
        }
      }
    }
  }
  return lines + to_ocsf(index, "no entry at all") + "\n";
}

TEST(Export, EveryEventIsWhatOcsfDemands) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(Event::kEnd); ++i) {
    ASSERT_TRUE(fields_of_events().contains(static_cast<Event>(i))) << ipc::event_name(static_cast<Event>(i));
  }
  const TempDir dir;
  write_file(dir.path() + "/ocsf", events_of_every_kind());
  const Output checked = run(std::string("python3 ") + OQTO_CHECK_OCSF + " " + dir.path() + "/ocsf | tail -n 30");
  EXPECT_TRUE(checked.out.contains(" 0 bad, 13 classes")) << checked.out;
}

// A checker that finds nothing is worth nothing.
TEST(Export, TheCheckerNoticesWhatIsWrong) {
  const std::string entry = entry_of(7, Event::denial, ipc::Phase::event, ipc::Outcome::failure, fields_of_events().at(Event::denial), false);
  const std::string good = to_ocsf(7, entry);
  const std::pair<const char*, const char*> changes[] = {
      {R"("profiles":["host"])", R"("profiles":[])"},       // the actor needs it
      {R"("status_id":99)", R"("status_id":2)"},            // means: in progress
      {R"("severity_id":2)", R"("severity_id":42)"},
      {R"("type":"Server")", R"("type":"Server","colour":"red")"},
      {R"("finding_info":{)", R"("finding_info":{"x":1},"f":{)"},
      {R"("version":"1.8.0","product")", R"("version":"1.7.0","product")"},
      {R"("name":"Oqto host",)", R"()"},                    // a device without any of its names
  };
  const TempDir dir;
  for (const auto& [from, to] : changes) {
    std::string bad = good;
    const std::size_t at = bad.find(from);
    ASSERT_NE(at, bad.npos) << from << good;
    bad.replace(at, std::string(from).size(), to);
    write_file(dir.path() + "/ocsf", bad + "\n");
    const Output checked = run(std::string("python3 ") + OQTO_CHECK_OCSF + " " + dir.path() + "/ocsf");
    EXPECT_EQ(checked.status, 1) << to << checked.out;
  }
}

TEST(Export, ArgumentsStayApart) {
  EXPECT_EQ(command_line(R"(["x","y z"])"), "x 'y z'");
  EXPECT_EQ(command_line(R"(["x y","z"])"), "'x y' z");
  EXPECT_EQ(command_line(R"(["echo","it's","","$HOME","a=b"])"), R"(echo 'it'\''s' '' '$HOME' a=b)");
  EXPECT_EQ(command_line("\"(sealed)\""), "(sealed)");
}

TEST(Export, AnAddressIsOneAndItsPortIsBesideIt) {
  const auto ocsf = [](const Fields& fields) {
    return to_ocsf(1, entry_of(1, Event::connection, ipc::Phase::event, ipc::Outcome::success, fields, false));
  };
  EXPECT_TRUE(ocsf({{remote, "127.0.0.1:36058"}}).contains(R"("src_endpoint":{"ip":"127.0.0.1","port":36058)"));
  EXPECT_TRUE(ocsf({{remote, "[2001:db8::1]:443"}}).contains(R"("src_endpoint":{"ip":"2001:db8::1","port":443)"));
  EXPECT_TRUE(ocsf({{remote, "2001:db8::1"}}).contains(R"("src_endpoint":{"ip":"2001:db8::1","name")"));
  EXPECT_TRUE(ocsf({{remote, "unix socket"}}).contains(R"("src_endpoint":{"hostname":"unix socket")"));
}

}  // namespace
}  // namespace oqto::audit
