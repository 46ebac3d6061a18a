// What auditd keeps for tenants beside the log: their keys and their blobs. It is told what each source
// sends, and says what its entries may show in clear.
#pragma once
#include <functional>
#include <memory>

#include "audit/auditd/blob_store.h"
#include "audit/auditd/entry.h"
#include "audit/format/tenant_keys.h"
#include "ipc/loop.h"

namespace oqto::audit {

class Vault : public ipc::Watcher {
 public:
  // Called for each blob that was taken, once: stored, or why not.
  using Answer = std::function<void(const BlobStore::Done&)>;

  // `log` and `loop` must outlive it.
  static Result<std::unique_ptr<Vault>> open(const Fd& log, ipc::Loop& loop,
                                             BlobStore::Options options, Answer answer);
  ~Vault() override;
  Vault(const Vault&) = delete;
  Vault& operator=(const Vault&) = delete;

  // false: not a well-formed AuditBlob.
  bool take_blob(std::uint64_t source, const Actor& actor, ipc::Received message,
                 std::uint64_t now_ms);
  // Errc::denied: the record names a blob that is not its source's. Otherwise there is no key to hide
  // its fields with, and it must not be recorded.
  Result<Private> hide(std::uint64_t source, const Actor& actor, const ipc::AuditAppend& record,
                       std::uint64_t now_ms);
  void forget(std::uint64_t source) { blobs_->forget(source); }

  Status erase(std::uint32_t tenant, const std::string& day) { return keys_.erase(tenant, day); }

 private:
  Vault(const Fd& log, ipc::Loop& loop, Answer answer)
      : keys_(log), loop_(loop), answer_(std::move(answer)) {}
  void on_ready(std::uint32_t events) override;
  const std::string& day_of(std::uint64_t now_ms);

  TenantKeys keys_;
  std::unique_ptr<BlobStore> blobs_;
  ipc::Loop& loop_;
  const Answer answer_;
  std::string day_;
  std::uint64_t day_number_ = 0;
};

}  // namespace oqto::audit
