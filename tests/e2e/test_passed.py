# SPDX-License-Identifier: ISC
"""Sockets that a service manager passes: taken, kept, refused."""

import os
import re
import signal
import socket

import pytest

import relay
from base import TIMEOUT_S
from unit_start import START


class Sockets:
    """Listening sockets where relayd's would be, as socket units make them."""

    def __init__(self, relayd):
        self.relayd = relayd
        self.open = []
        relayd.run.mkdir(mode=0o755)
        (relayd.run / "agent").mkdir(mode=0o755)
        for path in (relayd.run, relayd.run / "agent"):
            relayd.daemon.own(path)

    def listen(self, file, mode=0o660, kind=socket.SOCK_STREAM, backlog=8):
        path = self.relayd.run / file
        sock = socket.socket(socket.AF_UNIX, kind)
        sock.bind(str(path))
        path.chmod(mode)
        self.relayd.daemon.own(path)
        if kind == socket.SOCK_STREAM and backlog:
            sock.listen(backlog)
        self.open.append(sock)
        return sock

    def hand_over(self, names, socks=None):
        """As the descriptors from 3 on."""
        socks = self.open if socks is None else socks
        self.relayd.pass_fds = [s.fileno() for s in socks]
        self.relayd.before = START + [
            word for s in socks for word in ("--fd", str(s.fileno()))] + ["--"]
        if names is not None:
            self.relayd.env["LISTEN_FDNAMES"] = ":".join(names)

    def identity(self):
        return {path.name: (path.stat().st_ino, path.stat().st_mode,
                            path.stat().st_gid)
                for path in (self.relayd.run / n for n in (
                    "control.sock", "status.sock", "agent/main.sock"))
                if path.exists()}

    def close(self):
        for sock in self.open:
            sock.close()


@pytest.fixture(name="make_sockets")
def _make_sockets():
    made = []

    def make(relayd):
        made.append(Sockets(relayd))
        return made[-1]
    yield make
    for sockets in made:
        sockets.close()


THREE = ("control.sock", "status.sock", "agent/main.sock")
NAMED = ("control", "status", "agent/main")


def end(relayd):
    """In order; the sockets are not relayd's to remove."""
    relayd.look()
    relayd.process.send_signal(signal.SIGTERM)
    assert relayd.wait_exit() == 0
    relayd.assert_gone()
    relayd.assert_sane()


@pytest.mark.parametrize("names", [
    NAMED, None, ("relayd-control.socket",) * 2 + ("unknown",)],
    ids=["ours", "none", "units"])
def test_what_is_passed_is_served(make_relayd, make_sockets, connector, names):
    relayd = make_relayd().connect_to(connector)
    sockets = make_sockets(relayd)
    for file in THREE:
        sockets.listen(file)
    sockets.hand_over(names)
    before = sockets.identity()
    assert len(before) == 3
    # Whoever comes before relayd is there waits for it.
    with relay.LineSocket(relayd.run / "control.sock", TIMEOUT_S) as early:
        early.send({"cmd": "status"})
        relayd.start()
        assert early.recv(TIMEOUT_S)["ok"]
    relayd.wait_state()
    assert relayd.control({"cmd": "status"}, "status.sock")["ok"]
    with relayd.agent() as agent:
        connector.say("discord", "c1", "hello")
        agent.ack(agent.inbound("hello"))
        connector.wait_all_acked()
    assert relayd.reload()["ok"]
    relayd.kill_and_wait("engine")
    relayd.wait_state()
    with relayd.agent() as agent:
        connector.say("discord", "c1", "again")
        agent.ack(agent.inbound("again"))
        connector.wait_all_acked()
    assert sockets.identity() == before
    end(relayd)
    assert sockets.identity() == before
    # And the next one takes them over.
    relayd.start(wait="connected")
    end(relayd)


def test_it_makes_what_is_not_passed(make_relayd, make_sockets, connector):
    relayd = make_relayd().connect_to(connector)
    sockets = make_sockets(relayd)
    sockets.listen("status.sock")
    sockets.hand_over(["status"])
    relayd.start(wait="connected")
    with relayd.agent():
        pass
    end(relayd)
    assert [p.name for p in relayd.run.rglob("*.sock")] == ["status.sock"]


def test_a_gateway_goes_and_comes(make_relayd, make_sockets, connector):
    """Its socket stays the manager's, and is there for the next reload."""
    relayd = make_relayd().connect_to(connector)
    with_it = relayd.config
    relayd.connect_to(connector, "other", id="gw-other")
    sockets = make_sockets(relayd)
    sockets.listen("agent/main.sock")
    late = sockets.listen("agent/late.sock")
    sockets.hand_over(["agent/main", "agent/late"])
    relayd.start()
    relayd.wait_log("event=listen.*late.sock.*not configured")
    relayd.wait_state()
    relayd.configure({"gateways": {"other": relayd.config["gateways"]
                                   ["other"]}})
    assert relayd.reload()["ok"]
    assert relayd.agent_path().exists()
    relayd.configure(with_it)
    relayd.connect_to(connector, "late", id="gw-late")
    assert relayd.reload()["ok"]
    relayd.wait_state()
    with relayd.agent():
        pass
    with relayd.agent("late", hello=False) as agent:
        assert agent is not None
    assert late.fileno() != -1
    end(relayd)
    assert sorted(p.name for p in relayd.run.rglob("*.sock")) == \
        ["late.sock", "main.sock"]


