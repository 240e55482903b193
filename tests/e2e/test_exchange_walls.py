# SPDX-License-Identifier: ISC
"""The process of an exchange: its walls, who it is, and how it ends."""

import errno
import os
import signal
import socket
import struct
import threading
from pathlib import Path

import pytest

import exchanges
import inject
import relay
from issued import (EXCHANGE_TIMEOUT_S, enroll, oauth, provisioned, ticket,
                    write_token)
from relay import until
from test_outside import uid_of


# Its walls.

@pytest.fixture(name="held")
def _held(make_relayd, issuer):
    """An exchange whose answer is held back: (daemon, its pid)."""
    hold = issuer.http.holds["provision"] = threading.Event()
    relayd = provisioned(make_relayd(), issuer).start()
    issuer.wait_asked("provision")
    yield relayd, exchanges.wait_one(relayd)
    hold.set()


def loopback(port):
    return struct.pack("=H", socket.AF_INET) + struct.pack(">H", port) \
        + socket.inet_aton("127.0.0.1") + bytes(8)


FORBIDDEN = [
    ("socket", lambda p, s: p.call("socket", socket.AF_INET, 1, 0)),
    ("unix socket", lambda p, s: p.call("socket", socket.AF_UNIX, 1, 0)),
    ("connect", lambda p, s: p.call("connect", inject.FD_LOG,
                                    loopback(s), 16)),
    ("bind", lambda p, s: p.call("bind", inject.FD_LOG, loopback(0), 16)),
    ("listen", lambda p, s: p.call("listen", inject.FD_LOG, 1)),
    ("execve", lambda p, s: p.call("execve", "/bin/true", 0, 0)),
    ("execveat", lambda p, s: p.call("execveat", inject.AT_FDCWD,
                                     "/bin/true", 0, 0, 0)),
    ("fork", lambda p, s: p.call("fork")),
    ("clone", lambda p, s: p.call("clone", signal.SIGCHLD, 0, 0, 0, 0)),
    ("ptrace", lambda p, s: p.call("ptrace", 16, 1, 0, 0)),
    ("process_vm_readv", lambda p, s: p.call("process_vm_readv", 1, 0, 0, 0,
                                             0, 0)),
    ("pidfd_getfd", lambda p, s: p.call("pidfd_getfd", 3, 3, 0)),
    ("kill of another", lambda p, s: p.call("kill", 1, 0)),
    ("mount", lambda p, s: p.call("mount", "none", "/", "tmpfs", 0, 0)),
    ("chroot", lambda p, s: p.call("chroot", "/")),
    ("setuid", lambda p, s: p.call("setuid", 0)),
    ("become dumpable", lambda p, s: p.call("prctl", 4, 1, 0, 0, 0)),
    ("io_uring", lambda p, s: p.call("io_uring_setup", 8, bytes(120))),
]
FILES = [
    ("openat", lambda p, s: p.openat("/etc/passwd")),
    ("open", lambda p, s: p.call("open", "/etc/passwd", 0, 0)),
    ("create", lambda p, s: p.openat("/tmp/x", os.O_WRONLY | os.O_CREAT)),
]


@pytest.fixture(name="can_inject")
def _can_inject():
    reason = inject.cannot()
    if reason:
        pytest.skip(reason)


@pytest.mark.usefixtures("can_inject")
@pytest.mark.parametrize("what", FORBIDDEN, ids=lambda row: row[0])
def test_what_kills_it(held, issuer, what):
    relayd, pid = held
    authd = relayd.role_pid("authd")
    with inject.Puppet(pid) as puppet:
        with pytest.raises(inject.Ended) as caught:
            done = what[1](puppet, issuer.port)
            pytest.fail(f"{what[0]} gave {done}")
    assert caught.value.signal == signal.SIGSYS
    # Nobody else is harmed, and it is tried again.
    issuer.http.holds["provision"].set()
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)
    assert relayd.role_pid("authd") == authd


@pytest.mark.usefixtures("can_inject")
@pytest.mark.parametrize("what", FILES, ids=lambda row: row[0])
def test_it_opens_no_file(held, issuer, what):
    relayd, pid = held
    with inject.Puppet(pid) as puppet:
        try:
            done = what[1](puppet, issuer.port)
            assert done in (-errno.EACCES, -errno.EPERM, -errno.ENOENT), done
        except inject.Ended as ended:
            assert ended.signal == signal.SIGSYS
    issuer.http.holds["provision"].set()
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)


@pytest.mark.root
def test_who_it_is(held):
    """A user of its own, an empty root, no more descriptors than it needs."""
    relayd, pid = held
    others = {uid_of(relayd.role_pid(role)) for role in
              ("supervisor", "authd", "dialer", "engine")}
    assert uid_of(pid) not in others | {0}
    assert os.listdir(f"/proc/{pid}/root") == []
    status = Path(f"/proc/{pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status
    assert "CapEff:\t0000000000000000" in status
    assert "Groups:\t \n" in status or f"Groups:\t{uid_of(pid)}" in status
    found = exchanges.descriptors(pid)
    assert set(found) <= set(range(10)), found
    assert len(exchanges.internet_sockets(pid)) == 1, found
    environ = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"GATEWAY" not in environ and len(environ) < 1024


def test_relay_authd_keeps_no_socket(held, issuer):
    """It hands the socket on; what it has are pipes and listeners."""
    relayd, pid = held
    authd = relayd.role_pid("authd")
    assert exchanges.internet_sockets(pid)
    assert not exchanges.internet_sockets(authd)
    issuer.http.holds["provision"].set()
    relayd.wait_state()
    assert not exchanges.internet_sockets(authd)
    exchanges.wait_none(relayd)


@pytest.mark.usefixtures("can_inject")
@pytest.mark.parametrize("what", [
    ("socket", lambda p: p.call("socket", socket.AF_INET, 1, 0)),
    ("connect", lambda p: p.call("connect", inject.FD_LOG, loopback(9), 16)),
    ("exec", lambda p: p.call("execve", "/bin/true", 0, 0)),
], ids=lambda row: row[0])
def test_relay_authd_has_its_own_walls(relayd, what):
    with inject.Puppet(relayd.role_pid("authd")) as puppet:
        with pytest.raises(inject.Ended) as caught:
            what[1](puppet)
    assert caught.value.signal == signal.SIGSYS
    relayd.wait_state()


# Its ends.

def test_it_ends_when_it_has_answered(make_relayd, issuer):
    relayd = provisioned(make_relayd(), issuer).start(wait="connected")
    exchanges.wait_none(relayd)
    zombies = [pid for pid in relayd.left()
               if (relay.read_stat(pid) or {}).get("state") == "Z"]
    assert not zombies
    assert all(p["restarts"] == 0 for p in relayd.status()["processes"])


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGABRT,
                                 signal.SIGTERM])
