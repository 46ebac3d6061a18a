// Attacks by descriptors.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <thread>

#include "tests/attacks/attack.h"

namespace oqto::sandbox {
namespace {

TEST_P(Attack, ByDescriptorsLeftOpen) {
  begin({.policy = policy(), .leak = 77});
  EXPECT_NE(run_outside(agent(), probe_words({"descriptors"}), 77).output.find(" 77 "),
            std::string::npos);
  EXPECT_EQ(inside({"descriptors"}), "0 1 2 \n");
  EXPECT_EQ(session->run({"/bin/bash", "-c", "exec 9</etc/passwd; exec " + probe() + " descriptors"})
                .output,
            "0 1 2 9 \n");  // its own go on
}

// Listens at a path and passes a directory to whoever connects, until it is destroyed.
class Passer {
 public:
  Passer(const std::string& path, const std::string& directory)
      : listener_(Fd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))),
        directory_(Fd::adopt(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC))) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    CHECK(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    CHECK(::chmod(path.c_str(), 0777) == 0 && ::listen(listener_.get(), 4) == 0);
    thread_ = std::thread([this] { serve(); });
  }
  ~Passer() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }

 private:
  void serve() {
    for (;;) {
      const Fd peer = Fd::adopt(::accept(listener_.get(), nullptr, nullptr));
      if (!peer) return;
      char byte = 'x';
      iovec io{&byte, 1};
      alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))] = {};
      msghdr message{};
      message.msg_iov = &io;
      message.msg_iovlen = 1;
      message.msg_control = room;
      message.msg_controllen = sizeof room;
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int));
      const int passed = directory_.get();
      std::memcpy(CMSG_DATA(header), &passed, sizeof passed);
      (void)::sendmsg(peer.get(), &message, MSG_NOSIGNAL);
    }
  }
  Fd listener_, directory_;
  std::thread thread_;
};

// Somebody outside with access to the workspace helps: a directory of the host, passed over a
// socket in the workspace, opens nothing below it.
TEST_P(Attack, ByADirectoryThatSomebodyOutsidePassesIn) {
  const std::string secrets = session->dir() + "/secrets";
  ASSERT_EQ(::mkdir(secrets.c_str(), 0755), 0);
  std::ofstream(secrets + "/secret") << "secret";
  const std::string path = session->workspace() + "/pass";
  const Passer passer(path, secrets);
  ASSERT_EQ(::chmod(session->workspace().c_str(), 0755), 0);
  for (const char* attack : {"reach-through", "move-through"}) {
    EXPECT_EQ(outside(agent(), {attack, path, "secret"}), "open\n") << attack;
    EXPECT_EQ(in_plain_bubblewrap(agent(), {attack, path, "secret"}), "open\n") << attack;
    EXPECT_EQ(inside({attack, "/workspace/pass", "secret"}), "closed: EACCES\n") << attack;
  }
}

}  // namespace
}  // namespace oqto::sandbox
