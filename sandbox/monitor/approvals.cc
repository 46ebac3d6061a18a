#include "sandbox/monitor/approvals.h"

#include <algorithm>

namespace oqto::sandbox {
namespace {

using Choice = ipc::ApprovalChoice;

constexpr std::uint64_t kMinuteMs = 60'000;
constexpr std::size_t kMaxShownArguments = 16;
constexpr std::size_t kMaxShownArgument = 256;  // bytes

ipc::ApprovalAsk question_about(const OpenRequest& request, std::uint64_t number,
                                std::uint32_t timeout_s) {
  ipc::ApprovalAsk question;
  question.kind = ipc::ApprovalKind::file_read;
  question.question = number;
  question.timeout_s = timeout_s;
  question.what = ipc::Text<512>(request.path);
  show_process(question, request.inside, request.argv, request.cwd);
  return question;
}

}  // namespace

void show_process(ipc::ApprovalAsk& question, pid_t inside, const std::vector<std::string>& argv,
                  const std::string& cwd) {
  question.pid = inside > 0 ? static_cast<std::uint32_t>(inside) : 0;
  question.argv.values.clear();
  for (const std::string& argument : argv) {
    if (question.argv.values.size() == kMaxShownArguments) break;
    question.argv.values.push_back(argument.substr(0, kMaxShownArgument));
  }
  question.cwd = ipc::Text<512>(cwd);
}

Approvals::Settlements Approvals::settle(OpenRequest request, Choice choice,
                                         std::string_view rule) {
  Settlements settled;
  settled.push_back({std::move(request), choice, rule});
  return settled;
}

Approvals::Settlements Approvals::consider(OpenRequest request, bool automatic, std::uint64_t now) {
  if (automatic) return settle(std::move(request), Choice::session, "auto");
  const auto known = remembered_.find(request.path);
  if (known != remembered_.end() && (known->second.granted || now < known->second.until)) {
    const Choice choice = known->second.granted ? Choice::session : Choice::deny;
    return settle(std::move(request), choice, "remembered");
  }
  // A path that does not fit would be shown cut, and the user would answer about another.
  if (request.path.size() > decltype(ipc::ApprovalAsk::what)::kMax) {
    return settle(std::move(request), Choice::deny, "path too long");
  }
  if (waiting_ >= kMaxWaiting) {
    return settle(std::move(request), Choice::deny, "too many questions");
  }
  for (auto& [number, question] : questions_) {
    if (question.path != request.path) continue;
    question.waiting.push_back(std::move(request));
    ++waiting_;
    return {};
  }
  return ask(std::move(request), now);
}

bool Approvals::may_ask(std::uint64_t now) {
  if (now >= minute_ + kMinuteMs) {
    minute_ = now;
    asked_ = 0;
  }
  return questions_.size() < kMaxQuestions && asked_ < kMaxQuestionsPerMinute;
}

Approvals::Settlements Approvals::ask(OpenRequest request, std::uint64_t now) {
  if (approver_ == nullptr) return settle(std::move(request), Choice::deny, "nobody to ask");
  if (!may_ask(now)) return settle(std::move(request), Choice::deny, "too many questions");
  const std::uint64_t number = next_question_++;
  if (!approver_->ask(question_about(request, number, timeout_s_))) {
    return settle(std::move(request), Choice::deny, "nobody to ask");
  }
  ++asked_;
  ++waiting_;
  Question question{.path = request.path, .deadline = now + 1000ULL * timeout_s_, .waiting = {}};
  question.waiting.push_back(std::move(request));
  questions_.emplace(number, std::move(question));
  return {};
}

void Approvals::remember(const std::string& path, Memory memory, std::uint64_t now) {
  std::erase_if(remembered_, [now](const auto& entry) {
    return !entry.second.granted && now >= entry.second.until;
  });
  // What does not fit is asked again.
  if (remembered_.size() < kMaxRemembered) remembered_.insert_or_assign(path, memory);
}

Approvals::Settlements Approvals::on_answer(std::uint64_t number, Choice choice,
                                            std::uint64_t now) {
  const auto found = questions_.find(number);
  if (found == questions_.end()) return {};  // too late
  const Question question = std::move(found->second);
  questions_.erase(found);
  waiting_ -= question.waiting.size();
  if (choice == Choice::session) remember(question.path, {true, 0}, now);
  if (choice == Choice::deny) remember(question.path, {false, now + kDenialLastsMs}, now);

  Settlements settled;
  const pid_t shown = question.waiting.front().process;
  for (const OpenRequest& request : question.waiting) {
    if (choice != Choice::once || request.process == shown) {
      settled.push_back({request, choice, "answer"});
      continue;
    }
    // "Once" was said about the process that was shown. Another one asks for itself.
    for (Settled& each : consider(request, false, now)) settled.push_back(std::move(each));
  }
  return settled;
}

Approvals::Settlements Approvals::expire(std::uint64_t now) {
  Settlements settled;
  for (auto at = questions_.begin(); at != questions_.end();) {
    if (now < at->second.deadline) {
      ++at;
      continue;
    }
    waiting_ -= at->second.waiting.size();
    remember(at->second.path, {false, now + kDenialLastsMs}, now);
    for (OpenRequest& request : at->second.waiting) {
      settled.push_back({std::move(request), Choice::deny, "timeout"});
    }
    at = questions_.erase(at);
  }
  return settled;
}

}  // namespace oqto::sandbox
