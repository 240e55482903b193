# SPDX-License-Identifier: ISC
"""An agent that says what it must not, too much, or too little: it alone has
the harm; the connector sees no breach, other agents notice nothing."""

import contextlib
import json
import os
import socket

import pytest

from hostile import MIB, Acker, Bystander, high_water, spoiled
from relay import SANITIZED, TIMEOUT_S, Agent, until

HELLO = {"type": "hello", "agent": "bad", "platform": "discord",
         "botId": "1234", "platforms": ["discord"], "window": 5,
         "ack_timeout": 60, "interactions": "event",
         "command_manifest": [{"name": "n"}]}
ACTION = {"op": "send", "chat_id": "c1", "content": "hello", "reply_to": "m0",
          "metadata": {"scope_id": "s1", "user_id": "u1", "x": [1]},
          "message_id": "m1", "prompt_id": "p1", "prompt_kind": "k",
          "options": [{"id": "yes", "label": "l"}], "kind": "discord.x",
          "session_key": "agent:main:discord:dm:c1", "timeout_s": 5}


class Peers:
    """A gateway with a bad agent and a good one, beside another gateway."""

    def __init__(self, relayd, connector, other):
        self.relayd, self.connector = relayd, connector
        self.pid = relayd.role_pid("engine")
        self.bystander = Bystander(relayd, other, "other")
        self.neighbour = relayd.agent(agent="good")

    def works(self, agent=None):
        """An event comes, and is answered."""
        agent = agent or self.neighbour
        said = self.connector.say("discord", "healthy", "still here")
        message = agent.inbound("still here")
        assert agent.reply(message, "yes")["success"]
        agent.ack(message)
        self.connector.wait_acked(said, timeout=TIMEOUT_S)

    def bad(self, **hello):
        return self.relayd.agent(agent="bad", **hello)

    def finish(self, memory=64 * MIB):
        self.works()
        self.bystander.finish()
        assert len(self.connector.dials) == 1
        assert self.relayd.find_pid("engine") == self.pid
        assert len(self.relayd.lines) < 2000
        if not SANITIZED:
            assert high_water(self.pid) < memory


@pytest.fixture(name="peers")
def _peers(make_relayd, make_connector):
    connector = make_connector(replay_window=0)
    other = make_connector("gw-other")
    relayd = make_relayd().connect_to(connector, "main", "gw-test")
    relayd.connect_to(other, "other", "gw-other")
    peers = Peers(relayd.start(wait="connected"), connector, other)
    # It has its session: what others do to theirs is nothing to it.
    peers.works()
    yield peers
    peers.finish()


def heard(agent, what):
    """All that came by the time that relayd has read what was sent so far."""
    agent.send({"type": "inbound_ack", "bufferId": "sync"})
    found = []
    while True:
        message = agent.next()
        assert message is not None, f"it was cut off after {what}"
        if message["type"] == "error" and "no such bufferId" in \
                message["error"]:
            return found
        found.append(message)


# Every field of every frame.

def test_wrong_types_in_every_field_of_a_hello(peers):
    for number, hello in enumerate(spoiled(HELLO)):
        agent = peers.relayd.agent(hello=False)
        agent.send(hello)
        agent.send({"type": "hello"})
        agent.send({"type": "inbound_ack", "bufferId": "sync"})
        agent.expect("error", lambda m: "no such bufferId" in m["error"])
        for message in agent.messages:
            assert message["type"] in ("descriptor", "link", "error"), message
        agent.close()
        if number % 16 == 15:
            peers.relayd.wait_agents(1)
            peers.works()


def test_wrong_types_in_every_field_of_an_action(peers):
    """Each request with an id is answered, once; whatever leaves keeps the
    contract (the connector looks)."""
    agent, count = peers.bad(), 0
    for op in ("send", "edit", "typing", "follow_up", "prompt"):
        for action in spoiled({**ACTION, "op": op}):
            request = agent.request(action)
            answer = agent.result(request)
            assert isinstance(answer["success"], bool)
            count += 1
    frame = {"type": "outbound", "requestId": "same", "platform": "discord",
             "botId": "1234", "action": {"op": "typing", "chat_id": "c1"}}
    for wrong in spoiled(frame):
        if isinstance(wrong.get("action"), dict) or "action" not in wrong:
            agent.send(wrong)
            count += 1
    heard(agent, "outbounds")
    assert count > 1000
    agent.close()


def test_wrong_types_in_every_other_field(peers):
    agent = peers.bad()
    for frame in ({"type": "inbound_ack", "bufferId": "x"},
                  {"type": "interrupt", "session_key": "k", "reason": "r"},
                  {"type": "interrupt_inbound", "session_key": "k"},
                  {"type": "going_idle_ack", "x": 1},
                  {"type": "inbound", "event": {"text": "t", "source": {}}},
                  {"type": "descriptor", "descriptor": {"platform": "x"}},
                  {"type": "outbound_result", "requestId": "r",
                   "result": {"success": True}}):
        for wrong in spoiled(frame):
            agent.send(wrong)
            agent.messages.clear()
            heard(agent, wrong)
    peers.works()
    agent.close()


