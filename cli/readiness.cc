#include "cli/readiness.h"

#include <algorithm>

#include "cli/json.h"
#include "cli/table.h"

namespace oqto::cli {
namespace {

using ipc::Process;

constexpr Process kNeeded[] = {Process::relay,        Process::accounts, Process::auditd,
                               Process::audit_signer, Process::gateway,  Process::auditor};

struct Fix {
  std::string_view part, what_to_do;
};
constexpr Fix kFixes[] = {
    {"auditd",
     "make room on the file system of the state directory; what auditd or signer says in the "
     "host's log names the cause"},
    {"signer", "see what signer says in the host's log"},
    {"accounts",
     "make room on the file system of the state directory; what accounts says in the host's log "
     "names the cause"},
    {"gateway",
     "see what gateway says in the host's log: mostly a mistake in config/gateway.toml (mend it, "
     "then `oqtoctl reload`)"},
    {"relay",
     "see what relay says in the host's log: mostly a certificate and a key that do not belong "
     "together"},
    {"auditor", "see what auditor says in the host's log; its index (auditor/) may be removed"},
    {"hstry",
     "make room for that account; `oqtoctl tenants kill ACCOUNT` starts its processes anew"},
    {"certificate",
     "renew the certificate that `tls-certificate` names, then `oqtoctl reload`; or set the clock "
     "right (`date -u`)"},
    {"disk", "make room there; `oqtoctl audit` shows what the log takes, and how to prune it"},
    {"storage", "docs/operating.md, Disk; a share that fills is its tenant's to tidy up, or larger with `tenant-bytes`"},
    {"cgroups",
     "docs/operating.md, Policy, Limits; a tree that was removed comes back with a restart of the "
     "host"},
};

std::uint32_t pid_of(const HostStatus& status, std::string_view part) {
  const auto row = std::ranges::find_if(status.processes, [&](const ipc::CtlProcess& process) {
    return process.account == 0 && ipc::process_name(process.process) == part;
  });
  return row == status.processes.end() ? 0 : row->pid;
}

std::string fix_of(const HostStatus& status, std::string_view part, std::string_view what) {
  if (what.ends_with("does not answer")) {
    const bool is_signer = part == ipc::process_name(Process::auditd) && what.contains("signer");
    const std::string_view silent = is_signer ? ipc::process_name(Process::audit_signer) : part;
    if (const std::uint32_t pid = pid_of(status, silent); pid != 0) {
      return "`kill -9 " + std::to_string(pid) + "`, that is " + std::string(silent) +
             ": the guard starts another one, and nothing that was acknowledged is lost";
    }
  }
  const auto* const found = std::ranges::find(kFixes, part, &Fix::part);
  return found == std::end(kFixes) ? "see the host's log" : std::string(found->what_to_do);
}

// Whatever the guard says, without these nobody is served.
std::vector<Trouble> missing_processes(const HostStatus& status) {
  std::vector<Trouble> all;
  const auto say = [&](Process process, const std::string& what) {
    const std::string part(ipc::process_name(process));
    all.push_back({false, part, what, fix_of(status, part, what)});
  };
  for (const Process needed : kNeeded) {
    if (std::ranges::count(status.processes, needed, &ipc::CtlProcess::process) == 0)
      say(needed, "it does not run");
  }
  for (const ipc::CtlProcess& row : status.processes) {
    if (row.account == 0 && row.health != ipc::Health::ready) {
      say(row.process, "it is " + std::string(health_name(row.health)) + ", after " +
                           std::to_string(row.restarts) +
                           (row.restarts == 1 ? " restart" : " restarts"));
    }
  }
  return all;
}

std::string lines(const std::vector<Trouble>& all, bool are_warnings) {
  std::string text;
  for (const Trouble& each : all) {
    if (each.is_warning != are_warnings) continue;
    text +=
        "  " + printable(each.part) + ": " + printable(each.what) + "\n    do: " + each.fix + '\n';
  }
  return text;
}

}  // namespace

std::vector<Trouble> troubles(const HostStatus& status) {
  std::vector<Trouble> all = missing_processes(status);
  for (const ipc::CtlTrouble& row : status.troubles) {
    const std::string part = row.part.str();
    const std::string what = row.why.str();
    const bool is_said = row.is_warning == 0 && std::ranges::count(all, part, &Trouble::part) != 0;
    if (!is_said) all.push_back({row.is_warning != 0, part, what, fix_of(status, part, what)});
  }
  std::ranges::stable_partition(all, [](const Trouble& each) { return !each.is_warning; });
  return all;
}

bool is_ready(const HostStatus& status) {
  return std::ranges::all_of(troubles(status), &Trouble::is_warning);
}

std::string readiness_text(const HostStatus& status) {
  const std::vector<Trouble> all = troubles(status);
  std::string parts;
  for (const Trouble& each : all) {
    if (!each.is_warning) parts += (parts.empty() ? "" : ", ") + printable(each.part);
  }
  std::string text =
      parts.empty() ? "The host is ready.\n" : "Not ready: " + parts + ".\n" + lines(all, false);
  const std::string warnings = lines(all, true);
  return warnings.empty() ? text : text + "Warnings:\n" + warnings;
}

}  // namespace oqto::cli
