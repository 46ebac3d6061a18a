// Puts characters together that a stream cut in the middle of their UTF-16 pair (RFC 8259 §8.2): the
// parser keeps the halves when it is asked to (JsonLimits::keep_halves).
#pragma once
#include <string>
#include <string_view>

namespace oqto::protocol {

class SurrogateJoiner {
 public:
  // The text with pairs joined over calls; a half that may find its partner in the next one waits.
  std::string feed(std::string_view text);
  // Nothing follows: what waits has no partner.
  std::string finish();

 private:
  unsigned high_ = 0;  // 0: none waits
};

}  // namespace oqto::protocol
