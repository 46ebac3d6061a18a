// The child that parses: policy text may come with a project from anywhere.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "base/sys.h"
#include "ipc/wire.h"
#include "sandbox/seal.h"
#include "sandbox_cli/policy_files.h"

namespace oqto::sandbox_cli {
namespace {

constexpr std::size_t kMaxOrigins = 1024;
constexpr std::size_t kMaxKey = 64;
constexpr std::size_t kMaxError = 2048;
constexpr std::size_t kMaxNotes = 64;
constexpr std::size_t kMaxNote = 256;
constexpr std::size_t kMaxReply = 512 * 1024;  // encoded, of one file
constexpr std::uint64_t kParseMs = 5000;
constexpr rlim_t kParserMemory = 512UL * 1024 * 1024;
constexpr rlim_t kParserSeconds = 4;

// What the child says of one file.
struct Reply {
  ipc::LongText<kMaxError> error;  // empty: it is in order
  sandbox::Policy policy;
  sandbox::HostPolicies profiles;
  ipc::TextList<kMaxOrigins, kMaxKey> keys;
  ipc::TextList<kMaxOrigins, sandbox::kMaxPolicyItem> items;
  ipc::TextList<kMaxOrigins, 20> lines;
  ipc::TextList<kMaxNotes, kMaxNote> notes;  // "LINE: WHAT"

  bool fields(auto& io) {
    if (!io(error)) return false;
    if (!error.value.empty()) return true;
    for (sandbox::Policy& each : profiles) {
      if (!each.fields(io)) return false;
    }
    return policy.fields(io) && io(keys, items, lines, notes) &&
           keys.values.size() == items.values.size() && keys.values.size() == lines.values.size();
  }
};

std::expected<sandbox::ParsedPolicy, std::string> parse(const std::string& text,
                                                        const PolicyRequest& request,
                                                        Reply& reply) {
  if (request.context.source == sandbox::PolicySource::host) {
    for (std::size_t i = 0; i < reply.profiles.size(); ++i) {
      const auto name = sandbox::profile_name(static_cast<ipc::Profile>(i));
      reply.profiles[i] = TRY(sandbox::parse_policy(text, request.context, name)).policy;
    }
  } else {
    reply.profiles = sandbox::built_in_policies();
  }
  return sandbox::parse_policy(text, request.context, request.profile);
}

Reply answer(const PolicyRequest& request) {
  Reply reply;
  std::string text;
  const auto say = [&reply](std::string why) {
    reply.error.value = why.substr(0, kMaxError);
    if (reply.error.value.empty()) reply.error.value = "the policy cannot be read";
    return reply;
  };
  if (request.file != nullptr) {
    auto read = sys::read_all(request.file->fd, sandbox::kMaxPolicyBytes);
    if (!read) return say(request.file->path + ": cannot be read: " + read.error().what);
    text = std::move(*read);
  }
  auto parsed = parse(text, request, reply);
  if (!parsed) return say(parsed.error());
  reply.policy = std::move(parsed->policy);
  for (sandbox::PolicyOrigin& origin : parsed->origins) {
    if (reply.keys.values.size() == kMaxOrigins) break;
    reply.keys.values.push_back(origin.key.substr(0, kMaxKey));
    reply.items.values.push_back(origin.item.substr(0, sandbox::kMaxPolicyItem));
    reply.lines.values.push_back(std::to_string(origin.line));
  }
  for (const sandbox::PolicyNote& note : parsed->notes) {
    if (reply.notes.values.size() == kMaxNotes) break;
    reply.notes.values.push_back((std::to_string(note.line) + ": " + note.what).substr(0, kMaxNote));
  }
  return reply;
}

Outcome<ParsedFile> understand(Reply reply, const PolicyRequest& request) {
  if (!reply.error.value.empty()) return std::unexpected(std::move(reply.error.value));
  ParsedFile file{request.file == nullptr ? "" : request.file->path, {}, reply.profiles, {}};
  file.parsed.policy = std::move(reply.policy);
  for (std::size_t i = 0; i < reply.keys.values.size(); ++i) {
    file.parsed.origins.push_back(
        {reply.keys.values[i], reply.items.values[i],
         static_cast<std::size_t>(::strtoull(reply.lines.values[i].c_str(), nullptr, 10))});
  }
  for (const std::string& note : reply.notes.values) file.notes.push_back(file.path + ':' + note);
  return file;
}

// Every reply is preceded by its length.
Status send_reply(const Fd& to, Reply reply) {
  ipc::Writer writer;
  (void)reply.fields(writer);
  const auto bytes = writer.take();
  const auto length = static_cast<std::uint32_t>(bytes.size());
  TRY(sys::write_all(to, std::as_bytes(std::span(&length, 1))));
  return sys::write_all(to, bytes);
}

// Nothing stays open but the files and the way back: not even the terminal.
Status keep_only(const std::vector<PolicyRequest>& requests, const Fd& to) {
  const Fd null = TRY(sys::open_file("/dev/null", O_RDWR));
  for (int number = 0; number <= 2; ++number) {
    if (::dup2(null.get(), number) < 0) return fail_errno("dup2");
  }
  std::set<unsigned> kept = {static_cast<unsigned>(to.get())};
  for (const PolicyRequest& request : requests) {
    if (request.file != nullptr) kept.insert(static_cast<unsigned>(request.file->fd.get()));
  }
  unsigned next = 3;
  for (const unsigned number : kept) {
    if (number > next && ::close_range(next, number - 1, 0) != 0) return fail_errno("close_range");
    next = number + 1;
  }
  return sys::close_from(static_cast<int>(next));
}

[[noreturn]] void be_parser(const std::vector<PolicyRequest>& requests, const Fd& to) {
  const auto work = [&]() -> Status {
    // --- nothing read yet ---
    TRY(keep_only(requests, to));
    const rlimit memory{kParserMemory, kParserMemory}, time{kParserSeconds, kParserSeconds};
    if (::setrlimit(RLIMIT_AS, &memory) != 0 || ::setrlimit(RLIMIT_CPU, &time) != 0) {
      return fail_errno("setrlimit");
    }
    TRY(sandbox::seal({.sets = {"io", "memory", "clock", "exit"}, .also = {}}));
    // --- sealed: text that may be anybody's ---
    for (const PolicyRequest& request : requests) TRY(send_reply(to, answer(request)));
    return {};
  };
  ::_exit(work() ? 0 : 1);
}

class ReplyReader {
 public:
  ReplyReader(const Fd& from, std::uint64_t deadline) : from_(from), deadline_(deadline) {}

