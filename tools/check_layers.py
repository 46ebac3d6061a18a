#!/usr/bin/env python3
"""The folders' one-way rule: who may include whom. A process never includes another process."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
below = {"base": set(), "ipc": {"base"}, "policies": {"base", "ipc"},
         "sandbox": {"base", "ipc", "policies"}, "protocol": {"base"}}
common = {"base", "ipc", "policies", "sandbox"}
below["egress"] = common
below["mux"] = {"base", "ipc"}
below["sqlite"] = {"base"}
below["storage"] = {"base", "ipc"}
processes = {"guard": common | {"storage"}, "relay": common, "accounts": common, "gateway": common | {"egress"}, "audit": common,
             "hstry": common | {"sqlite"}, "cli": {"base", "ipc"}, "sandbox_cli": common,
             "runner": common | {"mux", "protocol"},
             # It reads the log with the same code as oqto-audit.
             "auditor": common | {"mux", "protocol", "sqlite", "audit"}}
# Only these may see the libraries that parse what strangers send.
library_users = {"openssl/ssl.h": {"relay", "gateway"}, "boost/beast": {"audit", "mux", "runner", "gateway"},
                 "nlohmann/": {"accounts", "cli", "gateway", "protocol", "runner", "audit"},
                 "toml++": {"gateway", "sandbox"}, "grpc": {"hstry", "runner"}}
max_lines = 400

problems = []
for folder, allowed in {**below, **processes}.items():
    for path in sorted((root / folder).rglob("*")):
        if path.suffix not in {".h", ".cc"}:
            continue
        text = path.read_text()
        lines = text.count("\n")
        if lines > max_lines:
            problems.append(f"{path.relative_to(root)}: {lines} lines, at most {max_lines}")
        for included in re.findall(r'^#include "([^"]+)"', text, re.M):
            target = included.split("/")[0]
            if "/" in included and target in {*below, *processes} and target != folder and target not in allowed:
                problems.append(f"{path.relative_to(root)}: {folder} must not include {included}")
        for included in re.findall(r"^#include <([^>]+)>", text, re.M):
            for library, users in library_users.items():
                if included.startswith(library) and folder not in users:
                    problems.append(f"{path.relative_to(root)}: {folder} must not see <{included}>")
print("\n".join(problems) or "layers: in order")
sys.exit(1 if problems else 0)
