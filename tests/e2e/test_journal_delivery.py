# SPDX-License-Identifier: ISC
"""What is in the journal when processes end, and what comes of it: nothing is
lost, nothing that an agent acknowledged comes again, each session in order;
events that agents do not survive are put aside; a full journal makes the
connector keep what comes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

import inject
from relay import SANITIZED, TIMEOUT_S, until
from stepper import Stepper

PER_CHAT = 6
# Of the events in flight when relayd ends; "b0" was acknowledged by the agent.
IN_FLIGHT = ["a0", "a1", "b1", "a2"]
ALL = [f"{chat}{i}" for i in range(PER_CHAT) for chat in "ab"]
REST = [text for text in ALL if text != "b0"]


@pytest.fixture(name="keeper")
def _keeper(make_relayd, make_connector):
    """A Relayd with such a journal, and its connector, which waits for no
    acknowledgement."""
    def make(agents=None, **journal):
        connector = make_connector(replay_window=0)
        relayd = make_relayd().connect_to(
            connector, journal=journal, agents=agents or {})
        return relayd.start(wait="connected"), connector
    return make


def texts(agent):
    return [m["event"]["text"] for m in agent.messages
            if m["type"] == "inbound"]


def counter(relayd, name, value, gateway="main"):
    relayd.wait_gateway(lambda g: g["counters"][name] == value,
                        f"to count {value} {name}", gateway)


def aside(relayd):
    """What was put aside, if it can be asked for: bufferIds."""
    answer = relayd.control({"cmd": "quarantine", "gateway": "main"})
    if answer.get("code") == "unknown_command":
        pytest.skip("no such command")
    assert answer["ok"], answer
    return [event["bufferId"] for event in answer["events"]]


def poisoned(relayd, connector):
    """An event is put aside: five agents ended with it."""
    connector.say("discord", "p", "poison")
    for _ in range(5):
        with relayd.agent() as agent:
            agent.inbound("poison")
        relayd.wait_agents(0)
    counter(relayd, "aside", 1)
    connector.wait_all_acked()


def fill(relayd, connector):
    """Events in flight, queued, acknowledged by the agent alone, put aside;
    the deliveries in flight by text."""
    poisoned(relayd, connector)
    agent = relayd.agent(window=4)
    for text in ALL:
        connector.say("discord", text[0], text)
    had = {text: agent.inbound(text) for text in ("a0", "b0", "a1", "b1")}
    agent.ack(had.pop("b0"))
    had["a2"] = agent.inbound("a2")
    counter(relayd, "agent_acks", 1)
    relayd.wait_gateway(lambda g: g["queue"]["events"] == len(REST),
                        "to have all the others")
    assert connector.unacked() == len(ALL)
    assert sorted(had) == sorted(IN_FLIGHT)
    return agent, had


def end_engine(relayd):
    relayd.kill_and_wait("engine")
    until(relayd.agent_path().exists, "the agents' socket")


def end_all(relayd):
    """Every process at once."""
    pids = relayd.pids()
    relayd.look()
    for pid in pids.values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    relayd.process.wait()
    relayd.start()


def end_in_order(relayd):
    relayd.stop()
    relayd.start()


def drain(relayd, count):
    """An agent that reads so many events before it acknowledges any; then
    all."""
    relayd.wait_state()
    agent = relayd.agent(window=64)
    got = [agent.inbound() for _ in range(count)]
    for delivery in got:
        agent.ack(delivery)
    return agent, got


def in_order(got):
    """Each session's events in order, none twice."""
    found = [m["event"]["text"] for m in got]
    assert len(set(found)) == len(found), found
    for chat in "ab":
        mine = [text for text in found if text[0] == chat]
        assert mine == sorted(mine)
    return found


