#include "cli/json.h"

#include <nlohmann/json.hpp>

#include "cli/readiness.h"
#include "cli/storage.h"

namespace oqto::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

// `read` may use at() and get() freely: what they throw becomes one error.
template <class T, class Read>
Outcome<T> parse(const std::string& text, Read read) {
  try {
    return read(Json::parse(text));
  } catch (const Json::exception&) {
    return std::unexpected("accounts sent an answer that cannot be read");
  }
}

}  // namespace

std::string_view health_name(ipc::Health health) {
  static constexpr std::string_view kNames[] = {"starting", "ready", "restarting", "stopped"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(ipc::Health::kEnd));
  return kNames[static_cast<std::size_t>(health)];
}

std::string_view profile_name(ipc::Profile profile) {
  static constexpr std::string_view kNames[] = {"minimal", "development", "strict"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(ipc::Profile::kEnd));
  return kNames[static_cast<std::size_t>(profile)];
}

std::string_view reload_part_name(ipc::ReloadPart part) {
  static constexpr std::string_view kNames[] = {"certificate", "key", "gateway", "policy"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(ipc::ReloadPart::kEnd));
  return kNames[static_cast<std::size_t>(part)];
}

std::string_view reload_result(const ipc::Reloaded& part) {
  return part.ok != 1 ? "refused" : part.changed == 1 ? "changed" : "unchanged";
}

Outcome<SetupLink> read_setup_link(const std::string& json) {
  return parse<SetupLink>(json, [](const Json& in) {
    SetupLink link;
    if (in.at("setup_required").get<bool>()) link.token = in.at("token").get<std::string>();
    return link;
  });
}

Outcome<MadeInvite> read_invite(const std::string& json) {
  return parse<MadeInvite>(json, [](const Json& in) {
    return MadeInvite{.code = in.at("code").get<std::string>(),
                      .role = in.at("role").get<std::string>(),
                      .expires_at = in.at("expires_at").get<std::uint64_t>()};
  });
}

Outcome<AccountPage> read_accounts(const std::string& json) {
  return parse<AccountPage>(json, [](const Json& in) {
    AccountPage page;
    for (const Json& row : in.at("accounts")) {
      page.accounts.push_back({.id = row.at("id").get<std::uint32_t>(),
                               .username = row.at("username").get<std::string>(),
                               .role = row.at("role").get<std::string>(),
                               .created_at = row.at("created_at").get<std::uint64_t>(),
                               .last_login_at = row.value("last_login_at", std::uint64_t{0}),
                               .disabled = row.at("disabled").get<bool>()});
    }
    page.next_after = in.value("next_after", std::uint32_t{0});
    return page;
  });
}

Outcome<std::vector<std::uint64_t>> read_revoked(const std::string& json) {
  return parse<std::vector<std::uint64_t>>(json, [](const Json& in) {
    return in.at("logins").get<std::vector<std::uint64_t>>();
  });
}

Outcome<bool> read_changed(const std::string& json) {
  return parse<bool>(json, [](const Json& in) { return in.at("changed").get<bool>(); });
}

Outcome<std::vector<InviteRow>> read_invites(const std::string& json) {
  return parse<std::vector<InviteRow>>(json, [](const Json& in) {
    const auto text = [](const Json& value) { return value.is_null() ? std::string() : value.get<std::string>(); };
    std::vector<InviteRow> rows;
    for (const Json& row : in.at("invites")) {
      rows.push_back({.id = row.at("id").get<std::uint64_t>(), .role = text(row.at("role")),
                      .state = text(row.at("state")), .made_by = text(row.at("made_by")),
                      .used_by = text(row.at("used_by")), .created_at = row.at("created_at").get<std::uint64_t>(),
                      .expires_at = row.at("expires_at").get<std::uint64_t>()});
    }
    return rows;
  });
}

