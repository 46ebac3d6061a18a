// The bodies that browsers and operators send: the first byte picks the endpoint.
#include <cstddef>
#include <cstdint>

#include "accounts/json.h"
#include "accounts/rules.h"
#include "base/encoding.h"
#include "base/result.h"

using namespace oqto;
using namespace oqto::accounts;

template <class T>
static void expect_clear(const Parsed<T>& parsed) {
  constexpr std::size_t kMaxErrorText = 400;
  if (parsed) return;
  CHECK(!parsed.error().empty() && parsed.error().size() < kMaxErrorText);
  CHECK(is_valid_utf8(error_answer(parsed.error(), "BAD_REQUEST", 0)));
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 14) {
    case 0: expect_clear(read_setup(body)); break;
    case 1: {
      const auto login = read_login(body);
      expect_clear(login);
      if (login) CHECK(!login->username.empty() && login->password.size() <= kMaxPasswordBytes);
      break;
    }
    case 2: {
      const auto wish = read_register(body);
      expect_clear(wish);
      if (!wish) break;
      (void)username_problem(wish->username);
      (void)password_problem(wish->password, wish->username);
      break;
    }
    case 3: {
      const auto wish = read_invite_wish(body);
      expect_clear(wish);
      if (wish) CHECK(wish->expires_hours >= 1 && wish->expires_hours <= kMaxInviteHours);
      break;
    }
    case 4: expect_clear(read_id(body)); break;
    case 5: expect_clear(read_username(body)); break;
    case 6: expect_clear(read_disable(body)); break;
    case 7: expect_clear(read_list_accounts(body)); break;
    case 8: expect_clear(read_empty(body)); break;
    case 9: {
      const auto change = read_password(body);
      expect_clear(change);
      if (change) (void)password_problem(change->new_password, "ann");
      break;
    }
    case 10: expect_clear(read_reset(body)); break;
    case 11: {
      const auto wish = read_end_logins(body);
      expect_clear(wish);
      if (wish) CHECK((wish->id != 0) != wish->others);
      break;
    }
    case 12: expect_clear(read_reset_wish(body)); break;
    default: expect_clear(read_revoke(body)); break;
  }
  return 0;
}