@pytest.mark.parametrize("end, settings", [
    (end_engine, {}),
    (end_all, {}),
    (end_in_order, {}),
    (end_engine, {"where": "memory"}),
    (end_all, {"sync": True, "size": "4MiB"}),
])
def test_what_is_in_it_outlives(keeper, end, settings):
    relayd, connector = keeper(**settings)
    first, had = fill(relayd, connector)
    mark = relayd.log_mark()
    end(relayd)
    relayd.wait_log(rf"holds {len(REST)} events .* and 1 put aside; 0 records "
                    "were torn", since=mark)
    agent, got = drain(relayd, len(REST))
    assert sorted(in_order(got)) == sorted(REST)
    # They were in flight together: nobody is suspected.
    connector.wait_all_acked()
    for delivery in got:
        text = delivery["event"]["text"]
        assert delivery.get("redelivered", False) is (text in had), text
        if text in had:
            for member in ("bufferId", "session_key", "event"):
                assert delivery[member] == had[text][member]
    counters = relayd.gateway()["counters"]
    assert counters["recovered"] == len(REST)
    assert counters["suspects"] == counters["aside"] == 0
    assert counters["replays"] == len(ALL)
    # New ones go on, under ids that no other has.
    connector.say("discord", "a", "afterwards")
    last = agent.inbound("afterwards")
    assert last["bufferId"] not in {m["bufferId"] for m in
                                    first.messages + got if "bufferId" in m}
    agent.ack(last)
    connector.wait_all_acked()
    assert texts(agent) == [m["event"]["text"] for m in got] + ["afterwards"]


@pytest.mark.parametrize("end, settings", [
    (end_all, {"where": "memory"}), (end_in_order, {"where": "memory"}),
    (end_engine, {"where": "off"}), (end_in_order, {"where": "off"})])
def test_what_it_does_not_outlive(keeper, end, settings):
    """What the connector still has comes again, as if it were new; what was
    put aside is gone with the memory, and was acknowledged."""
    relayd, connector = keeper(**settings)
    _, had = fill(relayd, connector)
    end(relayd)
    agent, got = drain(relayd, len(ALL))
    assert sorted(in_order(got)) == sorted(ALL)
    assert not [m for m in got if "redelivered" in m]
    assert not {m["bufferId"] for m in got} & {
        m["bufferId"] for m in had.values()}
    connector.wait_all_acked()
    assert relayd.gateway()["counters"]["recovered"] == 0
    connector.say("discord", "a", "afterwards")
    agent.ack(agent.inbound("afterwards"))
    connector.wait_all_acked()


def test_ends_one_after_the_other(keeper):
    """The same events through each end in turn; one is acknowledged between
    any two."""
    relayd, connector = keeper()
    relayd.stop()
    relayd.start(wait="connected")
    for text in ALL:
        connector.say("discord", text[0], text)
    ids, taken = {}, []
    for end in (end_engine, end_all, end_in_order, end_engine, end_in_order,
                end_all):
        agent = relayd.agent()
        left = len(ALL) - len(taken)
        got = [agent.inbound() for _ in range(left)]
        assert not {m["event"]["text"] for m in got} & set(taken)
        in_order(got)
        for delivery in got:
            text = delivery["event"]["text"]
            assert delivery.get("redelivered", False) is (text in ids)
            assert ids.setdefault(text, delivery["bufferId"]) \
                == delivery["bufferId"]
        # The last: those before it keep it from the connector.
        agent.ack(got[-1])
        counter(relayd, "agent_acks", 1)
        taken.append(got[-1]["event"]["text"])
        assert connector.unacked() == len(ALL)
        end(relayd)
        relayd.wait_state()
    agent, got = drain(relayd, len(ALL) - len(taken))
    connector.wait_all_acked()
    assert sorted([m["event"]["text"] for m in got] + taken) == sorted(ALL)


