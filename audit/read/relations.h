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

  // The newest are remembered. An older intent is fetched; an older start of a process is not known any more.
  static constexpr std::size_t kMaxKept = 16'384;
  static constexpr std::size_t kMaxKeptBytes = std::size_t{32} << 20;  // of intents
  [[nodiscard]] std::uint64_t forgotten_starts() const { return forgotten_starts_; }
  [[nodiscard]] std::size_t kept_bytes() const { return kept_bytes_; }

 private:
  std::optional<Related> intent_of(std::string_view entry);
  std::optional<Related> start_of(std::string_view entry);
  void keep_intent(std::uint64_t index, std::string_view entry);
  void keep_start(std::uint64_t index, std::string_view entry);

  Fetch fetch_;
  std::map<std::uint64_t, std::string> intents_;
  std::size_t kept_bytes_ = 0;
  std::map<std::string, Related> processes_;  // by pid, as the guard said it
  std::uint64_t forgotten_starts_ = 0;
};

}  // namespace oqto::audit
