// For tests: a log of many kinds of entries, written by the real auditd and signer.
#pragma once
#include <memory>
#include <string>

#include "audit/format/note.h"
#include "audit/tests/test_host.h"

namespace oqto::audit {

class TestLog {
 public:
  // `segment_bytes` small enough gives several segments; `more` plain entries behind those of many
  // kinds.
  static std::unique_ptr<TestLog> write(const std::string& segment_bytes, int more);

  TestHost& host() { return host_; }
  [[nodiscard]] std::string dir() const { return host_.log_dir(); }
  [[nodiscard]] std::string vkey_file() const { return host_.key_dir() + "/log.vkey"; }
  [[nodiscard]] VerifierKey vkey() const;
  [[nodiscard]] SigningKey key() const;
  [[nodiscard]] SigningKey epoch_key() const;  // of the last epoch
  [[nodiscard]] std::uint64_t size() const;  // of the published checkpoint
  [[nodiscard]] std::string older_dir() const { return older_.path() + "/log"; }  // half as large
  // The log and its key as they were then: what somebody has who copied the whole host.
  void restore_older(TestHost& host) const;

  // As the documentation tells an auditor to copy a log in use.
  static void copy_in_order(const std::string& from, const std::string& to);

 private:
  TestLog() = default;
  void write_kinds();

  TestHost host_;
  TempDir older_;
};

// What somebody might try to put into a log.
extern const std::vector<std::string> kHostileTexts;

// The bytes that no auditor's terminal may get from an entry.
bool has_raw_control_byte(const std::string& text);

std::string oqto_audit(const std::string& arguments);  // the command line of the real program
std::string quoted(const std::string& text);           // for sh

}  // namespace oqto::audit
