#include "audit/read/selection.h"

#include "ipc/messages.h"

namespace oqto::audit {
namespace {

bool is_process(std::string_view name) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(ipc::Process::kEnd); ++i) {
    if (ipc::process_name(static_cast<ipc::Process>(i)) == name) return true;
  }
  return false;
}

}  // namespace

void Selection::learn(std::string_view entry) {
  if (names_.learn(entry)) spell();
}

void Selection::learn(Names names) {
  names_ = std::move(names);
  spell();
}

void Selection::spell() {
  const auto all_spellings = [this](const std::vector<std::string>& given) {
    std::vector<std::string> all;
    for (const std::string& one : given) {
      const auto spellings = names_.spellings(one);
      all.insert(all.end(), spellings.begin(), spellings.end());
    }
    return all;
  };
  wanted_.tenants = all_spellings(asked_.tenants);
  wanted_.actors = all_spellings(asked_.actors);
}

bool Selection::takes(std::uint64_t index, std::string_view entry) {
  related_ = relations_.of(index, entry);
  return wanted_.matches(index, entry, related_ ? std::string_view(related_->entry) : std::string_view());
}

std::vector<std::string> Selection::unknown() const {
  std::vector<std::string> sentences;
  const auto check = [&](std::string_view kind, const std::string& one) {
    if (names_.knows(one)) return;
    const std::string near = names_.nearest(one);
    sentences.push_back("the log knows no " + std::string(kind) + " " + one +
                        (near.empty() ? "" : ": did you mean " + near + "?"));
  };
  for (const std::string& tenant : asked_.tenants) check("account or user", tenant);
  for (const std::string& actor : asked_.actors) {
    if (!is_process(actor)) check("user or process", actor);
  }
  return sentences;
}

}  // namespace oqto::audit
