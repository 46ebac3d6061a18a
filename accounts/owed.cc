#include "accounts/owed.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <sstream>

#include "accounts/secrets.h"
#include "base/log.h"
#include "base/sys.h"

namespace oqto::accounts {
namespace {

constexpr const char* kFile = "/owed";

// Of a slot: the text follows it. In this machine's byte order, since the file is for this machine.
struct Head {
  std::uint64_t sequence = 0;
  std::uint64_t size = 0;
  Digest digest{};  // of the sequence, and the text
};

Digest digest_of(std::uint64_t sequence, const std::string& text) {
  return sha256(std::to_string(sequence) + ":" + text);
}

// A field is one word: no spaces, never empty.
std::string word(const std::string& text) {
  std::string safe = "=";
  for (const char c : text) safe += c > ' ' && c <= '~' ? c : '?';
  return safe;
}

}  // namespace

std::string to_text(const std::deque<OwedAct>& acts) {
  std::ostringstream text;
  for (const OwedAct& act : acts) {
    text << static_cast<int>(act.kind) << ' ' << act.account << ' ' << act.login << ' ' << act.at_ms
         << ' ' << act.is_stored << ' ' << act.operator_uid << ' ' << word(act.operator_name) << ' '
         << word(act.remote) << ' ' << word(act.username) << '\n';
  }
  return text.str();
}

std::deque<OwedAct> from_text(const std::string& text) {
  std::deque<OwedAct> acts;
  std::istringstream in(text);
  for (OwedAct act; acts.size() < Owed::kMaxActs;) {
    int kind = 0;
    in >> kind >> act.account >> act.login >> act.at_ms >> act.is_stored >> act.operator_uid >>
        act.operator_name >> act.remote >> act.username;
    if (!in || kind < 0 || kind >= static_cast<int>(OwedAct::Kind::kEnd)) break;
    act.kind = static_cast<OwedAct::Kind>(kind);
    for (std::string* field : {&act.operator_name, &act.remote, &act.username}) field->erase(0, 1);
    acts.push_back(act);
  }
  return acts;
}

// Written once, not only given: blocks that have content are overwritten without a thing to
// allocate.
Result<Fd> Owed::ready_file(const std::string& path) {
  Fd file = TRY(sys::open_file(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0) return fail_errno("fstat");
  if (facts.st_size < static_cast<off_t>(2 * kSlot))
    TRY(sys::write_all(file, std::string(2 * kSlot, '\0')));
  if (::fsync(file.get()) != 0) return fail_errno("fsync");
  return file;
}

Owed Owed::open(const std::string& state_dir) {
  Owed owed;
  auto file = ready_file(state_dir + kFile);
  if (!file) {
    log::error("what cannot be written to accounts.db will be kept in memory only", file.error());
    return owed;
  }
  owed.file_ = std::move(*file);
  owed.load();
  return owed;
}

void Owed::load() {
  for (off_t at : {off_t{0}, static_cast<off_t>(kSlot)}) {
    std::string slot(kSlot, '\0');
    if (::pread(file_.get(), slot.data(), slot.size(), at) != static_cast<ssize_t>(slot.size()))
      continue;
    Head head;
    std::memcpy(&head, slot.data(), sizeof head);
    if (head.sequence <= sequence_ || head.size > kSlot - sizeof head) continue;
    const std::string text = slot.substr(sizeof head, head.size);
    if (head.digest != digest_of(head.sequence, text)) continue;  // a write that was cut short
    sequence_ = head.sequence;
    acts_ = from_text(text);
  }
}

void Owed::save() {
  if (!file_) return;
  const std::string text = to_text(acts_);
  Head head{.sequence = ++sequence_, .size = text.size(), .digest = digest_of(sequence_, text)};
  std::string slot(sizeof head, '\0');
  std::memcpy(slot.data(), &head, sizeof head);
  slot += text;
  const auto at = static_cast<off_t>(sequence_ % 2 * kSlot);
  const bool fits = slot.size() <= kSlot;
  if (!fits ||
      ::pwrite(file_.get(), slot.data(), slot.size(), at) != static_cast<ssize_t>(slot.size()) ||
      ::fdatasync(file_.get()) != 0) {
    log::error("what is owed to accounts.db and the log could not be kept in its file");
  }
}

Result<std::size_t> Owed::add(OwedAct act) {
  using Kind = OwedAct::Kind;
  const bool is_logout = act.kind == Kind::logout;
  const auto same = std::ranges::find_if(acts_, [&](const OwedAct& other) {
    return other.kind == act.kind && other.account == act.account &&
           (is_logout ? other.login == act.login : other.operator_uid == act.operator_uid);
  });
  const auto place = static_cast<std::size_t>(same - acts_.begin());
  if (same != acts_.end()) {
    if (act.kind != Kind::revoke) return place;  // it ends nothing more
    *same = std::move(act);
    save();
    return place;
  }
  const auto logouts =
      static_cast<std::size_t>(std::ranges::count(acts_, Kind::logout, &OwedAct::kind));
  if (acts_.size() >= kMaxActs || (is_logout && logouts >= kMaxLogouts))
    return fail(Errc::limit, "too much is waiting to be written already");
  acts_.push_back(std::move(act));
  save();
  return place;
}

void Owed::is_stored(std::size_t place) {
  acts_[place].is_stored = true;
  save();
}

void Owed::drop_first() {
  acts_.pop_front();
  save();
}

}  // namespace oqto::accounts
