// The fields of each command that has any: one decoder per command, used by command.cc's table.
#pragma once
#include "protocol/command.h"
#include "protocol/fields.h"

namespace oqto::protocol {

using Args = decltype(Command::args);

Args create_workspace(Fields& fields);
Args create_session(Fields& fields);
Args subscribe(Fields& fields);
Args set_name(Fields& fields);
Args prompt(Fields& fields);
Args queue_edit(Fields& fields);
Args queue_remove(Fields& fields);
Args input_response(Fields& fields);
Args get_messages(Fields& fields);
Args get_part(Fields& fields);
Args fork(Fields& fields);
Args compact(Fields& fields);
Args set_model(Fields& fields);
Args set_thinking_level(Fields& fields);

}  // namespace oqto::protocol
