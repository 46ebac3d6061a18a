// A Backend answers one model call: a provider over the network, or the scripted demo. The Sink is
// the harness's side of the same call.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "gateway/config.h"

namespace oqto::gateway {

namespace asio = boost::asio;

constexpr auto kStallTime = std::chrono::seconds(120);  // the harness takes no bytes

struct AnswerHead {
  unsigned status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // only those that may go inward
  bool sse = false;
};

// Each returns false when the harness is gone; then the call is given up.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual asio::awaitable<bool> head(AnswerHead head) = 0;
  virtual asio::awaitable<bool> data(std::string_view bytes) = 0;
};

// The harness's wish to stop. The backend says how, for whatever it is waiting on.
class Abort {
 public:
  void request() {
    if (std::exchange(requested_, true)) return;
    if (act_) act_();
  }
  [[nodiscard]] bool requested() const { return requested_; }
  void act_with(std::function<void()> act) { act_ = std::move(act); }

 private:
  bool requested_ = false;
  std::function<void()> act_;
};

struct DemoAnswer;

struct Call {
  const Provider& provider;
  const Model& model;
  std::size_t body_bytes = 0;  // also when `body` was given back
  std::string body;
  bool stream = false;
  std::string query;              // as the harness sent it, from a fixed list
  std::string anthropic_version;  // checked; may be empty
  std::string anthropic_beta;     // checked; may be empty
  std::shared_ptr<const DemoAnswer> demo = nullptr;  // of the demo: what it says
};

struct Ending {
  bool complete = false;  // the whole answer was passed on
  std::string reason;     // otherwise: why not, for people; never with a key
  bool sent = false;      // the provider had the whole request: it may have worked on it
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual asio::awaitable<Ending> answer(const Call& call, Sink& sink, Abort& abort) = 0;
};

// Providers over the network. Reads the certificates of `ca_file` now, so that nothing of it is needed later: an
// error if they are needed already. `io` outlives it.
struct MadeUpstream {
  std::unique_ptr<Backend> backend;
  bool has_authorities = false;
};
Result<MadeUpstream> make_upstream(asio::io_context& io, bool needs_authorities, const char* ca_file);

// The demo, from its request to its frames: demo.h. This one plays it in time.
std::unique_ptr<Backend> make_demo();

}  // namespace oqto::gateway
