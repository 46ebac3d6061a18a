#include "egress/name_table.h"

namespace oqto::egress {

Entry* NameTable::find(std::string_view name) {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

Entry* NameTable::at(std::uint32_t address) {
  const auto found = by_address_.find(address);
  return found == by_address_.end() ? nullptr : found->second;
}

Entry* NameTable::add(const std::string& name, const Ports& ports, Time now) {
  if (listeners_ + ports.size() > max_listeners_ || next_address_ > kLastAddress) return nullptr;
  listeners_ += ports.size();
  Entry& entry = entries_.emplace_back();
  entry.name = name;
  entry.address = next_address_++;
  entry.ports = ports;
  entry.used = now;
  by_name_[name] = &entry;
  by_address_[entry.address] = &entry;
  return &entry;
}

Entry* NameTable::take_over(const std::string& name, const Ports& ports, Time now) {
  Entry* idlest = nullptr;
  for (Entry& entry : entries_) {
    if (entry.kept || entry.state != Entry::State::ready || entry.connections != 0) continue;
    if (entry.ports != ports || entry.used + kReuseAfter > now) continue;
    if (idlest == nullptr || entry.used < idlest->used) idlest = &entry;
  }
  if (idlest == nullptr) return nullptr;
  forget(*idlest);
  idlest->name = name;
  idlest->used = now;
  idlest->approved = false;
  idlest->ends = Time::max();
  by_name_[name] = idlest;
  return idlest;
}

void NameTable::forget(Entry& entry) {
  const auto found = by_name_.find(entry.name);
  if (found != by_name_.end() && found->second == &entry) by_name_.erase(found);
  entry.name.clear();
}

void NameTable::drop(Entry& entry) {
  forget(entry);
  by_address_.erase(entry.address);
  entries_.remove_if([&](const Entry& other) { return &other == &entry; });
}

}  // namespace oqto::egress
