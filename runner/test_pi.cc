// Pi as a script: each prompt's first word says what happens.
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "protocol/json_writer.h"
#include "runner/test_host.h"

namespace oqto::runner::test {

using protocol::Json;
using protocol::JsonObject;

FakePi::FakePi(Fd init, Uuid) : init_(std::move(init)), thread_([this] { serve(); }) {
  (void)::signal(SIGPIPE, SIG_IGN);
}

FakePi::~FakePi() {
  if (init_) (void)::shutdown(init_.fd().get(), SHUT_RDWR);
  if (thread_.joinable()) thread_.join();
}

void FakePi::serve() {
  std::string buffer;
  bool alive = true;
  while (alive) {
    pollfd entries[2] = {{input_.get(), POLLIN, 0}, {init_.fd().get(), POLLIN, 0}};
    if (::poll(entries, 2, 10'000) <= 0) continue;
    if (entries[1].revents != 0) {
      if (!on_init()) break;  // the guard kills the sandbox
      continue;
    }
    char bytes[65536];
    const ssize_t n = ::read(input_.get(), bytes, sizeof bytes);
    if (n <= 0) {
      (void)init_.send(ipc::ProgramExited{program_, 0, 0});
      break;
    }
    buffer.append(bytes, static_cast<std::size_t>(n));
    for (std::size_t end; alive && (end = buffer.find('\n')) != std::string::npos;) {
      const auto command = protocol::parse_json(buffer.substr(0, end));
      buffer.erase(0, end + 1);
      alive = command && command->object() != nullptr && handle(*command);  // real Pi dies of null too
    }
  }
  input_.reset();
  output_.reset();
  errors_.reset();
  on_exit();
}

// oqto-init's part: programs that are started in the sandbox. The first is Pi, if it is Pi at all.
bool FakePi::on_init() {
  auto received = init_.receive();
  if (!received) return received.error().code == Errc::limit;
  if (received->tag == ipc::Tag::give_stdio) {
    const auto give = received->as<ipc::GiveStdio>();
    given_[static_cast<std::size_t>(give->kind)] = std::move(received->fd);
  } else if (received->tag == ipc::Tag::start_program) {
    const auto wanted = received->as<ipc::StartProgram>();
    const bool pi = wanted->argv.values.front().ends_with("/node");
    (void)init_.send(ipc::ProgramStarted{wanted->program, 41 + wanted->program});
    if (pi) {
      argv = wanted->argv.values;
      program_ = wanted->program;
      input_ = std::move(given_[2]);
      output_ = std::move(given_[3]);
      errors_ = std::move(given_[1]);
      return true;
    }
    ran.push_back(wanted->argv.values.back());
    const std::string said = ran.back() == "exec ls /proc"     ? processes
                             : ran.back().starts_with("/tmp/") ? std::string(200'000, 'o')
                                                               : "";
    for (std::string_view rest = said; !rest.empty();) {
      const ssize_t n = ::write(given_[3].get(), rest.data(), rest.size());
      if (n <= 0) break;
      rest.remove_prefix(static_cast<std::size_t>(n));
    }
    for (Fd& fd : given_) fd.reset();
    (void)init_.send(ipc::ProgramExited{wanted->program, 0, 0});
  }
  return true;
}

void FakePi::say(const std::string& line) {
  std::string_view rest = line;
  const std::string ended = line + "\n";
  rest = ended;
  while (!rest.empty()) {
    const ssize_t n = ::write(output_.get(), rest.data(), rest.size());
    if (n <= 0) return;
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
}

void FakePi::answer(const Json& command, const std::string& data) {
  JsonObject object;
  object.text("id", command.text_at("id")).text("type", "response");
  object.text("command", command.text_at("type")).boolean("success", true);
  if (!data.empty()) object.json("data", data);
  say(object.str());
}

static std::string delta(const std::string& text) {
  JsonObject event;
  event.text("type", "text_delta").number("contentIndex", 0).text("delta", text);
  JsonObject record;
  return record.text("type", "message_update").json("assistantMessageEvent", event.str()).str();
}

static std::string message_end(const std::string& text, const std::string& reason) {
  JsonObject block;
  block.text("type", "text").text("text", text);
  JsonObject message;
  message.text("role", "assistant").json("content", "[" + block.str() + "]").text("model", "mock-1");
  message.text("provider", "mock").text("stopReason", reason).number("timestamp", 1'795'350'000'000);
  JsonObject record;
  return record.text("type", "message_end").json("message", message.str()).str();
}

static constexpr const char* kStart =
    R"({"type":"message_start","message":{"role":"assistant","content":[],"stopReason":"pending"}})";

void FakePi::turn(const std::string& text) {
  say(R"({"type":"agent_start"})");
  say(kStart);
  for (const char c : text) say(delta(std::string(1, c)));
  say(message_end(text, "stop"));
  say(R"({"type":"agent_end","messages":[],"willRetry":false})");
  say(R"({"type":"agent_settled","aborted":false})");
}

void FakePi::prompt(const std::string& text) {
  const std::string word = text.substr(0, text.find(' '));
  if (word == "hang") {
    hanging_ = true;
    say(R"({"type":"agent_start"})");
    say(kStart);
    say(delta("partial "));
  } else if (word == "junk") {
    for (const char* line : {"null", "[]", "42", "not json", "", R"({"type":17})"}) say(line);
    turn("after junk");
  } else if (word == "dialog" || word == "editor") {
    waiting_for_ = "d1";
    say(R"({"type":"agent_start"})");
    say(R"({"type":"extension_ui_request","id":"d1","method":")" +
        std::string(word == "dialog" ? "select" : "editor") +
        R"(","title":"May it?","options":["Allow","Block"]})");
  } else if (word == "flood") {
    say(R"({"type":"agent_start"})");
    say(kStart);
    for (int i = 0; i < 3000; ++i) say(delta(std::string(4000, 'f')));
    say(message_end("flooded", "stop"));
    say(R"({"type":"agent_settled","aborted":false})");
  } else if (word == "longline") {
    say(std::string(49 * 1024 * 1024, 'x'));
  } else if (word == "huge") {
    say(R"({"type":"agent_start"})");
    say(kStart);
    for (int i = 0; i < 8; ++i) say(delta(std::string(1'000'000, '\x01')));
    say(message_end(std::string(8'000'000, '\x01'), "stop"));
    say(R"({"type":"agent_settled","aborted":false})");
  } else if (word == "deep") {
    std::string nested = "\"the bottom\"";
    for (int i = 0; i < 3000; ++i) nested = "[" + nested + "]";
    const std::string args = R"({"command":"touch x","x":)" + nested + "}";
    say(R"({"type":"agent_start"})");
    say(kStart);
    say(R"({"type":"message_end","message":{"role":"assistant","stopReason":"toolUse","content":[{"type":"toolCall","id":"c1","name":"bash","arguments":)" + args + "}]}}");
    say(R"({"type":"tool_execution_start","toolCallId":"c1","toolName":"bash","args":)" + args + "}");
    say(R"({"type":"tool_execution_end","toolCallId":"c1","toolName":"bash","result":{"content":[{"type":"text","text":"from the bottom"}]},"isError":false})");
    say(R"({"type":"message_end","message":{"role":"toolResult","toolCallId":"c1","toolName":"bash","content":[],"timestamp":1795350000001}})");
    turn("done");
  } else {
    turn("echo: " + text.substr(0, 100));
  }
}

bool FakePi::handle(const Json& command) {
  const std::string type(command.text_at("type"));
  if (type == "get_state") {
    (void)!::write(errors_.get(), "Warning: new\n", 13);
    answer(command, R"({"model":{"id":"mock-1","provider":"mock"},"thinkingLevel":"medium","isStreaming":false})");
  } else if (type == "get_available_models") {
    answer(command, R"({"models":[{"id":"mock-1","name":"Mock One","provider":"mock","reasoning":true,"input":["text"]},)"
                    R"({"id":"mock-2","name":"Mock Two","provider":"mock","reasoning":false,"input":["text","image"]}]})");
  } else if (type == "prompt") {
    const std::string text(command.text_at("message"));
    if (text.starts_with("crash")) {
      (void)!::write(errors_.get(), "TypeError: boom\n", 16);
      (void)init_.send(ipc::ProgramExited{program_, 1, 0});
      return false;
    }
    // While nothing runs, what is queued waits for ever.
    const bool queued = !command.text_at("streamingBehavior").empty();
    answer(command, queued ? R"({"disposition":"queued"})" : R"({"disposition":"started"})");
    if (!queued) prompt(text);
  } else if (type == "abort") {
    if (hanging_) {
      say(message_end("partial ", "aborted"));
      say(R"({"type":"agent_settled","aborted":true})");
    }
    hanging_ = false;
    answer(command);
  } else if (type == "set_model") {
    const bool known = command.text_at("modelId") == "mock-1";
    if (known) answer(command, R"({"id":"mock-1"})");
    if (!known) say(R"({"id":")" + std::string(command.text_at("id")) +
                    R"(","type":"response","command":"set_model","success":false,"error":"Model not found: x/y"})");
  } else if (type == "extension_ui_response") {
    if (command.text_at("id") == waiting_for_) {
      const bool cancelled = command.boolean_at("cancelled");
      turn(cancelled ? "cancelled" : "chosen: " + std::string(command.text_at("value")));
    }
    waiting_for_.clear();
  } else {
    answer(command);
  }
  return true;
}

}  // namespace oqto::runner::test
