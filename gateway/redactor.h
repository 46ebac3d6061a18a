// Keeps a provider's key out of its answer on the way in, also where the answer splits it over the
// pieces of a stream that the harness puts together. Parts of the answer (of a stream of events its
// lines) pass in order and unchanged but for the key; only those wait that end with what may be its
// beginning, for as long as what follows bears it out.
#pragma once
#include <deque>
#include <map>
#include <string>
#include <string_view>

#include "gateway/key_track.h"
#include "gateway/line_strings.h"

namespace oqto::gateway {

class Redactor {
 public:
  // `sse`: the content type is text/event-stream.
  explicit Redactor(std::string_view key, bool sse = false);
  std::string feed(std::string_view bytes);
  std::string finish();  // what was held back

  static constexpr std::size_t kMaxLine = 256 * 1024;  // a longer one passes in parts
  static constexpr std::size_t kMaxHeld = 256 * 1024;
  static constexpr std::size_t kMaxIdleParts = 48;  // that wait without the key's coming nearer: 16 events
  static constexpr std::size_t kMaxTracks = 128;
  // Fewer characters of a key, at the end of an event, are no reason to wait for the next one.
  static constexpr std::size_t kLeastOfAnEvent = 4;
  // So many are as good as the key: they do not pass, whatever follows or does not.
  static constexpr std::size_t kTelling = 16;

 private:
  struct Cut {
    std::size_t begin = 0;
    std::size_t end = 0;
    bool named = false;  // says that something is missing; the rest of the same key does not
  };
  struct Part {
    std::uint64_t number = 0;
    std::string text;
    std::vector<Cut> cuts;
  };

  void take(std::string text, bool ends_line);
  void take_strings(const Part& part, std::vector<KeyTrack::Pieces>& found);
  void cut(const KeyTrack::Pieces& pieces);
  std::string release(bool all);
  // Calls see(track) with each.
  void each_track(const auto& see);
  static std::string without_cuts(Part& part);

  const KeyForms forms_;
  const bool sse_;
  std::string line_;        // not whole yet
  std::deque<Part> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::uint64_t next_part_ = 0;
  KeyTrack here_;                          // what is written side by side
  std::map<std::string, KeyTrack> joined_;  // what the harness puts together: per key and index
  LineFacts facts_;
  std::size_t longest_ = 0;  // beginning of a key that parts wait for
  std::size_t idle_parts_ = 0;
};

}  // namespace oqto::gateway
