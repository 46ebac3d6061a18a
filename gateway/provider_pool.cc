#include "gateway/provider_pool.h"

#include <sys/socket.h>

#include <cerrno>

namespace oqto::gateway {
namespace {

// A provider that hung up, or speaks without having been asked.
bool is_quiet(ProviderConnection& connection) {
  char byte = 0;
  const int fd = connection.socket.socket().native_handle();
  return ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

std::string place_of(const Provider& provider) {
  const Endpoint& at = provider.endpoint;
  return provider.name + (at.tls ? " https://" : " http://") + at.host + ' ' + at.port;
}

}  // namespace

std::unique_ptr<ProviderConnection> ProviderPool::take(const Provider& provider) {
  auto& idle = idle_[place_of(provider)];
  while (!idle.empty()) {
    std::unique_ptr<ProviderConnection> newest = std::move(idle.back());
    idle.pop_back();
    const bool fresh = std::chrono::steady_clock::now() - newest->idle_since < kIdleTime;
    if (fresh && is_quiet(*newest)) return newest;
  }
  return nullptr;
}

void ProviderPool::give_back(const Provider& provider, std::unique_ptr<ProviderConnection> connection) {
  auto& idle = idle_[place_of(provider)];
  connection->idle_since = std::chrono::steady_clock::now();
  connection->socket.expires_never();
  idle.push_back(std::move(connection));
  if (idle.size() > kMaxIdle) idle.pop_front();
  sweep();
}

void ProviderPool::sweep() {
  if (sweeping_) return;
  sweeping_ = true;
  sweep_.expires_after(kIdleTime);
  sweep_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;  // the end of the process
    sweeping_ = false;
    bool left = false;
    for (auto& [place, idle] : idle_) {
      const auto now = std::chrono::steady_clock::now();
      while (!idle.empty() && now - idle.front()->idle_since >= kIdleTime) idle.pop_front();
      left = left || !idle.empty();
    }
    if (left) sweep();
  });
}

}  // namespace oqto::gateway
