"""A witness (C2SP tlog-witness), and what plays a log to one. See c2sp.py."""
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import sys
import time
import urllib.parse

from c2sp import Key, Note, Signer, consistency, decode, encode, is_consistent, leaf, root, small_log

SIZE_TYPE = "text/x.tlog.size"


class Witness:
    def __init__(self, state, name, log):
        self.state, self.log = pathlib.Path(state), Key.read(log)
        self.signer = Signer(name, b"\x04", hashlib.sha256(name.encode()).digest())
        self.note = Note(json.loads(self.state.read_text())) if self.state.exists() else None

    def add_checkpoint(self, body):
        """Status, content type and body of the answer."""
        try:
            head, note = body.decode().split("\n\n", 1)
            old_line, *lines = head.split("\n")
            old = int(old_line.removeprefix("old "))
            proof = [decode(line) for line in lines]
            note = Note(note)
            if old_line != f"old {old}" or old < 0 or len(proof) > 63 or any(len(h) != 32 for h in proof):
                raise ValueError("no request")
        except (ValueError, UnicodeDecodeError):
            return 400, "text/plain", "malformed\n"
        if note.origin != self.log.name:
            return 404, "text/plain", "an unknown log\n"
        if not note.is_signed_by(self.log):
            return 403, "text/plain", "not signed by the log\n"
        if old > note.size:
            return 400, "text/plain", "old is above new\n"
        known = self.note.size if self.note else 0
        if old != known:
            return 409, SIZE_TYPE, f"{known}\n"
        if note.size == 0 and note.root != root([]):
            return 422, "text/plain", "no empty tree\n"
        if not is_consistent(old, self.note.root if self.note else root([]), note.size, note.root, proof):
            return 422, "text/plain", "not consistent\n"
        line = self.signer.cosign(note.body, int(time.time()))
        kept = note.body + "\n" + "".join(text for name, key_id, _, text in note.lines
                                          if (name, key_id) == (self.log.name, self.log.key_id)) + line
        aside = pathlib.Path(f"{self.state}.new")
        with aside.open("w") as file:
            file.write(json.dumps(kept))
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self.state)
        self.note, self.kept = Note(kept), kept
        return 200, "text/plain", line

    def monitor(self, path):
        wanted = f"/{hashlib.sha256(self.log.name.encode()).hexdigest()}/checkpoint"
        if path != wanted or not self.note:
            return 404, "text/plain", "nothing was cosigned\n"
        return 200, "text/plain", json.loads(self.state.read_text())


def serve_witness(state, name, log):
    witness = Witness(state, name, log)

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, status, kind, text):
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            known = self.path == "/add-checkpoint"
            self.answer(*(witness.add_checkpoint(body) if known else (404, "text/plain", "\n")))

        def do_GET(self):
            self.answer(*witness.monitor(self.path))

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    print(witness.signer.vkey())
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


class Small:
    """The small log that is played to a witness, and what is wrong with it on purpose."""

    def __init__(self, name, salt=""):
        self.signer, self.salt = small_log(name), salt

    def hashes(self, size):
        return [leaf(f"{self.salt}{i}".encode()) for i in range(size)]

    def body(self, size, extension=""):
        return f"{self.signer.name}\n{size}\n{encode(root(self.hashes(size)))}\n{extension}"

    def note(self, size, extension=""):
        body = self.body(size, extension)
        return body + "\n" + self.signer.line(body)

    def request(self, old, size, extension=""):
        proof = consistency(old, self.hashes(size)) if 0 < old <= size else []
        return f"old {old}\n" + "".join(encode(h) + "\n" for h in proof) + "\n" + self.note(size, extension)


