// Questions to the session's user about hidden files: who waits for which, what was answered, and
// what of it is remembered. Nothing here waits, and no answer in time is a no.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ipc/session_messages.h"

namespace oqto::sandbox {

// Puts questions to the session's user. The answer comes back by Monitor::on_answer.
class Approver {
 public:
  virtual ~Approver() = default;
  // Does not wait. `session` of the question is the approver's to fill in. An error: nobody can be
  // asked, which is a no.
  virtual Status ask(const ipc::ApprovalAsk& question) = 0;
};

constexpr std::size_t kMaxQuestions = 8;            // open at once
constexpr std::size_t kMaxWaiting = 256;            // calls that wait for an answer, all together
constexpr std::size_t kMaxQuestionsPerMinute = 20;  // more would teach the user to say yes
constexpr std::uint64_t kDenialLastsMs = 60'000;    // a no is not asked again at once
constexpr std::size_t kMaxRemembered = 1024;

struct OpenRequest {
  std::uint64_t notification = 0;
  std::string path;  // inside, normalised
  bool close_on_exec = false;
  pid_t process = -1;
  pid_t inside = -1;  // its number inside
  std::vector<std::string> argv;
  std::string exe, cwd;
};

// Puts the process that wants something into the question, cut to what can be shown.
void show_process(ipc::ApprovalAsk& question, pid_t inside, const std::vector<std::string>& argv,
                  const std::string& cwd);

class Approvals {
 public:
  Approvals(Approver* approver, std::uint32_t timeout_s)
      : approver_(approver), timeout_s_(timeout_s) {}

  // What became of a request. `rule`: "auto", "answer", "remembered", "timeout", "nobody to ask",
  // "too many questions".
  struct Settled {
    OpenRequest request;
    ipc::ApprovalChoice choice{};
    std::string_view rule;
  };
  // At once, or by on_answer() or expire() later. Times are monotonic milliseconds.
  std::vector<Settled> consider(OpenRequest request, bool automatic, std::uint64_t now);
  std::vector<Settled> on_answer(std::uint64_t question, ipc::ApprovalChoice choice,
                                 std::uint64_t now);
  std::vector<Settled> expire(std::uint64_t now);

  [[nodiscard]] bool waits() const { return !questions_.empty(); }

 private:
  struct Question {
    std::string path;
    std::uint64_t deadline = 0;
    std::vector<OpenRequest> waiting;  // the first is what the user was shown
  };
  struct Memory {
    bool granted = false;
    std::uint64_t until = 0;  // of a denial
  };
  using Settlements = std::vector<Settled>;
  Settlements settle(OpenRequest request, ipc::ApprovalChoice choice, std::string_view rule);
  bool may_ask(std::uint64_t now);
  Settlements ask(OpenRequest request, std::uint64_t now);
  void remember(const std::string& path, Memory memory, std::uint64_t now);

  Approver* approver_;
  std::uint32_t timeout_s_;
  std::map<std::uint64_t, Question> questions_;
  std::map<std::string, Memory> remembered_;
  std::size_t waiting_ = 0;
  std::uint64_t next_question_ = 1;
  std::uint64_t minute_ = 0;
  std::size_t asked_ = 0;  // in that minute
};

}  // namespace oqto::sandbox
