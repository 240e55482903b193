# SPDX-License-Identifier: ISC
"""What the harness is built on: places, deadlines, processes, YAML.

    RELAYD_BUILD      where the programs are (default build/release)

Every wait has a deadline; TIMEOUT_S is what a loaded machine may need, not
what anything is expected to take.
"""

import json
import os
import re
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = (ROOT / os.environ.get("RELAYD_BUILD", "build/release")).resolve()
PROGRAMS = ("relayd", "relay-authd", "relay-xchg", "relay-ctl")
ROLES = ("supervisor", "authd", "dialer", "engine")
SANITIZED = "asan" in BUILD.name

TIMEOUT_S = 40 if SANITIZED else 20
# DESIGN §1 allows a stop 5 s; the rest is for the machine.
STOP_TIMEOUT_S = 5 + TIMEOUT_S / 2
POLL_S = 0.01
# What a sanitizer says when it has found something.
SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:")


def until(predicate, what, timeout=TIMEOUT_S):
    """Poll for the first true value of predicate(); TimeoutError names what.

    `what` may be a function, so that the message can tell the last state.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            text = what() if callable(what) else what
            raise TimeoutError(f"waited {timeout} s for {text}")
        time.sleep(POLL_S)


def to_yaml(value, indent=0):
    """Block YAML of dicts, lists and scalars; one key per line."""
    pad = "  " * indent
    if isinstance(value, dict) and value:
        return "".join(
            f"{pad}{key}:\n{to_yaml(item, indent + 1)}"
            if isinstance(item, (dict, list)) and item
            else f"{pad}{key}: {json.dumps(item)}\n"
            for key, item in value.items())
    if isinstance(value, list) and value:
        return "".join(f"{pad}- {json.dumps(item)}\n" for item in value)
    return f"{pad}{json.dumps(value)}\n"


def merge(base, more):
    """`base` with the values of `more` put over it, depth first."""
    merged = dict(base)
    for key, value in more.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def read_stat(pid):
    """Of /proc/PID/stat: state, ppid, start; None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return {"state": fields[0], "ppid": int(fields[1]), "start": fields[19]}


def describe(pid):
    """A pid with its title, for messages."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return f"{pid} (gone)"
    return f"{pid} {b' '.join(words).decode(errors='replace').strip()}"
