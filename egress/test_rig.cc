#include "egress/test_rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>

#include "base/sys.h"

namespace oqto::egress::test {
namespace {

void be_patient(const Fd& socket) {
  const timeval patience{kPatienceMs / 1000, 0};
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

DnsAnswer parse_answer(std::string_view reply, const std::string& query) {
  if (reply.size() < query.size()) return {};
  DnsAnswer answer{reply[3] & 0x0f, {}};
  if (reply[7] == 1 && reply.size() == query.size() + 16) {
    std::uint32_t address = 0;
    for (const char c : reply.substr(reply.size() - 4)) {
      address = address << 8 | static_cast<std::uint8_t>(c);
    }
    answer.address = address;
  }
  return answer;
}

// In the child: each descriptor to its number from 3 on, then exec.
[[noreturn]] void become(std::vector<int> descriptors, unsigned uid,
                         const std::vector<std::string>& argv) {
  for (int& fd : descriptors) fd = ::fcntl(fd, F_DUPFD, 1200);
  for (std::size_t i = 0; i < descriptors.size(); ++i)
    ::dup2(descriptors[i], static_cast<int>(i) + 3);
  if (::setresgid(uid, uid, uid) != 0 || ::setresuid(uid, uid, uid) != 0) ::_exit(126);
  std::vector<char*> arguments;
  for (const std::string& one : argv) arguments.push_back(const_cast<char*>(one.c_str()));
  arguments.push_back(nullptr);
  ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

}  // namespace

// --- NameServer ---

NameServer::NameServer() : socket_(Fd::adopt(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0))) {
  EXPECT_TRUE(bind_at(socket_, 0x7f000035, 53));
  thread_ = std::thread([this] { serve(); });
}
NameServer::~NameServer() {
  ended_ = true;
  thread_.join();
}
void NameServer::set(const std::string& name, std::vector<std::uint32_t> addresses) {
  const std::scoped_lock lock(mutex_);
  names_[name] = std::move(addresses);
}
std::vector<std::string> NameServer::asked() {
  const std::scoped_lock lock(mutex_);
  return asked_;
}
void NameServer::serve() {
  while (!ended_) {
    pollfd entry{socket_.get(), POLLIN, 0};
    if (::poll(&entry, 1, 5) != 1) continue;
    std::uint8_t bytes[2048];
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const ssize_t n = ::recvfrom(socket_.get(), bytes, sizeof bytes, 0,
                                 reinterpret_cast<sockaddr*>(&from), &size);
    const auto query = n < 0 ? std::nullopt : parse_query({bytes, static_cast<std::size_t>(n)});
    if (!query) continue;
    const std::scoped_lock lock(mutex_);
    asked_.push_back(query->name);
    const auto known = names_.find(query->name);
    auto reply = make_reply(*query, known == names_.end() ? Rcode::no_such_name : Rcode::no_error);
    if (known != names_.end() && query->type == kTypeA) {
      reply[7] = static_cast<std::uint8_t>(known->second.size());
      for (const std::uint32_t address : known->second) {
        const auto one = make_reply(*query, Rcode::no_error, address);
        reply.insert(reply.end(), one.end() - 16, one.end());
      }
    }
    (void)::sendto(socket_.get(), reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from),
                   size);
  }
}

// --- Server ---

Server::Server(std::uint16_t port, std::uint32_t address)
    : listener_(Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))) {
  const int on = 1;
  (void)::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  EXPECT_TRUE(bind_at(listener_, address, port));
  EXPECT_EQ(::listen(listener_.get(), 1024), 0);
}
bool Server::has_visitor(int within_ms) const {
  pollfd entry{listener_.get(), POLLIN, 0};
  return ::poll(&entry, 1, within_ms) == 1;
}
Fd Server::accept() const {
  EXPECT_TRUE(has_visitor(kPatienceMs)) << "nobody came";
  if (!has_visitor(0)) return {};
  Fd visitor = Fd::adopt(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  be_patient(visitor);
  return visitor;
}

// --- Egress ---

Egress::Egress(Options options) {
  auto pair = sys::seqpacket_pair();
  sink_ = Fd::adopt(::memfd_create("records", MFD_CLOEXEC));
  const Fd null = Fd::adopt(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const Fd udp = inner.socket(SOCK_DGRAM);
  const Fd tcp = inner.socket(SOCK_STREAM);
  EXPECT_TRUE(bind_at(udp, kResolverAddress, 53) && bind_at(tcp, kResolverAddress, 53));
  EXPECT_EQ(::listen(tcp.get(), 16), 0);
  std::vector<Fd> pool;
  std::vector<int> numbers = {pair->second.get(), sink_.get(), null.get(), udp.get(), tcp.get()};
  for (int i = 0; i < options.sockets; ++i) {
    pool.push_back(inner.socket(SOCK_STREAM));
    numbers.push_back(pool.back().get());
  }
  std::vector<std::string> argv = {EGRESS_BINARY, "--sockets", std::to_string(options.sockets)};
  argv.insert(argv.end(), options.arguments.begin(), options.arguments.end());
  pid_ = ::fork();
  if (pid_ == 0) become(numbers, inner.uid(), argv);
  pair->second.reset();
  tool = ipc::Channel(std::move(pair->first));
  ipc::GateRules rules;
  rules.session = Uuid::random();
  rules.domains.values = options.domains;
  rules.ask_unknown = options.ask ? 1 : 0;
  rules.ask_timeout_s = options.ask_timeout_s;
  EXPECT_TRUE(tool.send(rules));
  const auto ready = tool.wait(kPatienceMs);
  EXPECT_TRUE(ready && ready->as<ipc::Ready>());
}
Egress::~Egress() {
  if (pid_ > 0) (void)end(SIGKILL);
}

DnsAnswer Egress::look_up(const std::string& name, std::uint16_t type) const {
  const std::string query = query_text(name, type);
  const Fd socket = inner.socket(SOCK_DGRAM);
  be_patient(socket);
  EXPECT_TRUE(connect_to(socket, kResolverAddress, 53));
  send_all(socket, query);
  char reply[1500];
  const ssize_t n = ::recv(socket.get(), reply, sizeof reply, 0);
  return n < 0 ? DnsAnswer{} : parse_answer({reply, static_cast<std::size_t>(n)}, query);
}

Fd Egress::send_query(const std::string& name) const {
  Fd socket = inner.socket(SOCK_DGRAM);
  be_patient(socket);
  EXPECT_TRUE(connect_to(socket, kResolverAddress, 53));
  send_all(socket, query_text(name, kTypeA));
  return socket;
}

DnsAnswer Egress::look_up_by_stream(const std::string& name) const {
  const std::string query = query_text(name, kTypeA);
  const Fd socket = inner.socket(SOCK_STREAM);
  be_patient(socket);
  if (!connect_to(socket, kResolverAddress, 53)) return {};
  send_all(socket, std::string{'\0', static_cast<char>(query.size())} + query);
  const std::string length = read_up_to(socket, 2);
  if (length.size() != 2) return {};
  return parse_answer(read_up_to(socket, static_cast<std::uint8_t>(length[1])), query);
}

Result<Fd> Egress::connect(std::uint32_t address, std::uint16_t port) const {
  Fd socket = inner.socket(SOCK_STREAM);
  be_patient(socket);
  TRY(connect_to(socket, address, port));
  return socket;
}
Result<Fd> Egress::connect(const std::string& name, std::uint16_t port) const {
  const DnsAnswer found = look_up(name);
  if (!found.address) return fail(Errc::not_found, "the name has no address");
  return connect(*found.address, port);
}

std::optional<ipc::ApprovalAsk> Egress::question(int within_ms) {
  const auto received = tool.wait(within_ms);
  if (!received) return {};
  const auto ask = received->as<ipc::ApprovalAsk>();
  if (!ask) return {};
  return *ask;
}
void Egress::answer(const ipc::ApprovalAsk& asked, ipc::ApprovalChoice choice) {
  EXPECT_TRUE(tool.send(ipc::ApprovalAnswer{asked.session, asked.kind, asked.question, choice}));
}

std::string Egress::records() const {
  std::string all(1 << 20, '\0');
  const ssize_t n = ::pread(sink_.get(), all.data(), all.size(), 0);
  all.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  return all;
}
std::string Egress::record_with(const std::vector<std::string>& parts) {
  for (int i = 0; i < kPatienceMs / 10; ++i) {
    const std::string all = records();
    for (std::size_t start = 0; start < all.size();) {
      const std::size_t stop = all.find('\n', start);
      const std::string line = all.substr(start, stop - start);
      if (std::ranges::all_of(parts, [&](const std::string& part) {
            return line.find(part) != std::string::npos;
          })) {
        return line;
      }
      start = stop == std::string::npos ? all.size() : stop + 1;
    }
    ::poll(nullptr, 0, 10);
  }
  return {};
}
int Egress::end() {
  tool = ipc::Channel();
  int status = -1;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  return status;
}
int Egress::end(int signal) {
  ::kill(pid_, signal);
  return end();
}
long Egress::resident_kib() const {
  std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::atol(line.c_str() + 6);
  }
  return -1;
}
std::size_t Egress::descriptors() const {
  std::size_t count = 0;
  const auto dir = "/proc/" + std::to_string(pid_) + "/fd";
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(dir)) ++count;
  return count;
}

