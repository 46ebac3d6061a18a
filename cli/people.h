// What an operator does about people: invitations, logins, forgotten passwords. Each returns what is printed.
#pragma once
#include <string>

#include "cli/host.h"
#include "cli/options.h"

namespace oqto::cli {

Outcome<std::string> invites(const Options& options);
Outcome<std::string> list_logins(const Options& options);
Outcome<std::string> revoke_logins(const Options& options);
Outcome<std::string> reset_password(const Options& options, const std::string& url);

}  // namespace oqto::cli
