# SPDX-License-Identifier: ISC
"""What others on the machine cannot do: trace the processes, use sockets that
are not theirs, ask of the status socket what changes something."""

import errno
import os
import stat
import subprocess
import sys

import pytest

import relay

TRACE = """
import ctypes, os, sys
pid = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
out = []
out.append(ctypes.get_errno() if libc.ptrace(16, pid, None, None) else 0)
for name in ("mem", "environ", "maps"):
    try:
        open(f"/proc/{pid}/{name}", "rb").close()
        out.append(0)
    except OSError as error:
        out.append(error.errno)
print(*out)
"""
CONNECT = """
import socket, sys
sock = socket.socket(socket.AF_UNIX)
try:
    sock.connect(sys.argv[1])
    print("connected")
except OSError as error:
    print(error.errno)
"""


def run_as(user, code, *args, group=None):
    """What a Python script prints that runs as another user, or as ours."""
    words = [sys.executable, "-I", "-c", code, *map(str, args)]
    if user != os.geteuid():
        words = ["/usr/bin/setpriv", f"--reuid={user}", "--clear-groups",
                 f"--regid={group or 'nogroup'}", *words]
    done = subprocess.run(words, capture_output=True, text=True, check=False,
                          timeout=relay.TIMEOUT_S, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


CHILDREN = ("authd", "dialer", "engine")


def uid_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file
                    if line.startswith("Uid:"))


def assert_untraceable(pid, user):
    traced, *files = map(int, run_as(user, TRACE, pid).split())
    assert traced == errno.EPERM
    assert all(e in (errno.EACCES, errno.EPERM) for e in files), files


@pytest.mark.root
def test_ordinary_users_cannot_trace(relayd):
    """Neither another user nor the process's own."""
    for role in CHILDREN:
        pid = relayd.role_pid(role)
        uid = uid_of(pid)
        assert uid != 0
        for user in ("games", uid):
            assert_untraceable(pid, user)


def test_own_user_cannot_trace(unprivileged):
    """The same without root, where they all have one user."""
    for role in CHILDREN:
        pid = unprivileged.role_pid(role)
        assert uid_of(pid) == unprivileged.daemon.uid
        assert_untraceable(pid, unprivileged.daemon.uid)
        if os.geteuid() == 0:
            assert_untraceable(pid, "games")


def test_tracing_can_succeed():
    """The control of the tests above: an ordinary process can be traced."""
    user = "games" if os.geteuid() == 0 else os.geteuid()
    started = "import time; print(flush=True); time.sleep(60)"
    words = [sys.executable, "-I", "-c", started]
    if os.geteuid() == 0:
        words = ["/usr/bin/setpriv", f"--reuid={user}", "--regid=nogroup",
                 "--clear-groups", *words]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as other:
        try:
            other.stdout.readline()
            result = run_as(user, TRACE, other.pid)
        finally:
            other.kill()
    if result != "0 0 0 0" and os.path.exists("/proc/sys/kernel/yama"):
        pytest.skip("Yama lets nobody trace but their own children")
    assert result == "0 0 0 0"


def mode_of(path):
    status = path.stat()
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid


@pytest.mark.root
def test_sockets_for_their_groups(make_relayd, connector):
    """Modes and owners; who is in the group connects, who is not does not."""
    relayd = make_relayd().connect_to(connector, agents={"group": "games"})
    relayd.configure({**relayd.config, "control": {"group": "users"}})
    relayd.start(wait="connected")
    games, users = 60, 100
    for name, gid, group, stranger in (
            ("agent/main.sock", games, "games", "users"),
            ("control.sock", users, "users", "games"),
            ("status.sock", users, "users", "games")):
        path = relayd.run / name
        assert mode_of(path) == (0o660, 0, gid), name
        assert run_as("nobody", CONNECT, path, group=group) == "connected"
        for other in (stranger, "nogroup"):
            assert run_as("nobody", CONNECT, path, group=other) == \
                str(errno.EACCES), name
    for user in ("_relaydial", "_relayauth", "_relayd"):
        assert run_as(user, CONNECT, relayd.run / "control.sock") == \
            str(errno.EACCES)


@pytest.mark.root
def test_directories_as_root(relayd):
    assert mode_of(relayd.run) == (0o755, 0, 0)
    assert mode_of(relayd.run / "agent") == (0o755, 0, 0)
    assert mode_of(relayd.run / "empty") == (0o555, 0, 0)
    assert mode_of(relayd.state)[:2] == (0o755, 0)
    mode, uid, _ = mode_of(relayd.state / "authd")
    assert mode == 0o700 and uid == uid_of(relayd.role_pid("authd")) != 0
    assert not list((relayd.run / "empty").iterdir())
    # Without a group they are root's.
    for name in ("agent/main.sock", "control.sock", "status.sock"):
        assert mode_of(relayd.run / name) == (0o660, 0, 0)


def test_directories_without_root(unprivileged):
    uid = unprivileged.daemon.uid
    assert mode_of(unprivileged.run)[:2] == (0o700, uid)
    assert mode_of(unprivileged.state)[:2] == (0o700, uid)
    assert mode_of(unprivileged.state / "authd")[:2] == (0o700, uid)
    for name in ("agent/main.sock", "control.sock", "status.sock"):
        assert mode_of(unprivileged.run / name)[:2] == (0o660, uid)
    if os.geteuid() != 0:
        return
    assert run_as("games", CONNECT, unprivileged.run / "control.sock") == \
        str(errno.EACCES)


@pytest.mark.parametrize("request_", [
    {"cmd": "reload"}, {"cmd": "tap"}, {"cmd": "tap", "content": True},
    {"cmd": "send", "action": {"op": "send", "chat_id": "c1",
                               "content": "no"}}],
    ids=["reload", "tap", "tap content", "send"])
def test_status_socket_is_read_only(unprivileged, connector, request_):
    assert unprivileged.control({"cmd": "status"}, "status.sock")["ok"]
    mark = unprivileged.log_mark()
    answer = unprivileged.control(request_, "status.sock")
    assert not answer["ok"] and answer["error"], answer
    assert not connector.outbounds
    assert not [line for line in unprivileged.lines[mark:]
                if "event=reload" in line]