def test_killed_while_it_waits(held, issuer, sig):
    relayd, pid = held
    authd = relayd.role_pid("authd")
    os.kill(pid, sig)
    until(lambda: pid not in exchanges.find(relayd), "its end")
    issuer.http.holds["provision"].set()
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)
    assert relayd.role_pid("authd") == authd
    deaths = {p["role"]: p["restarts"] for p in relayd.status()["processes"]}
    assert not any(deaths.values()), deaths


@pytest.mark.parametrize("route", ["token", "metadata", "policy", "enroll"])
def test_killed_in_each_exchange(make_relayd, issuer, route):
    """It is tried again, or who asked is told."""
    relayd = make_relayd()
    more = {}
    if route in ("token", "metadata"):
        more["identity_token"] = oauth(relayd, issuer, route)
    hold = threading.Event()
    if route != "enroll":
        issuer.http.holds[route] = hold
    provisioned(relayd, issuer, identities=[
        {"platform": "discord", "bot_id": "1234", "require_mention": True}],
        **more).start()
    if route == "enroll":
        relayd.wait_state()
        issuer.wait_asked("policy", 1)
        exchanges.wait_none(relayd)
        issuer.http.holds[route] = hold
        told = []
        asking = threading.Thread(target=lambda: told.append(
            enroll(relayd, ticket(issuer))))
        asking.start()
    issuer.wait_asked(route)
    authd = relayd.role_pid("authd")
    os.kill(exchanges.wait_one(relayd), signal.SIGKILL)
    if route == "enroll":
        asking.join()
        assert told[0].returncode == 1 and told[0].stderr
    hold.set()
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)
    issuer.wait_policy("discord", {
        "requireAddress": True, "freeResponseScopes": [],
        "allowOtherBots": False}, timeout=EXCHANGE_TIMEOUT_S)
    assert enroll(relayd, ticket(issuer)).returncode == 0
    assert relayd.role_pid("authd") == authd


def test_killed_while_a_command_runs(make_relayd, issuer):
    """What it had started ends, too; the next one is read."""
    relayd = make_relayd()
    room = relayd.dir / "room"
    room.mkdir()
    room.chmod(0o777)
    path = relayd.write(
        "token.sh", f"#!/bin/sh\n[ -e {room}/pid ] || {{ echo $$ "
        f">{room}/pid; exec sleep 3600; }}\necho {issuer.token}\n", 0o755)
    relayd.add_gateway(issuer, identity_token={"command": [str(path)],
                                               "user": "nobody"}).start()
    command = until(lambda: (room / "pid").exists()
                    and (room / "pid").read_text().strip(), "the command")
    authd = relayd.role_pid("authd")
    os.kill(exchanges.wait_one(relayd), signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{command}"), "its end",
          EXCHANGE_TIMEOUT_S)
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)
    assert relayd.role_pid("authd") == authd


@pytest.mark.slow
def test_one_that_hangs_is_killed(held, issuer):
    relayd, pid = held
    os.kill(pid, signal.SIGSTOP)
    until(lambda: pid not in exchanges.find(relayd), "its end", 40)
    issuer.http.holds["provision"].set()
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)


@pytest.mark.parametrize("role", ["authd", "dialer"])
def test_another_is_killed_meanwhile(held, issuer, role):
    relayd, _pid = held
    relayd.kill_and_wait(role)
    issuer.http.holds["provision"].set()
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)
    exchanges.wait_none(relayd)


@pytest.mark.unclean
def test_the_supervisor_is_killed_meanwhile(held):
    relayd, pid = held
    relayd.kill("supervisor")
    until(lambda: not os.path.exists(f"/proc/{pid}")
          or relay.read_stat(pid)["state"] in "ZX", "the exchange's end")
    relayd.assert_gone()


def test_many_gateways_at_once(make_relayd, issuer):
    """More than there may be exchanges; they take turns."""
    names = [f"g{number}" for number in range(20)]
    relayd = make_relayd()
    path = write_token(relayd, issuer.token)
    most = 0
    hold = issuer.http.holds["provision"] = threading.Event()
    for name in names:
        relayd.add_gateway(issuer, name, id=f"gw-{name}",
                           identity_token={"file": path})
    relayd.start()
    issuer.wait_asked("provision", 8, EXCHANGE_TIMEOUT_S)
    most = len(exchanges.find(relayd))
    assert most == 8
    hold.set()
    for name in names:
        relayd.wait_state(name, timeout=EXCHANGE_TIMEOUT_S)
    assert issuer.http.count("provision") == 20
    exchanges.wait_none(relayd)
