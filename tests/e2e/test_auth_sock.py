# SPDX-License-Identifier: ISC
"""The socket for credentials: who may, and what is no request."""

import json
import os
import socket

import pytest

from issued import credential, owner, stored
from relay import TIMEOUT_S, until
from test_outside import CONNECT, run_as, uid_of


# Who may.

def test_the_socket_is_its_owners(host):
    path = host.run / "auth.sock"
    assert owner(path)[1] == 0o600
    if os.geteuid() == 0:
        assert run_as("games", CONNECT, path) != "connected"
        for role in ("engine", "dialer"):
            uid = uid_of(host.role_pid(role))
            if uid not in (0, owner(path)[0]):  # without root all are one
                assert run_as(uid, CONNECT, path) != "connected", role


ASK = """
import socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.settimeout(10)
sock.connect(sys.argv[1])
try:
    sock.sendall(b'{"cmd":"credentials"}\\n')
    print(sock.recv(65536).decode() or "closed")
except OSError as error:
    print("closed", error.errno)
"""


@pytest.mark.root
def test_who_opened_it_is_looked_at(host):
    """Even when its mode was changed by mistake."""
    path = host.run / "auth.sock"
    path.chmod(0o666)
    for user in ["games", uid_of(host.role_pid("engine")),
                 uid_of(host.role_pid("dialer"))]:
        said = run_as(user, ASK, path)
        assert '"ok":true' not in said and "gateway_id" not in said, user
    assert credential(host)["gateway"] == "main"


def test_not_on_the_other_sockets(host):
    for path in ("control.sock", "status.sock"):
        for cmd in ("enroll", "import", "forget", "credentials"):
            answer = host.control({"cmd": cmd, "gateway": "main"}, path)
            assert not answer["ok"]


# What is no request.

@pytest.mark.parametrize("line", [
    "{", "[]", '"x"', "{}", '{"cmd":"status"}', '{"cmd":7}',
    '{"cmd":"enroll"}', '{"cmd":"enroll","gateway":7,"token":"t"}',
    '{"cmd":"enroll","gateway":"main","token":""}',
    '{"cmd":"enroll","gateway":"main","token":"a\\u0000b"}',
    '{"cmd":"enroll","gateway":"main","token":"t","token":"u"}',
    '{"cmd":"import","gateway":"main","id":"x"}',
    '{"cmd":"import","gateway":"main","id":"x","secret":""}',
    '{"cmd":"import","gateway":"main","id":"x","secret":"a\\ud800b"}',
    '{"cmd":"forget"}'])
def test_bad_requests(host, issuer, line):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(str(host.run / "auth.sock"))
        sock.sendall(line.encode() + b"\n")
        answer = json.loads(sock.makefile().readline())
    assert not answer["ok"] and answer["code"] in ("bad_request",
                                                   "no_gateway"), answer
    assert len(answer["error"]) > 10
    assert not issuer.http.count("enroll") and not stored(host).exists()


def test_a_line_without_end(host):
    """Costs the connection, not relay-authd."""
    pid = host.role_pid("authd")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(str(host.run / "auth.sock"))
        try:
            for _ in range(256):
                sock.sendall(b"x" * 4096)
            while sock.recv(4096):
                pass
        except (ConnectionError, BrokenPipeError):
            pass
    assert credential(host) and host.role_pid("authd") == pid


def test_many_who_say_nothing(host):
    socks = []
    for _ in range(100):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(TIMEOUT_S)
        try:
            sock.connect(str(host.run / "auth.sock"))
        except OSError:
            sock.close()
            break
        socks.append(sock)
    pid = host.role_pid("authd")
    for sock in socks:
        sock.close()
    until(lambda: _answers(host), "an answer")
    assert host.role_pid("authd") == pid


def _answers(relayd):
    try:
        return credential(relayd)
    except OSError:
        return None
