// The operator's file as the guard hands it over, at the start and while we serve.
#pragma once
#include <expected>
#include <string>
#include <vector>

#include "base/fd.h"
#include "gateway/audit_link.h"
#include "gateway/config.h"

namespace oqto::gateway {

// The error is a text for the operator: `NAME:LINE: what is wrong`.
std::expected<Config, std::string> read_config(const Fd& file, const std::string& name);

// Which configuration is in force: its hash, since the file holds keys.
void record_config(AuditLink& audit, const Config& config);

std::vector<std::string> secrets_of(const Config& config);
std::string described(const Config& config);  // for the operator
bool needs_authorities(const Config& config);

}  // namespace oqto::gateway
