#include "runner/reconcile.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "runner/pi_messages.h"

namespace oqto::runner {
namespace {

using protocol::Json;
using protocol::Message;
using protocol::Role;

// The messages of the branch that the harness is on, without those that it hides from the model.
std::vector<Message> branch_of(const Json& data) {
  std::vector<Message> branch;
  const Json* entries = data.find("entries");
  if (entries == nullptr || entries->array() == nullptr) return branch;
  std::map<std::string_view, const Json*> by_id;
  std::set<std::string_view> hidden;
  for (const Json& entry : *entries->array()) {
    by_id.emplace(entry.text_at("id"), &entry);
    const Json* replacement = entry.find("replacement");
    const bool omits = replacement != nullptr && replacement->is_null();
    if (entry.text_at("type") == "context_edit" && omits) hidden.insert(entry.text_at("targetId"));
  }
  std::string_view id = data.text_at("leafId");
  for (auto found = by_id.find(id); found != by_id.end(); found = by_id.find(id)) {
    const Json& entry = *found->second;
    const Json* message = entry.find("message");
    const bool shown = entry.text_at("type") == "message" && message != nullptr && !hidden.contains(id);
    const std::string_view role = shown ? message->text_at("role") : "";
    if (role == "user") branch.push_back(user_message(*message, std::string(id)));
    if (role == "assistant") branch.push_back(assistant_message(*message, std::string(id)));
    if (role == "toolResult") branch.push_back(tool_message(*message, std::string(id)));
    id = entry.text_at("parentId");
    by_id.erase(found);  // a file that leads back to itself ends too
  }
  std::reverse(branch.begin(), branch.end());
  return branch;
}

// The harness's clock stamps its own messages, and the history has kept that; what people said, it
// stamped later than we did.
bool same(const Message& ours, const Message& theirs) {
  if (ours.role != theirs.role) return false;
  if (ours.role == Role::user) return plain_text(ours) == plain_text(theirs);
  return ours.created_at == theirs.created_at && ours.tool_call_id == theirs.tool_call_id;
}

// The last message of the harness's own that both have: {behind it in ours, behind it in theirs}.
struct Anchor {
  std::size_t ours = 0;
  std::size_t theirs = 0;
  bool found = false;
};
Anchor last_common(const std::vector<Message>& ours, const std::vector<Message>& theirs) {
  for (std::size_t i = theirs.size(); i > 0; --i) {
    if (theirs[i - 1].role == Role::user) continue;
    for (std::size_t j = ours.size(); j > 0; --j) {
      if (same(ours[j - 1], theirs[i - 1])) return {j, i, true};
    }
  }
  return {};
}

}  // namespace

bool ends_turn(const Message& message) {
  return message.role == Role::assistant && message.stop_reason != "tool_use" && !message.stop_reason.empty();
}

Reconciled reconcile(const std::vector<Message>& history, bool whole, const Json& data, const Message* partial,
                     const std::function<std::string()>& new_id) {
  Reconciled result;
  std::vector<Message> branch = branch_of(data);
  const Anchor anchor = last_common(history, branch);
  // A compaction leaves the entries where they are, so without a common message only a whole history,
  // of a first turn, can be compared.
  if (!anchor.found && !whole) {
    result.comparable = false;
    return result;
  }
  std::size_t next = anchor.ours;
  for (std::size_t i = anchor.theirs; i < branch.size(); ++i) {
    // What people said, in order; between it may stand what only we have said of an end.
    std::size_t at = next;
    while (at < history.size() && !same(history[at], branch[i])) ++at;
    if (branch[i].role == Role::user && at < history.size()) {
      next = at + 1;
      continue;
    }
    Message message = std::move(branch[i]);
    const bool begun =
        partial != nullptr && message.role == Role::assistant && message.created_at == partial->created_at;
    result.partial_known |= begun;
    const std::string before = message.id;
    message.id = begun ? partial->id : new_id();
    for (protocol::Part& part : message.parts)
      part.id = message.id + part.id.substr(std::min(before.size(), part.id.size()));
    message.recovered = true;
    result.missing.push_back(std::move(message));
  }
  if (partial != nullptr && !result.partial_known) {
    result.partial_known = std::any_of(history.begin(), history.end(), [&](const Message& message) {
      return message.id == partial->id ||
             (message.role == Role::assistant && message.created_at == partial->created_at);
    });
  }
  // A prompt at the very end of the history, which nothing of the file answers to.
  result.prompt_unknown = result.missing.empty() && !history.empty() && history.back().role == Role::user &&
                          next < history.size();
  const Message* last = !result.missing.empty() ? &result.missing.back() : history.empty() ? nullptr : &history.back();
  result.answered = last == nullptr || ends_turn(*last);
  return result;
}

}  // namespace oqto::runner
