// Which models there are and how to reach them, from the operator's TOML file. The file is root's;
// the guard opens it and hands the descriptor in. An empty file means the built-in demo alone.
#pragma once
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "egress/settings.h"

namespace oqto::gateway {

constexpr std::size_t kMaxConfigBytes = 256 * 1024;
constexpr std::size_t kMaxProviders = 32;
constexpr std::size_t kMaxModels = 64;  // of one provider

enum class ProviderKind : std::uint8_t {
  openai,     // Chat Completions
  anthropic,  // Messages
  demo,       // scripted, in this process, no network
};

struct Model {
  std::string id;  // as the provider spells it
  std::string name;
  bool reasoning = false;
  bool images = false;
  std::int64_t context_window = 128'000;  // tokens
  std::int64_t max_tokens = 16'384;
  double input_cost = 0;  // US dollars per million tokens, like the next three
  double output_cost = 0;
  double cache_read_cost = 0;
  double cache_write_cost = 0;
};

struct Endpoint {
  bool tls = true;
  std::string host;    // name or address, without brackets
  std::string port;    // decimal
  std::string prefix;  // path without trailing slash, may be empty
};

struct Provider {
  std::string name;  // [a-z0-9-], also a path segment
  ProviderKind kind{};
  Endpoint endpoint;
  std::string key;  // may be empty
  std::vector<Model> models;

  [[nodiscard]] const Model* model(std::string_view id) const;
};

struct Config {
  std::vector<Provider> providers;  // never empty
  std::string default_provider;
  std::string default_model;
  egress::Settings egress;  // of the sessions' filtered networks
  std::string text_sha256;  // hex, of the file; set by who read it

  [[nodiscard]] const Provider* provider(std::string_view name) const;
};

// The error is a text for the operator: `NAME:LINE: what is wrong`. It never contains a key.
std::expected<Config, std::string> parse_config(std::string_view toml, std::string_view file_name);

// `scheme://host[:port][/path]`. http only for loopback hosts.
std::expected<Endpoint, std::string> parse_base_url(std::string_view url);

}  // namespace oqto::gateway
