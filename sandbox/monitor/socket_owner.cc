#include "sandbox/monitor/socket_owner.h"

#include <charconv>
#include <sstream>

#include "sandbox/monitor/approvals.h"

namespace oqto::sandbox {
namespace {

// The sandbox can have many of each: what is not among the first is not found.
constexpr std::size_t kMaxTable = std::size_t{1} << 20;
constexpr std::size_t kMaxProcesses = 16 * 1024;
constexpr std::size_t kMaxDescriptors = 4096;

constexpr std::string_view kResolver = "010012C6:0035";  // 198.18.0.1:53, as proc(5) writes it
constexpr std::string_view kNobody = "00000000:0000";

// The number of the socket in a table of proc(5): `sl local remote st … … … uid timeout inode`.
std::string inode_in(const std::string& table, std::uint16_t port, std::string_view remote) {
  std::istringstream lines(table);
  std::string line;
  std::getline(lines, line);  // the headings
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string field[10];
    for (std::string& each : field) words >> each;
    const std::size_t colon = field[1].rfind(':');
    if (!words || colon == std::string::npos || !field[2].ends_with(remote)) continue;
    unsigned number = 0;
    const char* end = field[1].data() + field[1].size();
    if (std::from_chars(field[1].data() + colon + 1, end, number, 16).ptr == end && number == port) {
      return field[9];
    }
  }
  return {};
}

std::string inode_of(const Tracees& tracees, pid_t member, std::uint16_t port, SocketOf peer) {
  constexpr std::string_view kAnybody;
  for (const std::string_view remote : {peer == SocketOf::anybody ? kAnybody : kResolver, kNobody}) {
    for (const char* name : {"net/udp", "net/tcp", "net/udp6", "net/tcp6"}) {
      const auto table = tracees.head(member, name, kMaxTable);
      std::string inode = table ? inode_in(*table, port, remote) : "";
      if (!inode.empty() && inode != "0") return inode;
    }
  }
  return {};
}

bool holds(const Tracees& tracees, pid_t process, const std::string& socket) {
  const auto descriptors = tracees.numbers_in(std::to_string(process) + "/fd", kMaxDescriptors);
  if (!descriptors) return false;
  for (const int number : *descriptors) {
    const auto target = tracees.link(process, ("fd/" + std::to_string(number)).c_str());
    if (target && *target == socket) return true;
  }
  return false;
}

}  // namespace

Result<SocketOwner> find_socket_owner(pid_t member, std::uint16_t port, SocketOf peer) {
  const Tracees tracees = TRY(Tracees::open());
  const std::string inode = inode_of(tracees, member, port, peer);
  if (inode.empty()) return fail(Errc::not_found, "no socket with that port");
  const std::string socket = "socket:[" + inode + ']';
  const std::string network = TRY(tracees.link(member, "ns/net"));
  for (const pid_t process : TRY(tracees.numbers_in("", kMaxProcesses))) {
    const auto its = tracees.link(process, "ns/net");
    if (!its || *its != network || !holds(tracees, process, socket)) continue;
    return SocketOwner{process, TRY(tracees.numbers(process)).inside, TRY(tracees.image(process))};
  }
  return fail(Errc::not_found, "no process that can be looked at holds the socket");
}

void show_asker(ipc::ApprovalAsk& question, pid_t member) {
  const auto owner = find_socket_owner(member, question.port);
  if (owner) show_process(question, owner->inside, owner->image.argv, owner->image.cwd);
}

}  // namespace oqto::sandbox