# Acknowledgements.

def test_acknowledgements_of_what_is_others(peers):
    """Twice, for others, for none; a flood of them."""
    connector = peers.connector
    bad = peers.bad()
    for number in range(8):
        connector.say("discord", f"x{number}", f"x{number}")
    until(lambda: connector.counters["delivered"] >= 9, "all to be sent")
    relayd = peers.relayd
    relayd.wait_gateway(
        lambda g: sum(a["unacknowledged"] for a in g["agents"]) == 8,
        "to be in flight")
    heard(bad, "nothing")
    heard(peers.neighbour, "nothing")
    his = [m for m in peers.neighbour.messages if m["type"] == "inbound"
           and m["event"]["text"].startswith("x")]
    mine = [m for m in bad.messages if m["type"] == "inbound"]
    assert len(his) + len(mine) == 8 and his and mine
    epoch, _, seq = his[0]["bufferId"].rpartition("-")
    others = [m["bufferId"] for m in his]
    others += [f"{epoch}-{int(seq) + n}" for n in range(50, 60)]
    others += [f"{epoch}-0", f"{epoch}--1", f"{epoch}-{1 << 64}", epoch,
               f"{'0' * 16}-{seq}", f"{epoch.upper()}-{seq}", f"-{seq}", ""]
    for _ in range(100):
        for name in others:
            bad.ack(name)
        heard(bad, "acknowledgements of others'")
    assert relayd.gateway()["counters"]["agent_acks"] == 1
    for message in mine:
        for _ in range(3):
            bad.ack(message)
    heard(bad, "three of each")
    assert relayd.gateway()["counters"]["agent_acks"] == 1 + len(mine)
    for message in his:
        peers.neighbour.ack(message)
    connector.wait_all_acked()
    bad.close()


def test_who_never_acknowledges(peers):
    """What it has goes to others, in order; who else is served need not
    wait."""
    connector, relayd = peers.connector, peers.relayd
    good = Acker(peers.neighbour)
    for round_, patience in enumerate((3600, 1, 1)):
        mute = peers.bad(ack_timeout=patience, window=16)
        for number in range(60):
            connector.say("discord", f"m{round_}-{number % 12}",
                          f"{round_}.{number}")
        mute.inbound()
        # Acknowledgements wait for the first that it has; events do not.
        for number in range(20):
            text = f"{round_}.quick{number}"
            connector.say("discord", "healthy", text)
            until(lambda text=text: any(m["event"]["text"] == text
                                        for m in good.taken), "the quick one")
        if patience > 1:
            assert connector.unacked() > 0
            relayd.wait_agents(2)
        else:
            assert "no inbound_ack" in mute.wait_closed()[-1]["error"]
        mute.close()
        connector.wait_all_acked(timeout=2 * TIMEOUT_S)
    good.finish()
    texts = [m["event"]["text"] for m in good.taken]
    assert len(texts) == len(set(texts)) == 3 * (60 + 20)
    for chat in {m["event"]["source"]["chat_id"] for m in good.taken}:
        if chat[0] == "m":
            mine = [int(m["event"]["text"].split(".")[1]) for m in good.taken
                    if m["event"]["source"]["chat_id"] == chat]
            assert mine == sorted(mine) and len(mine) == 5
    assert relayd.gateway()["counters"]["aside"] == 0
    relayd.wait_agents(0)
    peers.neighbour = relayd.agent(agent="good")


# Ends in the midst.

@pytest.mark.parametrize("frame", [
    {"type": "hello", "agent": "cut", "platforms": ["discord"], "window": 3},
    {"type": "outbound", "requestId": "r", "action": {
        "op": "send", "chat_id": "cut", "content": "cut"}},
    {"type": "interrupt", "session_key": "cut", "reason": "cut"},
    {"type": "going_idle"},
], ids=lambda frame: frame["type"])
@pytest.mark.parametrize("reset", [False, True])
def test_an_end_at_every_byte(peers, frame, reset):
    """Nothing but a whole line does anything."""
    line = json.dumps(frame).encode()
    for at in range(len(line) + 1):
        agent = peers.relayd.agent(hello=False)
        if frame["type"] != "hello":
            agent.send({"type": "hello", "agent": "cut"})
        agent.send(line[:at])
        if reset:   # what it was sent is not read
            agent.sock.shutdown(socket.SHUT_RD)
        agent.close()
        if at % 8 == 7:
            peers.relayd.wait_agents(1)
    peers.relayd.wait_agents(1)
    peers.works()
    assert not [r for r in peers.connector.outbounds if r.chat_id == "cut"]
    assert not peers.connector.state.interrupts
    assert not [link for link in peers.connector.state.links
                if link.counters["going_idle"]]


