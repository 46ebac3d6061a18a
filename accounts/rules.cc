#include "accounts/rules.h"

#include <algorithm>
#include <array>
#include <set>

namespace oqto::accounts {
namespace {

// Of the passwords that leaks contain most often, those that are long enough to pass otherwise.
constexpr auto kCommon = std::to_array<std::string_view>(
    {"123123123123",     "123321123321",     "1234567890-=",     "12345678910a",
     "1234567890ab",     "1234567890abc",    "1234567890qwe",    "1234qwerasdf",
     "1234qwerasdfzxcv", "123456789012345",  "12345qwertasdfg",  "1a2b3c4d5e6f",
     "1q2w3e4r5t6y",     "1q2w3e4r5t6y7u",   "1q2w3e4r5t6y7u8i", "1qaz2wsx3edc",
     "1qaz2wsx3edc4rfv", "1qazxsw23edc",     "abc123abc123",     "abcd12345678",
     "abcd1234abcd",     "administrator",    "administrator1",   "admin1234567",
     "admin12345678",    "admin123456789",   "adminadmin123",    "adminpassword",
     "aa1234567890",     "a1b2c3d4e5f6",     "asdfghjkl123",     "asdfghjkl;'",
     "asdfasdfasdf",     "asdfjkl;asdf",     "asdfghjklzxcvbnm", "baseball1234",
     "bismillah123",     "changeme1234",     "changeme12345",    "changemenow1",
     "changemeplease",   "changethispassword", "charlie12345",   "chocolate123",
     "christopher1",     "computer1234",     "correcthorsebatterystaple", "dragon123456",
     "defaultpassword",  "dragondragon",     "elizabeth123",     "everything123",
     "football1234",     "football12345",    "forever12345",     "fuckyou12345",
     "hello1234567",     "helloworld12",     "helloworld123",    "iloveyou1234",
     "iloveyou12345",    "iloveyou123456",   "iloveyousomuch",   "internet1234",
     "letmein12345",     "letmein123456",    "letmeinletmein",   "liverpool123",
     "manchester1",      "masterpassword",   "michael12345",     "mynameis1234",
     "mypassword12",     "mypassword123",    "mypassword1234",   "newpassword1",
     "newpassword123",   "oqtopassword",     "p@ssw0rd1234",     "p@ssword1234",
     "pa$$w0rd1234",     "passw0rd1234",     "passw0rd12345",    "password!123",
     "password0123",     "password1234",     "password12345",    "password123456",
     "password1234567",  "password12345678", "password123456789", "password1234567890",
     "passwordpassword", "password@123",     "password@1234",    "passphrase12",
     "princess1234",     "q1w2e3r4t5y6",     "q1w2e3r4t5y6u7i8", "qazwsxedcrfv",
     "qazwsxedc123",     "qazwsxedcrfvtgb",  "qwer1234asdf",     "qwer1234qwer",
     "qwerasdfzxcv",     "qwerty123456",     "qwerty1234567",    "qwerty12345678",
     "qwerty123456789",  "qwertyqwerty",     "qwertyuiop12",     "qwertyuiop123",
     "qwertyuiop1234",   "qwertyuiop[]",     "qwertyuiop[]\\",   "qwertyuiopasdf",
     "qwertyuiopasdfghjkl", "qwertyuiopasdfghjklzxcvbnm", "qwertyasdfgh", "qwertyzxcvbn",
     "samsung12345",     "secret123456",     "secretpassword",   "spiderman123",
     "starwars1234",     "sunshine1234",     "superman1234",     "superpassword",
     "temppassword",     "temporary123",     "testpassword",     "testpassword1",
     "testtesttest",     "thisisapassword",  "trustno1trustno1", "unbelievable",
     "welcome12345",     "welcome123456",    "welcome@1234",     "whatever1234",
     "yourpassword",     "zaq12wsxcde3",     "zaq1xsw2cde3",     "zxcvbnm12345",
     "zxcvbnmasdfghjkl", "zxcvbnmasdfghjklqwertyuiop"});

constexpr auto kReserved = std::to_array<std::string_view>(
    {"root", "system", "oqto", "oqtoctl", "operator", "guard", "relay", "accounts", "auditd", "auditor",
     "auditsigner", "signer", "gateway", "runner", "hstry", "policy", "launch", "keyholder", "sshproxy",
     "daemon", "kernel", "nobody", "host", "localhost", "service", "security", "support", "anonymous",
     "unknown", "everyone", "null", "none"});
constexpr auto kForAdministrators = std::to_array<std::string_view>({"admin", "administrator"});

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

// The user name once or several times, and perhaps digits after it: "alicealice", "alice2024".
bool is_made_of(std::string_view password, std::string_view username) {
  if (username.empty()) return false;
  bool found = false;
  while (password.starts_with(username)) {
    password.remove_prefix(username.size());
    found = true;
  }
  return found && std::all_of(password.begin(), password.end(),
                              [](char c) { return c >= '0' && c <= '9'; });
}

bool is_separator(char c) { return c == '.' || c == '_' || c == '-'; }

bool is_run(std::string_view password) {  // "abcdefghijkl", "987654321098": one step, wrapping
  int ups = 0;
  int downs = 0;
  for (std::size_t i = 1; i < password.size(); ++i) {
    const int step = password[i] - password[i - 1];
    if (step == 1 || (password[i - 1] == '9' && password[i] == '0')) ++ups;
    if (step == -1 || (password[i - 1] == '0' && password[i] == '9')) ++downs;
  }
  const int steps = static_cast<int>(password.size()) - 1;
  return ups == steps || downs == steps;
}

}  // namespace

std::optional<std::string> username_problem(std::string_view username) {
  const bool length = username.size() >= kMinUsername && username.size() <= kMaxUsername;
  const bool characters = username.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-") ==
                          std::string_view::npos;
  const bool start = !username.empty() && username[0] >= 'a' && username[0] <= 'z';
  bool separated = false;  // by two in a row, or at the end
  for (std::size_t i = 0; i < username.size(); ++i) {
    const bool here = is_separator(username[i]);
    separated |= here && (i + 1 == username.size() || is_separator(username[i + 1]));
  }
  if (length && characters && start && !separated) return std::nullopt;
  return "a user name is 2 to 32 of a-z 0-9 . _ - : a letter first, and each . _ - between two others";
}

std::string skeleton_of(std::string_view username) {
  std::string skeleton;
  for (const char c : username) {
    if (!is_separator(c)) skeleton += c == '0' ? 'o' : c == '1' ? 'l' : c;
  }
  return skeleton;
}

bool is_reserved(std::string_view username, bool administrator) {
  std::string skeleton = skeleton_of(username);
  if (skeleton.starts_with("oqto")) return true;  // "oqto-guard", "oqto2"
  const auto has = [&](const auto& names) {
    return std::find(names.begin(), names.end(), skeleton) != names.end();
  };
  return has(kReserved) || (!administrator && has(kForAdministrators));
}

std::optional<std::string> password_problem(std::string_view password, std::string_view username) {
  if (password.size() < kMinPasswordBytes) return "the password must have at least 12 characters";
  if (password.size() > kMaxPasswordBytes) return "the password must have at most 256 bytes";
  const std::string folded = lower(password);
  if (is_made_of(folded, username)) return "the password must not be the user name";
  const bool common = std::find(kCommon.begin(), kCommon.end(), folded) != kCommon.end();
  const std::set<char> distinct(folded.begin(), folded.end());
  if (common || distinct.size() < kMinDistinctBytes || is_run(folded)) {
    return "this password is one of the first that an attacker tries: choose another one";
  }
  return std::nullopt;
}

}  // namespace oqto::accounts
