// Lifecycle: starting, and what is asked of Pi.
#include "runner/session.h"

#include <algorithm>

#include "base/log.h"
#include "base/sys.h"

namespace oqto::runner {

using protocol::Code;
using protocol::Json;
namespace events = protocol::events;

static constexpr const char* kFull =
    "16 sessions of yours are working at once: wait for one to finish, or stop one, then try again";

std::unexpected<protocol::Failure> no(Code code, std::string error) {
  return std::unexpected(protocol::Failure{code, std::move(error)});
}

std::string_view state_name(Session::State state) {
  switch (state) {
    case Session::State::stopped: return "stopped";
    case Session::State::asleep: return "asleep";
    case Session::State::starting: return "starting";
    case Session::State::idle: return "idle";
    case Session::State::working: return "working";
    case Session::State::waiting: return "waiting";
    case Session::State::failed: return "failed";
  }
  return "failed";
}

std::string new_message_id() {
  std::string id = Uuid::random().text();
  std::erase(id, '-');
  return "msg_" + id;
}

Session::Session(SessionHost& host, SessionRecord& record, bool stored)
    : host_(host),
      record_(record),
      since_ms_(sys::now_ms()),
      outbox_(host.reactor(), host.history(), *this),
      translator_(*this, new_message_id),
      queue_(host.state_dir(), session_uuid(record.id)),
      journal_(host.state_dir(), session_uuid(record.id)),
      stored_(stored),
      model_(record.model),
      provider_(record.provider),
      summary_known_(!stored) {
  if (!stored) return;
  state_ = record.closed ? State::stopped : State::asleep;
  all_client_ids_ = false;
  left_ = journal_.left();
  unfinished_ = left_.has_value();
  if (const Status loaded = queue_.load("the host was restarted before the agent read it"); !loaded) {
    log::error("what waited for an agent cannot be read", loaded.error());
  }
}

Session::~Session() { *alive_ = false; }

void Session::emit(const protocol::Event& event) {
  const EventText text = ring_.add(record_.id, sys::now_ms(), event);
  for (Subscriber* subscriber : subscribers_) subscriber->on_event(*this, text);
}

void Session::set_state(State state) {
  if (state == state_) return;
  state_ = state;
  since_ms_ = sys::now_ms();
  if (state != State::working && state != State::starting) phase_.reset();
  if (state == State::idle) arm_sleep();
  host_.on_changed(*this);
}

void Session::subscribe(Subscriber& subscriber) {
  if (std::find(subscribers_.begin(), subscribers_.end(), &subscriber) == subscribers_.end()) {
    subscribers_.push_back(&subscriber);
  }
}

void Session::unsubscribe(Subscriber& subscriber) {
  std::erase(subscribers_, &subscriber);
  if (subscribers_.empty() && !live()) ring_.forget();
  if (subscribers_.empty() && state_ == State::idle) arm_sleep();
}

std::string Session::conversation_id() const {
  return record_.conversation.empty() ? session_uuid(record_.id).text() : record_.conversation;
}

// --- starting ------------------------------------------------------------------------------------

void Session::start(const protocol::CreateSession& wanted, Reply reply) {
  const bool runs = starting_ || (pi_ && !closing_);
  if (runs) return reply(created_json(true));
  if (!wanted.model.empty()) {
    if (const auto unknown = unknown_model(wanted.provider, wanted.model)) return reply(std::unexpected(*unknown));
  }
  starting_ = true;
  closed_meanwhile_ = false;
  const auto starting = [this] {
    set_state(State::starting);
    on_phase(protocol::Phase::initializing, {});
  };
  starting();
  const auto begin = [this, wanted, reply, starting] {
    starting();  // the end of the last one may have said otherwise
    host_.make_room(*this, [this, wanted, reply, alive = alive_](bool room) {
      if (!*alive) return;
      if (room) return ask_for_sandbox(wanted, reply);
      fail_start(kFull);
      reply(no(Code::limit, kFull));
    });
  };
  if (!sandbox_alive_) return begin();
  when_sandbox_gone([this, begin, reply](bool gone) {  // the last one is still being taken down
    if (gone) return begin();
    fail_start("its old sandbox has not ended");
    reply(no(Code::unavailable, "the session's old sandbox has not ended: try again"));
  });
}

void Session::wake(Reply reply) {
  if (starting_ || (pi_ && !closing_)) return reply("");
  start({}, std::move(reply));
}

void Session::recover() {
  if (record_.closed) return;  // it is compared when somebody wakes it
  start({}, [this, alive = alive_](const Answer& answer) {
    if (answer || !*alive) return;
    // Without the harness's file the history says what is known: that something is missing.
    outbox_.open(stored_, [this, why = answer.error().error](Status open) {
      if (open && left_)
        add_marker("the host was restarted in the middle of this turn, and the agent could not be started again: " +
                   why);
    });
  });
}

void Session::ask_for_sandbox(const protocol::CreateSession& wanted, Reply reply) {
  if (!wanted.model.empty()) {
    record_.provider = provider_ = wanted.provider;
    record_.model = model_ = wanted.model;
  }
  const bool resumed = stored_;
  outbox_.open(stored_, [this, reply, resumed](Status history) {
    if (!history) {
      fail_start("the history does not answer");
      return reply(no(Code::unavailable, "the history does not answer now: try again in a moment"));
    }
    stored_ = true;
    const auto workspace = Uuid::parse(record_.workspace);
    CHECK(workspace.has_value());
    host_.guard().start_session(
        session_uuid(record_.id), *workspace, record_.profile,
        [this, reply, resumed, alive = alive_](std::expected<GuardLink::Started, GuardRefusal> answer) {
          if (!*alive) return;
          if (answer) return on_sandbox(std::move(*answer), resumed, reply);
          fail_start(answer.error().why);
          const bool later = answer.error().refusal == ipc::Refusal::unavailable;
          const bool full = answer.error().refusal == ipc::Refusal::limit;
          reply(no(later ? Code::unavailable : full ? Code::limit : Code::refused,
                   "the sandbox was not started: " + answer.error().why));
        });
  });
}

void Session::on_sandbox(GuardLink::Started started, bool resumed, const Reply& reply) {
  sandbox_alive_ = true;
  starting_ = false;
  if (closed_meanwhile_) {
    end_sandbox();
    set_state(State::stopped);
    for (const Reply& task : std::exchange(when_ready_, {})) task(no(Code::unavailable, "the session was closed"));
    return reply(no(Code::unavailable, "the session was closed while it was starting"));
  }
  closing_ = sleeping_ = ready_ = turn_open_ = settled_ = false;
  policy_ = policy_json(started.answer);
  audit_contents_ = started.answer.audit_contents != 0;
  if (record_.profile != started.answer.profile || record_.closed) {
    record_.profile = started.answer.profile;
    record_.closed = false;
    if (!host_.save_registry()) log::warn("the registry was not written");
  }
  sandbox_ = std::make_unique<SandboxLink>(host_.reactor(), ipc::Channel(std::move(started.init)));
  sandbox_->on_gone([this] {
    if (pi_) pi_->on_sandbox_gone();
  });
  pi_ = std::make_unique<PiProcess>(host_.reactor(), *this);
  if (!pi_->start(*sandbox_, pi::program(conversation_id(), provider_, model_))) {
    pi_.reset();
    end_sandbox();
    fail_start("the harness could not be started");
    return reply(no(Code::unavailable, "the harness could not be started: try again"));
  }
  deadline_ = host_.reactor().after(kStartTimeoutMs, [this] { on_ended("it did not answer within a minute"); });
  const std::string id = new_request([this](const Json* response) {
    if (response == nullptr || !response->boolean_at("success")) return;
    const Json* data = response->find("data");
    on_pi_answers(data == nullptr ? Json() : *data);
  });
  requests_[id].timeout.cancel();  // the start has its own deadline
  request(id, pi::plain(id, "get_state"));
  emit(events::session_created(resumed));
  host_.on_changed(*this);
  reply(created_json(resumed));
}

void Session::on_pi_answers(const Json& state) {
  if (ready_) return;
  if (pi_) pi_->forget_errors();  // it warns of every new session
  take_settings(state);
  const std::string models = new_request([this](const Json* response) {
    const Json* data = response == nullptr ? nullptr : response->find("data");
    if (data != nullptr) take_models(*data);
  });
  request(models, pi::plain(models, "get_available_models"));
  if (!record_.fork_entry.empty()) return fork_conversation();
  if (!unfinished_) return on_ready();
  compare();
}

void Session::on_ready() {
  deadline_.cancel();
  ready_ = true;
  for (const Reply& task : std::exchange(when_ready_, {})) task("");
  if (queued_) {
    const protocol::Prompt prompt = std::move(*queued_);
    queued_.reset();
    on_phase(protocol::Phase::generating, {});
    return deliver(prompt);
  }
  if (turn_open_) return;  // one of those that waited for this has begun one
  settled_ = true;
  go_idle_if_durable();
}

void Session::when_ready(Reply task) {
  if (ready_ && !closing_) return task("");
  wake([this, task, alive = alive_](const Answer& woken) {
    if (!woken) return task(woken);
    if (!*alive) return task(no(Code::not_found, "the session was deleted"));
    if (ready_) return task("");
    when_ready_.push_back(task);
  });
}

void Session::fail_start(std::string why) {
  starting_ = false;
  if (state_ != State::starting) return;
  log::warn("a session was not started", {{"session", record_.id}, {"why", why.substr(0, 512)}});
  set_state(State::failed);
  emit(events::error("the agent could not be started: " + why, true, "initializing"));
  if (queued_) add_marker("the agent could not be started: " + why);
  queued_.reset();
  turn_open_ = false;
  for (const Reply& task : std::exchange(when_ready_, {})) task(no(Code::unavailable, why));
}

// --- requests to Pi ------------------------------------------------------------------------------

std::string Session::new_request(OnResponse done, std::uint64_t timeout_ms) {
  std::string id = "r" + std::to_string(next_request_++);
  Request& entry = requests_[id];
  entry.done = std::move(done);
  entry.timeout = host_.reactor().after(timeout_ms, [this, id] {
    const auto found = requests_.find(id);
    if (found == requests_.end()) return;
    const OnResponse late = std::move(found->second.done);
    requests_.erase(found);
    late(nullptr);
  });
  return id;
}

void Session::request(std::string id, std::string line) {
  if (pi_ && pi_->send(std::move(line))) return;
  const auto found = requests_.find(id);
  if (found == requests_.end()) return;
  const OnResponse done = std::move(found->second.done);
  requests_.erase(found);
  done(nullptr);
}

void Session::fail_requests() {
  for (const auto& [id, entry] : std::exchange(requests_, {})) entry.done(nullptr);
}

void Session::on_record(const Json& record) {
  if (!pi_) return;  // its last words, after we gave it up
  if (record.text_at("type") != "response") {
    return translator_.feed(record, sys::monotonic_ms());
  }
  const auto found = requests_.find(record.text_at("id"));
  if (found == requests_.end()) {
    if (!record.boolean_at("success")) {
      log::warn("the harness refused a command", {{"error", record.text_at("error").substr(0, 200)}});
    }
    return;
  }
  const OnResponse done = std::move(found->second.done);
  requests_.erase(found);
  done(&record);
}

}  // namespace oqto::runner
