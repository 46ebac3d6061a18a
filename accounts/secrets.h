// Random tokens, their digests and argon2id (RFC 9106), on libsodium.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "accounts/store.h"
#include "base/result.h"
#include "ipc/wire.h"

namespace oqto::accounts {

constexpr std::size_t kHashMemoryBytes = 64 * 1024 * 1024;
constexpr unsigned long long kHashPasses = 3;

Status init_secrets();  // once, before anything else here

ipc::Token random_token();
Digest sha256(std::string_view bytes);
Digest sha256(const ipc::Token& token);
bool equal_secrets(const Digest& a, const Digest& b);  // in constant time

// An argon2id string with today's parameters; empty if memory is short.
std::string hash_password(std::string_view password);
bool verify_password(std::string_view password, const std::string& hash);
bool is_outdated(const std::string& hash);  // made with other parameters
void wipe(std::string& secret);

// Of no password: verifying against it costs what verifying a real one does.
extern const char* const kDummyHash;

}  // namespace oqto::accounts
