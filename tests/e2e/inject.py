# SPDX-License-Identifier: ISC
"""System calls made from inside of running, sandboxed processes.

A Puppet is a process that is held by ptrace(2), as a debugger holds it; each
call() sets its registers to a system call, lets it make that one instruction,
and looks at what came of it.  The process is the one that runs in production:
its filter, its users, its descriptors.  When it is let go it goes on as if
nothing had happened, unless it was killed.

Also here: what is needed to write packets for the pipes between the
processes: msgpack, and the table of messages.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import platform
import re
import signal
import socket
import struct
import time
from pathlib import Path

from base import POLL_S, ROOT, TIMEOUT_S

# The descriptors of every child (common/role.h).
FD_LOG = 2
FD_SUPERVISOR = 3
FD_OF = {
    "authd": {"supervisor": 3, "engine": 4, "dialer": 5},
    "dialer": {"supervisor": 3, "engine": 4, "authd": 5},
    "engine": {"supervisor": 3, "authd": 4, "dialer": 5},
}

# Of x86-64.
NR = {name: number for number, name in (
    (0, "read"), (1, "write"), (2, "open"), (3, "close"), (9, "mmap"),
    (10, "mprotect"), (11, "munmap"), (22, "pipe"), (29, "shmget"),
    (41, "socket"), (42, "connect"), (43, "accept"), (45, "recvfrom"),
    (46, "sendmsg"), (47, "recvmsg"), (48, "shutdown"), (49, "bind"),
    (50, "listen"), (53, "socketpair"), (54, "setsockopt"), (56, "clone"),
    (57, "fork"), (58, "vfork"), (59, "execve"), (62, "kill"), (83, "mkdir"),
    (87, "unlink"), (101, "ptrace"), (105, "setuid"), (155, "pivot_root"),
    (157, "prctl"), (160, "setrlimit"), (161, "chroot"), (165, "mount"),
    (175, "init_module"), (200, "tkill"), (234, "tgkill"), (248, "add_key"),
    (250, "keyctl"), (257, "openat"), (272, "unshare"), (293, "pipe2"),
    (298, "perf_event_open"), (302, "prlimit64"), (308, "setns"),
    (310, "process_vm_readv"), (311, "process_vm_writev"),
    (319, "memfd_create"), (321, "bpf"), (322, "execveat"),
    (323, "userfaultfd"), (424, "pidfd_send_signal"),
    (425, "io_uring_setup"), (434, "pidfd_open"), (435, "clone3"),
    (437, "openat2"), (438, "pidfd_getfd"), (444, "landlock_create_ruleset"))}
X32_BIT = 0x40000000

PTRACE_SINGLESTEP = 9
PTRACE_GETREGS = 12
PTRACE_SETREGS = 13
PTRACE_DETACH = 17
PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
EVENT_STOP = 128
WALL = 0x40000000
AT_FDCWD = -100

SYSCALL = b"\x0f\x05"
INT80 = b"\xcd\x80"
# Room for packets and structures inside the process.
SCRATCH = 4 << 20
U64 = (1 << 64) - 1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p,
                         ctypes.c_void_p]


def cannot():
    """Why nothing can be injected here, or None."""
    if platform.machine() != "x86_64":
        return "system calls are injected on x86-64 alone"
    if os.geteuid() != 0:
        return "only root can attach to processes that are not dumpable"
    return None


class Ended(Exception):
    """The process died while it was held."""

    def __init__(self, sig, code):
        super().__init__(signal.Signals(sig).name if sig else f"exit {code}")
        self.signal = sig
        self.code = code


class _Regs(ctypes.Structure):
    """struct user_regs_struct."""

    _fields_ = [(name, ctypes.c_uint64) for name in (
        "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax "
        "rip cs eflags rsp ss fs_base gs_base ds es fs gs").split()]


class Puppet:
    """A process that is held, and does what it is told.

    Its methods raise Ended when it died of what it was told, or otherwise.
    Arguments of call() that are bytes or str are copied into the process.
    """

    def __init__(self, pid):
        self.pid = pid
        self.ended = None
        self._signals = []      # that came while it was held
        self._saved = None
        self._mem = None
        self._scratch = self._used = 0

    def __enter__(self):
        self._ptrace(PTRACE_SEIZE)
        # pylint: disable=consider-using-with
        self._mem = open(f"/proc/{self.pid}/mem", "r+b", buffering=0)
        try:
            self._ptrace(PTRACE_INTERRUPT)
            while self._wait() != EVENT_STOP:
                pass
            self._saved = self._get_regs()
            self._gadget = self._find(SYSCALL)
            self._scratch = self.call("mmap", 0, SCRATCH, 3, 0x22, -1, 0)
            if self._scratch < 0:
                raise OSError(-self._scratch, "no room inside the process")
        except BaseException:
            self._let_go()
            raise
        return self

    def __exit__(self, *_exception):
        self.release()

    def release(self):
        """Let it go on, before the end of the `with`."""
        if self.ended is None and self._scratch > 0:
            with contextlib.suppress(Ended):
                self.call("munmap", self._scratch, SCRATCH)
        self._scratch = 0
        self._let_go()

    def _let_go(self):
        if self._mem is None:
            return
        self._mem.close()
        self._mem = None
        with contextlib.suppress(Ended, OSError):
            if self.ended is None and self._saved:
                self._set_regs(self._saved)
            self._ptrace(PTRACE_DETACH)
        if self.ended is None:
            for sig in self._signals:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, sig)

    # ptrace.

    def _ptrace(self, request, data=None):
        if self.ended:
            raise self.ended
        if _libc.ptrace(request, self.pid, None, data) != -1:
            return
        error = ctypes.get_errno()
        if error == errno.ESRCH and request != PTRACE_SEIZE:
            while True:     # it was killed: hear of what
                self._wait()
        raise OSError(error, f"ptrace {request:#x}: {os.strerror(error)}")

    def _get_regs(self):
        regs = _Regs()
        self._ptrace(PTRACE_GETREGS, ctypes.byref(regs))
        return regs

    def _set_regs(self, regs):
        self._ptrace(PTRACE_SETREGS, ctypes.byref(regs))

    def _wait(self):
        """Wait for the next stop: EVENT_STOP, or a signal's number."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            pid, status = os.waitpid(self.pid, WALL | os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {TIMEOUT_S} s for {self.pid}")
            time.sleep(0.0002)
        if os.WIFSTOPPED(status):
            return status >> 16 or os.WSTOPSIG(status)
        sig = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        self.ended = Ended(sig, os.waitstatus_to_exitcode(status))
        raise self.ended

    def _step(self, regs, length):
        """Run the instruction at rip; the registers afterwards."""
        start = regs.rip
        self._set_regs(regs)
        while True:
            self._ptrace(PTRACE_SINGLESTEP)
            stop = self._wait()
            if stop not in (signal.SIGTRAP, EVENT_STOP):
                self._signals.append(stop)
            after = self._get_regs()
            if stop == signal.SIGTRAP and after.rip == start + length:
                return after

    # Memory.

    def _find(self, code):
        """Where these bytes stand in memory that can be executed."""
        for start, end, perms, name in maps(self.pid):
            if "x" in perms and name != "[vsyscall]":
                at = self.peek(start, end - start).find(code)
                if at != -1:
                    return start + at
        raise LookupError(f"no {code.hex()} in the process's code")

    def peek(self, address, length):
        self._mem.seek(address)
        return self._mem.read(length)

    def poke(self, address, data):
        self._mem.seek(address)
        self._mem.write(data)

    def put(self, data):
        """Copy bytes into the process; their address."""
        address = self._scratch + self._used
        self._used += (len(data) + 63) & ~63
        if self._used > SCRATCH:
            raise MemoryError("the room inside the process is used up")
        self.poke(address, data)
        return address

    # System calls.

    def _argument(self, value):
        if isinstance(value, str):
            value = value.encode() + b"\0"
        if isinstance(value, (bytes, bytearray)):
            value = self.put(value)
        return value & U64

    def _prepare(self, number, args, names):
        regs = _Regs.from_buffer_copy(self._saved)
        regs.rax = number & U64
        regs.orig_rax = U64     # nothing is to be restarted
        for name, value in zip(names.split(), args):
            setattr(regs, name, self._argument(value))
        return regs

    def call(self, name, *args):
        """Make a system call; its result, -errno when it failed."""
        number = NR[name] if isinstance(name, str) else name
        regs = self._prepare(number, args, "rdi rsi rdx r10 r8 r9")
        regs.rip = self._gadget
        return _signed(self._step(regs, len(SYSCALL)).rax)

    def call32(self, number, *args):
        """The same by the 32-bit interface; LookupError without its
        instruction anywhere."""
        regs = self._prepare(number, args, "rbx rcx rdx rsi rdi rbp")
        regs.rip = self._find(INT80)
        return _signed(self._step(regs, len(INT80)).rax)

    # What they are used for.

    def openat(self, path, flags=os.O_RDONLY, mode=0o600, directory=AT_FDCWD):
        return self.call("openat", directory, path, flags, mode)

    def write(self, fd, data):
        return self.call("write", fd, bytes(data), len(data))

    def sendmsg(self, fd, data, fds=()):
        """Send a packet with descriptors of the process."""
        control = b""
        if fds:
            control = struct.pack(f"@Qii{len(fds)}i", 16 + 4 * len(fds),
                                  socket.SOL_SOCKET, socket.SCM_RIGHTS, *fds)
        iov = self.put(struct.pack("@QQ", self.put(bytes(data)), len(data)))
        head = struct.pack("@QIxxxxQQQQi4x", 0, 0, iov, 1,
                           self.put(control) if control else 0, len(control),
                           0)
        return self.call("sendmsg", fd, head, socket.MSG_NOSIGNAL)

    def recvmsg(self, fd, timeout=TIMEOUT_S):
        """The next packet on a pipe and the descriptors with it."""
        room = self.put(bytes(1 << 16))
        control = self.put(bytes(256))
        iov = self.put(struct.pack("@QQ", room, 1 << 16))
        head = self.put(bytes(56))
        deadline = time.monotonic() + timeout
        while True:
            self.poke(head, struct.pack("@QIxxxxQQQQi4x", 0, 0, iov, 1,
                                        control, 256, 0))
            got = self.call("recvmsg", fd, head, socket.MSG_DONTWAIT)
            if got != -errno.EAGAIN:
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {timeout} s for a packet")
            time.sleep(POLL_S)
        if got < 0:
            raise OSError(-got, os.strerror(-got))
        fds = []
        if struct.unpack("@Q", self.peek(head + 40, 8))[0] > 0:
            length = struct.unpack("@Q", self.peek(control, 8))[0] - 16
            fds = list(struct.unpack(f"@{length // 4}i",
                                     self.peek(control + 16, length)))
        return self.peek(room, got), fds

    def show(self, address, length):
        """Memory as the process itself sees it.

        For what ptrace and /proc/PID/mem cannot read: the process writes it
        into a pipe.
        """
        ends = self.put(bytes(8))
        assert self.call("pipe2", ends, 0) == 0
        rd, wr = struct.unpack("@ii", self.peek(ends, 8))
        out = bytearray()
        with open(f"/proc/{self.pid}/fd/{rd}", "rb", buffering=0) as pipe:
            fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_NONBLOCK)
            while len(out) < length:
                part = min(length - len(out), 1 << 15)
                got = self.call("write", wr, address + len(out), part)
                if got <= 0:
                    raise OSError(-got, os.strerror(-got))
                out += pipe.read(got)
        self.call("close", rd)
        self.call("close", wr)
        return bytes(out)


