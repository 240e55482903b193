# SPDX-License-Identifier: ISC
"""What each process cannot do, tried from inside of the real one.

"Killed": the kernel ends it with SIGSYS, the supervisor says so and starts it
again, the link comes back.  "Refused": the call fails, the process goes on.
"""

import errno
import itertools
import os
import signal
import socket
import stat
import struct
import time

import pytest

import inject
import relay
import stage as staging
from inject import AT_FDCWD, packet

RDONLY_FLAGS = os.O_RDONLY | os.O_CLOEXEC
PROT_RX, MAP_ANON = 5, 0x22
PTRACE_ATTACH = 16
PAIR = bytes(8)


@pytest.fixture(scope="module", name="stages",
                params=["root", "unprivileged"])
def _stages(request, ca_dir):
    """As root, and the same without users and chroot."""
    if request.param == "root":
        daemon = request.getfixturevalue("daemon")
        if not daemon.is_root:
            pytest.skip("relayd is not started as root in this run")
    else:
        daemon = request.getfixturevalue("unprivileged_daemon")
    yield from staging.stages_fixture(daemon, ca_dir)


@pytest.fixture(name="stage")
def _stage(request, stages):
    """A daemon in which nothing is killed."""
    return stages.get(request)


def loopback(port):
    """struct sockaddr_in of a port of this machine."""
    return struct.pack("=H", socket.AF_INET) + struct.pack(">H", port) \
        + socket.inet_aton("127.0.0.1") + bytes(8)


def unix_address(path):
    return struct.pack("=H", socket.AF_UNIX) + str(path).encode() + b"\0"


def pid_of(stage, role):
    return stage.pids()[role]


def layers(stage, role):
    """The layers that hold, as relayd itself says."""
    for process in stage.relayd.status()["processes"]:
        if process["role"] == role:
            return {layer for layer, how in process["layers"].items()
                    if how == "held"}
    raise LookupError(role)


def need_layer(stage, role, layer):
    if layer not in layers(stage, role):
        pytest.skip(f"this kernel's Landlock is too old for the layer {layer}")


# What kills.  Each is (name, what to do); puppet first, then the stage.

def _iovecs(p):
    """Arguments that name one readable place, for process_vm_readv."""
    return p.put(struct.pack("@QQ", p.put(bytes(64)), 64))


def _clone_args():
    return struct.pack("@QQQQQQQQ", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)


FORKS = [
    ("fork", lambda p, s: p.call("fork")),
    ("vfork", lambda p, s: p.call("vfork")),
    ("clone", lambda p, s: p.call("clone", signal.SIGCHLD, 0, 0, 0, 0)),
    ("clone3", lambda p, s: p.call("clone3", _clone_args(), 64)),
]

NOBODY_MAY = [
    ("execve", lambda p, s: p.call("execve", "/bin/true", 0, 0)),
    ("execveat", lambda p, s: p.call("execveat", AT_FDCWD, "/bin/true",
                                     0, 0, 0)),
    ("socket AF_UNIX pair", lambda p, s: p.call("socketpair", socket.AF_UNIX,
                                                1, 0, PAIR)),
    ("socket AF_PACKET", lambda p, s: p.call("socket", socket.AF_PACKET,
                                             socket.SOCK_RAW, 0)),
    ("listen", lambda p, s: p.call("listen", inject.FD_SUPERVISOR, 1)),
    ("ptrace", lambda p, s: p.call("ptrace", PTRACE_ATTACH, s.relayd.pid,
                                   0, 0)),
    ("tgkill of another", lambda p, s: p.call("tgkill", s.relayd.pid,
                                              s.relayd.pid, 0)),
    ("tkill", lambda p, s: p.call("tkill", s.relayd.pid, 0)),
    ("mprotect to code", lambda p, s: p.call("mprotect", p.put(b"") & ~4095,
                                             4096, PROT_RX)),
    ("process_vm_readv", lambda p, s: p.call(
        "process_vm_readv", pid_of(s, "authd"), _iovecs(p), 1, _iovecs(p), 1,
        0)),
    ("process_vm_writev", lambda p, s: p.call(
        "process_vm_writev", pid_of(s, "authd"), _iovecs(p), 1, _iovecs(p), 1,
        0)),
    ("pidfd_open", lambda p, s: p.call("pidfd_open", pid_of(s, "authd"), 0)),
    ("pidfd_getfd", lambda p, s: p.call("pidfd_getfd", 3, 3, 0)),
    ("io_uring", lambda p, s: p.call("io_uring_setup", 8, bytes(120))),
    ("bpf", lambda p, s: p.call("bpf", 0, bytes(120), 120)),
    ("userfaultfd", lambda p, s: p.call("userfaultfd", 0)),
    ("perf", lambda p, s: p.call("perf_event_open", bytes(128), 0, -1, -1,
                                 0)),
    ("keyring", lambda p, s: p.call("keyctl", 0, -3, 0)),
    ("chroot", lambda p, s: p.call("chroot", "/")),
    ("mount", lambda p, s: p.call("mount", "none", "/", "tmpfs", 0, 0)),
    ("unshare", lambda p, s: p.call("unshare", 0x10000000)),
    ("setuid", lambda p, s: p.call("setuid", 0)),
    ("become dumpable", lambda p, s: p.call("prctl", 4, 1, 0, 0, 0)),
    ("raise a limit", lambda p, s: p.call("prlimit64", 0, 4,
                                          struct.pack("@QQ", 1, 1), 0)),
    ("the x32 interface", lambda p, s: p.call(39 | inject.X32_BIT)),
    ("the 32-bit interface", lambda p, s: p.call32(20)),
]

