// What is decided about names, addresses and first bytes, without a socket.
#include <gtest/gtest.h>

#include <array>

#include "egress/address.h"
#include "egress/dns.h"
#include "egress/host_name.h"
#include "egress/http_head.h"
#include "egress/name_table.h"
#include "egress/rules.h"

namespace oqto::egress {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;

// --- names ---

TEST(HostName, IsLowerCaseWithoutTheLastDot) {
  EXPECT_EQ(host_name("WWW.Example.COM."), "www.example.com");
  EXPECT_EQ(host_name("xn--bcher-kva.example"), "xn--bcher-kva.example");
  EXPECT_EQ(host_name("_dmarc.example"), "_dmarc.example");
  EXPECT_EQ(host_name(std::string(63, 'a') + ".b"), std::string(63, 'a') + ".b");
}

TEST(HostName, AttackNamesThatAnotherParserReadsOtherwiseAreNone) {
  const std::string long_name = std::string(63, 'a') + "." + std::string(63, 'b') + "." +
                                std::string(63, 'c') + "." + std::string(61, 'd');
  ASSERT_EQ(long_name.size(), 253U);
  EXPECT_TRUE(host_name(long_name));
  for (const std::string& hostile : {std::string("good.test\0.evil.test", 20),
                                     std::string("good.test\0", 10),
                                     std::string("good.test.."),
                                     std::string(".good.test"),
                                     std::string("good..test"),
                                     std::string(""),
                                     std::string("."),
                                     std::string("good.test/x"),
                                     std::string("good.test:80"),
                                     std::string("user@good.test"),
                                     std::string("good.test#evil.test"),
                                     std::string("good\\.test"),
                                     std::string("good.test\r\nHost: evil.test"),
                                     std::string(" good.test"),
                                     std::string("g\xc3\xb6od.test"),
                                     std::string("good\xef\xbc\x8etest"),
                                     std::string("%65vil.test"),
                                     std::string("-x.test"),
                                     std::string("x-.test"),
                                     std::string("*.test"),
                                     long_name + "d",
                                     std::string(64, 'a') + ".test",
                                     std::string("127.0.0.1"),
                                     std::string("2130706433"),
                                     std::string("0x7f.1"),
                                     std::string("0x7f000001"),
                                     std::string("0177.0.0.1"),
                                     std::string("a.0x"),
                                     std::string("169.254.169.254."),
                                     std::string("1.1"),
                                     std::string("[::1]"),
                                     std::string("::1"),
                                     std::string("::ffff:169.254.169.254")}) {
    EXPECT_FALSE(host_name(hostile)) << hostile;
  }
}

// --- rules ---

TEST(Rules, CoverExactNamesOneLabelAndAnyNumber) {
  const auto rules =
      Rules::parse({"*.one.test:443", "**.any.test:443", "a.test:22", "a.test:443", "b.test:*"});
  ASSERT_TRUE(rules);
  EXPECT_EQ(rules->ports_of("a.test"), (Ports{22, 443}));
  EXPECT_EQ(rules->ports_of("x.one.test"), (Ports{443}));
  EXPECT_EQ(rules->ports_of("y.x.any.test"), (Ports{443}));
  EXPECT_EQ(rules->ports_of("b.test"), (Ports{80, 443}));
  ASSERT_EQ(rules->exact().size(), 2U);
  EXPECT_EQ(rules->exact()[0].name, "a.test");
  EXPECT_EQ(rules->rule_for("x.one.test", 443), "*.one.test:443");
}

TEST(Rules, AttackNamesThatOnlyLookAllowedAreNot) {
  const auto rules = Rules::parse({"good.test:443", "*.good.test:443", "**.deep.test:443"});
  ASSERT_TRUE(rules);
  for (const char* name :
       {"evilgood.test", "good.test.evil.test", "a.b.good.test", "test", "ood.test", "deep.test",
        "xdeep.test", "good.tes", "good.testx", "good-test"}) {
    EXPECT_TRUE(rules->ports_of(name).empty()) << name;
  }
  EXPECT_TRUE(rules->rule_for("good.test", 80).empty());
}

TEST(Rules, RefuseAllWhenOneIsMalformed) {
  for (const char* bad : {"good.test", "good.test:", "good.test:0", "good.test:65536",
                          "good.test:4x", "a.*.test:443", "*good.test:443", ":443", "10.0.0.1:443",
                          "GOOD.test:443", "good.test.:443", "*.*.test:443"}) {
    EXPECT_FALSE(Rules::parse({"fine.test:443", bad})) << bad;
  }
}

// --- addresses ---

TEST(Address, AttackEveryAddressThatIsNotPublicIsForbidden) {
  for (const char* text : {"0.0.0.0",
                           "10.0.0.1",
                           "100.64.0.1",
                           "100.100.100.200",
                           "127.0.0.1",
                           "127.255.255.255",
                           "168.63.129.16",
                           "169.254.169.254",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.0.0.192",
                           "192.0.2.1",
                           "192.88.99.1",
                           "192.168.1.1",
                           "198.18.0.2",
                           "198.19.255.255",
                           "198.51.100.1",
                           "203.0.113.1",
                           "224.0.0.1",
                           "240.0.0.1",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "::ffff:169.254.169.254",
                           "::ffff:8.8.8.8",
                           "::127.0.0.1",
                           "64:ff9b::a9fe:a9fe",
                           "64:ff9b::808:808",
                           "64:ff9b:1::1",
                           "100::1",
                           "2001::1",
                           "2001:db8::1",
                           "2002:a9fe:a9fe::1",
                           "3fff::1",
                           "fc00::1",
                           "fd00:ec2::254",
                           "fe80::1",
                           "fec0::1",
                           "ff02::1"}) {
    const auto address = parse_address(text);
    ASSERT_TRUE(address) << text;
    EXPECT_FALSE(why_forbidden(*address, {}).empty()) << text;
  }
  for (const char* text : {"1.1.1.1", "8.8.8.8", "172.32.0.1", "198.20.0.1", "223.255.255.255",
                           "2606:4700::1111", "2a00:1450::1"}) {
    EXPECT_TRUE(why_forbidden(*parse_address(text), {}).empty()) << text;
  }
}

TEST(Address, AttackNumbersInOtherSpellingsAreNoAddresses) {
  for (const char* text : {"0177.0.0.1", "0x7f.0.0.1", "2130706433", "127.1", "1.2.3.4.",
                           " 1.2.3.4", "1.2.3.4/8", "fe80::1%lo", "[::1]", ""}) {
    EXPECT_FALSE(parse_address(text)) << text;
  }
  EXPECT_FALSE(parse_address(std::string_view("1.2.3.4\0.5", 10)));
}

TEST(Address, AnOperatorsExceptionIsExactlyThat) {
  const std::vector<Prefix> allowed = {*parse_prefix("10.1.0.0/16"), *parse_prefix("::1")};
  EXPECT_TRUE(why_forbidden(*parse_address("10.1.255.3"), allowed).empty());
  EXPECT_TRUE(why_forbidden(*parse_address("::1"), allowed).empty());
  EXPECT_FALSE(why_forbidden(*parse_address("10.2.0.1"), allowed).empty());
  EXPECT_FALSE(why_forbidden(*parse_address("::2"), allowed).empty());
  for (const char* text :
       {"10.1.0.1/16", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x", "fe80::1/64"}) {
    EXPECT_FALSE(parse_prefix(text)) << text;
  }
}

TEST(Address, AttackATranslatedAddressIsJudgedByWhatItLeadsTo) {
  const std::vector<Prefix> allowed = {*parse_prefix("64:ff9b::/96")};
  EXPECT_TRUE(why_forbidden(*parse_address("64:ff9b::808:808"), allowed).empty());
  EXPECT_FALSE(why_forbidden(*parse_address("64:ff9b::a9fe:a9fe"), allowed).empty());
}

// --- DNS ---

std::vector<std::uint8_t> query(const std::string& labels, std::uint8_t type,
                                const std::string& tail = "") {
  const std::string text =
      std::string("\xab\xcd\x01\0\0\1\0\0\0\0\0", 11) + static_cast<char>(tail.empty() ? 0 : 1) +
      labels + std::string("\0\0", 2) + static_cast<char>(type) + std::string("\0\1", 2) + tail;
  return {text.begin(), text.end()};
}
const std::string kName = "\6MoDels\4oqto";

TEST(Dns, ReadsTheNameInAnyCaseAndEchoesTheQuestion) {
  const auto bytes = query(kName, 1);
  const auto parsed = parse_query(bytes);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->name, "models.oqto");
  const auto reply = make_reply(*parsed, Rcode::no_error, 0xc6120002);
  EXPECT_EQ(reply[3] & 0x0f, 0);
  EXPECT_EQ(reply[7], 1);
  EXPECT_EQ(std::vector<std::uint8_t>(reply.end() - 4, reply.end()),
            (std::vector<std::uint8_t>{198, 18, 0, 2}));
  EXPECT_TRUE(std::equal(reply.begin() + 12, reply.begin() + 28, bytes.begin() + 12));
  EXPECT_EQ(make_reply(*parsed, Rcode::no_such_name)[3] & 0x0f, 3);
}

TEST(Dns, DropsWhatIsNoQuery) {
  const auto good = query(kName, 1);
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(parse_query(std::span(good).first(size))) << size;
  }
  auto response = good;
  response[2] |= 0x80;
  EXPECT_FALSE(parse_query(response));
  auto two = good;
  two[5] = 2;
  EXPECT_FALSE(parse_query(two));
  EXPECT_FALSE(parse_query(query("\xc0\x0c", 1)));
  auto trailing = good;
  trailing.push_back(0);
  EXPECT_FALSE(parse_query(trailing));
  EXPECT_TRUE(parse_query(query(kName, 1, std::string("\0\0\x29\x10\0\0\0\0\0\0\0", 11))));
}

