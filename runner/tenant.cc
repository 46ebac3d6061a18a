// Connections, lanes, the audit rule, and what the guard says.
#include "runner/tenant.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>

#include "base/encoding.h"
#include "base/log.h"
#include "base/sys.h"
#include "ipc/audit_refusal.h"
#include "protocol/json_writer.h"

namespace oqto::runner {

using protocol::Cmd;
using protocol::Code;
using protocol::JsonArray;
using protocol::JsonObject;

static constexpr const char* kNoAudit =
    "the audit log does not accept records now; nothing was done. Try again in a moment.";
static const char* why_refused(const Error& error) {
  return ipc::is_over_budget(error) ? ipc::kBudgetUsedUp.what : kNoAudit;
}
static constexpr const char* kTooManyConnections =
    "64 connections of this account are open already: close a tab or another client, then try again";

Tenant::Tenant(Reactor& reactor, Fd state_dir, Registry registry, std::uint32_t account, std::uint64_t sleep_after_ms)
    : reactor_(reactor),
      state_dir_(std::move(state_dir)),
      registry_(std::move(registry)),
      account_(account),
      guard_(reactor, *this),
      audit_(reactor),
      history_(make_history_client(reactor)),
      sleep_after_ms_(sleep_after_ms) {
  for (auto& [id, record] : registry_.sessions) {
    sessions_.emplace(id, std::make_unique<Session>(*this, record, true));
  }
}

Status Tenant::start(ipc::Channel guard, ipc::Channel audit, Fd history) {
  audit_.attach(std::move(audit));
  history_->attach(std::move(history));
  learn_counts();
  guard_.attach(std::move(guard));
  TRY(guard_.ready());
  // Turns that the end of this process's predecessor cut: they are finished before anybody asks.
  for (const auto& [id, known] : sessions_) {
    if (known->was_interrupted()) known->recover();
  }
  return {};
}

// When it was last used and how long it is: the history knows, the registry does not.
void Tenant::learn_counts() {
  history_->list([this](Result<std::vector<ConversationSummary>> list) {
    if (!list) {
      counts_retry_ = reactor_.after(2000, [this] { learn_counts(); });
      for (const Task& task : std::exchange(for_counts_, {})) task();  // as far as it is known
      return;
    }
    for (const ConversationSummary& row : *list) {
      if (Session* known = session(row.session_id)) known->take_summary(row);
    }
    counts_known_ = true;
    for (const Task& task : std::exchange(for_counts_, {})) task();
  });
}

// --- the guard -----------------------------------------------------------------------------------

void Tenant::on_connection(ipc::Connection connection, Fd stream) {
  if (connection.account != account_) {
    log::error("the guard handed over a connection of another account");
    return;
  }
  const bool full = connections_.size() >= kMaxConnections;
  if (full) log::warn("a connection was refused: too many are open");
  if (shutting_down_ || connections_.size() >= kMaxConnections + kMaxRefusing) return;
  const std::uint64_t number = connection.connection;
  connections_.insert_or_assign(number,
                                std::make_shared<Connection>(*this, connection, std::move(stream),
                                                             full ? kTooManyConnections : ""));
}

void Tenant::on_disconnect(std::uint64_t connection) {
  if (const auto found = connections_.find(connection); found != connections_.end()) found->second->cut();
}

void Tenant::on_connection_closed(Connection& connection) {
  const auto found = connections_.find(connection.number());
  if (found == connections_.end()) return;
  found->second->leave();
  reactor_.dispose(std::move(found->second));
  connections_.erase(found);
}

Session* Tenant::session(std::string_view id) {
  const auto found = sessions_.find(id);
  return found == sessions_.end() ? nullptr : found->second.get();
}

void Tenant::on_session_ended(const Uuid& uuid, std::string_view why) {
  if (Session* ended = session("oqto-" + uuid.text())) ended->on_sandbox_ended(why);
}

void Tenant::on_session_usage(const ipc::SessionUsage& usage) {
  if (Session* counted = session("oqto-" + usage.session.text())) counted->on_usage(usage);
}

void Tenant::on_host_facts(const ipc::HostFacts& facts, Fd models) {
  auto taken = take_host_facts(facts, models);
  if (!taken) return log::error("what the guard says of this host cannot be read", taken.error());
  on_models(taken->models);
  profiles_ = std::move(taken->profiles);
}

void Tenant::on_approval_ask(const ipc::ApprovalAsk& ask) {
  Session* const asked = session("oqto-" + ask.session.text());
  if (asked == nullptr) return guard_.answer_approval(ask, ipc::ApprovalChoice::deny);
  asked->on_approval_ask(ask);
}

void Tenant::on_wire(ipc::WireRole role, Fd fd) {
  if (role == ipc::WireRole::audit) {
    audit_.attach(ipc::Channel(std::move(fd)));
    log::info("auditd is back");
  } else if (role == ipc::WireRole::peer) {
    history_->attach(std::move(fd));
    if (counts_retry_.armed()) learn_counts();
    for (const auto& [id, known] : sessions_) known->on_history_back();
    log::info("the history is back");
  }
}

// --- room, and what changed ----------------------------------------------------------------------

// The bound is on sessions that work: of those that do not, the one that has been idle longest and has
// nothing in the background goes to sleep.
void Tenant::make_room(const Session& for_whom, std::function<void(bool)> done) {
  if (shutting_down_) return done(false);
  std::vector<Session*> idle;
  std::size_t live = 0;
  for (const auto& [id, known] : sessions_) {
    if (known.get() == &for_whom || !known->live()) continue;
    ++live;
    if (known->state() == Session::State::idle) idle.push_back(known.get());
  }
  if (live < kMaxLive) return done(true);
  std::sort(idle.begin(), idle.end(), [](const Session* a, const Session* b) { return a->since_ms() < b->since_ms(); });
  auto ids = std::make_shared<std::deque<std::string>>();
  for (const Session* session : idle) ids->push_back(session->record().id);
  const auto next = std::make_shared<std::function<void()>>();
  // Each is asked in turn; it may be gone, or at work again, by then.
  *next = [this, ids, done, weak = std::weak_ptr(next)] {
    const auto again = weak.lock();
    if (ids->empty()) return done(false);
    Session* const candidate = session(ids->front());
    ids->pop_front();
    if (candidate == nullptr) return (*again)();
    candidate->sleep(ipc::StopReason::room, [done, again](bool asleep) {
      if (asleep) return done(true);
      (*again)();
    });
  };
  (*next)();
}

void Tenant::on_models(const std::vector<protocol::ModelInfo>& models) {
  if (protocol::encode_models(models) == models_json()) return;
  models_ = models;
  push(protocol::encode_push("models", "models", models_json()));
}

std::string Tenant::greeting() {
  JsonArray profiles;
  for (const protocol::ProfileFact& fact : profiles_) {
    JsonObject profile;
    profiles.json(
        profile.text("name", fact.name).boolean("available", fact.available).text_unless_empty("why", fact.why).str());
  }
  JsonObject limits;
  limits.number("prompt_bytes", protocol::kMaxPromptBytes).number("images_bytes", protocol::kMaxImagesBytes);
  limits.number("images", protocol::kMaxImages).number("queue", protocol::kMaxQueued);
  limits.number("subscriptions", protocol::kMaxSubscriptions).number("live_sessions", kMaxLive);
  JsonObject members;
  return members.json("profiles", profiles.str()).json("limits", limits.str()).members();
}

// Soon, so that what changes together is told once; before a person could notice.
void Tenant::on_changed(Session& session) {
  constexpr std::uint64_t kPushMs = 15;
  changed_.insert(session.record().id);
  if (!push_.armed()) push_ = reactor_.after(kPushMs, [this] { push_changes(); });
}

void Tenant::push_changes() {
  for (const std::string& id : std::exchange(changed_, {})) {
    if (const Session* known = session(id)) push(protocol::encode_push("session", "session", known->list_json()));
  }
}

void Tenant::push(const std::string& frame) {
  for (const auto& [number, connection] : connections_) connection->push(frame);
}

void Tenant::shut_down() {
  if (shutting_down_) return;
  shutting_down_ = true;
  for (const auto& [number, connection] : connections_) connection->close(mux::Closing::going_away);
  for (const auto& [id, known] : sessions_) {
    if (known->live()) known->close("the host is stopping", false, [](const Answer&) {});
  }
  wait_for_quiet(sys::monotonic_ms() + kShutdownMs);
}

void Tenant::wait_for_quiet(std::uint64_t deadline_ms) {
  const bool quiet = std::all_of(sessions_.begin(), sessions_.end(),
                                 [](const auto& entry) { return entry.second->quiet(); });
  if (quiet || sys::monotonic_ms() >= deadline_ms) return reactor_.stop();
  quiet_poll_ = reactor_.after(20, [this, deadline_ms] { wait_for_quiet(deadline_ms); });
}

// --- lanes and the audit rule --------------------------------------------------------------------

void Tenant::on_command(Connection& connection, protocol::Command command, std::string frame) {
  if (command.cmd == Cmd::session_create && command.head.session_id.empty()) {
    command.head.session_id = "oqto-" + Uuid::random().text();
  }
  std::string key = command.head.session_id;
  if (key == protocol::kSystemSession) key += std::to_string(connection.number());
  lanes_[key].jobs.push_back(Job{connection.weak_from_this(), connection.number(), connection.username(),
                                 std::move(command), std::move(frame)});
  run_lane(key);
}

void Tenant::run_lane(const std::string& key) {
  const auto lane = lanes_.find(key);
  if (lane == lanes_.end() || lane->second.busy) return;
  if (lane->second.jobs.empty()) {
    lanes_.erase(lane);
    return;
  }
  Job job = std::move(lane->second.jobs.front());
  lane->second.jobs.pop_front();
  lane->second.busy = true;
  begin(key, std::move(job));
}

// Later, so that a long row of commands does not become a deep stack, nor starve others.
void Tenant::release(const std::string& key) {
  reactor_.post([this, key] {
    const auto lane = lanes_.find(key);
    if (lane == lanes_.end()) return;
    lane->second.busy = false;
    run_lane(key);
  });
}

// `blob`: that text, stored because it is too long for a record; else empty.
static ipc::AuditAppend record_of(const protocol::Command& command, std::uint64_t connection,
                                  std::string_view frame, std::string_view blob) {
  const std::string_view text = command.recorded.empty() ? frame : std::string_view(command.recorded);
  ipc::AuditAppend record;
  record.event = ipc::Event::command;
  record.phase = command.is_read() ? ipc::Phase::event : ipc::Phase::intent;
  record.add(ipc::FieldKey::command, command.head.name);
  if (command.head.session_id != protocol::kSystemSession) {
    record.add(ipc::FieldKey::session, session_uuid(command.head.session_id).text());
  }
  record.add(ipc::FieldKey::connection, std::to_string(connection));
  record.add(ipc::FieldKey::request_id, command.head.id);
  if (blob.empty()) {
    record.add(ipc::FieldKey::args, text);
  } else {
    record.add(ipc::FieldKey::args_blob, blob);
  }
  if (!command.recorded.empty()) record.add(ipc::FieldKey::args_bytes, std::to_string(frame.size()));
  return record;
}

void Tenant::begin(const std::string& key, Job job) {
  const auto shared = std::make_shared<const Job>(std::move(job));
  const std::string& text = shared->command.recorded.empty() ? shared->frame : shared->command.recorded;
  if (text.size() <= ipc::kMaxFieldBytes) return record_and_do(key, shared, "");
  audit_.store(text, [this, key, shared](const Result<std::string>& blob) {
    if (blob) return record_and_do(key, shared, *blob);
    finish(*shared, no(Code::unavailable, why_refused(blob.error())));
    release(key);
  });
}

void Tenant::record_and_do(const std::string& key, const std::shared_ptr<const Job>& shared,
                           std::string_view blob) {
  ipc::AuditAppend record =
      record_of(shared->command, shared->connection_number, shared->frame, blob);
  if (shared->command.is_read()) {
    if (const Status posted = audit_.post(std::move(record))) {
      execute(*shared, [this, shared](const Answer& answer) { finish(*shared, answer); });
    } else {
      finish(*shared, no(Code::unavailable, why_refused(posted.error())));
    }
    return release(key);
  }
  audit_.append(std::move(record), [this, key, shared](Result<std::uint64_t> index) {
    if (!index) {
      finish(*shared, no(Code::unavailable, why_refused(index.error())));
      return release(key);
    }
    // These are answered when the agent is done: what comes after them, an abort too, must not wait for that.
    const bool early = shared->command.cmd == Cmd::abort || shared->command.cmd == Cmd::compact;
    execute(*shared, [this, key, shared, early, intent = *index](const Answer& answer) {
      audit_.outcome(intent, answer.has_value(), answer ? "" : answer.error().error);
      finish(*shared, answer);
      if (!early) release(key);
    });
    if (early) release(key);
  });
}

void Tenant::record_with_args(ipc::AuditAppend entry, std::string args) {
  const auto post = [this](ipc::AuditAppend record) {
    audit_.keep(std::move(record));
  };
  if (args.size() <= ipc::kMaxFieldBytes) {
    entry.add(ipc::FieldKey::args, args);
    return post(std::move(entry));
  }
  audit_.store(args, [post, entry = std::move(entry), begin = args.substr(0, ipc::kMaxFieldBytes),
                      bytes = std::to_string(args.size())](const Result<std::string>& blob) mutable {
    if (blob) {
      entry.add(ipc::FieldKey::args_blob, *blob);
    } else {
      entry.add(ipc::FieldKey::args, begin).add(ipc::FieldKey::args_bytes, bytes);
      entry.add(ipc::FieldKey::truncated, "true");
      entry.add(ipc::FieldKey::reason, "the arguments were not kept whole: the audit log did not store them");
    }
    post(std::move(entry));
  });
}

void Tenant::record_with_output(ipc::AuditAppend entry, const std::string& output, bool keep) {
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> sum{};
  (void)::SHA256(reinterpret_cast<const unsigned char*>(output.data()), output.size(), sum.data());
  entry.add(ipc::FieldKey::output_sha256, to_hex(sum));
  if (!keep) return audit_.keep(std::move(entry));
  audit_.store(output, [this, entry = std::move(entry)](const Result<std::string>& blob) mutable {
    if (blob) {
      entry.add(ipc::FieldKey::output_blob, *blob);
    } else {
      entry.add(ipc::FieldKey::reason, "the output was not kept: the audit log did not store it");
    }
    audit_.keep(std::move(entry));
  });
}

void Tenant::finish(const Job& job, const Answer& answer) {
  if (const auto connection = job.connection.lock()) {
    const Session* known = session(job.command.head.session_id);
    connection->answer(job.command.head, answer, known == nullptr ? "" : known->ring().epoch(), job.frame.size());
  }
}

}  // namespace oqto::runner
