// Lifecycle: starting, stopping, crashing.
#include "runner/session.h"

#include <algorithm>

#include "base/log.h"
#include "base/sys.h"

namespace oqto::runner {

using protocol::Code;
using protocol::Json;
namespace events = protocol::events;

std::unexpected<protocol::Failure> no(Code code, std::string error) {
  return std::unexpected(protocol::Failure{code, std::move(error)});
}

std::string_view state_name(Session::State state) {
  switch (state) {
    case Session::State::stopped: return "stopped";
    case Session::State::starting: return "starting";
    case Session::State::idle: return "idle";
    case Session::State::working: return "working";
    case Session::State::waiting: return "waiting";
    case Session::State::failed: return "failed";
  }
  return "failed";
}

static std::string new_message_id() {
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
      stored_(stored),
      model_(record.model),
      provider_(record.provider) {}

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
}

void Session::subscribe(Subscriber& subscriber) {
  if (std::find(subscribers_.begin(), subscribers_.end(), &subscriber) == subscribers_.end()) {
    subscribers_.push_back(&subscriber);
  }
}

void Session::unsubscribe(Subscriber& subscriber) {
  std::erase(subscribers_, &subscriber);
  if (subscribers_.empty() && !live()) ring_.forget();
}

// --- starting ------------------------------------------------------------------------------------

void Session::start(const protocol::CreateSession& wanted, Reply reply) {
  if (pi_ && !closing_) {  // it runs already
    return reply(created_json(true));
  }
  if (!host_.may_go_live()) {
    return reply(no(Code::limit, "too many sessions run at once: close one first"));
  }
  set_state(State::starting);
  on_phase(protocol::Phase::initializing, {});
  if (sandbox_alive_) {  // the last one is still being taken down
    when_sandbox_gone([this, wanted, reply](bool gone) {
      if (gone) return ask_for_sandbox(wanted, reply);
      fail_start("its old sandbox has not ended");
      reply(no(Code::unavailable, "the session's old sandbox has not ended: try again"));
    });
    return;
  }
  ask_for_sandbox(wanted, std::move(reply));
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
  closing_ = ready_ = turn_open_ = settled_ = false;
  policy_ = policy_json(started.answer);
  if (record_.profile != started.answer.profile) {
    record_.profile = started.answer.profile;
    if (!host_.save_registry()) log::warn("the registry was not written");
  }
  pi_ = std::make_unique<PiProcess>(host_.reactor(), *this);
  const Uuid uuid = session_uuid(record_.id);
  const auto begun = pi_->start(ipc::Channel(std::move(started.init)),
                                pi::start(uuid.text(), record_.provider, record_.model));
  if (!begun) {
    pi_.reset();
    end_sandbox();
    fail_start(begun.error().what);
    return reply(no(Code::unavailable, "the harness could not be started: try again"));
  }
  deadline_ = host_.reactor().after(kStartTimeoutMs, [this] {
    on_ended("it did not answer within a minute");
  });
  const std::string id = new_request([this](const Json* response) {
    if (response != nullptr && response->boolean_at("success")) {
      const Json* data = response->find("data");
      on_ready(data == nullptr ? Json() : *data);
    }
  });
  requests_[id].timeout.cancel();  // the start has its own deadline
  request(id, pi::plain(id, "get_state"));
  emit(events::session_created(resumed));
  reply(created_json(resumed));
}

void Session::on_ready(const Json& state) {
  if (ready_) return;
  deadline_.cancel();
  ready_ = true;
  if (pi_) pi_->forget_errors();  // it warns of every new session
  take_settings(state);
  const std::string id = new_request([this](const Json* response) {
    const Json* data = response == nullptr ? nullptr : response->find("data");
    if (data != nullptr) take_models(*data);
  });
  request(id, pi::plain(id, "get_available_models"));
  if (queued_) {
    const protocol::Prompt prompt = std::move(*queued_);
    queued_.reset();
    on_phase(protocol::Phase::generating, {});
    return deliver(prompt, pi::Delivery::now);
  }
  turn_open_ = false;
  settled_ = true;
  go_idle_if_durable();
}

void Session::fail_start(std::string why) {
  log::warn("a session did not start", {{"session", record_.id}, {"why", why}});
  set_state(State::failed);
  emit(events::error("the session did not start: " + why, false, "initializing"));
}

// --- ending --------------------------------------------------------------------------------------

void Session::close(std::string_view reason, Reply reply) {
  if (!pi_ || closing_) {
    if (state_ == State::failed) set_state(State::stopped);
    return when_sandbox_gone([reply](bool) { reply(""); });
  }
  closing_ = true;
  resolve_inputs(true);
  pi_->close_input();
  deadline_ = host_.reactor().after(kCloseTimeoutMs, [this] { on_ended("it was stopped"); });
  when_sandbox_gone([this, reply, why = std::string(reason)](bool) {
    emit(events::session_closed(why));
    reply("");
  });
}

// Pi has ended, by itself or because we gave it up; the sandbox goes with it.
void Session::on_ended(std::string why) {
  if (!pi_) return;
  deadline_.cancel();
  abort_deadline_.cancel();
  host_.reactor().dispose(std::move(pi_));
  translator_.abandon("the agent ended");
  resolve_inputs(true);
  const bool was_working = turn_open_ || state_ == State::starting;
  turn_open_ = settled_ = ready_ = false;
  queued_.reset();
  fail_requests();
  if (closing_) {
    set_state(State::stopped);
    answer_aborts("");
  } else {
    log::warn("the harness ended", {{"session", record_.id}, {"why", why.substr(0, 512)}});
    set_state(State::failed);
    const std::string text = "the agent ended unexpectedly: " + why;
    if (was_working) emit(events::error(text, false));
    emit(events::session_closed(text));
    answer_aborts(no(Code::unavailable, text));
  }
  end_sandbox();
}

void Session::end_sandbox() {
  host_.guard().stop_session(session_uuid(record_.id));
  sandbox_deadline_ = host_.reactor().after(kSandboxTimeoutMs, [this] {
    log::error("the guard did not report the end of a sandbox", {{"session", record_.id}});
    for (const auto& task : std::exchange(after_sandbox_, {})) task(false);
  });
}

void Session::when_sandbox_gone(std::function<void(bool)> task) {
  if (!sandbox_alive_) return task(true);
  after_sandbox_.push_back(std::move(task));
}

void Session::on_sandbox_ended(std::string_view why) {
  if (!sandbox_alive_) return;
  sandbox_alive_ = false;
  policy_.clear();
  sandbox_deadline_.cancel();
  on_ended(why.empty() ? "its sandbox ended" : std::string(why));
  sandbox_deadline_.cancel();
  for (const auto& task : std::exchange(after_sandbox_, {})) task(true);
}

// --- requests to Pi ------------------------------------------------------------------------------

std::string Session::new_request(OnResponse done) {
  std::string id = "r" + std::to_string(next_request_++);
  Request& entry = requests_[id];
  entry.done = std::move(done);
  entry.timeout = host_.reactor().after(kRequestTimeoutMs, [this, id] {
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
