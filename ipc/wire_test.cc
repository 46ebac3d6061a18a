#include "ipc/wire.h"

#include <gtest/gtest.h>

#include "ipc/audit.h"
#include "ipc/messages.h"

namespace oqto::ipc {
namespace {

std::string hex(std::span<const std::byte> bytes) {
  return to_hex({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

// A change here is a change of the protocol: raise kProtocolVersion with it.
TEST(Wire, KeepsTheBytesOfEachMessage) {
  EXPECT_EQ(hex(encode(Ready{})), "010003000000");
  EXPECT_EQ(hex(encode(Probe{3})), "0b00" "0300000000000000");
  EXPECT_EQ(hex(encode(Probed{3, 1, "no"})), "0300" "0300000000000000" "01" "02006e6f");
  EXPECT_EQ(hex(encode(CertificateFacts{4, 5})), "1800" "0400000000000000" "0500000000000000");
  EXPECT_EQ(hex(encode(AuditProbe{3})), "7600" "0300000000000000");
  EXPECT_EQ(hex(encode(OpenChannel{})), "1500" + std::string(64, '0') + "00");
  EXPECT_EQ(hex(encode(TokenOwner{7, 9, 3, Role::auditor, "ada"})),
            "2900" "0700000000000000" "0900000000000000" "03000000" "02" "0300616461");
  EXPECT_EQ(hex(encode(AccountEnded{3, 1})), "3000" "03000000" "01");
  EXPECT_EQ(hex(encode(CheckLogins{{"12345678"}, {"1234"}})),
            "2f00" "08000000" "3132333435363738" "04000000" "31323334");
  EXPECT_EQ(hex(encode(Refused{1, Refusal::limit, "no"})), "3a00" "0100000000000000" "04" "02006e6f");
  const std::string session(32, '0');
  EXPECT_EQ(hex(encode(SessionUsage{{}, 1, 2, 3, 4, 5})),
            "3b00" + session + "0100000000000000" "0200000000000000" "0300000000000000" "0400000000000000"
            "0500000000000000");
  EXPECT_EQ(hex(encode(HostFacts{{{"strict: no"}}})), "3c00" "0100" "0a000000" "7374726963743a206e6f");
  EXPECT_EQ(hex(encode(OpenGate{{}, 7, 1, 2, 3, 4, 5, {}, 6, 1})),
            "4600" + session + "07000000" "0100000000000000" "0200000000000000" "0300000000000000"
            "0400000000000000" "0500000000000000" + session + "06000000" "01");
  EXPECT_EQ(hex(encode(Reload{ReloadPart::key, 5})), "0c00" "01" "0500000000000000");
  EXPECT_EQ(hex(encode(Reloaded{ReloadPart::gateway, 1, 0, "demo", 9, 5})),
            "0400" "02" "01" "00" "0400" "64656d6f" "0900000000000000" "0500000000000000");
  EXPECT_EQ(hex(encode(GateUsage{{}, 1, 2, 3, 4, 5})),
            "4a00" + session + "0100000000000000" "0200000000000000" "0300000000000000" "0400000000000000"
            "0500000000000000");
  EXPECT_EQ(hex(encode(ModelsFile{})), "4f00");
  AuditAppend record;
  record.event = Event::exec;
  record.phase = Phase::event;
  record.add(FieldKey::argv, "ls");
  EXPECT_EQ(hex(encode(record)),
            "6f00" "0000000000000000" "0e00" "02" "00" "ffffffffffffffff" "0100" "0d" "02000000" "6c73");
  EXPECT_EQ(hex(encode(AuditBlob{3, 7})), "7200" "0300000000000000" "07000000");
  EXPECT_EQ(hex(encode(AuditBlobStored{3, {}, 9})),
            "7300" "0300000000000000" + std::string(64, '0') + "0900000000000000");
  EXPECT_EQ(hex(encode(AuditManage{1, AuditVerb::prune, 7, 2, 3})),
            "7400" "0100000000000000" "01" "07000000" "02000000" "0300000000000000" "00000000" "0000");
  EXPECT_EQ(hex(encode(AuditRefused{3, "no", RefusedFor::budget})), "7100" "0300000000000000" "02006e6f" "01");
  EXPECT_EQ(hex(encode(AdminPeer{7, "ann"})), "2e00" "07000000" "0300616e6e");
  EXPECT_EQ(hex(encode(StopSession{{}, StopReason::idle})), "3800" + session + "01");
  EXPECT_EQ(hex(encode(SignerQuery{SignerAsk::seal_now})), "7b00" "03" "0000000000000000");
  EXPECT_EQ(hex(encode(SignerStatus{3, {}, Recall::at_least, 5, {"s"}})),
            "7c00" "0300000000000000" + std::string(64, '0') + "01" "05000000" "01000000" "73" "0000000000000000"
            "0000000000000000" "00000000" "0000" "0000");
}

TEST(Wire, DecodesWhatItEncodes) {
  StartProgram start;
  start.program = 4;
  start.argv.values = {"/bin/bash", "-c", std::string(30'000, 'x')};
  start.env.values = {"A=b"};
  start.cwd = "/workspace";
  const auto bytes = encode(start);
  const auto back = decode<StartProgram>(bytes);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(encode(*back), bytes);
  EXPECT_EQ(back->argv.values, start.argv.values);
}

TEST(Wire, RefusesEveryCutOfAMessage) {
  const auto bytes = encode(TokenOwner{7, 9, 3, Role::user, "ada"});
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode<TokenOwner>(std::span(bytes).first(size)).has_value()) << size;
  }
}

TEST(Wire, RefusesTrailingBytes) {
  auto bytes = encode(Ready{});
  bytes.push_back(std::byte{0});
  EXPECT_FALSE(decode<Ready>(bytes).has_value());
}

TEST(Wire, RefusesAnEnumValueThatDoesNotExist) {
  auto bytes = encode(ChannelRefused{});
  bytes.back() = static_cast<std::byte>(Refusal::kEnd);
  EXPECT_FALSE(decode<ChannelRefused>(bytes).has_value());
}

TEST(Wire, RefusesTextOneLongerThanItsBound) {
  Writer writer;
  writer(static_cast<std::uint16_t>(Tag::launch_failed), Text<513>(std::string(513, 'x')));
  EXPECT_FALSE(decode<LaunchFailed>(writer.take()).has_value());
}

TEST(Wire, RefusesAListLongerThanItsBound) {
  Writer writer;
  TextList<1000, 16> many;
  many.values.resize(257);
  writer(static_cast<std::uint16_t>(Tag::start_program), std::uint32_t{1}, many);
  EXPECT_FALSE(decode<StartProgram>(writer.take()).has_value());
}

TEST(AuditRecord, SaysThatItWasCutWhenAValueIsTooLong) {
  AuditAppend record;
  record.add(FieldKey::args, std::string(kMaxFieldBytes + 1, 'x'));
  ASSERT_EQ(record.list.size(), 2U);
  EXPECT_EQ(record.list[0].value.size(), kMaxFieldBytes);
  EXPECT_EQ(record.list[1].key, FieldKey::truncated);
}

TEST(AuditRecord, StaysWithinOneDatagramWhateverIsAdded) {
  AuditAppend record;
  for (int i = 0; i < 2000; ++i) record.add(FieldKey::argv, std::string(1000, 'x'));
  EXPECT_LE(encode(record).size(), kMaxDatagram);
  EXPECT_TRUE(decode<AuditAppend>(encode(record)).has_value());
}

}  // namespace
}  // namespace oqto::ipc
