// Names to addresses for the host's side, by the system's resolver. Each lookup blocks a thread, so
// there are a few, and no owner takes them all.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "egress/settings.h"
#include "egress/signal.h"

namespace oqto::egress {

constexpr std::size_t kMaxLookups = 16;       // at a time
constexpr std::size_t kMaxOwnersLookups = 4;  // of these, for one owner
constexpr auto kLookupTime = std::chrono::seconds(12);
constexpr std::size_t kMaxAddresses = 16;  // of one name; more are not looked at

// The files that the system's resolver reads, where they are: for the seal.
std::vector<std::string> resolver_files();
// Only libc's own lookups, which need no library of their own: none can be loaded once sealed.
void prepare_resolver();

class Resolver {
 public:
  // `fixed`: names that are not looked up.
  Resolver(asio::io_context& io, FixedNames fixed);
  void replace(FixedNames fixed) { fixed_ = std::move(fixed); }
  ~Resolver();  // lookups that are under way end unheard
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // The name as it is, never with a search domain behind it. Errc::not_found: it has no address;
  // Errc::unavailable: there was no answer in time.
  asio::awaitable<Result<std::vector<Address>>> resolve(std::uint32_t owner, std::string name);

 private:
  struct Lookup;
  struct Workers;
  void begin(std::shared_ptr<Lookup> lookup);
  void finished(const std::shared_ptr<Lookup>& lookup);

  asio::io_context& io_;
  FixedNames fixed_;
  std::map<std::uint32_t, std::size_t> under_way_;  // per owner
  std::deque<std::shared_ptr<Lookup>> waiting_;     // for their owner's turn
  std::shared_ptr<Workers> workers_;
};

}  // namespace oqto::egress
