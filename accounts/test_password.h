// Bodies of the requests that change a password, for tests.
#pragma once
#include <string>

#include "accounts/test_host.h"

namespace oqto::accounts {

inline const std::string kNew = "a green cow in the cellar";

inline std::string change(const std::string& old, const std::string& fresh, const std::string& more = "") {
  return "{\"password\":" + quoted(old) + ",\"new_password\":" + quoted(fresh) + more + "}";
}
inline std::string reset(const std::string& code, const std::string& password = kNew) {
  return "{\"code\":" + quoted(code) + ",\"password\":" + quoted(password) + "}";
}
inline std::string make_reset(TestHost& host, const std::string& name) {
  const auto reply = host.admin(ipc::AdminVerb::reset_password, "{\"username\":" + quoted(name) + "}");
  EXPECT_EQ(reply.ok, 1) << reply.body.value;
  return at(reply.body.value, "/code");
}

}  // namespace oqto::accounts
