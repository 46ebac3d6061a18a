// A compromised runner that uses one session's number twice: the answer of the policy parser of the
// first, which was stopped, must not become the policy of the second.
#include <unistd.h>

#include <vector>

#include "base/sys.h"
#include "ipc/channel.h"
#include "tests/hostile/report.h"

namespace oqto::hostile {
namespace {

using namespace ipc;

// The test writes `profile = "strict"` into the workspace whose number begins with 2.
Uuid workspace(std::uint8_t number) {
  Uuid id;
  id.bytes.fill(number);
  return id;
}

// All in one turn of the guard: by its end the first parser has answered, and nobody has listened.
Profile start_twice(Channel& guard, std::uint64_t request) {
  const Uuid session = Uuid::random();
  std::vector<Uuid> fillers;
  (void)guard.send(StartSession{request, session, workspace(0x11), Profile::minimal, Harness::pi});
  for (int i = 0; i < 4; ++i) {
    fillers.push_back(Uuid::random());
    (void)guard.send(StartSession{0, fillers.back(), workspace(0x11), Profile::minimal, Harness::pi});
  }
  (void)guard.send(StopSession{session, {}});
  (void)guard.send(StartSession{request + 1, session, workspace(0x22), Profile::minimal, Harness::pi});
  Profile got = Profile::kEnd;
  while (got == Profile::kEnd) {
    const auto received = guard.wait(20'000);
    if (!received) break;
    const auto started = received->as<SessionStarted>();
    if (started && started->request == request + 1) got = started->profile;
    const auto refused = received->as<Refused>();
    if (refused && refused->request == request + 1) break;
  }
  (void)guard.send(StopSession{session, {}});
  for (const Uuid& filler : fillers) (void)guard.send(StopSession{filler, {}});
  return got;
}

int run() {
  log::set_process_name("hostile-runner");
  Channel guard(Fd::adopt(kGuardFd));
  (void)guard.send(Ready{});
  for (const std::uint8_t number : {std::uint8_t{0x11}, std::uint8_t{0x22}}) {
    (void)guard.send(CreateWorkspace{number, workspace(number)});
  }
  ::sleep(4);  // the test writes the policy
  bool held = true;
  for (std::uint64_t i = 1; i <= 10; ++i) held = held && start_twice(guard, i * 1000) == Profile::strict;
  report("the policy of a session that was stopped", held);
  ::sleep(20);
  return 0;
}

}  // namespace
}  // namespace oqto::hostile

int main() { return oqto::hostile::run(); }
