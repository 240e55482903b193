# SPDX-License-Identifier: ISC
"""A process run from one system call to the next, to be killed at any."""

import contextlib
import ctypes
import errno
import os
import signal
import threading
import time

import inject
from base import TIMEOUT_S

PTRACE_SYSCALL = 24
PTRACE_SETOPTIONS = 0x4200
SYSGOOD = 1
# Of x86-64: what puts something on a disk, or takes it away.
DISK = {1: "write", 20: "writev", 74: "fsync", 75: "fdatasync", 76:
        "truncate", 77: "ftruncate", 82: "rename", 87: "unlink", 257:
        "openat", 263: "unlinkat", 264: "renameat", 316: "renameat2",
        86: "link", 3: "close", 91: "fchmod"}


class Stepper(threading.Thread):
    """Kills a process just before its n-th call of DISK on a file of a
    directory; `calls` are the names of those it saw.

    ptrace belongs to a thread, so it is one.  start() returns when the
    process is held; finish() when it is dead or let go.
    """

    def __init__(self, pid, directory, kill_at):
        super().__init__(daemon=True)
        self.pid, self.directory = pid, str(directory)
        self.kill_at = kill_at
        self.calls = []
        self.killed = False
        self.error = None
        self._held, self._over = threading.Event(), threading.Event()

    def hold(self):
        self.start()
        assert self._held.wait(TIMEOUT_S), "the process is not held"
        assert self.error is None, self.error
        return self

    def finish(self):
        self._over.set()
        self.join(TIMEOUT_S)
        assert self.error is None, self.error
        return self.killed

    def run(self):
        try:
            self._ptrace(inject.PTRACE_SEIZE, SYSGOOD)
            self._ptrace(inject.PTRACE_INTERRUPT)
            self._step()
        except ProcessLookupError:
            pass    # it died of something else: finish() says "not killed"
        except Exception as error:      # told by hold() and finish()
            self.error = error
        finally:
            self._held.set()

    def _step(self):
        entering = True
        while True:
            stop = self._wait()
            if stop is None:
                return
            sig = 0
            if stop == signal.SIGTRAP | 0x80:
                if entering and self._due():
                    os.kill(self.pid, signal.SIGKILL)
                    self.killed = True
                    return
                entering = not entering
            elif stop & 0xff != signal.SIGTRAP:
                sig = stop & 0xff
            self._held.set()
            self._ptrace(PTRACE_SYSCALL, sig)

    def _wait(self):
        """The next stop, or None when it has ended or is no longer wanted."""
        deadline = time.monotonic() + 3 * TIMEOUT_S
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, inject.WALL | os.WNOHANG)
            if pid and os.WIFSTOPPED(status):
                return status >> 8
            if pid:
                return None
            if self._over.is_set():
                self._let_go()
                return None
            time.sleep(0.0002)
        raise TimeoutError("the process went nowhere")

    def _let_go(self):
        with contextlib.suppress(OSError):
            self._ptrace(inject.PTRACE_INTERRUPT)
            os.waitpid(self.pid, inject.WALL)
            self._ptrace(inject.PTRACE_DETACH)

    def _due(self):
        """Whether this is the call to die at."""
        regs = inject._Regs()
        self._ptrace(inject.PTRACE_GETREGS, ctypes.byref(regs))
        name = DISK.get(regs.orig_rax)
        if name is None or not self._concerns(name, regs):
            return False
        self.calls.append(name)
        return len(self.calls) == self.kill_at

    def _concerns(self, name, regs):
        if name in ("openat", "rename", "unlink", "link", "renameat",
                    "renameat2", "unlinkat", "truncate"):
            return True
        try:
            path = os.readlink(f"/proc/{self.pid}/fd/{regs.rdi}")
        except OSError:
            return False
        return path.startswith(self.directory)

    def _ptrace(self, request, data=0):
        if inject._libc.ptrace(request, self.pid, None, data) == -1:
            error = ctypes.get_errno()
            if error == errno.ESRCH:
                raise ProcessLookupError(error, "it is gone")
            raise OSError(error, f"ptrace {request:#x}: {os.strerror(error)}")
