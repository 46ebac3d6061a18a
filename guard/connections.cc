// From a browser's connection to its tenant's runner. The relay presents a token; accounts says whose
// it is; the record is made; then both get one end of a stream pair. The relay names nobody.
#include <signal.h>

#include "base/log.h"
#include "base/sys.h"
#include "guard/guard.h"

namespace oqto::guard {

void Connection::on_ready(std::uint32_t) { guard.connection_message(*this); }

Status Guard::on_connection_opened(Child&, ipc::Received& received) {
  const auto opened = TRY(received.as<ipc::ConnectionOpened>());
  // Closing our end ends the connection.
  if (stopping_ || connections_.size() >= kMaxConnections) return {};
  // Our own number: an answer or a record that is late must not meet another of the relay's choice.
  const std::uint64_t id = next_connection_++;
  auto connection = std::make_unique<Connection>(*this, id, ipc::Channel(std::move(received.fd)),
                                                 opened.remote.view());
  TRY(loop_.watch(connection->channel.fd(), *connection));
  connections_.emplace(id, std::move(connection));
  return {};
}

void Guard::connection_message(Connection& connection) {
  const auto received = connection.channel.receive();
  if (!received) {
    if (received.error().code != Errc::limit) drop(connection.id);
    return;
  }
  if (connection.state == Connection::State::idle && received->as<ipc::Probe>()) {
    connection.state = Connection::State::asking_health;
    asking_.push_back(connection.id);
    return ask_health();
  }
  const auto wanted = received->as<ipc::OpenChannel>();
  if (!wanted || connection.state != Connection::State::idle) {
    ipc::AuditAppend violation;
    violation.event = ipc::Event::violation;
    violation.phase = ipc::Phase::event;
    violation.outcome = ipc::Outcome::failure;
    violation.add(ipc::FieldKey::process, "relay connection")
        .add(ipc::FieldKey::connection, std::to_string(connection.id))
        .add(ipc::FieldKey::remote, connection.remote)
        .add(ipc::FieldKey::reason, "a message that is not allowed here");
    record(std::move(violation));
    drop(connection.id);
    return;
  }
  Child* const accounts = core(ipc::Process::accounts);
  connection.state = Connection::State::looking_up;
  ipc::LookupToken lookup{connection.id, wanted->token};
  if (accounts->health != ipc::Health::ready || !accounts->channel.send(lookup)) {
    refuse(connection, ipc::Refusal::unavailable);
  }
}

// Of what an intent says that it would be; nothing of it is to stay without an end.
void Guard::record_end(ipc::Event event, std::uint64_t intent, std::uint64_t connection, ipc::Outcome outcome,
                       std::string_view reason) {
  if (intent == ipc::kNoIndex) return;
  ipc::AuditAppend end = happened(event, outcome);
  end.phase = ipc::Phase::outcome;
  end.intent = intent;
  if (connection != 0) end.add(ipc::FieldKey::connection, std::to_string(connection));
  record(std::move(end.add(ipc::FieldKey::reason, reason)));
}

void Guard::refuse(Connection& connection, ipc::Refusal refusal) {
  record_end(ipc::Event::connection, std::exchange(connection.record, ipc::kNoIndex), connection.id,
             ipc::Outcome::failure, ipc::refusal_name(refusal));
  connection.state = Connection::State::idle;  // it may try again with another token
  if (!connection.channel.send(ipc::ChannelRefused{refusal})) drop(connection.id);
}

void Guard::drop(std::uint64_t id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& connection = *dropped_.emplace_back(std::move(found->second));
  connections_.erase(found);
  loop_.unwatch(connection.channel.fd(), connection);
  connection.channel = ipc::Channel();  // first: the relay ends it before whoever serves it says a word
  const bool was_open = connection.state == Connection::State::open;
  Child* const server = was_open ? server_of(connection) : nullptr;
  if (server != nullptr && server->channel) (void)server->channel.send(ipc::Disconnect{id});
  record_end(ipc::Event::connection, connection.record, id, was_open ? ipc::Outcome::success : ipc::Outcome::failure,
             was_open ? "closed" : "it ended before it was open");
}

// The host stops: who serves a connection closes it with a word, and the relay ends what does not end by that.
void Guard::say_good_bye() {
  std::vector<std::uint64_t> mute;
  for (const auto& [id, connection] : connections_) {
    Child* const server = connection->state == Connection::State::open ? server_of(*connection) : nullptr;
    if (server == nullptr || !server->channel || !server->channel.send(ipc::Disconnect{id})) mute.push_back(id);
  }
  for (const std::uint64_t id : mute) drop(id);
}

Status Guard::on_token_unknown(Child&, ipc::Received& received) {
  const auto unknown = TRY(received.as<ipc::TokenUnknown>());
  const auto found = connections_.find(unknown.request);
  if (found == connections_.end() || found->second->state != Connection::State::looking_up) return {};
  refuse(*found->second, ipc::Refusal::unauthenticated);
  return {};
}

Status Guard::on_token_owner(Child&, ipc::Received& received) {
  const auto owner = TRY(received.as<ipc::TokenOwner>());
  if (owner.account == 0 || owner.account > kMaxAccount) {
    return fail(Errc::bad_message, "an account number out of range");
  }
  const auto found = connections_.find(owner.request);
  if (found == connections_.end() || found->second->state != Connection::State::looking_up) return {};
  // It is from a time when --uid-count was larger.
  if (owner.account > last_account(own_.config)) return refuse(*found->second, ipc::Refusal::limit), Status();
  Connection& connection = *found->second;
  connection.account = owner.account;
  connection.login = owner.login;
  connection.role = owner.role;
  connection.username = owner.username.view();
  if (const auto tenant = tenants_.find(owner.account); tenant != tenants_.end()) {
    tenant->second.disabled = false;  // accounts names nobody who is
  }
  connection.state = Connection::State::recording;
  ipc::AuditAppend opening;
  opening.event = ipc::Event::connection;
  opening.phase = ipc::Phase::intent;
  opening.add(ipc::FieldKey::connection, std::to_string(connection.id))
      .add(ipc::FieldKey::remote, connection.remote)
      .add(ipc::FieldKey::account, std::to_string(owner.account))
      .add(ipc::FieldKey::username, connection.username)
      .add(ipc::FieldKey::login, std::to_string(connection.login));
  record_then(std::move(opening), Uuid{}, connection.id, &Guard::connection_recorded);
  return {};
}

void Guard::connection_recorded(const Uuid&, std::uint64_t id, bool durable, std::uint64_t index) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) {
    return record_end(ipc::Event::connection, durable ? index : ipc::kNoIndex, id, ipc::Outcome::failure,
                      "nothing was opened: nobody waited for it any more");
  }
  Connection& connection = *found->second;
  if (!durable) {
    refuse(connection, ipc::Refusal::unavailable);
    return;
  }
  connection.record = index;
  hand_over(connection);
}

