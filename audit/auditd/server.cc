#include "audit/auditd/server.h"

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

// Only wakes the loop: the next turn concludes the commit.
class Server::CommitPort : public ipc::Watcher {
 public:
  void on_ready(std::uint32_t /*events*/) override {}
};

Server::Server(const sandbox::Sealed&, ipc::Loop loop, ipc::Channel guard, Fd signals, Log log,
               std::string boot_id, BlobStore::Options blobs, Budget::Limits budget)
    : loop_(std::move(loop)),
      guard_(std::move(guard)),
      signals_(std::move(signals)),
      log_(std::move(log)),
      blob_options_(blobs),
      guard_port_(std::make_unique<GuardPort>(*this)),
      signal_port_(std::make_unique<SignalPort>(*this)),
      commit_port_(std::make_unique<CommitPort>()),
      budget_(budget),
      boot_id_(std::move(boot_id)) {
  Actor self;
  self.process = ipc::Process::auditd;
  self.pid = static_cast<std::uint32_t>(::getpid());
  self.uid = ::geteuid();
  self_ = std::make_shared<const Actor>(std::move(self));
}

Server::~Server() {
  committer_.reset();  // its job uses the others
}

Status Server::serve(ipc::Channel signer) {
  TRY(start(std::move(signer)));
  while (!stopping_) TRY(turn());
  return finish();
}

Status Server::start(ipc::Channel signer) {
  vault_ = TRY(Vault::open(log_.dir(), loop_, blob_options_,
                           [this](const BlobStore::Done& done) { answer_blob(done); }));
  committer_ = TRY(CommitThread::start());
  TRY(loop_.watch(committer_->done(), *commit_port_));
  TRY(loop_.watch(guard_.fd(), *guard_port_));
  TRY(loop_.watch(signals_, *signal_port_));
  TRY(connect_signer(std::move(signer)));
  TRY(commit_now());
  return guard_.send(ipc::Ready{});
}

Status Server::turn() {
  TRY(loop_.run_once(timeout_ms()));
  take_paused();
  TRY(failure_);
  // What comes while a batch is being written is the next one, until somebody has had his share of it.
  const bool is_under_way = is_committing_ && !committer_->is_done();
  if (is_under_way && !is_share_out_) return {};
  TRY(await_commit());
  if (is_under_way) TRY(loop_.run_once(0));  // the others have sent something while nobody looked
  if (log_.has_signer() && !log_.is_attached()) retry_signer();
  TRY(failure_);
  watch_room();
  TRY(publish());
  TRY(answer_probe());
  for (const std::uint64_t id : std::exchange(dropped_, {})) sources_.erase(id);
  return log_.is_seal_due() ? request_seal(ipc::SignerAsk::seal_if_due) : commit();
}

Status Server::finish() {
  // What the others sent before they knew that this is the end; bounded, because they may go on.
  constexpr int kLastTurns = 32;
  stopping_ = false;
  end_pacing();
  TRY(await_commit());
  for (int i = 0; i < kLastTurns; ++i) {
    TRY(loop_.run_once(0));
    TRY(failure_);
    if (batch_.empty()) break;
    TRY(commit_now());
  }
  add_own(ipc::Event::process_stop, {});
  TRY(commit_now());
  // Nothing that is in the log now can be rewritten with a key that is left on this machine.
  TRY(request_seal(ipc::SignerAsk::seal_now));
  TRY(await_commit());
  if (!log_.is_attached()) return {};
  log_.publish();
  TRY(log_.settle());
  return log_.close();
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
  next_index_ = log_.next_index();
  if (std::exchange(was_attached_, true)) return {};
  greet();
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
  }
  if (auto status = await_commit(); !status) {
    failure_ = status;
    return;
  }
  if (message.tag == Tag::wire) {
    const auto wire = message.as<ipc::Wire>();
    if (wire && wire->role == ipc::WireRole::peer) {
      const Status status = connect_signer(ipc::Channel(std::move(message.fd)));
      if (!status) failure_ = status;
      return;
    }
  }
  if (const auto wanted = message.as<ipc::AuditManage>()) {
    if (auto status = manage(*wanted); !status) failure_ = status;
    return;
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
  while (has_share(source)) {
    if (is_paced(source)) return pause(source);
    if (!take_message(source)) return;
  }
  is_share_out_ = true;
}

bool Server::take_message(Source& source) {
  auto message = source.channel.receive();
  if (!message && message.error().code == Errc::limit) return false;
  if (!message) {
    drop(source, message.error().code == Errc::unavailable ? "" : message.error().what);
    return false;
  }
  const std::size_t bytes = message->bytes.size();
  for (Share* share : {&source_shares_[source.id], &shares_[source.actor->account]}) {
    ++share->records;
    share->bytes += bytes;
  }
  if (message->tag == Tag::audit_probe) return take_probe(source, *message);
  if (message->tag != Tag::audit_blob) return take_record(source, *message);
  const bool ok = vault_->take_blob(source.id, *source.actor, std::move(*message), sys::now_ms());
  if (!ok) drop(source, "not an audit blob");
  return ok;
}

// Only the guard may ask, and it waits for the answer: each probe costs a write.
bool Server::take_probe(Source& source, const ipc::Received& message) {
  const auto probe = message.as<ipc::AuditProbe>();
  if (!probe || source.actor->process != ipc::Process::guard) {
    drop(source, "not a question for this source");
    return false;
  }
  asked_ = {source.id, probe->request};
  return true;
}

