#include "relay/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <string>

#include "base/sys.h"

namespace oqto::relay {
namespace {

constexpr std::size_t kMaxPemBytes = 256 * 1024;

template <auto Function>
struct Call {
  void operator()(auto* pointer) const { Function(pointer); }
};
using BioPtr = std::unique_ptr<BIO, Call<BIO_free_all>>;
using X509Ptr = std::unique_ptr<X509, Call<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Call<EVP_PKEY_free>>;
using CtxPtr = std::unique_ptr<SSL_CTX, Call<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, Call<SSL_free>>;
using DigestPtr = std::unique_ptr<EVP_MD_CTX, Call<EVP_MD_CTX_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, Call<GENERAL_NAMES_free>>;

std::unexpected<Error> tls_error(const char* what) {
  ERR_clear_error();
  return fail(Errc::invalid, what);
}

int no_passphrase(char*, int, int, void*) {
  return 0;
}

BioPtr reader(std::string_view pem) {
  return BioPtr(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// A restarted relay is given the same open file, where its predecessor left off reading.
Result<std::string> read_from_start(const Fd& file) {
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return fail_errno("lseek in a TLS file");
  return sys::read_all(file, kMaxPemBytes);
}

Status load_chain(SSL_CTX* context, const Fd& file, EVP_MD_CTX* digest) {
  const std::string pem = TRY(read_from_start(file));
  (void)EVP_DigestUpdate(digest, pem.data(), pem.size() + 1);  // its NUL: where the key begins
  const BioPtr bio = reader(pem);
  const X509Ptr leaf(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
  if (!leaf) return tls_error("the TLS certificate file has no PEM certificate");
  if (SSL_CTX_use_certificate(context, leaf.get()) != 1) {
    return tls_error("the TLS certificate is not acceptable: its key or signature is too weak");
  }
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)) {
    if (SSL_CTX_add0_chain_cert(context, next) != 1) {
      X509_free(next);
      return tls_error("the TLS certificate chain is not acceptable");
    }
  }
  ERR_clear_error();  // the end of the file is reported as an error
  return {};
}

Status load_key(SSL_CTX* context, const Fd& file, EVP_MD_CTX* digest) {
  std::string pem = TRY(read_from_start(file));
  (void)EVP_DigestUpdate(digest, pem.data(), pem.size());
  const BioPtr bio = reader(pem);
  const KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  OPENSSL_cleanse(pem.data(), pem.size());
  if (!key) return tls_error("the TLS key file has no unencrypted PEM private key");
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return tls_error("the TLS key does not belong to the certificate");
  }
  return {};
}

// Before 1970 is 1970.
// Not timegm(): it may read the time zone's file, and a sealed listener opens no files.
std::uint64_t unix_ms(const ASN1_TIME* time) {
  using namespace std::chrono;
  tm utc{};
  if (ASN1_TIME_to_tm(time, &utc) != 1) return 0;
  const year_month_day date{year{utc.tm_year + 1900}, month{static_cast<unsigned>(utc.tm_mon) + 1},
                            day{static_cast<unsigned>(utc.tm_mday)}};
  const auto at = sys_days{date} + hours{utc.tm_hour} + minutes{utc.tm_min} + seconds{utc.tm_sec};
  const auto count = duration_cast<milliseconds>(at.time_since_epoch()).count();
  return count < 0 ? 0 : static_cast<std::uint64_t>(count);
}

int choose_alpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                unsigned int in_size, void*) {
  static constexpr unsigned char kHttp11[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kHttp11, sizeof kHttp11, in, in_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

Status configure(SSL_CTX* context) {
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_alpn_select_cb(context, choose_alpn, nullptr);
  SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
  const bool ok = SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
                  SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1 &&
                  SSL_CTX_set_num_tickets(context, 0) == 1 &&
                  SSL_CTX_set_max_early_data(context, 0) == 1 &&
                  SSL_CTX_set_ciphersuites(context,
                                           "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
                                           "TLS_AES_128_GCM_SHA256") == 1 &&
                  SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384") == 1;
  if (!ok) return tls_error("OpenSSL does not support the TLS settings of this server");
  return {};
}

// One side's turn: true when its handshake is complete.
bool step(SSL* ssl, bool& broken) {
  const int returned = SSL_do_handshake(ssl);
  if (returned == 1) return true;
  broken = SSL_get_error(ssl, returned) != SSL_ERROR_WANT_READ;
  return false;
}

}  // namespace

void TlsStream::Free::operator()(ssl_st* ssl) const {
  SSL_free(ssl);
}
void TlsContext::Free::operator()(ssl_ctx_st* context) const {
  SSL_CTX_free(context);
}

Result<TlsContext> TlsContext::create(const Fd& chain, const Fd& key) {
  // The system's openssl.cnf could weaken this server: it is not read.
  if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr) != 1) {
    return tls_error("OpenSSL cannot be initialised");
  }
  TlsContext made;
  made.context_.reset(SSL_CTX_new(TLS_server_method()));
  if (!made.context_) return tls_error("SSL_CTX_new");
  TRY(configure(made.context_.get()));
  const DigestPtr digest(EVP_MD_CTX_new());
  if (!digest || EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr) != 1) return tls_error("EVP_DigestInit");
  TRY(load_chain(made.context_.get(), chain, digest.get()));
  TRY(load_key(made.context_.get(), key, digest.get()));
  (void)EVP_DigestFinal_ex(digest.get(), made.fingerprint_.data(), nullptr);
  return made;
}

