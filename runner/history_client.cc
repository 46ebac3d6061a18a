#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "base/sys.h"
#include "hstry.grpc.pb.h"
#include "protocol/json_writer.h"
#include "runner/history.h"

namespace oqto::runner {
namespace {

namespace api = hstry::service;
using protocol::Message;

constexpr const char* kSource = "oqto";
constexpr int kMaxMessageBytes = 64 * 1024 * 1024;
constexpr std::size_t kMaxQueued = 1024;
constexpr std::chrono::seconds kDeadline{10};

struct Stubs {
  std::unique_ptr<api::WriteService::Stub> write;
  std::unique_ptr<api::ReadService::Stub> read;
};

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
  out.set_source_id(kSource);
  out.set_external_id(head.session_id);
  out.set_platform_id(head.session_id);
  out.set_harness("pi");
  out.set_workspace(head.workspace);
  out.set_created_at_ms(static_cast<std::int64_t>(head.created_at));
  if (!head.title.empty()) out.set_title(head.title);
  if (!head.model.empty()) out.set_model(head.model);
  if (!head.provider.empty()) out.set_provider(head.provider);
}

template <class Request>
Request named(const std::string& session_id) {
  Request request;
  request.set_source_id(kSource);
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
    call<Written>(std::move(done), [session_id = std::move(session_id), head = std::move(head),
                                    messages = std::move(messages)](Stubs& stubs) {
      return head ? write(stubs, *head, messages) : append_to(stubs, session_id, messages);
    });
  }

  void set_title(std::string session_id, std::string title, Done<void> done) override {
    auto request = named<api::UpdateConversationRequest>(session_id);
    request.set_title(title);
    update(std::move(request), std::move(done));
  }

  void set_model(std::string session_id, std::string provider, std::string model,
                 Done<void> done) override {
    auto request = named<api::UpdateConversationRequest>(session_id);
    request.set_provider(provider);
    request.set_model(model);
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
    call<Page>(std::move(done), [=](Stubs& stubs) -> Result<Page> {
      grpc::ClientContext context;
      give_time(context);
      auto request = named<api::GetMessagesRequest>(session_id);
      request.set_limit(static_cast<std::int32_t>(limit));
      if (before_idx) request.set_before_idx(static_cast<std::int32_t>(*before_idx));
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

  void list(Done<std::vector<ConversationSummary>> done) override {
    call<std::vector<ConversationSummary>>(std::move(done), list_all);
  }

 private:
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
    constexpr std::int32_t kPage = 500;
    std::vector<ConversationSummary> all;
    for (std::int32_t offset = 0; offset < 20 * kPage; offset += kPage) {
      grpc::ClientContext context;
      give_time(context);
      api::ListConversationsRequest request;
      request.set_source_id(kSource);
      request.set_limit(kPage);
      request.set_offset(offset);
      api::ListConversationsResponse response;
      const auto status = stubs.read->ListConversations(&context, request, &response);
      if (!status.ok()) return failure(status);
      for (const api::ConversationSummary& row : response.conversations()) {
        all.push_back({row.conversation().external_id(),
                       static_cast<std::uint64_t>(row.conversation().updated_at_ms()),
                       static_cast<std::uint64_t>(row.message_count())});
      }
      if (response.conversations_size() < kPage) break;
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
    stubs_ = {api::WriteService::NewStub(channel), api::ReadService::NewStub(channel)};
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
