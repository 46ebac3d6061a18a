#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <optional>

#include "gateway/demo.h"

namespace oqto::gateway {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kIntro = "This is the scripted demo: no AI answers here. ";
constexpr std::size_t kMaxCommand = 8 * 1024;
constexpr std::size_t kMaxQuotedBytes = 1500;
constexpr std::size_t kMaxQuotedLines = 30;

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  });
  return out;
}

std::string_view unquote(std::string_view text) {
  text = trim(text);
  if (text.size() >= 2 && text.front() == text.back() &&
      std::string_view("\"'`").find(text.front()) != std::string_view::npos) {
    return text.substr(1, text.size() - 2);
  }
  return text;
}

// Removes each of the words from the front, in order, where it is there.
std::string_view skip(std::string_view text, std::initializer_list<std::string_view> words) {
  for (const std::string_view word : words) {
    if (lower(text.substr(0, word.size())) == word) text.remove_prefix(word.size());
  }
  return text;
}

std::string_view file_name(std::string_view text) {
  text = skip(trim(text), {"a ", "the ", "file ", "called ", "named "});
  while (text.ends_with(',') || text.ends_with(':')) text.remove_suffix(1);
  return unquote(text);
}

std::string text_of(const Json& content) {
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  if (!content.is_array()) return text;
  for (const Json& part : content) {
    if (part.is_object() && part.contains("text") && part["text"].is_string()) {
      text += part["text"].get<std::string>();
    }
  }
  return text;
}

std::string role_of(const Json& message) {
  if (!message.is_object() || !message.contains("role")) return {};
  return message["role"].is_string() ? message["role"].get<std::string>() : std::string();
}

std::string content_of(const Json& message) {
  return message.contains("content") ? text_of(message["content"]) : std::string();
}

bool offers(const Json& request, const std::string& tool) {
  if (!request.contains("tools") || !request["tools"].is_array()) return false;
  return std::ranges::any_of(request["tools"], [&tool](const Json& entry) {
    const Json::json_pointer name("/function/name");
    return entry.is_object() && entry.contains(name) && entry[name] == tool;
  });
}

DemoAnswer call_tool(std::string tool, const Json& arguments, std::string text) {
  DemoAnswer answer;
  answer.text = std::string(kIntro) + std::move(text);
  answer.tool = std::move(tool);
  answer.arguments = arguments.dump(-1, ' ', false, Json::error_handler_t::replace);
  return answer;
}

DemoAnswer explain() {
  DemoAnswer answer;
  answer.text =
      std::string(kIntro) +
      "It follows a script, so that you can see the whole path from your browser to the sandbox and "
      "back: the agent, its tools and the log are real, only the answers are not. Configure a model "
      "provider to talk to an AI.\n" +
      R"(
Try one of these:

| say | and the agent |
|---|---|
| `create hello.txt with Hello there` | writes a file |
| `list files` | runs `ls -la` in the workspace |
| `read hello.txt` | reads it back |
| `edit hello.txt replace there with world` | changes it |
| `run uname -a` | runs a command in the sandbox |
| `think about sandboxes` | shows its reasoning first |
| `count to 60 slowly` | writes slowly, so that you can try **Stop** |

Answers are Markdown, with

- lists,
- tables like the one above, and
- code:

```python
def greet(name: str) -> str:
    return f"Hello, {name}!"
```
)";
  return answer;
}

std::optional<DemoAnswer> create_file(std::string_view command, const std::string& low) {
  const std::size_t with = low.find(" with ");
  if (!low.starts_with("create ") || with == std::string::npos) return {};
  const std::string path(file_name(command.substr(7, with - 7)));
  std::string_view content = skip(command.substr(with + 6), {"the ", "text ", "content "});
  return call_tool("write", {{"path", path}, {"content", std::string(unquote(content)) + '\n'}},
                   "I ask the agent to write `" + path + "`.");
}

std::optional<DemoAnswer> edit_file(std::string_view command, const std::string& low) {
  const std::size_t replace = low.find(" replace ");
  if (!low.starts_with("edit ") || replace == std::string::npos) return {};
  const std::size_t with = low.find(" with ", replace + 9);
  if (with == std::string::npos) return {};
  const std::string path(file_name(command.substr(5, replace - 5)));
  const std::string before(unquote(command.substr(replace + 9, with - replace - 9)));
  const std::string after(unquote(command.substr(with + 6)));
  return call_tool(
      "edit",
      {{"path", path}, {"edits", Json::array({{{"oldText", before}, {"newText", after}}})}},
      "I ask the agent to edit `" + path + "`.");
}

