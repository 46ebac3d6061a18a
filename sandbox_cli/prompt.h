// Questions to the user on the terminal, one after the other. No terminal, no answer in time, too
// many questions: no.
#pragma once
#include <deque>
#include <functional>

#include "ipc/session_messages.h"
#include "sandbox_cli/terminal.h"

namespace oqto::sandbox_cli {

constexpr std::size_t kMaxQuestions = 16;  // waiting

class Prompter final : public ipc::Watcher {
 public:
  using Answer = std::function<void(ipc::ApprovalChoice)>;

  Prompter(ipc::Loop& loop, Terminal& terminal) : loop_(loop), terminal_(terminal) {}
  ~Prompter() override { close(); }
  Prompter(const Prompter&) = delete;
  Prompter& operator=(const Prompter&) = delete;

  // `answer` is called once, perhaps at once.
  void ask(const ipc::ApprovalAsk& question, Answer answer);
  void tick(std::uint64_t now_ms);
  [[nodiscard]] std::uint64_t deadline() const { return asking_ ? deadline_ : 0; }  // 0: none
  void close();  // what is not answered is denied

  void on_ready(std::uint32_t events) override;

 private:
  struct Question {
    ipc::ApprovalAsk facts;
    Answer answer;
  };
  void begin();
  void show();
  void finish(ipc::ApprovalChoice choice, std::string_view because);

  ipc::Loop& loop_;
  Terminal& terminal_;
  std::deque<Question> waiting_;
  bool asking_ = false;  // the first of them
  std::uint64_t deadline_ = 0;
  Fd tty_;
  std::string typed_;
};

}  // namespace oqto::sandbox_cli
