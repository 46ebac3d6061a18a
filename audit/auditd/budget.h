// What one tenant may put into the log in one day (UTC). Up to the half of it nothing is different; from
// there on its records are taken at a bounded rate, so that whoever works waits a little and whoever
// floods waits long; beyond all of it they are refused until the day is over. Nobody else waits: the
// records of our own processes are counted for the tenant whose act they tell of, and taken all the same.
#pragma once
#include <cstdint>
#include <map>
#include <optional>

namespace oqto::audit {

class Budget {
 public:
  struct Limits {
    std::uint64_t bytes = std::uint64_t{256} << 20;  // of entries, as they stand in the log
    std::uint64_t records = 500'000;
    std::uint64_t slow_bytes = 64 * 1024;  // in a second
    std::uint64_t slow_records = 100;
  };
  enum class Stage : std::uint8_t { free, slow, used_up };
  struct Used {
    std::uint64_t bytes = 0;
    std::uint64_t records = 0;
  };

  explicit Budget(Limits limits) : limits_(limits) {}

  // Wall clock. Of another day: all is forgotten, and these accounts' records were refused, so often.
  std::map<std::uint32_t, std::uint64_t> begin_day(std::uint64_t now_ms);

  [[nodiscard]] Stage stage(std::uint32_t account) const;
  // What may use the reserve: outcomes all of it, since what was begun is to be concluded; the tenant's own
  // commands half of it, since whoever has an agent that used all up must be able to stop it.
  enum class Reserve : std::uint8_t { none, half, whole };
  // Whether a record is taken at all.
  [[nodiscard]] bool admits(std::uint32_t account, Reserve reserve) const;
  // Until its next record is taken. Times are monotonic milliseconds.
  [[nodiscard]] std::uint64_t wait_ms(std::uint32_t account, std::uint64_t now) const;

  // An entry that stands in the log. The stage that it leads to, if that is another one.
  std::optional<Stage> charge(std::uint32_t account, std::uint64_t bytes, std::uint64_t now);
  // A record that was refused: asking is not free either.
  void charge_refusal(std::uint32_t account, std::uint64_t now);

  [[nodiscard]] Used used(std::uint32_t account) const;
  [[nodiscard]] const Limits& limits() const { return limits_; }

 private:
  struct Account {
    Used used;
    std::uint64_t refused = 0;
    std::uint64_t paid_at = 0;  // when what was taken is paid for
  };
  void pay(Account& account, std::uint64_t bytes, std::uint64_t now) const;
  [[nodiscard]] Stage stage_of(const Used& used) const;

  Limits limits_;
  std::uint64_t day_ = 0;
  std::map<std::uint32_t, Account> accounts_;
};

}  // namespace oqto::audit
