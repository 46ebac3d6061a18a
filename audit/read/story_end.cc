// A story once all of it is told: whose it is not, what is minor, in which order, and how much of
// each.
#include <algorithm>

#include "audit/read/story.h"
#include "audit/read/story_words.h"

namespace oqto::audit {

void Story::mark_foreign(Scene& scene) const {
  const auto& owners = owners_.at(scene.session);
  const bool has_one_too = std::ranges::find(owners, scene.account) != owners.end();
  const std::string account = "Account " + said(scene.account, 20);
  scene.kind = "foreign";
  scene.is_minor = false;
  if (!has_one_too) scene.mark = Mark::failed;
  scene.sentence = account +
                   (has_one_too ? ", in a session of its own with the same id: "
                                : ", whose session this is not, recorded: ") +
                   scene.sentence;
}

// Neighbours that nobody asked for one by one become one scene with a count of each.
void Story::fold(std::vector<std::size_t>& list) {
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < list.size();) {
    std::size_t end = i;
    std::map<std::string, std::size_t> counts;
    Scene folded;
    while (end < list.size() && scenes_[list[end]].is_minor &&
           scenes_[list[end]].mark != Mark::failed) {
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
    folded.sentence =
        grouped(end - i) + (end - i == 1 ? " thing that pages and the host do by themselves: "
                                         : " things that pages and the host do by themselves: ");
    std::string names;
    for (const auto& [sentence, count] : counts) {
      names += (names.empty() ? "" : "; ") + sentence +
               (count > 1 ? " (" + std::to_string(count) + " times)" : "");
    }
    folded.sentence += said(names, 600);
    kept.push_back(scenes_.size());
    scenes_.push_back(std::move(folded));
    i = end;
  }
  list = std::move(kept);
}

void Story::finish(bool with_minor) {
  for (Scene& scene : scenes_) {  // told before anybody said whose the session is
    const std::string owner = owner_of(scene.session);
    if (!owner.empty() && !scene.account.empty() && scene.account != owner &&
        scene.kind != "foreign")
      mark_foreign(scene);
  }
  const auto by_time = [this](std::size_t a, std::size_t b) {
    return std::pair(scenes_[a].time_ms, scenes_[a].index) <
           std::pair(scenes_[b].time_ms, scenes_[b].index);
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
