// Memory that many accounts take from one pool, shared so that no account can take what others
// need: each has a floor of its own, and of the pool beyond that no more than its share, nor than
// is still free. Any thread may use it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

namespace oqto::gateway {

class MemoryBudget {
 public:
  struct Sizes {
    std::size_t floor = 0;  // of each account; no other can take it
    std::size_t pool = 0;   // of all, beyond their floors
    std::size_t share = 0;  // of one, of that
  };
  static constexpr Sizes kBodies{std::size_t{2} << 20, std::size_t{512} << 20,
                                 std::size_t{64} << 20};
  static constexpr Sizes kContents{std::size_t{1} << 20, std::size_t{256} << 20,
                                   std::size_t{64} << 20};

  explicit MemoryBudget(const Sizes& sizes) : sizes_(sizes) {}

  // What one body or text holds; given back at its end.
  class Hold {
   public:
    Hold(MemoryBudget& of, std::uint32_t account) : of_(of), account_(account) {}
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    ~Hold() { release(); }
    [[nodiscard]] bool resize(std::size_t bytes);  // false: nothing has changed
    void release() { (void)resize(0); }

   private:
    MemoryBudget& of_;
    const std::uint32_t account_;
    std::size_t bytes_ = 0;
  };

 private:
  [[nodiscard]] std::size_t beyond(std::size_t bytes) const {
    return bytes > sizes_.floor ? bytes - sizes_.floor : 0;
  }
  bool change(std::uint32_t account, std::size_t from, std::size_t to);

  const Sizes sizes_;
  std::mutex mutex_;
  std::map<std::uint32_t, std::size_t> held_;  // of accounts that hold something
  std::size_t pool_ = 0;                       // in use
};

}  // namespace oqto::gateway
