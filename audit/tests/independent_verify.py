#!/usr/bin/env python3
"""Checks an audit log with nothing of ours: Python's standard library and the openssl command.

usage: independent_verify.py LOG_DIR VKEY_FILE [OLDER_CHECKPOINT]

Reads the entry bundles (C2SP tlog-tiles), recomputes the RFC 6962 root and every hash tile that the checkpoint
needs, follows the seals from epoch to epoch, and verifies the checkpoint's Ed25519 signatures (C2SP signed-note) with
the log's key and that of its epoch. With an older checkpoint: the log must be its continuation. VKEY_FILE may hold any
key that the log has had. Prints the size and the root; exit status 1 if anything differs.
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
        if not path.exists():
            yield from [None] * width
            continue
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


def pruned_hashes(log, entries):
    """The leaf hashes of the entries that are not there: only the oldest, and only as the log permits it."""
    pruned = next((index for index, entry in enumerate(entries) if entry is not None), len(entries))
    if None in entries[pruned:]:
        sys.exit("entry bundles are missing")
    permits = [json.loads(entry) for entry in entries[pruned:] if b'"event":"log.prune"' in entry]
    if pruned and not any(permit["event"] == "log.prune" and permit["actor"]["process"] == "auditd" and
                          int(permit["fields"]["minimum_index"]) >= pruned for permit in permits):
        sys.exit(f"the entries before {pruned} are missing, and no entry permits to prune them")
    hashes = []
    for index, width in tiles_of(pruned):
        content = tile_file(log, 0, index, width)[0].read_bytes()
        hashes += [content[i * 32:i * 32 + 32] for i in range(width)]
    return hashes


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


def open_note(text, what):
    """The body, and the signature lines as (name, key hash, signature)."""
    note = re.fullmatch(r"((?:[^\n]+\n)+)\n((?:— [^\s+]+ [^ \n]+\n)+)", text)
    if not note:
        sys.exit(f"{what} is no signed note")
    lines = [line.split(" ") for line in note[2].splitlines()]
    return note[1], [(line[1], decode(line[2])[:4].hex(), decode(line[2])[4:]) for line in lines]


def has_signed(note, vkey):
    """Whether this key has, exactly once."""
    name, key_hash, key_data = vkey.split("+", 2)
    key = decode(key_data)
    if hashlib.sha256(name.encode() + b"\n" + key).digest()[:4].hex() != key_hash or key[0] != 1:
        sys.exit("a public key does not fit its hash")
    body, lines = note
    mine = [signature for line_name, line_hash, signature in lines if (line_name, line_hash) == (name, key_hash)]
    return len(mine) == 1 and verify_signature(key[1:], body.encode(), mine[0])


def demand(note, vkey, what):
    if not has_signed(note, vkey):
        sys.exit(f"openssl: {what} is not signed by {vkey.split('+')[0]}")


def read_checkpoint(path):
    note = open_note(path.read_bytes().decode(), path)
    body = re.fullmatch(r"([^\n]+)\n(0|[1-9][0-9]*)\n([^\n]+)\n", note[0])
    if not body:
        sys.exit(f"{path} is no checkpoint")
    return note, body[1], int(body[2]), decode(body[3])


def read_seals(origin, vkey, entries, hashes):
    """The keys of each epoch as (index of its seal, log's key, epoch's key), each signed with those before, and
    whether the given key of the log was one of them. Behind what was pruned, the first one that is there counts as the
    beginning: the log's key that it names signed it, and perhaps the one before."""
    chain = []
    first_number = 0
    is_ours = False
    for index, entry in enumerate(entries):
        if entry is None:
            continue
        entry = json.loads(entry)
        if entry["event"] != "epoch.seal":
            if index == 0:
                sys.exit("the log does not begin with the seal of epoch 0")
            continue
        what = f"the seal in entry {index}"
        note = open_note(entry["fields"]["note"], what)
        title, log, epoch, size, sealed_root, _, epoch_key, log_key = note[0].split("\n")[:-1]
        empty = hashlib.sha256(b"").digest()
        if not chain and entries[0] is None:
            first_number = int(epoch)
            is_ours = has_signed(note, vkey)
        if title != "oqto-audit-seal/v1" or log != origin or epoch != str(first_number + len(chain)) or \
                size != str(index) or decode(sealed_root) != (root(hashes[:index]) if index else empty) or \
                epoch_key.split("+")[0] != f"{origin}/epoch/{epoch}" or log_key.split("+")[0] != origin:
            sys.exit(f"{what} is not that of this place")
        for key in chain[-1][1:] if chain else ():
            demand(note, key, what)
        if not chain or log_key != chain[-1][1]:
            demand(note, log_key, what)
        chain.append((index, log_key, epoch_key))
    return chain, is_ours or vkey in [keys[1] for keys in chain]


def main():
    log = pathlib.Path(sys.argv[1])
    vkey, first_epoch = (pathlib.Path(sys.argv[2]).read_text().splitlines() + [None])[:2]
    note, origin, size, signed_root = read_checkpoint(log / "checkpoint")
    if origin != vkey.split("+")[0] or not 0 < size < 1 << 40:
        sys.exit("not this log's checkpoint")
    entries = list(read_entries(log, size))
    for index, entry in enumerate(entries):
        if entry is not None and json.loads(entry)["seq"] != index:
            sys.exit(f"entry {index} has another seq")
    hashes = pruned_hashes(log, entries)
    hashes += [hashlib.sha256(b"\x00" + entry).digest() for entry in entries[len(hashes):]]
    if root(hashes) != signed_root:
        sys.exit(f"the root of {size} entries is {root(hashes).hex()}, not what was signed")
    verify_hash_tiles(log, hashes)
    chain, is_ours = read_seals(origin, vkey, entries, hashes)
    if not chain:  # the epoch began in what was pruned
        demand(note, vkey, "the checkpoint")
        chain = [(0, vkey)]
    elif not is_ours:
        sys.exit("the log never had this key")
    if entries[0] is not None and first_epoch not in (None, chain[0][2]):
        sys.exit("epoch 0 had another key: a history of its own")
    for key in chain[-1][1:]:
        demand(note, key, "the checkpoint")
    if len(sys.argv) > 3:
        old_note, _, old_size, old_root = read_checkpoint(pathlib.Path(sys.argv[3]))
        if not 0 < old_size <= size or root(hashes[:old_size]) != old_root:
            sys.exit("the log does not continue the older checkpoint")
        of_epoch = [keys for keys in chain if keys[0] < old_size]
        if not of_epoch and not has_signed(old_note, vkey):  # of an epoch that began in what was pruned
            of_epoch = [(0, chain[0][1])]
        for key in of_epoch[-1][1:] if of_epoch else ():
            demand(old_note, key, "the older checkpoint")
    print(f"{size} {signed_root.hex()}")


main()
