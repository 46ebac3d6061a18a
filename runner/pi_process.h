// Pi in its sandbox: started through the session's oqto-init, spoken to in lines over pipes, which
// unlike sockets carry nothing but bytes.
// Everything it says is bounded; its end is told once. What it writes and we cannot read ends it: a record
// that is skipped could be a tool call that nobody sees.
#pragma once
#include <deque>
#include <functional>
#include <string>

#include "protocol/json.h"
#include "runner/line_framer.h"
#include "runner/pi_commands.h"
#include "runner/sandbox_link.h"

namespace oqto::runner {

class PiProcess {
 public:
  struct Owner {
    virtual ~Owner() = default;
    virtual void on_record(const protocol::Json& record) = 0;  // a JSON object
    virtual void on_unreadable(std::string_view what) = 0;      // before the end that follows from it
    virtual void on_ended(std::string why) = 0;                // the process object may be disposed of
  };
  PiProcess(Reactor& reactor, Owner& owner);
  ~PiProcess();

  Status start(SandboxLink& sandbox, const Program& program);
  void on_sandbox_gone();
  // False: Pi does not read, and what waits for it has reached its bound.
  bool send(std::string line);
  void close_input();  // Pi saves and ends
  void hold(bool on);  // reading stops while what was read cannot be stored
  void forget_errors();  // what was said until now does not explain a later end
  [[nodiscard]] bool ended() const { return ended_; }

  [[nodiscard]] std::uint32_t pid() const { return pid_; }  // inside; 0: not known

  static constexpr std::size_t kMaxLine = 48 * 1024 * 1024;
  static constexpr std::size_t kMaxOutgoing = 24 * 1024 * 1024;
  static constexpr std::size_t kMaxErrorLines = 50;
  static constexpr std::size_t kMaxErrorLine = 1024;

 private:
  void on_exit(const std::string& how);
  void read_output();
  void read_errors();
  void unreadable(std::string_view what);
  void write_some();
  void on_line(std::string_view line);
  void end(std::string why);
  [[nodiscard]] std::string error_tail() const;

  Reactor& reactor_;
  Owner& owner_;
  SandboxLink* sandbox_ = nullptr;
  std::uint32_t program_ = 0;  // its number there; 0: it has ended
  std::uint32_t pid_ = 0;
  Fd input_;  // its, ours to write
  Fd output_;
  Fd errors_;
  Watch input_watch_;
  Watch output_watch_;
  Watch errors_watch_;
  LineFramer lines_;
  LineFramer error_lines_;
  std::deque<std::string> last_errors_;
  std::string outgoing_;
  std::size_t written_ = 0;
  bool writing_ = false;
  bool closing_ = false;
  bool at_end_ = false;  // of its output
  bool sandbox_gone_ = false;
  bool ended_ = false;
  std::string exit_;  // how it ended, when oqto-init has said so
  Timer linger_;
};

}  // namespace oqto::runner
