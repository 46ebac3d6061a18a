#include "gateway/config.h"

// The parser's assertions can be reached by input (a '?' where a key begins); in a release build
// they would become promises to the compiler. Here they are errors, in every build.
#undef NDEBUG
#define TOML_EXCEPTIONS 1
#define TOML_ASSERT(condition) oqto_toml_assert(static_cast<bool>(condition))
struct oqto_toml_assertion {};
constexpr void oqto_toml_assert(bool holds) {
  if (!holds) throw oqto_toml_assertion();
}
#include <toml++/toml.h>

#include <algorithm>
#include <optional>

#include "egress/host_name.h"

namespace oqto::gateway {
namespace {

constexpr std::string_view kDemoModel = "demo";
constexpr std::string_view kDemoName = "Demo (scripted, no AI)";
constexpr std::size_t kMaxNameBytes = 32;
constexpr std::size_t kMaxTextBytes = 256;
constexpr std::size_t kMaxKeyBytes = 4096;
constexpr std::int64_t kMaxTokens = 100'000'000;

// Thrown and caught in this file only.
struct Refused {
  toml::source_region where;
  std::string what;
};

[[noreturn]] void refuse(const toml::node& node, std::string what) {
  throw Refused{node.source(), std::move(what)};
}

bool visible_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes && text.front() != '-' &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos;
}

// Reads one table's keys and, at the end, refuses those that nobody asked for.
class Table {
 public:
  Table(const toml::table& table, std::string what) : table_(table), what_(std::move(what)) {}

  std::string text(std::string_view key, std::optional<std::string> fallback = {}) {
    const toml::node* node = find(key, fallback.has_value());
    if (node == nullptr) return *fallback;
    const auto value = node->value_exact<std::string>();
    if (!value) refuse(*node, quoted(key) + " must be a string");
    if (value->size() > (key == "key" ? kMaxKeyBytes : kMaxTextBytes)) {
      refuse(*node, quoted(key) + " is too long");
    }
    return *value;
  }
  bool flag(std::string_view key) {
    const toml::node* node = find(key, true);
    if (node == nullptr) return false;
    const auto value = node->value_exact<bool>();
    if (!value) refuse(*node, quoted(key) + " must be true or false");
    return *value;
  }
  std::int64_t tokens(std::string_view key, std::int64_t fallback) {
    const toml::node* node = find(key, true);
    if (node == nullptr) return fallback;
    const auto value = node->value_exact<std::int64_t>();
    if (!value || *value < 1 || *value > kMaxTokens) {
      refuse(*node, quoted(key) + " must be a whole number of tokens above 0");
    }
    return *value;
  }
  double cost(std::string_view key) {
    const toml::node* node = find(key, true);
    if (node == nullptr) return 0;
    const auto value = node->value<double>();
    if (!node->is_number() || !value || !(*value >= 0 && *value < 1e6)) {
      refuse(*node, quoted(key) + " must be US dollars per million tokens, 0 or more");
    }
    return *value;
  }
  const toml::array* tables(std::string_view key, std::size_t max) {
    const toml::node* node = find(key, true);
    if (node == nullptr) return nullptr;
    const toml::array* list = node->as_array();
    if (list == nullptr || !list->is_array_of_tables()) {
      refuse(*node, quoted(key) + " must be written as [[" + std::string(key) + "]] tables");
    }
    if (list->size() > max) refuse(*node, "there are too many " + quoted(key) + " tables");
    return list;
  }
  const toml::node* optional(std::string_view key) { return find(key, true); }
  void done() const {
    for (const auto& [key, node] : table_) {
      if (std::ranges::find(asked_, key.str()) == asked_.end()) {
        refuse(node, "unknown key " + quoted(key.str()) + " in " + what_);
      }
    }
  }
  [[nodiscard]] const toml::node& at(std::string_view key) const {
    const toml::node* node = table_.get(key);
    return node != nullptr ? *node : table_;
  }
  [[nodiscard]] const toml::table& node() const { return table_; }

 private:
  static std::string quoted(std::string_view key) { return '"' + std::string(key) + '"'; }
  const toml::node* find(std::string_view key, bool optional) {
    asked_.emplace_back(key);
    const toml::node* node = table_.get(key);
    if (node == nullptr && !optional) refuse(table_, quoted(key) + " is missing in " + what_);
    return node;
  }

