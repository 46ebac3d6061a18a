#include "sandbox/world/layout.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "base/sys.h"
#include "sandbox/world/etc_files.h"
#include "sandbox/world/git_paths.h"
#include "sandbox/world/paths.h"
#include "sandbox/world/protect.h"
#include "sandbox/world/stubs.h"

namespace oqto::sandbox {
namespace {

using Outcome = std::expected<void, StartFailure>;

// Of /usr's split into two trees only the links are left on most hosts.
constexpr const char* kSystem[] = {"/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin"};

// Nothing of a host's that may be shown: kernel interfaces, and directories full of sockets, which
// a read-only mount does not keep anybody from connecting to.
constexpr const char* kNeverBeneath[] = {"/proc", "/sys", "/dev"};
constexpr const char* kNeverWhole[] = {"/", "/etc", "/run", "/var/run", "/tmp", "/var"};

std::string quoted(std::string_view text) {
  return '`' + std::string(text) + '`';
}

std::string real_path(const std::string& path) {
  char real[PATH_MAX];
  return ::realpath(path.c_str(), real) != nullptr ? real : "";
}

// `what` is "allow_read: `~/x`" and the like.
std::expected<Found, StartFailure> must_exist(const std::string& what, const std::string& path) {
  const Found found = look_at(path);
  if (found.link) {
    const std::string real = real_path(path);
    return refuse(what + (real.empty() ? ": a symbolic link leads nowhere"
                                       : ": is reached through a symbolic link: write " +
                                             quoted(real) + " instead"));
  }
  if (!found.reachable) {
    return refuse(what + ": is out of reach of uid " + std::to_string(::getuid()) +
                  ": its parent directories must be searchable");
  }
  if (!found.present) return refuse(what + ": does not exist");
  return found;
}

// Nothing is there, and no link on the way to it.
bool is_absent(const std::string& path) {
  const Found found = look_at(path);
  return !found.present && !found.link && found.reachable;
}

class LayingOut {
 public:
  explicit LayingOut(const World& world) : world_(world) {}

  std::expected<Layout, StartFailure> run() {
    TRY(check());
    TRY(add_system());
    TRY(add_own());
    TRY(add_grants());
    TRY(add_extras());
    const GitView git = TRY(look_at_git(world_));
    TRY(add_git(git));
    TRY(settle());
    TRY(cover(world_, git, layout_));
    if (layout_.mounts.size() + layout_.covers.size() > kMaxMounts) {
      return refuse("the policy and the repository need more than " + std::to_string(kMaxMounts) +
                    " mounts: name directories rather than files");
    }
    return std::move(layout_);
  }

 private:
  Outcome check() const;
  Outcome add_system();
  Outcome add_own();
  Outcome add_grants();
  Outcome add_grant(std::string_view key, const std::string& item, bool writable);
  Outcome add_extras();
  Outcome add_git(const GitView& git);
  Outcome settle();

  Mount* at(std::string_view inside) {
    const auto found = std::ranges::find(layout_.mounts, inside, &Mount::inside);
    return found == layout_.mounts.end() ? nullptr : &*found;
  }
  // The host's `outside` appears at `inside` already.
  [[nodiscard]] bool shows(std::string_view outside, std::string_view inside, bool writable) const {
    const Mount* mount = layout_.showing(inside);
    return mount != nullptr && mount->source == Mount::Source::host &&
           join_path(mount->outside, beneath(mount->inside, inside)) == outside &&
           (!mount->read_only || !writable);
  }
  void sort() { std::ranges::stable_sort(layout_.mounts, OuterFirst{}, &Mount::inside); }