TEST(Dns, AttackALabelWithADotOrANulIsNoOtherName) {
  const auto dotted = parse_query(query("\xbmodels.oqto", 1));
  ASSERT_TRUE(dotted);
  EXPECT_NE(dotted->name, "models.oqto");
  const auto cut = parse_query(query(std::string("\x0bgood.test\0\0\4evil", 17), 1));
  ASSERT_TRUE(cut);
  EXPECT_FALSE(host_name(cut->name));
}

// --- HTTP ---

std::string host_in(std::string_view head) {
  const HttpHead read = read_http_head(head);
  if (read.state == HttpHead::State::more) return "(more)";
  if (read.state == HttpHead::State::malformed) return "(malformed)";
  return read.host;
}

TEST(HttpHead, NamesTheHostOfTheRequest) {
  EXPECT_EQ(host_in("GET / HTTP/1.1\r\nHost: Good.test\r\n\r\n"), "good.test");
  EXPECT_EQ(host_in("GET / HTTP/1.1\r\nA: b\r\nhOsT:\tgood.test:80 \r\n\r\nbody"), "good.test");
  EXPECT_EQ(host_in("GET http://good.test/x HTTP/1.1\r\nHost: good.test\r\n\r\n"), "good.test");
  EXPECT_EQ(host_in("GET / HTTP/1.1\r\nHost: good.test\r\n"), "(more)");
  EXPECT_EQ(host_in("G"), "(more)");
}

