#!/usr/bin/env python3
"""Reads what `oqto-audit export` wrote with parsers of its own and compares the three formats.

usage: check_exports.py LOG_DIR JSONL OCSF CEF

JSONL must be the entries of the bundles, byte by byte. OCSF and CEF must say the same as the entries, text for
text, once their own escapes are undone; whether OCSF is valid, check_ocsf.py says. Prints the number of entries; exit status 1 if anything differs.
"""
import hashlib
import json
import pathlib
import re
import sys

def check(condition, *what):
    if not condition:
        sys.exit("exports differ: " + " ".join(str(part) for part in what))


def bundle_entries(log):
    entries = []
    tiles = {}
    for path in (log / "tile" / "entries").rglob("*"):
        name = str(path.relative_to(log / "tile" / "entries"))
        if not path.is_file():
            continue
        full, _, width = name.partition(".p/")
        index = int(full.replace("x", "").replace("/", ""))
        if int(width or 256) > tiles.get(index, (0, None))[0]:
            tiles[index] = (int(width or 256), path)
    for index in sorted(tiles):
        data = tiles[index][1].read_bytes()
        while data:
            length = int.from_bytes(data[:2], "big")
            entries.append(data[2:2 + length])
            data = data[2 + length:]
    return entries


def split_cef(line):
    """ArcSight CEF: seven header fields divided by |, then key=value with spaces between."""
    header, at = [], 0
    for _ in range(7):
        field = ""
        while line[at] != "|":
            if line[at] == "\\":
                check(line[at + 1] in "\\|", "an escape in a header:", line)
                at += 1
            field += line[at]
            at += 1
        header.append(field)
        at += 1
    extension = {}
    for match in re.finditer(r"(\w+)=((?:[^\\=]|\\.)*)(?= \w+=|$)", line[at:]):
        check(match.group(1) not in extension, "a key twice:", match.group(1))
        extension[match.group(1)] = re.sub(r"\\(.)", r"\1", match.group(2))
    return header, extension



def main():
    log = pathlib.Path(sys.argv[1])
    entries = bundle_entries(log)
    jsonl, ocsf, cef = (pathlib.Path(path).read_bytes().split(b"\n") for path in sys.argv[2:5])
    for lines in (jsonl, ocsf, cef):
        check(lines.pop() == b"", "the last line has no end")
        check(len(lines) == len(entries), "lines:", len(lines), "entries:", len(entries))
    for index, entry in enumerate(entries):
        check(jsonl[index] == entry, "JSONL of entry", index)
        value = json.loads(entry)

        event = json.loads(ocsf[index])
        check(event["raw_data"].encode() == entry, "raw_data of", index)
        check(event["raw_data_hash"]["value"] == hashlib.sha256(entry).hexdigest(), "raw_data_hash of", index)
        check(event["unmapped"]["fields"] == value["fields"], "OCSF fields of", index)
        check(event["metadata"]["sequence"] == index, "sequence of", index)
        check(event["time"] == value["time"], "time of", index)

        line = cef[index].decode("ascii", "strict") if cef[index].isascii() else cef[index].decode()
        header, extension = split_cef(line)
        check(header[:3] == ["CEF:0", "Oqto", "Oqto"], "CEF header of", index)
        check(header[4] == value["event"], "CEF event of", index)
        check(json.loads(extension["cs3"]) == value["fields"], "CEF fields of", index)
        check(extension["cs4"] == hashlib.sha256(b"\0" + entry).hexdigest(), "CEF leaf hash of", index)
        check(extension["externalId"] == str(index), "CEF index of", index)
        check(extension.get("suser", "") == value["actor"].get("username", ""), "CEF user of", index)
        check(extension["outcome"] == value["outcome"], "CEF outcome of", index)
    print(len(entries))


main()