// --- bytes ---

std::string query_text(const std::string& name, std::uint16_t type) {
  std::string query("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12);
  for (std::size_t at = 0; at < name.size();) {
    const std::size_t end = std::min(name.find('.', at), name.size());
    query += static_cast<char>(end - at);
    query += name.substr(at, end - at);
    at = end + 1;
  }
  query += '\0';
  query += static_cast<char>(type >> 8);
  query += static_cast<char>(type);
  query += std::string("\0\1", 2);
  return query;
}

void send_all(const Fd& to, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(to.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

std::string read_up_to(const Fd& from, std::size_t size) {
  std::string got;
  char buffer[65536];
  while (got.size() < size) {
    const ssize_t n = ::recv(from.get(), buffer, std::min(sizeof buffer, size - got.size()), 0);
    if (n < 0) return got + (errno == ECONNRESET ? "(reset)" : "(timeout)");
    if (n == 0) break;
    got.append(buffer, static_cast<std::size_t>(n));
  }
  return got;
}

std::string client_hello(const std::string& server_name, bool encrypted_name) {
  const auto two = [](std::size_t value) {
    return std::string{static_cast<char>(value >> 8), static_cast<char>(value)};
  };
  std::string extensions;
  if (!server_name.empty()) {
    const std::string entry = std::string(1, '\0') + two(server_name.size()) + server_name;
    const std::string list = two(entry.size()) + entry;
    extensions += two(0) + two(list.size()) + list;
  }
  if (encrypted_name) extensions += two(0xfe0d) + two(3) + "abc";
  const std::string body = "\3\3" + std::string(32, 'r') + std::string(1, '\0') + two(2) +
                           "\x13\x01" + std::string("\1\0", 2) + two(extensions.size()) +
                           extensions;
  const std::string message = std::string("\1\0", 2) + two(body.size()) + body;
  return "\x16\3\1" + two(message.size()) + message;
}

}  // namespace oqto::egress::test
