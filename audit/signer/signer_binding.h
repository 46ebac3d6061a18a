// Where the key directory is. A copy of it, or a backup that was restored, holds the log's key and what was
// signed last, and would go on signing another continuation of the same log. So the directory is bound to its
// machine and to the files themselves: a copied file is another file, whatever is in it. Against mistakes,
// not against somebody who wants a second branch: that is what witnesses are for.
#pragma once
#include <cstdint>
#include <string>

#include "audit/format/hash.h"
#include "base/fd.h"
#include "base/result.h"
#include "ipc/wire.h"

namespace oqto::audit {

constexpr const char* kMachineIdFile = "/etc/machine-id";
constexpr int kMovedExit = 78;  // of oqto-audit-signer: it must not be started again here (EX_CONFIG)

// Which file something is, whatever its name.
struct FileIdentity {
  // The file handle: inode and generation, and what else the file system knows it by. Empty: there is none, or
  // it may not be asked for, as by all that the guard starts.
  ipc::Text<300> handle;
  // Inode number, where it lasts, and time of birth, which nobody can set. Only looked at where a handle is missing.
  ipc::Text<64> birth;
  bool fields(auto& io) { return io(handle, birth); }
};
FileIdentity identity_of(const Fd& file);
bool is_same_file(const FileIdentity& one, const FileIdentity& other);

struct Place {
  ipc::Text<64> machine;  // hash of the machine-id; empty: there is none that outlives a restart
  FileIdentity directory;
  FileIdentity state;  // the file `state` in it
  bool fields(auto& io) { return io(machine) && directory.fields(io) && state.fields(io); }
};
Result<Place> place_of(const Fd& dir, const char* machine_id_file = kMachineIdFile);

// An operator said that the directory belongs where it is now; not in the log yet.
struct Adoption {
  std::uint64_t at_ms = 0;  // wall clock; 0: none
  std::uint32_t operator_uid = 0;
  ipc::Text<64> operator_name;
  bool fields(auto& io) { return io(at_ms, operator_uid, operator_name); }
};

class SignerBinding {
 public:
  // Binds a directory that was not bound. Errc::denied: it is bound to another place.
  static Result<SignerBinding> open(const Fd& dir, const char* machine_id_file = kMachineIdFile);
  // Binds it to where it is now; false: it was bound to it already. The host must not run.
  static Result<bool> adopt(const Fd& dir, const Adoption& by, const char* machine_id_file = kMachineIdFile);

  [[nodiscard]] const Adoption& adoption() const { return adoption_; }
  [[nodiscard]] const Place& place() const { return place_; }
  Status forget_adoption();  // it is in the log

 private:
  SignerBinding(Fd file, Place place, Adoption adoption)
      : file_(std::move(file)), place_(place), adoption_(std::move(adoption)) {}

  Fd file_;
  Place place_;
  Adoption adoption_;
};

}  // namespace oqto::audit