def test_suspects_outlive(keeper):
    """Who died with an event alone is remembered over all ends: five deaths in
    all put it aside."""
    relayd, connector = keeper()
    connector.say("discord", "p", "poison")
    connector.say("discord", "p", "behind it")
    ids = set()
    for end in (end_engine, end_all, end_in_order, end_engine, None):
        with relayd.agent(window=1) as agent:
            ids.add(agent.inbound("poison")["bufferId"])
        relayd.wait_agents(0)
        if end:
            counter(relayd, "aside", 0)
            end(relayd)
            relayd.wait_state()
    counter(relayd, "aside", 1)
    agent = relayd.agent()
    agent.ack(agent.inbound("behind it"))
    connector.wait_all_acked()
    assert texts(agent) == ["behind it"] and len(ids) == 1
    end_all(relayd)
    relayd.wait_log("holds 0 events .* and 1 put aside")
    relayd.wait_state()
    connector.say("discord", "p", "later")
    agent = relayd.agent()
    agent.ack(agent.inbound("later"))
    assert texts(agent) == ["later"]
    connector.wait_all_acked()


# Writing it to the disk.

class Writes(Stepper):
    """Sees when the journal is written, and when something leaves for the
    connector."""

    NAMES = {26: "msync", 1: "send", 20: "send", 44: "send", 46: "send"}

    def __init__(self, pid):
        super().__init__(pid, "/", 0)
        self.tcp = {line.split()[9] for line in
                    open(f"/proc/{pid}/net/tcp", encoding="ascii")}

    def _due(self):
        regs = inject._Regs()
        self._ptrace(inject.PTRACE_GETREGS, inject.ctypes.byref(regs))
        name = self.NAMES.get(regs.orig_rax)
        if name == "msync" or (name == "send" and self._is_link(regs.rdi)):
            self.calls.append(name)
        return False

    def _is_link(self, fd):
        try:
            path = os.readlink(f"/proc/{self.pid}/fd/{fd}")
        except OSError:
            return False
        return path.startswith("socket:[") and path[8:-1] in self.tcp


@pytest.mark.skipif(inject.cannot() is not None, reason="cannot trace")
@pytest.mark.parametrize("sync", [True, False])
def test_sync_writes_before_each_acknowledgement(keeper, sync):
    relayd, connector = keeper(sync=sync)
    agent = relayd.agent()
    writes = Writes(relayd.role_pid("engine")).hold()
    try:
        for number in range(10):
            said = connector.say("discord", "c", f"n{number}")
            agent.ack(agent.inbound(f"n{number}"))
            connector.wait_acked(said)
    finally:
        writes.finish()
    assert writes.calls.count("send") >= 10
    if not sync:
        assert "msync" not in writes.calls
        return
    for before, call in zip([None, *writes.calls], writes.calls):
        assert call == "msync" or before == "msync", writes.calls


# Poison.

PROGRAM = """
import json, os, signal, socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.connect(sys.argv[1])
lines = sock.makefile("rwb", buffering=0)
lines.write(b'{"type":"hello","agent":"mortal"}\\n')
first, held = int(sys.argv[2]), []
while True:
    frame = json.loads(lines.readline() or sys.exit(0))
    if frame["type"] != "inbound":
        continue
    held.append(frame)
    if len(held) < first:
        continue
    first = 0
    for frame in held:
        if frame["event"]["text"] == "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        ack = {"type": "inbound_ack", "bufferId": frame["bufferId"]}
        lines.write(json.dumps(ack).encode() + b"\\n")
        print(frame["event"]["text"], frame.get("redelivered", False),
              flush=True)
    held.clear()
"""


class Program(threading.Thread):
    """An agent's program that dies of an event, and whoever starts it anew."""

    def __init__(self, path, first):
        super().__init__(daemon=True)
        self.path, self.first = str(path), first
        self.deaths, self.taken = 0, []
        self.process, self.over = None, False
        self.start()

    def run(self):
        while not self.over:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, self.path, str(self.first)],
                stdout=subprocess.PIPE, text=True)
            self.first = 0
            for line in self.process.stdout:
                self.taken.append(tuple(line.split()))
            self.deaths += self.process.wait() == -signal.SIGKILL

    def finish(self):
        self.over = True
        self.process.terminate()
        self.join(TIMEOUT_S)


