#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <algorithm>
#include <map>
#include <set>

#include "audit/cli/cli.h"
#include "audit/cli/read.h"
#include "audit/format/format.h"
#include "audit/format/segment_file.h"
#include "audit/format/time_text.h"
#include "audit/read/entry_reader.h"
#include "audit/read/ocsf.h"
#include "base/sys.h"

namespace oqto::audit::cli {
namespace {

struct Group {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
};
using Groups = std::map<std::string, Group>;

struct Stats {
  Group all;
  Groups classes, tenants, days, events;
  std::set<std::uint64_t> open_intents;
  std::uint64_t further_intents = 0;  // beyond those that are remembered: with or without an outcome
  std::uint64_t malformed = 0;
  std::uint64_t first_ms = 0;
  std::uint64_t last_ms = 0;

  // A log that somebody made for us may name as much as it likes.
  static constexpr std::size_t kMaxGroups = 100'000;
  static constexpr std::size_t kMaxOpenIntents = 1'000'000;

  static void count(Groups& groups, const std::string& name, std::size_t bytes) {
    const bool is_told_apart = groups.size() < kMaxGroups || groups.contains(name);
    Group& group = groups[is_told_apart ? name : "(others)"];
    ++group.entries;
    group.bytes += bytes;
  }

  // The host's processes say whom they act for by number: the name comes from elsewhere in the log.
  void name_tenants(const Names& names) {
    Groups named;
    for (const auto& [account, group] : tenants) {
      const std::string name = names.name_of(account);
      named[printable(account + (name.empty() ? "" : " " + name))] = group;
    }
    tenants = std::move(named);
  }

  void add(std::uint64_t index, std::string_view text, std::string_view related) {
    ++all.entries;
    all.bytes += text.size();
    const auto entry = ReadEntry::parse(text);
    if (!entry) {
      ++malformed;
      return;
    }
    const std::uint64_t time = entry->number("time");
    if (first_ms == 0) first_ms = time;
    last_ms = std::max(last_ms, time);
    const std::uint64_t class_uid = entry->number("class_uid");
    count(classes, std::to_string(class_uid) + " " + std::string(ocsf_class_name(class_uid)),
          text.size());
    count(events, printable(entry->text("event")), text.size());
    count(days, utc_day(time), text.size());
    const auto belongs = related.empty() ? std::nullopt : ReadEntry::parse(related);
    std::string account = entry->text("actor.account");
    // Whom it speaks of is not for the relay to say, to which strangers talk.
    if (account.empty() && entry->text("actor.process") != "relay") account = entry->text("fields.account");
    if (account.empty() && belongs) account = belongs->text("fields.account");
    count(tenants, account.empty() ? "(host)" : account, text.size());
    const std::string phase = entry->text("phase");
    if (phase == "intent") note_intent(index);
    // Another's outcome, which any tenant can write, ends nothing.
    if (phase == "outcome" && belongs) open_intents.erase(entry->number("intent"));
  }