// The names that browsers compare; of a certificate without any, its subject.
std::string TlsContext::name() const {
  X509* const leaf = SSL_CTX_get0_certificate(context_.get());
  std::string names;
  const NamesPtr all(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(leaf, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; all && i < sk_GENERAL_NAME_num(all.get()); ++i) {
    const GENERAL_NAME* const one = sk_GENERAL_NAME_value(all.get(), i);
    if (one->type != GEN_DNS) continue;
    const auto* const text = reinterpret_cast<const char*>(ASN1_STRING_get0_data(one->d.dNSName));
    names += (names.empty() ? "" : ", ") + std::string(text, static_cast<std::size_t>(ASN1_STRING_length(one->d.dNSName)));
  }
  if (!names.empty()) return names;
  const BioPtr out(BIO_new(BIO_s_mem()));
  (void)X509_NAME_print_ex(out.get(), X509_get_subject_name(leaf), 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::uint64_t TlsContext::not_before_ms() const {
  return unix_ms(X509_get0_notBefore(SSL_CTX_get0_certificate(context_.get())));
}
std::uint64_t TlsContext::not_after_ms() const {
  return unix_ms(X509_get0_notAfter(SSL_CTX_get0_certificate(context_.get())));
}

Status TlsContext::warm_up() const {
  const CtxPtr client_context(SSL_CTX_new(TLS_client_method()));
  if (!client_context) return tls_error("SSL_CTX_new");
  SSL_CTX_set_verify(client_context.get(), SSL_VERIFY_NONE, nullptr);
  const SslPtr client(SSL_new(client_context.get()));
  const SslPtr server(SSL_new(context_.get()));
  BIO* client_end = nullptr;
  BIO* server_end = nullptr;
  if (!client || !server || BIO_new_bio_pair(&client_end, 0, &server_end, 0) != 1) {
    return tls_error("OpenSSL cannot allocate a test handshake");
  }
  SSL_set_bio(client.get(), client_end, client_end);
  SSL_set_bio(server.get(), server_end, server_end);
  SSL_set_connect_state(client.get());
  SSL_set_accept_state(server.get());
  bool broken = false;
  bool complete = false;
  for (int turn = 0; turn < 16 && !complete && !broken; ++turn) {
    const bool client_done = step(client.get(), broken);
    complete = !broken && step(server.get(), broken) && client_done;
  }
  std::array<char, 16> text{};
  const bool works = complete && SSL_write(client.get(), "warm", 4) == 4 &&
                     SSL_read(server.get(), text.data(), text.size()) == 4 &&
                     SSL_write(server.get(), "warm", 4) == 4;
  if (!works) return tls_error("a TLS handshake with this certificate and key does not complete");
  return {};
}

Result<TlsStream> TlsContext::stream(int socket) const {
  TlsStream made(SSL_new(context_.get()));
  if (!made.ssl_ || SSL_set_fd(made.ssl_.get(), socket) != 1) return tls_error("SSL_new");
  SSL_set_accept_state(made.ssl_.get());
  return made;
}

Io TlsStream::outcome(int returned) const {
  switch (SSL_get_error(ssl_.get(), returned)) {
    case SSL_ERROR_WANT_READ:
      return Io::want_read;
    case SSL_ERROR_WANT_WRITE:
      return Io::want_write;
    case SSL_ERROR_ZERO_RETURN:
      return Io::closed;
    default:
      return Io::failed;
  }
}

Io TlsStream::handshake() {
  ERR_clear_error();
  const int returned = SSL_do_handshake(ssl_.get());
  return returned == 1 ? Io::done : outcome(returned);
}

IoResult TlsStream::read(std::span<char> into) {
  ERR_clear_error();
  std::size_t bytes = 0;
  const int returned = SSL_read_ex(ssl_.get(), into.data(), into.size(), &bytes);
  if (returned == 1) return {Io::done, bytes};
  return {outcome(returned), 0};
}

IoResult TlsStream::write(std::string_view bytes) {
  ERR_clear_error();
  std::size_t written = 0;
  const int returned =
      SSL_write_ex(ssl_.get(), bytes.data(), std::min(bytes.size(), kMaxRecordBytes), &written);
  if (returned == 1) return {Io::done, written};
  return {outcome(returned), 0};
}

Io TlsStream::close_notify() {
  ERR_clear_error();
  const int returned = SSL_shutdown(ssl_.get());
  return returned >= 0 ? Io::done : outcome(returned);
}

bool TlsStream::has_pending() const {
  return SSL_has_pending(ssl_.get()) == 1;
}
std::uint64_t TlsStream::bytes_received() const {
  return BIO_number_read(SSL_get_rbio(ssl_.get()));
}
void TlsStream::release_buffers() {
  (void)SSL_free_buffers(ssl_.get());
}

}  // namespace oqto::relay
