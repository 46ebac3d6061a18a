// The only lines that ever go to Pi: objects that we build here, from checked fields. (Pi dies of a
// line `null`, and checks no field.)
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "protocol/command.h"

namespace oqto::runner::pi {

enum class Delivery { now, steer, follow_up };

std::string prompt(std::string_view id, const protocol::Prompt& prompt, Delivery delivery);
std::string plain(std::string_view id, std::string_view type);  // get_state, abort, clear_queue …
std::string set_model(std::string_view id, const protocol::SetModel& model);
std::string set_thinking_level(std::string_view id, std::string_view level);
std::string dialog_answer(const protocol::InputResponse& response);

// argv, environment and directory of Pi inside the sandbox.
struct Start {
  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::string cwd;
};
Start start(std::string_view session_uuid, std::string_view provider, std::string_view model);

}  // namespace oqto::runner::pi
