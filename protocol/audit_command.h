// What an auditor may say: commands that read the log, and nothing else. docs/protocol.md lists
// them.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "protocol/command.h"

namespace oqto::protocol {

constexpr std::uint32_t kMaxAuditPage = 100;
constexpr std::uint32_t kMaxAuditStory = 1000;   // entries of one part of a story
constexpr std::size_t kMaxAuditTextBytes = 256;  // of one search
constexpr std::size_t kMaxAuditChoices = 16;     // of one filter
constexpr std::uint64_t kMaxAuditIndex = 1ULL << 53;

// Empty lists and absent bounds match everything; of one list, one must fit.
struct AuditFilter {
  std::string text = {};  // each of its words must begin a word of the entry
  std::optional<std::uint64_t> from_ms = {},
                               to_ms = {};  // Unix milliseconds; `to_ms` is not included
  std::vector<std::string> actors = {};     // user name or process of who acted
  std::vector<std::string> tenants = {};    // account number or user name, acting or concerned
  std::vector<std::string> sessions = {};   // beginnings of session ids
  std::vector<std::string> events = {};     // "login"; "session.*" for all that begin so
  std::vector<std::string> without = {};    // events that are left out
  std::vector<std::string> outcomes = {};
  std::vector<std::uint64_t> classes = {};   // OCSF
  std::optional<std::uint64_t> intent = {};  // outcomes of this one
  std::string terminal = {};                 // its id; not said by browsers
};

struct AuditCheckpoint {  // with a consistency proof from this size
  std::optional<std::uint64_t> old_size;
};
struct AuditSearch {  // newest first
  AuditFilter filter;
  std::optional<std::uint64_t> before;  // only entries with a smaller index
  std::optional<std::uint64_t> from;    // … and with at least this one
  std::uint32_t limit = 50;
};
struct AuditSubjects {};  // whose story there is: the newest sessions, and who has an account
struct AuditTimeline {  // the newest entries that fit, told as a story
  AuditFilter filter;
  std::optional<std::uint64_t> before;
  std::uint32_t limit = 400;
  bool all = false;  // also what pages and the host do by themselves, one by one
};
struct AuditEntry {
  std::uint64_t index = 0;
  std::optional<std::uint64_t> old_size;
};
struct AuditConsistency {
  std::uint64_t old_size = 0;
};
struct AuditSeals {  // of epochs, oldest first, with what leads the tree's edge of `from` entries to them
  std::uint64_t from = 0;
  std::optional<std::uint64_t> old_size;
};
struct AuditRecording {  // that the entry at `index` is a piece of, from the piece `chunk` on
  std::uint64_t index = 0;
  std::uint64_t chunk = 0;
  std::optional<std::uint64_t> old_size;
};
enum class ExportFormat : std::uint8_t { jsonl, ocsf };
struct AuditExport {  // oldest first
  AuditFilter filter;
  std::uint64_t from = 0;
  std::optional<std::uint64_t> to;  // not included
  ExportFormat format{};
};

struct AuditCommand {
  CommandHead head;
  std::variant<AuditCheckpoint, AuditSearch, AuditSubjects, AuditTimeline, AuditEntry, AuditConsistency, AuditSeals,
               AuditRecording, AuditExport>
      args;
};
using AuditFrame = std::variant<BadFrame, ReservedChannel, BadCommand, AuditCommand>;

AuditFrame decode_audit_frame(std::string_view text);

// The filter as one line of JSON, for the record of who searched for what.
std::string filter_json(const AuditFilter& filter);

}  // namespace oqto::protocol
