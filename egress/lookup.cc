// What a name means in this session: its address, a question to the user, or nothing.
#include "egress/host_name.h"
#include "egress/session_parts.h"

namespace oqto::egress {

Verdict Session::denied(const std::string& name, std::string reason) {
  refusals_.add({ipc::Event::denial, name, 0, std::move(reason)}, Clock::now());
  return {Rcode::no_such_name, {}};
}

// Nothing: it takes a while.
std::optional<Verdict> Session::verdict_now(const std::string& name) {
  const auto own = setup_.own_names.find(name);
  if (own != setup_.own_names.end()) return Verdict{Rcode::no_error, own->second};
  const auto host = host_name(name);
  if (!host) return denied(name, "this is no name of a host");
  const Time now = Clock::now();
  if (Entry* const entry = names_.find(*host); entry != nullptr && entry->ends > now) {
    if (entry->state == Entry::State::opening) return {};
    if (entry->state == Entry::State::failed) return Verdict{};
    entry->used = now;
    return Verdict{Rcode::no_error, entry->address};
  }
  if (!setup_.rules.ports_of(*host).empty()) return {};
  const auto decision = decided_.find(*host);
  if (decision != decided_.end() && decision->second.until > now) {
    if (decision->second.allow) return {};
    return denied(*host, "the user did not allow this name");
  }
  // Policies name no single words either: what they lead to depends on where the host is.
  const bool asked = setup_.ask_unknown && host->find('.') != std::string::npos;
  if (!asked) return denied(*host, "no rule allows this name");
  return {};
}

asio::awaitable<Verdict> Session::verdict(std::string name, std::uint16_t asked_from) {
  if (const auto now = verdict_now(name)) co_return *now;
  const std::string host = host_name(name).value_or("");
  const Entry* const known = names_.find(host);
  if (known == nullptr || known->ends <= Clock::now()) {
    Ports ports = setup_.rules.ports_of(host);
    Time ends = Time::max();
    const bool by_user = ports.empty();
    if (by_user) {
      std::string asked = host;
      const bool allowed = co_await approved(std::move(asked), asked_from);
      if (closed_) co_return Verdict{};
      if (!allowed) co_return denied(host, "the user did not allow this name");
      ports.assign(std::begin(kDefaultPorts), std::end(kDefaultPorts));
      if (decided_.find(host) == decided_.end()) ends = Clock::now() + kOnce;
    }
    if (Entry* const again = names_.find(host)) {  // its listeners are there from an earlier yes
      again->ends = ends;
    } else if (!begin(host, ports, by_user, ends)) {
      refuse(host, 0, "too many names");
      co_return Verdict{};
    }
  }
  std::string opening = host;
  co_return co_await opened(std::move(opening));
}

bool Session::begin(const std::string& name, const Ports& ports, bool by_user, Time ends) {
  Entry* entry = names_.add(name, ports, Clock::now());
  const bool fresh = entry != nullptr;
  if (!fresh) entry = names_.take_over(name, ports, Clock::now());
  if (entry == nullptr) return false;
  entry->approved = by_user;
  entry->ends = ends;
  if (fresh) {
    opening_.emplace(entry->address, std::make_shared<Opening>(shared_.io));
    asio::co_spawn(shared_.io, open(shared_from_this(), entry->address), asio::detached);
  }
  return true;
}

asio::awaitable<Verdict> Session::opened(std::string name) {
  const Entry* entry = names_.find(name);
  if (entry != nullptr && entry->state == Entry::State::opening) {
    const auto found = opening_.find(entry->address);
    if (found == opening_.end()) co_return Verdict{};
    const std::shared_ptr<Opening> opening = found->second;
    co_await opening->changed.wait_until(opening->deadline);
    entry = names_.find(name);
  }
  if (closed_ || entry == nullptr || entry->state != Entry::State::ready) co_return Verdict{};
  co_return Verdict{Rcode::no_error, entry->address};
}

// --- the user ---

// The one that is open, or a new one. Null: the user is not asked.
std::shared_ptr<Session::Question> Session::question_about(const std::string& name,
                                                             std::uint16_t asked_from) {
  if (const auto asked = questions_.find(name); asked != questions_.end()) return asked->second;
  if (questions_.size() >= kMaxQuestions || decided_.size() >= kMaxRemembered) return {};
  // A little longer than the user has, so that a late answer is still heard.
  const Time until = Clock::now() + std::chrono::seconds(setup_.ask_timeout_s + 2);
  auto question = std::make_shared<Question>(shared_.io, next_question_++, until);
  ipc::ApprovalAsk ask;
  ask.session = setup_.id;
  ask.kind = ipc::ApprovalKind::host;
  ask.question = question->number;
  ask.timeout_s = setup_.ask_timeout_s;
  ask.what = std::string_view(name);
  ask.port = asked_from;
  if (!setup_.ask || !setup_.ask(ask)) return {};
  questions_.emplace(name, question);
  return question;
}

asio::awaitable<bool> Session::approved(std::string name, std::uint16_t asked_from) {
  if (const auto known = decided_.find(name); known != decided_.end()) {
    if (known->second.until > Clock::now()) co_return known->second.allow;
    decided_.erase(known);
  }
  const std::shared_ptr<Question> question = question_about(name, asked_from);
  if (!question) co_return false;
  if (!question->done) co_await question->answered.wait_until(question->deadline);
  const auto still = questions_.find(name);
  if (!question->done && still != questions_.end() && still->second == question) {
    questions_.erase(still);
    decided_[name] = {false, Clock::now() + kNotAskedAgain};
  }
  const auto decision = decided_.find(name);
  if (decision != decided_.end()) co_return decision->second.allow;
  co_return question->done && question->allowed_once;
}

void Session::answered(const ipc::ApprovalAnswer& answer) {
  if (answer.session != setup_.id || answer.kind != ipc::ApprovalKind::host) return;
  for (auto at = questions_.begin(); at != questions_.end(); ++at) {
    if (at->second->number != answer.question) continue;
    asio::co_spawn(shared_.io, decide(shared_from_this(), at->first, at->second, answer.choice),
                   asio::detached);
    return;
  }
}

// The name is allowed only when the log has it that the user said so.
asio::awaitable<void> Session::decide([[maybe_unused]] std::shared_ptr<Session> self,
                                      std::string name, std::shared_ptr<Question> question,
                                      ipc::ApprovalChoice choice) {
  constexpr const char* kChoices[] = {"deny", "once", "session"};
  ipc::AuditAppend record;
  record.event = ipc::Event::approval;
  record.phase = ipc::Phase::intent;
  record.outcome =
      choice == ipc::ApprovalChoice::deny ? ipc::Outcome::failure : ipc::Outcome::success;
  record.add(ipc::FieldKey::host, name);
  record.add(ipc::FieldKey::choice, kChoices[static_cast<std::size_t>(choice)]);
  const auto recorded = co_await setup_.records->intent(std::move(record));
  if (closed_) co_return;
  const auto still = questions_.find(name);
  if (still == questions_.end() || still->second != question) co_return;  // too late
  questions_.erase(still);
  question->done = true;
  if (!recorded || choice == ipc::ApprovalChoice::deny) {
    decided_[name] = {false, recorded ? Time::max() : Clock::now() + kNotAskedAgain};
  } else if (choice == ipc::ApprovalChoice::session) {
    decided_[name] = {true, Time::max()};
  } else {
    question->allowed_once = true;
  }
  question->answered.notify();
}

}  // namespace oqto::egress
