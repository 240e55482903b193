# SPDX-License-Identifier: ISC
"""An engine that is short of descriptors: clients go without before links and
pipes do, who is turned away is told why, and nobody else is blamed."""

import contextlib
import os
import subprocess

import pytest

from relay import Agent, LineSocket, TIMEOUT_S, until

CHILDREN = ("authd", "dialer", "engine")
# What common/limit.h keeps free of agents: for links and pipes, and for
# operators.
RESERVE, OPERATORS = 64, 64
# Agents of one user that a gateway takes, whatever the descriptors.
PER_USER = 32
# More than an engine with one gateway uses, and less than with all its
# agents.
ROOM = 40
LACK = "out of descriptors"
RAISE = "raise the limit of open files"


def prlimit(pid, *args):
    """Run prlimit as the process's own user: root may not everywhere."""
    words = ["/usr/bin/prlimit", f"--pid={pid}", *args]
    owner = _owner(pid)
    if os.geteuid() == 0 and owner:
        words[:0] = ["/usr/bin/setpriv", f"--reuid={owner[0]}",
                     f"--regid={owner[1]}", "--clear-groups"]
    return subprocess.run(words, check=True, text=True, capture_output=True,
                          timeout=TIMEOUT_S).stdout


def _owner(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
    return [lines[key].split()[0] for key in ("Uid", "Gid")]


@contextlib.contextmanager
def limited(pid, limit):
    """A process that may have no descriptor from this number on."""
    old = prlimit(pid, "--nofile", "--raw", "--noheadings",
                  "--output=SOFT").strip()
    prlimit(pid, f"--nofile={limit}:")
    try:
        yield
    finally:
        if os.path.exists(f"/proc/{pid}"):
            prlimit(pid, f"--nofile={old}:")


def pids(relayd, *roles):
    return {role: relayd.role_pid(role) for role in roles}


def redials(connector):
    """The link is dropped, and comes back."""
    before = connector.link()
    connector.drop()
    found = connector.gateway()
    connector.wait_for(
        lambda: found.link and found.link is not before
        and found.link.handshaken, TIMEOUT_S, "a new link")


def serves(connector, agent, text):
    said = connector.say("discord", "c1", text)
    delivery = agent.inbound(text)
    agent.ack(delivery)
    connector.wait_acked(said)
    assert agent.reply(delivery, f"re: {text}")["success"]


def is_turned_away(path):
    """An agent that comes now is told why, and closed."""
    with Agent(path) as agent:
        told = agent.wait_closed()
    assert [m["type"] for m in told] == ["error"]
    assert LACK in told[0]["error"]


def fill(relayd):
    """Agents come until one is turned away; those who are served."""
    served = []
    for _ in range(PER_USER):
        agent = relayd.agent(hello=False)
        with contextlib.suppress(OSError):
            agent.send({"type": "hello", "agent": "one of many"})
        first = agent.next()
        if first["type"] == "error":
            assert LACK in first["error"]
            agent.close()
            return served
        served.append(agent)
    pytest.fail("all were served")


def test_many_agents_leave_room(relayd, connector):
    before = pids(relayd, *CHILDREN)
    agent = relayd.agent()
    mark = relayd.log_mark()
    with limited(before["engine"], RESERVE + OPERATORS + ROOM):
        served = fill(relayd)
        is_turned_away(relayd.agent_path())
        assert len(relayd.gateway()["agents"]) == 1 + len(served)
        relayd.wait_log(f"event=agent .*descriptors.*{RAISE}", since=mark)
        for other in served:
            other.close()
        relayd.wait_agents(1)
        served = fill(relayd)
        redials(connector)
        relayd.wait_state()
        # A new pipe to each of its peers finds room, too.
        for role in ("dialer", "authd"):
            relayd.kill_and_wait(role)
            redials(connector)
        relayd.wait_state()
        for other in served:
            other.close()
        relayd.wait_agents(1)
        serves(connector, agent, "still there?")
    assert pids(relayd, "engine") == {"engine": before["engine"]}
    assert "event=offence" not in relayd.log


def test_links_come_before_all_clients(relayd, connector):
    """Less is left than the reserve: nobody new is served, the link is."""
    before = pids(relayd, *CHILDREN)
    agent = relayd.agent()
    mark = relayd.log_mark()
    with limited(before["engine"], ROOM + 4):
        for _ in range(PER_USER):
            is_turned_away(relayd.agent_path())
        for name in ("control.sock", "status.sock"):
            with LineSocket(relayd.run / name) as client:
                answer = client.recv()
                assert client.recv() is None
            assert not answer["ok"] and answer["code"] == "busy"
            assert LACK in answer["error"]
        relayd.wait_log(f"event=control .*{RAISE}", since=mark)
        for number in range(3):
            redials(connector)
            serves(connector, agent, f"{number}")
    said = [line for line in relayd.lines
            if "event=agent" in line and RAISE in line]
    assert 0 < len(said) < PER_USER / 2
    assert pids(relayd, *CHILDREN) == before
    with relayd.agent() as newcomer:
        newcomer.send({"type": "going_idle"})
        newcomer.expect("going_idle_ack")


def test_a_connection_that_cannot_be_received(relayd, connector):
    """No descriptor at all: the dial fails in words, and nobody is accused."""
    before = pids(relayd, *CHILDREN)
    agent = relayd.agent()

    def reason():
        link = relayd.state_json()["gateways"][0]
        return link["reason"] if link["state"] == "retrying" else ""
    with limited(before["engine"], 4):
        mark = relayd.log_mark()
        connector.drop()
        for _ in range(2):
            match = relayd.wait_log(
                "event=descriptors msg=\"CONNECTED from dialer came without",
                since=mark)
            mark = relayd.lines.index(match.string, mark) + 1
        until(lambda: "limit of open files" in reason(), "the reason")
    relayd.wait_state()
    serves(connector, agent, "at last")
    assert pids(relayd, *CHILDREN) == before
    assert "event=offence" not in relayd.log


def test_a_pipe_that_cannot_be_received(relayd, connector):
    """Without its new pipe the engine ends and says why; the next begins with
    all descriptors free."""
    before = pids(relayd, *CHILDREN)
    with limited(before["engine"], 4):
        mark = relayd.log_mark()
        relayd.kill("dialer")
        relayd.wait_log("engine.*PEER: cannot go on without its descriptor",
                        since=mark)
        relayd.wait_log(rf"engine \(pid {before['engine']}\) exited with "
                        "status 1", since=mark)
        relayd.role_pid("engine", other_than=before["engine"])
    relayd.wait_state()
    with relayd.agent() as agent:
        serves(connector, agent, "back")
    assert pids(relayd, "authd") == {"authd": before["authd"]}
