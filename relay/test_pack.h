// Writes asset packs for tests, broken ones included.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace oqto::relay {

struct TestEntry {
  std::string path;
  std::string type;
  std::string csp;
  std::uint32_t flags = 0;
  std::string identity, gzip, br;
};

inline const std::vector<TestEntry> kTestEntries = {
    {"/", "text/html; charset=utf-8",
     "default-src 'none'; script-src 'sha384-x'; require-trusted-types-for 'script'", 2,
     "<!doctype html>", "", ""},
    {"/assets/app-1.js", "text/javascript; charset=utf-8", "", 1, "let plain = 1", "gzipped",
     "brotli"},
    {"/icon.png", "image/png", "", 0, "PNG", "", ""},
};

inline void put_number(std::string& out, std::uint64_t value, int width) {
  for (int i = 0; i < width; ++i) out += static_cast<char>(value >> 8 * i & 0xff);
}
inline void put_text(std::string& out, const std::string& text) {
  put_number(out, text.size(), 2);
  out += text;
}

inline std::string test_pack(const std::vector<TestEntry>& entries) {
  std::size_t offset = 16;
  for (const TestEntry& e : entries) {
    offset += 6 + e.path.size() + e.type.size() + e.csp.size() + 4 + 48;
  }
  std::string out = "OQTOPACK", bodies;
  put_number(out, 1, 4);
  put_number(out, entries.size(), 4);
  for (const TestEntry& e : entries) {
    for (const std::string* text : {&e.path, &e.type, &e.csp}) put_text(out, *text);
    put_number(out, e.flags, 4);
    for (const std::string* body : {&e.identity, &e.gzip, &e.br}) {
      put_number(out, body->empty() ? 0 : offset + bodies.size(), 8);
      put_number(out, body->size(), 8);
      bodies += *body;
    }
  }
  return out + bodies;
}

}  // namespace oqto::relay
