// The self-test's attacker: tries from wherever it runs what a sandbox must not let it do. Run
// outside first (there the attacks work), then inside.
#pragma once
#include <string>
#include <vector>

namespace oqto::sandbox_cli {

constexpr const char* kProbeWord = "--attack-from-here";

// What there is to attack; all made by doctor for the time of the test.
struct Targets {
  std::string secret_file;  // of the user's, outside the workspace
  std::string temporary_file;
  std::string process;  // number
  std::string port;     // listening on 127.0.0.1
  std::string abstract_socket;
  [[nodiscard]] std::vector<std::string> words() const {
    return {secret_file, temporary_file, process, port, abstract_socket};
  }
};
constexpr const char* kSecretVariable = "OQTO_DOCTOR_SECRET";

// Prints one line per attack: "NAME open" or "NAME closed REASON". 0, or 2 for wrong words.
int attack_from_here(const std::vector<std::string>& words);

}  // namespace oqto::sandbox_cli
