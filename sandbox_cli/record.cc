#include "sandbox_cli/record.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <charconv>

#include "base/sys.h"
#include "sandbox/policy/policy.h"

namespace oqto::sandbox_cli {
namespace {

std::string_view outcome_name(ipc::Outcome outcome) {
  static constexpr std::string_view kNames[] = {"unknown", "success", "failure"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(ipc::Outcome::kEnd));
  return kNames[static_cast<std::size_t>(outcome)];
}

std::uint64_t count_of(const ipc::AuditAppend& record) {
  for (const ipc::AuditField& field : record.list) {
    std::uint64_t count = 0;
    const std::string& text = field.value;
    if (field.key == ipc::FieldKey::count &&
        std::from_chars(text.data(), text.data() + text.size(), count).ec == std::errc()) {
      return count;
    }
  }
  return 1;
}

}  // namespace

std::string record_line(const ipc::AuditAppend& record, std::uint64_t time_ms) {
  Json line = Json::object();
  line.set("time", time_ms)
      .set("event", ipc::event_name(record.event))
      .set("outcome", outcome_name(record.outcome));
  for (std::size_t i = 0; i < static_cast<std::size_t>(ipc::FieldKey::kEnd); ++i) {
    const auto key = static_cast<ipc::FieldKey>(i);
    std::vector<std::string> values;
    for (const ipc::AuditField& field : record.list) {
      if (field.key == key) values.push_back(field.value);
    }
    const bool list = key == ipc::FieldKey::argv || key == ipc::FieldKey::argv_after ||
                      key == ipc::FieldKey::environment;
    if (values.empty()) continue;
    line.set(ipc::field_name(key), list ? Json(values) : Json(values.front()));
  }
  return line.text() + '\n';
}

Outcome<> Record::open(const std::string& path, const std::vector<std::string>& writable) {
  const std::size_t slash = path.rfind('/');
  const std::string above = slash == path.npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  char real[PATH_MAX];
  if (::realpath(above.c_str(), real) == nullptr) {
    return std::unexpected("the record " + path + ": " + ::strerrordesc_np(errno));
  }
  for (const std::string& root : writable) {
    if (sandbox::path_contains(root, real)) {
      return std::unexpected("the record " + path +
                             " would be within reach of what it records: put "
                             "it outside of " +
                             root);
    }
  }
  constexpr int kFlags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  auto opened = sys::open_file(path.c_str(), kFlags, 0600);
  struct stat info {};
  if (!opened || ::fstat(opened->get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return std::unexpected("the record " + path + ": cannot be opened as a regular file");
  }
  // A second name may be inside.
  if (info.st_nlink != 1) return std::unexpected("the record " + path + " has a second name");
  file_ = std::move(*opened);
  return {};
}

Fd Record::copy_of_file() const {
  return file_ ? Fd::adopt(::fcntl(file_.get(), F_DUPFD_CLOEXEC, 3)) : Fd();
}

void Record::add(ipc::AuditAppend record) {
  if (record.event == ipc::Event::denial) denials_ += count_of(record);
  if (file_ && !failed_) failed_ = !sys::write_all(file_, record_line(record, sys::now_ms()));
  if (keep_ && kept_.size() < kMaxKept) kept_.push_back(std::move(record));
}

}  // namespace oqto::sandbox_cli
