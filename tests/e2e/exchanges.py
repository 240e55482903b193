# SPDX-License-Identifier: ISC
"""The short-lived processes that speak HTTP, as tests find and watch them."""

import os
import threading
import time
from pathlib import Path

from base import POLL_S, until

TITLE, PROGRAM = "relayd: exchange", "relay-xchg"


def find(relayd):
    """The pids of the exchanges there are now."""
    try:
        children = Path(f"/proc/{relayd.pid}/task/{relayd.pid}/children"
                        ).read_text().split()
    except OSError:
        return []
    return [int(pid) for pid in children if _is_one(int(pid))]


def _is_one(pid):
    """By its title, or before it has one by its program."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
        return title == TITLE.encode() or os.path.basename(
            os.readlink(f"/proc/{pid}/exe")) == PROGRAM
    except OSError:
        return False


def wait_one(relayd):
    """The pid of one that runs."""
    return until(lambda: find(relayd), "an exchange")[0]


def wait_none(relayd):
    until(lambda: not find(relayd), lambda: "the end of the exchanges "
          f"{find(relayd)}")


class Watch(threading.Thread):
    """Samples every exchange of a daemon; a context manager.

    seen   pid: the most memory it was seen to have, in KiB
    """

    def __init__(self, relayd):
        super().__init__(daemon=True)
        self.relayd = relayd
        self.seen = {}
        self._over = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_exception):
        self._over.set()
        self.join()

    def run(self):
        while not self._over.is_set():
            for pid in find(self.relayd):
                peak = peak_kib(pid)
                if peak:
                    self.seen[pid] = max(peak, self.seen.get(pid, 0))
            time.sleep(POLL_S / 4)


def peak_kib(pid):
    """The most memory a process has had; None when it is gone."""
    return _field(pid, "VmHWM")


def now_kib(pid):
    return _field(pid, "VmRSS")


def _field(pid, name):
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
    except OSError:
        pass
    return None


def descriptors(pid):
    """fd: what it is."""
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[int(entry.name)] = os.readlink(entry)
        except OSError:
            pass
    return found


def internet_sockets(pid):
    """Which of a process's descriptors are TCP sockets."""
    inodes = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            inodes.add(f"socket:[{line.split()[9]}]")
    return [fd for fd, what in descriptors(pid).items() if what in inodes]
