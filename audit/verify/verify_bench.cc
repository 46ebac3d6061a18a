// bench_audit_verify [ENTRIES [BATCH]]: a full verification beside its floor: reading the segments, one leaf
// hash per entry and the tree. Turn by turn, for logs written in batches of 1, 64 and 1024; and the
// time that a proof of one entry takes with nothing of the log in the page cache.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "audit/auditd/derived.h"
#include "audit/auditd/entry.h"
#include "audit/format/epoch.h"
#include "audit/format/format.h"
#include "audit/format/tile_store.h"
#include "audit/format/tree.h"
#include "audit/read/prove.h"
#include "audit/tests/test_host.h"
#include "audit/verify/verify.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kRounds = 7;
constexpr int kProofs = 40;

std::string entry(std::uint64_t index) {
  const Actor actor{ipc::Process::runner, 7, "ann", {}, 4242, 20001};
  return encode_entry(index, 1'790'000'000'000 + index, actor,
                      record(ipc::Event::exec, ipc::Phase::intent)
                          .add(ipc::FieldKey::argv, "/usr/bin/git")
                          .add(ipc::FieldKey::argv, "commit " + std::to_string(index))
                          .add(ipc::FieldKey::cwd, "/work/project"));
}

// A log as auditd and signer write it, but without waiting for the disk.
class Writer {
 public:
  Writer(const std::string& dir, const SigningKey& key) : dir_(dir), key_(key) {
    for (const char* name : {"", "/segment", "/tile", "/tmp"}) {
      CHECK(::mkdir((dir + name).c_str(), 0700) == 0);
    }
  }

  void write(std::uint64_t entries, std::uint32_t batch) {
    while (tree_.size() < entries) {
      const auto count = static_cast<std::uint32_t>(
          std::min<std::uint64_t>(batch, entries - tree_.size()));
      append_batch(count);
      if (segment_.size() >= kMaxSegment) end_segment();
    }
    end_segment();
    DerivedFiles files(*sys::open_dir(dir_.c_str()));
    for (const TileFile& file : tiles_.take_full()) CHECK(files.write_full(file));
    CHECK(files.write_checkpoint(tiles_.partials(), note_));
  }

 private:
  std::string first_seal() {
    const Seal seal{0, 0, sha256(""), 0, epoch_.verifier(), key_.verifier()};
    const std::string body = seal_body(seal);
    return encode_entry(0, 1'790'000'000'000, {ipc::Process::auditd, 0, "", {}, 1, 1},
                        record(ipc::Event::epoch_seal)
                            .add(ipc::FieldKey::note, body + "\n" + key_.sign_line(body)));
  }

  void append_batch(std::uint32_t count) {
    const std::uint64_t first = tree_.size();
    std::string body;
    for (std::uint64_t i = first; i < first + count; ++i) {
      const std::string text = i == 0 ? first_seal() : entry(i);
      const Hash leaf = leaf_hash(text);
      append_entry(body, text);
      tree_.append(leaf);
      tiles_.append(text, leaf);
    }
    const Checkpoint checkpoint{key_.verifier().name, tree_.size(), tree_.root()};
    note_ = key_.sign(checkpoint) + epoch_.sign_line(checkpoint_body(checkpoint));
    std::string frame = encode_batch(first, count, body);
    frame.replace(frame.size() - kNoteFrame, kNoteFrame, encode_note_frame(tree_.size(), note_));
    segment_ += frame;
  }

  void end_segment() {
    if (segment_.empty()) return;
    write_file(dir_ + "/segment/" + segment_name(first_), segment_);
    segment_.clear();
    first_ = tree_.size();
  }

