// Bubblewrap builds the mounts and namespaces of a session, run without privilege as the agent's
// uid. This file knows its options; what the agent may do besides is oqto-init's business.
#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "sandbox/policy.h"

namespace oqto::sandbox {

// The command line of one bubblewrap, and the descriptors that it refers to by number.
class Bubblewrap {
 public:
  // Namespaces, the system's files, generated /etc, /tmp: the same for every session.
  static Result<Bubblewrap> base(bool own_network);

  void add(std::initializer_list<std::string> words);
  Status add_bind_fd(const Fd& dir, const std::string& dest);        // read and write
  Status add_read_only_fd(const Fd& file, const std::string& dest);  // the content, as it is now
  Status add_file(const std::string& dest, std::string_view content);

  void add_end();  // after the last mount: what is left of the root becomes read-only
  // Then the program with its arguments: the last words.

  struct Inherit {
    int from;
    int as;  // 0 .. 9
  };
  // Forks; the child makes the stage (see below), takes the limits, and becomes bubblewrap. It dies
  // with this thread. Descriptors other than those of `inherit` and of the command line close.
  [[nodiscard]] Result<pid_t> start(const policies::Limits& limits,
                                    const std::vector<Inherit>& inherit) const;

 private:
  Result<int> keep(Fd fd);
  std::vector<std::string> words_;
  std::vector<Fd> kept_;
};

}  // namespace oqto::sandbox
