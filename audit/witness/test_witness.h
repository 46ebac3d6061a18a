// For tests: a witness that is served by the real program, and a log small enough to make any request
// for it.
#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

#include "audit/format/note.h"
#include "audit/tests/test_host.h"
#include "audit/witness/http.h"

namespace oqto::audit {

// A log of numbered entries, with its key.
class SmallLog {
 public:
  explicit SmallLog(std::string_view name, std::string salt = "")
      : key_(SigningKey::generate(name)), salt_(std::move(salt)) {}
  SmallLog(const SmallLog& other, std::string salt)
      : key_(*SigningKey::parse(other.key_.text())), salt_(std::move(salt)) {}

  [[nodiscard]] const VerifierKey& vkey() const { return key_.verifier(); }
  [[nodiscard]] std::vector<Hash> leaves(std::uint64_t size) const;
  [[nodiscard]] std::string note(std::uint64_t size) const;
  // What is posted to take a witness from `old` to `size`.
  [[nodiscard]] std::string request(std::uint64_t old, std::uint64_t size) const;

 private:
  SigningKey key_;
  std::string salt_;
};

class Served {
 public:
  // Its key and, unless it is given, its state directory are made in `dir`.
  Served(const std::string& dir, const std::vector<std::string>& log_vkeys,
         const std::string& state = {}, const std::vector<std::string>& seals = {});
  ~Served();
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;

  void start();
  int wait();  // exit status, or 128 + signal
  int terminate();
  void kill();

  [[nodiscard]] HttpResponse post(const std::string& body) const;
  [[nodiscard]] std::string url() const { return "http://" + address_; }
  [[nodiscard]] const std::string& vkey_file() const { return vkey_file_; }
  [[nodiscard]] const std::string& state() const { return state_; }
  [[nodiscard]] std::string submit(const std::string& log, const std::string& vkey,
                                   const std::string& out) const;  // a command line
  [[nodiscard]] Fd connect() const;

 private:
  std::vector<std::string> arguments_;
  std::string key_file_, vkey_file_, state_, address_;
  pid_t pid_ = -1;
};

// Sends the bytes, and reads until the server closes.
std::string talk(const Served& served, const std::string& bytes);

}  // namespace oqto::audit
