// What one session, or one person, did, as one story: each act with what came of it, and beneath it what
// the machine then did. Nothing here is more than the records say: which tool call a program belongs to
// is by the time it ran in, and said to be so. What tenants' processes say of themselves moves nothing: whose a
// session is the host says; by their own word nothing happened earlier; an id that they use twice joins nothing.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oqto::audit {

struct ReadEntry;

enum class Mark : std::uint8_t { none, done, failed, refused, open };  // open: nothing has come of it yet
std::string_view mark_name(Mark mark);

struct Scene {
  std::uint64_t index = 0;               // of the first of its entries
  std::vector<std::uint64_t> entries;
  std::uint64_t time_ms = 0;             // when it happened, as the host says
  std::string kind;                      // "prompt", "tool", "program", ...
  std::string session, account;
  std::string sentence;                  // nothing in it can steer a terminal
  std::string result;                    // "ended with status 1"; may be empty
  Mark mark = Mark::none;
  std::uint64_t ended_ms = 0;            // 0: not known
  std::optional<std::uint64_t> duration_ms;
  bool is_minor = false;                 // what pages and the host do by themselves
  unsigned depth = 0;
  std::vector<std::size_t> within;
};

struct StoryTotals {
  std::uint64_t prompts = 0, tools = 0, programs = 0, files = 0, connections = 0, models = 0, tokens_in = 0,
                tokens_out = 0, cost_nanos = 0, questions = 0, failed = 0, refused = 0;
};

class Story {
 public:
  // In the order of the log; opened, and what the entry belongs to (Relations).
  void add(std::uint64_t index, std::string_view entry, std::string_view related, std::uint64_t related_index);
  // Then the top is in order of time, and what is minor stands together as one scene each with a count.
  void finish(bool with_minor);

  [[nodiscard]] const std::vector<Scene>& scenes() const { return scenes_; }
  [[nodiscard]] const std::vector<std::size_t>& top() const { return top_; }
  [[nodiscard]] StoryTotals totals() const;
  [[nodiscard]] std::uint64_t entries() const { return entries_; }
  // Whose session it is, as a process of the host says; empty: none of them does here.
  [[nodiscard]] std::string owner_of(const std::string& session) const;

  static constexpr unsigned kMaxDepth = 16;  // deeper ones stand beside each other

 private:
  friend class StoryTeller;
  std::size_t put(Scene scene, std::optional<std::size_t> parent);
  void fold(std::vector<std::size_t>& list);

  std::vector<Scene> scenes_;
  std::vector<std::optional<std::size_t>> parents_;
  std::vector<std::size_t> top_;
  std::uint64_t entries_ = 0;
  StoryTotals sums_;  // of what is no scene

  void mark_foreign(Scene& scene) const;

  // Calls of one id: an agent may give the same to several.
  struct Calls {
    std::vector<std::size_t> open;
    std::size_t newest = 0;
    std::size_t begun = 0;
  };
  std::map<std::uint64_t, std::size_t> by_index_;
  std::map<std::string, std::size_t> turns_, processes_;  // by session and account; and by id
  std::map<std::string, Calls> calls_;
  std::map<std::string, std::vector<std::size_t>> open_calls_;
  std::map<std::string, std::uint64_t> closing_;                  // since when a session is being stopped
  // The accounts that had a session of this id, as the host says it; the first one in what is told is its owner.
  std::map<std::string, std::vector<std::string>> owners_;
};

// {"totals":{...},"scenes":[{...,"within":[...]}]}, without its braces.
std::string story_json(const Story& story);
// "1 prompt, 2 tool calls, 11 programs (1 failed)"
std::string totals_text(const StoryTotals& totals);
// "35 ms", "1.2 s", "3 min 5 s"
std::string lasted_text(std::uint64_t ms);

}  // namespace oqto::audit
