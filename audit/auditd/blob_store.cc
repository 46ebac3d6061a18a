#include "audit/auditd/blob_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/encoding.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr const char* kNewBlob = "blob/new";

// Nobody can change it any more, nor cut it off under our reading. Its size.
Result<std::uint64_t> sealed_size(const Fd& file) {
  constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
  const int seals = ::fcntl(file.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) {
    return fail(Errc::invalid, "a blob is a memory file, sealed against writing, shrinking and growing");
  }
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0) return fail_errno("fstat of a blob");
  const auto size = static_cast<std::uint64_t>(facts.st_size);
  if (size > ipc::kMaxBlobBytes) return fail(Errc::limit, "a blob has at most 64 MiB");
  return size;
}

Result<std::string> read_sealed(const Fd& file, std::uint64_t size) {
  std::string content(size, '\0');
  std::size_t at = 0;
  while (at < content.size()) {
    const ssize_t n = ::pread(file.get(), content.data() + at, content.size() - at,
                              static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail(Errc::io, "a blob cannot be read to its end");
    at += static_cast<std::size_t>(n);
  }
  return content;
}

Status make_dir(const Fd& log, const std::string& path) {
  if (::mkdirat(log.get(), path.c_str(), kSharedDir) == 0 || errno == EEXIST) return {};
  return fail_errno("a blob directory cannot be made");
}

Status sync_dir(const Fd& log, const std::string& path) {
  const Fd dir = TRY(sys::open_beneath(log, path.c_str(), O_RDONLY | O_DIRECTORY));
  if (::fsync(dir.get()) != 0) return fail_errno("fsync of a blob directory");
  return {};
}

Status write_durably(const Fd& log, const std::string& path, std::string_view bytes) {
  const std::string parent = path.substr(0, path.rfind('/'));
  TRY(make_dir(log, parent));
  TRY(sync_dir(log, kBlobDir));
  {
    const Fd file = TRY(sys::open_beneath(log, kNewBlob, O_WRONLY | O_CREAT | O_TRUNC, kSharedFile));
    const Status written = sys::write_all(file, bytes);
    if (!written || ::fdatasync(file.get()) != 0) {
      (void)::unlinkat(log.get(), kNewBlob, 0);
      return fail(Errc::limit, "a blob cannot be written: is the disk full?");
    }
  }
  if (::renameat(log.get(), kNewBlob, log.get(), path.c_str()) != 0) return fail_errno("renameat");
  return sync_dir(log, parent);
}

bool is_blob_key(ipc::FieldKey key) {
  return field_name(key).ends_with("_blob");
}

}  // namespace

Result<std::unique_ptr<BlobStore>> BlobStore::start(const Fd& log, TenantKeys& keys, Options options) {
  TRY(make_dir(log, kBlobDir));
  TRY(sync_dir(log, "."));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return fail_errno("pipe2");
  auto store = std::unique_ptr<BlobStore>(new BlobStore(log, keys, options, Fd::adopt(ends[0])));
  store->wake_ = Fd::adopt(ends[1]);
  store->thread_ = std::thread([&self = *store] { self.work(); });
  return store;
}

BlobStore::~BlobStore() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

// --- the thread of auditd ---

Status BlobStore::admit(const Asker& asker, const std::string& day, std::uint64_t size) {
  struct statfs disk {};
  if (::fstatfs(log_.get(), &disk) != 0) return fail_errno("fstatfs of the log");
  const auto block = static_cast<std::uint64_t>(disk.f_bsize);
  const std::uint64_t reserve = std::min<std::uint64_t>(kReserve, disk.f_blocks * block / 16);
  if (disk.f_bavail * block < size + reserve) {
    return fail(Errc::limit, "the audit log's disk has no room for blobs");
  }
  return asker.is_guard ? Status() : charge(asker.tenant, day, size);
}

