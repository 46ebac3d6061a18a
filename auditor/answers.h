// What the commands are answered with. Each answer is JSON text for the member `data`.
#pragma once
#include <expected>
#include <string>

#include "auditor/search.h"
#include "protocol/audit_command.h"

namespace oqto::protocol {
class JsonObject;
}

namespace oqto::auditor {

using Answer = std::expected<std::string, protocol::Failure>;

protocol::Failure failure_of(const Error& error);
// Who was asked for and is not in the log, a sentence each.
void add_unknown(protocol::JsonObject& data, const std::vector<std::string>& unknown);
std::string hashes_json(const std::vector<audit::Hash>& hashes);

class Answers {
 public:
  Answers(LogView& view, Follower& follower, std::string state_dir)
      : view_(view), follower_(follower), search_(view, follower, std::move(state_dir)) {}

  struct Counted {
    Answer answer;
    std::uint64_t entries = 0;  // that it shows
  };
  Counted to(const protocol::AuditCommand& command);

 private:
  Counted checkpoint(const protocol::AuditCheckpoint& args);
  Counted search(const protocol::AuditSearch& args);
  Counted subjects();
  Counted timeline(const protocol::AuditTimeline& args);
  Counted entry(const protocol::AuditEntry& args);
  Counted consistency(const protocol::AuditConsistency& args);
  Counted seals(const protocol::AuditSeals& args);
  Counted recording(const protocol::AuditRecording& args);
  Counted export_range(const protocol::AuditExport& args);
  void add_consistency(protocol::JsonObject& data, std::uint64_t old_size,
                       std::uint64_t size) const;

  LogView& view_;
  Follower& follower_;
  Search search_;
};

}  // namespace oqto::auditor
