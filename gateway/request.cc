#include "gateway/request.h"

#include <strings.h>

#include <algorithm>

#include "gateway/json_tree.h"
#include "gateway/request_rules.h"

namespace oqto::gateway {
namespace {

constexpr std::size_t kMaxRemoved = 32;  // kinds that are told apart
constexpr std::size_t kMaxNameBytes = 64;
constexpr std::string_view kUnknown = "unknown";

std::string_view text_at(const Tree& object, const char* name) {
  if (!object.is_object()) return {};
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? std::string_view(found->get_ref<const std::string&>())
                                                     : std::string_view();
}

// Those members stay for which keep(name, value) is true.
void filter(Tree& object, auto keep) {
  Tree::object_t kept;
  for (auto& [name, value] : object.get_ref<Tree::object_t&>()) {
    if (keep(name, value)) kept.emplace_back(name, std::move(value));
  }
  object = Tree(std::move(kept));
}

// The first address below, for the log.
std::string_view first_host(const Tree& value, int depth = 4) {
  if (value.is_string()) return host_of(value.get_ref<const std::string&>());
  if (!value.is_structured() || depth == 0) return {};
  for (const Tree& inner : value) {
    if (const auto host = first_host(inner, depth - 1); !host.empty()) return host;
  }
  return {};
}

class Checker {
 public:
  Checker(const BodyRules& rules, std::vector<Removed>& removed)
      : allowed_(rules.allowed),
        anthropic_(rules.kind == ProviderKind::anthropic),
        shape_(anthropic_ ? anthropic_rules() : openai_rules()),
        removed_(removed) {}

  void request(Tree& root) {
    filter(root, [&](const std::string& name, Tree& value) { return member(name, value); });
    if (tools_removed_) settle_tools(root);
  }

 private:
  // A step into the tree, for the time of a scope.
  class At {
   public:
    At(Checker& of, std::string_view name) : path_(of.path_), size_(path_.size()) {
      if (!path_.empty()) path_ += '.';
      path_ += name.substr(0, kMaxNameBytes);
    }
    At(Checker& of, std::size_t index) : path_(of.path_), size_(path_.size()) {
      path_ += '[' + std::to_string(index) + ']';
    }
    At(const At&) = delete;
    At& operator=(const At&) = delete;
    ~At() { path_.resize(size_); }

   private:
    std::string& path_;
    const std::size_t size_;
  };

  [[nodiscard]] bool allows(Fetch fetch) const {
    return fetch != Fetch::kEnd && (allowed_ & policies::fetch_bit(fetch)) != 0;
  }
  void note(std::string_view capability, std::string_view host = {}) {
    for (Removed& known : removed_) {
      if (known.capability != capability || known.host != host) continue;
      ++known.count;
      return;
    }
    if (removed_.size() < kMaxRemoved) {
      removed_.push_back({std::string(capability), path_, std::string(host)});
    } else if (removed_.size() == kMaxRemoved) {
      removed_.push_back({"more", path_, ""});
    } else {
      ++removed_.back().count;
    }
  }
  // False, and noted.
  bool refuse(std::optional<Fetch> fetch, std::string_view host = {}) {
    note(fetch && *fetch != Fetch::kEnd ? policies::fetch_name(*fetch) : kUnknown, host);
    return false;
  }

  // --- the request ---

  bool member(const std::string& name, Tree& value) {
    const At at(*this, name);
    if (const auto fetch = fetch_of_member(name)) return allows(*fetch) || refuse(fetch, first_host(value));
    if (!among(shape_.members, name)) return refuse({}, first_host(value));
    if (name == "messages") return messages(value);
    if (name == "tools") return tools(value);
    if (name == "tool_choice" && value.is_object()) tool_choice(value);
    if (name == "system") content(value);
    if (name == "prediction" && value.is_object() && value.contains("content")) content(value["content"]);
    if (name == "store" && value != Tree(false)) return allows(Fetch::stored) || refuse(Fetch::stored);
    if (name == "chat_template_kwargs" && value.is_structured()) scalars(value);
    if (name == "response_format" || name == "output_config" || name == "output_format" || name == "functions") {
      local_references(value);
    }
    return true;
  }

  void scalars(Tree& value) {
    if (!value.is_object()) {
      value = Tree::object();
      return (void)refuse({});
    }
    filter(value, [&](const std::string& name, Tree& inner) {
      const At at(*this, name);
      return !inner.is_structured() || refuse({}, first_host(inner));
    });
  }

  bool messages(Tree& list) {
    if (!list.is_array()) return refuse({}, first_host(list));
    std::size_t index = 0;
    for (Tree& message : list) {
      const At at(*this, index++);
      if (!message.is_object()) {
        (void)refuse({}, first_host(message));
        message = Tree::object_t{{"role", "user"}, {"content", removed_text()}};
        continue;
      }
      filter(message, [&](const std::string& name, Tree& value) {
        const At inner(*this, name);
        if (!among(shape_.message_members, name)) return refuse({}, first_host(value));
        if (name == "content") content(value);
        return true;
      });
    }
    return true;
  }

