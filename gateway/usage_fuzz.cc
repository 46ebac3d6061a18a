// The count does not depend on how the stream is cut, no key passes, and the texts of a request never crash.
#include "base/result.h"
#include "gateway/demo.h"
#include "gateway/redactor.h"
#include "gateway/request.h"
#include "gateway/usage.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace oqto::gateway;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t cut = data[0] % 16 + 1U;
  for (const bool sse : {true, false}) {
    UsageReader whole(sse);
    UsageReader parts(sse);
    whole.feed(text);
    for (std::size_t at = 0; at < text.size(); at += cut) parts.feed(text.substr(at, cut));
    CHECK(whole.usage().tokens_in == parts.usage().tokens_in);
    CHECK(whole.usage().tokens_out == parts.usage().tokens_out);
    CHECK(whole.text_bytes() == parts.text_bytes());
  }
  const std::string key = "sk-keyed-0123456789";
  for (const bool sse : {true, false}) {
    Redactor redactor(key, sse);
    std::string out;
    for (std::size_t at = 0; at < text.size(); at += cut) out += redactor.feed(text.substr(at, cut));
    out += redactor.finish();
    CHECK(out.find(key) == out.npos);
  }
  for (const ProviderKind kind : {ProviderKind::anthropic, ProviderKind::openai}) {
    const auto checked = check_body(text, {.kind = kind});
    if (!checked) continue;
    // What is passed on is clean: checking it again takes nothing away.
    const auto again = check_body(checked->text, {.kind = kind});
    CHECK(again && again->removed.empty() && again->text == checked->text);
  }
  (void)demo_frames(demo_answer(text), "id", size);
  return 0;
}
