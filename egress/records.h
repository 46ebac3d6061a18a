// What is recorded of a session's network: each connection before it is dialled and after it ended,
// and everything that was refused. Refusals that are alike are joined, so that nobody inside can
// fill the log.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "egress/name_table.h"
#include "ipc/audit.h"

namespace oqto::egress {

namespace asio = boost::asio;

class Records {
 public:
  virtual ~Records() = default;
  // The index, once the record is durable. An error: it is not, and the act must not happen.
  virtual asio::awaitable<Result<std::uint64_t>> intent(ipc::AuditAppend record) = 0;
  // An outcome or an event; kept until it is recorded.
  virtual void note(ipc::AuditAppend record) = 0;
};

constexpr auto kLookupFor = std::chrono::seconds(1);  // one attempt asks for a name more than once
constexpr auto kJoinFor = std::chrono::seconds(60);
constexpr std::size_t kMaxKinds = 32;  // of refusals told apart within that time

struct Refusal {
  ipc::Event event = ipc::Event::network;  // or denial: the name was not even answered
  std::string host;
  std::uint16_t port = 0;  // 0: none yet
  std::string reason;
  auto operator<=>(const Refusal&) const = default;
};

// The first of its kind is recorded with what comes of the same attempt, and when it came again, how often,
// when the time is over. Each record says how many it stands for, and when the first of them was.
class Refusals {
 public:
  explicit Refusals(Records& records) : records_(records) {}
  void add(Refusal refusal, Time now);
  // Call now and then, and with Time::max() at the end.
  void flush(Time now);

 private:
  struct Joined {
    Time until{};  // of this record
    bool is_first = true;
    std::uint64_t count = 0;
    std::uint64_t at_ms = 0;  // wall clock
  };
  void record(const Refusal& refusal, const Joined& joined);

  Records& records_;
  std::map<Refusal, Joined> recent_;
};

}  // namespace oqto::egress
