#include "sandbox/monitor/refused_watch.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "base/sys.h"
#include "sandbox/monitor/socket_owner.h"

namespace oqto::sandbox {
namespace {

using ipc::FieldKey;
constexpr int kBatch = 256;  // packets in a row, before others have their turn
constexpr std::string_view kOthers = "others";

ipc::AuditAppend new_record() {
  ipc::AuditAppend record;
  record.event = ipc::Event::network;
  record.phase = ipc::Phase::event;
  record.outcome = ipc::Outcome::failure;
  return record;
}

}  // namespace

RefusedWatch::~RefusedWatch() {
  if (loop_ != nullptr && packets_) loop_->unwatch(packets_, *this);
}

Status RefusedWatch::attach(ipc::Loop& loop) {
  if (!packets_) return {};
  TRY(loop.watch(packets_, *this));
  loop_ = &loop;
  return {};
}

void RefusedWatch::on_ready(std::uint32_t) {
  char packet[1024];
  for (int i = 0; i < kBatch; ++i) {
    alignas(cmsghdr) char extra[CMSG_SPACE(sizeof(std::uint32_t))];
    iovec into{packet, sizeof packet};
    msghdr message{};
    message.msg_iov = &into;
    message.msg_iovlen = 1;
    message.msg_control = extra;
    message.msg_controllen = sizeof extra;
    const ssize_t n = ::recvmsg(packets_.get(), &message, MSG_DONTWAIT);
    if (n < 0) return;
    const cmsghdr* const header = CMSG_FIRSTHDR(&message);
    if (header != nullptr && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SO_RXQ_OVFL) {
      std::memcpy(&lost_, CMSG_DATA(header), sizeof lost_);
    }
    take({packet, static_cast<std::size_t>(n)}, sys::monotonic_ms());
  }
}

void RefusedWatch::take(std::string_view packet, std::uint64_t now) {
  if (auto answer = parse_answer(packet)) return remember(std::move(*answer));
  auto refused = parse_refused(packet);
  if (!refused) return;
  Kind kind{refused->udp, refused->address, refused->port};
  if (!joined_.contains(kind) && joined_.size() >= kMaxRefusedKinds) {
    *refused = {.udp = refused->udp, .address = std::string(kOthers)};
    kind = {refused->udp, refused->address, 0};
  }
  Joined& joined = joined_[kind];
  if (joined.count++ != 0) return;
  joined.first = std::move(*refused);
  joined.since = now;
  joined.at = sys::now_ms();
  if (const auto name = names_.find(joined.first.address); name != names_.end()) {
    joined.host = name->second;
  }
  find_process(joined);
}

// Of a datagram: its socket is still there, as a rule. That of a refused connection is nobody's.
void RefusedWatch::find_process(Joined& joined) const {
  if (!joined.first.udp || joined.first.from == 0 || member_ < 0 || ration_ == 0) return;
  auto owner = find_socket_owner(member_, joined.first.from, SocketOf::anybody);
  if (!owner) return;
  joined.process = owner->process;
  joined.exe = std::move(owner->image.exe);
}

void RefusedWatch::remember(ResolverAnswer answer) {
  const auto [place, is_new] = names_.insert_or_assign(answer.address, std::move(answer.name));
  if (!is_new) return;
  remembered_.push_back(place->first);
  if (remembered_.size() <= kMaxAnswers) return;
  names_.erase(remembered_.front());
  remembered_.pop_front();
}

void RefusedWatch::record(const Joined& joined) {
  auto record = new_record();
  if (!joined.host.empty()) record.add(FieldKey::host, joined.host);
  if (joined.host.empty() && joined.first.address != kOthers) {
    record.add(FieldKey::address, joined.first.address);
  }
  if (joined.first.port != 0) record.add(FieldKey::port, std::to_string(joined.first.port));
  record.add(FieldKey::protocol, joined.first.udp ? "udp" : "tcp").add(FieldKey::rule, "network");
  const char* why = joined.first.in_pool && joined.first.udp ? "no datagrams leave a session"
                    : joined.first.in_pool   ? "no port of this name that the policy allows"
                    : joined.first.address == kOthers ? "more refusals of other kinds"
                                             : "an address: only names that the policy allows are reached";
  record.add(FieldKey::reason, why).add(FieldKey::count, std::to_string(joined.count));
  record.add(FieldKey::at, sys::utc_text(joined.at));
  if (joined.process > 0) {
    record.add(FieldKey::pid, std::to_string(joined.process)).add(FieldKey::exe, joined.exe);
  }
  recorder_.add(std::move(record));
}

void RefusedWatch::record_lost() {
  auto record = new_record();
  record.add(FieldKey::rule, "network")
      .add(FieldKey::reason, "more refusals than could be looked at")
      .add(FieldKey::count, std::to_string(lost_ - counted_lost_));
  counted_lost_ = lost_;
  recorder_.add(std::move(record));
}

bool RefusedWatch::may_record(std::uint64_t now) {
  if (now >= refilled_ + kRefusedEveryMs) {
    ration_ = std::min(kRefusedBurst, ration_ + (now - refilled_) / kRefusedEveryMs);
    refilled_ = now;
  }
  if (ration_ == 0) return false;
  return recorder_.available() && recorder_.has_room(1);
}

void RefusedWatch::tick(std::uint64_t now) {
  for (auto each = joined_.begin(); each != joined_.end();) {
    if (now < each->second.since + kRefusedJoinMs) {
      ++each;
      continue;
    }
    if (!may_record(now)) return;
    --ration_;
    record(each->second);
    each = joined_.erase(each);
  }
  if (lost_ != counted_lost_ && joined_.empty() && may_record(now)) {
    --ration_;
    record_lost();
  }
}

void RefusedWatch::flush() {
  if (packets_) on_ready(0);
  for (const auto& [kind, joined] : joined_) {
    if (recorder_.available() && recorder_.has_room(1)) record(joined);
  }
  joined_.clear();
  if (lost_ != counted_lost_ && recorder_.available() && recorder_.has_room(0)) record_lost();
}

}  // namespace oqto::sandbox
