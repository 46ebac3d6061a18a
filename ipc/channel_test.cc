#include "ipc/channel.h"

#include <gtest/gtest.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <cstring>

#include "base/sys.h"
#include "ipc/audit.h"

namespace oqto::ipc {
namespace {

struct Ends {
  Channel a, b;
};
Ends make() {
  auto pair = sys::seqpacket_pair();
  return {Channel(std::move(pair->first)), Channel(std::move(pair->second))};
}
int open_files() {
  int count = 0;
  for (int fd = 0; fd < 256; ++fd) count += ::fcntl(fd, F_GETFD) >= 0;
  return count;
}

TEST(Channel, CarriesAMessageAndItsDescriptor) {
  auto [a, b] = make();
  auto payload = sys::sealed_memfd("x", "hello");
  ASSERT_TRUE(a.send(Wire{WireRole::peer}, *payload));
  auto received = b.receive();
  ASSERT_TRUE(received.has_value());
  ASSERT_TRUE(received->as<Wire>().has_value());
  EXPECT_EQ(*sys::read_all(received->fd, 100), "hello");
}

TEST(Channel, TellsNothingThereFromGone) {
  auto [a, b] = make();
  EXPECT_EQ(b.receive().error().code, Errc::limit);
  a = Channel();
  EXPECT_EQ(b.receive().error().code, Errc::unavailable);
}

TEST(Channel, RefusesAMessageThatLacksItsDescriptor) {
  auto [a, b] = make();
  const auto bytes = encode(Wire{WireRole::peer});
  ASSERT_GT(::send(a.fd().get(), bytes.data(), bytes.size(), 0), 0);
  auto received = b.receive();
  ASSERT_TRUE(received.has_value());
  EXPECT_FALSE(received->as<Wire>().has_value());
}

TEST(Channel, AttackSmugglingASecondDescriptorIsRefusedAndLeaksNothing) {
  auto [a, b] = make();
  (void)b.receive();  // the buffer exists now
  const int before = open_files();
  const auto bytes = encode(Wire{WireRole::peer});
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  cmsghdr* rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(2 * sizeof(int));
  const int two[] = {0, 1};
  std::memcpy(CMSG_DATA(rights), two, sizeof two);
  ASSERT_GT(::sendmsg(a.fd().get(), &header, 0), 0);
  EXPECT_EQ(b.receive().error().code, Errc::bad_message);
  EXPECT_EQ(open_files(), before);
}

TEST(Channel, RefusesAMessageLongerThanItsBuffer) {
  auto [a, b] = make();
  std::vector<char> big(kMaxDatagram + 1);
  ASSERT_GT(::send(a.fd().get(), big.data(), big.size(), 0), 0);
  EXPECT_EQ(b.receive().error().code, Errc::bad_message);
}

TEST(Channel, NeverBlocksOnAPeerThatDoesNotRead) {
  auto [a, b] = make();
  Status status;
  for (int i = 0; i < 100'000 && status; ++i) status = a.send(Ready{});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::limit);
}

TEST(AuditClient, RefusesTheActWhenAuditdIsGoneOrSilent) {
  auto [a, b] = make();
  AuditClient client(std::move(a));
  AuditAppend record;
  EXPECT_EQ(client.append(record, 20).error().code, Errc::unavailable);  // silent
  b = Channel();
  EXPECT_EQ(client.append(record, 1000).error().code, Errc::unavailable);  // gone
}

TEST(AuditClient, StopsPostingWhenTheWindowIsFull) {
  auto [a, b] = make();
  AuditClient client(std::move(a));
  Status status;
  std::uint32_t posted = 0;
  for (; posted < 1000 && status; ++posted) status = client.post(AuditAppend{}, 10);
  EXPECT_FALSE(status);
  EXPECT_EQ(posted, AuditClient::kMaxUnacknowledged + 1);
}

}  // namespace
}  // namespace oqto::ipc
