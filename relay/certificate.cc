#include "relay/certificate.h"

#include <string>

#include "base/sys.h"
#include "relay/heap.h"

namespace oqto::relay {
namespace {

ipc::Reloaded refused(const std::string& why) {
  return {ipc::ReloadPart::certificate, 0, 0, std::string_view(why)};
}

std::string day(std::uint64_t unix_ms) {
  return sys::utc_text(unix_ms).substr(0, 19) + " UTC";
}

}  // namespace

std::optional<ipc::Reloaded> CertificateInForce::take(const ipc::Reload& offered, Fd file) {
  if (offered.part == ipc::ReloadPart::certificate) {
    chain_ = std::move(file);
    return {};
  }
  ipc::Reloaded answer = offered.part == ipc::ReloadPart::key && chain_
                             ? judge(file)
                             : refused("the guard sent a key without its certificate");
  answer.request = offered.request;
  chain_.reset();
  fill_heap_holes();  // what was made and thrown away
  return answer;
}

ipc::Reloaded CertificateInForce::judge(const Fd& key) {
  auto wanted = TlsContext::create(chain_, key);
  if (!wanted) return refused(wanted.error().what);
  const std::uint64_t now = sys::now_ms();
  if (wanted->not_after_ms() <= now)
    return refused("the certificate has expired on " + day(wanted->not_after_ms()));
  if (wanted->not_before_ms() > now) {
    return refused("the certificate is not valid before " + day(wanted->not_before_ms()));
  }
  if (const Status works = wanted->warm_up(); !works) return refused(works.error().what);
  const bool changed = wanted->fingerprint() != tls_.fingerprint();
  const std::string name = wanted->name();
  ipc::Reloaded answer{ipc::ReloadPart::certificate, 1, changed, std::string_view(name),
                       wanted->not_after_ms()};
  if (changed) tls_ = std::move(*wanted);
  return answer;
}

}  // namespace oqto::relay
