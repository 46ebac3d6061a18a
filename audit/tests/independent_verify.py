#!/usr/bin/env python3
"""Checks an audit log with nothing of ours: Python's standard library and the openssl command.

usage: independent_verify.py LOG_DIR VKEY_FILE [OLDER_CHECKPOINT]

Reads the entry bundles (C2SP tlog-tiles), recomputes the RFC 6962 root and every hash tile that the checkpoint
needs, and verifies the checkpoint's Ed25519 signature (C2SP signed-note). With an older checkpoint: the log must be
its continuation. Prints the size and the root; exit status 1 if anything differs.
"""
import base64
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile


def tile_file(log, level, index, width):
    """The tile with `width` entries or, when that one was replaced, the narrowest wider one."""
    parts = []
    while True:
        parts.insert(0, f"{index % 1000:03d}")
        index //= 1000
        if index == 0:
            break
    path = log / "tile" / str(level) / "/".join([f"x{part}" for part in parts[:-1]] + parts[-1:])
    for wider in range(width, 256):
        partial = pathlib.Path(f"{path}.p") / str(wider)
        if partial.exists():
            return partial, wider
    return path, 256


def tiles_of(count):
    return ((index, min(256, count - index * 256)) for index in range((count + 255) // 256))


def read_entries(log, size):
    for index, width in tiles_of(size):
        path, holds = tile_file(log, "entries", index, width)
        bundle = path.read_bytes()
        entries = []
        while bundle:
            length = int.from_bytes(bundle[:2], "big")
            if len(bundle) < 2 + length:
                sys.exit(f"{path} is cut short")
            entries.append(bundle[2:2 + length])
            bundle = bundle[2 + length:]
        if len(entries) != holds:
            sys.exit(f"{path} holds {len(entries)} entries, expected {holds}")
        yield from entries[:width]


def root(hashes):
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return hashlib.sha256(b"\x01" + root(hashes[:split]) + root(hashes[split:])).digest()


def verify_hash_tiles(log, hashes):
    level = 0
    while hashes:
        for index, width in tiles_of(len(hashes)):
            path, holds = tile_file(log, level, index, width)
            content = path.read_bytes()
            expected = b"".join(hashes[index * 256:index * 256 + width])
            if len(content) != holds * 32 or content[:width * 32] != expected:
                sys.exit(f"{path} is not what the entries say")
        hashes = [root(hashes[i:i + 256]) for i in range(0, len(hashes) - 255, 256)]
        level += 1


def verify_signature(key, message, signature):
    der = bytes.fromhex("302a300506032b6570032100") + key  # SubjectPublicKeyInfo of Ed25519
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        (directory / "key").write_bytes(der)
        (directory / "message").write_bytes(message)
        (directory / "signature").write_bytes(signature)
        return subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", directory / "key",
             "-rawin", "-in", directory / "message", "-sigfile", directory / "signature"],
            capture_output=True, check=False).returncode == 0


def decode(text):
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        sys.exit("base64 in another spelling")
    return data


def read_checkpoint(path, vkey):
    name, key_hash, key_data = vkey.split("+", 2)
    key = decode(key_data)
    if hashlib.sha256(name.encode() + b"\n" + key).digest()[:4].hex() != key_hash or key[0] != 1:
        sys.exit("the public key does not fit its hash")
    note = re.fullmatch(r"(([^\n]+)\n(0|[1-9][0-9]*)\n([^\n]+)\n)\n((?:— [^\s+]+ [^ \n]+\n)+)",
                        path.read_bytes().decode())
    if not note or note[2] != name:
        sys.exit("not this log's checkpoint")
    lines = [line.split(" ") for line in note[5].splitlines()]
    mine = [decode(line[2]) for line in lines if line[1] == name and decode(line[2])[:4].hex() == key_hash]
    if len(mine) != 1 or not verify_signature(key[1:], note[1].encode(), mine[0][4:]):
        sys.exit("openssl: the signature does not verify")
    return int(note[3]), decode(note[4])


def main():
    log = pathlib.Path(sys.argv[1])
    vkey = pathlib.Path(sys.argv[2]).read_text().splitlines()[0]
    size, signed_root = read_checkpoint(log / "checkpoint", vkey)
    if size == 0:
        sys.exit("an empty log is never signed")
    entries = list(read_entries(log, size))
    for index, entry in enumerate(entries):
        if json.loads(entry)["seq"] != index:
            sys.exit(f"entry {index} has another seq")
    hashes = [hashlib.sha256(b"\x00" + entry).digest() for entry in entries]
    if root(hashes) != signed_root:
        sys.exit(f"the root of {size} entries is {root(hashes).hex()}, not what was signed")
    verify_hash_tiles(log, hashes)
    if len(sys.argv) > 3:
        old_size, old_root = read_checkpoint(pathlib.Path(sys.argv[3]), vkey)
        if old_size > size or root(hashes[:old_size]) != old_root:
            sys.exit("the log does not continue the older checkpoint")
    print(f"{size} {signed_root.hex()}")


main()