# A sanitizer that found something reads files: refused there, not deadly.
ENGINE_FILES = [] if relay.SANITIZED else [
    ("open", lambda p, s: p.call("open", "/etc/passwd", os.O_RDONLY, 0)),
    ("openat", lambda p, s: p.openat("/")),
    ("read relay-authd's memory", lambda p, s: p.openat(
        f"/proc/{pid_of(s, 'authd')}/mem")),
]

ENGINE_ALONE = [
    ("socket AF_INET", lambda p, s: p.call("socket", socket.AF_INET,
                                           socket.SOCK_STREAM, 0)),
    ("socket AF_INET6", lambda p, s: p.call("socket", socket.AF_INET6,
                                            socket.SOCK_DGRAM, 0)),
    ("socket AF_UNIX", lambda p, s: p.call("socket", socket.AF_UNIX,
                                           socket.SOCK_STREAM, 0)),
    ("connect", lambda p, s: p.call("connect", inject.FD_SUPERVISOR,
                                    loopback(s.connector.port), 16)),
    ("bind", lambda p, s: p.call("bind", inject.FD_SUPERVISOR, loopback(0),
                                 16)),
    ("openat2", lambda p, s: p.call("openat2", AT_FDCWD, "/", bytes(24), 24)),
    ("kill relay-authd", lambda p, s: p.call("kill", pid_of(s, "authd"),
                                             signal.SIGTERM)),
    ("kill the supervisor", lambda p, s: p.call("kill", s.relayd.pid,
                                                signal.SIGTERM)),
    ("mmap of code", lambda p, s: p.call("mmap", 0, 4096, PROT_RX, MAP_ANON,
                                         -1, 0)),
    ("memfd_create", lambda p, s: p.call("memfd_create", "x", 0)),
    ("setsockopt beyond the list", lambda p, s: p.call(
        "setsockopt", inject.FD_SUPERVISOR, socket.SOL_SOCKET,
        socket.SO_PASSCRED, struct.pack("@i", 1), 4)),
]

AUTHD_ALONE = [
    *[(f"socket {family.name}", lambda p, s, family=family: p.call(
        "socket", family, socket.SOCK_DGRAM, 0))
      for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6,
                     socket.AF_NETLINK, socket.AF_ALG, socket.AF_VSOCK)],
    ("connect", lambda p, s: p.call("connect", inject.FD_SUPERVISOR,
                                    loopback(s.connector.port), 16)),
    ("accept", lambda p, s: p.call("accept", inject.FD_SUPERVISOR, 0, 0)),
    ("bind", lambda p, s: p.call("bind", inject.FD_SUPERVISOR, loopback(0),
                                 16)),
    ("kill the supervisor", lambda p, s: p.call("kill", s.relayd.pid,
                                                signal.SIGTERM)),
    ("mmap of code", lambda p, s: p.call("mmap", 0, 4096, PROT_RX, MAP_ANON,
                                         -1, 0)),
    ("mkdir", lambda p, s: p.call("mkdir", "/x", 0o700)),
]