Outcome<std::vector<LoginRow>> read_logins(const std::string& json) {
  return parse<std::vector<LoginRow>>(json, [](const Json& in) {
    std::vector<LoginRow> rows;
    for (const Json& row : in.at("logins")) {
      rows.push_back({.id = row.at("id").get<std::uint64_t>(),
                      .created_at = row.at("created_at").get<std::uint64_t>(),
                      .last_seen_at = row.at("last_seen_at").get<std::uint64_t>(),
                      .expires_at = row.at("expires_at").get<std::uint64_t>(),
                      .remote = row.at("remote").get<std::string>(), .agent = row.at("agent").get<std::string>()});
    }
    return rows;
  });
}

Outcome<MadeReset> read_reset(const std::string& json) {
  return parse<MadeReset>(json, [](const Json& in) {
    return MadeReset{.username = in.at("username").get<std::string>(), .code = in.at("code").get<std::string>(),
                     .expires_at = in.at("expires_at").get<std::uint64_t>()};
  });
}

std::string read_error(const std::string& json) {
  const auto text = parse<std::string>(json, [](const Json& in) {
    return in.at("error").get<std::string>();
  });
  return text.value_or("accounts refused");
}

std::string invite_body(std::string_view role, std::uint64_t expires_hours) {
  return Json({{"role", role}, {"expires_hours", expires_hours}}).dump();
}

