// The log as its writer has it: segments (the truth), the tree over them, the signer that has to
// agree to every step, and the files derived from it all.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "audit/auditd/derived.h"
#include "audit/format/format.h"
#include "audit/format/segment_file.h"
#include "audit/format/tree.h"
#include "ipc/audit.h"

namespace oqto::audit {

class Log {
 public:
  struct Options {
    std::uint64_t segment_bytes = kMaxSegment;
    int signer_timeout_ms = 5000;
  };

  // Takes the directory for this process alone and makes what is missing in it.
  static Result<Log> open(const std::string& dir, Options options);

  // Asks the signer what it signed last and brings the log to a state that agrees with it: an
  // unfinished batch that was never acknowledged is dropped, or finished if it was signed.
  // Errc::unavailable: the signer does not answer. Anything else, and first of all Errc::denied
  // (the log is smaller than, or another than, what was signed): this log must not be served.
  Status attach(ipc::Channel signer);
  Status reattach();  // the same with the channel that is there

  // Entries of the next batch are encoded with the indices from next_index() on.
  [[nodiscard]] std::uint64_t next_index() const { return tree_.size(); }

  // A seal that has to be the first of the next entries that are committed (audit/format/epoch.h).
  [[nodiscard]] const std::optional<std::string>& pending_seal() const { return pending_seal_; }
  [[nodiscard]] bool is_seal_due() const;
  [[nodiscard]] int ms_to_seal() const;  // -1: nothing to wait for
  // Asks the signer to end the epoch, if it thinks so too. Errors as attach().
  Status request_seal(ipc::SignerAsk what);

  // Durable and signed when it returns; the signature itself becomes durable with the next batch, or
  // with settle(). Errc::limit (no room) and Errc::unavailable (no signer): not recorded, and nothing
  // is until that has changed. Anything else: the process must end.
  // Room::reserve: what is kept for the record that there is no room.
  using Room = SegmentFile::Room;
  Status commit(std::span<const std::string> entries, Room room = Room::usual);
  // Whether a batch could be committed now, errors as of commit(); nothing is recorded.
  Status probe();
  // What is there to be made sure of when nothing is to be done. An error: the process must end.
  Status settle();
  Status close();  // nothing is committed after it. Waits for the derived files

  // The derived files as of now. They are written later, by a thread of their own. Those of entries that
  // came while they could not be written are made from the segments first, a piece with each call.
  void publish();
  [[nodiscard]] bool is_published() const { return published_ == tree_.size(); }

  // What is left where others have filled the disk (log_reserve.cc).
  struct Space {
    bool is_tight = false;     // the file system has next to nothing
    std::uint64_t left = 0;    // of what was set aside
    std::uint64_t whole = 0;   // what is set aside where there is room
  };
  // Once it was tight, it takes twice as much until it is not: at the border nothing is said again and again.
  [[nodiscard]] Space space(bool was_tight) const;

  [[nodiscard]] const Fd& dir() const { return dir_; }
  [[nodiscard]] bool is_attached() const { return attached_; }
  [[nodiscard]] bool has_signer() const { return static_cast<bool>(signer_); }
  struct Recovered {
    std::uint64_t entries = 0;
    std::uint64_t dropped_bytes = 0;
    std::uint64_t last_time_ms = 0;  // of the last entry
    bool was_stopped = false;        // auditd's own last word was that it stops
    std::string where;  // of a failure: file and byte
  };
  [[nodiscard]] const Recovered& recovered() const { return recovered_; }

  // The signer's directory was bound to another place, and nothing in the log says so yet.
  [[nodiscard]] const std::optional<ipc::SignerStatus>& adoption() const { return adoption_; }
  void tell_adopted();  // now something does

 private:
  struct Remembered {
    std::uint64_t size = 0;
    Hash root{};
    std::string seal;  // the newest one
    ipc::Recall recall{};
  };
  // What a scan of the segments finds behind the size that the signer remembers.
  struct Scan {
    Remembered remembered;
    Tree at_remembered;
    std::vector<Hash> after;
    bool lacks_note = false;  // the last batch is whole, was signed, and has no note
  };
  static constexpr std::uint64_t kProbeEveryMs = 200;

  Log(Fd dir, Fd segments, Fd tmp, Options options, std::unique_ptr<Derived> derived)
      : dir_(std::move(dir)),
        segments_(std::move(segments)),
        tmp_(std::move(tmp)),
        options_(options),
        derived_(std::move(derived)) {}
  Status send_to_signer(auto request);
  Result<ipc::Received> hear_signer();
  Result<Remembered> ask_status(ipc::SignerAsk what);
  Status take_seal(const Remembered& remembered);
  Status request_signature(const Tree& old, std::span<const Hash> leaves, const Tree& now);
  Result<std::string> take_signature(const Tree& now);
  Status recover(const Remembered& remembered);
  Status begin_pruned(std::uint64_t first, Scan& scan);  // log_pruned.cc
  Status scan_segment(std::uint64_t first, bool last, Scan& scan);
  Status scan_tail(const Batch& tail, std::string_view data, std::uint64_t offset, Scan& scan,
                   std::uint64_t& length);
  Status reopen(std::uint64_t first, std::string_view data, std::uint64_t from, std::uint64_t length);
  void write_full_tiles();
  Status catch_up();
  void keep_reserve();
  [[nodiscard]] std::uint64_t most_of_segment() const;
  Status apply(const Batch& batch, Scan& scan);
  void look_at_end(const Batch& batch);
  Status agree(const Scan& scan);
  Status make_room();

  Fd dir_;
  Fd segments_;
  Fd tmp_;
  Options options_;
  ipc::Channel signer_;
  std::uint64_t asked_ = 0;  // requests to the signer so far
  bool attached_ = false;
  bool full_ = false;
  std::uint64_t probed_at_ms_ = 0;
  SegmentFile segment_;
  Tree tree_;
  Tiles tiles_;
  std::uint64_t tiled_ = 0;  // entries that tiles_ has: fewer than the tree if they cannot be written
  std::unique_ptr<Derived> derived_;
  std::uint64_t settled_ = ~std::uint64_t{0};
  std::uint64_t reserve_tried_ms_ = 0;
  std::uint64_t keys_tried_ms_ = 0;
  bool has_spare_ = false;
  std::string note_;
  std::uint64_t epoch_ = 0;
  std::optional<std::string> pending_seal_;
  std::uint64_t epoch_ends_ms_ = 0;  // CLOCK_BOOTTIME
  std::uint64_t published_ = ~std::uint64_t{0};
  Recovered recovered_;
  std::optional<ipc::SignerStatus> adoption_;
};

}  // namespace oqto::audit
