// What the guard says of this host before any session has run: which models there are, and which
// profiles it can enforce.
#pragma once
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "ipc/messages.h"
#include "protocol/event.h"

namespace oqto::protocol {

struct ProfileFact {
  std::string name;
  bool available = true;
  std::string why;  // not available: what this host lacks
};

}  // namespace oqto::protocol

namespace oqto::runner {

struct TakenFacts {
  std::vector<protocol::ModelInfo> models;      // in the order of the file
  std::vector<protocol::ProfileFact> profiles;  // all of them
};

constexpr std::size_t kMaxModelsBytes = 4 * 1024 * 1024;

// `models`: the models.json that the harnesses get. What it has of another shape is left out.
Result<TakenFacts> take_host_facts(const ipc::HostFacts& facts, const Fd& models);

}  // namespace oqto::runner
