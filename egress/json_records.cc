#include "egress/json_records.h"

#include "base/sys.h"

namespace oqto::egress {
namespace {

void put_text(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\') {
      out += c;
    } else {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  out += '"';
}

void put(std::string& out, std::string_view key, std::string_view text) {
  out += ',';
  put_text(out, key);
  out += ':';
  put_text(out, text);
}

}  // namespace

std::string json_line(const ipc::AuditAppend& record, std::uint64_t number, std::uint64_t time_ms) {
  constexpr std::string_view kPhases[] = {"intent", "outcome", "event"};
  constexpr std::string_view kOutcomes[] = {"unknown", "success", "failure"};
  std::string out = "{\"time\":" + std::to_string(time_ms);
  out += ",\"number\":" + std::to_string(number);
  if (record.phase == ipc::Phase::outcome) out += ",\"intent\":" + std::to_string(record.intent);
  put(out, "event", ipc::event_name(record.event));
  put(out, "phase", kPhases[static_cast<std::size_t>(record.phase)]);
  put(out, "outcome", kOutcomes[static_cast<std::size_t>(record.outcome)]);
  for (const ipc::AuditField& field : record.list)
    put(out, ipc::field_name(field.key), field.value);
  out += "}\n";
  return out;
}

Status JsonRecords::write(const ipc::AuditAppend& record, std::uint64_t number) {
  return sys::write_all(sink_, json_line(record, number, sys::now_ms()));
}

asio::awaitable<Result<std::uint64_t>> JsonRecords::intent(ipc::AuditAppend record) {
  const std::uint64_t number = next_++;
  const Status written = write(record, number);
  if (!written) co_return fail(Errc::unavailable, "the records cannot be written");
  co_return number;
}

void JsonRecords::note(ipc::AuditAppend record) {
  (void)write(record, next_++);
}

}  // namespace oqto::egress
