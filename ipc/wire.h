// The codec of every message between our processes. A message is a struct whose fields() lists its
// fields once; Writer, Reader and the fuzzers all visit that one list, so the two directions cannot
// drift apart. Fixed-width little-endian unsigned numbers, length-prefixed bytes, nothing optional.
// Canonical: what decodes, encodes back to the same bytes.
#pragma once
#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/encoding.h"
#include "base/result.h"

namespace oqto::ipc {

// Text or bytes with a bound in the type, held inline: no allocation.
template <std::size_t Max>
class Text {
 public:
  Text() = default;
  // Cuts at Max: only for text of our own whose end does not matter (reasons, display names).
  Text(std::string_view text) : size_(static_cast<std::uint16_t>(std::min(text.size(), Max))) {
    std::memcpy(bytes_.data(), text.data(), size_);
  }
  Text(const char* text) : Text(std::string_view(text)) {}
  [[nodiscard]] std::string_view view() const { return {bytes_.data(), size_}; }
  [[nodiscard]] std::string str() const { return std::string(view()); }
  bool operator==(const Text& other) const { return view() == other.view(); }
  static constexpr std::size_t kMax = Max;

 private:
  static_assert(Max <= 65535);
  std::array<char, Max> bytes_{};
  std::uint16_t size_ = 0;
};

// The same on the heap, for the unprivileged processes' larger payloads.
template <std::size_t Max>
struct LongText {
  std::string value;
  bool operator==(const LongText&) const = default;
  static constexpr std::size_t kMax = Max;
};

template <std::size_t MaxCount, std::size_t MaxEach>
struct TextList {
  std::vector<std::string> values;
  bool operator==(const TextList&) const = default;
};

using Token = std::array<std::uint8_t, 32>;

template <class E>
concept CheckedEnum = std::is_enum_v<E> && requires { E::kEnd; };  // valid values: 0 .. kEnd-1

class Writer {
 public:
  bool operator()(const auto&... fields) {
    (put(fields), ...);
    return true;
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  void number(std::uint64_t value, std::size_t width) {
    for (std::size_t i = 0; i < width; ++i) bytes_.push_back(static_cast<std::byte>(value >> 8 * i));
  }
  void raw(const void* data, std::size_t size) {
    const auto* first = static_cast<const std::byte*>(data);
    bytes_.insert(bytes_.end(), first, first + size);
  }
  template <std::unsigned_integral T>
  void put(T value) { number(value, sizeof value); }
  template <CheckedEnum E>
  void put(E value) { put(static_cast<std::underlying_type_t<E>>(value)); }
  template <std::size_t N>
  void put(const std::array<std::uint8_t, N>& value) { raw(value.data(), N); }
  void put(const Uuid& id) { put(id.bytes); }
  template <std::size_t Max>
  void put(const Text<Max>& text) {
    number(text.view().size(), 2);
    raw(text.view().data(), text.view().size());
  }
  template <std::size_t Max>
  void put(const LongText<Max>& text) { put_text(text.value, Max); }
  template <std::size_t MaxCount, std::size_t MaxEach>
  void put(const TextList<MaxCount, MaxEach>& list) {
    CHECK(list.values.size() <= MaxCount);
    number(list.values.size(), 2);
    for (const std::string& value : list.values) put_text(value, MaxEach);
  }
  void put_text(const std::string& text, std::size_t max) {
    CHECK(text.size() <= max);  // the sender's own bug: it bounds what it sends
    number(text.size(), 4);
    raw(text.data(), text.size());
  }

  std::vector<std::byte> bytes_;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}
  bool operator()(auto&... fields) { return (get(fields) && ...); }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }

 private:
  bool number(std::uint64_t& value, std::size_t width) {
    if (rest_.size() < width) return false;
    value = 0;
    for (std::size_t i = 0; i < width; ++i) value |= std::to_integer<std::uint64_t>(rest_[i]) << 8 * i;
    rest_ = rest_.subspan(width);
    return true;
  }
  bool raw(void* data, std::size_t size) {
    if (rest_.size() < size) return false;
    if (size != 0) std::memcpy(data, rest_.data(), size);
    rest_ = rest_.subspan(size);
    return true;
  }
  template <std::unsigned_integral T>
  bool get(T& value) {
    std::uint64_t wide = 0;
    if (!number(wide, sizeof value)) return false;
    value = static_cast<T>(wide);
    return true;
  }
  template <CheckedEnum E>
  bool get(E& value) {
    std::underlying_type_t<E> plain{};
    if (!get(plain) || plain >= static_cast<std::underlying_type_t<E>>(E::kEnd)) return false;
    value = static_cast<E>(plain);
    return true;
  }
  template <std::size_t N>
  bool get(std::array<std::uint8_t, N>& value) { return raw(value.data(), N); }
  bool get(Uuid& id) { return get(id.bytes); }
  template <std::size_t Max>
  bool get(Text<Max>& text) {
    std::uint64_t size = 0;
    if (!number(size, 2) || size > Max || rest_.size() < size) return false;
    text = Text<Max>(std::string_view(reinterpret_cast<const char*>(rest_.data()), size));
    rest_ = rest_.subspan(size);
    return true;
  }
  template <std::size_t Max>
  bool get(LongText<Max>& text) { return get_text(text.value, Max); }
  template <std::size_t MaxCount, std::size_t MaxEach>
  bool get(TextList<MaxCount, MaxEach>& list) {
    std::uint64_t count = 0;
    if (!number(count, 2) || count > MaxCount) return false;
    list.values.clear();
    for (std::uint64_t i = 0; i < count; ++i) {
      if (!get_text(list.values.emplace_back(), MaxEach)) return false;
    }
    return true;
  }
  bool get_text(std::string& text, std::size_t max) {
    std::uint64_t size = 0;
    if (!number(size, 4) || size > max || rest_.size() < size) return false;
    text.resize(size);
    return raw(text.data(), size);
  }

  std::span<const std::byte> rest_;
};

// A datagram is the tag (u16) and then the fields.
template <class Message>
std::vector<std::byte> encode(const Message& message) {
  Writer writer;
  writer(static_cast<std::uint16_t>(Message::kTag));
  // fields() is written once, for reading; writing does not change the message.
  (void)const_cast<Message&>(message).fields(writer);
  return writer.take();
}

template <class Message>
Result<Message> decode(std::span<const std::byte> datagram) {
  Reader reader(datagram);
  Message message;
  std::uint16_t tag = 0;
  if (!reader(tag) || tag != static_cast<std::uint16_t>(Message::kTag) ||
      !message.fields(reader) || !reader.at_end()) {
    return fail(Errc::bad_message, "malformed message");
  }
  return message;
}

}  // namespace oqto::ipc
