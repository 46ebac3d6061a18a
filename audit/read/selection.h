// A query as the log itself can answer it: a user's name stands for his account's number and the other
// way round, and what came of an act is found by what the act said.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "audit/read/names.h"
#include "audit/read/query.h"
#include "audit/read/relations.h"

namespace oqto::audit {

class Selection {
 public:
  Selection(Query asked, Relations::Fetch fetch)
      : asked_(std::move(asked)), wanted_(asked_), relations_(std::move(fetch)) {}

  // Names have to be learnt before the first take(), from all of the log.
  [[nodiscard]] bool needs_names() const { return !asked_.tenants.empty() || !asked_.actors.empty(); }
  void learn(std::string_view entry);
  void learn(Names names);  // of another reading of the same log

  // For each entry, in the order of the log, opened as far as it can be.
  bool takes(std::uint64_t index, std::string_view entry);
  // What the entry of the last takes() belongs to.
  [[nodiscard]] const std::optional<Relations::Related>& related() const { return related_; }

  [[nodiscard]] const Query& asked() const { return asked_; }
  [[nodiscard]] const Query& wanted() const { return wanted_; }  // with every spelling
  [[nodiscard]] const Names& names() const { return names_; }
  // Who was asked for and is not in the log, a sentence each.
  [[nodiscard]] std::vector<std::string> unknown() const;

 private:
  void spell();

  Query asked_;
  Query wanted_;
  Names names_;
  Relations relations_;
  std::optional<Relations::Related> related_;
};

}  // namespace oqto::audit
