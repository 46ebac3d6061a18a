#include "sandbox/world/git_paths.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <span>

#include "base/sys.h"
#include "sandbox/world/git_config.h"
#include "sandbox/world/layout.h"
#include "sandbox/world/paths.h"
#include "sandbox/world/small_files.h"

namespace oqto::sandbox {
namespace {

constexpr std::size_t kMaxPointer = 4096;  // bytes of a `.git`, `gitdir` or `commondir` file
constexpr int kMaxIncludeDepth = 4;
constexpr std::size_t kMaxIncludes = 128;
constexpr std::size_t kMaxModules = 32;    // beyond that all of `modules` is read-only
constexpr std::size_t kMaxWorktrees = 32;  // the same for `worktrees`
constexpr int kMaxModuleDepth = 8;

// What git executes, reads as configuration, or takes for the way to it.
constexpr const char* kObeyed[] = {"hooks", "config", "config.worktree", "commondir"};
constexpr const char* kWorktreeObeyed[] = {"gitdir", "commondir", "config.worktree"};

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

// `path`, from `base` if it is relative, without "." and "..": as text only, which is right where
// no component is a link, and what is a link is never followed later.
std::string resolved(std::string_view base, std::string_view path) {
  const std::string whole = path.starts_with('/') ? std::string(path) : join_path(base, path);
  std::vector<std::string_view> names;
  const std::string_view all = whole;
  for (std::size_t at = 0; at < all.size();) {
    const std::size_t end = std::min(all.find('/', at), all.size());
    const std::string_view name = all.substr(at, end - at);
    if (name == "..") {
      if (!names.empty()) names.pop_back();
    } else if (!name.empty() && name != ".") {
      names.push_back(name);
    }
    at = end + 1;
  }
  std::string path_text;
  for (const std::string_view name : names) (path_text += '/') += name;
  return path_text.empty() ? "/" : path_text;
}

bool is_repository(const std::string& dir) {
  const Found head = look_at(dir + "/HEAD"), objects = look_at(dir + "/objects");
  return head.present && objects.directory;
}

class Looking {
 public:
  explicit Looking(const World& world)
      : world_(world),
        root_(world.workspace.outside),
        dot_git_(join_path(root_, ".git")),
        top_(root_) {}

  std::expected<GitView, StartFailure> run() {
    const Found found = look_at(dot_git_);
    if (found.link) {
      return refuse(
          "`.git` is a symbolic link, which cannot be protected: make it a directory, or "
          "a file with a line `gitdir: PATH`");
    }
    if (!found.present ||
        (found.directory && !is_repository(dot_git_) && list_directory(dot_git_, 1).empty())) {
      TRY(no_repository());
      TRY(no_bare_repository());
    } else if (found.directory) {
      TRY(add_repository(dot_git_));
    } else {
      view_.keep.push_back(dot_git_);
      TRY(follow_file());
    }
    return std::move(view_);
  }

 private:
  using Outcome = std::expected<void, StartFailure>;

  Outcome no_repository() {
    // Where nobody may make a `.git`, nothing is needed.
    if (::access(root_.c_str(), W_OK) != 0) return {};
    view_.own_store = true;
    view_.store = world_.git_store;
    if (view_.store.empty() && !world_.home.outside.empty()) {
      std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a: a name, not a secret
      for (const char c : root_) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
      view_.store = world_.home.outside + "/.oqto-git/" + std::to_string(hash);
    }
    return {};
  }

  // Where there is no `.git`, git takes the directory itself for a repository if it looks like one.
  // Only its owner's git does, and in a hosted session the owner is the agent.
  Outcome no_bare_repository() {
    if (!is_the_users()) return {};
    if (is_repository(root_)) return add_repository(root_);
    // One of these is enough to be kept absent. With a file HEAD beside it, git would not know what
    // is meant by HEAD.
    for (const char* name : {"refs", "objects", "HEAD"}) {
      const std::string path = join_path(root_, name);
      if (const Found found = look_at(path); found.present && !found.stub) continue;
      view_.keep.push_back(path);
      return repository_around();
    }
    view_.keep.push_back(join_path(root_, "HEAD"));
    for (const char* name : kObeyed) view_.keep.push_back(join_path(root_, name));
    return repository_around();
  }

  // The workspace is a part of a larger repository, which may name something in it.
  Outcome repository_around() {
    for (std::string dir(root_); dir != "/";) {
      dir = parent_path(dir);
      const std::string git = join_path(dir, ".git");
      if (!is_repository(git)) continue;
      top_ = dir;
      for (const char* name : {"config", "config.worktree"})
        TRY(add_config(join_path(git, name), 0));
      return add_users_config();
    }
    return {};
  }

