#include "audit/format/hash.h"
#include "audit/read/entry_reader.h"
#include "audit/read/entry_view.h"
#include "audit/read/export.h"
#include "base/encoding.h"

namespace oqto::audit {
namespace {

// The format's own syntax: `|` ends a header field, `=` a key. Line ends cannot occur: what is not
// printable was escaped before.
std::string escaped(std::string_view text, char separator) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == separator) out += '\\';
    out += c;
  }
  return out;
}

std::string header(std::string_view text) {
  return escaped(printable(text), '|') + "|";
}

struct Extension {
  std::string text = {};
  void raw(std::string_view key, std::string_view value) {
    if (value.empty()) return;
    if (!text.empty()) text += ' ';
    text += std::string(key) + "=" + escaped(value, '=');
  }
  void add(std::string_view key, std::string_view value) { raw(key, printable(value)); }
  void labelled(std::string_view key, std::string_view label, std::string_view value) {
    if (value.empty()) return;
    raw(std::string(key) + "Label", label);
    raw(key, value);
  }
};

// OCSF's 1..6 as 0..10.
std::string_view severity(std::uint64_t ocsf) {
  constexpr std::string_view kLevels[] = {"0", "1", "3", "5", "8", "9", "10"};
  return ocsf < std::size(kLevels) ? kLevels[ocsf] : "0";
}

}  // namespace

std::string to_cef(std::uint64_t index, std::string_view text) {
  const auto entry = ReadEntry::parse(text);
  std::string line = "CEF:0|Oqto|Oqto|1|";
  Extension extension;
  if (!entry) {
    line += header("malformed") + header("malformed entry") + "8|";
    extension.raw("externalId", std::to_string(index));
    extension.labelled("cs3", "entry", entry_json(text));
    return line + extension.text;
  }
  const std::string event = entry->text("event");
  line += header(event) + header(event + " " + entry->text("phase"));
  line += std::string(severity(entry->number("severity_id"))) + "|";
  extension.add("rt", entry->text("time"));
  extension.raw("externalId", std::to_string(index));
  extension.add("act", event);
  extension.add("outcome", entry->text("outcome"));
  extension.add("suser", entry->text("actor.username"));
  extension.add("suid", entry->text("actor.account"));
  extension.add("sproc", entry->text("actor.process"));
  extension.add("spid", entry->text("actor.pid"));
  extension.add("duser", entry->text("fields.username"));
  extension.add("reason", entry->text("fields.reason"));
  std::string session = entry->text("actor.session");
  if (session.empty()) session = entry->text("fields.session");
  extension.labelled("cs1", "session", printable(session));
  extension.labelled("cs2", "phase", printable(entry->text("phase")));
  extension.labelled("cs3", "fields", entry->raw("fields"));
  extension.labelled("cs4", "leafHash", to_hex(leaf_hash(text)));
  extension.labelled("cn1", "intent", printable(entry->text("intent")));
  return line + extension.text;
}

}  // namespace oqto::audit
