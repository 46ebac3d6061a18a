// What was said in a model call, for the log: its hash always, and all of it where the session's policy says so,
// within bounds: no account keeps another's texts out. What is not kept has a reason.
#pragma once
#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "gateway/memory_budget.h"
#include "ipc/audit.h"

namespace oqto::gateway {

// A text on its way into the log, and the room that it takes until it is there or given up.
struct KeptText {
  Fd file;  // sealed
  std::unique_ptr<MemoryBudget::Hold> room;
};

class Contents {
 public:
  static constexpr std::size_t kMaxBytes = std::size_t{32} << 20;  // of one text

  explicit Contents(std::unique_ptr<MemoryBudget::Hold> room);  // nothing: the hash alone

  void feed(std::string_view bytes);
  // No more comes. Does what takes long, so any thread may do it.
  void finish();
  [[nodiscard]] const std::string& sha256() const { return sha256_; }
  // Once; no file: it is not to be kept, or why_not() says why it is not.
  KeptText take() { return {std::move(file_), std::move(room_)}; }
  [[nodiscard]] const std::string& why_not() const { return why_not_; }
  void not_kept(std::string why);

 private:
  struct FreeDigest {
    void operator()(EVP_MD_CTX* context) const { ::EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, FreeDigest> digest_;
  std::string sha256_;
  Fd file_;
  std::unique_ptr<MemoryBudget::Hold> room_;
  std::size_t bytes_ = 0;  // in the file
  std::string why_not_;
};

}  // namespace oqto::gateway
