#include "accounts/json.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>
#include <variant>

#include "accounts/rules.h"

namespace oqto::accounts {
namespace {

using Json = nlohmann::json;

struct OtherValue {};  // null and fractions: valid JSON that no field of ours takes
using Value = std::variant<OtherValue, bool, std::uint64_t, std::string>;

// Receives the parser's events for one flat object; anything deeper stops the parser at once, so
// depth costs nothing.
class FlatObject final : public nlohmann::json_sax<Json> {
 public:
  std::vector<std::pair<std::string, Value>> fields;
  std::string problem;

  bool null() override { return put(OtherValue{}); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t) override { return put(OtherValue{}); }  // negative
  bool number_unsigned(number_unsigned_t value) override { return put(std::uint64_t{value}); }
  bool number_float(number_float_t, const string_t&) override { return put(OtherValue{}); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return stop("the body must be JSON"); }
  bool start_object(std::size_t) override {
    if (open_) return stop(kNested);
    return open_ = true;
  }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return stop(open_ ? kNested : kNoObject); }
  bool end_array() override { return true; }
  bool key(string_t& name) override {
    for (const auto& [known, value] : fields) {
      if (known == name) return stop("a field is given twice: " + shown(name));
    }
    if (fields.size() == kMaxBodyFields) return stop("the body has too many fields");
    fields.emplace_back(std::move(name), OtherValue{});
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const Json::exception&) override {
    return stop("the body is not valid JSON");
  }
  static std::string shown(const std::string& name) {
    constexpr std::size_t kShown = 40;
    return '`' + name.substr(0, kShown) + '`';
  }

 private:
  static constexpr const char* kNested = "the body must be one JSON object without nested values";
  static constexpr const char* kNoObject = "the body must be a JSON object";
  bool put(Value value) {
    if (!open_) return stop(kNoObject);
    fields.back().second = std::move(value);
    return true;
  }
  bool stop(std::string why) {
    if (problem.empty()) problem = std::move(why);
    return false;
  }
  bool open_ = false;
};

// Takes fields out one by one; what is left at the end() is unknown. Keeps the first problem.
class Body {
 public:
  explicit Body(std::string_view text) {
    if (!Json::sax_parse(text, &object_) && object_.problem.empty()) {
      object_.problem = "the body is not valid JSON";
    }
  }
  std::string text(const char* name, std::size_t max) {
    const Value* value = required(name);
    if (value == nullptr) return {};
    const auto* string = std::get_if<std::string>(value);
    if (string == nullptr) return problem(name, " must be text"), std::string();
    if (string->empty() || string->size() > max) {
      problem(name, " must have 1 to " + std::to_string(max) + " bytes");
      return {};
    }
    return *string;
  }
  std::uint64_t number(const char* name, std::uint64_t low, std::uint64_t high) {
    const Value* value = required(name);
    if (value == nullptr) return 0;
    const auto* number = std::get_if<std::uint64_t>(value);
    if (number == nullptr || *number < low || *number > high) {
      problem(name, " must be a whole number from " + std::to_string(low) + " to " +
                        std::to_string(high));
      return 0;
    }
    return *number;
  }
  bool boolean(const char* name) {
    const Value* value = required(name);
    const auto* boolean = value == nullptr ? nullptr : std::get_if<bool>(value);
    if (value != nullptr && boolean == nullptr) problem(name, " must be true or false");
    return boolean != nullptr && *boolean;
  }
  bool has(const char* name) { return find(name) != nullptr; }

  template <class T>
  Parsed<T> end(T result) {
    for (const auto& [name, value] : object_.fields) {
      if (object_.problem.empty() && !is_used(name)) {
        object_.problem = "unknown field " + FlatObject::shown(name);
      }
    }
    if (!object_.problem.empty()) return std::unexpected(object_.problem);
    return result;
  }
  void problem(const char* name, const std::string& what) {
    if (object_.problem.empty()) object_.problem = std::string("the field `") + name + '`' + what;
  }

