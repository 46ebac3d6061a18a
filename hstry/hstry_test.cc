// The real process over a real socket, with this test as guard and runner.
#include <fcntl.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <filesystem>

#include "base/sys.h"
#include "hstry.grpc.pb.h"
#include "ipc/channel.h"

namespace oqto::hstry {
namespace {

namespace proto = ::hstry::service;
constexpr int kMaxWireBytes = 16 * 1024 * 1024;
constexpr int kPatienceMs = 20'000;

class Process {
 public:
  explicit Process(const std::string& dir) {
    auto guard = sys::seqpacket_pair();
    auto audit = sys::seqpacket_pair();
    auto runner = sys::stream_pair();
    EXPECT_TRUE(guard && audit && runner);
    pid_ = ::fork();
    if (pid_ == 0) {
      // Above the fixed numbers first, so that no dup2 closes a source.
      const int g = ::fcntl(guard->second.get(), F_DUPFD, 50);
      const int a = ::fcntl(audit->second.get(), F_DUPFD, 50);
      const int r = ::fcntl(runner->second.get(), F_DUPFD, 50);
      ::dup2(g, 3);
      ::dup2(a, 4);
      ::dup2(r, 5);
      ::execl(HSTRY_BINARY, "hstry", "--state-dir", dir.c_str(), nullptr);
      ::_exit(127);
    }
    guard->second.reset();  // so that the end of the process is seen at once
    guard_ = ipc::Channel(std::move(guard->first));
    const auto ready = guard_.wait(kPatienceMs);
    EXPECT_TRUE(ready && ready->as<ipc::Ready>());
    connect(std::move(runner->first));
  }
  ~Process() {
    if (pid_ > 0) end(SIGKILL);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // As after a restart of the runner: a new socket for the same service.
  void rewire() {
    auto pair = sys::stream_pair();
    ASSERT_TRUE(pair);
    ASSERT_TRUE(guard_.send(ipc::Wire{.role = ipc::WireRole::peer}, pair->second));
    connect(std::move(pair->first));
  }
  // Returns the wait status.
  int end(int signal) {
    int status = -1;
    ::kill(pid_, signal);
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }
  int end_by_closing_the_guard() {
    int status = -1;
    guard_ = ipc::Channel();
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }

  std::unique_ptr<proto::WriteService::Stub> write;
  std::unique_ptr<proto::ReadService::Stub> read;
  std::unique_ptr<proto::PartService::Stub> parts;

 private:
  void connect(Fd socket) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxWireBytes);
    auto channel = grpc::CreateCustomInsecureChannelFromFd("hstry", socket.release(), arguments);
    write = proto::WriteService::NewStub(channel);
    read = proto::ReadService::NewStub(channel);
    parts = proto::PartService::NewStub(channel);
  }

  pid_t pid_ = -1;
  ipc::Channel guard_;
};

class Hstry : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "hstryXXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir_ = name;
    start();
  }
  void TearDown() override {
    process_.reset();
    std::filesystem::remove_all(dir_);
  }
  void start() { process_ = std::make_unique<Process>(dir_); }

  static proto::Message message(int idx, const std::string& role, const std::string& content) {
    proto::Message m;
    m.set_idx(idx);
    m.set_role(role);
    m.set_content(content);
    m.set_parts_json("[]");
    return m;
  }
  template <class Request>
  static Request of_a(const std::string& id = "a") {
    Request request;
    request.set_source_id("oqto");
    request.set_external_id(id);
    return request;
  }
  grpc::Status create(const std::string& id, const std::string& workspace = "w") {
    proto::WriteConversationRequest request;
    request.mutable_conversation()->set_source_id("oqto");
    request.mutable_conversation()->set_external_id(id);
    request.mutable_conversation()->set_workspace(workspace);
    request.mutable_conversation()->set_created_at_ms(1);
    grpc::ClientContext context;
    return process_->write->WriteConversation(&context, request, &written_);
  }
  grpc::Status append(const std::string& id, std::vector<proto::Message> messages) {
    auto request = of_a<proto::AppendMessagesRequest>(id);
    for (const auto& m : messages) *request.add_messages() = m;
    grpc::ClientContext context;
    return process_->write->AppendMessages(&context, request, &appended_);
  }
  proto::GetMessagesResponse get(const std::string& id, int limit = 0, int before = -1) {
    auto request = of_a<proto::GetMessagesRequest>(id);
    request.set_limit(limit);
    if (before >= 0) request.set_before_idx(before);
    proto::GetMessagesResponse response;
    grpc::ClientContext context;
    get_status_ = process_->read->GetMessages(&context, request, &response);
    return response;
  }

  std::string dir_;
  std::unique_ptr<Process> process_;
  proto::WriteConversationResponse written_;
  proto::AppendMessagesResponse appended_;
  grpc::Status get_status_;
};

