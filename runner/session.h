// One session: its record, its place in the state machine, its events, and, while it is live, Pi.
// stopped -> starting -> idle <-> working (waiting, while a dialog is open) -> stopped or failed.
// Connections come and go without touching it.
#pragma once
#include <deque>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ipc/audit.h"
#include "protocol/command.h"
#include "runner/event_ring.h"
#include "runner/guard_link.h"
#include "runner/history.h"
#include "runner/outbox.h"
#include "runner/pi_process.h"
#include "runner/registry.h"
#include "runner/translator.h"

namespace oqto::runner {

using Answer = std::expected<std::string, protocol::Failure>;  // the data as JSON text, or empty
using Reply = std::function<void(Answer)>;

std::unexpected<protocol::Failure> no(protocol::Code code, std::string error);

class Session;

class Subscriber {
 public:
  virtual ~Subscriber() = default;
  virtual void on_event(const Session& session, const EventText& event) = 0;
};

// What a session needs of its surroundings.
struct SessionHost {
  virtual ~SessionHost() = default;
  virtual Reactor& reactor() = 0;
  virtual GuardLink& guard() = 0;
  virtual History& history() = 0;
  virtual Status save_registry() = 0;
  virtual bool may_go_live() = 0;  // the bound on live sessions
  virtual Status record(ipc::AuditAppend entry) = 0;  // an error: it is not in the log
  // The same with `args`, however long; what cannot be recorded is said in the process's log.
  virtual void record_with_args(ipc::AuditAppend entry, std::string args) = 0;
  virtual void on_models(const std::vector<protocol::ModelInfo>& models) = 0;
};

class Session final : public TranslatorSink, public PiProcess::Owner, public Outbox::Owner {
 public:
  enum class State { stopped, starting, idle, working, waiting, failed };

  Session(SessionHost& host, SessionRecord& record, bool stored);
  ~Session() override;

  [[nodiscard]] const SessionRecord& record() const { return record_; }
  [[nodiscard]] State state() const { return inputs_.empty() ? state_ : State::waiting; }
  [[nodiscard]] bool live() const { return sandbox_alive_ || state_ == State::starting; }

  // Nothing of it is lost if the process ends now.
  [[nodiscard]] bool quiet() const { return !pi_ && outbox_.empty(); }

  // --- commands; each Reply is called once, now or later ---
  void start(const protocol::CreateSession& wanted, Reply reply);
  void close(std::string_view reason, Reply reply);
  void prompt(const protocol::Prompt& prompt, pi::Delivery delivery, Reply reply);
  void abort(Reply reply);
  void answer_input(const protocol::InputResponse& response, Reply reply);
  void set_name(std::string_view name, Reply reply);
  void set_model(const protocol::SetModel& model, Reply reply);
  void set_thinking_level(std::string_view level, Reply reply);
  void get_messages(const protocol::GetMessages& wanted, Reply reply);
  [[nodiscard]] std::string state_json() const;
  [[nodiscard]] std::string stats_json() const;
  [[nodiscard]] std::string list_json() const;  // SESSION
  [[nodiscard]] const std::vector<protocol::ModelInfo>& models() const { return models_; }

  // --- subscribers: those before the call get every event after it ---
  void subscribe(Subscriber& subscriber);  // once is enough
  void unsubscribe(Subscriber& subscriber);
  [[nodiscard]] const EventRing& ring() const { return ring_; }

  // --- from outside ---
  void on_sandbox_ended(std::string_view why);
  void on_approval_ask(const ipc::ApprovalAsk& ask);
  void on_usage(const ipc::SessionUsage& usage) { usage_ = usage; }
  void on_history_back() { outbox_.retry_now(); }

  static constexpr std::uint64_t kStartTimeoutMs = 60'000;
  static constexpr std::uint64_t kRequestTimeoutMs = 15'000;
  static constexpr std::uint64_t kAbortTimeoutMs = 10'000;
  static constexpr std::uint64_t kCloseTimeoutMs = 3'000;
  static constexpr std::uint64_t kSandboxTimeoutMs = 10'000;
  static constexpr std::size_t kMaxInputs = 16;
  static constexpr std::size_t kMaxSubscribers = 64;
  static constexpr std::size_t kRememberedClientIds = 512;
  static constexpr std::size_t kHoldBytes = 8 * 1024 * 1024;  // unstored: then Pi is not read

