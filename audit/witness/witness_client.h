// Gets cosignatures from witnesses (C2SP tlog-witness).
#pragma once
#include <cstdint>
#include <string>

#include "audit/witness/http.h"
#include "base/result.h"

namespace oqto::audit {

// Where a witness takes submissions: http://host[:port][/prefix].
struct WitnessUrl {
  std::string host;  // as in the URL, without brackets
  std::string port = "80";
  std::string prefix;     // of both paths
  std::string target;     // prefix and /add-checkpoint
  std::string authority;  // for the Host field
};
Result<WitnessUrl> parse_witness_url(const std::string& url);

// One POST over one connection. Errc::unavailable: the witness cannot be reached or stays silent.
Result<HttpResponse> post_to_witness(const WitnessUrl& url, const std::string& body);
// What it shows to monitors: the newest checkpoint that it cosigned of this log. Of a witness that has its
// monitoring prefix elsewhere, an answer that is none.
Result<HttpResponse> get_from_witness(const WitnessUrl& url, const std::string& origin);

}  // namespace oqto::audit