TEST_F(Hstry, StoresAndReturnsWhatWasAppended) {
  ASSERT_TRUE(create("a").ok());
  EXPECT_EQ(written_.version(), 1);
  auto full = message(1, "assistant", "yes");
  full.set_model("m");
  full.set_tokens(7);
  full.set_cost_usd(0.5);
  full.set_client_id("c");
  full.set_id("chosen-id");
  const auto status = append("a", {message(0, "user", std::string("nul\0byte", 8)), full});
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(appended_.messages_written(), 2);
  EXPECT_EQ(appended_.message_count(), 2);
  EXPECT_EQ(appended_.version(), 2);
  const auto got = get("a");
  ASSERT_EQ(got.messages_size(), 2);
  EXPECT_EQ(got.messages(0).content(), std::string("nul\0byte", 8));
  EXPECT_FALSE(got.messages(0).id().empty());
  EXPECT_FALSE(got.messages(0).has_model());
  EXPECT_EQ(got.messages(1).SerializeAsString(), full.SerializeAsString());
}

TEST_F(Hstry, ARepeatedAppendIsStoredOnceAndBumpsNothing) {
  ASSERT_TRUE(create("a").ok());
  ASSERT_TRUE(append("a", {message(0, "user", "hi")}).ok());
  ASSERT_TRUE(append("a", {message(0, "user", "hi"), message(1, "assistant", "ho")}).ok());
  EXPECT_EQ(appended_.messages_written(), 1);
  EXPECT_EQ(appended_.version(), 3);
  ASSERT_TRUE(append("a", {message(1, "assistant", "ho")}).ok());
  EXPECT_EQ(appended_.messages_written(), 0);
  EXPECT_EQ(appended_.version(), 3);
  EXPECT_EQ(get("a").messages_size(), 2);
}

TEST_F(Hstry, RefusesToOverwriteAStoredMessageAndStoresNothingOfThatCall) {
  ASSERT_TRUE(create("a").ok());
  ASSERT_TRUE(append("a", {message(0, "user", "hi")}).ok());
  const auto status = append("a", {message(1, "assistant", "new"), message(0, "user", "forged")});
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  const auto got = get("a");
  ASSERT_EQ(got.messages_size(), 1);
  EXPECT_EQ(got.messages(0).content(), "hi");
}

