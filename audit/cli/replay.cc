#include <fcntl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "audit/cli/cli.h"
#include "audit/cli/read.h"
#include "audit/format/format.h"
#include "audit/format/json.h"
#include "audit/read/entry_reader.h"
#include "audit/recording/recording.h"
#include "base/sys.h"

namespace oqto::audit::cli {
namespace {

constexpr double kDefaultIdle = 2;
constexpr std::size_t kMaxRecordingBytes = std::size_t{1} << 30;

volatile sig_atomic_t interrupted = 0;
void on_interrupt(int /*signal*/) {
  interrupted = 1;
}

// One recording's chunks. Whose it is belongs to its name: nobody can add to another's.
struct Terminal {
  std::string tenant;
  std::string name;
  auto operator<=>(const Terminal&) const = default;
};
struct Chunk {
  std::uint64_t number = 0;
  std::uint64_t entry = 0;
  std::vector<BlobReference> blobs;
};
using Recordings = std::map<Terminal, std::vector<Chunk>>;

// All recordings of a session, or of the log; an index that names a chunk is its recording.
int find_recordings(const std::string& log, const std::string& session, Recordings& found) {
  Query query;
  query.events = {"recording.chunk"};
  if (!session.empty()) query.sessions = {plain_session(session).value_or(session)};
  Searched searched;
  return visit_entries(
      log, query,
      [&](const SeenEntry& seen) {
        const auto entry = ReadEntry::parse(seen.entry);
        if (!entry) return true;
        const Terminal terminal{entry->text("actor.account"), entry->text("fields.terminal")};
        found[terminal].push_back({entry->number("fields.chunk"), seen.index, blobs_of(seen.entry)});
        return true;
      },
      searched);
}

// nullopt after findings: one line for each chunk that is not as it must be.
std::optional<std::string> read_chunks(const std::string& log, std::vector<Chunk> chunks) {
  const auto opener = Opener::create(log);
  if (!opener) {
    (void)complain("the log " + log + ": " + reason(opener.error()));
    return std::nullopt;
  }
  std::ranges::stable_sort(chunks, {}, &Chunk::number);
  std::string all;
  std::uint64_t next = 0;
  bool good = true;
  const auto find = [&good](const std::string& what) {
    (void)complain(what);
    good = false;
  };
  for (const Chunk& chunk : chunks) {
    const std::string where = "chunk " + std::to_string(chunk.number) + " (entry " + std::to_string(chunk.entry) + ")";
    if (chunk.number < next) find(where + " is there twice");
    if (chunk.number > next) {
      find("chunk " + std::to_string(next) +
           (chunk.number > next + 1 ? " and all up to " + std::to_string(chunk.number - 1) + " are missing"
                                    : " is missing"));
    }
    next = chunk.number + 1;
    if (chunk.blobs.size() != 1) {
      find(where + " names no blob");
      continue;
    }
    OpenedBlob opened = open_stored_blob((*opener)->log(), chunk.blobs.front(), (*opener)->keys());
    if (opened.state != BlobState::opened) {
      find(where + ": " + blob_path(chunk.blobs.front().sha256) + " " +
           std::string(blob_state_text(opened.state)));
    } else if (all.size() + opened.content.size() > kMaxRecordingBytes) {
      find("the recording is longer than can be played");
      break;
    } else {
      all += opened.content;
    }
  }
  return good ? std::optional(std::move(all)) : std::nullopt;
}

std::optional<double> decimal(const std::string& text) {
  if (text.empty() || text.size() > 12 || text.find_first_not_of("0123456789.") != text.npos ||
      std::ranges::count(text, '.') > 1 || text == ".") {
    return std::nullopt;
  }
  return std::strtod(text.c_str(), nullptr);
}

void wait_for(double seconds) {
  timespec pause{static_cast<time_t>(seconds), static_cast<long>(std::fmod(seconds, 1.0) * 1e9)};
  while (interrupted == 0 && ::nanosleep(&pause, &pause) != 0 && errno == EINTR) {
  }
}

struct Playing {
  double speed = 1;
  double idle = kDefaultIdle;
  bool text = false;
  bool raw = false;
};

int play(const Recording& recording, const Playing& how) {
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) (void)::sigaction(signal, &action, nullptr);
  TerminalFilter filter(how.text);
  double at = 0;
  for (const RecordedEvent& event : recording.events) {
    const double pause = std::min((event.seconds - at) / how.speed, how.idle);
    at = event.seconds;
    if (!how.text && pause > 0) wait_for(pause);
    if (interrupted != 0) break;
    if (event.kind != 'o') continue;
    if (!print(how.raw ? event.text : filter.filter(event.text))) return kUnusable;
    if (!how.text && std::fflush(stdout) != 0) return kUnusable;
  }
  // Whatever the recording left switched on.
  if (!how.text) (void)print("\x1b[0m\x1b[?25h\x1b[?1049l\n");
  return kOk;
}

int write_file(const std::string& path, std::string_view content) {
  const auto file = sys::open_file(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
  if (!file) return complain(path + ": " + reason(file.error()));
  const Status written = sys::write_all(*file, content);
  return written ? kOk : complain(path + ": " + reason(written.error()));
}

// Which one is meant, if that is clear.
Recordings::const_iterator choose(const Recordings& recordings, std::optional<std::uint64_t> index) {
  if (!index) return recordings.size() == 1 ? recordings.begin() : recordings.end();
  return std::ranges::find_if(recordings, [&](const auto& recording) {
    return std::ranges::any_of(recording.second,
                               [&](const Chunk& chunk) { return chunk.entry == *index; });
  });
}

int replay(const Arguments& arguments) {
  const std::string log = log_dir(arguments);
  const std::string& operand = arguments.operands.front();
  const auto index = number(operand);
  Recordings recordings;
  if (const int status = find_recordings(log, index ? "" : operand, recordings); status != kOk) return status;
  const auto chosen = choose(recordings, index);
  if (chosen == recordings.end()) {
    if (index || recordings.empty()) {
      (void)complain("there is no recording " + std::string(index ? "with a chunk in entry " : "of session ") + operand);
      return kFindings;
    }
    std::string list = "this session has several recordings; name one by its first entry:";
    for (const auto& [terminal, chunks] : recordings) {
      list += "\n  " + std::to_string(chunks.front().entry) + "  terminal " + terminal.name;
    }
    return complain(list);
  }
  const auto text = read_chunks(log, chosen->second);
  if (!text) return kFindings;
  if (arguments.has("--export")) return write_file(arguments.get("--export"), *text);
  const auto recording = parse_recording(*text);
  if (!recording) {
    (void)complain("the recording: " + reason(recording.error()));
    return kFindings;
  }
  const auto speed = decimal(arguments.get("--speed", "1"));
  const auto idle = decimal(arguments.get("--idle", std::to_string(kDefaultIdle)));
  if (!speed || *speed <= 0) return complain("--speed needs a number above 0");
  if (!idle) return complain("--idle needs seconds");
  return play(*recording, {*speed, *idle, arguments.has("--text"), arguments.has("--raw")});
}

}  // namespace

Command replay_command() {
  return {.name = "replay",
          .operands = "SESSION|INDEX",
          .min_operands = 1,
          .max_operands = 1,
          .summary = "Plays a terminal's recording, after checking each of its chunks against the log.",
          .details = "Only text, colours and cursor movement reach your terminal; what could write to the\n"
                     "clipboard, set titles or type is left out. Signatures are not checked here: that is\n"
                     "`oqto-audit verify`. Exit status: 0 played, 1 no such recording, or chunks of it are\n"
                     "missing, altered or erased, 2 not readable or wrong usage.",
          .options = {log_option(),
                      {"--speed", "N", "N times as fast (default 1)"},
                      {"--idle", "SECONDS", "no pause is longer (default 2)"},
                      {"--text", "", "only the text, at once, without any escape sequence"},
                      {"--raw", "", "every byte as it was: only for a terminal that you can throw away"},
                      {"--export", "FILE", "write an asciicast v2 file instead of playing"}},
          .run = replay};
}

}  // namespace oqto::audit::cli
