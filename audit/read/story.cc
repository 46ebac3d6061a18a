#include "audit/read/story.h"

#include <algorithm>

#include "audit/format/json.h"
#include "audit/format/time_text.h"
#include "audit/read/entry_reader.h"
#include "audit/read/query.h"
#include "audit/read/story_words.h"

namespace oqto::audit {
namespace {

constexpr std::uint64_t kWithTheSessionMs = 2000;  // what is killed so short before belongs to the stop

constexpr std::uint64_t kClaimWorthWordsMs = 2000;  // a smaller difference is only the way to the log

Mark mark_of(const ReadEntry& entry) {
  const std::string outcome = entry.text("outcome");
  const std::string event = entry.text("event");
  if (event == "violation") return Mark::failed;
  if (event == "denial") return Mark::refused;
  if (event == "approval" && entry.text("fields.choice") == "deny") return Mark::refused;
  if (outcome == "failure") return Mark::failed;
  if (outcome == "success") return Mark::done;
  return entry.text("phase") == "intent" ? Mark::open : Mark::none;
}

std::optional<std::uint64_t> duration_of(const ReadEntry& entry) {
  if (entry.raw("fields.duration_ms").empty()) return std::nullopt;
  return entry.number("fields.duration_ms");
}

std::string text_in(const ReadEntry& entry, const ReadEntry* related, std::string_view path) {
  std::string text = entry.text(path);
  if (text.empty() && related != nullptr) text = related->text(path);
  return text;
}

}  // namespace

std::string_view mark_name(Mark mark) {
  constexpr std::string_view kNames[] = {"none", "done", "failed", "refused", "open"};
  return kNames[static_cast<std::size_t>(mark)];
}

std::size_t Story::put(Scene scene, std::optional<std::size_t> parent) {
  const std::size_t at = scenes_.size();
  if (parent && scenes_[*parent].depth + 1 >= kMaxDepth) parent = parents_[*parent];
  if (parent) scene.depth = scenes_[*parent].depth + 1;
  by_index_[scene.index] = at;
  parents_.push_back(parent);
  scenes_.push_back(std::move(scene));
  (parent ? scenes_[*parent].within : top_).push_back(at);
  return at;
}

std::string Story::owner_of(const std::string& session) const {
  const auto found = owners_.find(session);
  return found == owners_.end() ? "" : found->second.front();
}

// One entry on its way into the story.
class StoryTeller {
 public:
  StoryTeller(Story& story, std::uint64_t index, const ReadEntry& entry, const ReadEntry* related, std::uint64_t related_index)
      : story_(story), index_(index), entry_(entry), related_(related), related_index_(related_index),
        event_(entry.text("event")), phase_(entry.text("phase")), time_(entry.number("time")) {
    session_ = text_in(entry, related, "actor.session");
    if (session_.empty()) session_ = text_in(entry, related, "fields.session");
    by_tenant_ = !entry.raw("actor.account").empty();
    account_ = by_tenant_ ? entry.text("actor.account") : text_in(entry, related, "fields.account");
    if (account_.empty()) account_ = story.owner_of(session_);
    const auto happened = happened_ms(entry);
    if (!by_tenant_) {
      time_ = happened.value_or(time_);
    } else if (happened && std::max(*happened, time_) - std::min(*happened, time_) >= kClaimWorthWordsMs) {
      claim_ = "by its own word this was at " + utc_text(*happened);
    }
  }

  void tell() {
    learn_owner();
    if (is_of_another()) return tell_foreign();
    if (related_ != nullptr && finishes(related_index_)) return;
    if (event_ == "tool.call" && ends_call()) return;
    if (event_ == "exec.exit") return ends_program();
    begin();
  }

 private:
  // A tenant's process can write any session's id into its records. A session's own process has its id from the guard.
  void learn_owner() {
    const std::string process = entry_.text("actor.process");
    const bool by_host = !by_tenant_ && (process == "guard" || process == "gateway");
    const bool is_its_own = by_tenant_ && !entry_.raw("actor.session").empty();
    if (session_.empty() || account_.empty() || !(by_host || is_its_own)) return;
    auto& owners = story_.owners_[session_];
    if (std::ranges::find(owners, account_) == owners.end()) owners.push_back(account_);
  }

  bool is_of_another() const {
    const std::string owner = story_.owner_of(session_);
    return !owner.empty() && !account_.empty() && account_ != owner;
  }

