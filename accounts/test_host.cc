#include "accounts/test_host.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/sys.h"

namespace oqto::accounts {

using ipc::AuthEndpoint;
using ipc::Channel;

namespace {

std::pair<Channel, Fd> channel_pair() {
  auto pair = sys::seqpacket_pair();
  EXPECT_TRUE(pair);
  return {Channel(std::move(pair->first)), std::move(pair->second)};
}

std::string file_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TestAuditd::TestAuditd(Channel channel, Mode mode) : channel_(std::move(channel)), mode_(mode) {
  thread_ = std::thread([this] { serve(); });
}

TestAuditd::~TestAuditd() {
  stop_ = true;
  thread_.join();
}

void TestAuditd::serve() {
  constexpr int kPollMs = 10;
  while (!stop_) {
    const auto received = channel_.wait(kPollMs);
    if (!received && received.error().code == Errc::limit) continue;
    if (!received) return;
    const auto append = received->as<ipc::AuditAppend>();
    if (!append) return;
    if (mode_ == Mode::is_silent) continue;
    if (mode_ == Mode::refuses) {
      (void)channel_.send(ipc::AuditRefused{.request = append->request, .why = "the disk is full"});
      continue;
    }
    const std::lock_guard lock(mutex_);
    records_.push_back(*append);
    (void)channel_.send(
        ipc::AuditAppended{.request = append->request, .index = records_.size() - 1});
  }
}

std::vector<ipc::AuditAppend> TestAuditd::records() const {
  const std::lock_guard lock(mutex_);
  return records_;
}

TempDir::TempDir() {
  std::string name = (std::filesystem::temp_directory_path() / "oqto-accounts-XXXXXX").string();
  path = ::mkdtemp(name.data());
}
TempDir::~TempDir() { std::filesystem::remove_all(path); }

TestHost::TestHost(std::vector<std::string> unavailable) : unavailable_(std::move(unavailable)) {
  std::filesystem::create_directory(dir_.path / "state");
  std::filesystem::permissions(dir_.path / "state", std::filesystem::perms::owner_all);
  start();
}

TestHost::~TestHost() { crash(); }

void TestHost::start(TestAuditd::Mode mode) {
  auto [guard, guard_end] = channel_pair();
  auto [audit, audit_end] = channel_pair();
  auto [relay, relay_end] = channel_pair();
  auditd_ = std::make_unique<TestAuditd>(std::move(audit), mode);
  const std::string state = (dir_.path / "state").string();
  const std::string errors = (dir_.path / "stderr").string();
  pid_ = ::fork();
  ASSERT_GE(pid_, 0);
  if (pid_ == 0) {
    const int err = ::open(errors.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    (void)::dup2(err, STDERR_FILENO);
    // Out of the way of 3, 4 and 5 first.
    constexpr int kFree = 100;
    (void)::dup3(guard_end.get(), kFree, 0);
    (void)::dup3(audit_end.get(), kFree + 1, 0);
    (void)::dup3(relay_end.get(), kFree + 2, 0);
    for (int i = 0; i < 3; ++i) (void)::dup2(kFree + i, ipc::kGuardFd + i);
    const std::string last = std::to_string(last_account);
    std::vector<const char*> argv{"oqto-accounts", "--state-dir", state.c_str(), "--last-account", last.c_str()};
    for (const std::string& why : unavailable_) argv.insert(argv.end(), {"--unavailable", why.c_str()});
    argv.push_back(nullptr);
    ::execv(OQTO_ACCOUNTS_BIN, const_cast<char* const*>(argv.data()));
    ::_exit(127);
  }
  guard_ = std::move(guard);
  relay_ = std::move(relay);
  const auto ready = guard_.wait(kAnswerMs);
  ASSERT_TRUE(ready) << file_bytes(errors);
  ASSERT_TRUE(ready->as<ipc::Ready>());
}

int TestHost::stop() {
  if (pid_ < 0) return -1;
  ::kill(pid_, SIGTERM);
  int status = 0;
  EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void TestHost::crash() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  (void)::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

static std::string run_sql(const std::filesystem::path& file, const std::string& sql) {
  sqlite3* db = nullptr;
  EXPECT_EQ(sqlite3_open(file.c_str(), &db), SQLITE_OK);
  std::string value;
  char* error = nullptr;
  const auto keep = [](void* out, int count, char** values, char**) {
    if (count > 0 && values[0] != nullptr) *static_cast<std::string*>(out) = values[0];
    return 0;
  };
  EXPECT_EQ(sqlite3_exec(db, sql.c_str(), keep, &value, &error), SQLITE_OK)
      << (error != nullptr ? error : "");
  sqlite3_free(error);
  (void)sqlite3_close(db);
  return value;
}

void TestHost::edit_database(const std::string& sql) {
  ASSERT_LT(pid_, 0);
  run_sql(dir_.path / "state" / "accounts.db", sql);
}

std::string TestHost::database_value(const std::string& sql) const {
  EXPECT_LT(pid_, 0);
  return run_sql(dir_.path / "state" / "accounts.db", sql);
}

std::string TestHost::all_bytes() const {
  std::string bytes;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_.path)) {
    if (entry.is_regular_file()) bytes += file_bytes(entry.path());
  }
  return bytes;
}

void TestHost::wire_audit(TestAuditd::Mode mode) {
  auto [audit, audit_end] = channel_pair();
  auditd_ = std::make_unique<TestAuditd>(std::move(audit), mode);
  ASSERT_TRUE(guard_.send(ipc::Wire{.role = ipc::WireRole::audit}, audit_end));
  (void)lookup({});  // an answer shows that the wire before it has arrived
}

void TestHost::wire_relay() {
  auto [relay, relay_end] = channel_pair();
  relay_ = std::move(relay);
  ASSERT_TRUE(guard_.send(ipc::Wire{.role = ipc::WireRole::peer}, relay_end));
}

Channel TestHost::connect(const std::string& remote) {
  auto [connection, end] = channel_pair();
  EXPECT_TRUE(relay_.send(ipc::AuthPeer{.connection = 1, .remote = std::string_view(remote)}, end));
  return std::move(connection);
}

ipc::AuthReply TestHost::call(AuthEndpoint endpoint, const std::string& body,
                              const std::optional<ipc::Token>& token, const std::string& remote) {
  Channel connection = connect(remote);
  ipc::AuthCall asked = auth_call(endpoint, body, token);
  asked.has_device = device ? 1 : 0;
  asked.device = device.value_or(ipc::Token{});
  asked.agent = std::string_view(agent);
  EXPECT_TRUE(connection.send(asked));
  return next_reply(connection);
}

std::optional<ipc::TokenOwner> TestHost::lookup(const ipc::Token& token) {
  const std::uint64_t request = next_request_++;
  EXPECT_TRUE(guard_.send(ipc::LookupToken{.request = request, .token = token}));
  for (;;) {
    const auto received = guard_.wait(kAnswerMs);
    EXPECT_TRUE(received);
    if (!received) return std::nullopt;
    if (received->tag == ipc::Tag::login_revoked) {
      revoked_.push_back(received->as<ipc::LoginRevoked>()->login);
    } else if (received->tag == ipc::Tag::account_ended) {
      const auto ended = received->as<ipc::AccountEnded>();
      accounts_ended_.push_back({ended->account, ended->disabled == 1});
    } else if (received->tag == ipc::Tag::token_unknown) {
      EXPECT_EQ(received->as<ipc::TokenUnknown>()->request, request);
      return std::nullopt;
    } else {
      const auto owner = received->as<ipc::TokenOwner>();
      EXPECT_TRUE(owner);
      EXPECT_EQ(owner->request, request);
      return *owner;
    }
  }
}

std::vector<std::uint64_t> TestHost::revoked() {
  (void)lookup({});
  return std::exchange(revoked_, {});
}

std::vector<TestHost::Ended> TestHost::ended() {
  (void)lookup({});
  return std::exchange(accounts_ended_, {});
}

void TestHost::check(const std::vector<std::uint64_t>& logins, const std::vector<std::uint32_t>& accounts) {
  ipc::CheckLogins ask;
  const auto put = [](std::string& list, std::uint64_t value, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) list.push_back(static_cast<char>(value >> 8 * i));
  };
  for (const std::uint64_t login : logins) put(ask.logins.value, login, ask.kLoginBytes);
  for (const std::uint32_t account : accounts) put(ask.accounts.value, account, ask.kAccountBytes);
  EXPECT_TRUE(guard_.send(ask));
}

ipc::AdminReply TestHost::admin(ipc::AdminVerb verb, const std::string& body) {
  auto [channel, end] = channel_pair();
  EXPECT_TRUE(guard_.send(ipc::AdminPeer{1000, "ann"}, end));
  EXPECT_TRUE(channel.send(ipc::AdminCall{.verb = verb, .body = {body}}));
  const auto received = channel.wait(kAnswerMs);
  EXPECT_TRUE(received);
  return received ? *received->as<ipc::AdminReply>() : ipc::AdminReply{};
}

std::string TestHost::setup_token() {
  return at(admin(ipc::AdminVerb::setup_link).body.value, "/token");
}

ipc::Token TestHost::set_up(const std::string& username) {
  const auto reply = call(AuthEndpoint::setup,
                          R"({"token":")" + setup_token() + R"(","username":")" + username +
                              R"(","password":)" + quoted(kPassword) + "}");
  EXPECT_EQ(reply.status, 201) << reply.body.value;
  EXPECT_EQ(reply.cookie, ipc::CookieAction::set);
  return reply.token;
}