def test_an_unneeded_one_is_closed_with_a_line(make_relayd, make_sockets,
                                               connector):
    relayd = make_relayd().connect_to(connector)
    sockets = make_sockets(relayd)
    sockets.listen("foreign.sock")
    sockets.hand_over(["mine\x1b"])
    relayd.start(wait="connected")
    line = relayd.wait_log("event=listen.*foreign.sock").string
    assert "is closed" in line and "\x1b" not in line
    held = [os.readlink(f"/proc/{relayd.pid}/fd/{n}")
            for n in os.listdir(f"/proc/{relayd.pid}/fd")]
    inode = os.fstat(sockets.open[0].fileno()).st_ino
    assert f"socket:[{inode}]" not in held
    end(relayd)
    assert (relayd.run / "foreign.sock").exists()


def test_what_is_another_s_is_not_taken(make_relayd, make_sockets, connector):
    """LISTEN_PID names who is meant."""
    relayd = make_relayd().connect_to(connector)
    sockets = make_sockets(relayd)
    sock = sockets.listen("foreign.sock")
    relayd.pass_fds = [sock.fileno()]
    relayd.env.update(LISTEN_FDS="1", LISTEN_PID="1")
    relayd.start(wait="connected")
    assert "event=listen" not in relayd.log
    inode = os.fstat(sock.fileno()).st_ino
    assert f"socket:[{inode}]" not in [
        os.readlink(f"/proc/{relayd.pid}/fd/{n}")
        for n in os.listdir(f"/proc/{relayd.pid}/fd")]
    end(relayd)


def wrong_type(sockets):
    sockets.listen("control.sock", kind=socket.SOCK_DGRAM)


def wrong_family(sockets):
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    sockets.open.append(sock)


def not_listening(sockets):
    sockets.listen("control.sock", backlog=0)


def no_socket(sockets):
    sockets.open.append(open("/dev/null", "rb"))


def wrong_place(sockets):
    sockets.listen("elsewhere.sock")


def for_everybody(sockets):
    sockets.listen("control.sock", mode=0o666)


def abstract(sockets):
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(f"\0relayd-test-{os.getpid()}")
    sock.listen()
    sockets.open.append(sock)


def connected(sockets):
    sockets.open.extend(socket.socketpair())


def twice(sockets):
    sockets.open.append(sockets.listen("control.sock").dup())


def auth(sockets):
    sockets.listen("auth.sock")


def gone(sockets):
    sockets.listen("control.sock")
    (sockets.relayd.run / "control.sock").unlink()


@pytest.mark.parametrize("make, words", [
    (wrong_type, "not of type stream"), (wrong_family, "no UNIX-domain"),
    (not_listening, "does not listen"), (no_socket, "is not a socket"),
    (wrong_place, "with that name ListenStream= must be .*control.sock"),
    (for_everybody, "SocketMode=0660"), (abstract, "no place in the file"),
    (connected, "does not listen"), (twice, "same place"),
    (auth, "relayd makes that one itself"), (gone, "lost its place")],
    ids=lambda v: v.__name__ if callable(v) else "")
def test_a_wrong_one_is_refused(make_relayd, make_sockets, connector, make,
                                words):
    relayd = make_relayd().connect_to(connector)
    sockets = make_sockets(relayd)
    make(sockets)
    names = ["x"] if make is auth else ["control"] * len(sockets.open)
    sockets.hand_over(names)
    relayd.start()
    assert relayd.wait_exit() == 78
    assert re.search(f"descriptor [34] .*{words}", relayd.log), relayd.log


def test_more_than_there_can_be(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    relayd.before = ["/bin/sh", "-c",
                     'LISTEN_FDS=99999 LISTEN_PID=$$ exec "$@"', "sh"]
    relayd.start()
    assert relayd.wait_exit() == 78
    assert "LISTEN_FDS" in relayd.log


@pytest.mark.root
def test_a_group_must_agree(make_relayd, make_sockets, connector):
    """The configuration and the unit both say who may: not two things."""
    relayd = make_relayd().connect_to(connector,
                                      agents={"group": "relay-agents"})
    sockets = make_sockets(relayd)
    sockets.listen("agent/main.sock")
    os.chown(relayd.agent_path(), -1, 12345)
    sockets.hand_over(["agent/main"])
    relayd.start()
    assert relayd.wait_exit() == 78
    assert "SocketGroup=" in relayd.log


