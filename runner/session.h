// One session: its record, its place in the state machine, its events, and, while it is live, Pi.
// asleep or stopped -> starting -> idle <-> working (waiting, while a question is open) -> asleep, stopped
// or failed. Connections come and go without touching it. Its parts:
//   session.cc           starting
//   session_end.cc       ending, falling asleep
//   session_turn.cc      prompts, what the harness makes of them, when a turn is over
//   session_queue.cc     what waits for a working agent
//   session_input.cc     questions: of the harness, and of the host
//   session_recovery.cc  what the history and the harness's file say after a crash
//   session_settings.cc  models and names, forks and compaction
//   session_view.cc      what it tells about itself
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
#include "runner/journal.h"
#include "runner/message_queue.h"
#include "runner/outbox.h"
#include "runner/pi_process.h"
#include "runner/reconcile.h"
#include "runner/registry.h"
#include "runner/translator.h"

namespace oqto::runner {

using Answer = std::expected<std::string, protocol::Failure>;  // the data as JSON text, or empty
using Reply = std::function<void(Answer)>;

std::unexpected<protocol::Failure> no(protocol::Code code, std::string error);
std::string new_message_id();

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
  virtual const Fd& state_dir() = 0;
  virtual Status save_registry() = 0;
  // There is room for one more live session, if need be since another one was put to sleep.
  virtual void make_room(const Session& for_whom, std::function<void(bool)> done) = 0;
  virtual Status record(ipc::AuditAppend entry) = 0;  // an error: it is not in the log
  // What has happened already: recorded later, if the log is away.
  virtual void keep_record(ipc::AuditAppend entry) = 0;
  // The same with `args`, however long.
  virtual void record_with_args(ipc::AuditAppend entry, std::string args) = 0;
  // With the hash of what a tool put out; `keep`: with all of it, or why it was not kept.
  virtual void record_with_output(ipc::AuditAppend entry, const std::string& output, bool keep) = 0;
  virtual void on_models(const std::vector<protocol::ModelInfo>& models) = 0;
  virtual const std::vector<protocol::ModelInfo>& offered_models() = 0;  // empty: not known
  virtual void on_changed(Session& session) = 0;  // what list_json says is another now
  virtual std::uint64_t sleep_after_ms() = 0;
};

class Session final : public TranslatorSink, public PiProcess::Owner, public Outbox::Owner {
 public:
  enum class State { stopped, asleep, starting, idle, working, waiting, failed };

  // `stored`: it was known before this process began.
  Session(SessionHost& host, SessionRecord& record, bool stored);
  ~Session() override;

  [[nodiscard]] const SessionRecord& record() const { return record_; }
  [[nodiscard]] State state() const { return inputs_.empty() ? state_ : State::waiting; }
  [[nodiscard]] bool live() const { return sandbox_alive_ || state_ == State::starting; }
  [[nodiscard]] std::uint64_t since_ms() const { return since_ms_; }

  // Nothing of it is lost if the process ends now.
  [[nodiscard]] bool quiet() const { return !pi_ && outbox_.empty(); }
  [[nodiscard]] bool was_interrupted() const { return left_.has_value(); }

  // --- commands; each Reply is called once, now or later ---
  void start(const protocol::CreateSession& wanted, Reply reply);
  void when_ready(Reply task);  // wakes it, if need be; the answer is empty then
  void recover();  // a turn was open when this process's predecessor ended
  // `for_good`: a person closed it; else it may be woken again by itself.
  void close(std::string_view reason, bool for_good, Reply reply);
  void sleep(ipc::StopReason reason, std::function<void(bool)> done);  // false: something in it still works
  void erase_conversation(Reply reply);        // the harness's own file; the session is closed
  void prompt(const protocol::Prompt& prompt, pi::Delivery delivery, Reply reply);
  void abort(Reply reply);
  void queue_edit(const protocol::QueueEdit& edit, const Reply& reply);
  void queue_remove(const protocol::QueueRemove& wanted, const Reply& reply);
  void answer_input(const protocol::InputResponse& response, std::string_view by, const Reply& reply);
  void set_name(std::string_view name, Reply reply);
  void set_model(const protocol::SetModel& model, Reply reply);
  void set_thinking_level(std::string_view level, Reply reply);
  void compact(const protocol::Compact& wanted, Reply reply);
  void get_fork_points(Reply reply);
  // The entry of the harness before which a fork begins, the idx of its message, and its text.
  struct ForkPoint {
    std::string entry;
    std::uint32_t idx = 0;
    std::string text;
  };
  void find_fork_point(const protocol::Fork& wanted,
                       std::function<void(std::expected<ForkPoint, protocol::Failure>)> done);
  void get_messages(const protocol::GetMessages& wanted, Reply reply);
  void get_part(const protocol::GetPart& wanted, Reply reply);
  [[nodiscard]] std::string state_json() const;
  [[nodiscard]] std::string stats_json() const;
  [[nodiscard]] std::string list_json() const;  // SESSION
  [[nodiscard]] const std::vector<protocol::ModelInfo>& models() const { return models_; }
  [[nodiscard]] std::string conversation_id() const;  // the harness's
  [[nodiscard]] ConversationHead conversation() const override;