DemoAnswer think(std::string_view topic) {
  DemoAnswer answer;
  answer.thinking = "A script wrote this thought. A model would now weigh what it knows about " +
                    std::string(topic) +
                    ", look for what is missing, and decide which tool to use first. "
                    "The script only shows where such reasoning appears, and that it folds away.";
  answer.text = std::string(kIntro) + "The thought above about " + std::string(topic) +
                " came from the script too; with a real model its reasoning appears there.";
  return answer;
}

std::optional<DemoAnswer> count(const std::string& low) {
  constexpr std::string_view kCount = "count to ";
  if (!low.starts_with(kCount)) return {};
  int last = 0;
  for (const char c : std::string_view(low).substr(kCount.size())) {
    if (c < '0' || c > '9') break;
    last = std::min(last * 10 + (c - '0'), kMaxCount);
  }
  if (last == 0) return {};
  DemoAnswer answer;
  answer.text = std::string(kIntro) + "It counts to " + std::to_string(last) + ":\n\n";
  for (int i = 1; i <= last; ++i) answer.slow_lines.push_back(std::to_string(i) + "  \n");
  return answer;
}

DemoAnswer follow(std::string_view said) {
  std::string_view command = skip(trim(said.substr(0, kMaxCommand)), {"please ", "can you "});
  const std::string low = lower(command);
  if (auto answer = create_file(command, low)) return *answer;
  if (auto answer = edit_file(command, low)) return *answer;
  if (auto answer = count(low)) return *answer;
  if (low.starts_with("list") && low.find("file") != std::string::npos) {
    return call_tool("bash", {{"command", "ls -la"}}, "I ask the agent to run `ls -la`.");
  }
  if (low.starts_with("run ") && !trim(command.substr(4)).empty()) {
    const std::string program(unquote(command.substr(4)));
    return call_tool("bash", {{"command", program}}, "I ask the agent to run that in its sandbox.");
  }
  if (low.starts_with("read ") && !file_name(command.substr(5)).empty()) {
    const std::string path(file_name(command.substr(5)));
    return call_tool("read", {{"path", path}}, "I ask the agent to read `" + path + "`.");
  }
  if (low.starts_with("think about ")) return think(trim(command.substr(12)));
  return explain();
}

std::string code_block(std::string_view text) {
  std::size_t end = 0;
  for (std::size_t lines = 0; end < text.size() && lines < kMaxQuotedLines; ++lines) {
    end = std::min(text.find('\n', end), text.size() - 1) + 1;
  }
  end = std::min(end, kMaxQuotedBytes);
  while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) {
    --end;
  }
  const std::string_view shown = text.substr(0, end);
  std::string fence = "```";  // longer than any run of backticks inside
  while (shown.find(fence) != std::string_view::npos) fence += '`';
  std::string block = fence + "\n" + std::string(shown);
  if (!shown.ends_with('\n')) block += '\n';
  block += fence + "\n";
  if (end < text.size()) block += "\n(cut: the result has more)\n";
  return block;
}

DemoAnswer summarise(const Json& messages) {
  std::string tool = "the tool";
  for (const Json& message : messages) {
    const Json::json_pointer name("/tool_calls/0/function/name");
    if (!message.is_object() || !message.contains(name) || !message[name].is_string()) continue;
    tool = '`' + message[name].get<std::string>() + '`';
  }
  const std::string result(trim(content_of(messages.back())));
  DemoAnswer answer;
  answer.text = std::string(kIntro) + "The agent called " + tool + " and reports ";
  answer.text += result.empty() ? "that there was no output.\n" : "this:\n\n" + code_block(result);
  return answer;
}

}  // namespace

DemoAnswer demo_answer(std::string_view body) {
  const Json request = Json::parse(body, nullptr, false);
  const Json::json_pointer list("/messages");
  if (!request.is_object() || !request.contains(list) || !request[list].is_array() ||
      request[list].empty()) {
    return explain();
  }
  const Json& messages = request[list];
  const std::string role = role_of(messages.back());
  if (role == "tool") return summarise(messages);
  if (role != "user") return explain();
  DemoAnswer answer = follow(content_of(messages.back()));
  if (!answer.tool.empty() && !offers(request, answer.tool)) {
    answer.text = std::string(kIntro) + "This session does not offer the tool `" + answer.tool +
                  "` that the script needs for that.";
    answer.tool.clear();
  }
  return answer;
}

}  // namespace oqto::gateway
