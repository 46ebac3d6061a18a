// The chat history of one tenant in one SQLite file. Each call is one transaction; when a mutation
// returns without error it is on the disk. Messages are append-only: a stored one never changes.
// Thread-safe.
//
// Errors: Errc::not_found, Errc::denied (another message has that idx), Errc::invalid,
// Errc::limit (a bound: it will never be taken), Errc::unavailable (the disk is full), Errc::io.
#pragma once
#include <cstddef>
#include <memory>
#include <string>

#include "base/result.h"

namespace hstry::service {
class AppendMessagesRequest;
class AppendMessagesResponse;
class DeleteConversationRequest;
class DeleteConversationResponse;
class ForkConversationRequest;
class ForkConversationResponse;
class GetConversationRequest;
class GetConversationResponse;
class GetMessagesRequest;
class GetMessagesResponse;
class GetPartRequest;
class GetPartResponse;
class ListConversationsRequest;
class ListConversationsResponse;
class PutPartRequest;
class UpdateConversationRequest;
class UpdateConversationResponse;
class WriteConversationRequest;
class WriteConversationResponse;
}  // namespace hstry::service

namespace oqto::hstry {

namespace proto = ::hstry::service;

constexpr std::size_t kMaxMessageBytes = 15 * 1024 * 1024;  // one chat message
constexpr std::size_t kMaxHeaderBytes = 64 * 1024;          // one conversation without its messages
constexpr std::size_t kMaxPageBytes = kMaxMessageBytes + 512 * 1024;
constexpr std::size_t kMaxIdBytes = 512;
constexpr int kMaxListed = 200;
constexpr int kMaxMessagesPerCall = 10'000;
constexpr std::size_t kMaxPreviewBytes = 200;
constexpr std::size_t kMaxPieceBytes = 8 * 1024 * 1024;            // of a part, in one call
constexpr std::int64_t kMaxPartBytes = 256 * 1024 * 1024;

class Store {
 public:
  // Opens or creates `dir`/hstry.db. A file of a newer program is refused.
  static Result<std::unique_ptr<Store>> open(const std::string& dir);
  virtual ~Store() = default;

  // Whether something could be written now: writes a number of the file's header anew.
  virtual Status probe() = 0;
  virtual Status write(const proto::WriteConversationRequest& request,
                       proto::WriteConversationResponse& response) = 0;
  virtual Status append(const proto::AppendMessagesRequest& request,
                        proto::AppendMessagesResponse& response) = 0;
  virtual Status update(const proto::UpdateConversationRequest& request,
                        proto::UpdateConversationResponse& response) = 0;
  virtual Status remove(const proto::DeleteConversationRequest& request,
                        proto::DeleteConversationResponse& response) = 0;
  // Errc::denied: there is one of that name already.
  virtual Status fork(const proto::ForkConversationRequest& request, proto::ForkConversationResponse& response) = 0;
  virtual Status conversation(const proto::GetConversationRequest& request,
                              proto::GetConversationResponse& response) = 0;
  virtual Status messages(const proto::GetMessagesRequest& request,
                          proto::GetMessagesResponse& response) = 0;
  virtual Status list(const proto::ListConversationsRequest& request,
                      proto::ListConversationsResponse& response) = 0;
  virtual Status put_part(const proto::PutPartRequest& request) = 0;
  virtual Status get_part(const proto::GetPartRequest& request, proto::GetPartResponse& response) = 0;
};

}  // namespace oqto::hstry
