// Pi's message records (AgentMessage of Pi 1.5.2) as canonical messages. Pi runs in the sandbox, so
// its records are a stranger's: anything may be missing or of another type.
#pragma once
#include <string>
#include <string_view>

#include "protocol/json.h"
#include "protocol/message.h"

namespace oqto::runner {

// stop, length, tool_use, error, aborted; what Pi may add later counts as stop.
std::string canonical_stop_reason(std::string_view pi);

// A part's id is made from its message's id and its place, so that deltas and storage agree.
std::string part_id(std::string_view message_id, std::size_t index);

// The arguments of a tool call as JSON; those nested deeper than 32 are one text that holds theirs.
std::string input_json(const protocol::Json* arguments);

protocol::Message user_message(const protocol::Json& pi, std::string id);
protocol::Message assistant_message(const protocol::Json& pi, std::string id);
protocol::Message tool_message(const protocol::Json& pi, std::string id);

// The text blocks of a content array joined; of an image, a note.
std::string content_text(const protocol::Json* content);
bool is_text(const protocol::Json* content);  // and nothing else

}  // namespace oqto::runner