  std::string dir_;
  const SigningKey& key_;
  SigningKey epoch_ = SigningKey::generate(epoch_key_name(key_.verifier().name, 0));
  Tree tree_;
  Tiles tiles_;
  std::string segment_;
  std::string note_;
  std::uint64_t first_ = 0;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Of all threads: on a machine that others use as well, the honest measure of work.
double cpu_seconds() {
  timespec now{};
  CHECK(::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

struct Spent {
  std::vector<double> wall, cpu;
  template <class Work>
  void measure(Work work) {
    const double before = cpu_seconds();
    const auto start = Clock::now();
    work();
    wall.push_back(seconds_since(start));
    cpu.push_back(cpu_seconds() - before);
  }
};

// Reads the segments, hashes every entry once and builds the tree: no less can be done.
void run_floor(const std::string& dir, std::uint64_t entries) {
  Tree tree;
  const Fd log = *sys::open_dir(dir.c_str());
  for (const std::string& name : files_beneath(dir + "/segment")) {
    const std::string data = *read_log_file(log, "segment/" + name, kMaxSegment + 2 * kMaxBody);
    for (std::string_view rest = data; !rest.empty();) {
      const std::size_t length = claimed_length(rest);
      const SplitBody body = split_body(rest.substr(20, length - 20 - 32 - kNoteFrame));
      for (const std::string_view text : body.entries) tree.append(leaf_hash(text));
      rest.remove_prefix(length);
    }
  }
  CHECK(tree.size() == entries);
  (void)tree.root();
}

void run_verify(const std::string& dir, const VerifierKey& key, unsigned threads) {
  const auto report = verify_log(dir, key, {.threads = threads});
  CHECK(report);
  for (const Finding& finding : report->findings) std::fprintf(stderr, "%s: %s\n", finding.where.c_str(), finding.what.c_str());
  CHECK(report->is_clean());
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void forget_pages(const std::string& dir) {
  for (const std::string& name : files_beneath(dir)) {
    const Fd file = *sys::open_file((dir + "/" + name).c_str(), O_RDONLY);
    (void)::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
  }
}

double proof_seconds(const std::string& dir, const VerifierKey& key, std::uint64_t entries) {
  std::vector<double> times;
  for (std::uint64_t i = 0; i < kProofs; ++i) {
    forget_pages(dir + "/tile");
    const auto start = Clock::now();
    const Fd log = *sys::open_dir(dir.c_str());
    const auto tree = read_published(log, key);
    CHECK(tree && make_inclusion(log, *tree, i * 7919 % entries));
    times.push_back(seconds_since(start));
  }
  return median(times);
}

void bench(std::uint64_t entries, std::uint32_t batch) {
  const TempDir temp;
  const std::string dir = temp.path() + "/log";
  const auto key = SigningKey::generate("bench.example/log");
  Writer(dir, key).write(entries, batch);
  Spent least, one, all;
  for (int round = 0; round < kRounds; ++round) {
    least.measure([&] { run_floor(dir, entries); });
    one.measure([&] { run_verify(dir, key.verifier(), 1); });
    all.measure([&] { run_verify(dir, key.verifier(), 0); });
  }
  const double count = static_cast<double>(entries);
  std::printf(
      "batches of %4u: floor %.0f entries/s; verify with one thread %.0f/s (%.2f of it; by CPU time "
      "%.2f), with all %.0f/s (%.2f); a proof, cold: %.1f ms\n",
      batch, count / median(least.wall), count / median(one.wall),
      median(least.wall) / median(one.wall), median(least.cpu) / median(one.cpu),
      count / median(all.wall), median(least.wall) / median(all.wall),
      1000 * proof_seconds(dir, key.verifier(), entries));
}

}  // namespace
}  // namespace oqto::audit

int main(int argc, char** argv) {
  const std::uint64_t entries = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 200'000;
  if (entries == 0) {
    (void)std::fputs("usage: bench_audit_verify [ENTRIES [ENTRIES_PER_BATCH]]   (200000 by default)\n", stderr);
    return 2;
  }
  oqto::audit::prepare_hashing();
  ::setvbuf(stdout, nullptr, _IOLBF, 0);
  if (argc > 2) {
    oqto::audit::bench(entries, static_cast<std::uint32_t>(std::strtoul(argv[2], nullptr, 10)));
    return 0;
  }
  for (const std::uint32_t batch : {1024U, 64U}) oqto::audit::bench(entries, batch);
  oqto::audit::bench(entries / 16, 1);  // there, signatures are nearly all of it
  return 0;
}
