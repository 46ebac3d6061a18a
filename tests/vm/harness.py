#!/usr/bin/python3
"""Stands in for the harness: speaks its line protocol, and runs each prompt as a shell command. The
real one needs minutes of emulated processor time, and nothing here is about it."""
import json
import subprocess
import sys


def say(record):
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


def answer(command, data=None):
    say({"id": command.get("id"), "type": "response", "command": command["type"], "success": True,
         **({} if data is None else {"data": data})})


for line in sys.stdin:
    command = json.loads(line)
    kind = command["type"]
    if kind == "get_state":
        answer(command, {"model": {"id": "none", "provider": "none"}, "thinkingLevel": "off", "isStreaming": False})
    elif kind == "get_available_models":
        answer(command, {"models": []})
    elif kind == "prompt":
        answer(command, {"disposition": "started"})
        say({"type": "agent_start"})
        say({"type": "message_start", "message": {"role": "assistant", "content": [], "stopReason": "pending"}})
        done = subprocess.run(["/bin/bash", "-c", command["message"]], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        text = f"{done.stdout[-4000:]}\nexit status {done.returncode}"
        say({"type": "message_end", "message": {
            "role": "assistant", "content": [{"type": "text", "text": text}], "model": "none", "provider": "none",
            "stopReason": "stop", "timestamp": 1}})
        say({"type": "agent_end", "messages": [], "willRetry": False})
        say({"type": "agent_settled", "aborted": False})
    else:
        answer(command)
