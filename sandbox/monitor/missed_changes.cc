#include "sandbox/monitor/missed_changes.h"

#include <string_view>
#include <utility>

#include "base/sys.h"

namespace oqto::sandbox {
namespace {

using ipc::FieldKey;

constexpr std::string_view kWhy[] = {
    "changes came faster than they could be read: some are missing here",
    "the workspace has more directories than are watched: changes in the others are not recorded",
    "directories deeper than 64, or whose path has more than 1024 bytes, are not watched: changes "
    "in them are not recorded",
    "the kernel gives no more watches (fs.inotify.max_user_watches): changes in these directories "
    "are not recorded",
    "directories that must not be read cannot be watched: changes in them are not recorded",
    "the kernel does not let the workspace be watched (fs.inotify.max_user_instances): no change "
    "is recorded",
    "directories took the place of others: changes near here may be told under the old name",
    "the session ended before all changes were read: some are missing here"};
static_assert(std::size(kWhy) == static_cast<std::size_t>(Missed::kEnd));

}  // namespace

void MissedChanges::add(Missed why, const std::string& where, std::uint64_t now) {
  Sum& sum = sums_[static_cast<std::size_t>(why)];
  if (sum.count++ != 0) return;
  ++count_;
  sum.since = now;
  sum.at = sys::now_ms();
  sum.where = where;
}

bool MissedChanges::take(std::uint64_t now, std::uint64_t join_ms, const std::string& inside,
                         ipc::AuditAppend& record) {
  for (std::size_t i = 0; i < sums_.size() && count_ != 0; ++i) {
    if (sums_[i].count == 0 || now < sums_[i].since + join_ms) continue;
    const Sum sum = std::exchange(sums_[i], {});
    --count_;
    record = {};
    record.event = ipc::Event::file_update;
    record.phase = ipc::Phase::event;
    record.outcome = ipc::Outcome::unknown;
    if (!sum.where.empty()) record.add(FieldKey::path, inside + '/' + sum.where);
    record.add(FieldKey::truncated, "true").add(FieldKey::reason, kWhy[i]);
    record.add(FieldKey::count, std::to_string(sum.count)).add(FieldKey::at, sys::utc_text(sum.at));
    return true;
  }
  return false;
}

}  // namespace oqto::sandbox
