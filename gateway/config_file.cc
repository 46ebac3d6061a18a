#include "gateway/config_file.h"

#include <openssl/sha.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/encoding.h"
#include "base/sys.h"

namespace oqto::gateway {

std::expected<Config, std::string> read_config(const Fd& file, const std::string& name) {
  (void)::lseek(file.get(), 0, SEEK_SET);  // a predecessor may have read it to the end
  const auto text = sys::read_all(file, kMaxConfigBytes);
  if (!text) return std::unexpected(name + ": cannot be read: " + text.error().what);
  auto config = parse_config(*text, name);
  if (!config) return config;
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
  (void)::SHA256(reinterpret_cast<const unsigned char*>(text->data()), text->size(), digest.data());
  config->text_sha256 = to_hex(digest);
  return config;
}

void record_config(AuditLink& audit, const Config& config) {
  ipc::AuditAppend loaded;
  loaded.event = ipc::Event::config_load;
  loaded.phase = ipc::Phase::event;
  loaded.outcome = ipc::Outcome::success;
  loaded.add(ipc::FieldKey::rule, "gateway.toml").add(ipc::FieldKey::sha256, config.text_sha256);
  audit.outcome(std::move(loaded));
}

std::vector<std::string> secrets_of(const Config& config) {
  std::vector<std::string> secrets;
  for (const Provider& provider : config.providers) secrets.push_back(provider.key);
  return secrets;
}

std::string described(const Config& config) {
  std::string text;
  for (const Provider& provider : config.providers)
    text += (text.empty() ? "" : ", ") + provider.name;
  return text + "; default " + config.default_provider + "/" + config.default_model;
}

bool needs_authorities(const Config& config) {
  return std::ranges::any_of(config.providers, [](const Provider& provider) {
    return provider.kind != ProviderKind::demo && provider.endpoint.tls;
  });
}

}  // namespace oqto::gateway