  Result<Reply> next() {
    std::uint32_t length = 0;
    TRY(fill(std::as_writable_bytes(std::span(&length, 1))));
    if (length > kMaxReply) return fail(Errc::bad_message, "too long");
    std::vector<std::byte> bytes(length);
    TRY(fill(bytes));
    ipc::Reader reader(bytes);
    Reply reply;
    if (!reply.fields(reader) || !reader.at_end()) return fail(Errc::bad_message, "malformed");
    return reply;
  }

 private:
  Status fill(std::span<std::byte> bytes) {
    while (!bytes.empty()) {
      const std::uint64_t now = sys::monotonic_ms();
      if (now >= deadline_) return fail(Errc::limit, "took too long");
      pollfd entry{from_.get(), POLLIN, 0};
      if (::poll(&entry, 1, static_cast<int>(deadline_ - now)) <= 0) continue;
      const ssize_t n = ::read(from_.get(), bytes.data(), bytes.size());
      if (n <= 0) return fail(Errc::unavailable, "ended");
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return {};
  }
  const Fd& from_;
  std::uint64_t deadline_;
};

std::string name_of(const PolicyRequest& request) {
  return request.file == nullptr ? "the built-in policy" : request.file->path;
}

Outcome<std::vector<ParsedFile>> collect(const std::vector<PolicyRequest>& requests,
                                         const Fd& from) {
  std::vector<ParsedFile> files;
  ReplyReader reader(from, sys::monotonic_ms() + kParseMs);
  for (const PolicyRequest& request : requests) {
    auto reply = reader.next();
    if (!reply) {
      return std::unexpected(name_of(request) + ": the parser of policies " + reply.error().what +
                             " before it had read this one");
    }
    files.push_back(TRY(understand(std::move(*reply), request)));
  }
  return files;
}

}  // namespace

Outcome<std::vector<ParsedFile>> parse_policies(const std::vector<PolicyRequest>& requests) {
  // Without a file there is nothing to be careful of, and a process less to wait for.
  if (requests.size() == 1 && requests[0].file == nullptr) {
    std::vector<ParsedFile> files;
    files.push_back(TRY(understand(answer(requests[0]), requests[0])));
    return files;
  }
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return std::unexpected("no pipe for the parser of policies");
  const Fd from = Fd::adopt(ends[0]);
  Fd to = Fd::adopt(ends[1]);
  const pid_t pid = ::fork();
  if (pid == 0) be_parser(requests, to);
  to.reset();
  if (pid < 0) return std::unexpected("no process for the parser of policies");
  auto files = collect(requests, from);
  if (!files) (void)::kill(pid, SIGKILL);  // it is our child, and not waited for yet
  (void)::waitpid(pid, nullptr, 0);
  return files;
}

}  // namespace oqto::sandbox_cli