TEST(HttpHead, AttackRequestsThatTwoServersReadInTwoWaysAreRefused) {
  for (const std::string& text :
       {std::string("GET / HTTP/1.1\r\nHost: good.test\r\nHost: evil.test\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nHost: good.test\nHost: evil.test\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nHost : evil.test\r\nHost: good.test\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nHost: good.test\r\n X: y\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nHost: good.test\r\rX: y\r\n\r\n"),
        "GET / HTTP/1.1\r\nX: a\0b\r\nHost: good.test\r\n\r\n"s,
        std::string("GET / HTTP/2.0\r\nHost: good.test\r\n\r\n"),
        std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), std::string("GET /\r\n\r\n"),
        std::string("\r\nGET / HTTP/1.1\r\nHost: good.test\r\n\r\n"),
        std::string("GET evil.test HTTP/1.1\r\nHost: good.test\r\n\r\n"),
        std::string("A") + std::string(kMaxHttpHead, 'a')}) {
    EXPECT_EQ(host_in(text), "(malformed)") << text;
  }
}

TEST(HttpHead, AttackATargetOrProxyRequestForAnotherHostNamesNone) {
  EXPECT_EQ(host_in("GET http://evil.test/ HTTP/1.1\r\nHost: good.test\r\n\r\n"), "");
  EXPECT_EQ(host_in("GET http://good.test@evil.test/ HTTP/1.1\r\nHost: good.test\r\n\r\n"),
            "(malformed)");
  EXPECT_EQ(host_in("CONNECT evil.test:443 HTTP/1.1\r\nHost: good.test\r\n\r\n"), "");
  EXPECT_EQ(host_in("GET / HTTP/1.0\r\n\r\n"), "");
  EXPECT_EQ(host_in("GET / HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n"), "");
}

// --- the table ---

TEST(NameTable, AttackNewNamesDoNotTakeTheSocketsOfWrittenOnes) {
  NameTable table(10);
  const Time now{1h};
  Entry* const kept = table.add("kept.test", {80, 443}, now);
  ASSERT_NE(kept, nullptr);
  kept->kept = true;
  kept->state = Entry::State::ready;
  for (int i = 0; i < 4; ++i) {
    Entry* entry = table.add("n" + std::to_string(i) + ".w.test", {80, 443}, now);
    ASSERT_NE(entry, nullptr);
    entry->state = Entry::State::ready;
  }
  EXPECT_EQ(table.add("n5.w.test", {80, 443}, now), nullptr);
  EXPECT_EQ(table.take_over("n5.w.test", {80, 443}, now), nullptr) << "all may still be known";
  EXPECT_EQ(table.find("kept.test"), kept);
}

TEST(NameTable, TheIdlestNameGivesWayOnceNobodyCanRememberIt) {
  NameTable table(4);
  const Time now{1h};
  Entry* const first = table.add("first.test", {443}, now);
  Entry* const second = table.add("second.test", {443}, now + 1s);
  Entry* const busy = table.add("busy.test", {443}, now);
  Entry* const other = table.add("other.test", {80}, now);
  for (Entry* entry : {first, second, busy, other}) entry->state = Entry::State::ready;
  busy->connections = 1;
  EXPECT_EQ(table.take_over("new.test", {443}, now + kReuseAfter - 1s), nullptr);
  const std::uint32_t address = first->address;
  Entry* const taken = table.take_over("new.test", {443}, now + kReuseAfter + 2s);
  ASSERT_NE(taken, nullptr);
  EXPECT_EQ(taken->address, address);
  EXPECT_EQ(table.find("first.test"), nullptr);
  EXPECT_EQ(table.at(address)->name, "new.test");
  EXPECT_EQ(table.listeners(), 4U);
}

}  // namespace
}  // namespace oqto::egress
