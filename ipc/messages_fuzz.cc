// Every message that a less trusted process can send to a more trusted one. Property: what decodes
// encodes back to the same bytes.
#include <cstdlib>

#include "ipc/audit.h"
#include "ipc/messages.h"

namespace {

using namespace oqto::ipc;

template <class... Messages>
void try_all(std::span<const std::byte> bytes) {
  const auto one = [&]<class Message>(Message*) {
    const auto message = decode<Message>(bytes);
    if (message && !std::ranges::equal(encode(*message), bytes)) std::abort();
  };
  (one(static_cast<Messages*>(nullptr)), ...);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try_all<Ready, Probed, CertificateFacts, AuditProbe, LaunchFailed, Wire, ConnectionOpened, OpenChannel, AuthPeer,
          AuthCall, AuthReply, TokenOwner, TokenUnknown, LoginRevoked, AccountEnded, CheckLogins, AdminCall, AdminPeer,
          CreateWorkspace, StartSession, StopSession, GateFile, GateUsage,
          ModelsFile, HostFacts, GiveStdio, StartProgram, SignalProgram, ProgramExited, InitReady, InitFailed,
          ProgramTerminal, ApprovalAsk, ApprovalAnswer, GateListen, AuditAppend, AuditBlob, AuditManaged, AuditManage,
          AuditRefused, SignRequest, SignedCheckpoint, SignerQuery, SignerStatus, CtlRequest, Reloaded>(
              std::as_bytes(std::span(data, size)));
  return 0;
}
