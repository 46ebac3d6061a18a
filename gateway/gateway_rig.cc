#include "gateway/gateway_rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cstring>
#include <filesystem>

#include "base/sys.h"

namespace oqto::gateway::test {
namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

Fd bound(int type, std::uint16_t& port) {
  Fd fd = Fd::adopt(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  port = ntohs(address.sin_port);
  if (type == SOCK_STREAM) {
    EXPECT_EQ(::listen(fd.get(), 64), 0);
  }
  return fd;
}

Fd connected(int type, std::uint16_t port) {
  Fd fd = Fd::adopt(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  const timeval patience{kPatienceMs / 1000, 0};
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const sockaddr_in address = loopback(port);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Fd();
  }
  return fd;
}

void send_all(const Fd& fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

std::string read_to(const Fd& fd, const std::string& mark) {
  std::string got;
  char buffer[4096];
  while (mark.empty() || got.find(mark) == std::string::npos) {
    const ssize_t n = ::recv(fd.get(), buffer, sizeof buffer, 0);
    if (n <= 0) break;
    got.append(buffer, static_cast<std::size_t>(n));
  }
  return got;
}

std::string post_text(const std::string& target, const std::string& headers,
                      const std::string& body) {
  return "POST " + target + " HTTP/1.1\r\nHost: models.oqto\r\nConnection: close\r\n" + headers +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

Answer parse_answer(const std::string& text) {
  Answer answer;
  const std::size_t end = text.find("\r\n\r\n");
  if (end == std::string::npos || text.size() < 12) return answer;
  answer.status = std::stoi(text.substr(9, 3));
  answer.head = text.substr(0, end);
  std::string rest = text.substr(end + 4);
  if (answer.head.find("chunked") == std::string::npos) {
    answer.body = rest;
    answer.complete = true;
    return answer;
  }
  for (;;) {
    const std::size_t line = rest.find("\r\n");
    if (line == std::string::npos) return answer;
    const std::size_t size = std::stoul(rest.substr(0, line), nullptr, 16);
    if (size == 0) {
      answer.complete = true;
      return answer;
    }
    answer.body += rest.substr(line + 2, size);
    rest = rest.substr(std::min(rest.size(), line + 4 + size));
  }
}

// In the child: each descriptor to its number, then exec.
[[noreturn]] void become(std::vector<std::pair<int, int>> moves, std::vector<const char*> argv) {
  for (auto& [from, to] : moves) from = ::fcntl(from, F_DUPFD, 100);
  for (const auto& [from, to] : moves) ::dup2(from, to);
  argv.push_back(nullptr);
  ::execvp(argv[0], const_cast<char* const*>(argv.data()));
  ::_exit(127);
}

// Starts a helper whose first line on stdout names its port as `:PORT`.
std::uint16_t start_helper(Child& child, std::vector<const char*> argv) {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const Fd out = Fd::adopt(ends[0]);
  Fd in = Fd::adopt(ends[1]);
  const pid_t pid = ::fork();
  if (pid == 0) become({{in.get(), 1}}, std::move(argv));
  child.adopt(pid);
  in.reset();
  std::string line;
  char c = 0;
  while (line.size() < 1000 && ::read(out.get(), &c, 1) == 1 && c != '\n') line += c;
  const std::size_t colon = line.rfind(':', line.rfind("\",\"pid\""));
  EXPECT_NE(colon, std::string::npos) << line;
  return colon == std::string::npos ? std::uint16_t{0}
                                    : static_cast<std::uint16_t>(std::atoi(&line[colon + 1]));
}

pid_t start_gateway(int guard, int audit, int error, const std::string& toml,
                    const std::string& ca_file) {
  const auto config = sys::sealed_memfd("config", toml);
  const Fd null = Fd::adopt(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const pid_t pid = ::fork();
  if (pid == 0) {
    become({{guard, 3}, {audit, 4}, {null.get(), 5}, {config->get(), 6}, {error, 2}},
           {GATEWAY_BINARY, "--ca-file", ca_file.c_str()});
  }
  return pid;
}

}  // namespace

std::string field(const ipc::AuditAppend& record, ipc::FieldKey key) {
  for (const ipc::AuditField& f : record.list) {
    if (f.key == key) return f.value;
  }
  return "(none)";
}

int Child::end(int signal) {
  if (pid_ <= 0) return -1;
  ::kill(pid_, signal);
  return wait();
}
int Child::wait() {
  int status = -1;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  return status;
}

// --- auditd ---

FakeAudit::FakeAudit(Fd end) : channel_(std::move(end)), thread_([this] { serve(); }) {}
FakeAudit::~FakeAudit() {
  {
    const std::scoped_lock lock(mutex_);
    ended_ = true;
  }
  thread_.join();
}
void FakeAudit::serve() {
  for (;;) {
    {
      const std::scoped_lock lock(mutex_);
      if (ended_) return;
      auto received = channel_ ? channel_.receive() : fail(Errc::limit, "none");
      if (received) {
        if (received->tag == ipc::Tag::audit_blob) {
          take_blob(*received);
          continue;
        }
        const auto record = received->as<ipc::AuditAppend>();
        EXPECT_TRUE(record);
        if (record->event != ipc::Event::config_load) records_.push_back(*record);
        changed_.notify_all();
        if (hold_) {
          held_.push_back(*record);
        } else {
          answer(*record);
        }
        continue;
      }
    }
    ::poll(nullptr, 0, 1);
  }
}
void FakeAudit::answer(const ipc::AuditAppend& record) {
  if (refuse_) {
    (void)channel_.send(ipc::AuditRefused{record.request, "full"});
  } else {
    (void)channel_.send(ipc::AuditAppended{record.request, next_index_++});
  }
}
// Named by its number, as if that were the hash of what is stored.
void FakeAudit::take_blob(const ipc::Received& received) {
  const auto blob = received.as<ipc::AuditBlob>();
  EXPECT_TRUE(blob);
  if (refuse_blobs_) return (void)channel_.send(ipc::AuditRefused{blob->request, "no more today"});
  ipc::AuditBlobStored stored{blob->request, {}, 0};
  stored.sha256[0] = static_cast<std::uint8_t>(blobs_.size() + 1);
  EXPECT_EQ(::lseek(received.fd.get(), 0, SEEK_SET), 0);
  blobs_[to_hex(stored.sha256)] = {sys::read_all(received.fd, 1 << 26).value_or(""), blob->account};
  (void)channel_.send(stored);
}
void FakeAudit::hold(bool on) {
  const std::scoped_lock lock(mutex_);
  hold_ = on;
  for (const auto& record : held_) answer(record);
  held_.clear();
}
void FakeAudit::refuse(bool on) {
  const std::scoped_lock lock(mutex_);
  refuse_ = on;
}
void FakeAudit::disconnect() {
  const std::scoped_lock lock(mutex_);
  channel_ = ipc::Channel();
}
void FakeAudit::connect(Fd end) {
  const std::scoped_lock lock(mutex_);
  channel_ = ipc::Channel(std::move(end));
}
ipc::AuditAppend FakeAudit::wait_record(ipc::Phase phase) {
  return wait_for([phase](const ipc::AuditAppend& record) { return record.phase == phase; });
}
ipc::AuditAppend FakeAudit::wait_event(ipc::Event event) {
  return wait_for([event](const ipc::AuditAppend& record) { return record.event == event; });
}
ipc::AuditAppend FakeAudit::wait_for(const std::function<bool(const ipc::AuditAppend&)>& wanted) {
  std::unique_lock lock(mutex_);
  ipc::AuditAppend found;
  const bool came = changed_.wait_for(lock, std::chrono::milliseconds(kPatienceMs), [&] {
    while (!records_.empty()) {
      found = std::move(records_.front());
      records_.pop_front();
      if (wanted(found)) return true;
    }
    return false;
  });
  EXPECT_TRUE(came) << "no such audit record";
  return found;
}

// --- guard ---

Rig::Rig(const std::string& toml, const std::string& ca_file)
    : Rig(std::move(*sys::seqpacket_pair()), std::move(*sys::seqpacket_pair()), toml, ca_file) {}

Rig::Rig(std::pair<Fd, Fd> guard_pair, std::pair<Fd, Fd> audit_pair, const std::string& toml,
         const std::string& ca_file)
    : guard(std::move(guard_pair.first)),
      process_(start_gateway(guard_pair.second.get(), audit_pair.second.get(), 2, toml, ca_file)),
      audit(std::move(audit_pair.first)) {
  guard_pair.second.reset();
  audit_pair.second.reset();
  const auto ready = guard.wait(kPatienceMs);
  EXPECT_TRUE(ready && ready->as<ipc::Ready>());
  const auto models = guard.wait(kPatienceMs);
  EXPECT_TRUE(models && models->as<ipc::ModelsFile>());
  if (models) models_json = sys::read_all(models->fd, 1 << 20).value_or("");
}
ipc::GateUsage Rig::usage() {
  const auto received = guard.wait(kPatienceMs);
  EXPECT_TRUE(received);
  const auto usage = received->as<ipc::GateUsage>();
  EXPECT_TRUE(usage);
  return usage.value_or(ipc::GateUsage{});
}
void Rig::rewire_audit() {
  auto pair = sys::seqpacket_pair();
  audit.connect(std::move(pair->first));
  EXPECT_TRUE(guard.send(ipc::Wire{ipc::WireRole::audit}, pair->second));
}
int Rig::end_by_closing_the_guard() {
  guard = ipc::Channel();
  return process_.wait();
}
int Rig::exit_status_with(const std::string& toml, std::string& errors) {
  auto guard_pair = sys::seqpacket_pair();
  auto audit_pair = sys::seqpacket_pair();
  const Fd out = Fd::adopt(::memfd_create("errors", MFD_CLOEXEC));
  Child child(start_gateway(guard_pair->second.get(), audit_pair->second.get(), out.get(), toml,
                            "/etc/ssl/certs/ca-certificates.crt"));
  const int status = child.wait();
  ::lseek(out.get(), 0, SEEK_SET);
  errors = sys::read_all(out, 65536).value_or("");
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// --- harness ---

Pi::Pi(Rig& rig, ipc::OpenGate gate, const Uuid& id) : session(id) {
  gate.session = number;
  gate.recorded_as = session;
  EXPECT_TRUE(rig.guard.send(gate));
  const Fd model = bound(SOCK_STREAM, model_port_);
  const Fd dns = bound(SOCK_DGRAM, dns_port_);
  EXPECT_TRUE(rig.guard.send(ipc::GateSocket{number, ipc::GateSocketKind::model}, model));
  EXPECT_TRUE(rig.guard.send(ipc::GateSocket{number, ipc::GateSocketKind::dns}, dns));
  for (std::string* content : {&models_json, &settings_json}) {
    auto received = rig.guard.wait(kPatienceMs);
    EXPECT_TRUE(received && received->as<ipc::GateFile>());
    if (received) *content = sys::read_all(received->fd, 1 << 20).value_or("");
  }
}
Fd Pi::send(const std::string& bytes) {
  Fd call = connected(SOCK_STREAM, model_port_);
  if (call) send_all(call, bytes);
  return call;
}
Fd Pi::begin(const std::string& target, const std::string& body, const std::string& headers) {
  return send(post_text(target, headers, body));
}
Answer Pi::post(const std::string& target, const std::string& body, const std::string& headers) {
  const Fd call = begin(target, body, headers);
  return call ? parse_answer(read_to(call, "")) : Answer{};
}
std::string Pi::read_until(const Fd& call, const std::string& mark) { return read_to(call, mark); }

std::string dns_query(const std::string& name, std::uint16_t type) {
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
  return query + std::string("\0\1", 2);
}

std::string Pi::ask_dns(const std::string& name, std::uint16_t type) {
  const Fd socket = connected(SOCK_DGRAM, dns_port_);
  send_all(socket, dns_query(name, type));
  char reply[512];
  const ssize_t n = ::recv(socket.get(), reply, sizeof reply, 0);
  EXPECT_GT(n, 0);
  return {reply, static_cast<std::size_t>(std::max<ssize_t>(n, 0))};
}

// --- providers ---

Mock::Mock(const std::string& require_key) {
  std::vector<const char*> argv{"node", MOCK_PROVIDER, "--quiet", "--lifetime", "120"};
  if (!require_key.empty()) argv.insert(argv.end(), {"--require-key", require_key.c_str()});
  port_ = start_helper(process_, std::move(argv));
}
void Mock::script(const std::string& json) {
  const Fd call = connected(SOCK_STREAM, port_);
  send_all(call, post_text("/__mock/script", "", json));
  EXPECT_EQ(parse_answer(read_to(call, "")).status, 200);
}
std::string Mock::get(const std::string& path) const {
  const Fd call = connected(SOCK_STREAM, port_);
  send_all(call, "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  return read_to(call, "");
}
bool Mock::reaches(const std::string& text) const {
  for (int i = 0; i < kPatienceMs / 20; ++i) {
    if (get("/__mock/state").find(text) != std::string::npos) return true;
    ::poll(nullptr, 0, 20);
  }
  return false;
}

TlsFront::TlsFront(std::uint16_t provider) : dir_(::testing::TempDir() + "gatewayXXXXXX") {
  EXPECT_NE(::mkdtemp(dir_.data()), nullptr);
  const std::string make =
      "cd " + dir_ +
      " && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
      " -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout key.pem -out ca.pem"
      " 2>/dev/null";
  EXPECT_EQ(std::system(make.c_str()), 0);
  const std::string program =
      "const fs=require('fs'),s=require('tls').createServer({key:fs.readFileSync('" + dir_ +
      "/key.pem'),cert:fs.readFileSync('" + dir_ +
      "/ca.pem')},c=>{const u=require('net').connect(" + std::to_string(provider) +
      ",'127.0.0.1');c.on('error',()=>u.destroy());u.on('error',()=>c.destroy());"
      "c.pipe(u);u.pipe(c);});s.on('tlsClientError',()=>{});"
      "s.listen(0,'127.0.0.1',()=>console.log('{\"url\":\"x:'+s.address().port+'\",\"pid\":0}'));"
      "setTimeout(()=>process.exit(0),60000);";
  port_ = start_helper(process_, {"node", "-e", program.c_str()});
}
TlsFront::~TlsFront() { std::filesystem::remove_all(dir_); }

}  // namespace oqto::gateway::test
