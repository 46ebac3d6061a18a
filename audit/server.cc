#include "audit/server.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/sys.h"

namespace oqto::audit {

using ipc::Tag;

class Server::GuardPort : public ipc::Watcher {
 public:
  explicit GuardPort(Server& server) : server_(server) {}
  void on_ready(std::uint32_t /*events*/) override { server_.on_guard(); }

 private:
  Server& server_;
};

class Server::SignalPort : public ipc::Watcher {
 public:
  explicit SignalPort(Server& server) : server_(server) {}
  void on_ready(std::uint32_t /*events*/) override { server_.stopping_ = true; }

 private:
  Server& server_;
};

class Server::Source : public ipc::Watcher {
 public:
  Source(Server& server, std::uint64_t number, Actor who, ipc::Channel from)
      : actor(std::move(who)), channel(std::move(from)), id(number), server_(server) {}
  void on_ready(std::uint32_t /*events*/) override { server_.drain(*this); }

  const Actor actor;
  ipc::Channel channel;
  const std::uint64_t id;
  bool is_dropped = false;

 private:
  Server& server_;
};

Server::Server(const sandbox::Sealed&, ipc::Loop loop, ipc::Channel guard, Fd signals, Log log)
    : loop_(std::move(loop)),
      guard_(std::move(guard)),
      signals_(std::move(signals)),
      log_(std::move(log)),
      guard_port_(std::make_unique<GuardPort>(*this)),
      signal_port_(std::make_unique<SignalPort>(*this)) {
  self_.process = ipc::Process::auditd;
  self_.pid = static_cast<std::uint32_t>(::getpid());
  self_.uid = ::geteuid();
}

Server::~Server() = default;

Status Server::serve(ipc::Channel signer) {
  TRY(start(std::move(signer)));
  while (!stopping_) TRY(turn());
  return finish();
}

Status Server::start(ipc::Channel signer) {
  TRY(loop_.watch(guard_.fd(), *guard_port_));
  TRY(loop_.watch(signals_, *signal_port_));
  TRY(connect_signer(std::move(signer)));
  TRY(commit());
  return guard_.send(ipc::Ready{});
}

Status Server::turn() {
  TRY(loop_.run_once(timeout_ms()));
  TRY(failure_);
  if (log_.has_signer() && !log_.is_attached()) retry_signer();
  TRY(failure_);
  TRY(commit());
  for (const std::uint64_t id : std::exchange(dropped_, {})) sources_.erase(id);
  keep_derived();
  return {};
}

Status Server::finish() {
  // What the others sent before they knew that this is the end; bounded, because they may go on.
  constexpr int kLastTurns = 32;
  stopping_ = false;
  for (int i = 0; i < kLastTurns; ++i) {
    TRY(loop_.run_once(0));
    TRY(failure_);
    if (batch_.empty()) break;
    TRY(commit());
  }
  add_own(ipc::Event::process_stop, {});
  TRY(commit());
  if (log_.is_attached()) TRY(log_.publish());
  return {};
}

// --- the signer ---

Status Server::connect_signer(ipc::Channel signer) {
  const Status status = signer ? log_.attach(std::move(signer)) : log_.reattach();
  attached_at_ms_ = sys::monotonic_ms();
  if (!status && status.error().code == Errc::unavailable) {
    log::warn("the audit signer does not answer: records are refused");
    return {};
  }
  if (!status) {
    log::error("the audit log does not agree with its signer",
               {{"where", log_.recovered().where},
                {"do", "run oqto-audit verify; restore the newest copy of the log directory"}});
    return status;
  }
  if (std::exchange(was_attached_, true)) return {};
  const Log::Recovered& found = log_.recovered();
  log::info("audit log open", {{"entries", found.entries}, {"dropped_bytes", found.dropped_bytes}});
  std::string reason = found.entries == 0 ? "log created" : "log opened";
  if (found.dropped_bytes > 0) {
    reason += "; an unfinished batch of " + std::to_string(found.dropped_bytes) +
              " bytes, never acknowledged, was dropped";
  }
  add_own(ipc::Event::process_start,
          {{ipc::FieldKey::process, "auditd"}, {ipc::FieldKey::reason, reason}});
  return {};
}

void Server::retry_signer() {
  if (sys::monotonic_ms() - attached_at_ms_ < kRetryMs) return;
  if (auto status = connect_signer({}); !status) failure_ = status;
}

// --- the guard ---

void Server::on_guard() {
  auto message = guard_.receive();
  if (message) return on_guard_message(std::move(*message));
  if (message.error().code == Errc::limit) return;
  stopping_ = true;
  if (message.error().code != Errc::unavailable) failure_ = std::unexpected(message.error());
}

void Server::on_guard_message(ipc::Received message) {
  if (message.tag == Tag::audit_source) {
    const auto facts = message.as<ipc::AuditSource>();
    if (facts) return add_source(*facts, std::move(message.fd));
  } else if (message.tag == Tag::wire) {
    const auto wire = message.as<ipc::Wire>();
    if (wire && wire->role == ipc::WireRole::peer) {
      const Status status = connect_signer(ipc::Channel(std::move(message.fd)));
      if (!status) failure_ = status;
      return;
    }
  }
  failure_ = fail(Errc::bad_message, "the guard sent what auditd does not take");
}

// --- sources ---

void Server::add_source(const ipc::AuditSource& facts, Fd fd) {
  if (sources_.size() >= kMaxSources) {
    log::error("too many audit sources: a channel is refused",
               {{"process", ipc::process_name(facts.process)}, {"pid", facts.pid}});
    return;
  }
  const std::uint64_t id = next_source_++;
  auto source = std::make_unique<Source>(*this, id,
                                         Actor{facts.process, facts.account, facts.username.str(),
                                               facts.session, facts.pid, facts.uid},
                                         ipc::Channel(std::move(fd)));
  if (const auto watched = loop_.watch(source->channel.fd(), *source); !watched) {
    return log::error("an audit source cannot be watched", watched.error());
  }
  sources_.emplace(id, std::move(source));
}

void Server::drain(Source& source) {
  std::size_t bytes = 0;
  for (int i = 0; i < kRecordsPerTurn && bytes < kBytesPerTurn; ++i) {
    const auto message = source.channel.receive();
    if (!message && message.error().code == Errc::limit) return;
    if (!message && message.error().code == Errc::unavailable) return drop(source, "");
    if (!message) return drop(source, message.error().what);
    if (!take_record(source, *message)) return;
    bytes += batch_.back().size();
  }
}

bool Server::take_record(Source& source, const ipc::Received& message) {
  const auto record = message.as<ipc::AuditAppend>();
  if (!record) {
    drop(source, "not an audit record");
    return false;
  }
  const std::uint64_t index = log_.next_index() + batch_.size();
  if (record->phase == ipc::Phase::outcome && record->intent != ipc::kNoIndex &&
      record->intent >= index) {
    drop(source, "the outcome of an intent that is not in the log");
    return false;
  }
  batch_.push_back(encode_entry(index, sys::now_ms(), source.actor, *record));
  waiting_.push_back({source.id, record->request});
  return true;
}

// The object lives until the end of the turn: its own on_ready() may be what got here.
void Server::drop(Source& source, std::string_view why) {
  if (std::exchange(source.is_dropped, true)) return;
  loop_.unwatch(source.channel.fd(), source);
  dropped_.push_back(source.id);
  if (why.empty()) return;
  const std::string_view process = ipc::process_name(source.actor.process);
  log::error("an audit source broke the protocol and is cut off",
             {{"process", process}, {"pid", source.actor.pid}, {"why", why}});
  add_own(ipc::Event::violation, {{ipc::FieldKey::process, std::string(process)},
                                  {ipc::FieldKey::pid, std::to_string(source.actor.pid)},
                                  {ipc::FieldKey::uid, std::to_string(source.actor.uid)},
                                  {ipc::FieldKey::account, std::to_string(source.actor.account)},
                                  {ipc::FieldKey::reason, std::string(why)}});
}

void Server::add_own(ipc::Event event, std::initializer_list<ipc::AuditField> fields) {
  if (own_.size() >= kMaxOwn) return;  // only while the log refuses everybody
  ipc::AuditAppend record;
  record.event = event;
  record.phase = ipc::Phase::event;
  record.outcome = ipc::Outcome::success;
  record.list = fields;
  own_.push_back(std::move(record));
}

// --- committing ---

Status Server::commit() {
  const std::size_t from_others = batch_.size();
  const std::uint64_t first = log_.next_index();
  for (const ipc::AuditAppend& record : own_) {
    batch_.push_back(encode_entry(first + batch_.size(), sys::now_ms(), self_, record));
  }
  if (batch_.empty()) return {};
  const Status status = log_.commit(batch_);
  if (!status && status.error().code != Errc::limit && status.error().code != Errc::unavailable) {
    return status;  // nobody is answered: what is on the disk is not known
  }
  if (refusing_ != !status) {
    refusing_ = !status;
    if (status) log::info("audit records are accepted again");
    if (!status) log::error("audit records are refused", status.error());
  }
  if (status) {
    own_.clear();
    committed_at_ms_ = sys::monotonic_ms();
  }
  batch_.resize(from_others);
  answer(first, status);
  batch_.clear();
  waiting_.clear();
  return {};
}

void Server::answer(std::uint64_t first, const Status& status) {
  for (const Waiting& waiting : waiting_) {
    const std::uint64_t index = first++;
    const auto found = sources_.find(waiting.source);
    if (found == sources_.end() || found->second->is_dropped) continue;
    Source& source = *found->second;
    const auto sent =
        status ? source.channel.send(ipc::AuditAppended{waiting.request, index})
               : source.channel.send(ipc::AuditRefused{waiting.request, status.error().what});
    if (sent) continue;
    drop(source, sent.error().code == Errc::limit ? "it does not read its answers" : "");
  }
}

void Server::keep_derived() {
  Status status = log_.write_full_tiles();
  const std::uint64_t now = sys::monotonic_ms();
  const bool is_due =
      log_.is_attached() && !log_.is_published() &&
      (now - committed_at_ms_ >= kIdleMs || now - published_at_ms_ >= kPublishEveryMs);
  if (status && is_due) {
    status = log_.publish();
    published_at_ms_ = now;
  }
  if (!status) {
    log::warn("the tiles cannot be written now; the log itself is complete",
              {{"cause", status.error().what}});
    committed_at_ms_ = now;  // tried again after the next idle time
  }
}

int Server::timeout_ms() const {
  if (log_.has_signer() && !log_.is_attached()) return static_cast<int>(kRetryMs);
  if (!own_.empty()) return static_cast<int>(kRetryMs);
  return log_.is_published() ? -1 : static_cast<int>(kIdleMs);
}

}  // namespace oqto::audit
