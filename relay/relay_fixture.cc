#include "relay/relay_fixture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <fstream>

#include "base/sys.h"
#include "relay/test_pack.h"

namespace oqto::relay {
namespace {

std::string pem_text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return text;
}

Fd listen_on_loopback(std::uint16_t& port) {
  Fd fd = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::listen(fd.get(), 512), 0);
  EXPECT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  port = ntohs(address.sin_port);
  return fd;
}

// Fills `ours`; returns the relay's end.
Fd channel_for(ipc::Channel& ours) {
  auto pair = sys::seqpacket_pair();
  EXPECT_TRUE(pair);
  ours = ipc::Channel(std::move(pair->first));
  return std::move(pair->second);
}

[[noreturn]] void exec_relay(const std::vector<int>& fds, std::vector<std::string> arguments) {
  // Out of the way first: the wanted numbers may be in use by other descriptors of the list.
  std::vector<int> high;
  for (const int fd : fds) high.push_back(::fcntl(fd, F_DUPFD, 100));
  for (std::size_t i = 0; i < high.size(); ++i) ::dup2(high[i], static_cast<int>(i) + 3);
  (void)sys::close_from(static_cast<int>(fds.size()) + 3);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  ::execv(OQTO_RELAY_BINARY, argv.data());
  ::_exit(127);
}

}  // namespace

Fd text_file(std::string_view text) {
  auto file = sys::sealed_memfd("test", text);
  EXPECT_TRUE(file);
  return *std::move(file);
}

Certificate make_certificate(const char* wanted, long from, long until) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), from);
  X509_gmtime_adj(X509_getm_notAfter(certificate), until);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(wanted), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  X509_sign(certificate, key, EVP_sha256());
  BIO* chain = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(chain, certificate);
  BIO* secret = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(secret, key, nullptr, nullptr, 0, nullptr, nullptr);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return {pem_text(chain), pem_text(secret)};
}

RunningRelay::RunningRelay(std::vector<std::string> options, std::string pack, Certificate of)
    : certificate(std::move(of)) {
  const Fd listening = listen_on_loopback(port);
  const Fd guard_end = channel_for(guard), audit_end = channel_for(audit),
           accounts_end = channel_for(accounts);
  const Fd chain_file = text_file(certificate.chain), key_file = text_file(certificate.key),
           assets = text_file(pack.empty() ? test_pack(kTestEntries) : pack);
  // As a predecessor would have left them: read to the end.
  (void)::lseek(chain_file.get(), 0, SEEK_END);
  (void)::lseek(key_file.get(), 0, SEEK_END);
  std::vector<std::string> arguments{"oqto-relay", "--origin", origin()};
  arguments.insert(arguments.end(), options.begin(), options.end());
  pid = ::fork();
  if (pid == 0) {
    exec_relay({guard_end.get(), audit_end.get(), accounts_end.get(), listening.get(),
                chain_file.get(), key_file.get(), assets.get()},
               arguments);
  }
  if (const auto received = guard.wait(kTestWaitMs); received && received->tag == ipc::Tag::certificate_facts) {
    facts = received->as<ipc::CertificateFacts>().value_or(facts);
  }
  const auto ready = guard.wait(kTestWaitMs);
  EXPECT_TRUE(ready && ready->as<ipc::Ready>()) << "the relay did not start";
}

RunningRelay::~RunningRelay() {
  if (pid != 0) {
    ::kill(pid, SIGTERM);
    ::waitpid(pid, nullptr, 0);
  }
}

