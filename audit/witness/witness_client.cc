#include "audit/witness/witness_client.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>

#include "audit/format/hash.h"
#include "base/encoding.h"
#include "base/fd.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr std::uint64_t kAnswerMs = 30'000;
constexpr time_t kSilenceSeconds = 10;
constexpr std::size_t kMaxAnswer = kMaxHttpHeader + kMaxHttpBody;

bool is_plain(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

Result<Fd> connect_to(const WitnessUrl& url) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(url.host.c_str(), url.port.c_str(), &hints, &found) != 0) {
    return fail(Errc::unavailable, "the witness's name has no address");
  }
  Fd connected;
  for (const addrinfo* address = found; address != nullptr && !connected;
       address = address->ai_next) {
    Fd socket = Fd::adopt(::socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
    if (!socket) continue;
    const timeval silence{kSilenceSeconds, 0};
    for (const int option : {SO_SNDTIMEO, SO_RCVTIMEO}) {
      (void)::setsockopt(socket.get(), SOL_SOCKET, option, &silence, sizeof silence);
    }
    if (::connect(socket.get(), address->ai_addr, address->ai_addrlen) == 0) {
      connected = std::move(socket);
    }
  }
  ::freeaddrinfo(found);
  if (!connected) return fail(Errc::unavailable, "the witness cannot be reached");
  return connected;
}

}  // namespace

Result<WitnessUrl> parse_witness_url(const std::string& text) {
  constexpr std::string_view kScheme = "http://";
  if (!text.starts_with(kScheme)) {
    return fail(Errc::invalid, "a witness's URL begins with http:// (for TLS: through a proxy)");
  }
  std::string_view rest = std::string_view(text).substr(kScheme.size());
  WitnessUrl url;
  url.authority = rest.substr(0, rest.find('/'));
  rest.remove_prefix(url.authority.size());
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.ends_with("/add-checkpoint")) rest.remove_suffix(std::string_view("/add-checkpoint").size());
  url.prefix = rest;
  url.target = url.prefix + "/add-checkpoint";
  std::string_view host = url.authority;
  const std::size_t colon = host.rfind(':');
  if (colon != host.npos && host.find(']', colon) == host.npos) {
    url.port = host.substr(colon + 1);
    host = host.substr(0, colon);
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  url.host = host;
  const bool has_odd = rest.find_first_of("?#") != rest.npos || url.authority.find('@') != text.npos;
  if (url.host.empty() || url.port.empty() || has_odd || !is_plain(text)) {
    return fail(Errc::invalid, "a witness's URL is http://host[:port][/prefix]");
  }
  return url;
}

static Result<HttpResponse> ask(const WitnessUrl& url, const std::string& request) {
  const Fd socket = TRY(connect_to(url));
  for (std::string_view rest = request; !rest.empty();) {
    const ssize_t n = ::send(socket.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;  // it may have answered already, without reading all
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  const std::uint64_t deadline = sys::monotonic_ms() + kAnswerMs;
  std::string answer;
  for (;;) {
    char piece[16 * 1024];
    const ssize_t n = ::recv(socket.get(), piece, sizeof piece, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(Errc::unavailable, "the witness does not answer");
    answer.append(piece, static_cast<std::size_t>(n));
    auto response = TRY(read_http_response(answer, n == 0));
    if (response) return std::move(*response);
    if (answer.size() > kMaxAnswer) return fail(Errc::limit, "the witness's answer is too long");
    if (sys::monotonic_ms() > deadline) {
      return fail(Errc::unavailable, "the witness answers too slowly");
    }
  }
}

Result<HttpResponse> post_to_witness(const WitnessUrl& url, const std::string& body) {
  return ask(url, http_post(url.authority, url.target, body));
}

Result<HttpResponse> get_from_witness(const WitnessUrl& url, const std::string& origin) {
  return ask(url, http_get(url.authority, url.prefix + "/" + to_hex(sha256(origin)) + "/checkpoint"));
}

}  // namespace oqto::audit
