#include "audit/read/story_words.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "audit/format/json.h"
#include "audit/read/command_line.h"
#include "audit/read/entry_reader.h"

namespace oqto::audit {
namespace {

std::string field(const ReadEntry& entry, std::string_view name) {
  return entry.text("fields." + std::string(name));
}

// Who acts: where a process of the host writes it down, the person it is about.
std::string who(const ReadEntry& entry) {
  for (const std::string_view path : {"actor.username", "fields.username"}) {
    if (const std::string name = entry.text(path); !name.empty()) return said(name, 64);
  }
  const std::string account = field(entry, "account");
  return account.empty() ? said(entry.text("actor.process"), 64) : "account " + said(account, 20);
}

// A member of the JSON text that a command or a tool was given.
std::string argument(const ReadEntry& entry, std::initializer_list<std::string_view> names) {
  const std::string args = field(entry, "args");
  const auto json = nlohmann::json::parse(args, nullptr, false);
  if (!json.is_object()) return args;
  for (const std::string_view name : names) {
    const auto found = json.find(name);
    if (found != json.end() && found->is_string()) return found->get<std::string>();
  }
  return {};
}

std::string quoted_text(std::string_view text) {
  return "“" + said(text) + "”";
}

std::string place(const ReadEntry& entry) {
  std::string text = field(entry, "host");
  const std::string port = field(entry, "port");
  if (text.empty()) text = field(entry, "address");
  if (!text.empty() && !port.empty()) text += ":" + port;
  return text;
}

std::string command_sentence(const ReadEntry& entry) {
  struct Known {
    std::string_view command, words;
  };
  constexpr auto kKnown = std::to_array<Known>({
      {"session.create", "began a session"}, {"session.close", "closed the session"},
      {"session.delete", "deleted the session"}, {"session.new", "began the conversation anew"},
      {"abort", "stopped the agent"}, {"compact", "had the conversation shortened"},
      {"fork", "went back to an earlier message"}, {"input_response", "answered a question"},
      {"queue.remove", "took back a waiting message"}, {"queue.edit", "changed a waiting message"}});
  const std::string command = field(entry, "command");
  const std::string name = who(entry);
  if (command == "prompt") return name + " asked: " + quoted_text(argument(entry, {"message"}));
  if (command == "steer" || command == "follow_up") {
    return name + " added: " + quoted_text(argument(entry, {"message"}));
  }
  if (command == "create_workspace") {
    return name + " made the workspace " + quoted_text(argument(entry, {"name"}));
  }
  if (command == "set_session_name") {
    return name + " named the session " + quoted_text(argument(entry, {"name"}));
  }
  if (command == "set_model") return name + " chose the model " + said(argument(entry, {"model_id", "model"}));
  for (const Known& known : kKnown) {
    if (known.command == command) return name + " " + std::string(known.words);
  }
  return name + " commanded " + said(command);
}

std::string program_sentence(const ReadEntry& entry) {
  const std::string line = command_line(entry.raw("fields.argv"));
  const std::string exe = field(entry, "exe");
  const auto items = json_items(entry.raw("fields.argv"));
  const std::string called = items && !items->empty() ? value_text(items->front()) : "";
  const auto last = [](const std::string& path) { return path.substr(path.find_last_of('/') + 1); };
  std::string text = (entry.text("outcome") == "failure" ? "could not run " : "ran ") + said(line.empty() ? exe : line);
  if (!exe.empty() && !line.empty() && last(called) != last(exe)) text += " (the program " + said(exe) + ")";
  return text;
}

// What a request to a model asked of its provider beside an answer: it was taken out.
std::string capability_sentence(const ReadEntry& entry) {
  const std::string capability = field(entry, "capability");
  const std::string member = field(entry, "member");
  const std::string host = field(entry, "host");
  std::string text = "was refused ";
  if (capability == "unknown") {
    text += "something unknown of the model's provider";
  } else if (capability == "more") {
    text += "more of the model's provider, which is not listed";
  } else {
    text += "the model's provider's " + said(capability, 64);
  }
  if (!member.empty()) text += ", " + said(member, 120) + " of a request";
  return host.empty() ? text : text + ", with " + said(host);
}

std::string denial_sentence(const ReadEntry& entry) {
  std::string what = place(entry);
  if (what.empty()) {
    what = field(entry, "syscall");
    const std::string path = field(entry, "path");
    if (!path.empty()) what += (what.empty() ? "" : " of ") + path;
  }
  std::string text = field(entry, "capability").empty() ? "was refused " + said(what) : capability_sentence(entry);
  if (const std::string reason = field(entry, "reason"); !reason.empty()) text += ": " + said(reason);
  if (const std::string count = field(entry, "count"); !count.empty()) text += " (" + said(count, 20) + " times)";
  return text;
}

std::string approval_sentence(const ReadEntry& entry) {
  const std::string path = field(entry, "path");
  const std::string choice = field(entry, "choice");
  const std::string what = path.empty() ? "connect to " + place(entry) : "read " + path;
  if (entry.text("outcome") == "unknown" && choice.empty()) {
    return "The agent asked whether it may " + said(what);
  }
  return "The question whether the agent may " + said(what) + " was answered: " +
         said(choice.empty() ? field(entry, "reason") : choice);
}

std::string session_start(const ReadEntry& entry) {
  std::string profile = field(entry, "profile");
  const std::string policy = field(entry, "policy");
  constexpr std::string_view kProfile = "profile=";
  if (profile.empty() && policy.starts_with(kProfile)) {
    profile = policy.substr(kProfile.size(), policy.find(' ') - kProfile.size());
  }
  return "The session started" + (profile.empty() ? "" : " under the profile " + said(profile, 64));
}

std::string file_sentence(const ReadEntry& entry, std::string_view event) {
  struct Verb {
    std::string_view event, verb;
  };
  constexpr auto kVerbs = std::to_array<Verb>({{"file.create", "made"}, {"file.read", "read"}, {"file.update", "wrote"},
                                               {"file.delete", "removed"}, {"file.rename", "renamed"}});
  const auto found = std::ranges::find(kVerbs, event, &Verb::event);
  std::string text = std::string(found == kVerbs.end() ? event : found->verb) + " " + said(field(entry, "path"));
  if (const std::string target = field(entry, "target"); !target.empty()) text += " to " + said(target);
  if (const std::string bytes = field(entry, "bytes"); !bytes.empty()) text += " (" + grouped(entry.number("fields.bytes")) + " bytes)";
  return text;
}

std::string tool_sentence(const ReadEntry& entry) {
  const std::string object = argument(entry, {"command", "path", "file_path", "pattern", "url"});
  return "The agent used " + said(field(entry, "tool"), 64) + (object.empty() ? "" : ": " + said(object));
}

std::string from_where(const ReadEntry& entry) {
  const std::string remote = field(entry, "remote");
  return remote.empty() ? "" : " from " + said(remote, 64);
}

std::string any_sentence(const ReadEntry& entry) {
  std::string text = entry.text("actor.process") + ": " + entry.text("event");
  for (const JsonMember& member : entry.fields) {
    text += " " + std::string(member.key) + "=" + value_text(member.value);
  }
  return said(text);
}

}  // namespace

std::string said(std::string_view text, std::size_t max) {
  std::string shown = printable(text);
  if (shown.size() <= max) return shown;
  while (max > 0 && (static_cast<unsigned char>(shown[max]) & 0xc0) == 0x80) --max;
  return shown.substr(0, max) + "…";
}

std::string grouped(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

bool is_minor(const ReadEntry& entry) {
  const std::string event = entry.text("event");
  return (event == "command" && entry.text("phase") == "event") || event == "audit.read" ||
         event == "connection" || event.starts_with("process.") || event == "epoch.seal";
}

Sentence sentence_of(const ReadEntry& entry) {
  const std::string event = entry.text("event");
  const bool failed = entry.text("outcome") == "failure";
  if (event == "command") {
    const std::string command = field(entry, "command");
    const bool asks = command == "prompt" || command == "steer" || command == "follow_up";
    return {asks ? "prompt" : "command", command_sentence(entry)};
  }
  if (event == "exec") return {"program", program_sentence(entry)};
  if (event == "tool.call") return {"tool", tool_sentence(entry)};
  if (event == "model.call") {
    return {"model", "The agent called the model " + said(field(entry, "provider") + "/" + field(entry, "model"))};
  }
  if (event == "network") {
    return {"network", (failed ? "could not connect to " : "connected to ") + said(place(entry))};
  }
  if (event == "denial") return {"denial", denial_sentence(entry)};
  if (event == "approval") return {"question", approval_sentence(entry)};
  if (event.starts_with("file.")) return {"file", file_sentence(entry, event)};
  if (event == "session.start") return {"session", session_start(entry)};
  if (event == "session.stop") {
    const std::string reason = field(entry, "reason");
    return {"session", "The session ended" + (reason.empty() ? "" : ": " + said(reason))};
  }
  if (event == "process.start") return {"process", "The host started " + said(field(entry, "process"), 64)};
  if (event == "process.stop") return {"process", said(field(entry, "process"), 64) + " ended"};
  if (event == "login") {
    return {"sign-in", who(entry) + (failed ? " failed to sign in" : " signed in") + from_where(entry)};
  }
  if (event == "login.throttled") return {"sign-in", "A sign-in as " + who(entry) + " was not even tried" + from_where(entry)};
  if (event == "logout") return {"sign-in", who(entry) + " signed out" + from_where(entry)};
  if (event == "connection") return {"connection", who(entry) + " connected" + from_where(entry)};
  if (event == "account.create") return {"account", who(entry) + " made the account by an invitation" + from_where(entry)};
  if (event == "setup") return {"account", who(entry) + " became the first administrator" + from_where(entry)};
  if (event == "invite.create") return {"account", who(entry) + " invited somebody as " + said(field(entry, "role"), 32)};
  if (event == "violation") return {"violation", who(entry) + " broke the protocol: " + said(field(entry, "reason"))};
  if (event == "audit.read") return {"reading", who(entry) + " read the log (" + said(field(entry, "command"), 64) + ")"};
  return {"other", any_sentence(entry)};
}

std::string result_of(const ReadEntry& outcome) {
  std::vector<std::string> parts;
  const auto add = [&](std::string text) { parts.push_back(std::move(text)); };
  const auto has = [&](std::string_view name) { return !field(outcome, name).empty(); };
  const std::string event = outcome.text("event");
  if (has("tokens_in") || has("tokens_out")) {
    add(grouped(outcome.number("fields.tokens_in")) + " tokens in, " + grouped(outcome.number("fields.tokens_out")) +
        " out" + (has("estimated") ? " (estimated)" : ""));
  }
  if (has("cost_nanos")) {
    constexpr std::uint64_t kUnit = 1'000'000'000, kMicro = 1000;
    const std::uint64_t nanos = outcome.number("fields.cost_nanos");
    std::string micros = std::to_string(nanos % kUnit / kMicro);
    micros.insert(0, 6 - std::min<std::size_t>(6, micros.size()), '0');
    add("cost " + std::to_string(nanos / kUnit) + "." + micros);
  }
  if (has("http_status") && field(outcome, "http_status") != "200") add("HTTP " + said(field(outcome, "http_status"), 8));
  if (event == "network" && (has("bytes_in") || has("bytes_out"))) {
    add(grouped(outcome.number("fields.bytes_in")) + " bytes in, " + grouped(outcome.number("fields.bytes_out")) + " out");
  }
  if (has("entries")) add(grouped(outcome.number("fields.entries")) + " entries");
  if (has("signal") && field(outcome, "signal") != "0") {
    add("killed by signal " + said(field(outcome, "signal"), 8));
  } else if (has("exit_status")) {
    add("ended with status " + said(field(outcome, "exit_status"), 8));
  }
  if (has("reason") && event != "session.stop" && event != "denial" && event != "approval" && event != "violation") {
    add(said(field(outcome, "reason")));
  }
  std::string all;
  for (const std::string& part : parts) (all += all.empty() ? "" : ", ") += part;
  return all;
}

}  // namespace oqto::audit