 private:
  // --- TranslatorSink ---
  void on_event(protocol::Event event) override { emit(event); }
  void on_message(protocol::Message message) override;
  void on_phase(protocol::Phase phase, std::string_view detail) override;
  void on_input_needed(protocol::InputRequest request) override;
  void on_dialog_refused(std::string_view request_id) override;
  void on_tool_begins(std::string_view call, std::string_view tool,
                      const std::string& args_json) override;
  void on_tool_ended(std::string_view call, std::string_view tool, bool failed,
                     std::uint64_t took_ms) override;
  void on_thinking_level(std::string_view level) override;
  void on_settled() override;
  // --- PiProcess::Owner ---
  void on_record(const protocol::Json& record) override;
  void on_ended(std::string why) override;
  // --- Outbox::Owner ---
  ConversationHead conversation() const override;
  void on_stored(const Written& written) override;
  void on_history_trouble(const char* what) override;

  void emit(const protocol::Event& event);
  void set_state(State state);

  void ask_for_sandbox(const protocol::CreateSession& wanted, Reply reply);
  void on_sandbox(GuardLink::Started started, bool resumed, const Reply& reply);
  void on_ready(const protocol::Json& state);
  void take_settings(const protocol::Json& state);
  void take_models(const protocol::Json& data);
  [[nodiscard]] bool takes_images() const;
  void fail_start(std::string why);
  void when_sandbox_gone(std::function<void(bool)> task);
  void end_sandbox();

  void accept(const protocol::Prompt& prompt, pi::Delivery delivery, Reply reply);
  void deliver(const protocol::Prompt& prompt, pi::Delivery delivery);
  void on_prompt_answer(const protocol::Json* response);
  void title_from(const std::string& text);
  void go_idle_if_durable();
  void answer_aborts(const Answer& answer);
  void resolve_inputs(bool approvals_too);
  void answer_approval(const std::string& request_id, const protocol::InputResponse& response, const Reply& reply);
  void close_approval(const std::string& request_id, ipc::ApprovalChoice choice);
  [[nodiscard]] static std::string policy_json(const ipc::SessionStarted& started);
  [[nodiscard]] std::string created_json(bool resumed) const;
  std::string page_json(Page page, const protocol::GetMessages& wanted) const;

  // Sends a command to Pi; the answer, or null if there is none in time or Pi is gone.
  using OnResponse = std::function<void(const protocol::Json*)>;
  std::string new_request(OnResponse done);
  void request(std::string id, std::string line);
  void fail_requests();

  SessionHost& host_;
  SessionRecord& record_;
  State state_ = State::stopped;
  std::uint64_t since_ms_ = 0;
  std::optional<std::pair<protocol::Phase, std::string>> phase_;
  EventRing ring_;
  std::vector<Subscriber*> subscribers_;

  Outbox outbox_;
  Translator translator_;
  std::unique_ptr<PiProcess> pi_;
  bool stored_;                 // the conversation may exist in the history
  bool sandbox_alive_ = false;  // until the guard says that it is gone
  bool closing_ = false;
  bool ready_ = false;          // Pi has answered get_state
  bool turn_open_ = false;      // from an accepted prompt, or agent_start, to agent_settled
  bool settled_ = false;        // … but not yet durable
  std::optional<protocol::Prompt> queued_;  // accepted while Pi starts
  std::vector<Reply> aborts_;
  std::vector<std::function<void(bool)>> after_sandbox_;
  Timer deadline_;              // of the start, or of the close
  Timer abort_deadline_;
  Timer sandbox_deadline_;

  struct Request {
    OnResponse done;
    Timer timeout;
  };
  std::map<std::string, Request, std::less<>> requests_;
  std::uint64_t next_request_ = 1;

  struct Input {
    protocol::InputRequest request;
    Timer timeout;
    std::optional<ipc::ApprovalAsk> approval = {};  // the host asks, not the harness
  };
  std::map<std::string, Input, std::less<>> inputs_;

  std::deque<std::string> client_ids_;
  std::vector<protocol::ModelInfo> models_;
  std::string model_;
  std::string provider_;
  std::string thinking_level_;
  std::string policy_;  // the effective one as JSON, while it is live
  std::uint64_t version_ = 0;
  ipc::SessionUsage usage_;
  double cost_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

std::string_view state_name(Session::State state);

}  // namespace oqto::runner
