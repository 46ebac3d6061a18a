#include "audit/read/story.h"

#include <algorithm>

#include "audit/format/json.h"
#include "audit/read/entry_reader.h"
#include "audit/read/query.h"
#include "audit/read/story_words.h"

namespace oqto::audit {
namespace {

constexpr std::uint64_t kWithTheSessionMs = 2000;  // what is killed so short before belongs to the stop

std::string keyed(const std::string& session, std::string_view id) {
  return session + "/" + std::string(id);
}

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

// One entry on its way into the story.
class StoryTeller {
 public:
  StoryTeller(Story& story, std::uint64_t index, const ReadEntry& entry, const ReadEntry* related, std::uint64_t related_index)
      : story_(story), index_(index), entry_(entry), related_(related), related_index_(related_index),
        event_(entry.text("event")), phase_(entry.text("phase")), time_(happened_ms(entry).value_or(entry.number("time"))) {
    session_ = text_in(entry, related, "actor.session");
    if (session_.empty()) session_ = text_in(entry, related, "fields.session");
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
  void learn_owner() {
    if (entry_.text("actor.process") != "guard" || session_.empty()) return;
    const std::string account = text_in(entry_, related_, "fields.account");
    if (!account.empty()) story_.owners_.emplace(session_, account);
  }

  // A tenant's process can write any session's id into its records.
  bool is_of_another() const {
    const auto owner = story_.owners_.find(session_);
    const std::string account = entry_.text("actor.account");
    return owner != story_.owners_.end() && !account.empty() && account != owner->second;
  }

  Scene scene() const {
    // What was begun before the part that is told here has its words in the intent.
    const Sentence sentence = sentence_of(phase_ == "outcome" && related_ != nullptr ? *related_ : entry_);
    Scene scene;
    scene.index = index_;
    scene.entries = {index_};
    scene.time_ms = time_;
    scene.kind = sentence.kind;
    scene.session = session_;
    scene.sentence = sentence.text;
    scene.mark = mark_of(entry_);
    scene.duration_ms = duration_of(entry_);
    scene.is_minor = is_minor(entry_);
    if (phase_ != "intent") scene.result = result_of(entry_);
    return scene;
  }

  void tell_foreign() {
    Scene foreign = scene();
    foreign.kind = "foreign";
    foreign.mark = Mark::failed;
    foreign.is_minor = false;
    foreign.sentence = "Account " + said(entry_.text("actor.account"), 20) +
                       ", whose session this is not, recorded: " + foreign.sentence;
    story_.put(std::move(foreign), std::nullopt);
  }

  void note_end(Scene& scene) {
    scene.entries.push_back(index_);
    scene.ended_ms = time_;
    if (const auto lasted = duration_of(entry_)) scene.duration_ms = lasted;
    scene.result = result_of(entry_);
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

  bool is_closing() const { return story_.closing_.contains(session_); }

  bool ends_call() {
    const auto found = story_.calls_.find(keyed(session_, entry_.text("fields.call_id")));
    if (found == story_.calls_.end() || entry_.text("outcome") == "unknown") return false;
    note_end(story_.scenes_[found->second]);
    std::erase(story_.open_calls_[session_], found->second);
    return true;
  }

  void ends_program() {
    const auto found = story_.processes_.find(keyed(session_, entry_.text("fields.pid")));
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
    const auto found = story_.turns_.find(session_);
    return found == story_.turns_.end() ? std::nullopt : std::optional(found->second);
  }

  // By who started it; else the one tool call that runs; else what was asked last. What the harness
  // itself starts while one tool call runs belongs to that.
  std::optional<std::size_t> parent_of_program() const {
    for (const std::string_view path : {"fields.pid", "fields.ppid"}) {
      const auto found = story_.processes_.find(keyed(session_, entry_.text(path)));
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
    const auto open = story_.open_calls_.find(session_);
    return open != story_.open_calls_.end() && open->second.size() == 1 ? std::optional(open->second.front()) : std::nullopt;
  }

  std::optional<std::size_t> running_call() const {
    const auto call = open_call();
    return call ? call : turn();
  }

  std::optional<std::size_t> parent_of_others() const {
    const std::string call = entry_.text("fields.call_id");
    if (const auto found = story_.calls_.find(keyed(session_, call)); !call.empty() && found != story_.calls_.end()) {
      return found->second;
    }
    const std::string pid = entry_.text("fields.pid");
    if (const auto found = story_.processes_.find(keyed(session_, pid)); !pid.empty() && found != story_.processes_.end()) {
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
        story_.processes_.insert_or_assign(keyed(session_, entry_.text("fields.pid")), at);
      }
      return;
    }
    if (event_ == "tool.call") {
      next.mark = entry_.text("outcome") == "unknown" ? Mark::open : next.mark;
      const std::size_t at = story_.put(std::move(next), turn());
      story_.calls_.insert_or_assign(keyed(session_, entry_.text("fields.call_id")), at);
      if (story_.scenes_[at].mark == Mark::open) story_.open_calls_[session_].push_back(at);
      return;
    }
    if (event_ == "model.call") return (void)story_.put(std::move(next), turn());
    const std::string kind = next.kind;
    const std::size_t at = story_.put(std::move(next), is_top || session_.empty() ? std::nullopt : parent_of_others());
    if (kind == "prompt") story_.turns_.insert_or_assign(session_, at);
    note_stop();
  }

  // The session is being stopped from here on; what was killed a moment ago was killed for that.
  void note_stop() {
    const std::string command = entry_.text("fields.command");
    const bool asked = event_ == "command" && (command == "session.close" || command == "session.delete");
    if (!asked && event_ != "session.stop") return;
    story_.closing_.emplace(session_, time_);
    if (event_ != "session.stop") return;
    for (Scene& scene : story_.scenes_) {
      const bool killed = scene.kind == "program" && scene.result.starts_with("killed by signal");
      if (killed && scene.session == session_ && scene.ended_ms + kWithTheSessionMs >= time_) end_with_session(scene);
    }
  }

  Story& story_;
  std::uint64_t index_;
  const ReadEntry& entry_;
  const ReadEntry* related_;
  std::uint64_t related_index_;
  std::string event_, phase_, session_;
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

// Neighbours that nobody asked for one by one become one scene with a count of each.
void Story::fold(std::vector<std::size_t>& list) {
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < list.size();) {
    std::size_t end = i;
    std::map<std::string, std::size_t> counts;
    Scene folded;
    while (end < list.size() && scenes_[list[end]].is_minor && scenes_[list[end]].mark != Mark::failed) {
      const Scene& one = scenes_[list[end]];
      ++counts[one.sentence];
      folded.entries.insert(folded.entries.end(), one.entries.begin(), one.entries.end());
      ++end;
    }
    if (end == i) {
      kept.push_back(list[i++]);
      continue;
    }
    folded.index = scenes_[list[i]].index;
    folded.time_ms = scenes_[list[i]].time_ms;
    folded.depth = scenes_[list[i]].depth;
    folded.kind = "folded";
    folded.is_minor = true;
    folded.sentence = grouped(end - i) + (end - i == 1 ? " thing that pages and the host do by themselves: "
                                                       : " things that pages and the host do by themselves: ");
    std::string names;
    for (const auto& [sentence, count] : counts) {
      names += (names.empty() ? "" : "; ") + sentence + (count > 1 ? " (" + std::to_string(count) + " times)" : "");
    }
    folded.sentence += said(names, 600);
    kept.push_back(scenes_.size());
    scenes_.push_back(std::move(folded));
    i = end;
  }
  list = std::move(kept);
}

void Story::finish(bool with_minor) {
  const auto by_time = [this](std::size_t a, std::size_t b) {
    return std::pair(scenes_[a].time_ms, scenes_[a].index) < std::pair(scenes_[b].time_ms, scenes_[b].index);
  };
  std::ranges::stable_sort(top_, by_time);
  for (Scene& scene : scenes_) std::ranges::stable_sort(scene.within, by_time);
  if (!with_minor) fold(top_);
}

StoryTotals Story::totals() const {
  StoryTotals totals = sums_;
  for (const Scene& scene : scenes_) {
    if (scene.kind == "folded") continue;
    totals.prompts += scene.kind == "prompt" ? 1U : 0U;
    totals.tools += scene.kind == "tool" ? 1U : 0U;
    totals.programs += scene.kind == "program" ? 1U : 0U;
    totals.files += scene.kind == "file" ? 1U : 0U;
    totals.connections += scene.kind == "network" ? 1U : 0U;
    totals.models += scene.kind == "model" ? 1U : 0U;
    totals.questions += scene.kind == "question" ? 1U : 0U;
    totals.failed += scene.mark == Mark::failed ? 1U : 0U;
    totals.refused += scene.mark == Mark::refused ? 1U : 0U;
  }
  return totals;
}

}  // namespace oqto::audit