DIALER_ALONE = [
    ("bind to a port", lambda p, s: p.call(
        "bind", p.call("socket", socket.AF_INET, socket.SOCK_STREAM, 0),
        loopback(0), 16)),
    ("open for writing", lambda p, s: p.openat("/etc/hosts", os.O_WRONLY)),
    ("open for both", lambda p, s: p.openat("/etc/hosts", os.O_RDWR)),
    ("create a file", lambda p, s: p.openat(
        "/tmp/x", os.O_RDONLY | os.O_CREAT)),
    ("create an unnamed file", lambda p, s: p.openat(
        "/tmp", os.O_TMPFILE | os.O_WRONLY)),
    ("unlink", lambda p, s: p.call("unlink", "/tmp/x")),
    ("a raw socket", lambda p, s: p.call("socket", socket.AF_INET,
                                         socket.SOCK_RAW, 1)),
    ("a signal that asks", lambda p, s: p.call("kill", pid_of(s, "engine"),
                                               signal.SIGSTOP)),
    ("a signal to all", lambda p, s: p.call("kill", -1, signal.SIGKILL)),
    ("a thread", lambda p, s: p.call("clone", 0x3d0f00, 0, 0, 0, 0)),
    ("vfork", lambda p, s: p.call("vfork")),
]

KILLS = {
    "engine": FORKS + ENGINE_FILES + ENGINE_ALONE,
    "authd": FORKS + AUTHD_ALONE,
    "dialer": DIALER_ALONE,
}


def in_turns(kills):
    """So that a daemon serves for a death of each role."""
    columns = [[pytest.param(role, act, id=f"{role}: {name}")
                for name, act in rows] for role, rows in kills.items()]
    return [row for turn in itertools.zip_longest(*columns)
            for row in turn if row]


@pytest.mark.parametrize("role, act", in_turns(KILLS))
def test_killed(request, stages, role, act):
    stage = stages.get(request, role)
    stage.killed_for(role, lambda puppet: act(puppet, stage))


# One filter has these for all, whoever they run as.
@pytest.mark.parametrize("stages", ["root"], indirect=True)
@pytest.mark.parametrize("role, act", in_turns(
    {role: NOBODY_MAY for role in KILLS}))
def test_killed_all_alike(request, stages, role, act):
    stage = stages.get(request, role)
    try:
        stage.killed_for(role, lambda puppet: act(puppet, stage))
    except LookupError as error:
        pytest.skip(str(error))


# What is refused; and what works, without which a refusal proves little.

def test_engine_at_work(stage):
    with stage.puppet("engine") as p:
        assert p.call("tgkill", p.pid, p.pid, 0) == 0
        assert p.call("write", inject.FD_LOG, b"", 0) == 0
        # Nothing to read is what it says of a pipe it may read.
        assert p.call("recvfrom", inject.FD_SUPERVISOR, bytes(8), 8,
                      socket.MSG_DONTWAIT, 0, 0) == -errno.EAGAIN
    stage.serves()


@pytest.mark.parametrize("path", [
    "/etc/passwd", "../../etc/passwd", "../../../../../../etc/passwd", "/",
    "..", "/etc", "/proc/self/mem", "/usr/bin/env", "/dev/null"])
def test_authd_opens_nothing_outside(stage, path):
    chrooted = "chroot" in layers(stage, "authd")
    if not chrooted:
        need_layer(stage, "authd", "files")
    elif path in ("/", ".."):
        pytest.skip("its root directory is its own")
    own = own_directory(stage)
    with stage.puppet("authd") as p:
        directory = p.openat(own)
        assert directory >= 0
        for start, place in ((AT_FDCWD, "/"), (directory, own)):
            # Its root directory hides it; where that is the system's,
            # Landlock forbids what there is.
            hidden = chrooted or not os.path.exists(os.path.join(place, path))
            assert p.openat(path, RDONLY_FLAGS, directory=start) == \
                -(errno.ENOENT if hidden else errno.EACCES)
        p.call("close", directory)


def own_directory(stage):
    """relay-authd's state directory as it sees it."""
    return "/" if "chroot" in layers(stage, "authd") \
        else str(stage.relayd.state / "authd")


