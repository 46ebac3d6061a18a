// The user's terminal, joined to the private one that the program has inside. The program never
// holds the user's: what it writes there is relayed as bytes, and nothing it does to its own
// terminal can put a key press into the user's.
#pragma once
#include <array>
#include <cstdint>
#include <string>

#include "ipc/loop.h"

namespace oqto::sandbox_cli {

class Terminal {
 public:
  explicit Terminal(ipc::Loop& loop);  // looks at descriptors 0 to 2, which must be open
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() { detach(); }

  [[nodiscard]] bool is_terminal(int number) const {
    return terminals_[static_cast<std::size_t>(number)];
  }
  [[nodiscard]] bool any() const { return static_cast<bool>(shown_.fd); }
  struct Size {
    std::uint16_t rows = 24, columns = 80;
  };
  [[nodiscard]] Size size() const;

  // From here on until detach() bytes go both ways. `master` is the private terminal.
  Status attach(Fd master);
  // After the program has ended: what it still wrote is shown, and the terminal is as it was.
  void detach();

  void resize();       // SIGWINCH
  void suspend();      // before we stop: the terminal is as it was
  void resume();       // after SIGCONT, and now and then: raw, once we are in the foreground
  void hold(bool on);  // while the user is asked something: nothing goes either way

 private:
  struct End final : ipc::Watcher {
    Terminal* owner = nullptr;
    void (Terminal::*ready)() = nullptr;
    Fd fd;
    std::uint32_t events = 0;  // 0: not watched
    void on_ready(std::uint32_t) override { (owner->*ready)(); }
  };
  void on_typed();
  void on_shown();
  void on_master();
  void watch(End& end, std::uint32_t events);
  void close(End& end);
  void rewatch();
  [[nodiscard]] bool in_foreground() const;

  ipc::Loop& loop_;
  std::array<bool, 3> terminals_{};
  End typed_, shown_, master_;  // the user's terminal, read and written; the private one
  bool raw_ = false;
  bool held_ = false;
  std::string to_program_, to_screen_;
};

}  // namespace oqto::sandbox_cli