  // --- parts of messages ---

  static Tree removed_text() { return "[removed: this host does not let the model's provider get it]"; }
  static Tree text_part() { return Tree::object_t{{"type", "text"}, {"text", removed_text()}}; }

  void content(Tree& value) {
    if (value.is_string() || value.is_null()) return;
    if (!value.is_array()) {
      (void)refuse({}, first_host(value));
      value = removed_text();
      return;
    }
    std::size_t index = 0;
    for (Tree& each : value) {
      const At at(*this, index++);
      if (!part(each)) each = text_part();
    }
  }

  bool part(Tree& value) {
    const std::string type(text_at(value, "type"));
    const PartRule* const rule = part_rule(anthropic_, type);
    if (rule == nullptr) return refuse({}, first_host(value));
    if (rule->kind == PartKind::provider) {
      const auto fetch = rule->fetch == Fetch::kEnd ? fetch_of_tool(text_at(value, "name")) : rule->fetch;
      return (fetch && allows(*fetch)) || refuse(fetch);
    }
    bool good = true;
    filter(value, [&](const std::string& name, Tree& inner) {
      const At at(*this, name);
      if (!among(rule->members, name)) return refuse({}, first_host(inner));
      good = good && part_member(*rule, name, inner);
      return true;
    });
    return good;
  }

  bool part_member(const PartRule& rule, const std::string& name, Tree& value) {
    static constexpr std::string_view kOpaque[] = {"input", "citations", "cache_control", "caller"};
    if (rule.kind == PartKind::nested && (name == "content" || name == "thinking")) {
      content(value);
      return true;
    }
    if (rule.kind == PartKind::source && name == "source") return source(rule, value);
    const bool own = name == rule.type;
    if (own && rule.kind == PartKind::address) return address(rule, value);
    if (own && rule.kind == PartKind::sound) return sound(rule, value);
    if (own && rule.kind == PartKind::file) return file(rule, value);
    return !value.is_structured() || among(kOpaque, name) || refuse({}, first_host(value));
  }

  // An address as it may be passed on: the thing itself, or one of the web that the rules allow.
  bool reachable(Fetch fetch, std::string_view text) {
    if (is_data_url(text)) return true;
    return (is_web_address(text) && allows(fetch)) || refuse(fetch, host_of(text));
  }

  bool address(const PartRule& rule, Tree& value) {
    if (value.is_string()) return reachable(rule.fetch, value.get_ref<const std::string&>());
    if (!value.is_object()) return refuse({});
    filter(value, [&](const std::string& name, Tree& inner) {
      const At at(*this, name);
      return name == "url" || name == "detail" || name == "format" || refuse({}, first_host(inner));
    });
    return reachable(rule.fetch, text_at(value, "url"));
  }

  bool sound(const PartRule& rule, Tree& value) {
    const std::string_view data = text_at(value, "data");
    if (!value.is_object() || data.empty()) return refuse(rule.fetch, first_host(value));
    filter(value, [&](const std::string& name, Tree& inner) {
      const At at(*this, name);
      return name == "data" || name == "format" || refuse({}, first_host(inner));
    });
    return is_base64(text_at(value, "data")) || reachable(rule.fetch, text_at(value, "data"));
  }

  bool file(const PartRule& rule, Tree& value) {
    if (!value.is_object()) return refuse(rule.fetch, first_host(value));
    bool good = true;
    filter(value, [&](const std::string& name, Tree& inner) {
      const At at(*this, name);
      if (name == "filename") return true;
      if (name == "file_id") return allows(Fetch::stored) || (good = refuse(Fetch::stored));
      if (name != "file_data") return good = refuse({}, first_host(inner));
      const std::string_view data = inner.is_string() ? std::string_view(inner.get_ref<const std::string&>()) : "";
      return good = good && !data.empty() && (is_base64(data) || reachable(rule.fetch, data));
    });
    return good;
  }

  bool source(const PartRule& rule, Tree& value) {
    const std::string type(text_at(value, "type"));
    if (type == "url") {
      if (!reachable(rule.fetch, text_at(value, "url"))) return false;
    } else if (type == "file") {
      if (!allows(Fetch::stored)) return refuse(Fetch::stored);
    } else if (type == "content") {
      const At at(*this, "content");
      if (value.contains("content")) content(value["content"]);
    } else if (type != "base64" && type != "text") {
      return refuse({}, first_host(value));
    }
    const std::string_view own = type == "url" ? "url" : type == "file" ? "file_id" : type == "content" ? "content" : "data";
    filter(value, [&](const std::string& name, Tree& inner) {
      const At at(*this, name);
      return name == "type" || name == "media_type" || name == own || refuse({}, first_host(inner));
    });
    return true;
  }

  // --- tools ---

  bool tools(Tree& list) {
    if (!list.is_array()) return refuse({}, first_host(list));
    Tree kept = Tree::array();
    std::size_t index = 0;
    for (Tree& tool : list) {
      const At at(*this, index++);
      if (keep_tool(tool)) {
        kept.push_back(std::move(tool));
      } else {
        tools_removed_ = true;
      }
    }
    list = std::move(kept);
    return true;
  }