def test_poison_among_twenty(keeper):
    """The first death makes suspects of all in flight; after five more, alone,
    it is put aside.  Whoever else was in flight is taken."""
    relayd, connector = keeper()
    said = [("poison" if i == 6 else f"n{i}", f"c{i % 4}") for i in range(20)]
    for text, chat in said:
        connector.say("discord", chat, text)
    relayd.wait_gateway(lambda g: g["queue"]["events"] == 20, "to have them")
    program = Program(relayd.agent_path(), first=20)
    try:
        connector.wait_all_acked(timeout=2 * TIMEOUT_S)
        counter(relayd, "aside", 1)
        assert connector.say("discord", "c2", "goes on")
        connector.wait_all_acked()
        until(lambda: any(text == "goes" for text, *_ in program.taken),
              "the program to take the next")
    finally:
        program.finish()
    assert program.deaths == 6
    taken = [line[0] for line in program.taken if line[0] != "goes"]
    others = [text for text, _ in said if text != "poison"]
    assert sorted(taken) == sorted(others), "each once, and no other"
    for chat in range(4):
        mine = [int(t[1:]) for t in taken if int(t[1:]) % 4 == chat]
        assert mine == sorted(mine)
    again = {line[0] for line in program.taken if line[1:] == ("True",)}
    assert again == {text for text, _ in said[7:]}
    relayd.wait_log(r" level=warn .*put aside: 5 times an agent ended with it")
    assert relayd.gateway()["counters"]["suspects"] == 14


def test_what_was_put_aside_is_shown_and_had_again(keeper):
    relayd, connector = keeper()
    poisoned(relayd, connector)
    name, = aside(relayd)
    end_all(relayd)
    relayd.wait_state()
    assert aside(relayd) == [name]
    agent = relayd.agent()
    assert relayd.control({"cmd": "requeue", "gateway": "main",
                           "bufferId": name})["ok"]
    delivery = agent.inbound("poison")
    assert delivery["bufferId"] == name and delivery["redelivered"]
    assert aside(relayd) == []
    agent.ack(delivery)
    counter(relayd, "agent_acks", 1)
    assert not relayd.control({"cmd": "requeue", "gateway": "main",
                               "bufferId": name})["ok"]
    agent.close()
    relayd.wait_agents(0)
    poison = connector.say("discord", "q", "poison")
    for _ in range(5):
        with relayd.agent() as agent:
            agent.inbound("poison")
        relayd.wait_agents(0)
    connector.wait_acked(poison)
    name, = aside(relayd)
    assert relayd.control({"cmd": "drop", "gateway": "main",
                           "bufferId": name})["ok"]
    assert aside(relayd) == []
    end_engine(relayd)
    assert aside(relayd) == []


# Too much.

LARGE = 20_000
SMALL_JOURNAL = "4MiB"


def large(number):
    return f"n{number} " + "x" * LARGE


def numbers(agent):
    return [int(text.split()[0][1:]) for text in texts(agent)]


def rss(relayd):
    with open(f"/proc/{relayd.role_pid('engine')}/status",
              encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status
                    if line.startswith("VmHWM:")) * 1024


def take(agent, connector, count):
    """Acknowledge what came and what comes."""
    for message in agent.messages:
        if message["type"] == "inbound":
            agent.ack(message)
    while len(texts(agent)) < count:
        message = agent.next()
        if message["type"] == "inbound":
            agent.ack(message)
    connector.wait_all_acked()
    assert numbers(agent) == list(range(count)), "in order, each once"