  // Two accounts never share one, whatever id they use.
  std::string place() const { return session_ + "/" + account_; }
  std::string keyed(std::string_view id) const { return place() + "/" + std::string(id); }

  Scene scene() const {
    // What was begun before the part that is told here has its words in the intent.
    const Sentence sentence = sentence_of(phase_ == "outcome" && related_ != nullptr ? *related_ : entry_);
    Scene scene;
    scene.index = index_;
    scene.entries = {index_};
    scene.time_ms = time_;
    scene.kind = sentence.kind;
    scene.session = session_;
    scene.account = account_;
    scene.sentence = sentence.text;
    scene.mark = mark_of(entry_);
    scene.duration_ms = duration_of(entry_);
    scene.is_minor = is_minor(entry_);
    scene.result = phase_ == "intent" ? claim_ : result();
    return scene;
  }

  std::string result() const {
    std::string text = result_of(entry_);
    if (!claim_.empty()) (text += text.empty() ? "" : ", ") += claim_;
    return text;
  }

  void tell_foreign() {
    Scene foreign = scene();
    story_.mark_foreign(foreign);
    story_.put(std::move(foreign), std::nullopt);
  }

  void note_end(Scene& scene) {
    scene.entries.push_back(index_);
    scene.ended_ms = time_;
    if (const auto lasted = duration_of(entry_)) scene.duration_ms = lasted;
    scene.result = result();
    scene.mark = mark_of(entry_);
  }

  bool finishes(std::uint64_t begun) {
    const auto found = story_.by_index_.find(begun);
    if (found == story_.by_index_.end()) return false;
    Scene& scene = story_.scenes_[found->second];
    note_end(scene);
    // How a session's processes end when it is stopped is no failure of theirs.
    if (event_ == "process.stop" && scene.mark == Mark::failed && is_closing()) {
      scene.mark = Mark::done;
      scene.result = "ended with the session";
    }
    return true;
  }

  bool is_closing() const { return story_.closing_.contains(place()); }

  // Of several that are open under one id, nobody knows which one has ended.
  bool ends_call() {
    const auto found = story_.calls_.find(keyed(entry_.text("fields.call_id")));
    if (found == story_.calls_.end() || found->second.open.empty() || entry_.text("outcome") == "unknown") return false;
    auto& open = found->second.open;
    Scene& scene = story_.scenes_[open.front()];
    note_end(scene);
    if (open.size() > 1) scene.result += (scene.result.empty() ? "" : ", ") + std::string("or this was the end of another call of the same id");
    std::erase(story_.open_calls_[place()], open.front());
    open.erase(open.begin());
    return true;
  }

  void ends_program() {
    const auto found = story_.processes_.find(keyed(entry_.text("fields.pid")));
    if (found == story_.processes_.end()) return end_unknown();
    Scene& scene = story_.scenes_[found->second];
    note_end(scene);
    const std::string status = entry_.text("fields.exit_status");
    const std::string signal = entry_.text("fields.signal");
    const bool killed = !signal.empty() && signal != "0";
    scene.mark = killed || (!status.empty() && status != "0") ? Mark::failed : Mark::done;
    if (killed && is_closing()) end_with_session(scene);
    story_.processes_.erase(found);
  }

  // It began before what is told here.
  void end_unknown() {
    Scene ended = scene();
    ended.kind = "program";
    ended.sentence = "the program with pid " + said(entry_.text("fields.pid"), 20) + " ended";
    ended.is_minor = ended.mark != Mark::failed;
    story_.put(std::move(ended), turn());
  }

  static void end_with_session(Scene& scene) {
    scene.mark = Mark::done;
    scene.result = "ended with the session";
  }

  std::optional<std::size_t> turn() const {
    const auto found = story_.turns_.find(place());
    return found == story_.turns_.end() ? std::nullopt : std::optional(found->second);
  }

  // By who started it; else the one tool call that runs; else what was asked last. What the harness
  // itself starts while one tool call runs belongs to that.
  std::optional<std::size_t> parent_of_program() const {
    for (const std::string_view path : {"fields.pid", "fields.ppid"}) {
      const auto found = story_.processes_.find(keyed(entry_.text(path)));
      if (found == story_.processes_.end()) continue;
      const auto call = is_of_a_call(found->second) ? std::nullopt : open_call();
      return call ? call : found->second;
    }
    return running_call();
  }

  bool is_of_a_call(std::optional<std::size_t> scene) const {
    for (; scene; scene = story_.parents_[*scene]) {
      if (story_.scenes_[*scene].kind == "tool") return true;
    }
    return false;
  }