TEST_F(Hstry, RefusesNonsenseWithoutDying) {
  EXPECT_EQ(create("").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(create(std::string(600, 'x')).error_code(), grpc::StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(append("absent", {}).error_code(), grpc::StatusCode::NOT_FOUND);
  (void)get("absent");
  EXPECT_EQ(get_status_.error_code(), grpc::StatusCode::NOT_FOUND);
  ASSERT_TRUE(create("a").ok());
  EXPECT_EQ(append("a", {message(-1, "user", "x")}).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(append("a", {message(0, "user", std::string(20 << 20, 'x'))}).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(append("a", {message(0, "user", "x")}).ok());
}

TEST_F(Hstry, FindsAMessageByItsClientsIdAndByItsOwn) {
  ASSERT_TRUE(create("a").ok());
  for (int i = 0; i < 3; ++i) {
    auto one = message(i, "user", std::to_string(i));
    one.set_client_id("c" + std::to_string(i));
    one.set_id("m" + std::to_string(i));
    ASSERT_TRUE(append("a", {one}).ok());
  }
  const auto found = [&](auto&& name) {
    auto request = of_a<proto::GetMessagesRequest>();
    name(request);
    proto::GetMessagesResponse response;
    grpc::ClientContext context;
    EXPECT_TRUE(process_->read->GetMessages(&context, request, &response).ok());
    return response.messages_size() == 1 ? response.messages(0).content() : std::to_string(-response.messages_size());
  };
  EXPECT_EQ(found([](auto& request) { request.set_client_id("c1"); }), "1");
  EXPECT_EQ(found([](auto& request) { request.set_message_id("m2"); }), "2");
  EXPECT_EQ(found([](auto& request) { request.set_client_id("c7"); }), "0");
}

TEST_F(Hstry, KeepsTheWholeOfALongPartInPiecesAndDeletesItWithItsConversation) {
  ASSERT_TRUE(create("a").ok());
  const auto put = [&](std::int64_t offset, const std::string& data) {
    auto request = of_a<proto::PutPartRequest>();
    request.set_message_id("m");
    request.set_part_id("m.0");
    request.set_offset(offset);
    request.set_data(data);
    proto::PutPartResponse response;
    grpc::ClientContext context;
    return process_->parts->PutPart(&context, request, &response).error_code();
  };
  const auto piece = [&](std::int64_t offset, int length) {
    auto request = of_a<proto::GetPartRequest>();
    request.set_message_id("m");
    request.set_part_id("m.0");
    request.set_offset(offset);
    request.set_length(length);
    proto::GetPartResponse response;
    grpc::ClientContext context;
    get_status_ = process_->parts->GetPart(&context, request, &response);
    return response;
  };
  (void)piece(0, 1);
  EXPECT_EQ(get_status_.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(put(0, "hello "), grpc::StatusCode::OK);
  EXPECT_EQ(put(6, "world"), grpc::StatusCode::OK);
  EXPECT_EQ(put(6, "world"), grpc::StatusCode::OK);  // an answer was lost
  EXPECT_EQ(piece(0, 100).data(), "hello world");
  EXPECT_EQ(piece(4, 4).data(), "o wo");
  EXPECT_EQ(piece(4, 4).total(), 11);
  EXPECT_EQ(piece(11, 4).data(), "");
  EXPECT_EQ(put(-1, "x"), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(put(std::int64_t{1} << 40, "x"), grpc::StatusCode::OUT_OF_RANGE);
  (void)piece(-5, 4);
  EXPECT_EQ(get_status_.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  const auto gone = of_a<proto::DeleteConversationRequest>();
  proto::DeleteConversationResponse deleted;
  grpc::ClientContext context;
  ASSERT_TRUE(process_->write->DeleteConversation(&context, gone, &deleted).ok());
  ASSERT_TRUE(create("a").ok());
  (void)piece(0, 1);
  EXPECT_EQ(get_status_.error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(Hstry, PagesBackwardsFromTheEnd) {
  ASSERT_TRUE(create("a").ok());
  for (int i = 0; i < 5; ++i)
    ASSERT_TRUE(append("a", {message(i, "user", std::to_string(i))}).ok());
  const auto last = get("a", 2);
  ASSERT_EQ(last.messages_size(), 2);
  EXPECT_EQ(last.messages(0).idx(), 3);
  EXPECT_TRUE(last.has_more());
  const auto before = get("a", 2, 3);
  ASSERT_EQ(before.messages_size(), 2);
  EXPECT_EQ(before.messages(0).idx(), 1);
  const auto first = get("a", 2, 1);
  ASSERT_EQ(first.messages_size(), 1);
  EXPECT_FALSE(first.has_more());
}

TEST_F(Hstry, CutsAPageThatWouldExceedTheMessageSize) {
  ASSERT_TRUE(create("a").ok());
  const std::string big(6 << 20, 'x');
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(append("a", {message(i, "user", big)}).ok());
  const auto page = get("a");
  ASSERT_TRUE(get_status_.ok()) << get_status_.error_message();
  EXPECT_EQ(page.messages_size(), 2);
  EXPECT_EQ(page.messages(0).idx(), 2);
  EXPECT_TRUE(page.has_more());
  EXPECT_EQ(get("a", 0, 2).messages_size(), 2);
}

TEST_F(Hstry, ListsTheLastChangedFirstWithTheFirstUserMessage) {
  ASSERT_TRUE(create("old", "w1").ok());
  ASSERT_TRUE(create("new", "w2").ok());
  std::string umlauts(199, 'a');
  umlauts += "ää";
  proto::AppendMessagesRequest later;
  later.set_source_id("oqto");
  later.set_external_id("old");
  later.set_updated_at_ms(std::int64_t{1} << 50);
  *later.add_messages() = message(0, "system", "rules");
  *later.add_messages() = message(1, "user", umlauts);
  grpc::ClientContext append_context;
  ASSERT_TRUE(process_->write->AppendMessages(&append_context, later, &appended_).ok());

  proto::ListConversationsRequest request;
  proto::ListConversationsResponse all;
  grpc::ClientContext list_context;
  ASSERT_TRUE(process_->read->ListConversations(&list_context, request, &all).ok());
  ASSERT_EQ(all.conversations_size(), 2);
  EXPECT_EQ(all.conversations(0).conversation().external_id(), "old");
  EXPECT_EQ(all.conversations(0).first_user_message(), std::string(199, 'a'));
  EXPECT_EQ(all.conversations(0).message_count(), 2);

  request.set_workspace("w2");
  proto::ListConversationsResponse some;
  grpc::ClientContext filter_context;
  ASSERT_TRUE(process_->read->ListConversations(&filter_context, request, &some).ok());
  ASSERT_EQ(some.conversations_size(), 1);
  EXPECT_EQ(some.conversations(0).conversation().external_id(), "new");
}

TEST_F(Hstry, UpdatesOnlyTheFieldsThatArePresent) {
  ASSERT_TRUE(create("a", "w").ok());
  auto request = of_a<proto::UpdateConversationRequest>();
  request.set_title("named");
  proto::UpdateConversationResponse updated;
  grpc::ClientContext update_context;
  ASSERT_TRUE(process_->write->UpdateConversation(&update_context, request, &updated).ok());
  proto::GetConversationRequest key;
  key.set_conversation_id(updated.conversation_id());
  proto::GetConversationResponse got;
  grpc::ClientContext get_context;
  ASSERT_TRUE(process_->read->GetConversation(&get_context, key, &got).ok());
  EXPECT_EQ(got.conversation().title(), "named");
  EXPECT_EQ(got.conversation().workspace(), "w");
  EXPECT_EQ(got.conversation().version(), 2);
}

TEST_F(Hstry, DeletesAConversationWithItsMessages) {
  ASSERT_TRUE(create("a").ok());
  ASSERT_TRUE(append("a", {message(0, "user", "hi")}).ok());
  const auto request = of_a<proto::DeleteConversationRequest>();
  proto::DeleteConversationResponse deleted;
  grpc::ClientContext context;
  ASSERT_TRUE(process_->write->DeleteConversation(&context, request, &deleted).ok());
  (void)get("a");
  EXPECT_EQ(get_status_.error_code(), grpc::StatusCode::NOT_FOUND);
  ASSERT_TRUE(create("a").ok());
  EXPECT_EQ(get("a").messages_size(), 0);
}

TEST_F(Hstry, AnotherRunnerSeesTheSameHistoryAfterARewire) {
  ASSERT_TRUE(create("a").ok());
  ASSERT_TRUE(append("a", {message(0, "user", "hi")}).ok());
  process_->rewire();
  EXPECT_EQ(get("a").messages_size(), 1);
  EXPECT_TRUE(append("a", {message(1, "assistant", "ho")}).ok());
}

TEST_F(Hstry, EndsCleanlyOnSigtermAndWithTheGuardAndKeepsEverything) {
  ASSERT_TRUE(create("a").ok());
  ASSERT_TRUE(append("a", {message(0, "user", "hi")}).ok());
  EXPECT_EQ(process_->end(SIGTERM), 0);
  start();
  EXPECT_EQ(get("a").messages_size(), 1);
  EXPECT_EQ(process_->end_by_closing_the_guard(), 0);
  start();
  EXPECT_EQ(get("a").messages_size(), 1);
}

TEST_F(Hstry, KeepsEveryAcknowledgedMessageWhenKilled) {
  ASSERT_TRUE(create("a").ok());
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(append("a", {message(round * 20 + i, "user", "x")}).ok());
    }
    process_->end(SIGKILL);
    start();
    ASSERT_EQ(get("a").messages_size(), (round + 1) * 20);
  }
}

}  // namespace
}  // namespace oqto::hstry
