#include "protocol/command_args.h"

#include <algorithm>
#include <array>

#include "protocol/json.h"

namespace oqto::protocol {
namespace {

// Nothing that a person could see: Unicode's white space, and what has no width.
bool blank(std::string_view text) {
  static constexpr std::array<std::string_view, 31> kInvisible = {
      "\u0085", "\u00a0", "\u00ad", "\u034f", "\u061c", "\u115f", "\u1160", "\u1680", "\u180e", "\u2000", "\u2001",
      "\u2002", "\u2003", "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a", "\u200b", "\u200c",
      "\u200d", "\u2028", "\u2029", "\u202f", "\u205f", "\u2060", "\u3000", "\u3164", "\ufeff"};
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text.front());
    if (byte <= ' ' || byte == 0x7f) {
      text.remove_prefix(1);
      continue;
    }
    const auto found = std::find_if(kInvisible.begin(), kInvisible.end(),
                                    [&](std::string_view one) { return text.starts_with(one); });
    if (found == kInvisible.end()) return false;
    text.remove_prefix(found->size());
  }
  return true;
}

// Text that can stand on one line: no control characters, and not only blanks.
std::string printable(Fields& fields, std::string_view key) {
  const std::string name = fields.text(key, true);
  const auto characters = static_cast<std::size_t>(std::count_if(
      name.begin(), name.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
  const bool control = std::any_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (blank(name) || control || characters > kMaxNameCharacters) {
    fields.wrong(key, "must be 1 to 64 printable characters");
  }
  return name;
}

bool is_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return false;
  while (text.ends_with('=')) text.remove_suffix(1);
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
  });
}

std::vector<Image> images_of(Fields& fields) {
  std::vector<Image> images;
  const Json* field = fields.present("images", false);
  if (field == nullptr) return images;
  if (field->array() == nullptr) return fields.wrong("images", "must be an array"), images;
  if (field->array()->size() > kMaxImages) fields.failure = Failure{Code::limit, "at most 20 images"};
  std::size_t bytes = 0;
  for (const Json& item : *field->array()) {
    if (fields.failure) break;
    Fields inner(item);
    Image image{inner.text("data", true, kMaxImagesBytes), inner.text("media_type", true)};
    if (!inner.failure && !is_base64(image.data)) inner.wrong("data", "must be base64");
    if (!inner.failure && !image.media_type.starts_with("image/")) {
      inner.wrong("media_type", "must be an image type");
    }
    bytes += image.data.size();
    if (bytes > kMaxImagesBytes) inner.failure = Failure{Code::limit, "the images are larger than 10 MiB"};
    if (inner.failure) fields.failure = inner.failure;
    images.push_back(std::move(image));
  }
  return images;
}

}  // namespace

Args create_workspace(Fields& fields) { return CreateWorkspace{printable(fields, "name")}; }

Args create_session(Fields& fields) {
  const Json* config = fields.present("config", true);
  if (config == nullptr) return {};
  if (config->object() == nullptr) return fields.wrong("config", "must be an object"), Args();
  Fields inner(*config);
  CreateSession args;
  if (inner.text("harness", true) != "pi") inner.wrong("harness", "must be \"pi\"");
  args.workspace = inner.text("workspace_id", false);
  const std::string cwd = inner.text("cwd", false);
  if (args.workspace.empty()) args.workspace = cwd;
  args.provider = inner.text("provider", false);
  args.model = inner.text("model", false);
  args.profile = inner.text("profile", false);
  if (args.provider.empty() != args.model.empty()) inner.wrong("model", "and `provider` go together");
  // They become arguments of the harness: nothing there may look like an option.
  for (const std::string* word : {&args.provider, &args.model}) {
    if (!word->empty() && word->front() == '-') inner.wrong("model", "must not begin with -");
  }
  if (inner.failure) fields.failure = inner.failure;
  return args;
}

Args subscribe(Fields& fields) {
  return Subscribe{fields.number("since_seq", false, 1ULL << 53).value_or(0), fields.text("epoch", false)};
}

Args set_name(Fields& fields) { return SetName{printable(fields, "name")}; }

Args prompt(Fields& fields) {
  Prompt args;
  args.message = fields.text("message", true, kMaxPromptBytes);
  args.client_id = fields.text("client_id", false);
  args.images = images_of(fields);
  if (!fields.failure && blank(args.message)) fields.wrong("message", "is empty");
  return args;
}

Args input_response(Fields& fields) {
  InputResponse args;
  args.request_id = fields.text("request_id", true);
  if (fields.present("value", false) != nullptr) args.value = fields.text("value", false, kMaxPromptBytes);
  args.confirmed = fields.boolean("confirmed");
  args.cancelled = fields.boolean("cancelled").value_or(false);
  const int answers = (args.value ? 1 : 0) + (args.confirmed ? 1 : 0) + (args.cancelled ? 1 : 0);
  if (!fields.failure && answers != 1) {
    fields.wrong("value", "or `confirmed` or `cancelled`: exactly one of them is needed");
  }
  return args;
}

Args get_messages(Fields& fields) {
  GetMessages args;
  if (const auto before = fields.number("before_idx", false, INT32_MAX)) {
    args.before_idx = static_cast<std::uint32_t>(*before);
  }
  if (const auto limit = fields.number("limit", false, kMaxPage)) {
    args.limit = static_cast<std::uint32_t>(*limit);
  }
  return args;
}

Args get_part(Fields& fields) {
  GetPart args;
  args.message_id = fields.text("message_id", true);
  args.part_id = fields.text("part_id", true);
  args.offset = fields.number("offset", false, 1ULL << 40).value_or(0);
  args.length = fields.number("length", false, kMaxPieceBytes).value_or(args.length);
  if (args.length == 0) fields.wrong("length", "must be at least 1");
  args.length = std::max<std::uint64_t>(args.length, 4);  // room for any character: each piece goes on
  return args;
}

Args queue_edit(Fields& fields) {
  QueueEdit args{fields.text("item_id", true), fields.text("message", true, kMaxPromptBytes)};
  if (!fields.failure && blank(args.message)) fields.wrong("message", "is empty");
  return args;
}

Args queue_remove(Fields& fields) { return QueueRemove{fields.text("item_id", true)}; }

Args fork(Fields& fields) {
  Fork args{fields.text("entry_id", false), fields.text("message_id", false)};
  if (!fields.failure && args.entry_id.empty() == args.message_id.empty()) {
    fields.wrong("entry_id", "or `message_id`: exactly one of them is needed");
  }
  return args;
}

Args compact(Fields& fields) { return Compact{fields.text("instructions", false, 64 * 1024)}; }

Args set_model(Fields& fields) {
  return SetModel{fields.text("provider", true), fields.text("model_id", true)};
}

Args set_thinking_level(Fields& fields) {
  static constexpr std::array<std::string_view, 7> kLevels = {"off",  "minimal", "low", "medium",
                                                              "high", "xhigh",   "max"};
  const std::string level = fields.text("level", true);
  if (std::find(kLevels.begin(), kLevels.end(), level) == kLevels.end()) {
    fields.wrong("level", "must be off, minimal, low, medium, high, xhigh or max");
  }
  return SetThinkingLevel{level};
}

}  // namespace oqto::protocol
