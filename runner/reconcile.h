// The history and the harness's own file, compared after something died. Pure: what the history lacks,
// and what became of the last prompt.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "protocol/json.h"
#include "protocol/message.h"

namespace oqto::runner {

struct Reconciled {
  // In order, behind what the history has. Ids are new, or `partial`'s for the message that it began.
  // User messages among them were waiting in the queue when they were delivered.
  std::vector<protocol::Message> missing;
  bool comparable = true;        // false: the two have nothing in common to go by
  bool prompt_unknown = false;   // the history's last prompt never reached the harness
  bool partial_known = false;    // `partial` is in the file, or in the history
  bool answered = false;         // with `missing` appended, the last message ends a turn
};

// `history`: its last messages, in order; `whole`: they are all there are. `data`: of get_entries.
// `partial`: what had been streamed of an answer, or null.
Reconciled reconcile(const std::vector<protocol::Message>& history, bool whole, const protocol::Json& data,
                     const protocol::Message* partial, const std::function<std::string()>& new_id);

// Does this message end a turn, so that nothing is owed after it?
bool ends_turn(const protocol::Message& message);

}  // namespace oqto::runner
