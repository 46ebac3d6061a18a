#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "base/sys.h"
#include "hstry.grpc.pb.h"
#include "runner/history_rows.h"

namespace oqto::runner {
namespace {

using protocol::Message;

constexpr int kMaxMessageBytes = 64 * 1024 * 1024;
constexpr std::size_t kMaxQueued = 1024;
constexpr std::chrono::seconds kDeadline{10};
constexpr std::size_t kPieceBytes = 4 * 1024 * 1024;

struct Stubs {
  std::unique_ptr<api::WriteService::Stub> write;
  std::unique_ptr<api::ReadService::Stub> read;
  std::unique_ptr<api::PartService::Stub> parts;
};

template <class Request>
Request named(const std::string& session_id) {
  Request request;
  request.set_source_id(kHistorySource);
  request.set_external_id(session_id);
  return request;
}

void give_time(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + kDeadline);
}

// One thread makes the calls, one after another; the reactor never waits for it.
class Client final : public History {
 public:
  explicit Client(Reactor& reactor) : reactor_(reactor), worker_([this] { work(); }) {}
  ~Client() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      jobs_.clear();
    }
    wake_.notify_all();
    worker_.join();
  }

  void attach(Fd stream) override {
    auto handed = std::make_shared<Fd>(std::move(stream));
    enqueue([this, handed] { connect(std::move(*handed)); }, [] {});
  }

  void append(std::string session_id, std::optional<ConversationHead> head,
              std::vector<Message> messages, Done<Written> done) override {
    call<Written>(std::move(done),
                  [session_id = std::move(session_id), head = std::move(head),
                   messages = std::move(messages)](Stubs& stubs) -> Result<Written> {
                    const bool wholes = std::any_of(messages.begin(), messages.end(),
                                                    [](const Message& m) { return !m.wholes.empty(); });
                    if (wholes && head) TRY(write(stubs, *head, {}));  // what they belong to
                    for (const Message& message : messages) {
                      for (const protocol::WholePart& whole : message.wholes) {
                        const Status put = put_whole(stubs, session_id, message.id, whole);
                        if (!put && put.error().code == Errc::unavailable) return std::unexpected(put.error());
                        if (!put) log::error("the whole of a long part was not stored", put.error());
                      }
                    }
                    return head ? write(stubs, *head, messages) : append_to(stubs, session_id, messages);
                  });
  }

  void message(std::string session_id, std::string message_id, Done<Page> done) override {
    auto request = named<api::GetMessagesRequest>(session_id);
    request.set_message_id(message_id);
    find(std::move(request), std::move(done));
  }

  void of_client(std::string session_id, std::string client_id, Done<Page> done) override {
    auto request = named<api::GetMessagesRequest>(session_id);
    request.set_client_id(client_id);
    find(std::move(request), std::move(done));
  }

  void put_part(std::string session_id, std::string message_id, protocol::WholePart whole, Done<void> done) override {
    call<void>(std::move(done), [session_id = std::move(session_id), message_id = std::move(message_id),
                                 whole = std::move(whole)](Stubs& stubs) {
      return put_whole(stubs, session_id, message_id, whole);
    });
  }

  void part(std::string session_id, std::string message_id, std::string part_id, std::uint64_t offset,
            std::uint32_t length, Done<Piece> done) override {
    auto request = named<api::GetPartRequest>(session_id);
    request.set_message_id(message_id);
    request.set_part_id(part_id);
    request.set_offset(static_cast<std::int64_t>(offset));
    request.set_length(static_cast<std::int32_t>(length));
    call<Piece>(std::move(done), [request = std::move(request)](Stubs& stubs) -> Result<Piece> {
      grpc::ClientContext context;
      give_time(context);
      api::GetPartResponse response;
      const auto status = stubs.parts->GetPart(&context, request, &response);
      if (!status.ok()) return failure(status);
      return Piece{std::move(*response.mutable_data()), count(response.total())};
    });
  }

  void fork(ConversationHead head, std::string from_session, std::uint32_t before_idx, std::string suffix,
            Done<void> done) override {
    api::ForkConversationRequest request;
    fill(head, *request.mutable_conversation());
    request.set_from_external_id(from_session);
    request.set_before_idx(static_cast<std::int32_t>(before_idx));
    request.set_id_suffix(suffix);
    call<void>(std::move(done), [request = std::move(request)](Stubs& stubs) -> Status {
      grpc::ClientContext context;
      give_time(context);
      api::ForkConversationResponse response;
      const auto status = stubs.write->ForkConversation(&context, request, &response);
      if (!status.ok()) return failure(status);
      return {};
    });
  }

  void set_title(std::string session_id, std::string title, Done<void> done) override {
    auto request = named<api::UpdateConversationRequest>(session_id);
    request.set_title(title);
    update(std::move(request), std::move(done));
  }

  void remove(std::string session_id, Done<void> done) override {
    call<void>(std::move(done), [session_id = std::move(session_id)](Stubs& stubs) -> Status {
      grpc::ClientContext context;
      give_time(context);
      api::DeleteConversationResponse response;
      const auto status = stubs.write->DeleteConversation(
          &context, named<api::DeleteConversationRequest>(session_id), &response);
      if (!status.ok()) return failure(status);
      return {};
    });
  }

  void page(std::string session_id, std::optional<std::uint32_t> before_idx, std::uint32_t limit,
            Done<Page> done) override {
    auto request = named<api::GetMessagesRequest>(session_id);
    request.set_limit(static_cast<std::int32_t>(limit));
    if (before_idx) request.set_before_idx(static_cast<std::int32_t>(*before_idx));
    find(std::move(request), std::move(done));
  }

  void list(Done<std::vector<ConversationSummary>> done) override {
    call<std::vector<ConversationSummary>>(std::move(done), list_all);
  }

 private:
  void find(api::GetMessagesRequest request, Done<Page> done) {
    call<Page>(std::move(done), [request = std::move(request)](Stubs& stubs) -> Result<Page> {
      grpc::ClientContext context;
      give_time(context);
      api::GetMessagesResponse response;
      const auto status = stubs.read->GetMessages(&context, request, &response);
      if (status.error_code() == grpc::StatusCode::NOT_FOUND) return Page{};
      if (!status.ok()) return failure(status);
      Page page;
      page.has_more = response.has_more();
      for (const api::Message& message : response.messages()) page.messages.push_back(read(message));
      return page;
    });
  }

  static Status put_whole(Stubs& stubs, const std::string& session_id, const std::string& message_id,
                          const protocol::WholePart& whole) {
    for (std::size_t offset = 0; offset < whole.bytes.size(); offset += kPieceBytes) {
      grpc::ClientContext context;
      give_time(context);
      auto request = named<api::PutPartRequest>(session_id);
      request.set_message_id(message_id);
      request.set_part_id(whole.part_id);
      request.set_offset(static_cast<std::int64_t>(offset));
      request.set_data(whole.bytes.substr(offset, kPieceBytes));
      api::PutPartResponse response;
      const auto status = stubs.parts->PutPart(&context, request, &response);
      if (!status.ok()) return failure(status);
    }
    return {};
  }

  static Result<Written> write(Stubs& stubs, const ConversationHead& head,
                               const std::vector<Message>& messages) {
    grpc::ClientContext context;
    give_time(context);
    api::WriteConversationRequest request;
    fill(head, *request.mutable_conversation());
    for (const Message& message : messages) fill(message, *request.add_messages());
    api::WriteConversationResponse response;
    const auto status = stubs.write->WriteConversation(&context, request, &response);
    if (!status.ok()) return failure(status);
    return Written{static_cast<std::uint64_t>(response.version()),
                   static_cast<std::uint64_t>(response.message_count())};
  }

  static Result<Written> append_to(Stubs& stubs, const std::string& session_id,
                                   const std::vector<Message>& messages) {
    grpc::ClientContext context;
    give_time(context);
    auto request = named<api::AppendMessagesRequest>(session_id);
    request.set_updated_at_ms(static_cast<std::int64_t>(sys::now_ms()));
    for (const Message& message : messages) fill(message, *request.add_messages());
    api::AppendMessagesResponse response;
    const auto status = stubs.write->AppendMessages(&context, request, &response);
    if (!status.ok()) return failure(status);
    return Written{static_cast<std::uint64_t>(response.version()),
                   static_cast<std::uint64_t>(response.message_count())};
  }

  static Result<std::vector<ConversationSummary>> list_all(Stubs& stubs) {
    constexpr std::int32_t kPage = 200;  // as many as the service gives at once
    std::vector<ConversationSummary> all;
    for (std::int32_t offset = 0; offset < 100 * kPage;) {
      grpc::ClientContext context;
      give_time(context);
      api::ListConversationsRequest request;
      request.set_source_id(kHistorySource);
      request.set_limit(kPage);
      request.set_offset(offset);
      api::ListConversationsResponse response;
      const auto status = stubs.read->ListConversations(&context, request, &response);
      if (!status.ok()) return failure(status);
      for (const api::ConversationSummary& row : response.conversations()) {
        all.push_back(summary(row.conversation(), row.message_count()));
      }
      // A page may be shorter than was asked for: only an empty one is the end.
      if (response.conversations_size() == 0) break;
      offset += response.conversations_size();
    }
    return all;
  }

  void update(api::UpdateConversationRequest request, Done<void> done) {
    call<void>(std::move(done), [request = std::move(request)](Stubs& stubs) -> Status {
      grpc::ClientContext context;
      give_time(context);
      api::UpdateConversationResponse response;
      const auto status = stubs.write->UpdateConversation(&context, request, &response);
      if (!status.ok()) return failure(status);
      return {};
    });
  }

  template <class T, class Call>
  void call(Done<T> done, Call make) {
    auto job = [this, done, make = std::move(make)] {
      Result<T> result = fail(Errc::unavailable, "the history is not connected");
      if (stubs_.write) result = make(stubs_);
      reactor_.post([done, result = std::move(result)]() mutable { done(std::move(result)); });
    };
    enqueue(std::move(job), [this, done] {
      reactor_.post([done] { done(fail(Errc::unavailable, "too many calls wait for the history")); });
    });
  }

  void enqueue(Task job, const Task& refused) {
    {
      const std::lock_guard lock(mutex_);
      if (jobs_.size() < kMaxQueued) {
        jobs_.push_back(std::move(job));
        wake_.notify_one();
        return;
      }
    }
    refused();
  }

  void connect(Fd stream) {
    (void)sys::set_nonblocking(stream, true);
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
    arguments.SetMaxSendMessageSize(kMaxMessageBytes);
    const auto channel =
        grpc::CreateCustomInsecureChannelFromFd("hstry", stream.release(), arguments);
    stubs_ = {api::WriteService::NewStub(channel), api::ReadService::NewStub(channel),
              api::PartService::NewStub(channel)};
  }

  void work() {
    for (;;) {
      Task job;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
        if (stopping_) return;
        job = std::move(jobs_.front());
        jobs_.pop_front();
      }
      job();
    }
  }

  Reactor& reactor_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> jobs_;
  bool stopping_ = false;
  Stubs stubs_;  // the worker's alone
  std::thread worker_;
};

}  // namespace

std::unique_ptr<History> make_history_client(Reactor& reactor) {
  return std::make_unique<Client>(reactor);
}

}  // namespace oqto::runner
