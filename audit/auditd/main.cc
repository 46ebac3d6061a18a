// oqto-auditd: the only writer of the audit log. It cannot sign: it asks oqto-audit-signer.
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <filesystem>

#include "audit/auditd/server.h"
#include "audit/format/format.h"
#include "base/log.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr const char* kUsage =
    "usage: oqto-auditd --log-dir PATH [--segment-bytes N] [--blob-bytes N]\n"
    "                   [--tenant-bytes N] [--tenant-records N]\n"
    "Keeps the audit log in PATH. Started by oqto-guard: descriptor 3 is its channel to the "
    "guard,\n"
    "descriptor 5 the channel to oqto-audit-signer.\n"
    "  --log-dir PATH      an existing directory that belongs to this process's user\n"
    "  --segment-bytes N   begin a new segment file after N bytes (default 67108864)\n"
    "  --blob-bytes N      what one tenant may store in blobs in one day (default 1073741824)\n"
    "  --tenant-bytes N    what one tenant may put into the log in one day (UTC; default 268435456):\n"
    "                      from the half of it on its records are taken slowly, beyond it refused\n"
    "  --tenant-records N  the same, in records (default 500000)\n";

struct Arguments {
  std::string log_dir;
  Log::Options options;
  BlobStore::Options blobs;
  Budget::Limits budget;
};

[[noreturn]] void usage(std::FILE* out, int status) {
  (void)std::fputs(kUsage, out);
  std::exit(status);
}

Arguments read_arguments(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--help") usage(stdout, 0);
    if (i + 1 == argc) usage(stderr, 2);
    const std::string_view value = argv[++i];
    if (flag == "--log-dir") {
      arguments.log_dir = value;
    } else if (flag == "--segment-bytes") {
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(),
                                                arguments.options.segment_bytes);
      if (error != std::errc{} || end != value.data() + value.size() ||
          arguments.options.segment_bytes == 0 || arguments.options.segment_bytes > kMaxSegment) {
        usage(stderr, 2);
      }
    } else if (flag == "--blob-bytes") {
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(),
                                                arguments.blobs.bytes_per_tenant_and_day);
      if (error != std::errc{} || end != value.data() + value.size()) usage(stderr, 2);
    } else if (flag == "--tenant-bytes" || flag == "--tenant-records") {
      auto& limit = flag == "--tenant-bytes" ? arguments.budget.bytes : arguments.budget.records;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), limit);
      if (error != std::errc{} || end != value.data() + value.size() || limit == 0) usage(stderr, 2);
    } else {
      usage(stderr, 2);
    }
  }
  if (arguments.log_dir.empty()) usage(stderr, 2);
  return arguments;
}

// Until there was an auditor, everything was for this user alone. The segments' directory comes last:
// once it is readable, all of it is.
Status share_with_group(const std::string& log_dir) {
  namespace fs = std::filesystem;
  const fs::path segments = fs::path(log_dir) / kSegmentDir;
  struct stat info {};
  if (::stat(segments.c_str(), &info) != 0 || (info.st_mode & 0040) != 0) return {};
  std::error_code error;
  for (auto entry = fs::recursive_directory_iterator(log_dir, error); !error && entry != fs::end(entry);
       entry.increment(error)) {
    if (entry->path() == segments || entry->is_symlink(error)) continue;
    const mode_t mode = entry->is_directory(error) ? kSharedDir : kSharedFile;
    if (::chmod(entry->path().c_str(), mode) != 0) return fail_errno("chmod in the log directory");
  }
  if (error) return fail(Errc::io, "the log directory cannot be listed");
  if (::chmod(segments.c_str(), kSharedDir) != 0) return fail_errno("chmod in the log directory");
  return {};
}

Status run(int argc, char** argv) {
  // --- nothing read yet ---
  TRY(sys::close_from(ipc::kFirstExtraFd));
  const Arguments arguments = read_arguments(argc, argv);
  TRY(sys::adopt_inherited(ipc::kGuardFd, ipc::kFirstExtraFd - ipc::kGuardFd));
  ipc::Channel guard(Fd::adopt(ipc::kGuardFd));
  ipc::Channel signer(Fd::adopt(ipc::kPeerFd));
  ::umask(027);
  ::signal(SIGXFSZ, SIG_IGN);  // a file size limit is an error of the write, as a full disk is
  ::signal(SIGINT, SIG_IGN);   // Ctrl-C is the guard's to handle: the others still have to report
  Fd signals = TRY(ipc::signal_fd({SIGTERM}));
  ipc::Loop loop = TRY(ipc::Loop::create());
  // Everybody waits for this process. Best effort: needs a privilege that it may not have been
  // given.
  (void)::setpriority(PRIO_PROCESS, 0, -15);
  prepare_hashing();
  const std::string boot_id = sys::boot_id();
  TRY(share_with_group(arguments.log_dir));
  // --- sealed: reads and writes beneath the log directory; no program, no socket ---
  const auto sealed =
      TRY(sandbox::seal({.sets = {"io", "memory", "clock", "exit", "threads", "files-read", "files-write"},
                         .also = {"setpriority"},  // of the thread that nobody waits for
                         .write_beneath = {arguments.log_dir}}));
  Log log = TRY(Log::open(arguments.log_dir, arguments.options));
  Server server(sealed, std::move(loop), std::move(guard), std::move(signals), std::move(log),
                boot_id, arguments.blobs, arguments.budget);
  return server.serve(std::move(signer));
}

}  // namespace
}  // namespace oqto::audit

int main(int argc, char** argv) {
  oqto::log::set_process_name("auditd");
  return oqto::log::exit_status(oqto::audit::run(argc, argv));
}
