#include "egress/client_hello.h"

#include <gtest/gtest.h>

#include <vector>

namespace oqto::egress {
namespace {

using Bytes = std::vector<std::uint8_t>;
using State = ClientHello::State;

void put16(Bytes& out, std::size_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}
Bytes extension(std::size_t type, const Bytes& content) {
  Bytes out;
  put16(out, type);
  put16(out, content.size());
  out.insert(out.end(), content.begin(), content.end());
  return out;
}
Bytes name_entry(const std::string& name, std::uint8_t type = 0) {
  Bytes out(1, type);
  out.reserve(name.size() + 3);
  put16(out, name.size());
  out.insert(out.end(), name.begin(), name.end());
  return out;
}
Bytes server_name(const std::vector<Bytes>& entries) {
  Bytes list;
  for (const Bytes& entry : entries) list.insert(list.end(), entry.begin(), entry.end());
  Bytes content;
  put16(content, list.size());
  content.insert(content.end(), list.begin(), list.end());
  return extension(0, content);
}
Bytes message(const std::vector<Bytes>& extensions) {
  Bytes body(2 + 32, 3);
  body.push_back(0);  // session id
  put16(body, 2);
  put16(body, 0x1301);
  body.push_back(1);
  body.push_back(0);
  Bytes all;
  for (const Bytes& one : extensions) all.insert(all.end(), one.begin(), one.end());
  put16(body, all.size());
  body.insert(body.end(), all.begin(), all.end());
  Bytes out(2, 0);
  out.reserve(body.size() + 4);
  out[0] = 1;
  put16(out, body.size());
  out.insert(out.end(), body.begin(), body.end());
  return out;
}
// In records of at most `piece` bytes.
Bytes records(const Bytes& from, std::size_t piece = 16384) {
  Bytes out;
  for (std::size_t at = 0; at < from.size(); at += piece) {
    const std::size_t size = std::min(piece, from.size() - at);
    out.insert(out.end(), {22, 3, 1});
    put16(out, size);
    out.insert(out.end(), from.begin() + static_cast<std::ptrdiff_t>(at),
               from.begin() + static_cast<std::ptrdiff_t>(at + size));
  }
  return out;
}

const Bytes kGood = message({extension(43, {2, 3, 4}), server_name({name_entry("good.test")})});

TEST(ClientHello, NamesTheServer) {
  const ClientHello hello = read_client_hello(records(kGood));
  EXPECT_EQ(hello.state, State::complete);
  EXPECT_EQ(hello.server_name, "good.test");
  EXPECT_FALSE(hello.encrypted_name);
}

TEST(ClientHello, IsTheSameHoweverItIsSplit) {
  for (const std::size_t piece : {2U, 3U, 4U, 5U, 17U, 50U}) {
    const Bytes all = records(kGood, piece);
    for (std::size_t size = 0; size < all.size(); ++size) {
      const ClientHello part = read_client_hello(std::span(all).first(size));
      ASSERT_EQ(part.state, State::more) << size;
      ASSERT_GT(part.need, size);
      ASSERT_LE(part.need, all.size()) << "what it waits for must come";
    }
    EXPECT_EQ(read_client_hello(all).server_name, "good.test") << piece;
  }
}

TEST(ClientHello, AttackItIsBoundedInBytesAndRecords) {
  EXPECT_EQ(read_client_hello(records(kGood, 1)).state, State::malformed) << "one byte per record";
  Bytes huge{22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff};
  EXPECT_EQ(read_client_hello(huge).state, State::malformed);
  const Bytes empty_records = {22, 3, 1, 0, 0, 22, 3, 1, 0, 0};
  EXPECT_EQ(read_client_hello(empty_records).state, State::malformed);
  const Bytes long_record = {22, 3, 1, 0xff, 0xff};
  EXPECT_EQ(read_client_hello(long_record).state, State::malformed);
}

TEST(ClientHello, AttackTwoNamesAreMalformed) {
  for (const Bytes& bad :
       {message({server_name({name_entry("good.test"), name_entry("evil.test")})}),
        message({server_name({name_entry("good.test")}), server_name({name_entry("evil.test")})}),
        message({server_name({name_entry("good.test", 1)})}), message({server_name({})}),
        message({extension(0, {})}), message({server_name({name_entry("")})}),
        message({extension(0, {0, 5, 0, 0, 2, 'a', 'b', 'c'})})}) {
    EXPECT_EQ(read_client_hello(records(bad)).state, State::malformed);
  }
}

TEST(ClientHello, AttackANameWithANulKeepsIt) {
  const std::string cut("good.test\0.evil.test", 20);
  EXPECT_EQ(read_client_hello(records(message({server_name({name_entry(cut)})}))).server_name, cut);
}

TEST(ClientHello, SaysThatThereIsNoNameOrAnEncryptedOne) {
  EXPECT_EQ(read_client_hello(records(message({}))).server_name, "");
  const ClientHello hidden = read_client_hello(
      records(message({extension(0xfe0d, {0, 1, 2}), server_name({name_entry("front.test")})})));
  EXPECT_TRUE(hidden.encrypted_name);
  EXPECT_EQ(hidden.server_name, "front.test");
}

TEST(ClientHello, IsNothingElse) {
  Bytes trailing = kGood;
  trailing.push_back(0);
  EXPECT_EQ(read_client_hello(records(trailing)).state, State::malformed);
  const std::string http = "GET / HTTP/1.1\r\n\r\n";
  EXPECT_EQ(read_client_hello(Bytes(http.begin(), http.end())).state, State::malformed);
  const Bytes ssl2 = {0x80, 0x2e, 1, 3, 1, 0, 0x15};
  EXPECT_EQ(read_client_hello(ssl2).state, State::malformed);
  Bytes server = kGood;
  server[0] = 2;
  EXPECT_EQ(read_client_hello(records(server)).state, State::malformed);
}

TEST(ServerHello, TellsARetryRequestFromTheRest) {
  Bytes retry = {22, 3, 3, 0, 60, 2, 0, 0, 56, 3, 3};
  const Bytes random = {0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C,
                        0x02, 0x1E, 0x65, 0xB8, 0x91, 0xC2, 0xA2, 0x11, 0x16, 0x7A, 0xBB,
                        0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C};
  retry.insert(retry.end(), random.begin(), random.end());
  ASSERT_EQ(retry.size(), kServerHelloStart);
  EXPECT_TRUE(asks_for_second_hello(retry));
  EXPECT_FALSE(asks_for_second_hello(std::span(retry).first(42)));
  retry[20] ^= 1;
  EXPECT_FALSE(asks_for_second_hello(retry));
}

}  // namespace
}  // namespace oqto::egress