std::string username_body(const std::string& username) {
  return Json({{"username", username}})
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string disable_body(const std::string& username, bool disabled) {
  return Json({{"username", username}, {"disabled", disabled}})
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string page_body(std::uint32_t after) { return Json({{"after", after}}).dump(); }

std::string id_body(const std::string& number) { return "{\"id\":" + number + "}"; }

std::string login_body(const std::string& username, const std::string& number) {
  const std::string body = username_body(username);
  return body.substr(0, body.size() - 1) + ",\"id\":" + number + "}";
}

std::string reset_body(const std::string& username, std::uint64_t expires_hours) {
  return Json({{"username", username}, {"expires_hours", expires_hours}})
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string status_json(const HostStatus& status) {
  Json processes = Json::array();
  for (const auto& row : status.processes) {
    processes.push_back({{"process", ipc::process_name(row.process)},
                         {"account", row.account == 0 ? Json(nullptr) : Json(row.account)},
                         {"health", health_name(row.health)},
                         {"pid", row.pid},
                         {"uid", row.uid},
                         {"restarts", row.restarts},
                         {"started_at", row.started_at_ms}});
  }
  Json tenants = Json::array();
  for (const auto& row : status.tenants) {
    tenants.push_back({{"account", row.account},
                       {"username", row.username.view()},
                       {"runner_uid", row.runner_uid},
                       {"agent_uid", row.agent_uid},
                       {"connections", row.connections},
                       {"sessions", row.sessions},
                       {"disk_bytes", row.disk_bytes},
                       {"disk_limit_bytes", row.disk_limit},
                       {"disk_files", row.disk_files},
                       {"disk_limit_files", row.disk_files_limit}});
  }
  Json disk = nullptr;
  if (status.storage) {
    const ipc::CtlStorage& row = *status.storage;
    disk = {{"limits", limits_name(row.limits)},
            {"tenant_bytes", row.tenant_bytes},
            {"tenant_files", row.tenant_files},
            {"promised_bytes", row.promised_bytes},
            {"tenants_bytes", row.tenants_bytes},
            {"tenants_free_bytes", row.tenants_free},
            {"state_bytes", row.state_bytes},
            {"state_free_bytes", row.state_free}};
  }
  Json sessions = Json::array();
  for (const auto& row : status.sessions) {
    sessions.push_back({{"session_id", "oqto-" + row.session.text()},
                        {"account", row.account},
                        {"workspace_id", row.workspace.text()},
                        {"profile", profile_name(row.profile)},
                        {"health", health_name(row.health)},
                        {"pid", row.pid},
                        {"started_at", row.started_at_ms},
                        {"model_calls", row.calls},
                        {"tokens_in", row.tokens_in},
                        {"tokens_out", row.tokens_out},
                        {"memory_bytes", row.memory_bytes},
                        {"memory_limit_bytes", row.memory_limit},
                        {"swap_bytes", row.swap_bytes},
                        {"processes", row.processes},
                        {"processes_limit", row.processes_limit},
                        {"cpu_ms", row.cpu_ms},
                        {"io_read_bytes", row.io_read_bytes},
                        {"io_written_bytes", row.io_written_bytes},
                        {"pressure_percent",
                         {{"cpu", row.cpu_pressure / 100.0},
                          {"memory", row.memory_pressure / 100.0},
                          {"io", row.io_pressure / 100.0}}}});
  }
  Json degraded = Json::array();
  Json warnings = Json::array();
  Json parts = Json::array();
  for (const Trouble& each : troubles(status)) {
    (each.is_warning ? warnings : degraded).push_back({{"part", each.part}, {"what", each.what}, {"fix", each.fix}});
    if (!each.is_warning) parts.push_back(each.part);
  }
  return dump({{"ready", is_ready(status)},
               {"not_ready", std::move(parts)},
               {"degraded", std::move(degraded)},
               {"warnings", std::move(warnings)},
               {"processes", std::move(processes)},
               {"tenants", std::move(tenants)},
               {"sessions", std::move(sessions)},
               {"disk", std::move(disk)}});
}

std::string reload_json(const std::vector<ipc::Reloaded>& parts) {
  Json list = Json::array();
  for (const ipc::Reloaded& part : parts) {
    list.push_back({{"part", reload_part_name(part.part)},
                    {"result", reload_result(part)},
                    {"what", part.what.view()},
                    {"expires_at", part.expires_ms == 0 ? Json(nullptr) : Json(part.expires_ms)}});
  }
  return dump({{"parts", std::move(list)}});
}

std::string setup_link_json(const SetupLink& link, const std::string& url) {
  Json json = {{"setup_required", link.token.has_value()}};
  if (link.token) json["url"] = url;
  return dump(json);
}

std::string invite_json(const MadeInvite& invite, const std::string& url) {
  return dump({{"url", url},
               {"code", invite.code},
               {"role", invite.role},
               {"expires_at", invite.expires_at}});
}

std::string accounts_json(const std::vector<AccountRow>& accounts) {
  Json list = Json::array();
  for (const AccountRow& row : accounts) {
    const Json last_login = row.last_login_at == 0 ? Json(nullptr) : Json(row.last_login_at);
    list.push_back({{"id", row.id},
                    {"username", row.username},
                    {"role", row.role},
                    {"created_at", row.created_at},
                    {"last_login_at", last_login},
                    {"disabled", row.disabled}});
  }
  return dump({{"accounts", std::move(list)}});
}

std::string invites_json(const std::vector<InviteRow>& invites) {
  Json list = Json::array();
  for (const InviteRow& row : invites) {
    list.push_back({{"id", row.id},
                    {"state", row.state},
                    {"role", row.role},
                    {"made_by", row.made_by.empty() ? Json(nullptr) : Json(row.made_by)},
                    {"created_at", row.created_at},
                    {"expires_at", row.expires_at},
                    {"used_by", row.used_by.empty() ? Json(nullptr) : Json(row.used_by)}});
  }
  return dump({{"invites", std::move(list)}});
}

std::string logins_json(const std::vector<LoginRow>& logins) {
  Json list = Json::array();
  for (const LoginRow& row : logins) {
    list.push_back({{"id", row.id},
                    {"created_at", row.created_at},
                    {"last_seen_at", row.last_seen_at},
                    {"expires_at", row.expires_at},
                    {"remote", row.remote},
                    {"agent", row.agent}});
  }
  return dump({{"logins", std::move(list)}});
}

std::string reset_json(const MadeReset& reset, const std::string& url) {
  return dump({{"url", url}, {"code", reset.code}, {"username", reset.username}, {"expires_at", reset.expires_at}});
}

std::string revoked_json(const std::vector<std::uint64_t>& logins) {
  return dump({{"revoked", logins.size()}, {"logins", logins}});
}
std::string changed_json(bool changed) { return dump({{"changed", changed}}); }

}  // namespace oqto::cli
