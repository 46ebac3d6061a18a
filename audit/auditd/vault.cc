#include "audit/auditd/vault.h"

#include "audit/format/time_text.h"

namespace oqto::audit {

Result<std::unique_ptr<Vault>> Vault::open(const Fd& log, ipc::Loop& loop, BlobStore::Options options,
                                           Answer answer) {
  auto vault = std::unique_ptr<Vault>(new Vault(log, loop, std::move(answer)));
  vault->blobs_ = TRY(BlobStore::start(log, vault->keys_, options));
  TRY(loop.watch(vault->blobs_->ready(), *vault));
  return vault;
}

Vault::~Vault() {
  if (blobs_) loop_.unwatch(blobs_->ready(), *this);
}

void Vault::on_ready(std::uint32_t /*events*/) {
  for (const BlobStore::Done& done : blobs_->take_done()) answer_(done);
}

bool Vault::take_blob(std::uint64_t source, const Actor& actor, ipc::Received message,
                      std::uint64_t now_ms) {
  const auto blob = message.as<ipc::AuditBlob>();
  if (actor.process == ipc::Process::relay) return false;  // it speaks to strangers, for nobody
  if (!blob || (actor.account != 0 && blob->account != 0 && blob->account != actor.account)) {
    return false;
  }
  const std::uint32_t tenant = actor.account != 0 ? actor.account : blob->account;
  const BlobStore::Asker asker{source, tenant, actor.process == ipc::Process::guard};
  const Status taken = blobs_->put(asker, blob->request, utc_day(now_ms), std::move(message.fd));
  if (!taken) answer_({.source = source, .request = blob->request, .blob = std::unexpected(taken.error())});
  return true;
}

Result<Private> Vault::hide(std::uint64_t source, const Actor& actor, const ipc::AuditAppend& record,
                            std::uint64_t now_ms) {
  Private hidden{.sealing = {}, .blobs = TRY(blobs_->named_by(source, record))};
  const std::uint32_t tenant = tenant_of(actor, record);
  if (tenant == 0) return hidden;
  const std::string& day = day_of(now_ms);
  hidden.sealing = {tenant, day, TRY(keys_.of(tenant, day))};
  return hidden;
}

// Kept, since it is asked for with every record.
const std::string& Vault::day_of(std::uint64_t now_ms) {
  constexpr std::uint64_t kDayMs = 86'400'000;
  if (day_.empty() || day_number_ != now_ms / kDayMs) day_ = utc_day(now_ms);
  day_number_ = now_ms / kDayMs;
  return day_;
}

}  // namespace oqto::audit