  // --- subscribers: those before the call get every event after it ---
  void subscribe(Subscriber& subscriber);  // once is enough
  void unsubscribe(Subscriber& subscriber);
  void adopt_conversation() { stored_ = true; }  // the history has been given one for it
  [[nodiscard]] const EventRing& ring() const { return ring_; }

  // --- from outside ---
  void on_sandbox_ended(std::string_view why);
  void on_approval_ask(const ipc::ApprovalAsk& ask);
  void on_usage(const ipc::SessionUsage& usage);
  void take_summary(const ConversationSummary& summary);
  void on_history_back() { outbox_.retry_now(); }

  static constexpr std::uint64_t kStartTimeoutMs = 60'000;
  static constexpr std::uint64_t kRequestTimeoutMs = 15'000;
  static constexpr std::uint64_t kAbortTimeoutMs = 10'000;
  static constexpr std::uint64_t kCompactTimeoutMs = 300'000;
  static constexpr std::uint64_t kCloseTimeoutMs = 3'000;
  static constexpr std::uint64_t kSandboxTimeoutMs = 10'000;
  static constexpr std::size_t kMaxInputs = 16;
  static constexpr std::size_t kMaxInputBytes = 48 * 1024;   // of one question
  static constexpr std::size_t kMaxModelName = 256;          // of a harness: more of it is not kept
  static constexpr std::size_t kRememberedClientIds = 512;
  static constexpr std::size_t kHoldBytes = 24 * 1024 * 1024;  // unstored: then Pi is not read
  static constexpr std::size_t kMaxFullOutput = 64 * 1024 * 1024;
  static constexpr std::size_t kMaxInside = 4;  // small programs in the sandbox at once
  static constexpr unsigned kMaxDeliveries = 2;  // of one prompt, when a crash leaves it unanswered

 private:
  // --- TranslatorSink ---
  void on_event(protocol::Event event) override { emit(event); }
  void on_message(protocol::Message message) override;
  void on_cut_result(protocol::Message message, std::string path) override;
  void on_user_message(const std::string& text) override;
  void on_stream_begins(const protocol::Message& head) override { journal_.begin_message(head); }
  void on_streamed(protocol::Part::Type type, std::int64_t index, const std::string& text) override {
    journal_.add(type, index, text);
  }
  void on_phase(protocol::Phase phase, std::string_view detail) override;
  void on_input_needed(protocol::InputRequest request) override;
  void on_dialog_refused(std::string_view request_id) override;
  void on_tool_begins(std::string_view call, std::string_view tool,
                      const std::string& args_json) override;
  void on_tool_ended(std::string_view call, std::string_view tool, bool failed,
                     std::uint64_t took_ms, const std::string& output) override;
  void on_thinking_level(std::string_view level) override;
  void on_settled() override;
  // --- PiProcess::Owner ---
  void on_record(const protocol::Json& record) override;
  void on_unreadable(std::string_view what) override;
  void on_ended(std::string why) override;
  // --- Outbox::Owner ---
  void on_opened(const Page& last) override;
  void on_stored(const Written& written) override;
  void on_history_trouble(const char* what) override;
  void on_stored_after_all(const std::string& id) override;

  void emit(const protocol::Event& event);
  void set_state(State state);

  // Starting: each step leads to the next, and every failure to fail_start.
  void wake(Reply reply);  // if it is not live; answered once its sandbox is
  void ask_for_sandbox(const protocol::CreateSession& wanted, Reply reply);
  void on_sandbox(GuardLink::Started started, bool resumed, const Reply& reply);
  void on_pi_answers(const protocol::Json& state);
  void on_ready();
  void fail_start(std::string why);
  void when_sandbox_gone(std::function<void(bool)> task);
  void end_sandbox();
  void arm_sleep();
  void has_background_work(std::function<void(bool)> done);

