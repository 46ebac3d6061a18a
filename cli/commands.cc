#include "cli/commands.h"

#include <fcntl.h>
#include <time.h>

#include <charconv>
#include <cstdio>
#include <optional>

#include "base/sys.h"
#include "cli/audit.h"
#include "cli/host.h"
#include "cli/json.h"
#include "cli/people.h"
#include "cli/readiness.h"
#include "cli/reload.h"
#include "cli/storage.h"
#include "cli/table.h"

namespace oqto::cli {
namespace {

constexpr std::string_view kDefaultUrl = "https://localhost:8443";
constexpr std::size_t kMaxUrl = 300;
constexpr long kPollNs = 200'000'000;

void print(std::string_view text) {
  (void)std::fwrite(text.data(), 1, text.size(), stdout);
  if (!text.ends_with('\n')) (void)std::fputc('\n', stdout);
}

int fail_with(const std::string& why) {
  (void)std::fprintf(stderr, "oqtoctl: %s\n", printable(why).c_str());
  return 1;
}

// The address that browsers use, without a slash at the end.
Outcome<std::string> base_url(const Options& options) {
  std::string url = options.url;
  if (url.empty()) {
    const auto file = sys::open_file((options.state + "/url").c_str(), O_RDONLY);
    const auto text = file ? sys::read_all(*file, kMaxUrl) : std::string(kDefaultUrl);
    if (!text) return std::unexpected(options.state + "/url cannot be read: pass --url");
    url = *text;
  }
  while (!url.empty() && (url.back() == '\n' || url.back() == '/')) url.pop_back();
  const bool scheme = url.starts_with("https://") || url.starts_with("http://");
  if (!scheme || url != printable(url) || url.find_first_of(" #?") != url.npos) {
    return std::unexpected("the address must look like https://HOST[:PORT]: pass it with --url");
  }
  return url;
}

// --- status --------------------------------------------------------------------------------------

std::string share(std::uint64_t used, std::uint64_t limit, std::uint64_t unit) {
  return std::to_string(used / unit) + (limit == 0 ? "" : " of " + std::to_string(limit / unit));
}

std::string percent(std::uint32_t hundredths) {
  char text[16] = {};
  (void)std::snprintf(text, sizeof text, "%.1f %%", hundredths / 100.0);
  return text;
}

// What the sessions use of the host, where their cgroups tell. Stalled: the share of the last ten
// seconds in which something of the session had to wait for it.
std::string usage_text(const HostStatus& status) {
  constexpr std::uint64_t kMiB = 1024 * 1024;
  std::vector<Row> rows{{"SESSION", "MEMORY MIB", "SWAP MIB", "PROCESSES", "CPU S", "READ MIB", "WRITTEN MIB",
                         "STALLED: CPU", "MEMORY", "IO"}};
  for (const auto& row : status.sessions) {
    if (row.memory_limit == 0 && row.cpu_ms == 0) continue;
    rows.push_back({"oqto-" + row.session.text(), share(row.memory_bytes, row.memory_limit, kMiB),
                    std::to_string(row.swap_bytes / kMiB), share(row.processes, row.processes_limit, 1),
                    std::to_string(row.cpu_ms / 1000), std::to_string(row.io_read_bytes / kMiB),
                    std::to_string(row.io_written_bytes / kMiB), percent(row.cpu_pressure),
                    percent(row.memory_pressure), percent(row.io_pressure)});
  }
  return rows.size() == 1 ? "" : '\n' + table(rows);
}

std::string status_text(const HostStatus& status) {
  std::vector<Row> rows{{"PROCESS", "ACCOUNT", "HEALTH", "PID", "UID", "RESTARTS", "SINCE"}};
  for (const auto& row : status.processes) {
    rows.push_back({std::string(ipc::process_name(row.process)),
                    row.account == 0 ? "-" : std::to_string(row.account),
                    std::string(health_name(row.health)),
                    row.pid == 0 ? "-" : std::to_string(row.pid), std::to_string(row.uid),
                    std::to_string(row.restarts), local_time(row.started_at_ms)});
  }
  std::string text = table(rows);
  if (!status.tenants.empty()) {
    rows = {{"TENANT", "USERNAME", "CONNECTIONS", "SESSIONS", "RUNNER UID", "AGENT UID"}};
    for (const auto& row : status.tenants) {
      rows.push_back({std::to_string(row.account), row.username.str(),
                      std::to_string(row.connections), std::to_string(row.sessions),
                      std::to_string(row.runner_uid), std::to_string(row.agent_uid)});
    }
    text += '\n' + table(rows);
  }
  if (!status.sessions.empty()) {
    rows = {{"SESSION", "TENANT", "PROFILE", "HEALTH", "PID", "CALLS", "TOKENS IN", "TOKENS OUT",
             "SINCE"}};
    for (const auto& row : status.sessions) {
      rows.push_back({"oqto-" + row.session.text(), std::to_string(row.account),
                      std::string(profile_name(row.profile)), std::string(health_name(row.health)),
                      std::to_string(row.pid), std::to_string(row.calls),
                      std::to_string(row.tokens_in), std::to_string(row.tokens_out),
                      local_time(row.started_at_ms)});
    }
    text += '\n' + table(rows);
  }
  text += usage_text(status) + storage_text(status);
  return text + '\n' + readiness_text(status);
}

Outcome<HostStatus> ask_status(const Options& options) {
  auto host = TRY(Host::connect(options.state));
  return host.status();
}

int status(const Options& options) {
  const std::uint64_t deadline = sys::monotonic_ms() + options.wait_s * 1000;
  auto answer = ask_status(options);
  while ((!answer || !is_ready(*answer)) && sys::monotonic_ms() < deadline) {
    const timespec pause{.tv_sec = 0, .tv_nsec = kPollNs};
    (void)::nanosleep(&pause, nullptr);
    answer = ask_status(options);
  }
  if (!answer) return fail_with(answer.error());
  print(options.json ? status_json(*answer) : status_text(*answer));
  return is_ready(*answer) ? 0 : 1;
}

// --- accounts ------------------------------------------------------------------------------------

Outcome<std::string> ask_accounts(const Options& options, ipc::AdminVerb verb, std::string body) {
  auto host = TRY(Host::connect(options.state));
  return host.accounts(verb, std::move(body));
}

Outcome<std::vector<AccountRow>> all_accounts(Host& host) {
  std::vector<AccountRow> accounts;
  std::uint32_t after = 0;
  do {
    auto page = TRY(read_accounts(TRY(host.accounts(ipc::AdminVerb::list_accounts,
                                                    page_body(after)))));
    if (page.next_after != 0 && page.next_after <= after) {
      return std::unexpected("accounts sent its list in the wrong order");
    }
    after = page.next_after;
    for (AccountRow& row : page.accounts) accounts.push_back(std::move(row));
  } while (after != 0);
  return accounts;
}

Outcome<> setup_link(const Options& options) {
  const std::string url = TRY(base_url(options));
  const auto answer = TRY(ask_accounts(options, ipc::AdminVerb::setup_link, "{}"));
  const auto link = TRY(read_setup_link(answer));
  const std::string full = link.token ? url + "/#setup=" + *link.token : "";
  if (options.json) {
    print(setup_link_json(link, full));
    return {};
  }
  if (!link.token) return std::unexpected("this host is set up already: sign in at " + url + "/");
  print(full);
  return {};
}

Outcome<> invite(const Options& options) {
  const std::string url = TRY(base_url(options));
  const char* const role = options.role == ipc::Role::admin     ? "admin"
                           : options.role == ipc::Role::auditor ? "auditor"
                                                                : "user";
  const auto made = TRY(read_invite(TRY(ask_accounts(options, ipc::AdminVerb::create_invite,
                                                     invite_body(role, options.expires_hours == 0 ? kDefaultInviteHours
                                                                                          : options.expires_hours)))));
  const std::string full = url + "/#invite=" + made.code;
  print(options.json ? invite_json(made, full)
                     : full + "\nFor one new account (" + made.role + "), until " +
                           local_time(made.expires_at) + ".");
  return {};
}

Outcome<> list_accounts(const Options& options) {
  auto host = TRY(Host::connect(options.state));
  const auto accounts = TRY(all_accounts(host));
  if (options.json) {
    print(accounts_json(accounts));
    return {};
  }
  std::vector<Row> rows{{"ID", "USERNAME", "ROLE", "STATE", "CREATED", "LAST LOGIN"}};
  for (const AccountRow& row : accounts) {
    rows.push_back({std::to_string(row.id), row.username, row.role,
                    row.disabled ? "disabled" : "active", local_time(row.created_at),
                    local_time(row.last_login_at)});
  }
  print(table(rows));
  if (accounts.empty()) print("There are no accounts yet: see `oqtoctl setup-link`.");
  return {};
}

Outcome<> accounts(const Options& options) {
  if (options.words.size() < 2) return list_accounts(options);
  const std::string& verb = options.words[0];
  const std::string& name = options.words[1];
  if (verb == "reset-password") {
    print(TRY(reset_password(options, TRY(base_url(options)))));
    return {};
  }
  if (verb == "logins" || verb == "revoke") {
    print(TRY(verb == "logins" ? list_logins(options) : revoke_logins(options)));
    return {};
  }
  const bool disable = verb == "disable";
  const bool changed = TRY(read_changed(TRY(ask_accounts(options, ipc::AdminVerb::disable, disable_body(name, disable)))));
  std::string said = name + (disable ? " is disabled; its logins, connections and sessions were ended." : " is enabled.");
  if (!changed) said = name + (disable ? " is disabled already" : " is active already") + "; nothing was changed.";
  print(options.json ? changed_json(changed) : said);
  return {};
}

// --- kills ---------------------------------------------------------------------------------------

Outcome<std::uint32_t> account_number(Host& host, const std::string& text) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && number != 0) return number;
  for (const AccountRow& row : TRY(all_accounts(host))) {
    if (row.username == text) return row.id;
  }
  return std::unexpected("there is no account " + text + ": see `oqtoctl accounts`");
}

