#include "gateway/demo.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

#include "base/encoding.h"
#include "gateway/backend.h"

namespace oqto::gateway {
namespace {

class Demo final : public Backend {
 public:
  asio::awaitable<Ending> answer(const Call& call, Sink& sink, Abort& abort) override {
    const DemoAnswer& said = *call.demo;
    const std::string id = "demo-" + Uuid::random().text();
    AnswerHead head;
    head.status = 200;
    head.sse = call.stream;
    head.headers.emplace_back("content-type",
                              call.stream ? "text/event-stream" : "application/json");
    bool taken = co_await sink.head(std::move(head));
    if (taken && !call.stream) {
      const std::string document = demo_document(said, id, call.body_bytes);
      taken = co_await sink.data(document);
    }
    if (taken && call.stream) {
      std::vector<DemoFrame> frames = demo_frames(said, id, call.body_bytes);
      taken = co_await play(std::move(frames), sink, abort);
    }
    co_return Ending{taken, taken ? "" : "the session gave the call up", true};
  }

 private:
  static asio::awaitable<bool> play(std::vector<DemoFrame> frames, Sink& sink, Abort& abort) {
    asio::steady_timer timer(co_await asio::this_coro::executor);
    abort.act_with([&timer] { timer.cancel(); });
    bool taken = true;
    for (const DemoFrame& frame : frames) {
      taken = co_await sink.data(frame.sse);
      if (!taken || abort.requested()) break;
      if (frame.pause_ms == 0) continue;
      timer.expires_after(std::chrono::milliseconds(frame.pause_ms));
      (void)co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    abort.act_with({});
    co_return taken && !abort.requested();
  }
};

}  // namespace

std::unique_ptr<Backend> make_demo() { return std::make_unique<Demo>(); }

}  // namespace oqto::gateway
