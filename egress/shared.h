// What all sessions of one process share.
#pragma once
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <map>
#include <memory>

#include "egress/resolver.h"
#include "egress/settings.h"

namespace oqto::egress {

constexpr std::size_t kMaxConnections = 256;  // of one session

// Descriptors for listeners (one) and connections (two), so that those who share this process
// cannot take all from each other.
class Descriptors {
 public:
  Descriptors(std::size_t most, std::size_t most_of_owner)
      : most_(most), most_of_owner_(most_of_owner) {}
  bool take(std::uint32_t owner, std::size_t count) {
    const auto found = owners_.find(owner);
    const std::size_t had = found == owners_.end() ? 0 : found->second;
    if (taken_ + count > most_ || had + count > most_of_owner_) return false;
    owners_[owner] = had + count;
    taken_ += count;
    return true;
  }
  void give_back(std::uint32_t owner, std::size_t count) {
    if (count == 0) return;
    taken_ -= count;
    const auto found = owners_.find(owner);
    if ((found->second -= count) == 0) owners_.erase(found);
  }

 private:
  const std::size_t most_, most_of_owner_;
  std::size_t taken_ = 0;
  std::map<std::uint32_t, std::size_t> owners_;
};
constexpr std::size_t kPerConnection = 2;

// This process's limit, less what it needs for all else.
std::size_t descriptors_beside(std::size_t others);

struct Shared {
  Shared(asio::io_context& on, Settings wanted, Descriptors all)
      : io(on),
        settings(std::move(wanted)),
        resolver(on, settings.resolve),
        descriptors(std::make_shared<Descriptors>(std::move(all))) {}

  // For what is looked up and dialled from now on.
  void replace(Settings wanted) {
    settings = std::move(wanted);
    resolver.replace(settings.resolve);
  }

  asio::io_context& io;
  Settings settings;
  Resolver resolver;
  const std::shared_ptr<Descriptors> descriptors;
};

}  // namespace oqto::egress
