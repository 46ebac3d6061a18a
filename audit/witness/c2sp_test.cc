// The witness and its client, and a log of ours, against a witness, a client and a verifier that were written
// from C2SP's texts alone (audit/tests/c2sp.py).
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "audit/tests/test_log.h"
#include "audit/witness/test_witness.h"

namespace oqto::audit {
namespace {

namespace fs = std::filesystem;

std::string c2sp(const std::string& arguments) {
  return std::string("python3 " OQTO_C2SP " ") + arguments;
}

std::string line_of(const std::string& text, int number) {
  std::string_view rest = text;
  for (int i = 0; i < number; ++i) rest.remove_prefix(std::min(rest.size(), rest.find('\n') + 1));
  return std::string(first_line(rest));
}

// Their witness, for one log.
class TheirWitness {
 public:
  TheirWitness(const std::string& dir, const std::string& vkey) {
    const std::string out = dir + "/their.out";
    const Output started = run(c2sp("witness " + dir + "/their.state witness.example/theirs " + vkey + " > " +
                                    out + " 2>&1 & echo $!"));
    pid_ = std::stoi(started.out);
    while (std::ranges::count(read_file(out), '\n') < 2 && ::kill(pid_, 0) == 0) ::usleep(20'000);
    vkey_ = line_of(read_file(out), 0);
    url_ = line_of(read_file(out), 1);
  }
  ~TheirWitness() { (void)::kill(pid_, SIGTERM); }
  TheirWitness(const TheirWitness&) = delete;
  TheirWitness& operator=(const TheirWitness&) = delete;

  [[nodiscard]] Output submit(const std::string& log, const std::string& log_vkey, const std::string& out) const {
    return run(oqto_audit("witness submit --url " + url_ + " --witness " + vkey_ + " --log " + log + " --vkey " +
                          log_vkey + " --out " + out));
  }
  [[nodiscard]] const std::string& vkey() const { return vkey_; }

 private:
  pid_t pid_ = -1;
  std::string vkey_, url_;
};

TEST(C2sp, OurWitnessAnswersEveryCaseAsTheTextSays) {
  TempDir dir;
  const std::string vkey = line_of(run(c2sp("log-vkey log.example/small")).out, 0);
  const Served served(dir.path(), {vkey});
  const Output checked =
      run(c2sp("check-witness " + served.url() + " " + served.vkey_file() + " log.example/small"));
  EXPECT_EQ(checked.status, 0) << checked.out;
}

TEST(C2sp, TheCasesTellTheirWitnessFromOneThatIsWrong) {
  TempDir dir;
  const std::string vkey = line_of(run(c2sp("log-vkey log.example/small")).out, 0);
  const Served other(dir.path(), {line_of(run(c2sp("log-vkey log.example/other")).out, 0)});
  const Output checked = run(c2sp("check-witness " + other.url() + " " + other.vkey_file() + " log.example/small"));
  EXPECT_EQ(checked.status, 1) << "it does not know this log";
  EXPECT_TRUE(contains(checked.out, "a first tree: 404")) << checked.out;
}

TEST(C2sp, TheirWitnessCosignsOurLogAndVerifyDemandsIt) {
  TempDir dir;
  const auto log = TestLog::write("60000", 300);
  const TheirWitness witness(dir.path(), log->vkey_file());
  const std::string out = dir.path() + "/cosigned";
  for (const std::string& part : {log->older_dir(), log->dir(), log->dir()}) {
    const Output submitted = witness.submit(part, log->vkey_file(), out);
    EXPECT_EQ(submitted.status, 0) << submitted.out;
  }
  const Output verified = run(oqto_audit("verify --log " + log->dir() + " --vkey " + log->vkey_file() +
                                         " --cosigned " + out + " --witness " + witness.vkey()));
  EXPECT_EQ(verified.status, 0) << verified.out;
  // It remembers more than an older copy has, and shows what.
  const Output older = witness.submit(log->older_dir(), log->vkey_file(), dir.path() + "/none");
  EXPECT_EQ(older.status, 1) << older.out;
  EXPECT_TRUE(contains(older.out, "it was cut back, or is an older copy")) << older.out;
  EXPECT_TRUE(contains(older.out, "\n  | " + std::to_string(log->size()) + "\n")) << older.out;
}

// Each checkpoint that was published is checked with its own half full tiles, which C2SP wants to be there.
TEST(C2sp, TheirVerifierChecksEveryCheckpointThatWasEverPublished) {
  TempDir dir;
  TestHost host;
  ASSERT_TRUE(host.start());
  auto client = host.client();
  std::string kept;
  const std::string path = host.log_dir() + "/checkpoint";
  for (int i = 0; i < 20; ++i) {
    const std::string before = read_file(path);
    ASSERT_TRUE(client.append(record(ipc::Event::exec)));
    while (read_file(path) == before) ::usleep(10'000);
    write_file(dir.path() + "/" + std::to_string(i), read_file(path));
    kept += " " + dir.path() + "/" + std::to_string(i);
  }
  host.stop();
  const Output verified = run(c2sp("verify " + host.log_dir() + " " + host.key_dir() + "/log.vkey" + kept));
  EXPECT_EQ(verified.status, 0) << verified.out;
  fs::remove_all(host.log_dir() + "/tile/0/000.p/5");
  EXPECT_EQ(run(c2sp("verify " + host.log_dir() + " " + host.key_dir() + "/log.vkey" + kept)).status, 1)
      << "a tile of one of them is not there";
}

}  // namespace
}  // namespace oqto::audit
