#include "ipc/audit.h"

#include <poll.h>

#include <algorithm>
#include <optional>

#include "base/sys.h"
#include "ipc/audit_refusal.h"

namespace oqto::ipc {

std::string_view event_name(Event event) {
  static constexpr std::string_view kNames[] = {
      "process.start",  "process.stop",    "login",         "logout",       "setup",
      "invite.create",  "invite.revoke",   "account.create", "account.change", "connection",
      "command",        "workspace.create", "session.start", "session.stop", "exec",
      "model.call",     "violation",       "admin",         "denial",       "approval",
      "network",        "login.throttled", "token.create", "token.revoke", "role.change",
      "tool.call",      "file.create",     "file.read",    "file.update",  "file.delete",
      "file.rename",    "terminal.open",   "terminal.close", "recording.chunk", "ssh.open",
      "ssh.close",      "ssh.sign",        "config.load",  "policy.load",  "clock.step",
      "log.gap",        "log.full",        "epoch.seal",   "audit.read",   "key.erase",
      "log.prune",      "host.start",      "host.stop",     "exec.exit",    "password.change",
      "budget",         "adopt"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(Event::kEnd));
  return kNames[static_cast<std::size_t>(event)];
}

std::string_view field_name(FieldKey key) {
  static constexpr std::string_view kNames[] = {
      "account", "username", "role",       "remote",     "connection", "session",
      "workspace", "profile", "harness",   "command",    "args",       "args_bytes",
      "policy",  "argv",     "argv_after", "cwd",        "exe",        "pid",
      "exit_status", "signal", "reason",   "model",      "provider",   "tokens_in",
      "tokens_out", "http_status", "duration_ms", "process", "uid",    "request_id",
      "truncated", "syscall", "path",      "host",       "address",    "port",
      "rule",    "choice",   "count",      "bytes_in",   "bytes_out",
      "args_blob", "policy_blob", "content_blob", "recording_blob", "tool", "call_id",
      "target",  "terminal", "chunk",      "columns",    "rows",       "sha256",
      "bytes",   "fingerprint", "day",     "minimum_index", "epoch",   "note",
      "query",   "entries",  "boot",       "boottime_ms", "cost_nanos", "estimated",
      "at",      "operator", "operator_uid", "invite",   "ppid",       "argc",
      "argv_bytes", "argv_sha256", "argv_blob", "environment", "environment_sha256", "protocol",
      "request_sha256", "response_sha256", "output_sha256", "request_blob", "response_blob", "output_blob",
      "capability", "member", "machine",   "limit",      "login",      "ended_logins"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(FieldKey::kEnd));
  return kNames[static_cast<std::size_t>(key)];
}

AuditAppend& AuditAppend::add(FieldKey key, std::string_view value) {
  std::size_t total = 0;
  for (const AuditField& field : list) total += field.value.size();
  const std::size_t room = std::min(kMaxFieldBytes, kMaxAuditBytes - std::min(kMaxAuditBytes, total));
  const bool full = list.size() + 1 >= kMaxAuditFields;
  if (full || value.size() > room) {
    if (list.empty() || list.back().key != FieldKey::truncated) {
      if (!full) list.push_back({key, std::string(value.substr(0, room))});
      if (list.size() < kMaxAuditFields) list.push_back({FieldKey::truncated, "true"});
    }
    return *this;
  }
  list.push_back({key, std::string(value)});
  return *this;
}

bool AuditAppend::list_fields(Writer& io) const {
  io(static_cast<std::uint16_t>(list.size()));
  for (const AuditField& field : list) io(field.key, LongText<kMaxFieldBytes>{field.value});
  return true;
}

bool AuditAppend::list_fields(Reader& io) {
  std::uint16_t count = 0;
  if (!io(count) || count > kMaxAuditFields) return false;
  std::size_t total = 0;
  list.clear();
  for (std::uint16_t i = 0; i < count; ++i) {
    AuditField& field = list.emplace_back();
    LongText<kMaxFieldBytes> value;
    if (!io(field.key, value)) return false;
    total += value.value.size();
    if (total > kMaxAuditBytes + kMaxFieldBytes) return false;
    field.value = std::move(value.value);
  }
  return true;
}

static constexpr Error kNoAudit = kLogRefuses;

Result<std::uint64_t> AuditClient::append(AuditAppend record, int timeout_ms) {
  if (!channel_) return std::unexpected(kNoAudit);
  const std::uint64_t request = record.request = next_request_++;
  const std::uint64_t deadline = sys::monotonic_ms() + static_cast<std::uint64_t>(timeout_ms);
  if (!channel_.send(record)) return std::unexpected(kNoAudit);
  for (;;) {
    const std::uint64_t now = sys::monotonic_ms();
    if (now >= deadline) return std::unexpected(kNoAudit);
    const auto received = channel_.wait(static_cast<int>(deadline - now));
    if (!received) return std::unexpected(kNoAudit);
    if (received->tag == Tag::audit_appended) {
      std::optional<std::uint64_t> found;
      TRY(received->as<AuditAppended>()).each([&](std::uint64_t done, std::uint64_t index) {
        if (done == request) {
          found = index;
        } else if (unacknowledged_ > 0) {
          --unacknowledged_;  // an answer to an earlier post()
        }
      });
      if (found) return *found;
      continue;
    }
    const auto no = TRY(received->as<AuditRefused>());
    if (no.request == request) return std::unexpected(refusal_error(no));
    if (unacknowledged_ > 0) --unacknowledged_;
  }
}

Result<std::string> AuditClient::store(std::string_view content, std::uint32_t account,
                                       int timeout_ms) {
  if (content.size() > kMaxBlobBytes) return fail(Errc::limit, "longer than an audit blob may be");
  const Fd file = TRY(sys::sealed_memfd("audit", content));
  const std::uint64_t request = next_request_++;
  const std::uint64_t deadline = sys::monotonic_ms() + static_cast<std::uint64_t>(timeout_ms);
  if (!channel_ || !channel_.send(AuditBlob{request, account}, file)) return std::unexpected(kNoAudit);
  for (;;) {
    const std::uint64_t now = sys::monotonic_ms();
    if (now >= deadline) return std::unexpected(kNoAudit);
    const auto received = channel_.wait(static_cast<int>(deadline - now));
    if (!received) return std::unexpected(kNoAudit);
    if (received->tag == Tag::audit_blob_stored) {
      const auto stored = TRY(received->as<AuditBlobStored>());
      if (stored.request == request) return to_hex(stored.sha256);
    } else if (received->tag == Tag::audit_refused) {
      const auto no = TRY(received->as<AuditRefused>());
      if (no.request == request) return std::unexpected(refusal_error(no));
    }
    count_answer(*received);
  }
}

// To earlier calls of post().
void AuditClient::count_answer(const Received& received) {
  const auto appended = received.as<AuditAppended>();
  unacknowledged_ -= std::min(unacknowledged_, appended ? appended->before + 1U : 1U);
}

Status AuditClient::collect(int timeout_ms) {
  const auto received = channel_.wait(timeout_ms);
  if (!received) return std::unexpected(received.error());
  count_answer(*received);
  if (const auto no = received->as<AuditRefused>()) return std::unexpected(refusal_error(*no));
  if (received->tag != Tag::audit_appended) return std::unexpected(kNoAudit);
  return {};
}

Status AuditClient::post(AuditAppend record, int timeout_ms) {
  if (!channel_) return std::unexpected(kNoAudit);
  // What has been answered meanwhile, and then as many more as the window demands.
  while (unacknowledged_ > 0) {
    const std::uint32_t before = unacknowledged_;
    const auto status = collect(before >= kMaxUnacknowledged ? timeout_ms : 0);
    // That an earlier record was refused says nothing of this one, which may be an outcome.
    if (status || unacknowledged_ < before) continue;
    if (status.error().code == Errc::limit && unacknowledged_ < kMaxUnacknowledged) break;
    return std::unexpected(kNoAudit);
  }
  record.request = next_request_++;
  for (;;) {
    const auto sent = channel_.send(record);
    if (sent) break;
    if (sent.error().code != Errc::limit) return std::unexpected(kNoAudit);
    // The socket is full although the window is not: long records. Wait for an answer.
    if (unacknowledged_ == 0 || !collect(timeout_ms)) return std::unexpected(kNoAudit);
  }
  ++unacknowledged_;
  return {};
}

}  // namespace oqto::ipc