def test_authd_keeps_its_directory(stage):
    with stage.puppet("authd") as p:
        directory = p.openat(own_directory(stage))
        fd = p.openat("proof", os.O_WRONLY | os.O_CREAT, directory=directory)
        assert fd >= 0
        assert p.write(fd, b"written") == 7
        p.call("close", fd)
        p.call("close", directory)
    proof = stage.relayd.state / "authd" / "proof"
    assert proof.read_text() == "written"
    assert stat.S_IMODE(proof.stat().st_mode) == 0o600
    proof.unlink()


def test_dialer_connects_to_configured_ports_only(stage):
    need_layer(stage, "dialer", "tcp")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with stage.puppet("dialer") as p:
            fd = p.call("socket", socket.AF_INET, socket.SOCK_STREAM, 0)
            assert fd >= 0
            assert p.call("connect", fd, loopback(port), 16) == -errno.EACCES
            assert p.call("connect", fd, loopback(stage.connector.port),
                          16) == 0
            p.call("close", fd)


def test_dialer_reads_the_resolvers_files_only(stage):
    need_layer(stage, "dialer", "files")
    relayd = stage.relayd
    with stage.puppet("dialer") as p:
        fd = p.openat("/etc/hosts")
        assert fd >= 0
        p.call("close", fd)
        for path in (f"/proc/{pid_of(stage, 'authd')}/mem",
                     f"/proc/{relayd.pid}/environ", relayd.conf,
                     relayd.dir / "main.secret", relayd.state / "authd",
                     relayd.run, "/usr/bin/env", "/", "/tmp"):
            assert p.openat(str(path)) == -errno.EACCES, path


def test_dialer_has_no_unix_sockets(stage):
    with stage.puppet("dialer") as p:
        assert p.call("socket", socket.AF_UNIX, socket.SOCK_STREAM,
                      0) == -errno.EACCES
        fd = p.call("socket", socket.AF_INET, socket.SOCK_STREAM, 0)
        address = unix_address(stage.relayd.run / "control.sock")
        assert p.call("connect", fd, address, len(address)) in (
            -errno.EAFNOSUPPORT, -errno.EINVAL, -errno.EACCES)
        p.call("close", fd)


def test_dialer_binds_nothing_with_a_short_address(stage):
    with stage.puppet("dialer") as p:
        fd = p.call("socket", socket.AF_INET, socket.SOCK_STREAM, 0)
        assert p.call("bind", fd, loopback(0), 12) < 0
        p.call("close", fd)


def test_dialer_runs_no_foreign_code(stage):
    with stage.puppet("dialer") as p:
        assert p.call("mmap", 0, 4096, PROT_RX, MAP_ANON, -1,
                      0) == -errno.EACCES


def test_dialer_ends_nobody(stage):
    if not stage.relayd.daemon.is_root:
        need_layer(stage, "dialer", "scope")
    before = stage.pids()
    with stage.puppet("dialer") as p:
        for role in ("supervisor", "authd", "engine"):
            for sig in (signal.SIGKILL, signal.SIGTERM):
                assert p.call("kill", before[role], sig) == -errno.EPERM
    stage.serves()
    assert stage.pids() == before


# Asking others to do it.

def hold_engine_dial(stage, p, gateway, corr):
    """As the engine: have a gateway dialled; the connection's number."""
    assert p.write(inject.FD_OF["engine"]["dialer"],
                   packet("DIAL", gateway, corr=corr)) > 0
    data, fds = p.recvmsg(inject.FD_OF["engine"]["dialer"])
    number, answers, index, conn, *_ = inject.unpack(data)
    assert (number, answers, index) == (
        inject.MESSAGES["CONNECTED"].number, corr, gateway)
    assert len(fds) == 1
    p.call("close", fds[0])
    return conn


def ask_token(p, gateway, conn):
    assert p.write(inject.FD_OF["engine"]["authd"],
                   packet("MINT", gateway, conn, corr=7)) > 0


def mints(stage, since):
    """How many tokens relay-authd minted from a position in the log to where
    it found fault with the engine."""
    authd = [line for line in stage.relayd.lines[since:] if " process=authd " in line]
    count = 0
    for line in authd:
        if "event=offence" in line:
            return count
        count += "event=mint " in line
    return count