def check_witness(url, witness_vkey, name):
    parts, witness = urllib.parse.urlsplit(url), Key.read(witness_vkey)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)  # one: keep-alive
    good, fork, other, unknown = Small(name), Small(name, "fork "), Small(name), Small(name + "/unknown")
    other.signer = Signer(name, b"\x01", b"another key".ljust(32))
    wrong = []
    asked = []

    def ask(method, path, body=None):
        asked.append(path)
        connection.request(method, parts.path + path, body)
        response = connection.getresponse()
        return response.status, response.headers.get("Content-Type", ""), response.read().decode()

    def expect(what, request, status, size=None):
        got, kind, text = ask("POST", "/add-checkpoint", request.encode())
        fits = got == status and (status != 409 or (text == f"{size}\n" and kind == SIZE_TYPE))
        if not fits:
            wrong.append(f"{what}: {got} {kind} {text!r}, expected {status}")
        return text if fits else ""

    def expect_cosigned(what, old, size, extension=""):
        text = expect(what, good.request(old, size, extension), 200)
        if text and not Note(good.note(size, extension) + text).is_cosigned_by(witness):
            wrong.append(f"{what}: the cosignature does not verify")

    def expect_monitor(what, status, size=None):
        got, _, text = ask("GET", f"/{hashlib.sha256(name.encode()).hexdigest()}/checkpoint")
        key = Key(good.signer.vkey())
        if got != status or (status == 200 and not (Note(text).size == size and Note(text).is_signed_by(key)
                                                    and Note(text).is_cosigned_by(witness))):
            wrong.append(f"{what}: {got} {text!r}")

    def forged(note_text):
        lines = note_text.split("\n")
        data = bytearray(decode(lines[-2].split(" ")[2]))
        data[20] ^= 1
        lines[-2] = f"— {name} {encode(bytes(data))}"
        return "\n".join(lines)

    empty = f"{name}\n0\n{encode(bytes(32))}\n"
    expect_monitor("monitor of a log that was never cosigned", 404)
    expect("size 0 with another root", f"old 0\n\n{empty}\n{good.signer.line(empty)}", 422)
    expect("a first tree with a proof", good.request(0, 5).replace("old 0\n", f"old 0\n{encode(bytes(32))}\n"), 422)
    expect_cosigned("the empty tree", 0, 0)
    expect_cosigned("a first tree", 0, 5)
    expect_cosigned("the same tree again", 5, 5)
    expect("an unknown origin", unknown.request(0, 3), 404)
    expect("another key of the name", other.request(5, 6), 403)
    expect("a signature that does not verify", forged(good.request(5, 6)), 403)
    expect("a good signature and a bad one of the same key",
           good.request(5, 6) + forged(good.note(6)).split("\n\n")[1], 403)
    expect("old above new", good.request(9, 8), 400)
    expect("a smaller tree", good.request(3, 4), 409, 5)
    expect("no idea of what it has", good.request(0, 6), 409, 5)
    expect("the same size, another root", fork.request(5, 5), 422)
    expect("a larger tree of another past", fork.request(5, 9), 422)
    proof = good.request(5, 9)
    expect("a proof with a hash too many", proof.replace("\n\n", f"\n{encode(bytes(32))}\n\n", 1), 422)
    expect("a proof with a hash too few", "old 5\n" + proof.split("\n", 2)[2], 422)
    for bad in ("", "old 5", "old 5\n\n", proof.replace("old 5", "old 05"), proof.replace("old 5", "old -5"),
                proof.replace("old 5", "old  5"), proof.replace("\n", "\r\n"), proof[:-1],
                proof.replace("\n\n", "\n" + f"{encode(bytes(32))}\n" * 64 + "\n", 1),
                proof.replace("\n9\n", "\n09\n"), "old 5\n" + encode(bytes(31)) + "\n\n" + good.note(9)):
        expect(f"malformed {bad[:20]!r}", bad, 400)
    expect_monitor("monitor, with nothing changed", 200, 5)
    expect_cosigned("a checkpoint with extension lines", 5, 9, "an extension line\nand another\n")
    expect_monitor("monitor of one with extension lines", 200, 9)
    stranger = Signer("somebody.example", b"\x01", bytes(32))
    expect("a line of an unknown key", good.request(9, 300) + stranger.line(good.body(300)), 200)
    expect_monitor("monitor of the newest", 200, 300)
    status, _, _ = ask("GET", f"/{'0' * 64}/checkpoint")
    if status != 404:
        wrong.append(f"monitor of another log: {status}")
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(asked)} requests, answered as C2SP tlog-witness says")
