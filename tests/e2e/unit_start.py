# SPDX-License-Identifier: ISC
"""Start a program as a service manager would: with sockets, in a unit's walls.

    python3 unit_start.py [--fd N]... [--unit FILE [--write DIR]...] -- PROGRAM

    --fd N        pass this descriptor, from 3 on in the order given, with
                  LISTEN_FDS and LISTEN_PID set
    --unit FILE   as root: do what its [Service] section says about
                  capabilities, file systems, system calls and limits
    --write DIR   what stays writable, beside what the unit leaves so

What a directive stands for is written down here once more, from systemd's
manuals; one that this file does not know is an error, so that none is thought
to be tried that is not.
"""

import argparse
import contextlib
import ctypes
import os
import resource
import subprocess
import sys
from pathlib import Path

# What begins the command that is started by this.
START = [sys.executable, "-B", str(Path(__file__).resolve())]
LIBC = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE = 32, 4096, 8192, 16384, 1 << 18
CLONE_NEWNS = 0x20000
NAMESPACES = 0x7e020080     # every CLONE_NEW*
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
CAPS = """CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID
SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW
IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT
SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM
BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE""".split()
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
# No part of the walls.
OUTSIDE = """Type NotifyAccess ExecStart ExecReload Restart RestartSec
RestartPreventExitStatus WatchdogSec KillMode TimeoutStopSec RuntimeDirectory
RuntimeDirectoryPreserve StateDirectory StateDirectoryMode
ConfigurationDirectory SystemCallErrorNumber""".split()
# Walls that no capability is left to climb, or that the rest implies.
IMPLIED = """DevicePolicy ProtectClock ProtectHostname ProtectKernelLogs
ProtectKernelModules RemoveIPC KeyringMode PrivateMounts""".split()


def parse(path):
    """The [Service] section: name: the list of its words."""
    found, section = {}, None
    for line in Path(path).read_text().splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line and line[0] not in "#;":
            name, _, value = line.partition("=")
            if name == "SystemCallFilter":
                found.setdefault(name, []).append(value)
            else:
                found.setdefault(name, []).extend(value.split())
    return found


def call(name, *args):
    if getattr(LIBC, name)(*args) == -1:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}{args}: {os.strerror(error)}")


def mount(what, where, kind, flags, data=None):
    call("mount", *(None if a is None else str(a).encode()
                    for a in (what, where, kind)), ctypes.c_ulong(flags),
         None if data is None else data.encode())