  std::optional<std::size_t> open_call() const {
    const auto open = story_.open_calls_.find(place());
    return open != story_.open_calls_.end() && open->second.size() == 1 ? std::optional(open->second.front()) : std::nullopt;
  }

  std::optional<std::size_t> running_call() const {
    const auto call = open_call();
    return call ? call : turn();
  }

  std::optional<std::size_t> parent_of_others() const {
    const std::string call = entry_.text("fields.call_id");
    if (const auto found = story_.calls_.find(keyed(call)); !call.empty() && found != story_.calls_.end()) {
      const auto& open = found->second.open;
      if (open.size() > 1) return turn();
      return open.empty() ? found->second.newest : open.front();
    }
    const std::string pid = entry_.text("fields.pid");
    if (const auto found = story_.processes_.find(keyed(pid)); !pid.empty() && found != story_.processes_.end()) {
      return found->second;
    }
    return running_call();
  }

  void begin() {
    Scene next = scene();
    const bool is_top = next.kind == "prompt" || next.kind == "command" || next.kind == "session" || next.kind == "sign-in" ||
                        next.kind == "account" || next.kind == "process" || next.is_minor;
    if (event_ == "exec") {
      const std::size_t at = story_.put(std::move(next), parent_of_program());
      if (entry_.text("outcome") != "failure") {
        story_.processes_.insert_or_assign(keyed(entry_.text("fields.pid")), at);
      }
      return;
    }
    if (event_ == "tool.call") return begin_call(std::move(next));
    if (event_ == "model.call") return (void)story_.put(std::move(next), turn());
    const std::string kind = next.kind;
    const std::size_t at = story_.put(std::move(next), is_top || session_.empty() ? std::nullopt : parent_of_others());
    if (kind == "prompt") story_.turns_.insert_or_assign(place(), at);
    note_stop();
  }

  void begin_call(Scene next) {
    const std::string id = entry_.text("fields.call_id");
    const bool begins = entry_.text("outcome") == "unknown";
    if (begins) next.mark = Mark::open;
    const auto before = story_.calls_.find(keyed(id));
    if (before != story_.calls_.end()) {
      next.sentence += begins ? " (the id of this call was used before)" : " (the end of a call that was not running)";
    }
    const std::size_t at = story_.put(std::move(next), turn());
    Story::Calls& calls = story_.calls_[keyed(id)];
    calls.newest = at;
    if (!begins) return;
    calls.open.push_back(at);
    story_.open_calls_[place()].push_back(at);
  }

  // The session is being stopped from here on; what was killed a moment ago was killed for that.
  void note_stop() {
    const std::string command = entry_.text("fields.command");
    const bool asked = event_ == "command" && (command == "session.close" || command == "session.delete");
    if (!asked && event_ != "session.stop") return;
    story_.closing_.emplace(place(), time_);
    if (event_ != "session.stop") return;
    for (Scene& scene : story_.scenes_) {
      const bool killed = scene.kind == "program" && scene.result.starts_with("killed by signal");
      if (killed && scene.session == session_ && scene.account == account_ && scene.ended_ms + kWithTheSessionMs >= time_) end_with_session(scene);
    }
  }

  Story& story_;
  std::uint64_t index_;
  const ReadEntry& entry_;
  const ReadEntry* related_;
  std::uint64_t related_index_;
  std::string event_, phase_, session_, account_, claim_;
  bool by_tenant_ = false;
  std::uint64_t time_;
};

void Story::add(std::uint64_t index, std::string_view text, std::string_view related, std::uint64_t related_index) {
  ++entries_;
  const auto entry = ReadEntry::parse(text);
  if (!entry) {
    Scene scene;
    scene.index = index;
    scene.entries = {index};
    scene.kind = "unreadable";
    scene.sentence = "An entry that cannot be read: " + said(text, 80);
    scene.mark = Mark::failed;
    put(std::move(scene), std::nullopt);
    return;
  }
  const auto belongs = related.empty() ? std::nullopt : ReadEntry::parse(related);
  StoryTeller(*this, index, *entry, belongs ? &*belongs : nullptr, related_index).tell();
  if (entry->text("event") == "model.call") {
    sums_.tokens_in += entry->number("fields.tokens_in");
    sums_.tokens_out += entry->number("fields.tokens_out");
    sums_.cost_nanos += entry->number("fields.cost_nanos");
  }
}

}  // namespace oqto::audit
