#include "runner/test_host.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>

#include "base/sys.h"

namespace oqto::runner::test {

using protocol::Json;
namespace beast = boost::beast;
using Protocol = boost::asio::local::stream_protocol;

namespace {

constexpr std::uint32_t kAccount = 7;

pid_t spawn(const char* binary, std::vector<std::string> args, const Fd& guard, const Fd& audit, const Fd& peer) {
  std::vector<char*> argv = {const_cast<char*>(binary)};
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  // Out of the way of 3, 4 and 5.
  const int high[3] = {::fcntl(guard.get(), F_DUPFD, 100), ::fcntl(audit.get(), F_DUPFD, 100),
                       ::fcntl(peer.get(), F_DUPFD, 100)};
  const pid_t pid = ::fork();
  if (pid == 0) {
    for (int i = 0; i < 3; ++i) (void)::dup2(high[i], 3 + i);
    (void)sys::die_with_parent(::getppid());
    (void)::execv(binary, argv.data());
    ::_exit(127);
  }
  for (const int fd : high) (void)::close(fd);
  return pid;
}

int reap(pid_t& pid) {
  int status = 0;
  if (pid > 0) (void)::waitpid(pid, &status, 0);
  pid = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

// --- Browser -------------------------------------------------------------------------------------

struct Browser::Impl {
  // One message, or an error, or nothing in that time. A read that nothing answered goes on.
  bool read(int timeout_ms) {
    if (!pending) {
      pending = true;
      done = false;
      socket.async_read(buffer, [this](const boost::system::error_code& result, std::size_t) {
        done = true;
        pending = false;
        error = result;
      });
    }
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
    context.restart();
    while (!done && context.run_one_until(deadline) > 0) {
    }
    return done;
  }

  boost::asio::io_context context;
  beast::websocket::stream<Protocol::socket> socket{context};
  beast::flat_buffer buffer;
  boost::system::error_code error;
  bool pending = false;
  bool done = false;
};

Browser::Browser(Fd stream) : impl_(std::make_unique<Impl>()) {
  (void)sys::set_nonblocking(stream, false);
  impl_->socket.next_layer().assign(Protocol(), stream.release());
  impl_->socket.set_option(beast::websocket::stream_base::decorator(
      [](beast::websocket::request_type& request) { request.set("Sec-WebSocket-Protocol", "host.mux.v1"); }));
  impl_->socket.read_message_max(2 * 1024 * 1024);
  impl_->socket.handshake("localhost", "/ws/mux");
}

Browser::~Browser() = default;

Json Browser::next(int timeout_ms) {
  if (!impl_->read(timeout_ms) || impl_->error) return Json();
  const auto json = protocol::parse_json(beast::buffers_to_string(impl_->buffer.data()));
  impl_->buffer.consume(impl_->buffer.size());
  EXPECT_TRUE(json.has_value());
  // What every connection of the account is told beside all else.
  static constexpr std::array<std::string_view, 4> kPushes = {"session", "session_removed", "workspace", "models"};
  const bool push = json->text_at("channel") == "system" &&
                    std::ranges::find(kPushes, json->text_at("type")) != kPushes.end();
  (push ? pushed : seen).push_back(*json);
  return push ? next(timeout_ms) : *json;
}

Json Browser::until(const std::function<bool(const Json&)>& wanted, int timeout_ms) {
  const std::uint64_t deadline = sys::monotonic_ms() + static_cast<std::uint64_t>(timeout_ms);
  while (sys::monotonic_ms() < deadline) {
    Json frame = next(timeout_ms);
    if (frame.is_null()) break;
    if (wanted(frame)) return frame;
  }
  ADD_FAILURE() << "the frame did not come; the last was "
                << (seen.empty() ? std::string("none") : seen.back().dump());
  return Json();
}

// Events may come before the answer to the command that caused them.
Json Browser::event(std::string_view name) {
  const auto wanted = [&](const Json& frame) { return frame.text_at("event") == name; };
  for (; looked_at_ < seen.size(); ++looked_at_) {
    if (wanted(seen[looked_at_])) return seen[looked_at_++];
  }
  const Json found = until(wanted);
  looked_at_ = seen.size();
  return found;
}

void Browser::send(const std::string& text) {
  boost::system::error_code error;
  impl_->socket.text(true);
  impl_->socket.write(boost::asio::buffer(text), error);
}

std::string Browser::command(std::string_view session, std::string_view fields) {
  const std::string id = "r" + std::to_string(next_id_++);
  send(R"({"channel":"agent","id":")" + id + R"(","session_id":")" + std::string(session) + "\"," +
       std::string(fields) + "}");
  return id;
}

Json Browser::ask(std::string_view session, std::string_view fields) {
  const std::string id = command(session, fields);
  return until([&](const Json& frame) {
    return frame.text_at("event") == "response" && frame.text_at("id") == id;
  });
}

bool Browser::ended(int timeout_ms) {
  const std::uint64_t deadline = sys::monotonic_ms() + static_cast<std::uint64_t>(timeout_ms);
  while (sys::monotonic_ms() < deadline && impl_->read(timeout_ms)) {
    if (impl_->error) return true;
    impl_->buffer.consume(impl_->buffer.size());
  }
  return false;
}

// --- Host ----------------------------------------------------------------------------------------

Host::Host() {
  char name[] = "/tmp/runner-test-XXXXXX";
  dir_ = ::mkdtemp(name);
  std::filesystem::create_directory(dir_ + "/runner");
  std::filesystem::create_directory(dir_ + "/hstry");
  start_history();
  start_runner();
}

Host::~Host() {
  stopping_ = true;
  if (runner_ > 0) { EXPECT_EQ(stop_runner(), 0); }
  stop_history();
  cut_audit();
  for (std::thread& thread : threads_) thread.join();
  pis_.clear();
  dead_.clear();
  std::filesystem::remove_all(dir_);
}

void Host::start_history() {
  auto [guard, theirs] = *sys::seqpacket_pair();
  auto [audit, their_audit] = *sys::seqpacket_pair();
  auto [ours, their_stream] = *sys::stream_pair();
  history_ = spawn(HSTRY_BINARY, {"--state-dir", dir_ + "/hstry"}, theirs, their_audit, their_stream);
  history_guard_ = ipc::Channel(std::move(guard));
  EXPECT_TRUE(history_guard_.wait(10'000).has_value()) << "hstry did not get ready";
  if (runner_ > 0) {
    const std::lock_guard lock(mutex_);
    EXPECT_TRUE(guard_.send(ipc::Wire{ipc::WireRole::peer}, ours));
  } else {
    history_end_ = std::move(ours);
  }
}

void Host::pause_history(bool on) { (void)::kill(history_, on ? SIGSTOP : SIGCONT); }

void Host::stop_history() {
  if (history_ > 0) (void)::kill(history_, SIGKILL);
  reap(history_);
}

void Host::start_runner() {
  auto [guard, theirs] = *sys::seqpacket_pair();
  auto [audit, their_audit] = *sys::seqpacket_pair();
  runner_ = spawn(RUNNER_BINARY, {"--state-dir", dir_ + "/runner", "--account", std::to_string(kAccount)},
                  theirs, their_audit, history_end_);
  history_end_.reset();
  audit_ = std::make_shared<ipc::Channel>(std::move(audit));
  guard_ = ipc::Channel(std::move(guard));
  ready_ = false;
  threads_.emplace_back([this, channel = audit_] { audit_loop(channel); });
  threads_.emplace_back([this] { guard_loop(); });
  for (int i = 0; i < 1000 && !ready_; ++i) ::usleep(10'000);
  EXPECT_TRUE(ready_) << "the runner did not get ready";
}

int Host::stop_runner() {
  (void)::kill(runner_, SIGTERM);
  const int status = reap(runner_);
  return status;
}

void Host::guard_loop() {
  const int fd = guard_.fd().get();
  for (;;) {
    pollfd entry{fd, POLLIN, 0};
    (void)::poll(&entry, 1, 50);
    const std::lock_guard lock(mutex_);
    auto received = guard_.receive();
    if (!received && received.error().code == Errc::limit) continue;
    if (!received) return;
    if (received->tag == ipc::Tag::ready) {
      ready_ = true;
    } else if (received->tag == ipc::Tag::create_workspace) {
      (void)guard_.send(ipc::WorkspaceCreated{received->as<ipc::CreateWorkspace>()->request});
    } else if (received->tag == ipc::Tag::start_session) {
      const auto start = *received->as<ipc::StartSession>();
      auto [ours, theirs] = *sys::seqpacket_pair();
      auto pi = std::make_unique<FakePi>(std::move(ours), start.session);
      pi->on_exit = [this, session = start.session] {
        std::thread([this, session] {
          const std::lock_guard inner(mutex_);
          const auto found = pis_.find(session);
          if (found == pis_.end()) return;
          (void)guard_.send(ipc::SessionEnded{session, ""});
        }).detach();
      };
      if (pis_.contains(start.session)) dead_.push_back(std::move(pis_[start.session]));
      pis_[start.session] = std::move(pi);
      ++sandboxes_;
      ipc::SessionStarted started;
      started.request = start.request;
      started.session = start.session;
      started.profile = start.profile;
      started.network = "filtered";
      started.domains.values = {"a.example:443"};
      started.max_processes = 99;
      started.audit_contents = keep_contents_ ? 1 : 0;
      (void)guard_.send(started, theirs);
    } else if (received->tag == ipc::Tag::approval_answer) {
      answers_.push_back(*received->as<ipc::ApprovalAnswer>());
    } else if (received->tag == ipc::Tag::stop_session) {
      // The FakePi sees its channel end when the runner drops its own end, or has ended already.
    }
  }
}

void Host::audit_loop(std::shared_ptr<ipc::Channel> channel) {
  std::uint64_t index = 0;
  for (;;) {
    auto received = channel->wait(-1);
    if (!received) return;
    if (const auto blob = received->as<ipc::AuditBlob>()) {
      if (audit_answers_) (void)channel->send(ipc::AuditBlobStored{blob->request, {}, 0});
      continue;
    }
    const auto record = received->as<ipc::AuditAppend>();
    if (!record) continue;
    if (record->phase == ipc::Phase::outcome && outcomes_to_refuse_ > 0) {
      --outcomes_to_refuse_;
      (void)channel->send(ipc::AuditRefused{record->request, "no room"});
      continue;
    }
    AuditedRecord kept{record->phase, record->outcome, "", "", record->event, ""};
    for (const ipc::AuditField& field : record->list) {
      kept.text += std::string(ipc::field_name(field.key)) + '=' + field.value + '\n';
      if (field.key == ipc::FieldKey::command) kept.command = field.value;
      if (field.key == ipc::FieldKey::args) kept.args = field.value;
    }
    {
      const std::lock_guard lock(mutex_);
      records_.push_back(kept);
    }
    if (audit_answers_) (void)channel->send(ipc::AuditAppended{record->request, index++});
  }
}

void Host::cut_audit() {
  if (audit_) (void)::shutdown(audit_->fd().get(), SHUT_RDWR);
}

void Host::wire_audit() {
  auto [ours, theirs] = *sys::seqpacket_pair();
  audit_ = std::make_shared<ipc::Channel>(std::move(ours));
  threads_.emplace_back([this, channel = audit_] { audit_loop(channel); });
  const std::lock_guard lock(mutex_);
  EXPECT_TRUE(guard_.send(ipc::Wire{ipc::WireRole::audit}, theirs));
}

std::vector<AuditedRecord> Host::audited() {
  const std::lock_guard lock(mutex_);
  return records_;
}

void Host::tell_facts(const std::string& models_json, const std::vector<std::string>& unavailable) {
  const Fd models = *sys::sealed_memfd("models.json", models_json);
  const std::lock_guard lock(mutex_);
  EXPECT_TRUE(guard_.send(ipc::HostFacts{{unavailable}}, models));
}

void Host::ask_user(const ipc::ApprovalAsk& ask) {
  const std::lock_guard lock(mutex_);
  EXPECT_TRUE(guard_.send(ask));
}

std::vector<ipc::ApprovalAnswer> Host::answers() {
  const std::lock_guard lock(mutex_);
  return answers_;
}

std::vector<std::string> Host::last_argv() {
  const std::lock_guard lock(mutex_);
  return pis_.empty() ? std::vector<std::string>() : pis_.begin()->second->argv;
}

Fd Host::open_stream() {
  auto [ours, theirs] = *sys::stream_pair();
  const std::lock_guard lock(mutex_);
  const ipc::Connection message{next_connection_++, kAccount, ipc::Role::user, "anna"};
  EXPECT_TRUE(guard_.send(message, theirs));
  return std::move(ours);
}

void Host::disconnect(std::uint64_t connection) {
  const std::lock_guard lock(mutex_);
  EXPECT_TRUE(guard_.send(ipc::Disconnect{connection}));
}

std::unique_ptr<Browser> Host::connect(std::string_view) {
  return std::make_unique<Browser>(open_stream());
}

}  // namespace oqto::runner::test
