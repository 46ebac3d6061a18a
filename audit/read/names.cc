#include "audit/read/names.h"

#include <algorithm>

#include "audit/read/entry_reader.h"
#include "base/nearest_word.h"

namespace oqto::audit {
namespace {

constexpr std::size_t kMaxActors = 65'536;  // then all are read again

std::string folded(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

constexpr std::string_view kRelay = R"("actor":{"process":"relay")";

// The member as it is spelled: no text in an entry can look like it, its quotes would be escaped.
std::string_view actor_of(std::string_view entry) {
  const std::size_t at = entry.find(R"("actor":{)");
  if (at == entry.npos) return {};
  return entry.substr(at, entry.find('}', at) - at);
}

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
}

}  // namespace

bool Names::learn(const Pair& pair) {
  const std::string name = folded(pair.name);
  bool is_new = !pair.account.empty() && others_.try_emplace(pair.account).second;
  if (!name.empty()) is_new = others_.try_emplace(name).second || is_new;
  if (pair.account.empty() || name.empty()) return is_new;
  is_new = others_[pair.account].insert(name).second || is_new;
  others_[name].insert(pair.account);
  return is_new;
}

std::optional<Names::Pair> Names::learn(std::string_view entry) {
  const std::string_view actor = actor_of(entry);
  const auto says = [&](std::string_view member) { return entry.find(member) != entry.npos; };
  // Whom others are is for the host's processes to say, not for a tenant's, nor for those strangers talk to.
  const bool by_host = actor.find(R"("account":)") == actor.npos && !actor.starts_with(kRelay);
  const bool in_fields = by_host && (says(R"("account":)") || says(R"("username":)"));
  if (!in_fields && seen_.contains(std::string(actor))) return std::nullopt;
  const auto read = ReadEntry::parse(entry);
  if (!read) return std::nullopt;
  Pair pair;
  if (in_fields) {
    pair = {read->text("fields.account"), read->text("fields.username")};
    // Whom somebody failed to sign in as, or wished to be called, he typed himself: that is nobody's name.
    if (pair.account.empty() || read->text("outcome") == "failure") pair.name.clear();
  } else {
    if (seen_.size() >= kMaxActors) seen_.clear();
    seen_.emplace(actor);
    pair = {read->text("actor.account"), read->text("actor.username")};
  }
  if (!learn(pair)) return std::nullopt;
  return pair;
}

std::vector<std::string> Names::spellings(const std::string& text) const {
  std::vector<std::string> all{text};
  const auto found = others_.find(folded(text));
  if (found != others_.end()) all.insert(all.end(), found->second.begin(), found->second.end());
  return all;
}

bool Names::knows(const std::string& text) const {
  return others_.contains(folded(text));
}

std::string Names::nearest(const std::string& text) const {
  std::vector<std::string_view> names;
  for (const auto& [one, others] : others_) {
    if (!is_number(one)) names.push_back(one);
  }
  return std::string(nearest_word(folded(text), names));
}

std::string Names::name_of(const std::string& account) const {
  const auto found = others_.find(account);
  return found == others_.end() || found->second.empty() ? "" : *found->second.begin();
}

std::vector<Names::Pair> Names::people(std::size_t max) const {
  std::vector<Pair> people;
  for (const auto& [one, others] : others_) {
    if (people.size() < max && is_number(one)) people.push_back({one, name_of(one)});
  }
  return people;
}

}  // namespace oqto::audit
