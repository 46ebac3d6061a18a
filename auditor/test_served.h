// For tests: what oqto-auditor answers about a log that the real auditd writes.
#pragma once
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

#include "audit/format/tile_store.h"
#include "audit/format/tree.h"
#include "audit/tests/test_host.h"
#include "auditor/answers.h"
#include "base/encoding.h"
#include "base/sys.h"
#include "protocol/json.h"

namespace oqto::auditor {

struct Served {
  explicit Served(audit::TestHost& host)
      : follower(host.log_dir(), dir.path(), [](std::uint64_t) {}),
        view(*LogView::open(host.log_dir())),
        answers(view, follower, dir.path()) {}

  // Once the index and the published checkpoint cover `index`.
  bool covers(std::uint64_t index) {
    const std::uint64_t end = sys::monotonic_ms() + 20'000;
    for (;;) {
      const auto published = view.published();
      if (follower.state().next > index && published && published->checkpoint.size > index)
        return true;
      if (sys::monotonic_ms() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  protocol::Json ask(const std::string& cmd, const std::string& fields) {
    const auto frame = protocol::decode_audit_frame(
        R"({"channel":"agent","id":"1","session_id":"_system","cmd":")" + cmd + "\"," + fields +
        "}");
    const auto* command = std::get_if<protocol::AuditCommand>(&frame);
    if (command == nullptr) return {};
    auto counted = answers.to(*command);
    auto json = counted.answer ? protocol::parse_json(*counted.answer) : Result<protocol::Json>();
    return json ? std::move(*json) : protocol::Json();
  }

  audit::TempDir dir;
  Follower follower;
  LogView view;
  Answers answers;
};

}  // namespace oqto::auditor
