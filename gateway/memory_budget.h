// The memory that request bodies may take, shared so that no account can take what others need: each has a
// floor of its own, and of the pool beyond that no more than its share, nor than is still free.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>

namespace oqto::gateway {

class BodyBudget {
 public:
  static constexpr std::size_t kFloor = std::size_t{2} << 20;   // of each account; no other can take it
  static constexpr std::size_t kPool = std::size_t{512} << 20;  // of all, beyond their floors
  static constexpr std::size_t kShare = kPool / 8;              // of one, of that

  // What one body holds; given back at its end.
  class Hold {
   public:
    Hold(BodyBudget& of, std::uint32_t account) : of_(of), account_(account) {}
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    ~Hold() { release(); }
    [[nodiscard]] bool resize(std::size_t bytes);  // false: nothing has changed
    void release() { (void)resize(0); }

   private:
    BodyBudget& of_;
    const std::uint32_t account_;
    std::size_t bytes_ = 0;
  };

 private:
  static std::size_t beyond(std::size_t bytes) { return bytes > kFloor ? bytes - kFloor : 0; }
  bool change(std::uint32_t account, std::size_t from, std::size_t to);

  std::map<std::uint32_t, std::size_t> held_;  // of accounts that hold something
  std::size_t pool_ = 0;                       // in use
};

}  // namespace oqto::gateway