Status BlobStore::charge(std::uint32_t tenant, const std::string& day, std::uint64_t size) {
  const auto waiting = waiting_.find(tenant);
  if (waiting != waiting_.end() && waiting->second >= kMaxWaitingPerTenant) {
    return fail(Errc::limit, "too many blobs of this tenant are waiting: try again");
  }
  {
    const std::lock_guard lock(mutex_);
    if (jobs_.size() >= kMaxWaiting) return fail(Errc::limit, "too many blobs are waiting");
  }
  Spent& spent = spent_[tenant];
  if (spent.day != day) spent = {day, 0};
  if (size > options_.bytes_per_tenant_and_day - std::min(options_.bytes_per_tenant_and_day, spent.bytes)) {
    return fail(Errc::limit, "this tenant's audit blobs of today are as many bytes as it may store");
  }
  spent.bytes += size;
  ++waiting_[tenant];
  return {};
}

Status BlobStore::put(const Asker& asker, std::uint64_t request, std::string day, Fd file) {
  const std::uint64_t size = TRY(sealed_size(file));
  const DayKey key = TRY(keys_.of(asker.tenant, day));
  TRY(admit(asker, day, size));
  nameable_.try_emplace(asker.source);
  {
    const std::lock_guard lock(mutex_);
    const auto tenants = std::ranges::find(jobs_, false, [](const Job& job) { return job.asker.is_guard; });
    jobs_.insert(asker.is_guard ? tenants : jobs_.end(),
                 Job{.asker = asker, .request = request, .size = size,
                     .what = {.tenant = asker.tenant, .day = std::move(day)}, .key = key,
                     .file = std::move(file)});
  }
  changed_.notify_one();
  return {};
}

std::vector<BlobStore::Done> BlobStore::take_done() {
  char drained[64];
  while (::read(ready_.get(), drained, sizeof drained) > 0) {
  }
  std::vector<Done> done;
  {
    const std::lock_guard lock(mutex_);
    done = std::exchange(done_, {});
  }
  for (const Done& one : done) {
    const auto waiting = waiting_.find(one.tenant);
    if (!one.is_guards && waiting != waiting_.end() && --waiting->second == 0) waiting_.erase(waiting);
    const auto nameable = nameable_.find(one.source);
    if (!one.blob || nameable == nameable_.end()) continue;  // forgotten
    nameable->second.push_back(*one.blob);
    if (nameable->second.size() > kMaxNameable) nameable->second.pop_front();
  }
  return done;
}

Result<std::vector<StoredBlob>> BlobStore::named_by(std::uint64_t source,
                                                    const ipc::AuditAppend& record) const {
  std::vector<StoredBlob> blobs;
  for (const ipc::AuditField& field : record.list) {
    if (!is_blob_key(field.key)) continue;
    const auto own = nameable_.find(source);
    if (own == nameable_.end()) return fail(Errc::denied, "it names a blob that it did not store");
    const auto found = std::ranges::find(own->second, field.value, &StoredBlob::sha256);
    if (found == own->second.end()) return fail(Errc::denied, "it names a blob that it did not store");
    blobs.push_back(*found);
  }
  return blobs;
}

void BlobStore::forget(std::uint64_t source) {
  nameable_.erase(source);
}

// --- the thread of its own ---

Result<StoredBlob> BlobStore::store(const Job& job, Hash& name) const {
  const std::string content = TRY(read_sealed(job.file, job.size));
  const SealedBlob sealed = seal_blob(job.key, job.what, content);
  name = sha256(sealed.stored);
  StoredBlob blob{to_hex(name), job.size, to_hex(sealed.commitment), job.what.tenant, job.what.day};
  TRY(write_durably(log_, blob_path(blob.sha256), sealed.stored));
  return blob;
}

void BlobStore::work() {
  for (;;) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (stopping_) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    Hash name{};
    Done done{.source = job.asker.source, .request = job.request, .tenant = job.asker.tenant,
              .is_guards = job.asker.is_guard, .blob = store(job, name)};
    done.name = name;
    {
      const std::lock_guard lock(mutex_);
      done_.push_back(std::move(done));
    }
    (void)!::write(wake_.get(), "", 1);
  }
}

}  // namespace oqto::audit
