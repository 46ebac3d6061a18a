#include "auditor/connection.h"

#include "base/log.h"
#include "base/sys.h"
#include "protocol/event.h"
#include "protocol/json_writer.h"

namespace oqto::auditor {

Connection::Connection(ConnectionHost& host, const ipc::Connection& who, Fd stream)
    : host_(host), who_(who), socket_(host.reactor(), std::move(stream), *this, kMaxFrame) {}

void Connection::on_open() {
  open_ = true;
  send(protocol::encode_connected(who_.account, who_.username.view(), "auditor", "[]"));
  ping();
}

void Connection::ping() {
  ping_ = host_.reactor().after(kPingMs, [this] {
    if (socket_.queued_bytes() == 0) send(protocol::encode_ping());
    ping();
  });
}

void Connection::on_text(std::string text) {
  protocol::AuditFrame frame = protocol::decode_audit_frame(text);
  if (const auto* command = std::get_if<protocol::AuditCommand>(&frame)) {
    send(host_.answer(*this, *command));
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
  socket_.close(mux::Closing::unsupported);
}

void Connection::send(std::string text) {
  socket_.send(std::make_shared<const std::string>(std::move(text)));
  socket_.pause(socket_.queued_bytes() > kMaxQueued);
}

void Connection::on_written() {
  socket_.pause(socket_.queued_bytes() > kMaxQueued);
}

void Connection::tell_growth(std::uint64_t acts, std::uint64_t next) {
  if (!open_) return;
  acts_ += acts;
  next_ = next;
  if (!growth_.armed()) growth_ = host_.reactor().after(kGrowthMs, [this] { say_growth(); });
}

void Connection::say_growth() {
  if (socket_.queued_bytes() > 0) return;  // it does not read: the next word says it all
  protocol::JsonObject fields;
  fields.number("acts", acts_).number("indexed", next_);
  send(protocol::encode_event(protocol::kSystemSession, {"", 0, sys::now_ms()},
                              {"audit.grown", fields.members()}));
  acts_ = 0;
}

void Connection::on_closed(const char* why) {
  ping_.cancel();
  growth_.cancel();
  open_ = false;
  log::info("connection ended", {{"connection", who_.connection}, {"why", why}});
  host_.on_connection_closed(*this);
}

}  // namespace oqto::auditor