class Walls:
    """Each method raises what the directive of its name says."""

    def __init__(self, writable):
        self.writable = writable

    # File systems.

    def ProtectSystem(self, value):
        assert value == ["strict"]
        for path in self.writable:
            mount(path, path, None, MS_BIND | MS_REC)
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            words = line.split()
            where, flags = words[4].encode().decode("unicode_escape"), words[5]
            if where.split("/")[1] in ("dev", "proc", "sys") or \
                    any(Path(where) == Path(p) for p in self.writable):
                continue
            keep = sum(bit for bit, name in
                       ((MS_NOSUID, "nosuid"), (MS_NODEV, "nodev"),
                        (MS_NOEXEC, "noexec")) if name in flags.split(","))
            # One that another hides is out of reach anyhow.
            with contextlib.suppress(FileNotFoundError):
                mount(None, where, None,
                      MS_REMOUNT | MS_BIND | MS_RDONLY | keep)

    def ProtectHome(self, value):
        assert value == ["yes"]
        for path in ("/home", "/root", "/run/user"):
            if os.path.isdir(path):
                mount("tmpfs", path, "tmpfs", MS_RDONLY, "mode=000")

    def PrivateTmp(self, value):
        assert value == ["yes"]
        for path in ("/tmp", "/var/tmp"):
            mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")

    def PrivateDevices(self, value):
        assert value == ["yes"]
        mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID, "mode=755")
        for name in ("null", "zero", "full", "random", "urandom", "tty"):
            Path("/tmp", name).touch()
            mount(f"/dev/{name}", f"/tmp/{name}", None, MS_BIND)
        mount("/tmp", "/dev", None, MS_MOVE)

    def ProtectKernelTunables(self, value):
        assert value == ["yes"]
        for path in ("/proc/sys", "/sys"):
            if os.path.isdir(path):
                mount(path, path, None, MS_BIND | MS_REC)
                mount(None, path, None, MS_REMOUNT | MS_BIND | MS_RDONLY)

    ProtectControlGroups = ProtectKernelTunables

    def ProtectProc(self, value):
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              f"hidepid={value[0]},subset=pid")

    def ProcSubset(self, value):
        assert value == ["pid"]     # with ProtectProc=

    # Limits and privileges.

    def UMask(self, value):
        os.umask(int(value[0], 8))

    def limit(self, what, value):
        unit = {"K": 1024, "M": 1 << 20}.get(value[0][-1], 1)
        most = int(value[0].rstrip("KM")) * unit
        hard = resource.getrlimit(what)[1]
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        resource.setrlimit(what, (most, most))

    def LimitCORE(self, value):
        self.limit(resource.RLIMIT_CORE, value)

    def LimitNOFILE(self, value):
        self.limit(resource.RLIMIT_NOFILE, value)

    def LimitMEMLOCK(self, value):
        self.limit(resource.RLIMIT_MEMLOCK, value)

    def CapabilityBoundingSet(self, value):
        keep = {name.removeprefix("CAP_") for name in value}
        assert keep <= set(CAPS), keep
        for number, name in enumerate(CAPS):
            if name not in keep:
                call("prctl", PR_CAPBSET_DROP, number, 0, 0, 0)

    def NoNewPrivileges(self, value):
        assert value == ["yes"]
        call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


# System calls, by libseccomp.

class Compare(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int),
                ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


EQ, GREATER, MASKED = 4, 6, 7   # SCMP_CMP_EQ, _GT, _MASKED_EQ
FAMILY_LAST = 63
ALLOW, ERRNO = 0x7fff0000, 0x00050000
EPERM, EAFNOSUPPORT, ENOSYS = 1, 97, 38


def expand(words):
    """The calls that lines of SystemCallFilter= allow, in their order."""
    allowed = set()
    for line in words:
        names = line.lstrip("~").split()
        calls = set()
        for name in names:
            calls |= group(name) if name[0] == "@" else {name}
        allowed = allowed - calls if line[0] == "~" else allowed | calls
    return allowed | group("@default")


def group(name):
    out = subprocess.run(["systemd-analyze", "syscall-filter", name],
                         check=True, capture_output=True, text=True).stdout
    calls = set()
    for word in out.split("\n")[1:]:
        word = word.strip()
        if word and word[0] == "@":
            calls |= group(word)
        elif word and word[0] != "#":
            calls.add(word)
    return calls


class Filter:
    """A list of what may be, and beside it lists of what may not."""

    def __init__(self):
        self.lib = ctypes.CDLL("libseccomp.so.2")
        self.lib.seccomp_init.restype = ctypes.c_void_p

    def load(self, default, rules):
        """rules: (call, action, [(arg, op, a, b)])"""
        context = ctypes.c_void_p(self.lib.seccomp_init(
            ctypes.c_uint32(default)))
        for name, action, args in rules:
            number = self.lib.seccomp_syscall_resolve_name(name.encode())
            if number == -1 or action == default:
                continue
            array = (Compare * len(args))(*(Compare(*a) for a in args))
            r = self.lib.seccomp_rule_add_array(
                context, ctypes.c_uint32(action), number, len(args), array)
            assert r == 0, (name, r)
        assert self.lib.seccomp_load(context) == 0
        self.lib.seccomp_release(context)


