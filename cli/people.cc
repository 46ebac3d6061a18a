#include "cli/people.h"

#include "cli/json.h"
#include "cli/table.h"

namespace oqto::cli {
namespace {

Outcome<std::string> ask(const Options& options, ipc::AdminVerb verb, std::string body) {
  auto host = TRY(Host::connect(options.state));
  return host.accounts(verb, std::move(body));
}

}  // namespace

Outcome<std::string> invites(const Options& options) {
  if (options.words.size() == 2) {
    TRY(ask(options, ipc::AdminVerb::revoke_invite, id_body(options.words[1])));
    return options.json ? "{}" : "The invitation was revoked.";
  }
  const auto list = TRY(read_invites(TRY(ask(options, ipc::AdminVerb::list_invites, "{}"))));
  if (options.json) return invites_json(list);
  std::vector<Row> rows{{"ID", "STATE", "ROLE", "MADE BY", "CREATED", "EXPIRES", "USED BY"}};
  for (const InviteRow& row : list) {
    rows.push_back({std::to_string(row.id), row.state, row.role, row.made_by.empty() ? "oqtoctl" : row.made_by,
                    local_time(row.created_at), local_time(row.expires_at), row.used_by.empty() ? "-" : row.used_by});
  }
  return list.empty() ? "There are no invitations: see `oqtoctl invite`." : table(rows);
}

Outcome<std::string> list_logins(const Options& options) {
  const auto list = TRY(read_logins(TRY(ask(options, ipc::AdminVerb::list_logins, username_body(options.words[1])))));
  if (options.json) return logins_json(list);
  std::vector<Row> rows{{"LOGIN", "SINCE", "LAST USED", "EXPIRES", "FROM", "WITH"}};
  for (const LoginRow& row : list) {
    rows.push_back({std::to_string(row.id), local_time(row.created_at), local_time(row.last_seen_at),
                    local_time(row.expires_at), row.remote.empty() ? "-" : row.remote,
                    row.agent.empty() ? "-" : row.agent});
  }
  return list.empty() ? options.words[1] + " is signed in nowhere." : table(rows);
}

Outcome<std::string> revoke_logins(const Options& options) {
  const std::string& name = options.words[1];
  const bool one = options.words.size() == 3;
  const std::string body = one ? login_body(name, options.words[2]) : username_body(name);
  const auto ended = TRY(read_revoked(TRY(ask(options, ipc::AdminVerb::revoke_logins, body))));
  if (options.json) return revoked_json(ended);
  if (ended.empty()) return name + " was signed in nowhere: no login was ended.";
  std::string numbers;
  for (const std::uint64_t login : ended) numbers += (numbers.empty() ? "" : ", ") + std::to_string(login);
  return std::to_string(ended.size()) + (ended.size() == 1 ? " login of " : " logins of ") + name +
         (ended.size() == 1 ? " was ended: " : " were ended: ") + numbers + ".";
}

Outcome<std::string> reset_password(const Options& options, const std::string& url) {
  const auto hours = options.expires_hours == 0 ? kDefaultResetHours : options.expires_hours;
  const auto made = TRY(read_reset(TRY(ask(options, ipc::AdminVerb::reset_password, reset_body(options.words[1], hours)))));
  const std::string link = url + "/#reset=" + made.code;
  if (options.json) return reset_json(made, link);
  return link + "\nFor a new password of " + made.username + ", once, until " + local_time(made.expires_at) +
         ". Using it ends every login.";
}

}  // namespace oqto::cli