  // One that asks for a tool of the provider's is one that leaves the choice to the model.
  void tool_choice(Tree& value) {
    static constexpr std::string_view kOpenAi[] = {"function", "custom", "allowed_tools"};
    static constexpr std::string_view kAnthropic[] = {"auto", "any", "none", "tool"};
    const std::string type(text_at(value, "type"));
    const auto fetch = fetch_of_tool(type);
    if (among(anthropic_ ? Names(kAnthropic) : Names(kOpenAi), type) || (fetch && allows(*fetch))) return;
    (void)refuse(fetch, first_host(value));
    value = any_choice();
  }
  [[nodiscard]] Tree any_choice() const {
    return anthropic_ ? Tree(Tree::object_t{{"type", "auto"}}) : Tree("auto");
  }

  bool keep_tool(Tree& tool) {
    if (!tool.is_object()) return refuse({});
    const bool untyped = !tool.contains("type") || tool["type"].is_null();
    const std::string type(text_at(tool, "type"));
    const bool own = anthropic_ ? untyped || type == "custom" || is_client_tool(type)
                                : type == "function" || type == "custom";
    if (!own) {
      const auto fetch = fetch_of_tool(type);
      return (fetch && allows(*fetch)) || refuse(fetch, first_host(tool));
    }
    filter(tool, [&](const std::string& name, Tree& value) {
      const At at(*this, name);
      return among(shape_.tool_members, name) || refuse({}, first_host(value));
    });
    local_references(tool);
    names_.emplace_back(tool_name(tool, type));
    return true;
  }

  // OpenAI: {"type": "function", "function": {"name": …}}
  [[nodiscard]] std::string_view tool_name(const Tree& tool, const std::string& type) const {
    return anthropic_ || !tool.contains(type) ? text_at(tool, "name") : text_at(tool[type], "name");
  }

  // A schema that stands elsewhere would have to be fetched.
  void local_references(Tree& value) {
    if (value.is_array()) {
      for (Tree& inner : value) local_references(inner);
    }
    if (!value.is_object()) return;
    filter(value, [&](const std::string& name, Tree& inner) {
      const bool reference = name == "$ref" || name == "$dynamicRef" || name == "$recursiveRef";
      if (reference && inner.is_string() && !inner.get_ref<const std::string&>().starts_with('#')) {
        const At at(*this, name);
        return refuse(Fetch::file_url, first_host(inner));
      }
      local_references(inner);
      return true;
    });
  }

  // Some tools are gone: no choice may name them.
  void settle_tools(Tree& root) {
    if (root["tools"].empty()) {
      filter(root, [](const std::string& name, const Tree&) {
        return name != "tools" && name != "tool_choice" && name != "parallel_tool_calls";
      });
      return;
    }
    const auto found = root.find("tool_choice");
    if (found == root.end() || !found->is_object()) return;
    const std::string type(text_at(*found, "type"));
    const bool names_none = anthropic_ && (type == "auto" || type == "any" || type == "none");
    if (names_none || std::ranges::find(names_, tool_name(*found, type)) != names_.end()) return;
    *found = any_choice();
  }

  const policies::FetchSet allowed_;
  const bool anthropic_;
  const ShapeRules& shape_;
  std::vector<Removed>& removed_;
  std::string path_;
  std::vector<std::string> names_;  // of the tools that stay
  bool tools_removed_ = false;
};

// What our routing rests on: there are providers that take "MODEL" for the same member.
std::string wrong_head(const Tree& root) {
  if (!root.is_object()) return "is not one JSON object";
  for (const auto& [name, value] : root.items()) {
    const bool model = ::strcasecmp(name.c_str(), "model") == 0;
    const bool stream = ::strcasecmp(name.c_str(), "stream") == 0;
    if ((model && name != "model") || (stream && name != "stream")) {
      return "must name \"model\" and \"stream\" in small letters";
    }
    if ((model && !value.is_string()) || (stream && !value.is_boolean())) {
      return "must have a string as \"model\" and a boolean as \"stream\"";
    }
  }
  return root.contains("model") ? "" : "must name \"model\"";
}

}  // namespace

std::expected<CheckedBody, std::string> check_body(std::string_view body, const BodyRules& rules) {
  auto root = read_tree(body);
  const std::string wrong = root ? wrong_head(*root) : root.error();
  if (!wrong.empty()) return std::unexpected("the body " + wrong);
  CheckedBody checked;
  checked.model = text_at(*root, "model");
  checked.stream = root->value("stream", false);
  Checker(rules, checked.removed).request(*root);
  checked.text = root->dump();
  return checked;
}

std::string error_json(ProviderKind kind, std::string_view type, std::string_view message) {
  nlohmann::json json;
  if (kind == ProviderKind::anthropic) json["type"] = "error";
  json["error"] = {{"type", type}, {"message", message}};
  if (kind != ProviderKind::anthropic) json["error"]["code"] = nullptr;
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace oqto::gateway
