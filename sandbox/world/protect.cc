#include "sandbox/world/protect.h"

#include <unistd.h>

#include <algorithm>

#include "sandbox/world/paths.h"
#include "sandbox/world/stubs.h"

namespace oqto::sandbox {
namespace {

using How = Cover::How;
using Outcome = std::expected<void, StartFailure>;

struct Wish {
  std::string inside;
  How how{};
  bool stub = true;  // if it is absent, keep it so
  std::string why;   // "deny_read: `./secret`"
};

std::string because(std::string_view key, std::string_view item) {
  return std::string(key) + ": `" + std::string(item) + '`';
}

class Covering {
 public:
  Covering(const World& world, Layout& layout) : world_(world), layout_(layout) {}

  Outcome run(const GitView& git) {
    const Policy& policy = world_.policy;
    wish_all(policy.deny_write, How::read_only, "deny_write");
    wish_all(policy.protect, How::read_only, "protect");
    wish_all(policy.deny_read, How::empty, "deny_read");
    for (const std::string& path : git.keep) {
      wish({path, ""}, How::read_only, true, because("protect", path));
    }
    TRY(ask());
    // Outer before inner, and the strongest first: what a cover covers needs none of its own.
    std::ranges::stable_sort(wishes_, [](const Wish& a, const Wish& b) {
      if (a.inside != b.inside) return OuterFirst{}(a.inside, b.inside);
      return a.how > b.how;
    });
    for (const Wish& each : wishes_) TRY(fulfil(each));
    pin_generated();
    std::ranges::stable_sort(layout_.covers, OuterFirst{}, &Cover::inside);
    std::ranges::stable_sort(layout_.stubs, OuterFirst{}, &Stub::outside);
    return {};
  }

 private:
  void wish_all(const PolicyList& list, How how, std::string_view key) {
    for (const std::string& item : list.values) {
      wish(name_of(world_, item), how, true, because(key, item));
    }
  }

  // Every place inside where the path is shown, or would be.
  void wish(const Named& named, How how, bool stub, const std::string& why) {
    const auto add = [&](std::string inside) {
      wishes_.push_back({std::move(inside), how, stub, why});
    };
    if (!named.inside.empty()) add(named.inside);
    for (const Mount& mount : layout_.mounts) {
      if (!named.inside.empty() && path_contains(named.inside, mount.inside)) add(mount.inside);
      if (mount.source != Mount::Source::host || named.outside.empty()) continue;
      if (path_contains(mount.outside, named.outside)) {
        std::string inside = join_path(mount.inside, beneath(mount.outside, named.outside));
        if (layout_.showing(inside) == &mount) add(std::move(inside));
      } else if (path_contains(named.outside, mount.outside)) {
        add(mount.inside);
      }
    }
  }

  // Files that cover the agent's own are read at their path: the way there must stay.
  void pin_generated() {
    for (const Mount& mount : layout_.mounts) {
      if (mount.source != Mount::Source::content) continue;
      const Mount* around = layout_.showing(parent_path(mount.inside));
      for (std::string_view at = parent_path(mount.inside);
           around != nullptr && at != around->inside; at = parent_path(at)) {
        lay(How::pin, std::string(at), {.directory = true}, "generated");
      }
    }
  }

  Outcome ask() {
    for (const std::string& item : world_.policy.ask.values) {
      const std::size_t colon = item.find(':');
      const std::string path = item.substr(colon + 1);
      const Named named = name_of(world_, path);
      if (named.outside.empty()) continue;
      if (path == "/" || path == "." || path == "~") {
        return refuse(because("guard", path) + ": name what is to be asked for, not everything");
      }
      layout_.asks.push_back({named.inside, named.outside, item.starts_with("auto:")});
      wish(named, How::empty, false, because("guard", path));
    }
    if (layout_.asks.empty()) return {};
    for (const std::string& item : world_.policy.deny_read.values) {
      const Named named = name_of(world_, item);
      layout_.asks.push_back({named.inside, named.outside, false, true});
    }
    return {};
  }

  [[nodiscard]] const Cover* cover_at_or_above(std::string_view inside, How least) const {
    for (const Cover& cover : layout_.covers) {
      if (cover.how >= least && !cover.if_present && path_contains(cover.inside, inside)) {
        return &cover;
      }
    }
    return nullptr;
  }