Result<Tenant*> Guard::tenant_of(const Connection& connection) {
  const auto found = tenants_.find(connection.account);
  if (found != tenants_.end()) return &found->second;
  if (tenants_.size() >= kMaxTenants) return fail(Errc::limit, "too many tenants are active");
  Fd dir = TRY(ensure_tenant(own_.state, own_.uids, connection.account, own_.storage));
  Tenant& tenant = tenants_[connection.account];
  tenant.account = connection.account;
  tenant.username = connection.username;
  tenant.dir = std::move(dir);
  tenant.runner = std::make_unique<Child>(*this, ipc::Process::runner, connection.account);
  tenant.hstry = std::make_unique<Child>(*this, ipc::Process::hstry, connection.account);
  for (Child* child : {tenant.hstry.get(), tenant.runner.get()}) {
    if (const Status status = start_tenant_child(tenant, *child); !status) {
      log::error("a tenant's process could not be started", status.error());
      child->restart_at = sys::monotonic_ms() + 1000;
    }
  }
  return &tenant;
}

// Auditors read the log and command nothing: no tenant is theirs.
Child* Guard::server_of(const Connection& connection) {
  if (connection.role == ipc::Role::auditor) return core(ipc::Process::auditor);
  const auto tenant = tenant_of(connection);
  if (!tenant) log::error("a tenant's directories cannot be made ready", tenant.error());
  return tenant ? (*tenant)->runner.get() : nullptr;
}

void Guard::hand_over(Connection& connection) {
  Child* const server = server_of(connection);
  auto ends = sys::stream_pair();
  if (server == nullptr || !ends || !server->channel) {
    refuse(connection, ipc::Refusal::unavailable);
    return;
  }
  ipc::Connection handed{connection.id, connection.account, connection.role,
                         std::string_view(connection.username)};
  if (!server->channel.send(handed, ends->first) ||
      !connection.channel.send(ipc::ChannelOpened{}, ends->second)) {
    drop(connection.id);
    return;
  }
  connection.state = Connection::State::open;
}

Status Guard::on_login_revoked(Child&, ipc::Received& received) {
  const auto revoked = TRY(received.as<ipc::LoginRevoked>());
  drop_if([&](const Connection& connection) { return connection.login == revoked.login; });
  return {};
}

Status Guard::on_account_ended(Child&, ipc::Received& received) {
  const auto ended = TRY(received.as<ipc::AccountEnded>());
  drop_if([&](const Connection& connection) { return connection.account == ended.account; });
  const auto tenant = tenants_.find(ended.account);
  if (ended.disabled == 0 || tenant == tenants_.end()) return {};
  tenant->second.disabled = true;  // its runner goes on, and starts nothing
  kill_tenant_sessions(ended.account, "the account was disabled");
  return {};
}

void Guard::drop_if(const std::function<bool(const Connection&)>& ends) {
  std::vector<std::uint64_t> ended;
  for (const auto& [id, connection] : connections_) {
    if (connection->login != 0 && ends(*connection)) ended.push_back(id);  // open, or about to be
  }
  for (const std::uint64_t id : ended) drop(id);
}

// The accounts before this one may have ended a login, and then died before it said so.
void Guard::check_logins(Child& accounts) {
  ipc::CheckLogins check;
  const auto put = [](std::string& list, std::uint64_t value, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) list.push_back(static_cast<char>(value >> 8 * i));
  };
  for (const auto& [id, connection] : connections_) {
    if (connection->login != 0) put(check.logins.value, connection->login, check.kLoginBytes);
  }
  for (const auto& [account, tenant] : tenants_) put(check.accounts.value, account, check.kAccountBytes);
  if (check.logins.value.empty() && check.accounts.value.empty()) return;
  if (!accounts.channel.send(check)) (void)sys::pidfd_kill(accounts.pidfd, SIGKILL);  // the next one is asked
}

}  // namespace oqto::guard
