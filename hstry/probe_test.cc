// Whether the history could be written now.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "hstry/store.h"

namespace oqto::hstry {
namespace {

TEST(HstryProbe, WritesAndFailsWhereNothingCanBeWritten) {
  std::string dir = (std::filesystem::temp_directory_path() / "hstry-XXXXXX").string();
  ASSERT_NE(::mkdtemp(dir.data()), nullptr);
  const pid_t pid = ::fork();
  if (pid == 0) {
    const auto store = Store::open(dir);
    if (!store || !(*store)->probe()) ::_exit(1);
    const auto wal = std::filesystem::file_size(dir + "/hstry.db-wal");
    if (!(*store)->probe() || std::filesystem::file_size(dir + "/hstry.db-wal") <= wal) ::_exit(2);
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit full{0, RLIM_INFINITY};
    if (::setrlimit(RLIMIT_FSIZE, &full) != 0 || (*store)->probe()) ::_exit(3);
    const rlimit roomy{RLIM_INFINITY, RLIM_INFINITY};
    ::_exit(::setrlimit(RLIMIT_FSIZE, &roomy) == 0 && (*store)->probe() ? 0 : 4);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0)
      << "1: not at all; 2: nothing was written; 3: on a full disk; 4: not again";
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace oqto::hstry
