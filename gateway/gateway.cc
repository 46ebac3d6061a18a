#include "gateway/gateway.h"

#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "base/log.h"
#include "base/sys.h"
#include "gateway/config_file.h"
#include "gateway/pi_files.h"

namespace oqto::gateway {
namespace {

Result<int> socket_option(const Fd& socket, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  if (::getsockopt(socket.get(), SOL_SOCKET, option, &value, &size) != 0) {
    return fail_errno("getsockopt");
  }
  return value;
}

}  // namespace

Gateway::Gateway(const sandbox::Sealed& /*proof*/, asio::io_context& io, ipc::Channel guard,
                 Shared& shared)
    : io_(io),
      guard_(std::move(guard)),
      shared_(shared),
      readable_(io, guard_.fd()),
      models_json_(models_json(*shared.config)),
      settings_json_(settings_json(*shared.config)),
      answer_again_(io) {}

Status Gateway::run() {
  TRY(guard_.send(ipc::Ready{}));
  TRY(send_models());
  asio::co_spawn(io_, listen(), asio::detached);
  io_.run();
  for (const auto& [id, session] : sessions_) session->close();
  io_.restart();
  io_.poll();  // lets the coroutines see it and end
  return ended_;
}

void Gateway::stop(Status why) {
  ended_ = std::move(why);
  io_.stop();
}

asio::awaitable<void> Gateway::listen() {
  for (;;) {
    const bool ready = co_await readable_.wait();
    if (!ready || !receive_all()) break;
  }
  stop();
}

// False: the guard is gone, or does not speak our language.
bool Gateway::receive_all() {
  for (;;) {
    auto received = guard_.receive();
    if (!received && received.error().code == Errc::limit) return true;
    if (!received) return false;
    const Status handled = handle(*received);
    if (handled) continue;
    log::error("a message from the guard was not carried out", handled.error());
    if (handled.error().code == Errc::bad_message) return false;
  }
}

Status Gateway::handle(ipc::Received& received) {
  switch (received.tag) {
    case ipc::Tag::open_gate:
      return open(TRY(received.as<ipc::OpenGate>()));
    case ipc::Tag::gate_socket: {
      const auto gate = TRY(received.as<ipc::GateSocket>());
      return add_socket(gate, std::move(received.fd));
    }
    case ipc::Tag::gate_rules:
      return allow(TRY(received.as<ipc::GateRules>()));
    case ipc::Tag::gate_listener: {
      const auto made = TRY(received.as<ipc::GateListener>());
      if (Session* session = find(made.session)) {
        session->network.listener(made.address, made.port, std::move(received.fd));
      }
      return {};
    }
    case ipc::Tag::gate_listen_failed: {
      const auto failed = TRY(received.as<ipc::GateListenFailed>());
      if (Session* session = find(failed.session)) {
        errno = static_cast<int>(failed.error);
        session->network.listener(failed.address, failed.port,
                                  fail_errno("a name's port cannot be listened on"));
      }
      return {};
    }
    case ipc::Tag::approval_answer: {
      const auto answer = TRY(received.as<ipc::ApprovalAnswer>());
      if (Session* session = find(answer.session)) session->network.answered(answer);
      return {};
    }
    case ipc::Tag::close_gate:
      close(TRY(received.as<ipc::CloseGate>()).session);
      return {};
    case ipc::Tag::reload: {
      const auto asked = TRY(received.as<ipc::Reload>());
      if (asked.part != ipc::ReloadPart::gateway) {
        return fail(Errc::bad_message, "a file that is not for the gateway");
      }
      return reload(asked, received.fd);
    }
    case ipc::Tag::wire: {
      const auto wire = TRY(received.as<ipc::Wire>());
      if (wire.role != ipc::WireRole::audit) return fail(Errc::bad_message, "not ours to wire");
      shared_.audit.replace(ipc::Channel(std::move(received.fd)));
      return {};
    }
    default:
      return fail(Errc::bad_message, "a message that is not for the gateway");
  }
}

Status Gateway::open(const ipc::OpenGate& gate) {
  if (sessions_.contains(gate.session)) return fail(Errc::denied, "this session is open already");
  if (sessions_.size() >= kMaxSessions) return fail(Errc::limit, "too many sessions");
  const Fd models = TRY(sys::sealed_memfd("models.json", models_json_));
  const Fd settings = TRY(sys::sealed_memfd("settings.json", settings_json_));
  auto session = std::make_shared<Session>(io_, shared_, gate);
  session->report = [this](const Session& of) { report(of); };
  sessions_.emplace(gate.session, std::move(session));
  TRY(guard_.send(ipc::GateFile{gate.session, ipc::GateFileKind::models_json}, models));
  return guard_.send(ipc::GateFile{gate.session, ipc::GateFileKind::settings_json}, settings);
}

Session* Gateway::find(const Uuid& session) {
  const auto found = sessions_.find(session);
  return found == sessions_.end() ? nullptr : found->second.get();
}

NetworkSetup Gateway::network_of(const Session& session) {
  return {shared_.egress, shared_.audit, session.number, session.id, session.account,
          [this](const ipc::GateListen& request) { return guard_.send(request); },
          [this](const ipc::ApprovalAsk& question) { return guard_.send(question); }};
}

Status Gateway::allow(const ipc::GateRules& rules) {
  Session* const session = find(rules.session);
  if (session == nullptr) return fail(Errc::not_found, "rules for a session that is not open");
  return session->network.allow(network_of(*session), rules);
}

Status Gateway::add_socket(const ipc::GateSocket& gate, Fd socket) {
  const auto found = sessions_.find(gate.session);
  if (found == sessions_.end())
    return fail(Errc::not_found, "a socket for a session that is not open");
  Session& session = *found->second;
  if (gate.kind == ipc::GateSocketKind::model) return add_model(found->second, std::move(socket));
  return session.network.serve(network_of(session), gate.kind, std::move(socket));
}

Status Gateway::add_model(const std::shared_ptr<Session>& session, Fd socket) {
  const bool v4 = TRY(socket_option(socket, SO_DOMAIN)) == AF_INET;
  const bool stream = TRY(socket_option(socket, SO_TYPE)) == SOCK_STREAM;
  const bool listens = TRY(socket_option(socket, SO_ACCEPTCONN)) != 0;
  if (!v4 || !stream || !listens || session->model.is_open()) {
    return fail(Errc::denied, "the model socket must be one listening IPv4 TCP socket");
  }
  boost::system::error_code error;
  session->model.assign(asio::ip::tcp::v4(), socket.get(), error);
  if (error) return fail(Errc::io, "the model socket cannot be watched");
  (void)socket.release();
  asio::co_spawn(io_, serve_models(session), asio::detached);
  return {};
}

void Gateway::close(const Uuid& session) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  found->second->close();
  sessions_.erase(found);
}

