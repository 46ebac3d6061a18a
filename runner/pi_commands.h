// The only lines that ever go to Pi: objects that we build here, from checked fields. (Pi dies of a
// line `null`, and checks no field.)
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "protocol/command.h"
#include "protocol/json.h"
#include "runner/sandbox_link.h"

namespace oqto::runner::pi {

enum class Delivery { now, steer, follow_up };

std::string prompt(std::string_view id, const protocol::Prompt& prompt, Delivery delivery);
std::string plain(std::string_view id, std::string_view type);  // get_state, abort, clear_queue …
std::string set_model(std::string_view id, const protocol::SetModel& model);
std::string set_thinking_level(std::string_view id, std::string_view level);
std::string dialog_answer(const protocol::InputResponse& response);

std::string compact(std::string_view id, std::string_view instructions);
std::string fork(std::string_view id, std::string_view entry);

// Pi itself, with the conversation of this id of its own.
Program program(std::string_view conversation, std::string_view provider, std::string_view model);
// What is done to its files from inside: they are the agent's.
Program remove_conversation(std::string_view conversation);  // writes the names of what stays
Program list_processes();                                    // writes what /proc holds
Program read_file(const std::string& path);
// The file with all of a tool's output, if `pi`, a tool's result, names one that may be read.
std::string full_output_path(const protocol::Json& pi);

}  // namespace oqto::runner::pi