def accused_minting(stage, why, act, granted=0):
    """The engine asks relay-authd for what it must not get: it is killed, and
    nothing but `granted` tokens was minted before."""
    # relay-authd tells of a token after it has sent it.
    relay.until(lambda: "".join(stage.relayd.lines).count("event=mint ")
                >= stage.connector.counters["dials"], "all to be told")
    mark = stage.relayd.log_mark()

    def held(p):
        act(p)
        # Held until it is killed: a token could only have come to it.
        with pytest.raises(inject.Ended) as ended:
            while True:
                data, _ = p.recvmsg(inject.FD_OF["engine"]["authd"])
                assert inject.unpack(data)[0] != \
                    inject.MESSAGES["TOKEN"].number
        assert str(ended.value) == "SIGKILL"
    stage.accused_of("engine", "authd", why, held)
    assert mints(stage, mark) == granted


def test_a_token_for_each_connection_once(request, stages):
    stage = stages.get(request, "engine")

    def act(p):
        conn = hold_engine_dial(stage, p, staging.OTHER, 0x7fff0001)
        ask_token(p, staging.OTHER, conn)
        number, _, gateway, of, token, _ = inject.answered(p)
        assert number == inject.MESSAGES["TOKEN"].number
        assert (gateway, of) == (staging.OTHER, conn) and len(token) > 64
        ask_token(p, staging.OTHER, conn)
    accused_minting(stage, "a second token for one connection", act, 1)


def test_no_token_for_another_gateways_connection(request, stages):
    stage = stages.get(request, "engine")

    def act(p):
        first = hold_engine_dial(stage, p, staging.MAIN, 0x7fff0001)
        conn = hold_engine_dial(stage, p, staging.OTHER, 0x7fff0002)
        last = hold_engine_dial(stage, p, staging.MAIN, 0x7fff0003)
        # In between: relay-authd was there when it was reported.
        assert first < conn < last
        ask_token(p, staging.MAIN, conn)
    accused_minting(stage, "a token for a connection that nobody made", act)


def test_no_token_for_a_connection_nobody_made(request, stages):
    """Soon after relay-authd's start a number it never heard of may be of a
    connection reported to the one before: no offence, but no token."""
    stage = stages.get(request)
    with stage.puppet("engine") as p:
        conn = hold_engine_dial(stage, p, staging.MAIN, 0x7fff0001)
        ask_token(p, staging.MAIN, conn + 1000)
        assert inject.answered(p)[0] == inject.MESSAGES["MINT_REFUSED"].number
    stage.serves()


@pytest.mark.slow
def test_no_token_for_a_connection_nobody_made_later(request, stages):
    """A minute after relay-authd's start it is one."""
    stage = stages.get(request, "engine")
    asked = []

    def ask():
        asked.append(1)
        with stage.puppet("engine") as p:
            conn = hold_engine_dial(stage, p, staging.MAIN,
                                    0x7fff0000 + len(asked))
            ask_token(p, staging.MAIN, conn + 1000)
            inject.answered(p)

    with stage.death_of("engine") as (_, mark):
        deadline = time.monotonic() + 60 + relay.TIMEOUT_S
        with pytest.raises(inject.Ended):
            while time.monotonic() < deadline:
                ask()
                time.sleep(1)
        stage.relayd.wait_log("event=offence msg=\"engine: a token for a "
                              "connection that nobody made", since=mark)
    assert len(asked) > 1


def test_no_token_for_a_gateway_that_there_is_not(request, stages):
    stage = stages.get(request, "engine")

    def act(p):
        conn = hold_engine_dial(stage, p, staging.MAIN, 0x7fff0001)
        ask_token(p, staging.ABSENT, conn)
    accused_minting(stage, "a token for a connection that nobody made", act)


def test_no_dial_without_an_endpoint(request, stages):
    stage = stages.get(request, "engine")
    dials = stage.connector.counters["dials"]
    links = len(stage.connector.state.links)
    stage.accused_of(
        "engine", "dialer", "a dial for a gateway that there is not",
        lambda p: p.write(inject.FD_OF["engine"]["dialer"],
                          packet("DIAL", staging.ABSENT, corr=0x7fff0001)))
    assert stage.connector.counters["dials"] >= dials
    assert len(stage.connector.state.links) > links
