// oqto-storage: what holds tenants to their share of the disk, put in place before the host serves.
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/log.h"
#include "storage/prepare.h"
#include "storage/tenants.h"

namespace oqto::storage {

Result<ipc::DiskLimits> prepare(const Plan& plan) {
  const std::string tenants = plan.state + "/tenants";
  const bool has_image = ::access((plan.state + "/tenants.img").c_str(), F_OK) == 0;
  if (!has_image) {
    const Status tried = try_limits(tenants, plan.probe_uid);
    if (tried) {
      TRY(adopt_tenants(tenants, plan.first_uid));
      return ipc::DiskLimits::file_system;
    }
    if (tried.error().code != Errc::not_found) return std::unexpected(tried.error());
    if (plan.image_bytes == 0) {
      log::warn("tenants have no limit on the disk",
                {{"why", tried.error().what}, {"do", "docs/operating.md, Disk"}});
      return ipc::DiskLimits::none;
    }
  }
  TRY(mount_image(plan));
  TRY(try_limits(tenants, plan.probe_uid));  // what was asked for has to hold
  TRY(adopt_tenants(tenants, plan.first_uid));
  return ipc::DiskLimits::image;
}

namespace {

constexpr const char* kUsage =
    "usage: oqto-storage --state DIR --probe-uid N --first-uid N [--image-bytes N]\n"
    "Started by oqto-guard, in its mount namespace, before anything else runs. Finds out whether "
    "the file\n"
    "system of DIR/tenants holds tenants to limits (project quota), by trying it; else, with "
    "--image-bytes,\n"
    "makes or mounts DIR/tenants.img over DIR/tenants. Exit status: 10 none, 11 the file system, "
    "12 the image.\n";

[[noreturn]] void usage(std::FILE* out, int status) {
  (void)std::fputs(kUsage, out);
  std::exit(status);
}

template <class Number>
void read_number(Number& target, std::string_view text) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), target);
  if (error != std::errc() || end != text.data() + text.size()) usage(stderr, 2);
}

int run(int argc, char** argv) {
  Plan plan;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--help") usage(stdout, 0);
    if (i + 1 == argc) usage(stderr, 2);
    const std::string_view value = argv[++i];
    if (flag == "--state") {
      plan.state = value;
    } else if (flag == "--probe-uid") {
      read_number(plan.probe_uid, value);
    } else if (flag == "--first-uid") {
      read_number(plan.first_uid, value);
    } else if (flag == "--image-bytes") {
      read_number(plan.image_bytes, value);
    } else {
      usage(stderr, 2);
    }
  }
  if (!plan.state.starts_with('/') || plan.probe_uid == 0 || plan.first_uid == 0) usage(stderr, 2);
  const auto kind = prepare(plan);
  if (!kind) return log::exit_status(std::unexpected(kind.error()));
  return kExitBase + static_cast<int>(*kind);
}

}  // namespace
}  // namespace oqto::storage

int main(int argc, char** argv) {
  oqto::log::set_process_name("storage");
  return oqto::storage::run(argc, argv);
}