  const World& world_;
  Layout layout_;
};

Outcome LayingOut::check() const {
  if (::getuid() == 0 || ::geteuid() == 0 || world_.uid == 0 || world_.gid == 0) {
    return refuse("a sandbox is never root's: start it as an ordinary user");
  }
  if (world_.pool > kMaxPool) return refuse("the pool of sockets is too large");
  const Place& workspace = world_.workspace;
  for (const std::string* path : {&workspace.outside, &workspace.inside, &world_.home.inside}) {
    if (!is_normal_path(*path)) return refuse(quoted(*path) + " is not an absolute path");
  }
  for (const char* kept : {"/proc", "/sys", "/dev", "/usr", "/etc", "/tmp", "/opt/oqto"}) {
    const bool below_is_fine = std::string_view(kept) != "/proc" &&
                               std::string_view(kept) != "/sys" && std::string_view(kept) != "/dev";
    if (path_contains(workspace.inside, kept) ||
        (!below_is_fine && path_contains(kept, workspace.inside))) {
      return refuse("the workspace " + quoted(workspace.outside) + " cannot be shown at " +
                    quoted(workspace.inside) + ": choose a project directory");
    }
  }
  if (path_contains(workspace.inside, world_.home.inside) ||
      (!world_.real_home.empty() && path_contains(workspace.outside, world_.real_home))) {
    return refuse("the workspace " + quoted(workspace.outside) +
                  " holds the whole home directory: choose a project directory");
  }
  return {};
}

Outcome LayingOut::add_system() {
  const Found usr = TRY(must_exist("`/usr`", "/usr"));
  layout_.mounts.push_back({.source = Mount::Source::host,
                            .outside = "/usr",
                            .id = usr.id,
                            .inside = "/usr",
                            .why = "system"});
  for (const char* path : kSystem) {
    char target[64];
    const ssize_t n = ::readlink(path, target, sizeof target);
    if (n > 0) {
      layout_.links.push_back({path, std::string(target, static_cast<std::size_t>(n))});
    } else if (const Found found = look_at(path); found.present && found.directory) {
      layout_.mounts.push_back({.source = Mount::Source::host,
                                .outside = path,
                                .id = found.id,
                                .inside = path,
                                .why = "system"});
    }
  }
  layout_.links.push_back({"/var/tmp", "/tmp"});
  layout_.files = etc_files(world_);
  // The host's own names for its public files may be links: what they lead to is shown.
  for (const std::string& path : public_etc_files()) {
    const std::string real = real_path(path);
    const Found found = real.empty() ? Found{} : look_at(real);
    if (!found.present) continue;
    layout_.mounts.push_back({.source = Mount::Source::host,
                              .outside = real,
                              .id = found.id,
                              .inside = path,
                              .directory = found.directory,
                              .why = "system"});
  }
  return {};
}

Outcome LayingOut::add_own() {
  layout_.mounts.push_back({.source = Mount::Source::memory,
                            .inside = "/tmp",
                            .read_only = false,
                            .own = true,
                            .why = "tmp"});
  const auto add = [&](const Place& place, const char* why, bool own) -> Outcome {
    const Found found =
        TRY(must_exist("the " + std::string(why) + ' ' + quoted(place.outside), place.outside));
    if (!found.directory) return refuse(quoted(place.outside) + " is not a directory");
    if (place.id && *place.id != found.id) {
      return refuse(quoted(place.outside) + " no longer names the directory that was opened");
    }
    layout_.mounts.push_back({.source = Mount::Source::host,
                              .outside = place.outside,
                              .id = found.id,
                              .inside = place.inside,
                              .read_only = false,
                              .own = own,
                              .why = why});
    return {};
  };
  if (world_.home.outside.empty()) {
    layout_.mounts.push_back({.source = Mount::Source::memory,
                              .inside = world_.home.inside,
                              .read_only = false,
                              .own = true,
                              .why = "home"});
  } else {
    TRY(add(world_.home, "home", true));
  }
  return add(world_.workspace, "workspace", false);
}

Outcome LayingOut::add_grants() {
  struct Grant {
    std::string inside;
    std::string_view key;
    const std::string* item;
  };
  std::vector<Grant> grants;
  const auto collect = [&](std::string_view key, const PolicyList& list) {
    for (const std::string& item : list.values) {
      grants.push_back({name_of(world_, item).inside, key, &item});
    }
  };
  collect("allow_write", world_.policy.allow_write);
  collect("allow_read", world_.policy.allow_read);
  // Outer before inner, writable before read-only: what is already shown is not mounted again.
  std::ranges::stable_sort(grants, OuterFirst{}, &Grant::inside);
  for (const Grant& grant : grants) {
    TRY(add_grant(grant.key, *grant.item, grant.key == "allow_write"));
    sort();
  }
  return {};
}

Outcome LayingOut::add_grant(std::string_view key, const std::string& item, bool writable) {
  const std::string what = std::string(key) + ": " + quoted(item);
  const auto [outside, inside] = name_of(world_, item);
  // The workspace and a home of the sandbox's own are there and writable whatever is granted.
  if (item.starts_with('.') || (item.starts_with('~') && world_.real_home.empty())) return {};
  for (const char* path : kNeverWhole) {
    if (outside == path)
      return refuse(what + ": cannot be shown as a whole: name what is needed of it");
  }
  for (const char* path : kNeverBeneath) {
    if (path_contains(path, outside)) return refuse(what + ": the kernel's files are not shown");
  }
  if (item.starts_with('~') && is_absent(outside)) return {};  // see absent_grants()
  const Found found = TRY(must_exist(what, outside));
  if (shows(outside, inside, writable)) return {};
  Mount mount{.source = Mount::Source::host,
              .outside = outside,
              .id = found.id,
              .inside = inside,
              .directory = found.directory,
              .read_only = !writable,
              .why = std::string(key)};
  if (Mount* taken = at(inside); taken == nullptr) {
    layout_.mounts.push_back(std::move(mount));
  } else if (taken->why == "home" || taken->why == key || taken->why == "allow_read") {
    *taken = std::move(mount);
  } else {
    return refuse(what + ": this place is taken by the " + taken->why);
  }
  return {};
}

Outcome LayingOut::add_extras() {
  std::vector<World::ReadOnly> all = world_.read_only;
  all.push_back({.place = {.outside = world_.init, .id = {}, .inside = kInsideInit}});
  for (const World::ReadOnly& extra : all) {
    const std::string real = real_path(extra.place.outside);
    const Found found = look_at(real);
    if (!found.present || ::access(real.c_str(), R_OK) != 0) {
      if (!extra.required) continue;
      return refuse(quoted(extra.place.outside) + " is missing or cannot be read by uid " +
                    std::to_string(::getuid()));
    }
    layout_.mounts.push_back({.source = Mount::Source::host,
                              .outside = real,
                              .id = found.id,
                              .inside = extra.place.inside,
                              .directory = found.directory,
                              .executable = extra.executable,
                              .why = "runtime"});
  }
  sort();
  for (const World::Generated& file : world_.generated) {
    if (layout_.showing(file.inside) == nullptr) {
      layout_.files.push_back(file);
    } else {
      layout_.mounts.push_back({.source = Mount::Source::content,
                                .content = file.content,
                                .inside = file.inside,
                                .directory = false,
                                .executable = false,
                                .why = "generated"});
    }
  }
  sort();
  return {};
}

Outcome LayingOut::add_git(const GitView& git) {
  const std::string dot_git = join_path(world_.workspace.inside, ".git");
  if (!git.shared.empty() && !shows(git.shared, git.shared, true)) {
    const Found found = TRY(must_exist(quoted(git.shared), git.shared));
    layout_.mounts.push_back({.source = Mount::Source::host,
                              .outside = git.shared,
                              .id = found.id,
                              .inside = git.shared,
                              .read_only = false,
                              .why = "git"});
  }
  if (!git.own_store) return {};
  // No repository yet: what git makes here stays with the agent, and nobody else's git obeys it.
  layout_.stubs.push_back({.outside = join_path(world_.workspace.outside, ".git"),
                           .parent = at(world_.workspace.inside)->id});
  Mount store{.source = Mount::Source::memory,
              .inside = dot_git,
              .read_only = false,
              .own = true,
              .why = "git_store"};
  if (!git.store.empty()) {
    store.source = Mount::Source::host;
    store.outside = git.store;
  }
  layout_.mounts.push_back(std::move(store));
  Mount hooks{.source = Mount::Source::memory, .inside = dot_git + "/hooks", .why = "git_store"};
  // The hooks that `git init` would copy: it is content if they are there.
  constexpr const char* kTemplate = "/usr/share/git-core/templates/hooks";
  if (const Found found = look_at(kTemplate); found.present && found.directory) {
    hooks.source = Mount::Source::host;
    hooks.outside = kTemplate;
    hooks.id = found.id;
  }
  layout_.mounts.push_back(std::move(hooks));
  sort();
  return {};
}

// Where mount points are made, and where they must be there.
Outcome LayingOut::settle() {
  sort();
  for (Mount& mount : layout_.mounts) {
    const Mount* around = layout_.showing(parent_path(mount.inside));
    mount.make_place = around == nullptr || around->own;
  }
  return {};
}

}  // namespace

const Mount* Layout::showing(std::string_view inside) const {
  const Mount* innermost = nullptr;
  for (const Mount& mount : mounts) {
    if (path_contains(mount.inside, inside) &&
        (innermost == nullptr || mount.inside.size() >= innermost->inside.size())) {
      innermost = &mount;
    }
  }
  return innermost;
}

std::unexpected<StartFailure> refuse(std::string why) {
  return std::unexpected(StartFailure{std::move(why)});
}

Named name_of(const World& world, std::string_view policy_path) {
  const auto rest = [&](std::size_t root) {
    return policy_path.size() > root ? policy_path.substr(root + 1) : std::string_view();
  };
  if (policy_path.starts_with('.')) {
    return {join_path(world.workspace.outside, rest(1)),
            join_path(world.workspace.inside, rest(1))};
  }
  if (policy_path.starts_with('~')) {
    const std::string& home = world.real_home.empty() ? world.home.outside : world.real_home;
    return {home.empty() ? "" : join_path(home, rest(1)), join_path(world.home.inside, rest(1))};
  }
  return {std::string(policy_path), std::string(policy_path)};
}

std::vector<std::string> absent_grants(const World& world) {
  std::vector<std::string> absent;
  if (world.real_home.empty()) return absent;
  for (const auto& [key, list] : {std::pair{"allow_write", &world.policy.allow_write},
                                  std::pair{"allow_read", &world.policy.allow_read}}) {
    for (const std::string& item : list->values) {
      if (!item.starts_with('~') || !is_absent(name_of(world, item).outside)) continue;
      absent.push_back(std::string(key) + ": " + quoted(item) +
                       " does not exist and is left out; if what is written there is to stay, make it: mkdir -m 700 " + item);
    }
  }
  return absent;
}

std::expected<Layout, StartFailure> lay_out(const World& world) {
  return LayingOut(world).run();
}

}  // namespace oqto::sandbox
