// One row of the tables conversations and messages, to and from its protobuf message.
#pragma once
#include <string>
#include <string_view>

#include "base/result.h"
#include "hstry/sqlite.h"

namespace hstry::service {
class Conversation;
class Message;
class UpdateConversationRequest;
}  // namespace hstry::service

namespace oqto::hstry {

namespace proto = ::hstry::service;

std::string select_conversation(std::string_view condition);
void read_conversation(const Statement& row, proto::Conversation& out);
std::string conversation_row_id(const Statement& row);
Status upsert_conversation(const Database& db, const proto::Conversation& header);
Status update_conversation(const Database& db, const std::string& id,
                           const proto::UpdateConversationRequest& change);

std::string select_message(std::string_view condition);
void read_message(const Statement& row, proto::Message& out);
// `id` is used when the message has none of its own.
Status insert_message(const Database& db, const std::string& conversation,
                      const proto::Message& message, const std::string& id);

}  // namespace oqto::hstry