 private:
  const Value* find(const char* name) {
    for (const auto& [known, value] : object_.fields) {
      if (known == name) return &value;
    }
    return nullptr;
  }
  const Value* required(const char* name) {
    used_.push_back(name);
    const Value* value = find(name);
    if (value == nullptr) problem(name, " is missing");
    return object_.problem.empty() ? value : nullptr;
  }
  bool is_used(std::string_view name) const {
    return std::find(used_.begin(), used_.end(), name) != used_.end();
  }
  FlatObject object_;
  std::vector<std::string_view> used_;
};

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json user_object(const Account& account) {
  return {{"id", account.id}, {"username", account.username}, {"role", role_name(account.role)}};
}

Json profile_list(const std::vector<std::string>& unavailable) {
  Json list = Json::array();
  for (const char* name : {"minimal", "development", "strict"}) {
    Json profile = {{"name", name}, {"available", true}};
    const std::string prefix = std::string(name) + ": ";
    for (const std::string& text : unavailable) {
      if (!text.starts_with(prefix)) continue;
      profile["available"] = false;
      profile["why"] = text.substr(prefix.size());
    }
    list.push_back(std::move(profile));
  }
  return list;
}

}  // namespace

Parsed<SetupBody> read_setup(std::string_view body) {
  Body in(body);
  return in.end(SetupBody{.token = in.text("token", kMaxSecretText),
                          .username = in.text("username", kMaxTypedName),
                          .password = in.text("password", kMaxPasswordBytes)});
}

Parsed<LoginBody> read_login(std::string_view body) {
  Body in(body);
  return in.end(LoginBody{.username = in.text("username", kMaxTypedName),
                          .password = in.text("password", kMaxPasswordBytes)});
}

Parsed<RegisterBody> read_register(std::string_view body) {
  Body in(body);
  return in.end(RegisterBody{.invite_code = in.text("invite_code", kMaxSecretText),
                             .username = in.text("username", kMaxTypedName),
                             .password = in.text("password", kMaxPasswordBytes)});
}

Parsed<PasswordBody> read_password(std::string_view body) {
  Body in(body);
  PasswordBody change{.password = in.text("password", kMaxPasswordBytes),
                      .new_password = in.text("new_password", kMaxPasswordBytes)};
  if (in.has("keep_others")) change.keep_others = in.boolean("keep_others");
  return in.end(std::move(change));
}

Parsed<ResetBody> read_reset(std::string_view body) {
  Body in(body);
  return in.end(ResetBody{.code = in.text("code", kMaxSecretText),
                          .password = in.text("password", kMaxPasswordBytes)});
}

Parsed<EndLoginsBody> read_end_logins(std::string_view body) {
  Body in(body);
  EndLoginsBody wish;
  if (in.has("id")) {
    wish.id = in.number("id", 1, std::numeric_limits<std::int64_t>::max());
  } else if (!in.boolean("others")) {
    in.problem("others", " must be true, unless `id` names a login");
  } else {
    wish.others = true;
  }
  return in.end(wish);
}

Parsed<InviteBody> read_invite_wish(std::string_view body) {
  Body in(body.empty() ? "{}" : body);
  InviteBody wish{.role = ipc::Role::user, .expires_hours = kDefaultInviteHours};
  if (in.has("role")) {
    const auto role = parse_role(in.text("role", kMaxTypedName));
    if (!role) in.problem("role", " must be \"user\", \"admin\" or \"auditor\"");
    wish.role = role.value_or(ipc::Role::user);
  }
  if (in.has("expires_hours")) wish.expires_hours = in.number("expires_hours", 1, kMaxInviteHours);
  return in.end(wish);
}

Parsed<std::uint64_t> read_id(std::string_view body) {
  Body in(body);
  return in.end(in.number("id", 1, std::numeric_limits<std::int64_t>::max()));
}

Parsed<std::string> read_username(std::string_view body) {
  Body in(body);
  return in.end(in.text("username", kMaxTypedName));
}

Parsed<RevokeBody> read_revoke(std::string_view body) {
  Body in(body);
  RevokeBody wish{.username = in.text("username", kMaxTypedName)};
  if (in.has("id")) wish.id = in.number("id", 1, std::numeric_limits<std::int64_t>::max());
  return in.end(std::move(wish));
}

Parsed<ResetWish> read_reset_wish(std::string_view body) {
  Body in(body);
  ResetWish wish{.username = in.text("username", kMaxTypedName), .expires_hours = kDefaultResetHours};
  if (in.has("expires_hours")) wish.expires_hours = in.number("expires_hours", 1, kMaxResetHours);
  return in.end(std::move(wish));
}