  // The stand-alone tool: the workspace belongs to who runs git in it outside, too.
  [[nodiscard]] bool is_the_users() const { return world_.workspace.inside == root_; }

  // A linked worktree or a submodule. The file alone proves nothing, since whoever writes in the
  // workspace can have written it: the repository must name this workspace too.
  Outcome follow_file() {
    if (!is_the_users()) return {};  // what the file says is not true inside
    const auto text = read_small_file(dot_git_, kMaxPointer);
    constexpr std::string_view kBegin = "gitdir: ";
    if (!text || !text->starts_with(kBegin)) return {};
    const std::string dir = resolved(root_, trimmed(text->substr(kBegin.size())));
    if (!look_at(dir).directory) return {};
    std::string shared;
    if (const auto back = read_small_file(dir + "/gitdir", kMaxPointer)) {
      const auto common = read_small_file(dir + "/commondir", kMaxPointer);
      if (!common || resolved(dir, trimmed(*back)) != dot_git_) return {};
      shared = resolved(dir, trimmed(*common));
      if (parent_path(dir) != shared + "/worktrees") return {};
    } else {
      shared = dir;
      std::string worktree;
      for (const GitSetting& setting : settings_of(dir + "/config")) {
        if (setting.section == "core" && setting.key == "worktree") worktree = setting.value;
      }
      if (worktree.empty() || resolved(dir, worktree) != root_) return {};
    }
    if (!is_repository(shared) || path_contains(shared, root_) ||
        path_contains(shared, world_.home.inside)) {
      return {};
    }
    view_.shared = shared;
    return add_repository(shared);
  }

  Outcome add_repository(const std::string& dir) {
    for (const char* name : kObeyed) view_.keep.push_back(join_path(dir, name));
    for (const char* name : {"config", "config.worktree"}) TRY(add_config(join_path(dir, name), 0));
    TRY(add_users_config());
    add_worktrees(dir + "/worktrees");
    const std::size_t before = view_.keep.size();
    if (!add_modules(dir + "/modules", 0)) {
      view_.keep.resize(before);
      view_.keep.push_back(dir + "/modules");
    }
    return {};
  }

  // These files of a directory that an agent may have made, or all of it if one of them is a link:
  // that must not keep a session from starting.
  void keep(const std::string& dir, std::span<const char* const> names) {
    const bool link = std::ranges::any_of(
        names, [&](const char* name) { return look_at(join_path(dir, name)).link; });
    if (link) {
      view_.keep.push_back(dir);
      return;
    }
    for (const char* name : names) view_.keep.push_back(join_path(dir, name));
  }

  void add_worktrees(const std::string& dir) {
    if (!look_at(dir).directory) return;
    const auto names = list_directory(dir, kMaxWorktrees + 1);
    if (names.size() > kMaxWorktrees) {
      view_.keep.push_back(dir);
      return;
    }
    for (const std::string& name : names) {
      const std::string worktree = join_path(dir, name);
      if (look_at(worktree).directory) keep(worktree, kWorktreeObeyed);
    }
  }

  // The `.git` file in a submodule's files: git outside enters whatever repository it names. What
  // the module's configuration says of the place may be the agent's: links in it are not followed.
  void keep_pointer(const std::string& module) {
    for (const GitSetting& setting : settings_of(module + "/config")) {
      if (setting.section != "core" || setting.key != "worktree") continue;
      const std::string files = resolved(module, setting.value);
      const std::string pointer = join_path(files, ".git");
      const std::unique_ptr<char, decltype(&::free)> real(::realpath(pointer.c_str(), nullptr),
                                                          ::free);
      if (files == root_ || !path_contains(root_, files) || !real || real.get() != pointer)
        continue;
      if (const Found found = look_at(pointer); found.present && !found.directory) {
        view_.keep.push_back(pointer);
      }
    }
  }

  // The repositories of submodules, whose names may have slashes in them. False: too many.
  bool add_modules(const std::string& dir, int depth) {
    if (!look_at(dir).directory) return true;
    if (depth >= kMaxModuleDepth) return false;
    const auto names = list_directory(dir, kMaxModules + 1);
    if (names.size() > kMaxModules) return false;
    for (const std::string& name : names) {
      const std::string module = join_path(dir, name);
      if (is_repository(module)) {
        if (++modules_ > kMaxModules) return false;
        keep(module, kObeyed);
        keep_pointer(module);
        if (!add_modules(module + "/modules", depth + 1)) return false;
      } else if (look_at(module).directory && !add_modules(module, depth + 1)) {
        return false;
      }
    }
    return true;
  }

