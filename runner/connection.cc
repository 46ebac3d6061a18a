#include "runner/connection.h"

#include <algorithm>
#include <array>

#include "base/log.h"
#include "base/sys.h"
#include "protocol/event.h"

namespace oqto::runner {

using protocol::Code;

static std::string_view role_name(ipc::Role role) {
  constexpr std::array<std::string_view, 3> kNames = {"admin", "user", "auditor"};
  return kNames[static_cast<std::size_t>(role)];
}

Connection::Connection(ConnectionHost& host, const ipc::Connection& who, Fd stream, std::string refusal)
    : host_(host), who_(who), refusal_(std::move(refusal)), socket_(host.reactor(), std::move(stream), *this) {}

void Connection::leave() {
  closed_ = true;
  ping_.cancel();
  for (const auto& [session, dropped] : std::exchange(subscriptions_, {})) {
    session->unsubscribe(*this);
  }
}

void Connection::on_open() {
  if (!refusal_.empty()) {
    send(protocol::encode_bad_frame({std::nullopt, refusal_}));
    return close(mux::Closing::policy);
  }
  send(protocol::encode_connected(who_.account, who_.username.view(), role_name(who_.role),
                                  host_.models_json(), host_.greeting()));
  greeted_ = true;
  ping();
}

void Connection::ping() {
  ping_ = host_.reactor().after(kPingMs, [this] {
    if (socket_.queued_bytes() == 0) send(protocol::encode_ping());
    ping();
  });
}

void Connection::on_text(std::string text) {
  protocol::Frame frame = protocol::decode_frame(text);
  if (auto* command = std::get_if<protocol::Command>(&frame)) {
    ++commands_;
    command_bytes_ += text.size();
    pace();
    host_.on_command(*this, std::move(*command), std::move(text));
  } else if (const auto* bad = std::get_if<protocol::BadCommand>(&frame)) {
    send(protocol::encode_failure(bad->head, bad->failure));
  } else if (const auto* reserved = std::get_if<protocol::ReservedChannel>(&frame)) {
    send(protocol::encode_reserved(*reserved));
  } else {
    send(protocol::encode_bad_frame(std::get<protocol::BadFrame>(frame)));
  }
}

void Connection::on_binary() {
  send(protocol::encode_bad_frame({std::nullopt, "frames must be text"}));
  close(mux::Closing::unsupported);
}

void Connection::answer(const protocol::CommandHead& head, const Answer& answer, std::string_view epoch,
                        std::size_t frame_bytes) {
  --commands_;
  command_bytes_ -= frame_bytes;
  send(answer ? protocol::encode_success(head, *answer) : protocol::encode_failure(head, answer.error(), epoch));
  pace();
}

void Connection::send(std::string text) {
  if (closed_) return;
  if (socket_.queued_bytes() > kMaxQueuedBytes) {
    log::warn("a connection does not read its answers and is closed", {{"connection", number()}});
    return close(mux::Closing::policy);
  }
  socket_.send(std::make_shared<const std::string>(std::move(text)));
  pace();
}

void Connection::pace() {
  if (closed_) return;
  socket_.pause(commands_ >= kMaxCommands || command_bytes_ > kMaxCommandBytes ||
                socket_.queued_bytes() > kMaxEventBytes);
}

bool Connection::subscribe(Session& session) {
  if (closed_ || subscriptions_.contains(&session)) return true;
  if (subscriptions_.size() >= protocol::kMaxSubscriptions) {
    const auto quiet = std::find_if(subscriptions_.begin(), subscriptions_.end(),
                                    [](const auto& entry) { return !entry.first->live(); });
    if (quiet == subscriptions_.end()) return false;
    Session& left = *quiet->first;
    send(protocol::encode_event(left.record().id, {left.ring().epoch(), left.ring().last_seq(), sys::now_ms()},
                                protocol::events::session_unsubscribed("this connection follows too many sessions")));
    forget(left);
  }
  subscriptions_.try_emplace(&session, 0);
  session.subscribe(*this);
  return true;
}

void Connection::forget(Session& session) {
  session.unsubscribe(*this);
  subscriptions_.erase(&session);
}

void Connection::send_event(const EventText& event) {
  if (!closed_) socket_.send(event);
}

void Connection::on_event(const Session& session, const EventText& event) {
  const auto subscription = subscriptions_.find(const_cast<Session*>(&session));
  if (subscription == subscriptions_.end() || closed_) return;
  if (subscription->second > 0 || socket_.queued_bytes() + event->size() > kMaxEventBytes) {
    ++subscription->second;
    return;
  }
  socket_.send(event);
}

void Connection::on_written() {
  if (socket_.queued_bytes() <= kMaxEventBytes / 2) catch_up();
  pace();
}

void Connection::catch_up() {
  for (auto& [session, dropped] : subscriptions_) {
    if (dropped == 0) continue;
    send(protocol::encode_event(
        session->record().id, {session->ring().epoch(), session->ring().last_seq(), sys::now_ms()},
        protocol::events::resync_required(dropped, "this connection did not read its events in time")));
    dropped = 0;
  }
}

void Connection::close(mux::Closing why) {
  if (closed_) return;
  socket_.close(why);
}

void Connection::cut() {
  socket_.cut(mux::Closing::going_away);
  leave();
}

void Connection::on_closed(const char* why) {
  leave();
  log::info("connection ended", {{"connection", number()}, {"why", why}});
  host_.on_connection_closed(*this);
}

}  // namespace oqto::runner
