#!/usr/bin/env python3
"""A verifier, a witness and a witness's client, written from the texts of C2SP and RFCs 6962 and 8032 alone.

usage: c2sp.py log-vkey NAME                         the public key of a small log that is made up here
       c2sp.py verify DIR VKEY [CHECKPOINT]...       a log directory, and checkpoints of it that were kept
       c2sp.py check-witness URL WITNESS_VKEY NAME   plays that small log to a witness that knows its key
       c2sp.py witness STATE_FILE NAME LOG_VKEY      serves a witness on a free port of 127.0.0.1, and prints
                                                     its vkey and its URL

VKEY may be a key or a file whose first line is one. Nothing but Python's standard library is used, nothing of this
project. Exit status 1 if anything is not as the texts say.
"""
import base64
import hashlib
import pathlib
import sys

# --- Ed25519 (RFC 8032, section 5.1) ---

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def recover_x(y, sign):
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - x2) % P or y >= P or (x == 0 and sign):
        return None
    return x if x & 1 == sign else P - x


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0])
    c, d = 2 * p[3] * q[3] * D, 2 * p[2] * q[2]
    e, f, g, h = (b - a) % P, (d - c) % P, (d + c) % P, (b + a) % P
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n, point):
    result = (0, 1, 1, 0)
    while n:
        if n & 1:
            result = add(result, point)
        point = add(point, point)
        n >>= 1
    return result


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = recover_x(BASE_Y, 0)
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def compress(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decompress(data):
    number = int.from_bytes(data, "little")
    y, sign = number & (1 << 255) - 1, number >> 255
    x = recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


def number_of(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % ORDER


class Signer:
    def __init__(self, name, kind, seed):
        digest = hashlib.sha512(seed).digest()
        self.scalar = int.from_bytes(digest[:32], "little") & ~7 & (1 << 254) - 1 | 1 << 254
        self.prefix = digest[32:]
        self.public = compress(times(self.scalar, BASE))
        self.name, self.kind = name, kind
        self.key_id = hashlib.sha256(name.encode() + b"\n" + kind + self.public).digest()[:4]

    def vkey(self):
        return f"{self.name}+{self.key_id.hex()}+{encode(self.kind + self.public)}"

    def sign(self, message):
        r = number_of(self.prefix, message)
        point = compress(times(r, BASE))
        s = (r + number_of(point, self.public, message) * self.scalar) % ORDER
        return point + s.to_bytes(32, "little")

    def line(self, body):
        return f"— {self.name} {encode(self.key_id + self.sign(body.encode()))}\n"

    def cosign(self, body, now):
        message = f"cosignature/v1\ntime {now}\n{body}"
        return f"— {self.name} {encode(self.key_id + now.to_bytes(8, 'big') + self.sign(message.encode()))}\n"


def is_signed(public, message, signature):
    point, s = decompress(signature[:32]), int.from_bytes(signature[32:], "little")
    key = decompress(public)
    if len(signature) != 64 or point is None or key is None or s >= ORDER:
        return False
    left = times(s, BASE)
    right = add(point, times(number_of(signature[:32], public, message), key))
    return compress(left) == compress(right)


# --- signed notes and checkpoints ---


def encode(data):
    return base64.b64encode(data).decode()


def decode(text):
    data = base64.b64decode(text, validate=True)
    if encode(data) != text:
        raise ValueError("base64 in another spelling")
    return data


class Key:
    def __init__(self, text):
        self.name, key_id, data = text.split("+", 2)
        data = decode(data)
        self.key_id, self.kind, self.public = bytes.fromhex(key_id), data[:1], data[1:]
        if hashlib.sha256(self.name.encode() + b"\n" + data).digest()[:4] != self.key_id:
            raise ValueError("a vkey whose key id does not fit")

    @staticmethod
    def read(path_or_text):
        path = pathlib.Path(path_or_text)
        return Key(path.read_text().splitlines()[0] if path.exists() else path_or_text)


class Note:
    def __init__(self, text):
        self.body, rest = text.split("\n\n", 1)
        self.body += "\n"
        if not rest.endswith("\n") or any(ord(c) < 32 and c != "\n" for c in text):
            raise ValueError("no note")
        self.lines = []
        for line in rest[:-1].split("\n"):
            dash, name, data = line.split(" ")
            data = decode(data)
            if dash != "—" or not name or "+" in name or len(data) < 5:
                raise ValueError("no signature line")
            self.lines.append((name, data[:4], data[4:], line + "\n"))
        self.origin, size, root, *extensions = self.body[:-1].split("\n")
        self.size, self.root = int(size), decode(root)
        if str(self.size) != size or self.size < 0 or len(self.root) != 32 or not self.origin or "" in extensions:
            raise ValueError("no checkpoint")

    def by(self, key):
        return [data for name, key_id, data, _ in self.lines if (name, key_id) == (key.name, key.key_id)]

    def is_signed_by(self, key):
        """None: no such line."""
        signatures = self.by(key)
        return all(is_signed(key.public, self.body.encode(), s) for s in signatures) if signatures else None

    def is_cosigned_by(self, key):
        def good(data):
            stamp = int.from_bytes(data[:8], "big")
            return 0 < stamp < 2**63 and is_signed(
                key.public, f"cosignature/v1\ntime {stamp}\n{self.body}".encode(), data[8:])
        return len(self.by(key)) == 1 and all(good(data) for data in self.by(key))


# --- the tree (RFC 6962, section 2.1) ---


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def leaf(entry):
    return hashlib.sha256(b"\x00" + entry).digest()


def split(count):
    return 1 << (count - 1).bit_length() - 1


def root(hashes):
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = split(len(hashes))
    return node(root(hashes[:k]), root(hashes[k:]))


def consistency(old, hashes, whole=True):
    if old == len(hashes):
        return [] if whole else [root(hashes)]
    k = split(len(hashes))
    if old <= k:
        return consistency(old, hashes[:k], whole) + [root(hashes[k:])]
    return consistency(old - k, hashes[k:], False) + [root(hashes[:k])]


def roots_of(old, new, proof, old_root, whole=True):
    """The old and the new root that the proof leads to; it is used up from its end."""
    if old == new:
        return (old_root, old_root) if whole else (proof[-1], proof.pop())
    k = split(new)
    other = proof.pop()
    if old <= k:
        before, after = roots_of(old, k, proof, old_root, whole)
        return before, node(after, other)
    before, after = roots_of(old - k, new - k, proof, old_root, False)
    return node(other, before), node(other, after)


def is_consistent(old, old_root, new, new_root, proof):
    if old == 0:
        return not proof
    left = list(proof)
    try:
        return roots_of(old, new, left, old_root) == (old_root, new_root) and not left
    except IndexError:
        return False


# --- a log directory (tlog-tiles) ---


def tile(log, level, index, width):
    """The very tile that a checkpoint of this size needs or, in its place, the full one."""
    parts = [f"{index % 1000:03d}"]
    while index := index // 1000:
        parts.insert(0, f"x{index % 1000:03d}")
    path = log / "tile" / str(level) / "/".join(parts)
    partial = pathlib.Path(f"{path}.p") / str(width)
    return (partial if width < 256 and partial.exists() else path).read_bytes()


def verify_checkpoint(log, note, key):
    if note.origin != key.name or not note.is_signed_by(key):
        sys.exit("the checkpoint is not signed by the log's key")
    hashes = []
    for first in range(0, note.size, 256):
        width = min(256, note.size - first)
        bundle = tile(log, "entries", first // 256, width)
        for _ in range(width):
            length = int.from_bytes(bundle[:2], "big")
            hashes.append(leaf(bundle[2:2 + length]))
            bundle = bundle[2 + length:]
    if root(hashes) != note.root:
        sys.exit(f"the root of {note.size} entries is not the one that is signed")
    level = 0
    while hashes:
        for first in range(0, len(hashes), 256):
            width = min(256, len(hashes) - first)
            if tile(log, level, first // 256, width)[:32 * width] != b"".join(hashes[first:first + width]):
                sys.exit(f"hash tile {first // 256} of level {level} is not what the entries say")
        hashes = [root(hashes[i:i + 256]) for i in range(0, len(hashes) - 255, 256)]
        level += 1


def verify(directory, vkey, *kept):
    log, key = pathlib.Path(directory), Key.read(vkey)
    for path in (log / "checkpoint", *map(pathlib.Path, kept)):
        try:
            note = Note(path.read_bytes().decode())
            verify_checkpoint(log, note, key)
        except (ValueError, OSError) as error:
            sys.exit(f"{path}: {error}")
        print(note.size, note.root.hex())


def main():
    commands = {"log-vkey": lambda name: print(small_log(name).vkey()), "verify": verify}
    sys.dont_write_bytecode = True
    from c2sp_witness import check_witness, serve_witness  # beside this file
    commands |= {"check-witness": check_witness, "witness": serve_witness}
    if len(sys.argv) < 3 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])


def small_log(name):
    return Signer(name, b"\x01", hashlib.sha256(name.encode()).digest())


if __name__ == "__main__":
    main()