def press(relayd, connector):
    """Send one event after the other until relayd asks for no more; how
    many."""
    gateway, said = connector.gateway(), 0
    while not gateway.asleep:
        connector.say("discord", "c", large(said))
        said += 1
        relayd.wait_gateway(
            lambda g, n=said: gateway.asleep or g["counters"]["events_in"]
            >= n, "to have it")
        assert said < 4 * 1024 * 1024 // LARGE, "it is full, and not told"
    return said


def test_a_full_journal_lets_the_connector_keep(keeper):
    relayd, connector = keeper(size=SMALL_JOURNAL)
    agent = relayd.agent(window=4096)
    said = press(relayd, connector)
    assert relayd.gateway()["state"] == "connected"
    assert len(connector.dials) == 1
    had = relayd.gateway()["counters"]["events_in"]
    kept = 100
    for number in range(said, said + kept):
        connector.say("discord", "c", large(number))
    # All else goes on.
    for _ in range(20):
        assert agent.act("typing", chat_id="c")["success"]
        key = "agent:main:discord:dm:c"
        connector.interrupt(key, "c")
        assert agent.expect("interrupt_inbound")["session_key"] == key
    agent.send({"type": "interrupt", "session_key": key, "reason": "x"})
    connector.wait_interrupt(key)
    gateway = relayd.gateway()
    assert gateway["state"] == "connected"
    assert gateway["counters"]["events_in"] == had
    # Agents catch up: it comes back for what was kept.
    agent.messages, untaken = [], agent.messages
    agent.messages = [m for m in untaken if m["type"] == "inbound"]
    take(agent, connector, said + kept)
    relayd.wait_state()
    assert len(connector.dials) >= 2
    assert not connector.gateway().asleep
    assert connector.state.links[0].closed[0] == 1000
    if not SANITIZED:
        assert rss(relayd) < 48 << 20


def test_a_full_journal_over_an_end(keeper):
    """What it is full of, and what the connector keeps, after the end of
    all."""
    relayd, connector = keeper(size=SMALL_JOURNAL)
    hog = relayd.agent(window=1)
    said = press(relayd, connector)
    for number in range(said, said + 50):
        connector.say("discord", "c", large(number))
    assert numbers(hog) in ([], [0])
    end_all(relayd)
    relayd.wait_state()
    agent = relayd.agent()
    take(agent, connector, said + 50)


def test_a_flood_that_does_not_wait_to_be_asked(keeper):
    """Far more than it holds is under way before the connector hears of it."""
    relayd, connector = keeper(size=SMALL_JOURNAL)
    agent = relayd.agent(window=4096)
    total = 1000
    source = {"platform": "discord", "chat_id": "c", "chat_type": "dm"}
    connector.say_many([{"text": large(i), "message_type": "text",
                         "source": source} for i in range(total)])
    relayd.wait_gateway(lambda g: g["queue"]["bytes"] > 2 << 20, "to be full")
    take(agent, connector, total)
    relayd.wait_state()
    if not SANITIZED:
        assert rss(relayd) < 64 << 20


def test_the_longest_line_beside_what_was_put_aside(keeper):
    """The smallest journal that can be configured holds it."""
    relayd, connector = keeper(size=SMALL_JOURNAL)
    for number in range(6):
        connector.say("discord", f"p{number}", f"poison{number} "
                      + "y" * 140_000)
    for _ in range(30):
        with relayd.agent(window=1) as agent:
            agent.inbound()
        relayd.wait_agents(0)
    counter(relayd, "aside", 6)
    connector.wait_all_acked()
    agent = relayd.agent()
    line = len(json.dumps({"type": "inbound", "event": {"text": "", "source": {
        "platform": "discord", "chat_id": "c", "chat_type": "dm"}}}))
    for number in range(5):
        text = f"n{number} " + "x" * ((1 << 20) - line - 400)
        connector.say("discord", "c", text)
        agent.ack(agent.inbound(text))
        connector.wait_all_acked()
    assert relayd.gateway()["counters"]["lines_bad"] == 0
