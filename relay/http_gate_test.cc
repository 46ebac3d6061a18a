#include "relay/http_gate.h"

#include <gtest/gtest.h>

#include <string>

#include "relay/route.h"

namespace oqto::relay {
namespace {

using Kind = GateResult::Kind;
using namespace std::string_literals;

struct Vector {
  const char* name;
  std::string bytes;
  int status;  // 0: accepted
};

const std::string kPost = "POST /api/auth/login HTTP/1.1\r\nHost: h\r\n";
const std::string kGet = "GET / HTTP/1.1\r\nHost: h\r\n";
const std::string kUpgrade =
    "GET /ws/mux HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: host.mux.v1\r\n";

const Vector kSmuggling[] = {
    {"content length and transfer encoding",
     kPost + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"transfer encoding and content length",
     kPost + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400},
    {"chunked", kPost + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    {"xchunked", kPost + "Transfer-Encoding: xchunked\r\n\r\n", 400},
    {"chunked, identity", kPost + "Transfer-Encoding: chunked, identity\r\n\r\n", 400},
    {"identity", kPost + "Transfer-Encoding: identity\r\n\r\n", 400},
    {"space before the transfer encoding's colon",
     kPost + "Transfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\n", 400},
    {"tab after the transfer encoding's colon", kPost + "Transfer-Encoding:\tchunked\r\n\r\n", 400},
    {"transfer encoding in odd case", kPost + "tRANSFER-eNCODING: chunked\r\n\r\n", 400},
    {"two different content lengths", kPost + "Content-Length: 3\r\nContent-Length: 4\r\n\r\n",
     400},
    {"two equal content lengths", kPost + "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", 400},
    {"a list of content lengths", kPost + "Content-Length: 3, 3\r\n\r\n", 400},
    {"a signed content length", kPost + "Content-Length: +3\r\n\r\n", 400},
    {"a negative content length", kPost + "Content-Length: -1\r\n\r\n", 400},
    {"a hexadecimal content length", kPost + "Content-Length: 0x3\r\n\r\n", 400},
    {"an empty content length", kPost + "Content-Length:\r\n\r\n", 400},
    {"a content length with a blank", kPost + "Content-Length: 1 0\r\n\r\n", 400},
    {"a content length with leading zeros", kPost + "Content-Length: 003\r\n\r\n", 400},
    {"a content length beyond 64 bit", kPost + "Content-Length: 18446744073709551619\r\n\r\n", 413},
    {"a body above the bound", kPost + "Content-Length: 16385\r\n\r\n", 413},
    {"a post without length", kPost + "\r\n", 411},
    {"a get with a body", kGet + "Content-Length: 5\r\n\r\nhello", 400},
    {"a trailer field", kPost + "Content-Length: 3\r\nTrailer: X\r\n\r\n", 400},
    {"an expectation", kPost + "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n", 417},
    {"a folded line", kGet + "X: a\r\n b\r\n\r\n", 400},
    {"a folded line with a tab", kGet + "X: a\r\n\tb\r\n\r\n", 400},
    {"a folded first line", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400},
    {"line feeds only", "GET / HTTP/1.1\nHost: h\n\n", 400},
    {"a line feed between fields", kGet + "X: a\nY: b\r\n\r\n", 400},
    {"a line feed at the end", kGet + "\n", 400},
    {"a bare carriage return", kGet + "X: a\rY: b\r\n\r\n", 400},
    {"a zero byte in a value", kGet + "X: a\0b\r\n\r\n"s, 400},
    {"a zero byte in a name", kGet + "X\0: b\r\n\r\n"s, 400},
    {"a control character in a value", kGet + "X: a\x01\r\n\r\n", 400},
    {"a blank in a name", kGet + "X Y: b\r\n\r\n", 400},
    {"a blank before the colon", kGet + "X : b\r\n\r\n", 400},
    {"an empty name", kGet + ": b\r\n\r\n", 400},
    {"a line without a colon", kGet + "nonsense\r\n\r\n", 400},
    {"a parenthesis in a name", kGet + "X(: b\r\n\r\n", 400},
    {"a byte above 127 in a name", kGet + "X\xc3\xa4: b\r\n\r\n", 400},
    {"a missing host", "GET / HTTP/1.1\r\n\r\n", 400},
    {"two hosts", kGet + "Host: h\r\n\r\n", 400},
    {"two different hosts", kGet + "host: other\r\n\r\n", 400},
    {"HTTP/1.0", "GET / HTTP/1.0\r\nHost: h\r\n\r\n", 505},
    {"transfer encoding on HTTP/1.0",
     "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 505},
    {"HTTP/1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505},
    {"HTTP/2.0", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
    {"HTTP/1.10", "GET / HTTP/1.10\r\nHost: h\r\n\r\n", 400},
    {"http in lower case", "GET / http/1.1\r\nHost: h\r\n\r\n", 400},
    {"HTTP/0.9", "GET /\r\n\r\n", 400},
    {"the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
    {"two blanks before the target", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"two blanks after the target", "GET /  HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"a blank after the version", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400},
    {"a blank at the start", " GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"an empty line at the start", "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"an absolute target", "GET https://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"an authority target", "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"an asterisk target", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"a fragment", "GET /#x HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"a backslash in the target", "GET /a\\b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"a broken percent escape", "GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"a cut percent escape", "GET /% HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"a raw byte in the target", "GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"another method", "PUT / HTTP/1.1\r\nHost: h\r\n\r\n", 405},
    {"a method in lower case", "get / HTTP/1.1\r\nHost: h\r\n\r\n", 405},
    {"a method that is no token", "G@T / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"two origins", kGet + "Origin: https://h\r\nOrigin: https://h\r\n\r\n", 400},
    {"two cookie fields", kGet + "Cookie: a=b\r\nCookie: c=d\r\n\r\n", 400},
    {"the session cookie twice", kGet + "Cookie: __Host-oqto=a; __Host-oqto=b\r\n\r\n", 400},
    {"the device cookie twice", kGet + "Cookie: __Host-oqto-device=a; __Host-oqto-device=a\r\n\r\n", 400},
    {"two user agents", kGet + "User-Agent: a\r\nUser-Agent: b\r\n\r\n", 400},
    {"a connection option that names a field", kGet + "Connection: close, Cookie\r\n\r\n", 400},
    {"an upgrade to HTTP/2", kGet + "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 400},
    {"half an upgrade", kGet + "Upgrade: websocket\r\n\r\n", 400},
    {"an upgrade without a key", kUpgrade + "\r\n", 400},
    {"a short key", kUpgrade + "Sec-WebSocket-Key: AAAA\r\n\r\n", 400},
    {"a key with stray bits", kUpgrade + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAB==\r\n\r\n",
     400},
    {"a key of other characters", kUpgrade + "Sec-WebSocket-Key: ______________________==\r\n\r\n",
     400},
};

TEST(Gate, RefusesWhatTwoParsersCouldReadInTwoWays) {
  static_assert(std::size(kSmuggling) >= 42);
  for (const Vector& vector : kSmuggling) {
    const GateResult result = parse_head(vector.bytes);
    EXPECT_EQ(result.kind, Kind::refused) << vector.name;
    EXPECT_EQ(result.status, vector.status) << vector.name << ": " << result.why;
  }
}

TEST(Gate, AcceptsWhatBrowsersSend) {
  const std::string bytes =
      "POST /api/auth/login HTTP/1.1\r\nHost: localhost:8443\r\nConnection: keep-alive\r\n"
      "Content-Length: 2\r\nsec-ch-ua: \"Chromium\";v=\"156\"\r\nContent-Type: application/json\r\n"
      "Accept: */*\r\nOrigin: https://localhost:8443\r\nSec-Fetch-Site: same-origin\r\n"
      "Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nAccept-Encoding: gzip, deflate, br\r\n"
      "Cookie: other=\xc3\xa4; "
      "__Host-oqto=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\r\n\r\n{}GET";
  const GateResult result = parse_head(bytes);
  ASSERT_EQ(result.kind, Kind::accepted) << result.why;
  EXPECT_EQ(bytes.substr(result.head_bytes), "{}GET");
  EXPECT_EQ(result.request.method, Method::post);
  EXPECT_EQ(result.request.path, "/api/auth/login");
  EXPECT_EQ(result.request.host, "localhost:8443");
  EXPECT_EQ(result.request.content_length, 2U);
  ASSERT_TRUE(result.request.token);
  EXPECT_EQ(result.request.token->back(), 31);
}

TEST(Gate, AsksForMoreAtEveryCutOfAValidHead) {
  const std::string bytes = kGet + "X: y\r\n\r\n";
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    EXPECT_EQ(parse_head(bytes.substr(0, cut)).kind, Kind::incomplete) << cut;
  }
  EXPECT_EQ(parse_head(bytes).kind, Kind::accepted);
}

TEST(Gate, BoundsTheHeadInBytesAndFields) {
  std::string many = kGet;
  for (int i = 0; i < 63; ++i) many += "X: y\r\n";
  EXPECT_EQ(parse_head(many + "\r\n").kind, Kind::accepted);
  EXPECT_EQ(parse_head(many + "X: y\r\n\r\n").status, 431);
  EXPECT_EQ(parse_head(kGet + "X: " + std::string(5000, 'a')).status, 431);
  EXPECT_EQ(parse_head("GET /" + std::string(3000, 'a')).status, 414);
  std::string long_head = kGet;
  for (int i = 0; i < 3; ++i) long_head += "X: " + std::string(3000, 'a') + "\r\n";
  EXPECT_EQ(parse_head(long_head).status, 431);
}

TEST(Gate, TreatsAMalformedCookieAsNoCookie) {
  for (const std::string value : {"", "short", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
                                  "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9"}) {
    const GateResult result = parse_head(kGet + "Cookie: __Host-oqto=" + value + "\r\n\r\n");
    EXPECT_EQ(result.kind, Kind::accepted);
    EXPECT_FALSE(result.request.token) << value;
  }
}

const Site kSite{"https://h", "h"};

int status_of(const std::string& bytes) {
  const GateResult gate = parse_head(bytes);
  if (gate.kind != Kind::accepted) return gate.status;
  const Route where = route(gate.request, std::span(&kSite, 1));
  const auto* rejection = std::get_if<Rejection>(&where);
  return rejection != nullptr ? rejection->status : 200;
}

const std::string kKey = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const std::string kJson = "Content-Length: 2\r\nContent-Type: application/json\r\n";

TEST(Route, LetsOnlyItsOwnPagesConnect) {
  EXPECT_EQ(status_of(kUpgrade + kKey + "Origin: https://h\r\n\r\n"), 200);
  EXPECT_EQ(status_of(kUpgrade + kKey + "\r\n"), 403);
  EXPECT_EQ(status_of(kUpgrade + kKey + "Origin: https://evil\r\n\r\n"), 403);
  EXPECT_EQ(status_of(kUpgrade + kKey + "Origin: null\r\n\r\n"), 403);
  EXPECT_EQ(status_of(kUpgrade + kKey + "Origin: https://h\r\nSec-Fetch-Site: cross-site\r\n\r\n"),
            403);
  EXPECT_EQ(status_of(kUpgrade + kKey + "Origin: https://h\r\nSec-Fetch-Mode: navigate\r\n\r\n"),
            403);
}

TEST(Route, LetsOnlyItsOwnPagesPostJson) {
  EXPECT_EQ(status_of(kPost + kJson + "Origin: https://h\r\n\r\n"), 200);
  EXPECT_EQ(status_of(kPost + kJson + "\r\n"), 403);
  EXPECT_EQ(status_of(kPost + kJson + "Origin: https://evil\r\n\r\n"), 403);
  EXPECT_EQ(status_of(kPost + kJson + "Origin: https://h\r\nSec-Fetch-Site: same-site\r\n\r\n"),
            403);
  EXPECT_EQ(status_of(kPost +
                      "Content-Length: 2\r\nContent-Type: text/plain\r\nOrigin: https://h\r\n\r\n"),
            415);
}

TEST(Route, RefusesOtherHostsPathsAndQueries) {
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: evil\r\n\r\n"), 421);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: H\r\n\r\n"), 421);
  EXPECT_EQ(status_of("GET /api/auth/nothing HTTP/1.1\r\nHost: h\r\n\r\n"), 404);
  EXPECT_EQ(status_of("GET /api/auth/login HTTP/1.1\r\nHost: h\r\n\r\n"), 405);
  EXPECT_EQ(status_of("HEAD /api/me HTTP/1.1\r\nHost: h\r\n\r\n"), 405);
  EXPECT_EQ(status_of("GET /ws/mux?token=x HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET /ws/other HTTP/1.1\r\nHost: h\r\n\r\n"), 404);
}

TEST(Route, LetsLinksOpenThePageButNoFrameShowIt) {
  const std::string cross = kGet + "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n";
  EXPECT_EQ(status_of(cross + "Sec-Fetch-Dest: document\r\n\r\n"), 200);
  EXPECT_EQ(status_of(cross + "Sec-Fetch-Dest: iframe\r\n\r\n"), 403);
  EXPECT_EQ(status_of(kGet + "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n\r\n"), 403);
}

TEST(Route, TakesOriginsOnlyAsBrowsersSpellThem) {
  EXPECT_TRUE(Site::parse("https://localhost:8443"));
  EXPECT_TRUE(Site::parse("https://[::1]:8443"));
  for (const char* bad : {"http://h", "https://H", "https://h/", "https://h:443", "https://", "h",
                          "https://user@h", "https://h\r\nX: y"}) {
    EXPECT_FALSE(Site::parse(bad)) << bad;
  }
}

}  // namespace
}  // namespace oqto::relay
