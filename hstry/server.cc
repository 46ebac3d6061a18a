#include "hstry/server.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_posix.h>

#include <chrono>

#include "base/log.h"
#include "base/sys.h"
#include "hstry.grpc.pb.h"

namespace oqto::hstry {
namespace {

grpc::StatusCode status_code(Errc code) {
  switch (code) {
    case Errc::not_found: return grpc::StatusCode::NOT_FOUND;
    case Errc::denied: return grpc::StatusCode::ALREADY_EXISTS;
    case Errc::limit: return grpc::StatusCode::OUT_OF_RANGE;  // RESOURCE_EXHAUSTED is what gRPC says under load
    case Errc::unavailable: return grpc::StatusCode::UNAVAILABLE;
    case Errc::bad_message: return grpc::StatusCode::DATA_LOSS;  // the file is damaged
    case Errc::invalid: return grpc::StatusCode::INVALID_ARGUMENT;
    case Errc::io: return grpc::StatusCode::INTERNAL;
  }
  return grpc::StatusCode::INTERNAL;
}

grpc::Status answer(const Status& status) {
  if (status) return grpc::Status::OK;
  if (status.error().code == Errc::io) log::error("the history file failed", status.error());
  return {status_code(status.error().code), status.error().what};
}

class WriteService final : public proto::WriteService::Service {
 public:
  explicit WriteService(Store& store) : store_(store) {}
  grpc::Status WriteConversation(grpc::ServerContext*,
                                 const proto::WriteConversationRequest* request,
                                 proto::WriteConversationResponse* response) override {
    return answer(store_.write(*request, *response));
  }
  grpc::Status AppendMessages(grpc::ServerContext*, const proto::AppendMessagesRequest* request,
                              proto::AppendMessagesResponse* response) override {
    return answer(store_.append(*request, *response));
  }
  grpc::Status UpdateConversation(grpc::ServerContext*,
                                  const proto::UpdateConversationRequest* request,
                                  proto::UpdateConversationResponse* response) override {
    return answer(store_.update(*request, *response));
  }
  grpc::Status DeleteConversation(grpc::ServerContext*,
                                  const proto::DeleteConversationRequest* request,
                                  proto::DeleteConversationResponse* response) override {
    return answer(store_.remove(*request, *response));
  }
  grpc::Status ForkConversation(grpc::ServerContext*, const proto::ForkConversationRequest* request,
                                proto::ForkConversationResponse* response) override {
    return answer(store_.fork(*request, *response));
  }

 private:
  Store& store_;
};

class ReadService final : public proto::ReadService::Service {
 public:
  explicit ReadService(Store& store) : store_(store) {}
  grpc::Status GetConversation(grpc::ServerContext*, const proto::GetConversationRequest* request,
                               proto::GetConversationResponse* response) override {
    return answer(store_.conversation(*request, *response));
  }
  grpc::Status GetMessages(grpc::ServerContext*, const proto::GetMessagesRequest* request,
                           proto::GetMessagesResponse* response) override {
    return answer(store_.messages(*request, *response));
  }
  grpc::Status ListConversations(grpc::ServerContext*,
                                 const proto::ListConversationsRequest* request,
                                 proto::ListConversationsResponse* response) override {
    return answer(store_.list(*request, *response));
  }

 private:
  Store& store_;
};

class PartService final : public proto::PartService::Service {
 public:
  explicit PartService(Store& store) : store_(store) {}
  grpc::Status PutPart(grpc::ServerContext*, const proto::PutPartRequest* request, proto::PutPartResponse*) override {
    return answer(store_.put_part(*request));
  }
  grpc::Status GetPart(grpc::ServerContext*, const proto::GetPartRequest* request,
                       proto::GetPartResponse* response) override {
    return answer(store_.get_part(*request, *response));
  }

 private:
  Store& store_;
};

class GrpcServer final : public Server {
 public:
  explicit GrpcServer(Store& store) : write_(store), read_(store), parts_(store) {}
  ~GrpcServer() override { stop(); }

  bool start() {
    grpc::ResourceQuota quota("hstry");
    quota.SetMaxThreads(kMaxServerThreads);
    grpc::ServerBuilder builder;
    builder.SetResourceQuota(quota);
    builder.SetMaxReceiveMessageSize(kMaxWireBytes);
    builder.SetMaxSendMessageSize(kMaxWireBytes);
    builder.RegisterService(&write_);
    builder.RegisterService(&read_);
    builder.RegisterService(&parts_);
    server_ = builder.BuildAndStart();
    return server_ != nullptr;
  }

  Status serve(Fd connection) override {
    TRY(sys::set_nonblocking(connection, true));
    grpc::AddInsecureChannelFromFd(server_.get(), connection.release());
    return {};
  }

  void stop() override {
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(kShutdownMs));
    server_->Wait();
    server_.reset();
  }

 private:
  WriteService write_;
  ReadService read_;
  PartService parts_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::start(const sandbox::Sealed& /*proof*/, Store& store) {
  auto server = std::make_unique<GrpcServer>(store);
  if (!server->start()) return fail(Errc::unavailable, "gRPC did not start");
  return server;
}

}  // namespace oqto::hstry
