#include "storage/tenants.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/statvfs.h>

#include <algorithm>

namespace oqto::storage {
namespace {

constexpr std::uint64_t kHigh = 80;  // percent: a warning
constexpr std::uint64_t kLow = 75;   // and below this it is over

constexpr const char* kState = "state";
constexpr std::uint64_t kRound = 64 * 1024;
constexpr std::uint64_t kStateShare = 8;
constexpr Limits kLeastState{.bytes = 32 << 20, .files = 500};

std::uint64_t percent_of(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0
                    : static_cast<std::uint64_t>(static_cast<double>(part) /
                                                 static_cast<double>(whole) * 100);
}

std::uint64_t count_tenants(const Fd& dir) {
  DIR* const stream = ::fdopendir(::openat(dir.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (stream == nullptr) return 0;
  std::uint64_t count = 0;
  while (const dirent* entry = ::readdir(stream))
    count += entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
  ::closedir(stream);
  return count;
}

}  // namespace

Tenants::Space Tenants::space_of(const Fd& dir) {
  struct statvfs facts {};
  if (!dir || ::fstatvfs(dir.get(), &facts) != 0) return {};
  return {facts.f_blocks * facts.f_frsize, facts.f_bavail * facts.f_frsize, facts.f_files,
          facts.f_favail};
}

Limits Tenants::effective(Part part) const {
  if (part == Part::state) {
    const Limits work = effective(Part::work);
    return {work.bytes == 0
                ? 0
                : std::max(work.bytes / kStateShare / kRound * kRound, kLeastState.bytes),
            work.files == 0 ? 0 : std::max(work.files / kStateShare, kLeastState.files)};
  }
  const Space space = space_of(tenants_);
  const auto at_most = [](std::uint64_t wanted, std::uint64_t half) {
    return wanted == 0 || half == 0 ? wanted : std::min(wanted, half);
  };
  // In whole blocks, whatever size the file system's have: what is set is read back.
  return {at_most(wanted_.bytes, space.bytes / 2) / kRound * kRound,
          at_most(wanted_.files, space.files / 2)};
}

Status Tenants::limit(const Fd& dir, Part part, std::uint32_t account, std::uint32_t project) {
  if (kind_ == ipc::DiskLimits::none) return {};
  const Fd opened = Fd::adopt(::openat(dir.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened) return fail_errno("open of a tenant's directory");
  TRY(set_project(opened, project));
  const Limits limits = effective(part);
  TRY(set_limits(opened, project, limits));
  if (TRY(usage_of(opened, project)).limits != limits)
    return fail(Errc::io, "the file system did not keep a tenant's limits");
  projects_[{account, part}] = project;
  return {};
}

void Tenants::describe(ipc::CtlTenant& row) const {
  const auto project = projects_.find({row.account, Part::work});
  if (project == projects_.end()) return;
  const auto usage = usage_of(tenants_, project->second);
  if (!usage) return;
  row.disk_bytes = usage->used.bytes;
  row.disk_limit = usage->limits.bytes;
  row.disk_files = usage->used.files;
  row.disk_files_limit = usage->limits.files;
}

ipc::CtlStorage Tenants::status() const {
  const Space tenants = space_of(tenants_);
  const Space state = space_of(state_);
  const Limits each = effective(Part::work);
  const Limits beside = effective(Part::state);
  ipc::CtlStorage row;
  row.limits = kind_;
  row.tenant_bytes = kind_ == ipc::DiskLimits::none ? 0 : each.bytes;
  row.tenant_files = kind_ == ipc::DiskLimits::none ? 0 : each.files;
  const bool is_limited = kind_ != ipc::DiskLimits::none && each.bytes != 0;
  row.promised_bytes = is_limited ? (each.bytes + beside.bytes) * count_tenants(tenants_) : 0;
  row.tenants_bytes = tenants.bytes;
  row.tenants_free = tenants.free;
  row.state_bytes = state.bytes;
  row.state_free = state.free;
  return row;
}

std::vector<Tenants::Trouble> Tenants::look() const {
  std::vector<Trouble> found;
  const auto add = [&](std::string key, std::uint64_t used, std::uint64_t whole,
                       const std::string& what) {
    const std::uint64_t percent = percent_of(used, whole);
    found.push_back({std::move(key), what + " is " + std::to_string(percent) + " % full",
                     percent >= kHigh, percent >= kLow});
  };
  const auto disk = [&](const std::string& key, const Space& space, const std::string& what) {
    add(key, space.bytes - space.free, space.bytes, what);
    add(key + "-files", space.files - space.free_files, space.files,
        what + " (its number of files)");
  };
  disk(kState, space_of(state_), "the disk of the state directory");
  if (kind_ == ipc::DiskLimits::image) disk("tenants", space_of(tenants_), "tenants.img");
  for (const auto& [whose_part, project] : projects_) {
    const auto usage = usage_of(tenants_, project);
    if (!usage) continue;
    const bool is_state = whose_part.second == Part::state;
    const std::string number = std::to_string(whose_part.first) + (is_state ? "-state" : "");
    const std::string whose = (is_state ? "the history's share of the disk of account "
                                        : "the share of the disk of account ") +
                              std::to_string(whose_part.first);
    add(number, usage->used.bytes, usage->limits.bytes, whose);
    add(number + "-files", usage->used.files, usage->limits.files,
        whose + " (its number of files)");
  }
  return found;
}

std::vector<std::string> Tenants::troubles() const {
  std::vector<std::string> sentences;
  if (kind_ == ipc::DiskLimits::none) {
    sentences.emplace_back(
        "tenants have no limit on the disk: one can fill it for all (docs/operating.md, Disk)");
  } else if (wanted_.bytes == 0 || wanted_.files == 0) {
    sentences.emplace_back(
        "oqto.conf gives tenants no limit of bytes or of files: one can fill the disk for all");
  }
  for (const Trouble& trouble : look()) {
    if (trouble.holds && !trouble.key.starts_with(kState)) sentences.push_back(trouble.text);
  }
  return sentences;
}

std::vector<std::string> Tenants::news(std::uint64_t now_ms) {
  std::vector<std::string> sentences;
  if (looked_ms_ != 0 && now_ms - looked_ms_ < kLookEveryMs) return sentences;
  looked_ms_ = now_ms;
  for (const Trouble& trouble : look()) {
    bool& said = said_[trouble.key];
    if (trouble.holds && !said) sentences.push_back(trouble.text);
    if (trouble.holds) said = true;
    if (!trouble.lingers) said = false;
  }
  return sentences;
}

}  // namespace oqto::storage