// Answered as a record would be, when nothing is under way.
Status Server::answer_probe() {
  const Asked asked = std::exchange(asked_, {});
  const auto found = sources_.find(asked.source);
  if (found == sources_.end() || found->second->is_dropped) return {};
  const Status could = log_.probe();
  if (!could && could.error().code != Errc::limit && could.error().code != Errc::unavailable) return could;
  ipc::Channel& channel = found->second->channel;
  const Status sent = could ? channel.send(ipc::AuditAppended{asked.request, log_.next_index(), 0})
                            : channel.send(ipc::AuditRefused{asked.request, could.error().what});
  if (!sent) drop(*found->second, sent.error().code == Errc::limit ? "it does not read its answers" : "");
  return {};
}

// Our own processes are one of their kind each; a tenant's are as many as it likes.
bool Server::has_share(Source& source) {
  const Share& own = source_shares_[source.id];
  if (own.records >= kRecordsPerBatch || own.bytes >= kBytesPerBatch) return false;
  if (source.actor->account == 0) return true;
  const Share& all = shares_[source.actor->account];
  return all.records < kTenantRecordsPerBatch && all.bytes < kTenantBytesPerBatch;
}

bool Server::take_record(Source& source, const ipc::Received& message) {
  auto record = message.as<ipc::AuditAppend>();
  if (!record) {
    drop(source, "not an audit record");
    return false;
  }
  if (is_of_auditd(record->event)) {
    drop(source, "a record that only auditd makes");
    return false;
  }
  // Whoever knows its index was told that it is durable.
  if (was_attached_ && record->phase == ipc::Phase::outcome && record->intent != ipc::kNoIndex &&
      record->intent >= next_index_) {
    drop(source, "the outcome of an intent that is not in the log");
    return false;
  }
  const std::uint64_t now = sys::now_ms();
  begin_day(now);
  if (source.actor->account != 0) mark_claims(*record, now);
  const std::uint32_t account = charged_account(*source.actor, *record);
  if (refuse_over_budget(source, *record, account)) return !source.is_dropped;
  if (refuse_for_room(source, *record, account, message.bytes.size())) return !source.is_dropped;
  auto hidden = vault_->hide(source.id, *source.actor, *record, now);
  if (!hidden && hidden.error().code == Errc::denied) {
    drop(source, hidden.error().what);
    return false;
  }
  if (!hidden) {  // no key, no record: what it holds would stay for ever
    (void)source.channel.send(ipc::AuditRefused{record->request, hidden.error().what});
    return true;
  }
  const std::uint64_t request = record->request;
  batch_.push_back({source.id, request, source.actor, now, account, std::move(*record), std::move(*hidden)});
  return true;
}

// The object lives until the end of the turn: its own on_ready() may be what got here.
void Server::drop(Source& source, std::string_view why) {
  if (std::exchange(source.is_dropped, true)) return;
  if (!source.is_paused) loop_.unwatch(source.channel.fd(), source);
  dropped_.push_back(source.id);
  vault_->forget(source.id);
  if (why.empty()) return;
  const std::uint64_t unread = count_unread(source);
  const std::string_view process = ipc::process_name(source.actor->process);
  log::error("an audit source broke the protocol and is cut off",
             {{"process", process}, {"pid", source.actor->pid}, {"why", why}});
  add_own(ipc::Event::violation, {{ipc::FieldKey::process, std::string(process)},
                                  {ipc::FieldKey::pid, std::to_string(source.actor->pid)},
                                  {ipc::FieldKey::uid, std::to_string(source.actor->uid)},
                                  {ipc::FieldKey::account, std::to_string(source.actor->account)},
                                  {ipc::FieldKey::reason, std::string(why)}});
  if (unread == 0) return;
  ipc::AuditAppend gap = own_record(ipc::Event::log_gap);
  gap.list = {{ipc::FieldKey::process, std::string(process)},
              {ipc::FieldKey::account, std::to_string(source.actor->account)},
              {ipc::FieldKey::count, std::to_string(unread)},
              {ipc::FieldKey::reason, "sent by a source that was cut off, and not read"}};
  add_own(std::move(gap));
}

// What it had sent behind that for which it is cut off.
std::uint64_t Server::count_unread(Source& source) {
  std::uint64_t count = 0;
  while (count < kMaxUnread && source.channel.receive()) ++count;
  return count;
}

void Server::answer_blob(const BlobStore::Done& done) {
  const auto found = sources_.find(done.source);
  if (found == sources_.end() || found->second->is_dropped) return;
  const auto sent =
      done.blob ? found->second->channel.send(
                      ipc::AuditBlobStored{done.request, done.name, done.blob->bytes})
                : found->second->channel.send(ipc::AuditRefused{done.request, done.blob.error().what});
  if (!sent) drop(*found->second, sent.error().code == Errc::limit ? "it does not read its answers" : "");
}

Status Server::publish() {
  const std::uint64_t now = sys::monotonic_ms();
  const bool is_due =
      log_.is_attached() && !log_.is_published() &&
      (now - committed_at_ms_ >= kIdleMs || now - published_at_ms_ >= kPublishEveryMs);
  if (!is_due) return {};
  log_.publish();
  published_at_ms_ = now;
  return log_.settle();
}

int Server::timeout_ms() const {
  const auto earlier = [](int one, int other) { return one < 0 || other < 0 ? std::max(one, other) : std::min(one, other); };
  const int paused = ms_to_paused();
  if (is_committing_) return paused == 0 ? 1 : paused;  // its share of the batch is out
  if (log_.has_signer() && !log_.is_attached()) return static_cast<int>(kRetryMs);
  if (!own_.empty() || !gaps_.empty()) return earlier(paused, static_cast<int>(kRetryMs));
  return earlier(paused, log_.is_published() ? log_.ms_to_seal() : static_cast<int>(kIdleMs));
}

}  // namespace oqto::audit