  void note_intent(std::uint64_t index) {
    if (open_intents.size() < kMaxOpenIntents) {
      open_intents.insert(index);
    } else {
      ++further_intents;
    }
  }
};

std::uint64_t bytes_beneath(const Fd& dir, const std::string& path, int depth) {
  constexpr int kMaxDepth = 12;
  const auto here = sys::open_beneath(dir, path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!here || depth > kMaxDepth) return 0;
  std::uint64_t bytes = 0;
  const auto names = list_directory(*here);
  for (const std::string& name : names.value_or(std::vector<std::string>())) {
    struct stat facts {};
    if (::fstatat(here->get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISREG(facts.st_mode)) bytes += static_cast<std::uint64_t>(facts.st_size);
    if (S_ISDIR(facts.st_mode)) bytes += bytes_beneath(dir, path + "/" + name, depth + 1);
  }
  return bytes;
}

std::string table(std::string_view title, const Groups& groups) {
  std::string text = "\n" + std::string(title) + "\n";
  for (const auto& [name, group] : groups) {
    const std::string entries = std::to_string(group.entries);
    const std::string bytes = std::to_string(group.bytes);
    text += "  " + name + std::string(name.size() < 34 ? 34 - name.size() : 1, ' ') +
            std::string(entries.size() < 10 ? 10 - entries.size() : 0, ' ') + entries + " " +
            std::string(bytes.size() < 14 ? 14 - bytes.size() : 0, ' ') + bytes + " B\n";
  }
  return text;
}

std::string json(std::string_view name, const Groups& groups) {
  std::string text = ",\"" + std::string(name) + "\":{";
  for (const auto& [group_name, group] : groups) {
    if (text.back() != '{') text += ',';
    append_json(text, group_name);
    text += R"(:{"entries":)" + std::to_string(group.entries) + R"(,"bytes":)" +
            std::to_string(group.bytes) + "}";
  }
  return text + "}";
}

// Bytes per day over the last week that has entries: what to plan the disk with.
std::uint64_t growth_per_day(const Stats& stats) {
  constexpr std::size_t kDays = 7;
  std::uint64_t bytes = 0;
  std::size_t days = 0;
  for (auto day = stats.days.rbegin(); day != stats.days.rend() && days < kDays; ++day, ++days) {
    bytes += day->second.bytes;
  }
  return days == 0 ? 0 : bytes / days;
}

// What the log takes of its disk, and how long that lasts.
struct Room {
  std::uint64_t segments = 0, tiles = 0, blobs = 0;
  std::uint64_t free = 0;
  std::uint64_t per_day = 0;  // of all files, as entries grow
  [[nodiscard]] std::uint64_t total() const { return segments + tiles + blobs; }
  [[nodiscard]] std::string days_left() const {
    return per_day == 0 ? "null" : std::to_string(free / per_day);
  }
};

Room room_of(const Fd& log, const Stats& stats) {
  Room room;
  room.segments = bytes_beneath(log, kSegmentDir, 0);
  room.tiles = bytes_beneath(log, kTileDir, 0);
  room.blobs = bytes_beneath(log, kBlobDir, 0);
  struct statfs disk {};
  if (::fstatfs(log.get(), &disk) == 0) room.free = disk.f_bavail * static_cast<std::uint64_t>(disk.f_bsize);
  const std::uint64_t growth = growth_per_day(stats);
  if (stats.all.bytes > 0) {
    room.per_day = static_cast<std::uint64_t>(static_cast<double>(growth) * static_cast<double>(room.total()) /
                                              static_cast<double>(stats.all.bytes));
  }
  return room;
}

std::string size_text(const Stats& stats, const std::optional<Room>& room) {
  const std::string counted =
      std::to_string(stats.all.entries) + " entries, " + std::to_string(stats.all.bytes) + " B";
  if (!room) return counted + "\n";
  return counted + "; segments " + std::to_string(room->segments) + " B, tiles " +
         std::to_string(room->tiles) + " B, blobs " + std::to_string(room->blobs) + " B\n" +
         std::to_string(room->per_day) + " B per day with entries (of the last 7); " +
         std::to_string(room->free) + " B free: full in " +
         (room->per_day == 0 ? "unknown" : room->days_left()) + " days\n";
}

std::string json_text_of(const Stats& stats, const std::optional<Room>& room) {
  std::string text = "{";
  const auto add = [&text](std::string_view name, const std::string& value) {
    if (text.back() != '{') text += ',';
    ((text += '"') += name) += "\":" + value;
  };
  add("entries", std::to_string(stats.all.entries));
  add("entry_bytes", std::to_string(stats.all.bytes));
  if (room) {
    add("segment_bytes", std::to_string(room->segments));
    add("tile_bytes", std::to_string(room->tiles));
    add("blob_bytes", std::to_string(room->blobs));
    add("free_bytes", std::to_string(room->free));
    add("bytes_per_day", std::to_string(room->per_day));
    add("days_until_full", room->days_left());
    add("entry_bytes_per_day", std::to_string(growth_per_day(stats)));
  }
  add("intents_without_outcome", std::to_string(stats.open_intents.size()));
  if (stats.further_intents > 0) add("intents_not_followed", std::to_string(stats.further_intents));
  add("malformed", std::to_string(stats.malformed));
  return text + json("classes", stats.classes) + json("events", stats.events) +
         json("tenants", stats.tenants) + json("days", stats.days) + "}\n";
}

int stats(const Arguments& arguments) {
  const std::string path = log_dir(arguments);
  const auto query = read_query(arguments);
  if (!query) return kUnusable;
  Stats stats;
  const auto names = read_names(path);
  if (!names) return complain("the log " + path + ": " + reason(names.error()));
  Searched searched;
  const int status = visit_entries(
      path, *query,
      [&](const SeenEntry& seen) {
        stats.add(seen.index, seen.entry, seen.related);
        return true;
      },
      searched);
  if (status != kOk) return status;
  if (searched.found == 0 && query->selects_by_content()) return nothing_found(*query, searched);
  stats.name_tenants(*names);
  std::optional<Room> room;  // of the whole log: a part of it says nothing about the disk
  if (!query->selects_by_content() && !arguments.has("--range")) {
    const auto log = sys::open_dir(path.c_str());
    if (!log) return complain("the log " + path + ": " + reason(log.error()));
    room = room_of(*log, stats);
  }
  if (arguments.has("--size")) {
    return print(size_text(stats, room) + table("by day", stats.days)) ? kOk : kUnusable;
  }
  if (arguments.has("--json")) return print(json_text_of(stats, room)) ? kOk : kUnusable;
  std::string text = size_text(stats, room);
  if (stats.all.entries > 0) {
    text += "from " + utc_text(stats.first_ms) + " to " + utc_text(stats.last_ms) + "\n";
  }
  text += std::to_string(stats.open_intents.size()) + " intents without an outcome";
  if (stats.further_intents > 0) text += "; " + std::to_string(stats.further_intents) + " more were not followed";
  text += "\n";
  if (stats.malformed > 0) text += std::to_string(stats.malformed) + " malformed entries\n";
  text += table("by class", stats.classes) + table("by event", stats.events) +
          table("by tenant", stats.tenants) + table("by day", stats.days);
  return print(text) ? kOk : kUnusable;
}

}  // namespace

Command stats_command() {
  return {.name = "stats",
          .summary = "Counts entries and bytes per class, event, tenant and day; size and growth.",
          .details = "A tenant is whom an entry concerns, whoever wrote it; (host): nobody. With filters only\n"
                     "what fits is counted, and nothing is said about the disk.\n"
                     "Exit status: 0 counted, 1 nothing fits the filters, 2 not readable or wrong usage.",
          .options = joined({log_option(),
                             {"--size", "", "only the size, the growth per day, and how long the disk lasts"},
                             {"--json", "", "one JSON object instead of text"}},
                            filter_options()),
          .run = stats};
}

}  // namespace oqto::audit::cli
