"""A browser's part of the protocol (docs/protocol.md) with nothing but Python's standard library."""
import base64
import http.client
import json
import os
import socket
import ssl
import struct
import threading
import time

PORT = 8443
ORIGIN = f"https://localhost:{PORT}"


def tls():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def post(path, body):
    connection = http.client.HTTPSConnection("127.0.0.1", PORT, context=tls(), timeout=60)
    connection.request("POST", path, json.dumps(body), {
        "Host": f"localhost:{PORT}", "Content-Type": "application/json", "Origin": ORIGIN})
    answer = connection.getresponse()
    text = answer.read().decode()
    assert answer.status < 300, f"{path}: {answer.status} {text}"
    return answer.getheader("Set-Cookie").split(";")[0]


class Mux:
    def __init__(self, cookie):
        self.stream = tls().wrap_socket(socket.create_connection(("127.0.0.1", PORT), 60), server_hostname="localhost")
        self.stream.settimeout(None)
        key = base64.b64encode(os.urandom(16)).decode()
        self.stream.sendall((f"GET /ws/mux HTTP/1.1\r\nHost: localhost:{PORT}\r\nUpgrade: websocket\r\n"
                             f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                             f"Sec-WebSocket-Protocol: host.mux.v1\r\nOrigin: {ORIGIN}\r\nCookie: {cookie}\r\n\r\n").encode())
        self.file = self.stream.makefile("rb")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = self.file.read(1)
            assert piece, "the connection ended during its upgrade"
            head += piece
        assert b" 101 " in head.split(b"\r\n")[0], head
        self.events, self.answers, self.number, self.open = [], {}, 0, True
        self.changed = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def frame(self):
        first, second = self.file.read(2)
        length = second & 127
        if length == 126:
            length = struct.unpack(">H", self.file.read(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self.file.read(8))[0]
        return first, self.file.read(length)

    def read(self):
        try:
            while True:
                first, payload = self.frame()
                if first & 15 != 1:
                    continue
                message = json.loads(payload)
                with self.changed:
                    if message.get("event") == "response":
                        self.answers[message["id"]] = message
                    elif "event" in message:
                        self.events.append(message)
                    self.changed.notify_all()
        except (ValueError, OSError):
            self.open = False

    def send(self, value):
        payload, mask = json.dumps(value).encode(), os.urandom(4)
        size = len(payload)
        head = struct.pack(">BB", 0x81, 0x80 | size) if size < 126 else struct.pack(">BBH", 0x81, 0x80 | 126, size)
        self.stream.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))

    def wait(self, what, probe, seconds=60):
        end = time.monotonic() + seconds
        with self.changed:
            while True:
                found = probe()
                if found is not None:
                    return found
                left = end - time.monotonic()
                assert left > 0, f"waited {seconds} s in vain for {what}"
                self.changed.wait(left)

    def command(self, cmd, session="_system", seconds=60, **fields):
        self.number += 1
        name = f"v{self.number}"
        self.send({"channel": "agent", "id": name, "session_id": session, "cmd": cmd, **fields})
        return self.wait(f"the answer to {cmd}", lambda: self.answers.get(name), seconds)

    def ok(self, cmd, session="_system", **fields):
        answer = self.command(cmd, session, **fields)
        assert answer["success"], f"{cmd}: {answer.get('error')}"
        return answer.get("data")

    def workspace(self, name):
        return self.ok("create_workspace", name=name)["workspace"]["id"]

    def create(self, workspace, profile="development"):
        return self.command("session.create", "", config={"harness": "pi", "workspace_id": workspace, "profile": profile})

    def session(self, workspace, profile="development"):
        answer = self.create(workspace, profile)
        assert answer["success"], answer.get("error")
        session = answer["data"]["session_id"]
        self.event(session, "agent.idle")
        return session

    def event(self, session, name, start=0, seconds=60):
        return self.wait(f"{name}", lambda: next(
            (e for e in self.events[start:] if e["session_id"] == session and e["event"] == name), None), seconds)

    def begin(self, session, text):
        """Sends a prompt; what its answer will be looked for from."""
        start = len(self.events)
        self.ok("prompt", session, message=text)
        return start

    def run(self, session, text, seconds=90):
        start = self.begin(session, text)
        end = self.event(session, "stream.message_end", start, seconds)
        self.event(session, "agent.idle", start, seconds)
        return "".join(part.get("text", "") for part in end["message"]["parts"])
