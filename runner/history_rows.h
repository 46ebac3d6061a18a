// Messages and conversations as the history service's protobuf messages, and its errors as ours.
#pragma once
#include <grpcpp/grpcpp.h>

#include "hstry.pb.h"
#include "runner/history.h"

namespace oqto::runner {

namespace api = ::hstry::service;

std::unexpected<Error> failure(const grpc::Status& status);
void fill(const protocol::Message& message, api::Message& out);
protocol::Message read(const api::Message& in);
void fill(const ConversationHead& head, api::Conversation& out);
ConversationSummary summary(const api::Conversation& in, std::int64_t messages);
std::uint64_t count(std::int64_t value);  // none is negative

constexpr const char* kHistorySource = "oqto";

}  // namespace oqto::runner