Parsed<DisableBody> read_disable(std::string_view body) {
  Body in(body);
  return in.end(DisableBody{.username = in.text("username", kMaxTypedName),
                            .disabled = in.boolean("disabled")});
}

Parsed<std::uint32_t> read_list_accounts(std::string_view body) {
  Body in(body.empty() ? "{}" : body);
  std::uint64_t after = 0;
  if (in.has("after")) after = in.number("after", 0, kMaxAccountId);
  return in.end(static_cast<std::uint32_t>(after));
}

Parsed<bool> read_empty(std::string_view body) {
  return Body(body.empty() ? "{}" : body).end(true);
}

std::string user_json(const Account& account) { return dump(user_object(account)); }

std::string user_answer(const Account& account) { return dump({{"user", user_object(account)}}); }

std::string state_answer(bool setup_required, const Account* user,
                         const std::vector<std::string>& unavailable) {
  return dump({{"setup_required", setup_required},
               {"user", user == nullptr ? Json(nullptr) : user_object(*user)},
               {"profiles", profile_list(unavailable)}});
}

std::string invites_answer(const std::vector<Invite>& invites) {
  Json list = Json::array();
  for (const Invite& invite : invites) {
    list.push_back({{"id", invite.id},
                    {"role", role_name(invite.role)},
                    {"created_at", invite.created_at},
                    {"expires_at", invite.expires_at},
                    {"state", state_name(invite.state)},
                    {"made_by", invite.made_by.empty() ? Json(nullptr) : Json(invite.made_by)},
                    {"used_by", invite.used_by.empty() ? Json(nullptr) : Json(invite.used_by)}});
  }
  return dump({{"invites", std::move(list)}});
}

std::string invite_answer(const Invite& invite, std::string_view code) {
  const Json shown = {{"id", invite.id},
                      {"role", role_name(invite.role)},
                      {"expires_at", invite.expires_at}};
  return dump({{"invite", shown}, {"code", code}});
}

std::string logins_answer(const std::vector<LoginRow>& logins, std::uint64_t current) {
  Json list = Json::array();
  for (const LoginRow& login : logins) {
    list.push_back({{"id", login.id},
                    {"created_at", login.created_at},
                    {"last_seen_at", login.last_seen_at},
                    {"expires_at", login.expires_at},
                    {"remote", login.from.remote},
                    {"agent", login.from.agent},
                    {"current", login.id == current}});
  }
  return dump({{"logins", std::move(list)}});
}

std::string ended_answer(std::size_t ended) { return dump({{"ended", ended}}); }

std::string reset_answer(const Account& account, std::string_view code, std::uint64_t expires_at) {
  return dump({{"username", account.username}, {"code", code}, {"expires_at", expires_at}});
}

std::string error_answer(std::string_view text, std::string_view code,
                         std::uint32_t retry_after_s) {
  Json json = {{"error", text}, {"code", code}};
  if (retry_after_s != 0) json["retry_after_s"] = retry_after_s;
  return dump(json);
}

std::string setup_link_answer(const std::optional<std::string>& token) {
  Json json = {{"setup_required", token.has_value()}};
  if (token) json["token"] = *token;
  return dump(json);
}

std::string accounts_answer(const std::vector<Account>& accounts) {
  Json list = Json::array();
  for (const Account& account : accounts) {
    Json json = user_object(account);
    json["created_at"] = account.created_at;
    if (account.last_login_at != 0) json["last_login_at"] = account.last_login_at;
    json["disabled"] = account.disabled;
    list.push_back(std::move(json));
  }
  Json json = {{"accounts", std::move(list)}};
  if (accounts.size() == kMaxListedAccounts) json["next_after"] = accounts.back().id;
  return dump(json);
}

std::string admin_invite_answer(const Invite& invite, std::string_view code) {
  return dump({{"id", invite.id},
               {"code", code},
               {"role", role_name(invite.role)},
               {"expires_at", invite.expires_at}});
}

std::string revoked_answer(const std::vector<std::uint64_t>& logins) {
  return dump({{"revoked", logins.size()}, {"logins", logins}});
}

std::string changed_answer(bool changed) { return dump({{"changed", changed}}); }

}  // namespace oqto::accounts
