// The operator's files that parts of us are given: opened by path when we start and whenever an operator asks for it.
#pragma once
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "guard/config.h"

namespace oqto::guard {

// Sealed copies of what the files hold now, read from the start: a part that is started again gets the same, whatever
// has become of the files. The kernel makes them: no key is ever in our own memory.
Result<Fd> copy_tls_file(const std::string& path);
// Root's alone. None there: an empty one, unless there `was_one`.
Result<Fd> copy_gateway_config(const std::string& path, bool was_one = false);

// A file that was there when its content came into force, and is not any more: nobody has said that we do without.
constexpr Error kIsGone{Errc::not_found, "is gone; to do without it put an empty file there or restart the host", 0};

// Without a descriptor: there is no such file. One that others can write is refused.
Result<Fd> open_host_policy(const Config& config);

// "PATH: what is wrong with it".
std::string about_file(const std::string& path, const Error& error);

}  // namespace oqto::guard
