#include "relay/asset_pack.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>

namespace oqto::relay {
namespace {

constexpr std::string_view kMagic = "OQTOPACK";
constexpr std::uint64_t kVersion = 1;
constexpr std::size_t kMaxHeaderValue = 8 * 1024;

// Goes into response heads as it is: a line break in it would be a second head.
bool is_header_value(std::string_view text) {
  return text.size() <= kMaxHeaderValue &&
         std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
}

class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : all_(bytes) {}

  std::optional<std::uint64_t> number(std::size_t width) {
    if (all_.size() - at_ < width) return std::nullopt;
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < width; ++i) {
      value |= std::uint64_t{static_cast<unsigned char>(all_[at_ + i])} << 8 * i;
    }
    at_ += width;
    return value;
  }
  std::optional<std::string_view> text() {
    const auto size = number(2);
    return size ? raw(*size) : std::nullopt;
  }
  std::optional<std::string_view> raw(std::uint64_t size) {
    if (all_.size() - at_ < size) return std::nullopt;
    const std::string_view taken = all_.substr(at_, size);
    at_ += size;
    return taken;
  }
  [[nodiscard]] std::size_t at() const { return at_; }

 private:
  std::string_view all_;
  std::size_t at_ = 0;
};

Result<Asset> read_entry(Cursor& cursor, std::string_view all, std::size_t& first_body) {
  const auto malformed = fail(Errc::bad_message, "the asset pack has a malformed entry");
  Asset asset;
  const auto path = cursor.text();
  const auto type = cursor.text();
  const auto csp = cursor.text();
  const auto flags = cursor.number(4);
  if (!path || !type || !csp || !flags) return malformed;
  if (!path->starts_with('/') || !is_header_value(*path)) return malformed;
  if (type->empty() || !is_header_value(*type) || !is_header_value(*csp)) return malformed;
  if ((*flags & ~std::uint64_t{Asset::kImmutable | Asset::kDocument}) != 0) return malformed;
  for (std::string_view& body : asset.bodies) {
    const auto offset = cursor.number(8);
    const auto length = cursor.number(8);
    if (!offset || !length || *offset > all.size() || *length > all.size() - *offset) {
      return malformed;
    }
    if (*length == 0) continue;
    first_body = std::min(first_body, static_cast<std::size_t>(*offset));
    body = all.substr(*offset, *length);
  }
  asset.path = *path;
  asset.content_type = *type;
  asset.csp = *csp;
  asset.flags = static_cast<std::uint32_t>(*flags);
  return asset;
}

Status check_document(const Asset& asset) {
  const bool has_policy = !asset.csp.empty();
  if (asset.document() != has_policy) {
    return fail(Errc::bad_message, "the asset pack has a policy on the wrong entry");
  }
  if (has_policy &&
      (!asset.csp.starts_with("default-src 'none'; script-src ") ||
       asset.csp.find("'unsafe-") != std::string_view::npos ||
       asset.csp.find("require-trusted-types-for 'script'") == std::string_view::npos)) {
    return fail(Errc::bad_message, "the asset pack's document policy is too weak");
  }
  return {};
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// A coding with `q=0` is refused by the client; other weights do not matter here.
bool accepts(std::string_view field, std::string_view coding) {
  while (!field.empty()) {
    const std::size_t end = std::min(field.find(','), field.size());
    std::string_view element = field.substr(0, end);
    field.remove_prefix(std::min(end + 1, field.size()));
    const std::size_t semicolon = element.find(';');
    if (trim(element.substr(0, semicolon)) != coding) continue;
    if (semicolon == std::string_view::npos) return true;
    const std::string_view weight = trim(element.substr(semicolon + 1));
    return weight.find_first_of("123456789", 2) != std::string_view::npos;
  }
  return false;
}

}  // namespace

Encoding Asset::choose(std::string_view accept_encoding) const {
  const auto has = [&](Encoding encoding) {
    return !bodies[static_cast<std::size_t>(encoding)].empty();
  };
  if (has(Encoding::br) && accepts(accept_encoding, "br")) return Encoding::br;
  if (has(Encoding::gzip) && accepts(accept_encoding, "gzip")) return Encoding::gzip;
  return Encoding::identity;
}

Result<AssetPack> AssetPack::parse(std::span<const std::byte> bytes) {
  const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  Cursor cursor(all);
  if (cursor.raw(kMagic.size()) != kMagic || cursor.number(4) != kVersion) {
    return fail(Errc::bad_message, "this is not an asset pack of this version: run web/pack.mjs");
  }
  const auto count = cursor.number(4);
  if (!count || *count == 0 || *count > kMaxPackEntries) {
    return fail(Errc::bad_message, "the asset pack has no or too many entries");
  }
  AssetPack pack;
  pack.assets_.reserve(*count);
  std::size_t first_body = all.size();
  std::size_t documents = 0;
  for (std::size_t i = 0; i < *count; ++i) {
    const Asset asset = TRY(read_entry(cursor, all, first_body));
    TRY(check_document(asset));
    if (i > 0 && pack.assets_.back().path >= asset.path) {
      return fail(Errc::bad_message, "the asset pack is not sorted, or names a path twice");
    }
    if (asset.document()) {
      ++documents;
      pack.document_ = i;
    }
    pack.assets_.push_back(asset);
  }
  if (documents != 1) return fail(Errc::bad_message, "the asset pack needs exactly one document");
  if (first_body < cursor.at()) {
    return fail(Errc::bad_message, "the asset pack's bodies overlap its table");
  }
  return pack;
}

const Asset* AssetPack::find(std::string_view path) const {
  const auto found = std::ranges::lower_bound(assets_, path, {}, &Asset::path);
  return found != assets_.end() && found->path == path ? &*found : nullptr;
}

Result<std::span<const std::byte>> map_pack(const Fd& file) {
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0) return fail_errno("fstat of the asset pack");
  if (!S_ISREG(facts.st_mode)) return fail(Errc::invalid, "the asset pack is not a regular file");
  if (facts.st_size <= 0 || static_cast<std::uint64_t>(facts.st_size) > kMaxPackBytes) {
    return fail(Errc::limit, "the asset pack is empty or too large");
  }
  const auto size = static_cast<std::size_t>(facts.st_size);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (address == MAP_FAILED) return fail_errno("mmap of the asset pack");
  return std::span(static_cast<const std::byte*>(address), size);
}

}  // namespace oqto::relay
