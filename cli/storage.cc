#include "cli/storage.h"

#include "cli/table.h"

namespace oqto::cli {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr std::uint64_t kHigh = 80;  // percent

std::string mib(std::uint64_t bytes) {
  return std::to_string(bytes / kMiB) + " MiB";
}

bool is_high(std::uint64_t used, std::uint64_t whole) {
  return whole != 0 && static_cast<double>(used) * 100 >= static_cast<double>(whole) * kHigh;
}

std::string of(std::uint64_t used, std::uint64_t limit, std::uint64_t unit) {
  if (limit == 0) return std::to_string(used / unit) + ", no limit";
  return std::to_string(used / unit) + " of " + std::to_string(limit / unit) +
         (is_high(used, limit) ? " (!)" : "");
}

std::string limit_sentence(const ipc::CtlStorage& row) {
  if (row.limits == ipc::DiskLimits::none) {
    return "Tenants are NOT limited on the disk: one can fill it for all others "
           "(docs/operating.md, Disk).";
  }
  const std::string where =
      row.limits == ipc::DiskLimits::image ? "in tenants.img" : "by the file system";
  const std::string bytes =
      row.tenant_bytes == 0 ? "NO limit of bytes" : "at most " + mib(row.tenant_bytes);
  const std::string files =
      row.tenant_files == 0 ? "NO limit of files" : std::to_string(row.tenant_files) + " files";
  std::string text = "Each tenant has " + bytes + " and " + files + ", held to it " + where + ".";
  if (row.promised_bytes > row.tenants_bytes) {
    text += " Together they may have " + mib(row.promised_bytes) + ", more than there is.";
  }
  return text;
}

}  // namespace

std::string_view limits_name(ipc::DiskLimits limits) {
  switch (limits) {
    case ipc::DiskLimits::file_system:
      return "file_system";
    case ipc::DiskLimits::image:
      return "image";
    default:
      return "none";
  }
}

std::string storage_text(const HostStatus& status) {
  if (!status.storage) return "";
  const ipc::CtlStorage& disk = *status.storage;
  std::string text = "\nDISK\n" + limit_sentence(disk) +
                     "\nState directory: " + mib(disk.state_free) + " free of " +
                     mib(disk.state_bytes) +
                     (is_high(disk.state_bytes - disk.state_free, disk.state_bytes) ? " (!)" : "");
  if (disk.limits == ipc::DiskLimits::image)
    text += "; tenants.img: " + mib(disk.tenants_free) + " free of " + mib(disk.tenants_bytes);
  text += ".\n";
  std::vector<Row> rows{{"TENANT", "DISK MIB", "FILES"}};
  for (const auto& row : status.tenants) {
    if (row.disk_limit == 0 && row.disk_files_limit == 0) continue;
    rows.push_back({std::to_string(row.account), of(row.disk_bytes, row.disk_limit, kMiB),
                    of(row.disk_files, row.disk_files_limit, 1)});
  }
  return rows.size() == 1 ? text : text + table(rows);
}

}  // namespace oqto::cli