def filters(unit):
    """(default, rules) for each directive that is a filter."""
    ban = ERRNO | EPERM
    for name in unit:
        if name == "SystemCallFilter":
            assert unit["SystemCallErrorNumber"] == ["EPERM"]
            yield ban, [(c, ALLOW, []) for c in sorted(expand(unit[name]))]
        elif name == "SystemCallArchitectures":
            assert unit[name] == ["native"]     # libseccomp's own default
        elif name == "RestrictAddressFamilies":
            kept = {FAMILIES[f] for f in unit[name]}
            refuse = ERRNO | EAFNOSUPPORT
            yield ALLOW, [("socket", refuse, [(0, GREATER, FAMILY_LAST, 0)]),
                          *(("socket", refuse, [(0, EQ, f, 0)])
                            for f in range(FAMILY_LAST + 1) if f not in kept)]
        elif name == "MemoryDenyWriteExecute":
            yield ALLOW, [("mmap", ban, [(2, MASKED, 6, 6)]),
                          ("mprotect", ban, [(2, MASKED, 4, 4)]),
                          ("pkey_mprotect", ban, [(2, MASKED, 4, 4)]),
                          ("shmat", ban, [(2, MASKED, 0o100000, 0o100000)])]
        elif name == "RestrictNamespaces":
            yield ALLOW, [
                ("unshare", ban, []), ("setns", ban, []),
                ("clone3", ERRNO | ENOSYS, []),
                *(("clone", ban, [(0, MASKED, 1 << bit, 1 << bit)])
                  for bit in range(32) if NAMESPACES >> bit & 1)]
        elif name == "RestrictRealtime":
            yield ALLOW, [("sched_setscheduler", ban, [(1, EQ, policy, 0)])
                          for policy in (1, 2, 6)]
        elif name == "RestrictSUIDSGID":
            yield ALLOW, [(c, ban, [(arg, MASKED, bit, bit)])
                          for c, arg in (("chmod", 1), ("fchmod", 1),
                                         ("fchmodat", 2), ("mkdir", 1),
                                         ("mkdirat", 2), ("openat2", 9))
                          for bit in (0o4000, 0o2000) if arg < 6]
        elif name == "LockPersonality":
            yield ALLOW, [("personality", ban, [(0, MASKED, 0xff, bit)])
                          for bit in (1, 2, 4, 8)]


FILTERS = """SystemCallFilter SystemCallArchitectures RestrictAddressFamilies
MemoryDenyWriteExecute RestrictNamespaces RestrictRealtime RestrictSUIDSGID
LockPersonality""".split()


def enclose(path, writable):
    unit = parse(path)
    walls = Walls(writable)
    for name in unit:
        if not hasattr(walls, name) and \
                name not in OUTSIDE + IMPLIED + FILTERS:
            sys.exit(f"unit_start: {path}: {name}= is not known here")
    # Before the programs that tell it are hidden.
    todo = list(filters(unit))
    seccomp = Filter()
    call("unshare", CLONE_NEWNS)
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    order = [n for n in dir(walls) if n[0].isupper()]
    # Read-only last of the mounts, and with no_new_privs all is done.
    late = ["ProtectSystem", "UMask", "CapabilityBoundingSet",
            "NoNewPrivileges"]
    for name in sorted(order, key=lambda n: (n in late, late.index(n)
                                             if n in late else 0, n)):
        if name in unit and name not in ("ProtectProc", "ProtectSystem"):
            if name == "UMask":
                walls.ProtectSystem(unit["ProtectSystem"])
                walls.ProtectProc(unit["ProtectProc"])
            getattr(walls, name)(unit[name])
    for default, rules in sorted(todo, key=lambda t: t[0] != ALLOW):
        seccomp.load(default, rules)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, action="append", default=[])
    parser.add_argument("--unit")
    parser.add_argument("--write", action="append", default=[])
    parser.add_argument("words", nargs="+")
    args = parser.parse_args()
    if args.fd:
        # Out of the way of each other first.
        high = [os.dup2(os.dup(fd), 200 + i) for i, fd in enumerate(args.fd)]
        for number, fd in enumerate(high, 3):
            os.dup2(fd, number)
            os.close(fd)
        os.environ["LISTEN_FDS"] = str(len(high))
        os.environ["LISTEN_PID"] = str(os.getpid())
    if args.unit:
        enclose(args.unit, args.write)
    os.execv(args.words[0], args.words)


if __name__ == "__main__":
    main()