  // What git reads besides the repository's own: it may name something relative to any workspace.
  Outcome add_users_config() {
    if (!is_the_users() || world_.real_home.empty()) return {};
    TRY(add_config("/etc/gitconfig", 0));
    TRY(add_config(world_.real_home + "/.config/git/config", 0));
    return add_config(world_.real_home + "/.gitconfig", 0);
  }

  static std::vector<GitSetting> settings_of(const std::string& path) {
    const auto text = read_small_file(path, kMaxGitConfigBytes);
    return text ? parse_git_config(*text) : std::vector<GitSetting>{};
  }

  // As settings_of(); what cannot be read might name anything. Beyond the agent's reach links are
  // the user's own.
  [[nodiscard]] std::expected<std::vector<GitSetting>, StartFailure> must_know(
      const std::string& path) const {
    std::string at = path;
    if (!path_contains(root_, path)) {
      const std::unique_ptr<char, decltype(&::free)> real(::realpath(path.c_str(), nullptr),
                                                          ::free);
      if (real) at = real.get();
    }
    const auto text = read_small_file(at, kMaxGitConfigBytes);
    if (text) return parse_git_config(*text);
    const Found found = look_at(at);
    if (!found.present || found.link || found.directory || ::access(at.c_str(), R_OK) != 0) {
      return std::vector<GitSetting>{};
    }
    return refuse("`" + at +
                  "` cannot be read, or is too long: what it makes git run would not be "
                  "protected");
  }

  // As git expands it, from `base` if it is relative.
  std::expected<std::string, StartFailure> expanded(const std::string& value, std::string_view base,
                                                    const std::string& config) const {
    if (value.starts_with("~/") && !world_.real_home.empty()) {
      return resolved(world_.real_home, value.substr(2));
    }
    if (is_the_users() && value.starts_with('~')) {
      return refuse("`" + config + "` names `" + value + "`: write that path out");
    }
    // Another home, or where git is installed: neither is in the workspace.
    if (value.starts_with('~') || value.starts_with("%(prefix)/")) return "/";
    return resolved(base, value);
  }

  // What of the workspace a configuration makes git run or read as configuration.
  Outcome add_config(const std::string& path, int depth) {
    for (const GitSetting& setting : TRY(must_know(path))) {
      const bool core = setting.section == "core" && setting.subsection.empty();
      const bool include =
          (setting.section == "include" || setting.section == "includeif") && setting.key == "path";
      if (setting.value.empty()) continue;
      if (core && setting.key == "hookspath") {
        TRY(add_named(TRY(expanded(setting.value, top_, path)), "core.hooksPath", path));
      } else if (core && setting.key == "fsmonitor") {
        const std::string program = setting.value.substr(0, setting.value.find(' '));
        if (program.find('/') != std::string::npos) {
          TRY(add_named(TRY(expanded(program, top_, path)), "core.fsmonitor", path));
        }
      } else if (include && depth < kMaxIncludeDepth && includes_ < kMaxIncludes) {
        ++includes_;
        const std::string file = TRY(expanded(setting.value, parent_path(path), path));
        TRY(add_named(file, "include.path", path));
        TRY(add_config(file, depth + 1));
      } else if (include) {
        return refuse("`" + path + "` includes too many files to protect them all");
      }
    }
    return {};
  }

  Outcome add_named(const std::string& named, const char* key, const std::string& config) {
    if (!path_contains(root_, named)) return {};  // out of the agent's reach
    if (named == root_ || named == dot_git_) {
      return refuse(
          std::string(key) + " in `" + config +
          "` names the whole workspace or repository, which would be read-only then: name "
          "a directory of its own");
    }
    view_.keep.push_back(named);
    return {};
  }

  const World& world_;
  const std::string& root_;
  const std::string dot_git_;
  std::string top_;  // what hooks and programs are named from
  GitView view_;
  std::size_t modules_ = 0;
  std::size_t includes_ = 0;
};

}  // namespace

std::expected<GitView, StartFailure> look_at_git(const World& world) {
  const auto& protect = world.policy.protect.values;
  const bool wanted = std::ranges::any_of(
      protect, [](const std::string& item) { return item.starts_with("./.git/"); });
  const bool all = std::ranges::any_of(protect, [](const std::string& item) {
    return path_contains(item, "./.git") || item == ".";
  });
  if (!wanted || all) return GitView{};
  return Looking(world).run();
}

}  // namespace oqto::sandbox
