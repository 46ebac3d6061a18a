// Result and TRY: how every fallible call in this project answers.
#pragma once
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <expected>
#include <utility>

namespace oqto {

enum class Errc : std::uint8_t {
  io,           // the kernel said no; see Error::sys
  bad_message,  // a peer sent bytes that are no valid message
  denied,       // understood, and refused
  limit,        // a named bound was reached
  not_found,
  unavailable,  // the other side is gone, or not ready; trying again may help
  invalid,      // configuration or argument that can never work
};

// `what` is static text, so an Error costs nothing and is safe after fork.
struct Error {
  Errc code{};
  const char* what = "";
  int sys = 0;  // errno, or 0
};

template <class T = void>
using Result = std::expected<T, Error>;
using Status = Result<void>;

inline std::unexpected<Error> fail(Errc code, const char* what) {
  return std::unexpected(Error{code, what, 0});
}
inline std::unexpected<Error> fail_errno(const char* what) {
  return std::unexpected(Error{Errc::io, what, errno});
}

}  // namespace oqto

// Evaluates to the value, or returns the error from the calling function. Not for coroutines:
// g++ 12 does not compile a co_await inside a statement expression.
#define TRY(expr) OQTO_TRY_NAMED(expr, OQTO_JOIN(try_result_, __COUNTER__))
#define OQTO_JOIN(a, b) OQTO_JOIN_EXPANDED(a, b)
#define OQTO_JOIN_EXPANDED(a, b) a##b
#define OQTO_TRY_NAMED(expr, name)                             \
  __extension__({                                              \
    auto name = (expr);                                        \
    if (!name) return std::unexpected(name.error());           \
    *std::move(name);                                          \
  })

// For what cannot happen. Never on peer input: a peer must not be able to end us.
#define CHECK(condition)                                                             \
  do {                                                                               \
    if (!(condition)) {                                                              \
      (void)std::fprintf(stderr, "check failed: %s (%s:%d)\n", #condition, __FILE__, __LINE__); \
      std::abort();                                                                  \
    }                                                                                \
  } while (false)
