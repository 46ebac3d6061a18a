#include "sandbox_cli/learn.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/sys.h"
#include "sandbox_cli/services.h"

namespace oqto::sandbox_cli {
namespace {

using sandbox::path_contains;

// So many files of one directory are proposed as the directory.
constexpr std::size_t kManyFiles = 4;

// Looked at by libraries everywhere, and not missed; and what no policy can grant.
constexpr auto kNeverMissed = std::to_array<std::string_view>({"/dev",
                                                               "/proc",
                                                               "/sys",
                                                               "/run",
                                                               "/root",
                                                               "/bin",
                                                               "/lib",
                                                               "/lib64",
                                                               "/sbin",
                                                               "/var/tmp",
                                                               "/etc/ld.so.preload",
                                                               "/etc/host.conf",
                                                               "/etc/gai.conf",
                                                               "/etc/inputrc",
                                                               "/etc/bash.bashrc",
                                                               "/etc/profile",
                                                               "/etc/terminfo",
                                                               "/etc/security",
                                                               "/etc/gitconfig",
                                                               "/etc/shells"});

// Names under which credentials are kept: a person adds those, or nobody.
constexpr auto kSecrets = std::to_array<std::string_view>({"/.ssh",
                                                           "/.gnupg",
                                                           "/.aws",
                                                           "/.azure",
                                                           "/.config/gcloud",
                                                           "/.kube",
                                                           "/.docker",
                                                           "/.netrc",
                                                           "/.git-credentials",
                                                           "/.npmrc",
                                                           "/.pypirc",
                                                           "/.cargo/credentials",
                                                           "/.config/gh",
                                                           "/.password-store",
                                                           "/.mozilla",
                                                           "/.config/google-chrome",
                                                           "/.bash_history",
                                                           "/.zsh_history",
                                                           "/etc/shadow",
                                                           "/.config/oqto",
                                                           "/.local/share/oqto",
                                                           "/.local/share/keyrings",
                                                           "/.env"});

// What the user's own shell, session and tools execute or obey: who writes there has left the
// sandbox.
constexpr auto kObeyed = std::to_array<std::string_view>({"/.bashrc",
                                                          "/.bash_profile",
                                                          "/.bash_login",
                                                          "/.bash_logout",
                                                          "/.bash_aliases",
                                                          "/.profile",
                                                          "/.zshrc",
                                                          "/.zshenv",
                                                          "/.zprofile",
                                                          "/.zlogin",
                                                          "/.config/fish",
                                                          "/.config/systemd",
                                                          "/.config/autostart",
                                                          "/.config/environment.d",
                                                          "/.config/git",
                                                          "/.gitconfig",
                                                          "/.local/bin",
                                                          "/.local/share/applications",
                                                          "/bin",
                                                          "/.xsession",
                                                          "/.xprofile",
                                                          "/.pam_environment",
                                                          "/.vimrc",
                                                          "/.vim",
                                                          "/.config/nvim",
                                                          "/.emacs",
                                                          "/.emacs.d",
                                                          "/.tmux.conf",
                                                          "/.inputrc"});

bool looks_secret(const std::string& path) {
  return std::ranges::any_of(kSecrets, [&](std::string_view part) {
    const std::size_t at = path.find(part);
    if (at == path.npos) return false;
    const std::size_t end = at + part.size();
    return end == path.size() || path[end] == '/' || path[end] == '.';
  });
}

// `path` as a policy spells it.
bool is_sensitive(const std::string& path, bool written) {
  const auto above = [&](std::string_view part) {
    return path_contains('~' + std::string(part), path);
  };
  return looks_secret(path) || (written && std::ranges::any_of(kObeyed, above));
}

// In a home, whether it is there by now or not.
bool holds_sensitive(const std::string& directory) {
  const auto below = [&](std::string_view part) {
    return path_contains(directory, '~' + std::string(part));
  };
  return std::ranges::any_of(kSecrets, below) || std::ranges::any_of(kObeyed, below);
}

bool below_one_of(const auto& roots, const std::string& path) {
  return std::ranges::any_of(roots, [&](const auto& root) { return path_contains(root, path); });
}

bool shown_anyway(const LearnFrom& from, const std::string& path) {
  if (below_one_of(kNeverMissed, path) || below_one_of(from.shown, path)) return true;
  if (!path_contains(from.home, path)) return path_contains("/tmp", path);
  // In the private home already?
  const std::string own = from.private_home + path.substr(from.home.size());
  return ::access(own.c_str(), F_OK) == 0;
}

// As a policy spells it.
std::string spelled(const LearnFrom& from, const std::string& path) {
  if (from.home != "/" && path_contains(from.home, path))
    return '~' + path.substr(from.home.size());
  return path;
}

std::string parent_of(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

void add_file(const LearnFrom& from, const std::string& path, bool written, Proposal& proposal) {
  if (shown_anyway(from, path) || path.size() > sandbox::kMaxPolicyItem) return;
  if (printable(path) != path) return;  // no policy can spell it
  struct stat info {};
  const bool there = ::stat(path.c_str(), &info) == 0;
  // A policy grants what exists, so for a file that was to be made it is the directory.
  const std::string target = there ? path : parent_of(path);
  if (!there && (!written || ::stat(target.c_str(), &info) != 0)) return;
  if (target.empty() || path_contains(target, from.home)) return;
  if (::access(target.c_str(), written ? W_OK : R_OK) != 0) return;  // not the user's to give
  if (is_sensitive(spelled(from, path), written) || holds_sensitive(spelled(from, target)))
    proposal.secrets.insert(spelled(from, target));
  else
    (written ? proposal.write : proposal.read).insert(spelled(from, target));
}

void join_directories(std::set<std::string>& paths) {
  std::map<std::string, std::size_t> children;
  for (const std::string& path : paths) ++children[parent_of(path)];
  for (const auto& [directory, count] : children) {
    // Neither a home nor a top directory becomes one grant.
    const bool deep = std::ranges::count(directory, '/') >= 2 || (directory.starts_with("~/"));
    if (count < kManyFiles || !deep || holds_sensitive(directory)) continue;
    std::erase_if(paths, [&](const std::string& path) { return path_contains(directory, path); });
    paths.insert(directory);
  }
}

// The value of a text field in a line of JSON that our own oqto-egress wrote. Names and ports
// contain nothing that JSON escapes; anything else is not taken.
std::string field(std::string_view line, std::string_view key) {
  const std::string start = '"' + std::string(key) + "\":\"";
  const std::size_t at = line.find(start);
  if (at == line.npos) return {};
  const std::string_view rest = line.substr(at + start.size());
  const std::string value(rest.substr(0, rest.find('"')));
  return value.find('\\') == value.npos ? value : "";
}

void add_network(const std::string& lines, Proposal& proposal) {
  for (std::size_t at = 0; at < lines.size();) {
    const std::size_t end = std::min(lines.find('\n', at), lines.size());
    const std::string_view line = std::string_view(lines).substr(at, end - at);
    at = end + 1;
    if (field(line, "outcome") != "failure") continue;
    const std::string host = field(line, "host"), port = field(line, "port");
    if (host.find('.') == host.npos) continue;
    // A name that was not resolved says nothing of a port: the usual one is proposed.
    proposal.domains.insert(host + ':' + (port.empty() || port == "0" ? "443" : port));
  }
}

std::string quoted(const std::string& text) {
  std::string all = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') all += '\\';
    all += c;
  }
  return all + '"';
}

std::string list(std::string_view key, const std::set<std::string>& items) {
  if (items.empty()) return {};
  std::string text = std::string(key) + " = [\n";
  for (const std::string& item : items) text += "  " + quoted(item) + ",\n";
  return text + "]\n";
}

std::vector<std::string> vector_of(const std::set<std::string>& items) {
  return {items.begin(), items.end()};
}

Outcome<> write_new(const std::string& path, const std::string& text) {
  const auto file = sys::open_file(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (!file || !sys::write_all(*file, text)) {
    return std::unexpected(path + " cannot be written; it must not exist yet. The proposal is:\n" +
                           text);
  }
  return {};
}

}  // namespace

void prepare_learning(Setup& setup) {
  sandbox::Policy& policy = setup.policy.policy;
  if (policy.network == policies::Network::isolated) {
    policy = sandbox::with_network(policy, policies::Network::filtered);
    setup.world.network = sandbox::World::Network::filtered;
  }
  setup.world.policy = policy;
  setup.world.notify_exec = false;
  setup.world.notify_open = true;
}

LearnFrom learn_from(const Setup& setup) {
  LearnFrom from{{}, setup.user.home, setup.home.path};
  if (from.home == "/") return from;
  const auto places = sandbox::describe(setup.world);
  if (!places) return from;  // and the start will say why
  for (const sandbox::Shown& place : *places) {
    // What is around the home, or the home itself, says nothing of what is in it.
    if (!path_contains(place.inside, from.home) && place.how != sandbox::Shown::How::empty) {
      from.shown.push_back(place.inside);
    }
  }
  return from;
}

Proposal conclude(const LearnFrom& from, const Learned& learned, const std::string& network_lines) {
  Proposal proposal;
  for (const auto& [path, written] : learned.files) add_file(from, path, written, proposal);
  for (const std::string& path : proposal.write) proposal.read.erase(path);
  join_directories(proposal.read);
  join_directories(proposal.write);
  add_network(network_lines, proposal);
  proposal.calls = learned.calls;
  return proposal;
}

std::string proposal_toml(const Proposal& proposal) {
  std::string text;
  if (!proposal.secrets.empty()) {
    text +=
        "# Not proposed, though it was wanted: what looks like credentials, and what your own\n"
        "# programs execute or obey.\n";
    for (const std::string& path : proposal.secrets) text += "#   " + printable(path) + '\n';
  }
  if (!proposal.calls.empty()) {
    text += "# System calls that were refused; no policy grants them:\n";
    for (const auto& [name, count] : proposal.calls) {
      text += "#   " + name + " (" + std::to_string(count) + " times)\n";
    }
  }
  if (proposal.empty()) return text + "# Nothing else was refused: the policy suffices as it is.\n";
  text += list("allow_read", proposal.read) + list("allow_write", proposal.write);
  if (!proposal.domains.empty()) {
    text += "\n[network]\nmode = \"filtered\"\n" + list("allow_domains", proposal.domains);
  }
  return text;
}

int propose(const Options& options, const LearnFrom& from, const Services& services, int status) {
  const Proposal proposal = conclude(from, services.learned(), services.network_lines());
  const std::string text = proposal_toml(proposal);
  if (!options.write.empty()) {
    if (const auto written = write_new(options.write, text); !written) {
      return wrong(written.error());
    }
    complain("the proposal is in " + options.write + ": read it before you use it");
  }
  if (options.json) {
    Json calls = Json::object();
    for (const auto& [name, count] : proposal.calls) calls.set(name, count);
    print(Json::object()
              .set("exit_status", status)
              .set("allow_read", vector_of(proposal.read))
              .set("allow_write", vector_of(proposal.write))
              .set("allow_domains", vector_of(proposal.domains))
              .set("secrets", vector_of(proposal.secrets))
              .set("refused_calls", calls)
              .set("toml", text)
              .text());
  } else if (options.write.empty()) {
    print(text);
  }
  return status;
}

}  // namespace oqto::sandbox_cli
