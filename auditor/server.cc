#include "auditor/server.h"

#include "base/log.h"
#include "protocol/event.h"
#include "protocol/json_writer.h"

namespace oqto::auditor {
namespace {

using protocol::JsonObject;

// What was asked for, as the record has it.
std::string query_of(const protocol::AuditCommand& command) {
  JsonObject query;
  if (const auto* search = std::get_if<protocol::AuditSearch>(&command.args)) {
    query.json("filter", protocol::filter_json(search->filter));
    if (search->before) query.number("before", *search->before);
    if (search->from) query.number("from", *search->from);
    query.number("limit", search->limit);
  } else if (const auto* range = std::get_if<protocol::AuditExport>(&command.args)) {
    query.json("filter", protocol::filter_json(range->filter)).number("from", range->from);
    if (range->to) query.number("to", *range->to);
    query.text("format", range->format == protocol::ExportFormat::ocsf ? "ocsf" : "jsonl");
  } else if (const auto* story = std::get_if<protocol::AuditTimeline>(&command.args)) {
    query.json("filter", protocol::filter_json(story->filter));
    if (story->before) query.number("before", *story->before);
    query.number("limit", story->limit);
  } else if (const auto* entry = std::get_if<protocol::AuditEntry>(&command.args)) {
    query.number("index", entry->index);
  } else if (const auto* recording = std::get_if<protocol::AuditRecording>(&command.args)) {
    query.number("index", recording->index).number("chunk", recording->chunk);
  } else if (const auto* proof = std::get_if<protocol::AuditConsistency>(&command.args)) {
    query.number("old_size", proof->old_size);
  } else if (const auto* seals = std::get_if<protocol::AuditSeals>(&command.args)) {
    query.number("from", seals->from);
  }
  return query.str();
}

}  // namespace

Server::Server(Parts parts)
    : reactor_(parts.reactor),
      audit_(std::move(parts.audit)),
      view_(std::move(parts.view)),
      guard_(
          reactor_, [this](ipc::Received& received) { on_guard(received); },
          [this](const Error&) { shut_down(); }),
      first_channel_(std::move(parts.guard)),
      follower_(std::move(parts.log_dir), parts.state_dir,
                [this](std::uint64_t acts) {
                  reactor_.post([this, acts] {
                    const std::uint64_t next = follower_.state().next;
                    for (auto& [number, connection] : connections_)
                      connection->tell_growth(acts, next);
                  });
                }),
      answers_(view_, follower_, parts.state_dir) {}

Status Server::start() {
  guard_.attach(std::move(first_channel_));
  return guard_.send(ipc::Ready{});
}

void Server::shut_down() {
  for (auto& [number, connection] : connections_) connection->close();
  reactor_.stop();
}

void Server::on_guard(ipc::Received& received) {
  if (const auto opened = received.as<ipc::Connection>()) {
    on_connection(*opened, std::move(received.fd));
  } else if (const auto closed = received.as<ipc::Disconnect>()) {
    if (const auto found = connections_.find(closed->connection); found != connections_.end()) {
      found->second->close();
    }
  } else if (const auto wire = received.as<ipc::Wire>();
             wire && wire->role == ipc::WireRole::audit) {
    audit_.replace(ipc::Channel(std::move(received.fd)));
  } else {
    log::warn("the guard sent a message that is not for the auditor's process");
  }
}

void Server::on_connection(const ipc::Connection& who, Fd stream) {
  if (who.role != ipc::Role::auditor || connections_.size() >= kMaxConnections) {
    log::warn("a connection is refused", {{"connection", who.connection}});
    return;  // closing the stream ends it
  }
  connections_.emplace(who.connection, std::make_unique<Connection>(*this, who, std::move(stream)));
}

void Server::on_connection_closed(const Connection& connection) {
  const auto found = connections_.find(connection.who().connection);
  if (found == connections_.end()) return;
  reactor_.dispose(std::move(found->second));  // it is still on the stack
  connections_.erase(found);
}

Result<std::uint64_t> Server::record(const Connection& connection,
                                     const protocol::AuditCommand& command) {
  ipc::AuditAppend intent;
  intent.event = ipc::Event::audit_read;
  intent.phase = ipc::Phase::intent;
  const ipc::Connection& who = connection.who();
  intent.add(ipc::FieldKey::account, std::to_string(who.account))
      .add(ipc::FieldKey::username, who.username.view())
      .add(ipc::FieldKey::connection, std::to_string(who.connection))
      .add(ipc::FieldKey::command, command.head.name)
      .add(ipc::FieldKey::query, query_of(command));
  return audit_.append(std::move(intent), kRecordMs);
}

// Without waiting: it has been answered by then, and the intent says who read what.
void Server::record_outcome(std::uint64_t intent, const Answers::Counted& counted) {
  ipc::AuditAppend outcome;
  outcome.event = ipc::Event::audit_read;
  outcome.phase = ipc::Phase::outcome;
  outcome.outcome = counted.answer ? ipc::Outcome::success : ipc::Outcome::failure;
  outcome.intent = intent;
  if (counted.answer) {
    outcome.add(ipc::FieldKey::entries, std::to_string(counted.entries));
  } else {
    outcome.add(ipc::FieldKey::reason, counted.answer.error().error);
  }
  if (!audit_.post(std::move(outcome), kRecordMs)) log::warn("an outcome was not recorded");
}

std::string Server::answer(const Connection& connection, const protocol::AuditCommand& command) {
  const auto intent = record(connection, command);
  if (!intent) {
    return protocol::encode_failure(
        command.head, {protocol::Code::unavailable,
                       "the audit log does not accept records now, so nothing is read: try again"});
  }
  const Answers::Counted counted = answers_.to(command);
  record_outcome(*intent, counted);
  return counted.answer ? protocol::encode_success(command.head, *counted.answer)
                        : protocol::encode_failure(command.head, counted.answer.error());
}

}  // namespace oqto::auditor
