#include "sandbox/init/programs.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"

namespace oqto::sandbox {
namespace {

// What the runner adds wins.
std::vector<std::string> environment(std::vector<std::string> all,
                                     const std::vector<std::string>& added) {
  for (const std::string& entry : added) {
    const std::size_t equals = entry.find('=');
    if (equals == std::string::npos) continue;
    const std::string name = entry.substr(0, equals + 1);
    std::erase_if(all, [&](const std::string& old) { return old.starts_with(name); });
    all.push_back(entry);
  }
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

// A directory descriptor would be a way out of the mount namespace; stdio is never one.
bool may_be_stdio(const Fd& fd) {
  struct stat info {};
  return ::fstat(fd.get(), &info) == 0 && !S_ISDIR(info.st_mode) && !S_ISBLK(info.st_mode) &&
         (::fcntl(fd.get(), F_GETFL) & O_PATH) == 0;
}

// The first of them that there is.
int first_of(std::initializer_list<int> descriptors) {
  for (const int fd : descriptors) {
    if (fd >= 0) return fd;
  }
  return -1;
}

}  // namespace

// What the child needs, made before the fork.
struct Programs::Prepared {
  std::uint32_t number;
  std::vector<char*> argv, envp;
  const char* cwd;
  int in_out, in, out, err;  // -1: not given
  winsize size;              // 0 rows: no terminal
};

// In the child. A terminal of its own: controlling, with the other end sent to the runner. Returns
// 0 or errno.
int Programs::take_terminal(const Prepared& program, int& slave) {
  const Fd master = Fd::adopt(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  const int unlock = 0;
  if (!master || ::ioctl(master.get(), TIOCSPTLCK, &unlock) != 0 ||
      ::ioctl(master.get(), TIOCSWINSZ, &program.size) != 0) {
    return errno;
  }
  slave = ::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0 || ::ioctl(slave, TIOCSCTTY, 0) != 0) return errno;
  return runner_.send(ipc::ProgramTerminal{program.number}, master) ? 0 : EAGAIN;
}

// In the child. Everything but 0, 1 and 2 closes on exec.
void Programs::become(const Prepared& program, int result) {
  sigset_t none;
  sigemptyset(&none);
  int error = ::sigprocmask(SIG_SETMASK, &none, nullptr) == 0 && ::setsid() > 0 ? 0 : errno;
  int terminal = -1;
  if (error == 0 && program.size.ws_row != 0) error = take_terminal(program, terminal);
  // The sources are above 2, so no target overwrites a source.
  const int null = null_.get();
  const int in = first_of({program.in, program.in_out, terminal, null});
  const int out = first_of({program.out, program.in_out, terminal, null});
  const int err = first_of({program.err, program.in_out, terminal, null});
  if (error == 0 && ::dup2(in, STDIN_FILENO) == STDIN_FILENO &&
      ::dup2(out, STDOUT_FILENO) == STDOUT_FILENO && ::dup2(err, STDERR_FILENO) == STDERR_FILENO &&
      ::syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) == 0 && ::chdir(program.cwd) == 0) {
    ::execve(program.argv[0], program.argv.data(), program.envp.data());
  }
  if (error == 0) error = errno;
  (void)!::write(result, &error, sizeof error);
  ::_exit(127);
}

template <class Message>
void Programs::tell(const Message& message) {
  // At most kMaxPrograms answers are owed, which the socket holds: a runner that does not read has
  // stopped working, and the session ends.
  if (const Status sent = runner_.send(message); !sent && told_) told_ = sent;
}

Result<Programs::Program*> Programs::slot(std::uint32_t number) {
  const auto found = programs_.find(number);
  if (found != programs_.end()) return &found->second;
  if (programs_.size() >= kMaxPrograms) return fail(Errc::limit, "too many programs");
  return &programs_.try_emplace(number, *this, number).first->second;
}

void Programs::forget(std::uint32_t number) {
  const auto found = programs_.find(number);
  if (found == programs_.end()) return;
  if (found->second.exec_result) loop_.unwatch(found->second.exec_result, found->second);
  programs_.erase(found);
}

Status Programs::on_message(const ipc::Received& received) {
  switch (received.tag) {
    case ipc::Tag::give_stdio:
      TRY(give_stdio(received));
      break;
    case ipc::Tag::start_program:
      TRY(start(TRY(received.as<ipc::StartProgram>())));
      break;
    case ipc::Tag::signal_program:
      TRY(signal(TRY(received.as<ipc::SignalProgram>())));
      break;
    default:
      return fail(Errc::bad_message, "not a message for oqto-init");
  }
  return told_;
}

Status Programs::give_stdio(const ipc::Received& received) {
  const auto given = TRY(received.as<ipc::GiveStdio>());
  if (!may_be_stdio(received.fd)) return fail(Errc::denied, "this descriptor cannot be stdio");
  Program* program = TRY(slot(given.program));
  if (program->pid >= 0) return fail(Errc::bad_message, "descriptors for a program that runs");
  Fd copy = Fd::adopt(::fcntl(received.fd.get(), F_DUPFD_CLOEXEC, 3));
  if (!copy) return fail_errno("fcntl(F_DUPFD)");
  // Ordinary programs do not expect EAGAIN on their stdio.
  TRY(sys::set_nonblocking(copy, false));
  switch (given.kind) {
    case ipc::StdioKind::in_out:
      program->in_out = std::move(copy);
      break;
    case ipc::StdioKind::in:
      program->in = std::move(copy);
      break;
    case ipc::StdioKind::out:
      program->out = std::move(copy);
      break;
    case ipc::StdioKind::err:
    case ipc::StdioKind::kEnd:
      program->err = std::move(copy);
      break;
  }
  return {};
}

Status Programs::start(const ipc::StartProgram& wanted) {
  const auto slot_result = slot(wanted.program);
  if (!slot_result) {
    tell(ipc::ProgramFailed{wanted.program, EAGAIN});
    return {};
  }
  Program& program = **slot_result;
  if (program.pid >= 0) return fail(Errc::bad_message, "this program number is in use");
  int ends[2] = {-1, -1};
  if (wanted.argv.values.empty() || ::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
    tell(
        ipc::ProgramFailed{wanted.program, wanted.argv.values.empty() ? EINVAL + 0U : ENFILE + 0U});
    forget(wanted.program);
    return {};
  }
  program.exec_result = Fd::adopt(ends[0]);
  const Fd child_end = Fd::adopt(ends[1]);
  std::vector<std::string> argv = wanted.argv.values;
  std::vector<std::string> envp = environment(environment_, wanted.env.values);
  const std::string cwd = wanted.cwd.str();
  const Prepared prepared{
      wanted.program,
      pointers(argv),
      pointers(envp),
      cwd.c_str(),
      program.in_out.get(),
      program.in.get(),
      program.out.get(),
      program.err.get(),
      {.ws_row = wanted.rows, .ws_col = wanted.columns, .ws_xpixel = 0, .ws_ypixel = 0}};
  program.pid = ::fork();
  if (program.pid == 0) become(prepared, child_end.get());
  const int error = errno;
  for (Fd* fd : {&program.in_out, &program.in, &program.out, &program.err}) fd->reset();
  if (program.pid < 0 || !loop_.watch(program.exec_result, program)) {
    if (program.pid > 0) (void)::kill(program.pid, SIGKILL);
    tell(ipc::ProgramFailed{wanted.program, static_cast<std::uint32_t>(error)});
    program.exec_result.reset();
    programs_.erase(wanted.program);
  }
  return {};
}

// The pipe has closed: the program runs, or its errno is in the pipe.
void Programs::exec_decided(Program& program) {
  int error = 0;
  const ssize_t n = ::read(program.exec_result.get(), &error, sizeof error);
  if (n < 0 && errno == EAGAIN) return;
  loop_.unwatch(program.exec_result, program);
  program.exec_result.reset();
  if (n == sizeof error) {
    tell(ipc::ProgramFailed{program.number, static_cast<std::uint32_t>(error)});
    programs_.erase(program.number);  // the child that failed is reaped as an orphan
    return;
  }
  tell(ipc::ProgramStarted{program.number, static_cast<std::uint32_t>(program.pid)});
}

Status Programs::signal(const ipc::SignalProgram& wanted) {
  const auto found = programs_.find(wanted.program);
  if (found == programs_.end() || found->second.pid < 0) return {};  // it has just ended
  if (wanted.signal == 0 || wanted.signal > SIGRTMAX) {
    return fail(Errc::bad_message, "no such signal");
  }
  // To the whole group: what the program started belongs to it. Not yet its own group: to it alone.
  if (::kill(-found->second.pid, wanted.signal) != 0) {
    (void)::kill(found->second.pid, wanted.signal);
  }
  return {};
}

Status Programs::reap() {
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return told_;
    const auto found = std::ranges::find_if(
        programs_, [pid](const auto& entry) { return entry.second.pid == pid; });
    if (found == programs_.end()) continue;
    const std::uint32_t number = found->first;
    if (found->second.exec_result) {  // it ended before the loop came to its pipe
      exec_decided(found->second);
      if (!programs_.contains(number)) continue;
    }
    tell(ipc::ProgramExited{number,
                            static_cast<std::uint8_t>(WIFEXITED(status) ? WEXITSTATUS(status) : 0),
                            static_cast<std::uint8_t>(WIFSIGNALED(status) ? WTERMSIG(status) : 0)});
    forget(number);
  }
}

}  // namespace oqto::sandbox
