#include "runner/history_rows.h"

#include <algorithm>

#include "protocol/json.h"
#include "protocol/json_writer.h"

namespace oqto::runner {

using protocol::Message;

static constexpr double kNanos = 1e9;

std::unexpected<Error> failure(const grpc::Status& status) {
  if (status.error_code() == grpc::StatusCode::NOT_FOUND) {
    return fail(Errc::not_found, "the history does not know this conversation");
  }
  if (status.error_code() == grpc::StatusCode::ALREADY_EXISTS) {
    return fail(Errc::denied, "the history has another message at this place");
  }
  if (status.error_code() == grpc::StatusCode::INVALID_ARGUMENT) {
    return fail(Errc::invalid, "the history refused a message as invalid");
  }
  if (status.error_code() == grpc::StatusCode::OUT_OF_RANGE) {
    return fail(Errc::limit, "the history refused a message as too large");
  }
  return fail(Errc::unavailable, "the history does not answer");
}

void fill(const Message& message, api::Message& out) {
  out.set_idx(static_cast<std::int32_t>(message.idx));
  out.set_role(std::string(protocol::role_name(message.role)));
  out.set_content(protocol::plain_text(message));
  out.set_parts_json(protocol::encode_parts(message.parts));
  out.set_created_at_ms(static_cast<std::int64_t>(message.created_at));
  out.set_metadata_json(protocol::encode_metadata(message));
  out.set_harness("pi");
  out.set_id(message.id);
  if (!message.model.empty()) out.set_model(message.model);
  if (!message.provider.empty()) out.set_provider(message.provider);
  if (!message.client_id.empty()) out.set_client_id(message.client_id);
  if (message.usage) {
    out.set_tokens(static_cast<std::int64_t>(message.usage->input + message.usage->output));
    out.set_cost_usd(message.usage->cost);
  }
}

Message read(const api::Message& in) {
  Message message;
  message.id = in.id();
  message.idx = static_cast<std::uint32_t>(std::max(0, in.idx()));
  message.role = protocol::role_named(in.role()).value_or(protocol::Role::system);
  message.created_at = static_cast<std::uint64_t>(std::max<std::int64_t>(0, in.created_at_ms()));
  message.model = in.model();
  message.provider = in.provider();
  message.client_id = in.client_id();
  if (!protocol::decode_metadata(in.metadata_json(), message)) message.error = "unreadable metadata";
  auto parts = protocol::decode_parts(in.parts_json());
  if (parts) {
    message.parts = std::move(*parts);
  } else {
    message.parts = {{.type = protocol::Part::Type::text, .id = message.id + ".0", .text = in.content()}};
  }
  return message;
}

void fill(const ConversationHead& head, api::Conversation& out) {
  out.set_source_id(kHistorySource);
  out.set_external_id(head.session_id);
  out.set_platform_id(head.session_id);
  out.set_harness("pi");
  out.set_workspace(head.workspace);
  out.set_created_at_ms(static_cast<std::int64_t>(head.created_at));
  if (!head.title.empty()) out.set_title(head.title);
  if (!head.model.empty()) out.set_model(head.model);
  if (!head.provider.empty()) out.set_provider(head.provider);
  out.set_tokens_in(static_cast<std::int64_t>(head.usage.tokens_in));
  out.set_tokens_out(static_cast<std::int64_t>(head.usage.tokens_out));
  out.set_cost_usd(static_cast<double>(head.usage.cost_nanos) / kNanos);
  protocol::JsonObject counts;
  counts.number("calls", head.usage.calls).number("estimated_calls", head.usage.estimated_calls);
  out.set_metadata_json(counts.str());
}

std::uint64_t count(std::int64_t value) { return static_cast<std::uint64_t>(std::max<std::int64_t>(0, value)); }

ConversationSummary summary(const api::Conversation& in, std::int64_t messages) {
  ConversationSummary row{.session_id = in.external_id(), .model = in.model(), .provider = in.provider(),
                          .updated_at = count(in.updated_at_ms()), .message_count = count(messages), .usage = {}};
  row.usage.tokens_in = count(in.tokens_in());
  row.usage.tokens_out = count(in.tokens_out());
  row.usage.cost_nanos = static_cast<std::uint64_t>(std::max(0.0, in.cost_usd()) * kNanos + 0.5);
  if (const auto counts = protocol::parse_json(in.metadata_json())) {
    row.usage.calls = count(counts->integer_at("calls"));
    row.usage.estimated_calls = count(counts->integer_at("estimated_calls"));
  }
  return row;
}

}  // namespace oqto::runner
