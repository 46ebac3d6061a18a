// What an entry belongs to: an outcome to its intent, the end of a process to its start. The second says
// little by itself; who and which session, the first one has.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace oqto::audit {

class Relations {
 public:
  // An earlier entry of the log, for intents that are not remembered.
  using Fetch = std::function<std::optional<std::string>(std::uint64_t index)>;
  explicit Relations(Fetch fetch) : fetch_(std::move(fetch)) {}

  struct Related {
    std::uint64_t index = 0;
    std::string entry;
  };
  // To be called for each entry, in the order of the log. nullopt: it belongs to none.
  std::optional<Related> of(std::uint64_t index, std::string_view entry);

  static constexpr std::size_t kMaxKept = 16'384;  // the newest are remembered

 private:
  std::optional<Related> intent_of(std::string_view entry);
  std::optional<Related> start_of(std::string_view entry);

  Fetch fetch_;
  std::map<std::uint64_t, std::string> intents_;
  std::map<std::string, Related> processes_;  // by pid, as the guard said it
};

}  // namespace oqto::audit
