#include "egress/resolver.h"

#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <nss.h>
#include <resolv.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>

namespace oqto::egress {

struct Resolver::Lookup {
  Lookup(asio::io_context& io, std::uint32_t whose, std::string what)
      : owner(whose), name(std::move(what)), done(io) {}
  const std::uint32_t owner;
  const std::string name;
  Signal done;
  bool answered = false;
  bool given_up = false;
  Result<std::vector<Address>> answer =
      fail(Errc::unavailable, "the name's address is not known in time");
};

namespace {

Address address_of(const sockaddr& from) {
  Address address;
  if (from.sa_family == AF_INET6) {
    address.v6 = true;
    std::memcpy(address.bytes.data(), &reinterpret_cast<const sockaddr_in6&>(from).sin6_addr, 16);
  } else {
    std::memcpy(address.bytes.data(), &reinterpret_cast<const sockaddr_in&>(from).sin_addr, 4);
  }
  return address;
}

// Blocks.
Result<std::vector<Address>> look_up(const std::string& name) {
  // Reads resolv.conf again, which may have changed. What is set here is this thread's alone.
  (void)::res_init();
  _res.options &= ~static_cast<unsigned long>(RES_DEFNAMES | RES_DNSRCH);
  _res.options |= RES_NOALIASES;
  _res.retrans = 3;  // seconds
  _res.retry = 2;
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(name.c_str(), nullptr, &wanted, &list);
  if (error == EAI_NONAME || error == EAI_NODATA) {
    return fail(Errc::not_found, "the name has no address");
  }
  if (error != 0) return fail(Errc::unavailable, "the name cannot be looked up now");
  std::vector<Address> found;
  for (const addrinfo* at = list; at != nullptr && found.size() < kMaxAddresses; at = at->ai_next) {
    if (at->ai_family != AF_INET && at->ai_family != AF_INET6) continue;
    const Address address = address_of(*at->ai_addr);
    if (std::ranges::find(found, address) == found.end()) found.push_back(address);
  }
  ::freeaddrinfo(list);
  if (found.empty()) return fail(Errc::not_found, "the name has no address");
  return found;
}

}  // namespace

std::vector<std::string> resolver_files() {
  std::vector<std::string> paths;
  for (const char* path : {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf",
                           "/etc/gai.conf"}) {
    if (::access(path, R_OK) == 0) paths.emplace_back(path);
  }
  // resolv.conf is often a link into a directory whose files come and go: then that directory.
  char real[PATH_MAX];
  if (::realpath("/etc/resolv.conf", real) != nullptr) {
    const std::string target(real);
    const std::string directory = target.substr(0, target.rfind('/'));
    if (directory.starts_with("/run/")) paths.push_back(directory);
  }
  return paths;
}

void prepare_resolver() {
  (void)::__nss_configure_lookup("hosts", "files dns");
  addrinfo* found = nullptr;
  if (::getaddrinfo("localhost", "80", nullptr, &found) == 0) ::freeaddrinfo(found);
}

// The threads outlive the resolver where a lookup keeps them: nobody waits for the system's.
struct Resolver::Workers : std::enable_shared_from_this<Workers> {
  explicit Workers(Resolver& whose) : resolver(whose) {}
  void work();

  Resolver& resolver;  // not to be touched once `ended`
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::shared_ptr<Lookup>> queue;
  std::size_t threads = 0;
  std::size_t idle = 0;
  bool ended = false;
};

void Resolver::Workers::work() {
  std::unique_lock lock(mutex);
  for (;;) {
    ++idle;
    changed.wait(lock, [this] { return ended || !queue.empty(); });
    --idle;
    if (ended) return;
    std::shared_ptr<Lookup> lookup = std::move(queue.front());
    queue.pop_front();
    lock.unlock();
    auto answer = look_up(lookup->name);
    lock.lock();
    if (ended) return;
    // The lookup belongs to the other thread; so does letting go of it.
    asio::post(resolver.io_,
               [&to = resolver, lookup = std::move(lookup), answer = std::move(answer)]() mutable {
                 lookup->answer = std::move(answer);
                 lookup->answered = true;
                 to.finished(lookup);
               });
  }
}

Resolver::Resolver(asio::io_context& io, FixedNames fixed)
    : io_(io), fixed_(std::move(fixed)), workers_(std::make_shared<Workers>(*this)) {}

Resolver::~Resolver() {
  const std::scoped_lock lock(workers_->mutex);
  workers_->ended = true;
  workers_->changed.notify_all();
}

asio::awaitable<Result<std::vector<Address>>> Resolver::resolve(std::uint32_t owner,
                                                                std::string name) {
  if (const auto known = fixed_.find(name); known != fixed_.end()) co_return known->second;
  const auto lookup = std::make_shared<Lookup>(io_, owner, std::move(name));
  const auto deadline = std::chrono::steady_clock::now() + kLookupTime;
  if (under_way_[owner] < kMaxOwnersLookups) {
    begin(lookup);
  } else {
    waiting_.push_back(lookup);
  }
  if (!lookup->answered) co_await lookup->done.wait_until(deadline);
  lookup->given_up = !lookup->answered;
  std::erase(waiting_, lookup);
  co_return lookup->answer;
}

void Resolver::begin(std::shared_ptr<Lookup> lookup) {
  ++under_way_[lookup->owner];
  const std::scoped_lock lock(workers_->mutex);
  workers_->queue.push_back(std::move(lookup));
  if (workers_->idle < workers_->queue.size() && workers_->threads < kMaxLookups) {
    try {
      std::thread([workers = workers_] { workers->work(); }).detach();
      ++workers_->threads;
    } catch (const std::system_error&) {
      // Those that there are do it; without any, the lookup's time runs out.
    }
  }
  workers_->changed.notify_one();
}

void Resolver::finished(const std::shared_ptr<Lookup>& lookup) {
  lookup->done.notify();
  const auto mine = under_way_.find(lookup->owner);
  if (--mine->second == 0) under_way_.erase(mine);
  const auto next = std::ranges::find_if(waiting_, [&](const auto& other) {
    return other->owner == lookup->owner && !other->given_up;
  });
  if (next == waiting_.end()) return;
  const std::shared_ptr<Lookup> chosen = *next;
  waiting_.erase(next);
  begin(chosen);
}

}  // namespace oqto::egress
