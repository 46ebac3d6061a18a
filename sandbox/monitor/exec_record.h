// What the record of an exec says. The program chose its arguments and its environment, and may want
// to hide some of them: whatever a record has no room for goes whole into a blob, with its hash and
// its length beside it.
#pragma once
#include "sandbox/monitor/recorder.h"
#include "sandbox/monitor/tracee.h"

namespace oqto::sandbox {

// As JSON spells it, at worst: the whole of a record has to fit into an entry of the log.
constexpr std::size_t kMaxShownArguments = 20 * 1024;
constexpr std::size_t kMaxShownVariables = 6 * 1024;  // that decide what is loaded
constexpr std::size_t kMaxShownNames = 1536;          // of all others

// Not executed: it failed, or was refused. What the arguments were beyond what is shown is not
// recorded: nothing has run.
ipc::AuditAppend record_of(const ExecRequest& request, ipc::Outcome outcome);

// Executed: with blobs for what is too long.
Submission submission_of(const ExecRequest& request, const Image& image, ipc::Outcome outcome);

// Its value decides what a program loads or executes without being told to: LD_PRELOAD, PATH,
// BASH_ENV, PYTHONPATH, GIT_SSH_COMMAND …
bool decides_what_is_loaded(std::string_view name);

// Bytes of `text` as JSON, at most.
std::size_t json_bound(std::string_view text);

}  // namespace oqto::sandbox
