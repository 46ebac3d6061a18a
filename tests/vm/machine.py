"""What the tests in the virtual machine share: commands, waiting, and the list of tests."""
import subprocess
import time

tests = []


def test(words):
    return lambda body: tests.append((words, body)) or body


def sh(command, check=True, seconds=120):
    done = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds)
    assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}"
    return done.stdout


def eventually(what, probe, seconds=30):
    end = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        assert time.monotonic() < end, f"waited {seconds} s in vain for: {what}"
        time.sleep(0.1)
