#include "protocol/audit_command.h"

#include <algorithm>
#include <array>

#include "protocol/fields.h"
#include "protocol/json_writer.h"

namespace oqto::protocol {
namespace {

using Args = decltype(AuditCommand::args);

std::vector<std::string> texts_of(Fields& fields, std::string_view key) {
  std::vector<std::string> texts;
  const Json* field = fields.present(key, false);
  if (field == nullptr) return texts;
  if (field->array() == nullptr || field->array()->size() > kMaxAuditChoices) {
    fields.wrong(key, "must be an array of at most 16 texts");
    return texts;
  }
  for (const Json& item : *field->array()) {
    const std::string* text = item.text();
    if (text == nullptr || text->empty() || text->size() > kMaxText) {
      fields.wrong(key, "must hold texts of 1 to 256 bytes");
      return {};
    }
    texts.push_back(*text);
  }
  return texts;
}

std::vector<std::uint64_t> numbers_of(Fields& fields, std::string_view key) {
  std::vector<std::uint64_t> numbers;
  const Json* field = fields.present(key, false);
  if (field == nullptr) return numbers;
  if (field->array() == nullptr || field->array()->size() > kMaxAuditChoices) {
    fields.wrong(key, "must be an array of at most 16 numbers");
    return numbers;
  }
  for (const Json& item : *field->array()) {
    const auto number = item.integer();
    if (!number || *number < 0) {
      fields.wrong(key, "must hold whole numbers");
      return {};
    }
    numbers.push_back(static_cast<std::uint64_t>(*number));
  }
  return numbers;
}

AuditFilter filter_of(Fields& fields) {
  AuditFilter filter;
  filter.text = fields.text("text", false, kMaxAuditTextBytes);
  filter.from_ms = fields.number("from_ms", false, kMaxAuditIndex);
  filter.to_ms = fields.number("to_ms", false, kMaxAuditIndex);
  filter.actors = texts_of(fields, "actors");
  filter.tenants = texts_of(fields, "tenants");
  filter.sessions = texts_of(fields, "sessions");
  filter.events = texts_of(fields, "events");
  filter.without = texts_of(fields, "without");
  filter.outcomes = texts_of(fields, "outcomes");
  filter.classes = numbers_of(fields, "classes");
  filter.intent = fields.number("intent", false, kMaxAuditIndex);
  return filter;
}

Args checkpoint(Fields& fields) {
  return AuditCheckpoint{fields.number("old_size", false, kMaxAuditIndex)};
}

Args search(Fields& fields) {
  AuditSearch args;
  args.filter = filter_of(fields);
  args.before = fields.number("before", false, kMaxAuditIndex);
  args.from = fields.number("from", false, kMaxAuditIndex);
  const auto limit = fields.number("limit", false, kMaxAuditPage);
  if (limit == 0U) fields.wrong("limit", "must be at least 1");
  args.limit = static_cast<std::uint32_t>(limit.value_or(args.limit));
  return args;
}

Args subjects(Fields&) {
  return AuditSubjects{};
}

Args timeline(Fields& fields) {
  AuditTimeline args;
  args.filter = filter_of(fields);
  if (args.filter.sessions.empty() && args.filter.tenants.empty()) {
    fields.wrong("sessions", "or `tenants` must say whose story");
  }
  args.before = fields.number("before", false, kMaxAuditIndex);
  const auto limit = fields.number("limit", false, kMaxAuditStory);
  if (limit == 0U) fields.wrong("limit", "must be at least 1");
  args.limit = static_cast<std::uint32_t>(limit.value_or(args.limit));
  args.all = fields.boolean("all").value_or(false);
  return args;
}

Args entry(Fields& fields) {
  return AuditEntry{fields.number("index", true, kMaxAuditIndex).value_or(0),
                    fields.number("old_size", false, kMaxAuditIndex)};
}

Args consistency(Fields& fields) {
  return AuditConsistency{fields.number("old_size", true, kMaxAuditIndex).value_or(0)};
}

Args seals(Fields& fields) {
  return AuditSeals{fields.number("from", true, kMaxAuditIndex).value_or(0),
                    fields.number("old_size", false, kMaxAuditIndex)};
}

Args recording(Fields& fields) {
  return AuditRecording{fields.number("index", true, kMaxAuditIndex).value_or(0),
                        fields.number("chunk", false, kMaxAuditIndex).value_or(0),
                        fields.number("old_size", false, kMaxAuditIndex)};
}

Args export_range(Fields& fields) {
  AuditExport args;
  args.filter = filter_of(fields);
  args.from = fields.number("from", true, kMaxAuditIndex).value_or(0);
  args.to = fields.number("to", false, kMaxAuditIndex);
  const std::string format = fields.text("format", false);
  if (format == "ocsf") args.format = ExportFormat::ocsf;
  if (!format.empty() && format != "ocsf" && format != "jsonl") {
    fields.wrong("format", "must be \"jsonl\" or \"ocsf\"");
  }
  return args;
}

struct Known {
  std::string_view name;
  Args (*args)(Fields&);
};
constexpr auto kKnown = std::to_array<Known>({{"audit.checkpoint", checkpoint},
                                              {"audit.search", search},
                                              {"audit.subjects", subjects},
                                              {"audit.timeline", timeline},
                                              {"audit.entry", entry},
                                              {"audit.consistency", consistency},
                                              {"audit.seals", seals},
                                              {"audit.recording", recording},
                                              {"audit.export", export_range}});

AuditFrame decode_command(Envelope envelope) {
  CommandHead& head = envelope.head;
  const auto known = std::ranges::find(kKnown, std::string_view(head.name), &Known::name);
  if (known == kKnown.end()) {
    return BadCommand{
        std::move(head),
        {Code::refused, "an auditor reads the log: only audit.* commands are answered"}};
  }
  if (head.session_id != kSystemSession) {
    std::string error = "`" + head.name + "` needs session_id \"_system\"";
    return BadCommand{std::move(head), {Code::bad_request, std::move(error)}};
  }
  Fields fields(envelope.json);
  Args args = known->args(fields);
  if (fields.failure) return BadCommand{std::move(head), std::move(*fields.failure)};
  return AuditCommand{std::move(head), std::move(args)};
}

void add_texts(JsonObject& object, std::string_view key, const std::vector<std::string>& texts) {
  if (texts.empty()) return;
  JsonArray array;
  for (const std::string& text : texts) array.text(text);
  object.json(key, array.str());
}

}  // namespace

AuditFrame decode_audit_frame(std::string_view text) {
  auto opened = open_frame(text);
  if (auto* bad = std::get_if<BadFrame>(&opened)) return std::move(*bad);
  if (auto* reserved = std::get_if<ReservedChannel>(&opened)) return std::move(*reserved);
  if (auto* bad = std::get_if<BadCommand>(&opened)) return std::move(*bad);
  return decode_command(std::move(std::get<Envelope>(opened)));
}

std::string filter_json(const AuditFilter& filter) {
  JsonObject object;
  object.text_unless_empty("text", filter.text);
  if (filter.from_ms) object.number("from_ms", *filter.from_ms);
  if (filter.to_ms) object.number("to_ms", *filter.to_ms);
  add_texts(object, "actors", filter.actors);
  add_texts(object, "tenants", filter.tenants);
  add_texts(object, "sessions", filter.sessions);
  add_texts(object, "events", filter.events);
  add_texts(object, "without", filter.without);
  add_texts(object, "outcomes", filter.outcomes);
  if (!filter.classes.empty()) {
    JsonArray classes;
    for (const std::uint64_t uid : filter.classes) classes.json(std::to_string(uid));
    object.json("classes", classes.str());
  }
  if (filter.intent) object.number("intent", *filter.intent);
  return object.str();
}

}  // namespace oqto::protocol
