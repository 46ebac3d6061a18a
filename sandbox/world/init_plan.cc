#include "sandbox/world/init_plan.h"

#include <algorithm>

#include "sandbox/world/paths.h"

namespace oqto::sandbox {
namespace {

// Without paths that another one contains.
std::vector<std::string> outermost(std::vector<std::string> paths) {
  std::ranges::sort(paths, OuterFirst{});
  std::vector<std::string> kept;
  for (std::string& path : paths) {
    if (std::ranges::none_of(kept, [&](const auto& each) { return path_contains(each, path); })) {
      kept.push_back(std::move(path));
    }
  }
  return kept;
}

const Cover* hiding(const Layout& layout, std::string_view inside) {
  for (const Cover& cover : layout.covers) {
    if (cover.how == Cover::How::empty && path_contains(cover.inside, inside)) return &cover;
  }
  return nullptr;
}

std::vector<std::string> checks(const Layout& layout) {
  std::vector<std::string> all;
  const auto add = [&](const MountCheck& check) { all.push_back(check.text()); };
  for (const Mount& mount : layout.mounts) {
    if (hiding(layout, mount.inside) != nullptr) continue;
    add({.read_only = mount.read_only, .id = mount.id, .path = mount.inside});
  }
  for (const Cover& cover : layout.covers) {
    const Cover* hidden = hiding(layout, cover.inside);
    if (cover.if_present || (hidden != nullptr && hidden->inside != cover.inside)) continue;
    const bool empty = hidden != nullptr;
    add({.read_only = cover.how != Cover::How::pin,
         .empty = empty,
         .id = empty ? FileId{} : cover.id,
         .path = cover.inside});
  }
  return all;
}

}  // namespace

std::expected<InitPlan, StartFailure> init_plan(const World& world, const Layout& layout) {
  InitPlan plan;
  plan.run_own_programs = world.policy.run_own_programs;
  plan.notify_exec = world.notify_exec ? 1 : 0;
  plan.notify_open = layout.asks.empty() && !world.notify_open ? 0 : 1;
  plan.env.values = world.env.empty() ? base_environment(world) : world.env;
  plan.workspace = ipc::Text<512>(std::string_view(world.workspace.inside));
  plan.checks.values = checks(layout);
  std::vector<std::string> writable = {"/tmp", "/dev/shm"}, readable = {"/etc", "/proc"},
                           executable;
  for (const Mount& mount : layout.mounts) {
    auto& list = !mount.read_only ? writable : mount.executable ? executable : readable;
    list.push_back(mount.inside);
  }
  plan.writable.values = outermost(std::move(writable));
  plan.executable.values = outermost(std::move(executable));
  plan.readable.values = outermost(std::move(readable));
  // What is more than its list is, or all of it than a message, cannot be told.
  const bool fits = plan.env.values.size() <= 128 && plan.checks.values.size() <= 1024 &&
                    plan.writable.values.size() <= 128 && plan.readable.values.size() <= 256 &&
                    plan.executable.values.size() <= 256 &&
                    world.workspace.inside.size() <= plan.workspace.kMax;
  const auto too_long = [](const std::vector<std::string>& values, std::size_t max) {
    return std::ranges::any_of(values, [max](const auto& value) { return value.size() > max; });
  };
  if (!fits || too_long(plan.checks.values, 640) || too_long(plan.env.values, 4096) ||
      too_long(plan.writable.values, 512) || too_long(plan.readable.values, 512) ||
      too_long(plan.executable.values, 512) || ipc::encode(plan).size() > ipc::kMaxDatagram) {
    return refuse("the policy names more, or longer, paths than one sandbox can have");
  }
  return plan;
}

}  // namespace oqto::sandbox
