// Which name has which address of the pool inside one session. Names that are written out in the
// policy are added first and stay; the others take what is left of the sockets, and when nothing
// is, the one that was idle the longest gives up its address and listeners.
#pragma once
#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <string_view>

#include "egress/rules.h"

namespace oqto::egress {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;

// 198.18.0.0/15 is set apart for tests (RFC 2544), so nothing real is hidden by it. The first 256
// addresses are for the session's own services.
constexpr std::uint32_t kFirstAddress = 0xc6120100;  // 198.18.1.0, host byte order
constexpr std::uint32_t kLastAddress = 0xc613fffe;   // 198.19.255.254
constexpr std::size_t kMaxListeners = 512;           // of one session
// An address moves to another name only when no answer can still be in a client's memory.
constexpr auto kReuseAfter = std::chrono::seconds(120);

struct Entry {
  enum class State : std::uint8_t { opening, ready, failed };
  std::string name;
  std::uint32_t address = 0;
  Ports ports;
  bool kept = false;      // never given up
  bool approved = false;  // by the user, not by a rule
  State state = State::opening;
  Time used{};              // last answer or connection
  Time ends = Time::max();  // of the user's approval
  std::size_t connections = 0;
};

class NameTable {
 public:
  explicit NameTable(std::size_t max_listeners = kMaxListeners) : max_listeners_(max_listeners) {}

  Entry* find(std::string_view name);
  Entry* at(std::uint32_t address);
  // With an address that no name had yet: its listeners are to be made. Null: the sockets are used
  // up.
  Entry* add(const std::string& name, const Ports& ports, Time now);
  // With the address and listeners of an idle name that had the same ports. Null: there is none.
  Entry* take_over(const std::string& name, const Ports& ports, Time now);
  // The name is no longer known; its address waits for another.
  void forget(Entry& entry);
  // Its listeners could not be made: the address is not used again, the sockets count as spent.
  void drop(Entry& entry);

  [[nodiscard]] std::list<Entry>& entries() { return entries_; }
  [[nodiscard]] std::size_t listeners() const { return listeners_; }

 private:
  const std::size_t max_listeners_;
  std::size_t listeners_ = 0;
  std::uint32_t next_address_ = kFirstAddress;
  std::list<Entry> entries_;  // stable addresses
  std::map<std::string, Entry*, std::less<>> by_name_;
  std::map<std::uint32_t, Entry*> by_address_;
};

}  // namespace oqto::egress