Outcome<> kill_session(const Options& options) {
  std::string_view text = options.words[1];
  if (text.starts_with("oqto-")) text.remove_prefix(5);
  const auto session = Uuid::parse(text);
  if (!session) {
    return std::unexpected("this is no session id: they look like oqto-<uuid> in `oqtoctl status`");
  }
  auto host = TRY(Host::connect(options.state));
  const std::uint32_t account = options.words.size() > 2 ? TRY(account_number(host, options.words[2])) : 0;
  TRY(host.kill_session(*session, account));
  print(options.json ? "{}" : "The session was ended.");
  return {};
}

Outcome<> kill_tenant(const Options& options) {
  auto host = TRY(Host::connect(options.state));
  TRY(host.kill_tenant(TRY(account_number(host, options.words[1]))));
  print(options.json ? "{}" : "The tenant's processes were ended.");
  return {};
}

}  // namespace

int run(const Options& options) {
  if (options.command == "status") return status(options);
  if (options.command == "reload") return reload(options);
  Outcome<> done;
  if (options.command == "setup-link") done = setup_link(options);
  if (options.command == "invite") done = invite(options);
  if (options.command == "accounts") done = accounts(options);
  if (options.command == "sessions") done = kill_session(options);
  if (options.command == "tenants") done = kill_tenant(options);
  if (options.command == "adopt") done = adopt(options);
  if (options.command == "audit") {
    const auto said = audit(options);
    if (said) print(*said);
    if (!said) done = std::unexpected(said.error());
  }
  if (options.command == "invites") {
    const auto said = invites(options);
    if (said) print(*said);
    if (!said) done = std::unexpected(said.error());
  }
  if (options.command == "completion") print(bash_completion());
  return done ? 0 : fail_with(done.error());
}

}  // namespace oqto::cli