  Outcome check_empty(const Wish& each) const {
    for (const std::string& needed :
         {world_.workspace.inside, world_.home.inside, std::string(kInsideInit),
          std::string("/usr"), std::string("/etc"), std::string("/tmp"), std::string("/dev"),
          std::string("/proc")}) {
      if (path_contains(each.inside, needed)) {
        return refuse(each.why + ": would hide " + needed + ", which every sandbox needs");
      }
    }
    return {};
  }

  Outcome fulfil(const Wish& each) {
    if (each.how == How::empty) TRY(check_empty(each));
    if (cover_at_or_above(each.inside, each.how) != nullptr) return {};
    const Mount* mount = layout_.showing(each.inside);
    const bool whole = mount != nullptr && mount->inside == each.inside;
    if (whole) {
      if (each.how == How::read_only && mount->read_only) return {};
      layout_.covers.push_back({.how = each.how,
                                .inside = each.inside,
                                .directory = mount->directory,
                                .id = {},
                                .why = each.why});
      return {};
    }
    if (mount == nullptr) {  // the sandbox's own root, which is read-only
      if (each.how == How::empty) {
        layout_.covers.push_back({.how = each.how,
                                  .inside = each.inside,
                                  .id = {},
                                  .if_present = true,
                                  .why = each.why});
      }
      return {};
    }
    // In memory that the sandbox begins with there is nothing to hide, and nobody else looks there.
    if (mount->source != Mount::Source::host || mount->why == "git_store") return {};
    return within(*mount, each);
  }

  // Down from the mount to the path, component by component.
  Outcome within(const Mount& mount, const Wish& each) {
    const std::string_view relative = beneath(mount.inside, each.inside);
    FileId parent = mount.id;
    for (std::size_t at = 0; at <= relative.size();) {
      const std::size_t end = std::min(relative.find('/', at), relative.size());
      const bool last = end == relative.size();
      const std::string outside = join_path(mount.outside, relative.substr(0, end));
      const std::string inside = join_path(mount.inside, relative.substr(0, end));
      const Found found = look_at(outside);
      if (found.link) {
        return refuse(each.why + ": `" + outside +
                      "` is a symbolic link: name what it leads to, or replace it");
      }
      if (!found.reachable) return {};  // this uid may not look there, and so nothing inside may
      if (!found.present || found.stub) return absent(mount, each, outside, parent, inside, last);
      if (last) {
        if (each.how == How::empty || !mount.read_only) {
          lay(each.how, inside, found, each.why);
        }
        return {};
      }
      // What is on the way must stay there, or the path would come to mean something else.
      if (!mount.read_only) lay(How::pin, inside, found, each.why);
      if (!found.directory) return {};
      parent = found.id;
      at = end + 1;
    }
    return {};
  }

  Outcome absent(const Mount& mount, const Wish& each, const std::string& outside,
                 const FileId& parent, const std::string& inside, bool last) {
    if (!each.stub) return {};
    const std::string directory(parent_path(outside));
    if (::access(directory.c_str(), W_OK) != 0) {
      // Not this uid's to create, unless the directory is its own and only the mode says so.
      const Found found = look_at(directory);
      if (!mount.read_only && found.owned) {
        lay(How::read_only, std::string(parent_path(inside)), found, each.why);
      }
      return {};
    }
    // In a read-only mount nothing inside creates it, but somebody outside may, and it would show.
    if (mount.read_only && each.how != How::empty) return {};
    const bool is_directory = !last || !looks_like_file(last_name(outside));
    const bool known = std::ranges::any_of(
        layout_.stubs, [&](const Stub& stub) { return stub.outside == outside; });
    if (!known) layout_.stubs.push_back(stub_for(outside, parent, is_directory));
    layout_.covers.push_back(
        {.how = each.how, .inside = inside, .directory = is_directory, .id = {}, .why = each.why});
    return {};
  }

  void lay(How how, const std::string& inside, const Found& found, const std::string& why) {
    for (Cover& cover : layout_.covers) {
      if (cover.inside != inside) continue;
      if (cover.how < how) {
        cover.how = how;
        cover.why = why;
      }
      return;
    }
    if (how == How::pin && cover_at_or_above(inside, How::read_only) != nullptr) return;
    layout_.covers.push_back(
        {.how = how, .inside = inside, .directory = found.directory, .id = found.id, .why = why});
  }

  const World& world_;
  Layout& layout_;
  std::vector<Wish> wishes_;
};

}  // namespace

std::expected<void, StartFailure> cover(const World& world, const GitView& git, Layout& layout) {
  return Covering(world, layout).run(git);
}

}  // namespace oqto::sandbox
