#include "runner/registry.h"

#include <fcntl.h>

#include <algorithm>
#include <array>

#include "base/sys.h"
#include "protocol/json.h"
#include "protocol/json_writer.h"
#include "runner/state_file.h"

namespace oqto::runner {
namespace {

using protocol::Json;
using protocol::JsonArray;
using protocol::JsonObject;

constexpr const char* kFile = "registry.json";
constexpr std::size_t kMaxFileBytes = 16 * 1024 * 1024;
constexpr std::array<std::string_view, 3> kProfiles = {"minimal", "development", "strict"};

std::uint64_t time_at(const Json& row, std::string_view key) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, row.integer_at(key)));
}

std::optional<SessionRecord> session_of(const Json& row) {
  SessionRecord record;
  record.id = row.text_at("id");
  record.workspace = row.text_at("workspace");
  const auto profile = profile_named(row.text_at("profile"));
  if (!record.id.starts_with("oqto-") || !Uuid::parse(record.id.substr(5)) ||
      !Uuid::parse(record.workspace) || !profile) {
    return std::nullopt;
  }
  record.profile = *profile;
  record.provider = row.text_at("provider");
  record.model = row.text_at("model");
  record.title = row.text_at("title");
  record.titled = row.boolean_at("titled");
  record.closed = row.boolean_at("closed");
  record.conversation = row.text_at("conversation");
  record.fork_entry = row.text_at("fork_entry");
  record.created_at = record.last_activity = time_at(row, "created_at");
  return record;
}

const Json::Array& rows(const Json& json, std::string_view key) {
  static const Json::Array kNone;
  const Json* field = json.find(key);
  return field == nullptr || field->array() == nullptr ? kNone : *field->array();
}

std::string encode(const Registry& registry) {
  JsonArray workspaces;
  for (const auto& [id, row] : registry.workspaces) {
    JsonObject object;
    object.text("id", id).text("name", row.name).number("created_at", row.created_at);
    workspaces.json(object.str());
  }
  JsonArray sessions;
  for (const auto& [id, row] : registry.sessions) {
    JsonObject object;
    object.text("id", id).text("workspace", row.workspace);
    object.text("profile", profile_name(row.profile)).text("provider", row.provider);
    object.text("model", row.model).text("title", row.title).boolean("titled", row.titled);
    object.boolean("closed", row.closed).text_unless_empty("conversation", row.conversation);
    object.text_unless_empty("fork_entry", row.fork_entry);
    sessions.json(object.number("created_at", row.created_at).str());
  }
  JsonObject file;
  file.number("version", 1).json("workspaces", workspaces.str()).json("sessions", sessions.str());
  return file.str() + '\n';
}

}  // namespace

std::string_view profile_name(ipc::Profile profile) {
  return kProfiles[static_cast<std::size_t>(profile)];
}

std::optional<ipc::Profile> profile_named(std::string_view name) {
  const auto found = std::find(kProfiles.begin(), kProfiles.end(), name);
  if (found == kProfiles.end()) return std::nullopt;
  return static_cast<ipc::Profile>(found - kProfiles.begin());
}

Uuid session_uuid(std::string_view session_id) {
  const auto uuid = Uuid::parse(session_id.substr(std::min<std::size_t>(5, session_id.size())));
  CHECK(uuid.has_value());
  return *uuid;
}

Result<Registry> Registry::load(const Fd& state_dir) {
  Registry registry;
  const auto file = sys::open_beneath(state_dir, kFile, O_RDONLY);
  if (!file && file.error().sys == ENOENT) return registry;
  if (!file) return std::unexpected(file.error());
  const std::string text = TRY(sys::read_all(*file, kMaxFileBytes));
  const Json json = TRY(protocol::parse_json(text));
  // A file that we cannot read whole must not be overwritten with less.
  if (json.integer_at("version") != 1) return fail(Errc::invalid, "registry.json: unknown version");
  for (const Json& row : rows(json, "workspaces")) {
    Workspace workspace{std::string(row.text_at("id")), std::string(row.text_at("name")),
                        time_at(row, "created_at")};
    if (!Uuid::parse(workspace.id)) return fail(Errc::invalid, "registry.json: a bad workspace");
    registry.workspaces.emplace(workspace.id, workspace);
  }
  for (const Json& row : rows(json, "sessions")) {
    auto record = session_of(row);
    if (!record) return fail(Errc::invalid, "registry.json: a bad session");
    registry.sessions.emplace(record->id, std::move(*record));
  }
  return registry;
}

Status Registry::save(const Fd& state_dir) const { return replace_file(state_dir, kFile, encode(*this)); }

}  // namespace oqto::runner