def _signed(value):
    return value - (1 << 64) if value >> 63 else value


# Memory.

# How the mappings of memfd_secret(2) are called, and of what stands in for it
# (common/secmem.c).
SECRETMEM = "/secretmem (deleted)"
LOCKEDMEM = "/memfd:secret (deleted)"


def maps(pid):
    """(start, end, permissions, name) of every mapping."""
    found = []
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        where, perms, _offset, _device, _inode, *name = line.split(None, 5)
        start, end = (int(x, 16) for x in where.split("-"))
        found.append((start, end, perms, name[0] if name else ""))
    return found


# Packets.

class Raw(bytes):
    """Bytes that pack() leaves as they are."""


def pack(value):
    """msgpack, each thing in its shortest form."""
    if isinstance(value, Raw):
        return bytes(value)
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return _pack_int(value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        value = value.encode()
        return _head(len(value), 0xa0, 32, (0xd9, 0xda, 0xdb)) + value
    if isinstance(value, bytes):
        return _head(len(value), None, 0, (0xc4, 0xc5, 0xc6)) + value
    if isinstance(value, dict):
        return bytes([0x80 | len(value)]) + b"".join(
            pack(k) + pack(v) for k, v in value.items())
    assert len(value) < 16
    return bytes([0x90 | len(value)]) + b"".join(map(pack, value))


def _pack_int(value):
    if value < 0:
        return struct.pack(">b", value) if value >= -32 \
            else b"\xd3" + struct.pack(">q", value)
    if value < 0x80:
        return bytes([value])
    for code, form, limit in ((0xcc, ">B", 1 << 8), (0xcd, ">H", 1 << 16),
                              (0xce, ">I", 1 << 32), (0xcf, ">Q", 1 << 64)):
        if value < limit:
            return bytes([code]) + struct.pack(form, value)
    raise OverflowError(value)


def _head(length, fix, below, codes):
    if length < below:
        return bytes([fix | length])
    for code, form, limit in zip(codes, (">B", ">H", ">I"),
                                 (1 << 8, 1 << 16, 1 << 32)):
        if length < limit:
            return bytes([code]) + struct.pack(form, length)
    raise OverflowError(length)


def unpack(data):
    """The value of a packet as our processes write it: one array of numbers
    and texts."""
    assert data[0] & 0xf0 == 0x90, data.hex()
    at, out = 1, []
    for _ in range(data[0] & 0x0f):
        code, at = data[at], at + 1
        if code < 0x80:
            out.append(code)
            continue
        size = {0xcc: 1, 0xcd: 2, 0xce: 4, 0xcf: 8, 0xd9: 1, 0xda: 2,
                0xdb: 4}.get(code, 0)
        number = int.from_bytes(data[at:at + size], "big")
        at += size
        if 0xcc <= code <= 0xcf:
            out.append(number)
            continue
        length = number if size else code & 0x1f
        out.append(data[at:at + length].decode())
        at += length
    assert at == len(data), data.hex()
    return out


class Message:
    """One row of common/msg.def."""

    def __init__(self, name, number, senders, receivers, has_fd, fields):
        self.name = name
        self.number = number
        self.senders = senders
        self.receivers = receivers
        self.has_fd = has_fd        # "FD_NONE", "FD_MAY" or "FD_MUST"
        self.fields = fields        # "U" or "S" each

    def plain(self):
        """Its smallest packet: zeros and empty texts."""
        return [self.number, 0, *[0 if kind == "U" else ""
                                  for kind in self.fields]]


def _roles(text):
    name = text.split("_")[1].lower()
    return {"sup": ("supervisor",),
            "child": ("authd", "dialer", "engine")}.get(name, (name,))


def _load_messages():
    text = (ROOT / "common" / "msg.def").read_text()
    fields = {}
    for name, body in re.findall(r"#define MSG_FIELDS_(\w+)\(U, S\) (.*)",
                                 text.replace("\\\n", " ")):
        # GW is a U.
        fields[name] = ["S" if kind == "S" else "U" for kind in
                        re.findall(r"\b(U|S|GW)\(", body)]
    found = {}
    for name, number, sender, receiver, has_fd in re.findall(
            r"X\((\w+), \w+, (\d+), (\w+), (\w+), (\w+),", text):
        found[name] = Message(name, int(number), _roles(sender),
                              _roles(receiver), has_fd, fields[name])
    return found


MESSAGES = _load_messages()


def packet(name, *fields, corr=0):
    """A packet by its message's name."""
    return pack([MESSAGES[name].number, corr, *fields])


def answered(engine):
    """What relay-authd answers the engine, and not what it tells of its own
    accord; its values."""
    while True:
        data, _ = engine.recvmsg(FD_OF["engine"]["authd"])
        fields = unpack(data)
        if fields[0] not in (MESSAGES["CREDENTIAL"].number,
                             MESSAGES["STANDING"].number):
            return fields