def test_an_end_at_every_byte_of_an_acknowledgement(peers):
    """What was not acknowledged by a whole line comes again, to another, as it
    was; what was does not."""
    connector, relayd = peers.connector, peers.relayd
    peers.neighbour.close()
    relayd.wait_agents(0)
    at, length = 0, None
    while length is None or at <= length:
        said = connector.say("discord", f"e{at}", f"e{at}")
        with relayd.agent(agent="cut") as agent:
            first = agent.inbound(f"e{at}")
            line = json.dumps({"type": "inbound_ack",
                               "bufferId": first["bufferId"]}).encode()
            length = len(line)
            agent.send((line + b"\n")[:at])
        relayd.wait_agents(0)
        with relayd.agent(agent="next") as agent:
            again = agent.inbound(f"e{at}")
            assert again == {**first, "redelivered": True}
            agent.ack(again)
            connector.wait_acked(said)
        relayd.wait_agents(0)
        at += 1
    # The whole line, and at once the end.
    said = connector.say("discord", "whole", "whole")
    with relayd.agent(agent="cut") as agent:
        agent.ack(agent.inbound("whole"))
    connector.wait_acked(said)
    assert relayd.gateway()["counters"]["aside"] == 0
    peers.neighbour = relayd.agent(agent="good")
    heard(peers.neighbour, "hello")
    assert not [m for m in peers.neighbour.messages if m["type"] == "inbound"]


def test_thousands_who_say_nothing(peers):
    """They are refused in words, each of them; who is there stays, and once
    they are gone there is room."""
    path = peers.relayd.agent_path()
    waiting, refused = [], 0
    try:
        for _ in range(3000):
            agent = Agent(path)
            if len(waiting) < 31:
                waiting.append(agent)
                continue
            last = agent.wait_closed()
            assert [m["type"] for m in last] == ["error"]
            assert "32 agents" in last[0]["error"]
            agent.close()
            refused += 1
            if refused % 500 == 0:
                peers.works()
    finally:
        for agent in waiting:
            agent.close()
    assert refused == 3000 - 31
    said = [line for line in peers.relayd.lines if "turned away" in line]
    assert 1 <= len(said) < 100 and " level=warn " in said[0]
    peers.relayd.wait_agents(1)
    agent = peers.relayd.agent(agent="late")
    agent.close()


def test_thousands_at_once(peers):
    """More than the socket's queue holds; none of them reads."""
    def connect():
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect(str(peers.relayd.agent_path()))
        return sock
    for _ in range(10):
        socks = [connect() for _ in range(300)]
        peers.works()
        for sock in socks:
            sock.close()
    peers.relayd.wait_agents(1)
    fds = len(os.listdir(f"/proc/{peers.pid}/fd"))
    assert fds < 64, "sockets are left"


# Too much.

def test_a_flood_of_hellos(peers):
    agent = Acker(peers.bad())
    line = b'{"type":"hello","platform":"discord"}\n'
    bad = b'{"type":"hello","platform":"nowhere"}\n'
    for number in range(100):
        agent.agent.send((line + bad) * 500)
        if number % 25 == 0:
            peers.works()
    agent.finish()
    peers.relayd.wait_agents(1)


def test_a_flood_of_interrupts(peers):
    """The connector gets them; other agents' requests among them."""
    agent = peers.bad()
    line = json.dumps({"type": "interrupt", "reason": "x" * 50,
                       "session_key": "k" * 100}).encode() + b"\n"
    for _ in range(20):
        agent.send(line * 1000)
        peers.works()
    until(lambda: peers.connector.counters["interrupt"] == 20_000,
          "all interrupts")
    agent.close()


def test_a_flood_of_requests(peers):
    """The connector answers none: what is too much is refused in words, and
    another agent has its share."""
    connector = peers.connector
    connector.settings.egress = "off"
    connector.settings.results = False
    agent = peers.bad()
    ids = [agent.request({"op": "typing", "chat_id": "c1"})
           for _ in range(3000)]
    refused = [agent.result(name) for name in ids[1024:]]
    assert all("too many" in answer["error"] and not answer["success"]
               for answer in refused)
    request = peers.neighbour.request({"op": "typing", "chat_id": "c1"})
    connector.wait_for(lambda: len(connector.state.held) >= 1025, TIMEOUT_S)
    connector.unstall("results")
    assert peers.neighbour.result(request)["success"]
    for name in ids[:1024]:
        assert agent.result(name)["success"]
    agent.close()


def test_a_flood_of_large_requests_to_who_does_not_read(peers):
    """Neither they nor what others want to say fill the memory."""
    connector = peers.connector
    connector.settings.egress = "off"
    agent = peers.bad()
    connector.stall("read")
    pad = "x" * 400_000
    for _ in range(200):
        agent.request({"op": "typing", "chat_id": "c1", "pad": pad})
    heard(agent, "requests")
    refused = sum(m["type"] == "outbound_result" for m in agent.messages)
    assert 50 < refused < 200
    connector.unstall("read")
    until(lambda: peers.relayd.gateway()["counters"]["outbound_ok"]
          >= 200 - refused, "the others to be answered")
    agent.close()
