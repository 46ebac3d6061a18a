#include "audit/witness/test_witness.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "audit/format/tree.h"
#include "audit/read/proof_file.h"
#include "audit/tests/test_log.h"
#include "audit/witness/witness_client.h"

namespace oqto::audit {

namespace fs = std::filesystem;

std::vector<Hash> SmallLog::leaves(std::uint64_t size) const {
  std::vector<Hash> leaves;
  for (std::uint64_t i = 0; i < size; ++i) leaves.push_back(leaf_hash(salt_ + std::to_string(i)));
  return leaves;
}

std::string SmallLog::note(std::uint64_t size) const {
  return key_.sign({key_.verifier().name, size, root_of(leaves(size))});
}

std::string SmallLog::request(std::uint64_t old, std::uint64_t size) const {
  Tree tree;
  const auto all = leaves(size);
  for (std::uint64_t i = 0; i < old; ++i) tree.append(all[i]);
  return write_consistency({old, tree.prove_prefix(std::span(all).subspan(old)), note(size)});
}

Served::Served(const std::string& dir, const std::vector<std::string>& log_vkeys,
               const std::string& state, const std::vector<std::string>& seals) {
  key_file_ = dir + "/witness.key";
  vkey_file_ = dir + "/witness.vkey";
  state_ = state.empty() ? dir + "/state" : state;
  fs::create_directories(state_);
  if (!fs::exists(key_file_)) {
    CHECK(run(oqto_audit("keygen --type witness --name witness.example/w --out " + key_file_))
              .status == 0);
  }
  arguments_ = {program("oqto-audit"), "witness", "serve",    "--state",    state_, "--key",
                key_file_,             "--listen", "127.0.0.1:0"};
  for (const std::string& vkey : log_vkeys) {
    arguments_.push_back("--log");
    arguments_.push_back(vkey);
  }
  for (const std::string& file : seals) arguments_.insert(arguments_.end(), {"--seals", file});
  start();
}

Served::~Served() {
  if (pid_ >= 0) kill();
}

void Served::start() {
  int ends[2];
  CHECK(::pipe(ends) == 0);
  pid_ = ::fork();
  CHECK(pid_ >= 0);
  if (pid_ == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
    std::vector<char*> argv;
    for (std::string& argument : arguments_) argv.push_back(argument.data());
    argv.push_back(nullptr);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  ::close(ends[1]);
  const Fd out = Fd::adopt(ends[0]);
  std::string text;
  char c = 0;
  while (!(contains(text, "listening on ") && text.ends_with('\n')) &&
         ::read(out.get(), &c, 1) == 1) {
    text += c;
  }
  CHECK(contains(text, "listening on "));
  address_ = text.substr(text.find("listening on ") + 13);
  address_.pop_back();
}

int Served::wait() {
  int status = 0;
  CHECK(::waitpid(pid_, &status, 0) == pid_);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int Served::terminate() {
  ::kill(pid_, SIGTERM);
  return wait();
}

void Served::kill() {
  ::kill(pid_, SIGKILL);
  (void)wait();
}

HttpResponse Served::post(const std::string& body) const {
  return post_to_witness(*parse_witness_url(url()), body).value_or(HttpResponse{});
}

std::string Served::submit(const std::string& log, const std::string& vkey,
                           const std::string& out) const {
  return oqto_audit("witness submit --url " + url() + " --witness " + vkey_file_ + " --log " + log +
                    " --vkey " + vkey + " --out " + out);
}

Fd Served::connect() const {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  const int port = std::stoi(address_.substr(address_.find(':') + 1));
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  Fd socket = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  CHECK(::connect(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
  return socket;
}

std::string talk(const Served& served, const std::string& bytes) {
  const Fd socket = served.connect();
  (void)::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  ::shutdown(socket.get(), SHUT_WR);
  std::string answer;
  char piece[4096];
  for (ssize_t n = 0; (n = ::recv(socket.get(), piece, sizeof piece, 0)) > 0;) {
    answer.append(piece, static_cast<std::size_t>(n));
  }
  return answer;
}

}  // namespace oqto::audit
