#!/usr/bin/env python3
"""Checks an audit log with nothing of ours: Python's standard library and the openssl command.

usage: independent_verify.py LOG_DIR VKEY_FILE

Reads the entry bundles (C2SP tlog-tiles), recomputes the RFC 6962 root, and verifies the checkpoint's
Ed25519 signature (C2SP signed-note). Prints the size and the root; exit status 1 if anything differs.
"""
import base64
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile


def tile_path(index):
    parts = []
    while True:
        parts.insert(0, f"{index % 1000:03d}")
        index //= 1000
        if index == 0:
            break
    return "/".join([f"x{part}" for part in parts[:-1]] + parts[-1:])


def read_entries(log, size):
    for index in range((size + 255) // 256):
        width = min(256, size - index * 256)
        path = log / "tile" / "entries" / tile_path(index)
        if width < 256 and not path.exists():
            path = pathlib.Path(f"{path}.p") / str(width)
        bundle = path.read_bytes()
        for _ in range(width):
            length = int.from_bytes(bundle[:2], "big")
            yield bundle[2:2 + length]
            bundle = bundle[2 + length:]


def root(hashes):
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return hashlib.sha256(b"\x01" + root(hashes[:split]) + root(hashes[split:])).digest()


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


def main():
    log = pathlib.Path(sys.argv[1])
    name, key_hash, key_data = pathlib.Path(sys.argv[2]).read_text().strip().split("+", 2)
    key = base64.b64decode(key_data, validate=True)
    if hashlib.sha256(name.encode() + b"\n" + key).digest()[:4].hex() != key_hash or key[0] != 1:
        sys.exit("the public key does not fit its hash")
    body, signatures = (log / "checkpoint").read_text().split("\n\n")
    body += "\n"
    origin, size, checkpoint_root = body.splitlines()
    mine = [line.split(" ")[2] for line in signatures.splitlines() if line.split(" ")[1] == name]
    signature = base64.b64decode(mine[0], validate=True)
    if origin != name or signature[:4].hex() != key_hash:
        sys.exit("not this log's checkpoint")
    if not verify_signature(key[1:], body.encode(), signature[4:]):
        sys.exit("openssl: the signature does not verify")
    entries = list(read_entries(log, int(size)))
    for index, entry in enumerate(entries):
        if json.loads(entry)["seq"] != index:
            sys.exit(f"entry {index} has another seq")
    computed = root([hashlib.sha256(b"\x00" + entry).digest() for entry in entries])
    if base64.b64encode(computed).decode() != checkpoint_root:
        sys.exit(f"the root of {size} entries is {computed.hex()}, not what was signed")
    print(f"{size} {computed.hex()}")


main()
