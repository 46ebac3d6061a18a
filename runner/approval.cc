#include "runner/approval.h"

#include <array>
#include <cstdio>

#include "base/encoding.h"

namespace oqto::runner {
namespace {

constexpr std::string_view kOnce = "Once";
constexpr std::string_view kSession = "For this session";
constexpr std::string_view kDeny = "Deny";

// Unicode Bidi_Control, Default_Ignorable and separators that break a line.
bool is_deceptive(char32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c || c == 0x115f || c == 0x1160 ||
         (c >= 0x180b && c <= 0x180f) || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202f) ||
         (c >= 0x2060 && c <= 0x206f) || c == 0x3164 || (c >= 0xfe00 && c <= 0xfe0f) || c == 0xfeff ||
         c == 0xffa0 || (c >= 0xfff0 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe0fff);
}

std::size_t length_of(unsigned char first) {
  return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

std::string joined(const std::vector<std::string>& argv) {
  std::string line;
  for (const std::string& argument : argv) {
    const bool plain = !argument.empty() && argument.find_first_of(" \t'\"\\$`|&;<>()*?") == argument.npos;
    line += line.empty() ? "" : " ";
    line += plain ? argument : '\'' + argument + '\'';
  }
  return line;
}

}  // namespace

std::string visible_text(std::string_view text) {
  std::string shown;
  for (std::size_t at = 0; at < text.size();) {
    const auto first = static_cast<unsigned char>(text[at]);
    const std::string_view piece = text.substr(at, length_of(first));
    char32_t c = first;
    const bool valid = is_valid_utf8(piece);
    if (valid && piece.size() > 1) {
      c = first & (0xffU >> (piece.size() + 1));
      for (const char next : piece.substr(1)) c = c << 6 | (static_cast<unsigned char>(next) & 0x3fU);
    }
    if (valid && !is_deceptive(c)) {
      shown += piece;
    } else {
      std::array<char, 16> escape{};
      (void)std::snprintf(escape.data(), escape.size(), valid ? "\\u{%x}" : "\\x%02x", static_cast<unsigned>(c));
      shown += escape.data();
    }
    at += valid ? piece.size() : 1;
  }
  return shown;
}

protocol::InputRequest approval_request(const ipc::ApprovalAsk& ask, std::string request_id) {
  protocol::ApprovalFacts facts;
  const bool file = ask.kind == ipc::ApprovalKind::file_read;
  facts.kind = file ? "file_read" : "host";
  facts.what = visible_text(ask.what.view());
  facts.pid = ask.pid;
  facts.cwd = visible_text(ask.cwd.view());
  for (const std::string& argument : ask.argv.values) facts.argv.push_back(visible_text(argument));

  protocol::InputRequest request;
  request.type = "select";
  request.request_id = std::move(request_id);
  request.title = (file ? "May the agent read " : "May the agent connect to ") + facts.what + "?";
  request.options = {std::string(kOnce), std::string(kSession), std::string(kDeny)};
  request.message = "Asked by: " + (facts.argv.empty() ? "unknown" : joined(facts.argv));
  if (facts.pid != 0) request.message += " (process " + std::to_string(facts.pid) + ')';
  if (!facts.cwd.empty()) request.message += "\nin " + facts.cwd;
  request.timeout_ms = std::uint64_t{ask.timeout_s} * 1000;
  request.approval = std::move(facts);
  return request;
}

std::optional<ipc::ApprovalChoice> approval_choice(const protocol::InputResponse& response) {
  if (response.cancelled) return ipc::ApprovalChoice::deny;
  if (response.confirmed) return *response.confirmed ? ipc::ApprovalChoice::once : ipc::ApprovalChoice::deny;
  if (response.value == kOnce) return ipc::ApprovalChoice::once;
  if (response.value == kSession) return ipc::ApprovalChoice::session;
  if (response.value == kDeny) return ipc::ApprovalChoice::deny;
  return {};
}

ipc::AuditAppend approval_record(const ipc::ApprovalAsk& ask, std::string_view request_id) {
  ipc::AuditAppend record;
  record.event = ipc::Event::approval;
  record.phase = ipc::Phase::event;
  record.add(ipc::FieldKey::session, ask.session.text()).add(ipc::FieldKey::request_id, request_id);
  record.add(ask.kind == ipc::ApprovalKind::host ? ipc::FieldKey::host : ipc::FieldKey::path, ask.what.view());
  record.add(ipc::FieldKey::reason, "the user is asked");
  if (ask.pid != 0) record.add(ipc::FieldKey::pid, std::to_string(ask.pid));
  for (const std::string& argument : ask.argv.values) record.add(ipc::FieldKey::argv, argument);
  if (!ask.cwd.view().empty()) record.add(ipc::FieldKey::cwd, ask.cwd.view());
  return record;
}

}  // namespace oqto::runner
