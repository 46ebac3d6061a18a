#!/usr/bin/python3
"""Runs a command as root of what a rootless container is: a user namespace with 65,536 ids that begin at BASE outside,
and process, mount, network, IPC and host name namespaces that belong to it.
usage: rootless.py BASE COMMAND...   (as root)"""
import ctypes
import fcntl
import os
import signal
import socket
import struct
import sys

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER = 0x20000, 0x4000000, 0x8000000, 0x10000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
MS_REC, MS_SLAVE, MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x4000, 0x80000, 2, 4, 8
IDS = 65536
libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def loopback_up():
    SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, SIOCGIFFLAGS, struct.pack("16sH22x", b"lo", 0))
        flags = struct.unpack("16sH22x", answer)[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | IFF_UP))


def inside(command):
    """PID 1 of the container: its own /proc and loopback, /tmp as it is outside."""
    loopback_up()
    check(libc.mount(b"none", b"/", None, MS_REC | MS_SLAVE, None), "make / a slave")
    check(libc.mount(b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None), "mount /proc")
    # The lock of uid ranges is a container's own.
    check(libc.mount(b"tmpfs", b"/run", b"tmpfs", MS_NOSUID | MS_NODEV, b"mode=755"), "mount /run")
    os.execvp(command[0], command)


def main():
    base, command = int(sys.argv[1]), sys.argv[2:]
    ready, mapped = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        check(libc.unshare(CLONE_NEWUSER), "unshare the user namespace")
        os.write(ready[1], b"r")
        os.read(mapped[0], 1)
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        check(libc.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET), "unshare the others")
        first = os.fork()
        if first == 0:
            libc.prctl(1, signal.SIGTERM, 0, 0, 0)
            inside(command)
        signal.signal(signal.SIGTERM, lambda *_: os.kill(first, signal.SIGTERM))
        signal.signal(signal.SIGINT, lambda *_: os.kill(first, signal.SIGINT))
        os._exit(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) & 0xFF)
    os.read(ready[0], 1)
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{child}/{name}", "w", encoding="ascii") as file:
            file.write(f"0 {base} {IDS}\n")
    os.write(mapped[1], b"m")
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    signal.signal(signal.SIGINT, lambda *_: os.kill(child, signal.SIGINT))
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF)


if __name__ == "__main__":
    main()
