// What took effect although it could not be written: that somebody may do no more what they could.
// It stands in a file whose room was taken at the start, until accounts.db and the log have it.
#pragma once
#include <cstdint>
#include <deque>
#include <string>

#include "accounts/owed_act.h"
#include "base/fd.h"
#include "base/result.h"

namespace oqto::accounts {

class Owed {
 public:
  static constexpr std::size_t kMaxActs = 128;
  static constexpr std::size_t kMaxLogouts = kMaxActs / 2;  // tenants make them; the rest is operators'

  Owed() = default;  // in memory only
  // What a predecessor left is in it. A file that cannot be made (a disk that was full before the
  // first start) or is damaged is no reason not to serve: it is said, and kept in memory.
  static Owed open(const std::string& state_dir);

  [[nodiscard]] const std::deque<OwedAct>& acts() const { return acts_; }
  // Durable, if there is a file, when it returns: its place in acts(). One that is there already (of the same kind,
  // account and operator; of the same login, if it is a logout) takes the new one in. Errc::limit: too many.
  Result<std::size_t> add(OwedAct act);
  void is_stored(std::size_t place);
  void drop_first();

 private:
  static constexpr std::size_t kSlot = 64 * 1024;  // two: the newer one that is whole counts
  static Result<Fd> ready_file(const std::string& path);
  void load();
  void save();

  Fd file_;
  std::uint64_t sequence_ = 0;
  std::deque<OwedAct> acts_;
};

// The file's text, a line each; for tests.
std::string to_text(const std::deque<OwedAct>& acts);
std::deque<OwedAct> from_text(const std::string& text);

}  // namespace oqto::accounts