// --- the operator's file, read again -----------------------------------------------------------

Status Gateway::send_models() {
  const Fd models = TRY(sys::sealed_memfd("models.json", models_json_));
  return guard_.send(ipc::ModelsFile{}, models);
}

// Refused, all goes on as it is.
Status Gateway::reload(const ipc::Reload& asked, const Fd& file) {
  const auto refused = [&](const std::string& why) {
    log::warn("another configuration is refused", {{"error", why}});
    return answer({ipc::ReloadPart::gateway, 0, 0, std::string_view(why), 0, asked.request});
  };
  auto wanted = read_config(file, shared_.config_name);
  if (!wanted) return refused(wanted.error());
  if (needs_authorities(*wanted) && !shared_.has_authorities) {
    return refused(shared_.config_name + ": the certificates of the authorities could not be read at the start, which "
                                         "https:// needs: install ca-certificates, then start the host again");
  }
  const bool changed = wanted->text_sha256 != shared_.config->text_sha256;
  const std::string what = described(*wanted);
  if (changed) take(*std::move(wanted));
  return answer({ipc::ReloadPart::gateway, 1, changed, std::string_view(what), 0, asked.request});
}

Status Gateway::answer(const ipc::Reloaded& reloaded) {
  answers_.push_back(reloaded);
  send_answers();
  return {};
}

// A guard that does not read yet learns of each all the same: it keeps what we have taken for our successor.
void Gateway::send_answers() {
  for (; !answers_.empty(); answers_.pop_front()) {
    const Status sent = guard_.send(answers_.front());
    if (sent || sent.error().code != Errc::limit) continue;  // gone: listen() sees it
    answer_again_.expires_after(std::chrono::milliseconds(50));
    answer_again_.async_wait([this](const boost::system::error_code& error) {
      if (!error) send_answers();
    });
    return;
  }
}

// Calls and connections that are under way end as they began.
void Gateway::take(Config config) {
  shared_.audit.add_secrets(secrets_of(config));
  record_config(shared_.audit, config);
  shared_.egress.replace(config.egress);
  models_json_ = models_json(config);
  settings_json_ = settings_json(config);
  shared_.config = std::make_shared<const Config>(std::move(config));
  for (const auto& [id, session] : sessions_) session->holds.clear();  // another key, or another place
  if (const Status sent = send_models(); !sent) log::error("the models could not be announced", sent.error());
}

// A total, so a report that finds the channel full is made up for by the next.
void Gateway::report(const Session& session) {
  if (!sessions_.contains(session.number)) return;
  const ipc::OpenGate& total = session.total;
  (void)guard_.send(ipc::GateUsage{session.number, total.calls, total.tokens_in, total.tokens_out,
                                   total.cost_nanos, total.estimated_calls});
}

}  // namespace oqto::gateway
