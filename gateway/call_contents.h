// What was said in a model call, for the log: its hash always, and all of it where the session's policy says so,
// within bounds. What is not kept has a reason.
#pragma once
#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "ipc/audit.h"

namespace oqto::gateway {

class Contents {
 public:
  static constexpr std::size_t kMaxBytes = std::size_t{32} << 20;   // of one text
  static constexpr std::size_t kMaxInAll = std::size_t{128} << 20;  // of those that are not stored yet

  explicit Contents(bool keep);
  Contents(const Contents&) = delete;
  Contents& operator=(const Contents&) = delete;
  ~Contents();

  void feed(std::string_view bytes);
  // No more comes. Does what takes long, so any thread may do it.
  void finish();
  [[nodiscard]] const std::string& sha256() const { return sha256_; }
  // The memory file, once, sealed; none: it is not to be kept, or why_not() says why it is not.
  Fd take() { return std::move(file_); }
  [[nodiscard]] const std::string& why_not() const { return why_not_; }
  void not_kept(std::string why);

 private:
  struct FreeDigest {
    void operator()(EVP_MD_CTX* context) const { ::EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, FreeDigest> digest_;
  std::string sha256_;
  Fd file_;
  std::size_t bytes_ = 0;  // in the file
  std::string why_not_;
};

}  // namespace oqto::gateway
