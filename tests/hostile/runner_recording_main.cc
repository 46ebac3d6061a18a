// A runner in whose terminal a program tries everything that escape sequences can do to who looks
// at it later. What it shows is recorded as any terminal is: tests/e2e/auditor_recording.test.mjs
// plays it.
#include <unistd.h>

#include <string>

#include "audit/recording/recording.h"
#include "base/encoding.h"
#include "base/sys.h"
#include "ipc/audit.h"
#include "ipc/channel.h"
#include "tests/hostile/report.h"

namespace oqto::hostile {
namespace {

using namespace ipc;

// Seconds since the start, and what the terminal then showed.
struct Shown {
  std::uint64_t at_ms;
  std::string_view bytes;
};
constexpr Shown kShown[] = {
    {0, "$ make deploy\r\n"},
    {1000, "\x1b[31mcompiling\x1b[0m 10%\rcompiling 99%\rcompiling done\r\n"},
    {2000, "\x1b]0;owned title\x07\x1b]2;owned too\x1b\\after the titles\r\n"},
    {3000,
     "\x1b]52;c;b3duZWQgY2xpcGJvYXJk\x07"
     "after the clipboard\r\n"},
    {4000,
     "\x1b]8;;https://evil.example/\x1b\\a link\x1b]8;;\x1b\\ after the link "
     "https://evil.example/\r\n"},
    {5000, "abc\xe2\x80\xaegnp.exe\xe2\x80\xac \xe2\x81\xa6zwj\xe2\x80\x8b after the bidi\r\n"},
    {6000,
     "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>\r\n"},
    {7000,
     "\x1b[6n\x1b[c\x1bP+q544e\x1b\\\x1b[?1049h\x1b[2J\xc2\x9b"
     "31m\xc2\x9d"
     "52;c;eA==\xc2\x9c after the questions\r\n"},
    {8000, "\x1b]52;c;b3du"},  // cut in the middle
    {8500,
     "ZWQ=\x07"
     "after the cut\r\n"},
    {9000, "\x1b]0;a string that never ends\r\n"},
    {10000, "the last line\r\n"},
};

void record_terminal(AuditClient& audit) {
  const std::string terminal = Uuid::random().text();
  const std::string session = Uuid::random().text();
  bool stored = true;
  audit::Recorder recorder(80, 24, sys::now_ms() / 1000, 0,
                           [&](std::uint64_t number, std::string_view chunk) -> Status {
                             const std::string blob = TRY(audit.store(chunk));
                             AuditAppend piece;
                             piece.event = Event::recording_chunk;
                             piece.phase = Phase::event;
                             piece.add(FieldKey::session, session)
                                 .add(FieldKey::terminal, terminal)
                                 .add(FieldKey::chunk, std::to_string(number))
                                 .add(FieldKey::recording_blob, blob);
                             TRY(audit.append(piece));
                             return {};
                           });
  for (const Shown& shown : kShown) stored = stored && recorder.output(shown.bytes, shown.at_ms);
  stored = stored && recorder.finish(10'000);
  report("a recording of a hostile terminal", stored);
}

int run() {
  log::set_process_name("hostile-runner");
  Channel guard(Fd::adopt(kGuardFd));
  AuditClient audit{Channel(Fd::adopt(kAuditFd))};
  (void)guard.send(Ready{});
  record_terminal(audit);
  for (;;) {
    if (!guard.wait(60'000)) return 0;  // until the guard ends it
  }
}

}  // namespace
}  // namespace oqto::hostile

int main() {
  return oqto::hostile::run();
}