std::string TestHost::invite(const std::string& role) {
  const auto reply = admin(ipc::AdminVerb::create_invite, R"({"role":")" + role + "\"}");
  EXPECT_EQ(reply.ok, 1) << reply.body.value;
  return at(reply.body.value, "/code");
}

ipc::Token TestHost::join(const std::string& username, const std::string& role) {
  const auto reply = call(AuthEndpoint::register_user,
                          R"({"invite_code":")" + invite(role) + R"(","username":")" + username +
                              R"(","password":)" + quoted(kPassword) + "}");
  EXPECT_EQ(reply.status, 201) << reply.body.value;
  return reply.token;
}

ipc::AuthReply TestHost::login(const std::string& username, const std::string& password,
                               const std::string& remote) {
  return call(AuthEndpoint::login,
              "{\"username\":" + quoted(username) + ",\"password\":" + quoted(password) + "}",
              std::nullopt, remote);
}

ipc::AuthCall auth_call(AuthEndpoint endpoint, const std::string& body,
                        const std::optional<ipc::Token>& token) {
  ipc::AuthCall call;
  call.endpoint = endpoint;
  call.has_token = token ? 1 : 0;
  call.token = token.value_or(ipc::Token{});
  call.body.value = body;
  return call;
}

ipc::AuthReply next_reply(Channel& channel) {
  const auto received = channel.wait(kAnswerMs);
  EXPECT_TRUE(received);
  if (!received) return {};
  const auto reply = received->as<ipc::AuthReply>();
  EXPECT_TRUE(reply);
  return reply.value_or(ipc::AuthReply{});
}

std::string at(const std::string& json, const std::string& pointer) {
  const auto parsed = nlohmann::json::parse(json, nullptr, false);
  const nlohmann::json::json_pointer path(pointer);
  if (parsed.is_discarded() || !parsed.contains(path)) return "<none>";
  const auto& value = parsed[path];
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string quoted(const std::string& text) { return nlohmann::json(text).dump(); }

std::vector<std::string> summary(const std::vector<ipc::AuditAppend>& records) {
  static const char* const kPhases[] = {"intent", "outcome", "event"};
  static const char* const kOutcomes[] = {"", " success", " failure"};
  std::vector<std::string> lines;
  for (const auto& record : records) {
    lines.push_back(std::string(ipc::event_name(record.event)) + ' ' +
                    kPhases[static_cast<std::size_t>(record.phase)] +
                    kOutcomes[static_cast<std::size_t>(record.outcome)]);
  }
  return lines;
}

}  // namespace oqto::accounts
