// The blobs of the log, as auditd writes them:
//
//   blob/<2 hex>/<64 hex>   named by the SHA-256 of its bytes, which only the tenant's key of the day opens
//   blob/new                unfinished, without meaning
//
// A thread of its own encrypts, writes and syncs, so that nobody's record waits for somebody's blob.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "audit/auditd/entry.h"
#include "audit/format/format.h"
#include "audit/format/tenant_keys.h"
#include "base/fd.h"

namespace oqto::audit {

class BlobStore {
 public:
  struct Options {
    std::uint64_t bytes_per_tenant_and_day = std::uint64_t{1} << 30;  // since auditd's start
  };
  struct Done {
    std::uint64_t source = 0;
    std::uint64_t request = 0;
    std::uint32_t tenant = 0;
    bool is_guards = false;
    Result<StoredBlob> blob;
    Hash name{};
  };

  // Starts the thread; call after sealing, so that it is sealed too. `log` must outlive it.
  static Result<std::unique_ptr<BlobStore>> start(const Fd& log, TenantKeys& keys, Options options);
  ~BlobStore();
  BlobStore(const BlobStore&) = delete;
  BlobStore& operator=(const BlobStore&) = delete;

  // Who asks: what a tenant has its processes store is bounded, and waits for what the guard stores
  // about its sessions.
  struct Asker {
    std::uint64_t source = 0;
    std::uint32_t tenant = 0;
    bool is_guard = false;
  };
  // Takes a sealed memfd for writing; an error says why not, and nothing follows. Otherwise
  // take_done() has it later.
  Status put(const Asker& asker, std::uint64_t request, std::string day, Fd file);
  [[nodiscard]] const Fd& ready() const { return ready_; }  // readable: something is done
  std::vector<Done> take_done();

  // Those that `record` names; Errc::denied if this source did not store one of them.
  Result<std::vector<StoredBlob>> named_by(std::uint64_t source, const ipc::AuditAppend& record) const;
  void forget(std::uint64_t source);

 private:
  struct Job {
    Asker asker;
    std::uint64_t request = 0;
    std::uint64_t size = 0;
    SealedFor what;
    DayKey key{};
    Fd file;
  };
  struct Spent {
    std::string day;
    std::uint64_t bytes = 0;
  };
  static constexpr std::size_t kMaxWaiting = 1024;  // jobs, of all tenants
  static constexpr std::size_t kMaxWaitingPerTenant = 16;
  static constexpr std::size_t kMaxNameable = 64;         // per source: the newest
  static constexpr std::uint64_t kReserve = std::uint64_t{64} << 20;  // of the disk, for entries

  BlobStore(const Fd& log, TenantKeys& keys, Options options, Fd ready)
      : log_(log), keys_(keys), options_(options), ready_(std::move(ready)) {}
  Status admit(const Asker& asker, const std::string& day, std::uint64_t size);
  Status charge(std::uint32_t tenant, const std::string& day, std::uint64_t size);
  void work();
  Result<StoredBlob> store(const Job& job, Hash& name) const;

  const Fd& log_;
  TenantKeys& keys_;
  const Options options_;
  const Fd ready_;
  Fd wake_;
  std::map<std::uint32_t, Spent> spent_;
  std::map<std::uint32_t, std::size_t> waiting_;  // jobs by tenant, without the guard's
  std::map<std::uint64_t, std::deque<StoredBlob>> nameable_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::vector<Done> done_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace oqto::audit
