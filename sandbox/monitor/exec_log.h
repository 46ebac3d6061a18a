// The monitor's side of the audit log. Records are sent without waiting, kept until auditd
// says that they are durable, and sent again when auditd was restarted. If they do not become
// durable the log counts as unavailable, and nothing may be executed.
#pragma once
#include <cstdint>
#include <deque>

#include "ipc/audit.h"
#include "sandbox/monitor/recorder.h"

namespace oqto::sandbox {

constexpr std::size_t kMaxKeptRecords = 64;
constexpr std::size_t kMaxKeptBlobBytes = std::size_t{16} << 20;
constexpr unsigned kBlobTries = 3;  // then it is not stored
constexpr std::uint64_t kStalledMs = 5000;  // the oldest record has waited this long: unavailable
constexpr std::uint64_t kSendAgainMs = 500;      // one record, until auditd takes it
constexpr std::uint64_t kNextDayMs = 30'000;     // the same, where the account's budget is used up

class ExecLog final : public Recorder {
 public:
  explicit ExecLog(ipc::Channel channel) : channel_(std::move(channel)) {}

  [[nodiscard]] bool available() const override;
  // Room for `expected` further records: if not, wait for auditd before accepting more.
  [[nodiscard]] bool has_room(std::size_t expected) const override {
    return kept_.size() + expected < kMaxKeptRecords && blob_bytes_ <= kMaxKeptBlobBytes;
  }
  void add(ipc::AuditAppend record) override { submit({.record = std::move(record)}); }
  // Later records do not wait for one whose blobs are being stored.
  void submit(Submission submission) override;

  void on_ready();  // auditd has answered, or is gone
  void tick();      // sends again what was refused or did not fit
  void replace(ipc::Channel channel);
  [[nodiscard]] const Fd& fd() const { return channel_.fd(); }
  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] bool waits() const { return !kept_.empty(); }

 private:
  struct KeptBlob {
    ipc::FieldKey key{};
    Fd file;  // sealed; none: it could not be made
    std::string name;  // once it is stored
    unsigned tries = 0;
  };
  struct Kept {
    Submission what;  // without the blobs' contents
    std::vector<KeptBlob> blobs;
    std::size_t blob_bytes;
    std::uint64_t since;  // monotonic
    std::uint64_t at_ms;  // wall clock
    bool settled = false;
    bool sent = false;
  };
  Status take_answer(const ipc::Received& received);
  void settle(std::uint64_t request, std::uint64_t index);
  void note_refusal(std::uint64_t request, bool for_today);
  void flush();
  Status send(Kept& kept);
  Status send_blob(Kept& kept, KeptBlob& blob);
  bool blob_done(std::uint64_t request, std::string name, bool never);
  void settle_blobs(Kept& kept, bool stored);

  ipc::Channel channel_;
  std::deque<Kept> kept_;
  std::size_t blob_bytes_ = 0;
  std::uint64_t next_request_ = 1;
  std::uint64_t blob_request_ = 0;   // 0: none is on its way; one at a time
  std::uint64_t blob_owner_ = 0;     // the record that it belongs to
  std::uint64_t blob_again_at_ = 0;  // monotonic
  bool connected_ = true;
  // What auditd answers with a refusal since it did so. An account's budget has a reserve for outcomes: they do
  // not wait behind what is refused for it.
  enum class Refuses : std::uint8_t { nothing, all_but_outcomes, all };
  [[nodiscard]] bool may_send(const Kept& kept) const;
  Refuses refuses_ = Refuses::nothing;
  std::uint64_t again_at_ = 0;  // monotonic: then it is asked again, with one record alone
};

}  // namespace oqto::sandbox
