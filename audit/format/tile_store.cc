#include "audit/format/tile_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "audit/format/tree.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr unsigned kTileHeight = 8;

}  // namespace

bool is_unreadable(const Error& error) {
  constexpr int kOurs[] = {EACCES, EPERM, EIO, ENOMEM, EMFILE, ENFILE, ESTALE, EAGAIN};
  if (error.sys == 0) return error.code == Errc::io;
  return std::ranges::find(kOurs, error.sys) != std::end(kOurs);
}

Result<std::string> read_log_file(const Fd& dir, const std::string& path, std::size_t max) {
  const Fd file = TRY(sys::open_beneath(dir, path.c_str(), O_RDONLY | O_NONBLOCK));
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
    return fail(Errc::invalid, "no regular file");
  }
  const auto size = static_cast<std::uint64_t>(facts.st_size);
  if (size > max) return fail(Errc::limit, "the file is longer than allowed");
  std::string content;
  std::size_t length = 0;
  int failure = 0;
  content.resize_and_overwrite(size, [&](char* bytes, std::size_t room) {
    while (length < room) {
      const ssize_t n = ::read(file.get(), bytes + length, room - length);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) failure = errno;
      if (n <= 0) break;
      length += static_cast<std::size_t>(n);
    }
    return length;
  });
  if (failure != 0) return std::unexpected(Error{Errc::io, "cannot be read", failure});
  // auditd gives back the room behind a segment when it begins the next one.
  const bool was_cut = ::fstat(file.get(), &facts) == 0 && static_cast<std::uint64_t>(facts.st_size) == length;
  if (length < size && !was_cut) return fail(Errc::io, "the file cannot be read to its end");
  return content;
}

std::vector<Hash> split_hashes(std::string_view bytes) {
  std::vector<Hash> hashes(bytes.size() / sizeof(Hash));
  if (!hashes.empty()) std::memcpy(hashes.data(), bytes.data(), hashes.size() * sizeof(Hash));
  return hashes;
}

const std::vector<Hash>* TileStore::tile(int level, std::uint64_t index, std::size_t width) {
  Tile& last = last_[level];
  if (last.index == index && last.hashes.size() >= width) return &last.hashes;
  auto content = read_log_file(dir_, tile_path(level, index, kTileWidth), kMaxTileBytes);
  for (std::size_t partial = width; !content && partial < kTileWidth; ++partial) {
    content = read_log_file(dir_, tile_path(level, index, partial), kMaxTileBytes);
  }
  if (!content || content->size() < width * sizeof(Hash)) return nullptr;
  last = {index, split_hashes(*content)};
  return &last.hashes;
}

std::optional<Hash> TileStore::node(unsigned level, std::uint64_t index) {
  const unsigned tile_level = level / kTileHeight;
  const unsigned height = level % kTileHeight;  // within the tile
  const std::uint64_t first = index << height;
  const std::size_t offset = first % kTileWidth;
  const std::size_t count = std::size_t{1} << height;
  // The widest that this tree has: a narrower one, of an older checkpoint, may be gone.
  const std::uint64_t hashes = size_ >> kTileHeight * tile_level;
  const std::uint64_t at = first / kTileWidth;
  const std::size_t width =
      static_cast<std::size_t>(std::min<std::uint64_t>(kTileWidth, hashes - at * kTileWidth));
  const auto* found = tile(static_cast<int>(tile_level), at, width);
  if (found == nullptr) return std::nullopt;
  return root_of(std::span(*found).subspan(offset, count));
}

std::vector<Hash> TileStore::leaves(std::uint64_t from, std::uint64_t to, std::uint64_t* read) {
  std::vector<Hash> hashes;
  while (from < to) {
    const std::uint64_t index = from / kTileWidth;
    const std::size_t offset = from % kTileWidth;
    const auto end =
        static_cast<std::size_t>(std::min<std::uint64_t>(kTileWidth, to - index * kTileWidth));
    if (read != nullptr) ++*read;
    const auto* found = tile(0, index, end);
    if (found == nullptr) return {};
    hashes.insert(hashes.end(), found->begin() + static_cast<std::ptrdiff_t>(offset),
                  found->begin() + static_cast<std::ptrdiff_t>(end));
    from = index * kTileWidth + end;
  }
  return hashes;
}

}  // namespace oqto::audit