  const toml::table& table_;
  std::string what_;
  std::vector<std::string> asked_;
};

Model read_model(const toml::table& node) {
  Table table(node, "[[provider.model]]");
  Model model;
  model.id = table.text("id");
  if (model.id.empty() || !visible_ascii(model.id)) {
    refuse(table.at("id"), "\"id\" must be printable ASCII without spaces");
  }
  model.name = table.text("name", model.id);
  model.reasoning = table.flag("reasoning");
  model.images = table.flag("images");
  model.context_window = table.tokens("context_window", model.context_window);
  model.max_tokens = table.tokens("max_tokens", model.max_tokens);
  model.input_cost = table.cost("input_cost");
  model.output_cost = table.cost("output_cost");
  model.cache_read_cost = table.cost("cache_read_cost");
  model.cache_write_cost = table.cost("cache_write_cost");
  table.done();
  return model;
}

Model demo_model() {
  Model model;
  model.id = kDemoModel;
  model.name = kDemoName;
  model.reasoning = true;
  return model;
}

void read_endpoint(Table& table, Provider& provider) {
  const bool openai = provider.kind == ProviderKind::openai;
  const std::string url = table.text(
      "base_url", openai ? "https://api.openai.com/v1" : "https://api.anthropic.com");
  auto endpoint = parse_base_url(url);
  if (!endpoint) refuse(table.at("base_url"), endpoint.error());
  provider.endpoint = *std::move(endpoint);
  provider.key = table.text("key", "");
  if (!visible_ascii(provider.key)) {
    refuse(table.at("key"), "\"key\" must be printable ASCII without spaces");
  }
}

void read_models(Table& table, Provider& provider) {
  if (const toml::array* models = table.tables("model", kMaxModels)) {
    for (const toml::node& node : *models) {
      Model model = read_model(*node.as_table());
      if (provider.model(model.id) != nullptr) refuse(node, "this model is listed twice");
      provider.models.push_back(std::move(model));
    }
  }
  if (provider.models.empty()) {
    refuse(table.node(), "provider \"" + provider.name + "\" has no [[provider.model]]");
  }
}

Provider read_provider(const toml::table& node) {
  Table table(node, "[[provider]]");
  Provider provider;
  provider.name = table.text("name");
  if (!is_name(provider.name)) {
    refuse(table.at("name"), "\"name\" must be 1 to 32 of a-z, 0-9 and -, not starting with -");
  }
  const std::string kind = table.text("kind");
  if (kind == "demo") {
    provider.kind = ProviderKind::demo;
    provider.models.push_back(demo_model());
  } else if (kind == "openai" || kind == "anthropic") {
    provider.kind = kind == "openai" ? ProviderKind::openai : ProviderKind::anthropic;
    read_endpoint(table, provider);
    read_models(table, provider);
  } else {
    refuse(table.at("kind"), "\"kind\" must be \"openai\", \"anthropic\" or \"demo\"");
  }
  table.done();
  return provider;
}

// A string, or an array of them.
std::vector<std::string> texts(const toml::node& node, const char* what) {
  std::vector<std::string> all;
  const auto add = [&](const toml::node& item) {
    const auto text = item.value_exact<std::string>();
    if (!text || text->size() > kMaxTextBytes) refuse(item, what);
    all.push_back(*text);
  };
  if (const toml::array* list = node.as_array()) {
    for (const toml::node& item : *list) add(item);
  } else {
    add(node);
  }
  return all;
}

void read_fixed_names(const toml::node& node, egress::FixedNames& names) {
  constexpr const char* kWhat = "\"resolve\" must be a table of name = \"address\"";
  const toml::table* table = node.as_table();
  if (table == nullptr) refuse(node, kWhat);
  for (const auto& [key, value] : *table) {
    const auto name = egress::host_name(key.str());
    if (!name) refuse(value, "\"resolve\" has a key that is no name of a host");
    if (names.size() >= egress::kMaxFixedNames) refuse(value, "\"resolve\" has too many names");
    for (const std::string& text : texts(value, kWhat)) {
      const auto address = egress::parse_address(text);
      if (!address) refuse(value, kWhat);
      names[*name].push_back(*address);
    }
  }
}

egress::Settings read_egress(const toml::node& node) {
  constexpr const char* kWhat =
      "\"allow_private\" must be a list of addresses as \"10.1.2.0/24\", with 0 behind the prefix";
  egress::Settings settings;
  if (node.as_table() == nullptr) refuse(node, "\"egress\" must be written as an [egress] table");
  Table table(*node.as_table(), "[egress]");
  if (const toml::node* list = table.optional("allow_private")) {
    for (const std::string& text : texts(*list, kWhat)) {
      const auto prefix = egress::parse_prefix(text);
      const bool full = settings.allow_private.size() >= egress::kMaxAllowPrivate;
      if (!prefix || full) refuse(*list, kWhat);
      settings.allow_private.push_back(*prefix);
    }
  }
  if (const toml::node* names = table.optional("resolve")) {
    read_fixed_names(*names, settings.resolve);
  }
  table.done();
  return settings;
}

void read_default(Table& table, Config& config) {
  config.default_provider = config.providers.front().name;
  config.default_model = config.providers.front().models.front().id;
  const std::string wanted = table.text("default", "");
  if (wanted.empty()) return;
  const std::size_t slash = wanted.find('/');
  const Provider* provider = config.provider(std::string_view(wanted).substr(0, slash));
  const std::string model = slash == std::string::npos ? "" : wanted.substr(slash + 1);
  if (provider == nullptr || provider->model(model) == nullptr) {
    refuse(table.at("default"), "\"default\" must name a configured \"provider/model\"");
  }
  config.default_provider = provider->name;
  config.default_model = model;
}

Config read_config(const toml::table& root) {
  Table table(root, "the file");
  Config config;
  if (const toml::array* providers = table.tables("provider", kMaxProviders)) {
    for (const toml::node& node : *providers) {
      Provider provider = read_provider(*node.as_table());
      if (config.provider(provider.name) != nullptr) refuse(node, "this provider is listed twice");
      config.providers.push_back(std::move(provider));
    }
  }
  if (config.providers.empty()) {
    Provider demo;
    demo.name = kDemoModel;
    demo.kind = ProviderKind::demo;
    demo.models.push_back(demo_model());
    config.providers.push_back(std::move(demo));
  }
  if (const toml::node* node = table.optional("egress")) config.egress = read_egress(*node);
  read_default(table, config);
  table.done();
  return config;
}

std::string located(std::string_view file, const toml::source_region& where,
                    std::string_view what) {
  return std::string(file) + ':' + std::to_string(where.begin.line) + ": " + std::string(what);
}

// toml++ 3.3 calls some code points outside of strings unreachable, which compilers may believe. So
// only ASCII reaches it; text in strings can be written as \uXXXX.
std::optional<std::string> ascii_error(std::string_view text, std::string_view file) {
  const auto odd = std::ranges::find_if(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > 0x7e || (byte < 0x20 && c != '\n' && c != '\r' && c != '\t');
  });
  if (odd == text.end()) return {};
  const auto line = 1 + std::count(text.begin(), odd, '\n');
  return std::string(file) + ':' + std::to_string(line) +
         ": only ASCII is allowed here; write other characters in strings as \\uXXXX";
}

bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "::1" ||
         (host.starts_with("127.") &&
          host.find_first_not_of("0123456789.") == std::string_view::npos);
}

}  // namespace

const Model* Provider::model(std::string_view id) const {
  const auto found = std::ranges::find(models, id, &Model::id);
  return found == models.end() ? nullptr : &*found;
}

const Provider* Config::provider(std::string_view name) const {
  const auto found = std::ranges::find(providers, name, &Provider::name);
  return found == providers.end() ? nullptr : &*found;
}

std::expected<Config, std::string> parse_config(std::string_view text, std::string_view file_name) {
  // The parser follows nesting with its own stack limit; the size is bounded by the caller too.
  if (text.size() > kMaxConfigBytes) return std::unexpected(std::string(file_name) + ": too long");
  if (auto error = ascii_error(text, file_name)) return std::unexpected(*std::move(error));
  try {
    return read_config(toml::parse(text, file_name));
  } catch (const toml::parse_error& error) {
    // The parser's own text may quote the line, and with it a key: it is not passed on.
    return std::unexpected(located(file_name, error.source(), "this is not valid TOML"));
  } catch (const oqto_toml_assertion&) {
    return std::unexpected(std::string(file_name) + ":1: this is not valid TOML");
  } catch (const Refused& refused) {
    return std::unexpected(located(file_name, refused.where, refused.what));
  }
}

std::expected<Endpoint, std::string> parse_base_url(std::string_view url) {
  const auto bad = [](const char* what) { return std::unexpected(std::string(what)); };
  Endpoint endpoint;
  if (url.starts_with("https://")) {
    url.remove_prefix(8);
  } else if (url.starts_with("http://")) {
    url.remove_prefix(7);
    endpoint.tls = false;
  } else {
    return bad("\"base_url\" must start with https://");
  }
  if (!visible_ascii(url) || url.find_first_of("?#@\\\"<>") != std::string_view::npos) {
    return bad("\"base_url\" must be scheme://host[:port][/path] and nothing more");
  }
  const std::size_t slash = std::min(url.find('/'), url.size());
  std::string_view authority = url.substr(0, slash);
  endpoint.prefix = url.substr(slash);
  while (endpoint.prefix.ends_with('/')) endpoint.prefix.pop_back();
  endpoint.port = endpoint.tls ? "443" : "80";
  const std::size_t colon = authority.rfind(':');
  if (colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos) {
    endpoint.port = authority.substr(colon + 1);
    authority = authority.substr(0, colon);
    if (endpoint.port.empty() || endpoint.port.size() > 5 ||
        endpoint.port.find_first_not_of("0123456789") != std::string::npos ||
        std::stoi(endpoint.port) < 1 || std::stoi(endpoint.port) > 65535) {
      return bad("\"base_url\" has a bad port");
    }
  }
  if (authority.starts_with('[') && authority.ends_with(']')) {
    authority = authority.substr(1, authority.size() - 2);
  } else if (authority.find_first_of(":[]") != std::string_view::npos) {
    return bad("\"base_url\" has a bad host");
  }
  if (authority.empty() || authority.size() > 253) return bad("\"base_url\" has no usable host");
  endpoint.host = authority;
  if (!endpoint.tls && !is_loopback(endpoint.host)) {
    return bad("\"base_url\" with http:// is only for this machine itself: use https://");
  }
  return endpoint;
}

}  // namespace oqto::gateway