  // Recovery.
  void compare();  // with the harness's file; then it is ready
  void reconcile_with(const Page& last, const protocol::Json* response);
  void take_prompt_of_before(Page last);
  void compare_with_harness(const Page& last);
  void import_missing(Reconciled& found, const std::optional<protocol::Message>& partial);
  void deliver_again();
  void add_marker(const std::string& why);  // the answer that a prompt did not get, and why
  void fork_conversation();

  void take_settings(const protocol::Json& state);
  void take_models(const protocol::Json& data);
  [[nodiscard]] bool takes_images() const;
  [[nodiscard]] std::optional<protocol::Failure> unknown_model(const std::string& provider,
                                                               const std::string& model) const;

  // Turns.
  void when_new(const std::string& client_id, const Reply& reply, std::function<void()> task);
  void take(const protocol::Prompt& prompt, pi::Delivery delivery, Reply reply);
  void accept(const protocol::Prompt& prompt, const Reply& reply);
  void begin(const protocol::Message& message, const protocol::Prompt& prompt);
  void enqueue(const protocol::Prompt& prompt, bool steer, const Reply& reply);
  void hand_over_steering();
  void take_back_steering();
  void queue_changed();
  bool deliver_next();
  void deliver(const protocol::Prompt& prompt);
  void remember_client_id(const std::string& client_id);
  void on_prompt_answer(const protocol::Json* response);
  void title_from(const std::string& text);
  void go_idle_if_durable();
  void answer_aborts(const Answer& answer);
  void resolve_inputs(bool approvals_too);
  void answer_approval(const std::string& request_id, const protocol::InputResponse& response, std::string_view by,
                       const Reply& reply);
  void close_approval(const std::string& request_id, ipc::ApprovalChoice choice, const protocol::InputResolution& how);
  void resolve_input(const std::string& request_id, const protocol::InputResolution& how);
  [[nodiscard]] static std::string policy_json(const ipc::SessionStarted& started);
  [[nodiscard]] std::string created_json(bool resumed) const;
  [[nodiscard]] std::string inputs_json() const;
  std::string page_json(Page page, const protocol::GetMessages& wanted) const;
  [[nodiscard]] UsageCount usage() const;

  // Sends a command to Pi; the answer, or null if there is none in time or Pi is gone.
  using OnResponse = std::function<void(const protocol::Json*)>;
  std::string new_request(OnResponse done, std::uint64_t timeout_ms = kRequestTimeoutMs);
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
  MessageQueue queue_;
  Journal journal_;
  std::optional<Journal::Left> left_;  // by an earlier process, until it is reconciled
  unsigned deliveries_ = 0;            // of the prompt of this turn
  bool unfinished_ = false;            // the history and the harness's file must be compared
  std::unique_ptr<SandboxLink> sandbox_;
  std::unique_ptr<PiProcess> pi_;
  std::vector<std::unique_ptr<InsideProgram>> inside_;
  std::size_t keeping_ = 0;  // bytes of whole outputs on their way to the history
  bool stored_;                 // the conversation may exist in the history
  bool sandbox_alive_ = false;  // until the guard says that it is gone
  bool starting_ = false;         // from the wish to the sandbox, or its refusal
  bool closed_meanwhile_ = false; // … and somebody closed it by then
  bool closing_ = false;
  bool sleeping_ = false;       // … to be woken by the next message
  ipc::StopReason stop_reason_{};  // while closing_
  bool ready_ = false;          // Pi has answered get_state, and nothing is left to be reconciled
  bool turn_open_ = false;      // from an accepted prompt, or agent_start, to agent_settled
  bool settled_ = false;        // … but not yet durable
  std::string last_stop_;       // of the turn's last answer
  std::optional<protocol::Prompt> queued_;  // accepted while Pi starts
  std::vector<Reply> when_ready_;
  std::vector<Reply> aborts_;
  std::vector<std::function<void(bool)>> after_sandbox_;
  Timer deadline_;              // of the start, or of the close
  Timer abort_deadline_;
  Timer sandbox_deadline_;
  Timer sleep_timer_;

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
  bool all_client_ids_ = true;  // client_ids_ has every one of this conversation
  std::vector<std::string> refused_;  // ids of messages that were taken back, and may be stored all the same
  std::vector<protocol::ModelInfo> models_;
  std::string model_;
  std::string provider_;
  std::string thinking_level_;
  std::string policy_;  // the effective one as JSON, while it is live
  bool audit_contents_ = false;  // of the same
  std::uint64_t version_ = 0;
  UsageCount usage_before_;  // this sandbox, or this gateway
  bool summary_known_;  // usage_before_ has what earlier processes counted
  UsageCount usage_now_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

std::string_view state_name(Session::State state);

}  // namespace oqto::runner