int RunningRelay::wait_for_exit() {
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  pid = 0;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Announced RunningRelay::next_connection() {
  Announced made;
  auto opened = guard.wait(kTestWaitMs);
  if (!opened) {
    ADD_FAILURE() << "no connection was announced to the guard";
    return made;
  }
  const auto message = opened->as<ipc::ConnectionOpened>();
  EXPECT_TRUE(message);
  if (!message) return made;
  made.connection = message->connection;
  made.remote = message->remote.str();
  made.control = ipc::Channel(std::move(opened->fd));
  if (accounts) {
    auto peer = accounts.wait(kTestWaitMs);
    EXPECT_TRUE(peer && peer->as<ipc::AuthPeer>());
    if (peer) made.accounts = ipc::Channel(std::move(peer->fd));
  }
  return made;
}

std::vector<pid_t> RunningRelay::children() const {
  const std::string number = std::to_string(pid);
  std::ifstream file("/proc/" + number + "/task/" + number + "/children");
  std::vector<pid_t> pids;
  for (pid_t child; file >> child;) pids.push_back(child);
  return pids;
}

bool Response::has(std::string_view line) const {
  return head.find("\r\n" + std::string(line) + "\r\n") != std::string::npos;
}

Fd plain_connection(const RunningRelay& relay) {
  Fd fd = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(relay.port);
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const timeval timeout{kTestWaitMs / 1000, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  return fd;
}

std::string read_exactly(const Fd& fd, std::size_t bytes) {
  std::string text(bytes, '\0');
  std::size_t have = 0;
  while (have < bytes) {
    pollfd entry{fd.get(), POLLIN, 0};
    if (::poll(&entry, 1, kTestWaitMs) <= 0) break;
    const ssize_t n = ::read(fd.get(), text.data() + have, bytes - have);
    if (n <= 0) break;
    have += static_cast<std::size_t>(n);
  }
  text.resize(have);
  return text;
}

void Client::Free::operator()(ssl_st* ssl) const {
  SSL_free(ssl);
}
void Client::Free::operator()(ssl_ctx_st* context) const {
  SSL_CTX_free(context);
}
Client::Client(Client&&) noexcept = default;
Client::~Client() = default;

Client::Client(const RunningRelay& relay) : Client(relay, Options{}) {}

Client::Client(const RunningRelay& relay, const Options& options)
    : Client(plain_connection(relay), options) {}
Client::Client(Fd tcp) : Client(std::move(tcp), Options{}) {}

Client::Client(Fd tcp, const Options& options)
    : context_(SSL_CTX_new(TLS_client_method())), socket_(std::move(tcp)) {
  if (options.max_version != 0) SSL_CTX_set_max_proto_version(context_.get(), options.max_version);
  ssl_.reset(SSL_new(context_.get()));
  if (!options.alpn.empty()) {
    const std::string wire = static_cast<char>(options.alpn.size()) + options.alpn;
    SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(wire.data()),
                        static_cast<unsigned>(wire.size()));
  }
  SSL_set_fd(ssl_.get(), socket_.get());
  connected_ = SSL_connect(ssl_.get()) == 1;
}

void Client::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const int n = SSL_write(ssl_.get(), bytes.data(),
                            static_cast<int>(std::min<std::size_t>(bytes.size(), 65536)));
    if (n <= 0) return;  // the relay has ended it: the reader will see
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

bool Client::fill() {
  char buffer[16384];
  const int n = SSL_read(ssl_.get(), buffer, sizeof buffer);
  if (n > 0) unread_.append(buffer, static_cast<std::size_t>(n));
  return n > 0;
}

std::string Client::read(std::size_t bytes) {
  while (unread_.size() < bytes && fill()) {
  }
  const std::string taken = unread_.substr(0, bytes);
  unread_.erase(0, taken.size());
  return taken;
}

std::string Client::certificate() const {
  BIO* const out = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(out, SSL_get0_peer_certificate(ssl_.get()));
  return pem_text(out);
}

bool Client::ended() {
  return unread_.empty() && !fill();
}
void Client::close_notify() {
  (void)SSL_shutdown(ssl_.get());
}

Response Client::read_response(bool head_only) {
  Response response;
  std::size_t end;
  while ((end = unread_.find("\r\n\r\n")) == std::string::npos) {
    if (!fill()) return response;
  }
  response.head = read(end + 4);
  response.status = std::stoi(response.head.substr(9, 3));
  const std::size_t length = response.head.find("\r\nContent-Length: ");
  if (length != std::string::npos && !head_only) {
    response.body = read(std::stoul(response.head.substr(length + 18)));
  }
  return response;
}

}  // namespace oqto::relay
