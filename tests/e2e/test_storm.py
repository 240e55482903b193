# SPDX-License-Identifier: ISC
"""A storm: events flow through real processes while everything is killed at
random, again and again.  Every event is taken, in order within its chat, and
acknowledged to the connector once; what comes twice is what nobody had heard
the acknowledgement of.

It is a small one but in make check-release.  STORM_EVENTS and STORM_KILLS
change its size, STORM_SEED repeats its choices.
"""

import contextlib
import json
import os
import random
import signal
import threading

import pytest

from agents import LineSocket
from base import TIMEOUT_S, until
from connector.orders import make_event

LONG = bool(os.environ.get("SLOW"))
EVENTS = int(os.environ.get("STORM_EVENTS", 100_000 if LONG else 5000))
KILLS = int(os.environ.get("STORM_KILLS", 300 if LONG else 20))
AGENTS, CHATS = 8, 40
# Of events that the connector has out: enough that all agents are at work.
WAITING = 2000
# Who dies, how often in comparison.
VICTIMS = {"agent": 6, "engine": 4, "supervisor": 3, "connector": 3,
           "dialer": 2, "authd": 2}


class Books:
    """What agents acknowledged, in the order in which they did."""

    def __init__(self):
        self.lock = threading.Lock()
        self.connection = {}    # number of an event: where it was last taken
        self.order = {chat: [] for chat in range(CHATS)}
        self.again = []         # (number, where it was taken before)
        self.as_new = []        # came again, as if it were new

    def take(self, number, redelivered, connection):
        """An acknowledgement is about to leave."""
        with self.lock:
            before = self.connection.get(number)
            self.connection[number] = connection
            if before is None:
                self.order[number % CHATS].append(number)
                return
            self.again.append((number, before))
            if not redelivered:
                self.as_new.append(number)

    def without_cause(self):
        """What came again though the connection on which it was first taken
        went on, so that its acknowledgement cannot have been lost."""
        return [number for number, before in self.again if not before.broken]


class Connection:
    """An agent's; broken: its end was nobody's wish."""

    broken = False


class Taker(threading.Thread):
    """An agent that takes what it gets, comes again when it is cut off, and
    dies when it is told to."""

    def __init__(self, relayd, books):
        super().__init__(daemon=True)
        self.relayd, self.books = relayd, books
        self.over, self.die = threading.Event(), threading.Event()
        self.error = None

    def run(self):
        try:
            while not self.over.is_set():
                self.attach()
        except Exception as error:      # told by the test
            self.error = error

    def attach(self):
        connection = Connection()
        self.die.clear()
        try:
            with LineSocket(self.relayd.agent_path()) as sock:
                sock.send({"type": "hello", "agent": "taker"})
                self.serve(sock, connection)
        except OSError:
            self.over.wait(0.02)    # relayd is away, or its engine
        connection.broken = not self.over.is_set()

    def serve(self, sock, connection):
        while not self.over.is_set() and not self.die.is_set():
            try:
                line = sock.recv_line(0.1)
            except TimeoutError:
                continue
            if line is None:
                return
            # What is cut off from here on may have been heard, or not.
            message = json.loads(line)
            if message["type"] == "inbound":
                self.books.take(int(message["event"]["text"][1:]),
                                message.get("redelivered", False), connection)
                sock.send({"type": "inbound_ack",
                           "bufferId": message["bufferId"]})


class Storm:
    def __init__(self, relayd, connector, choose):
        self.relayd, self.connector, self.choose = relayd, connector, choose
        self.books = Books()
        self.takers = [Taker(relayd, self.books) for _ in range(AGENTS)]
        self.sent = 0
        self.killed = dict.fromkeys(VICTIMS, 0)

    def feed(self):
        """Have the connector send more, live or for when the link is back."""
        room = min(WAITING - self.connector.unacked(), EVENTS - self.sent)
        if room > 0:
            self.connector.say_many(
                [make_event("discord", f"c{n % CHATS}", f"n{n}", {})
                 for n in range(self.sent, self.sent + room)])
            self.sent += room

    def look(self):
        """relayd ends by itself when a process died too often."""
        if self.relayd.process.poll() is not None:
            self.relayd.wait_exit()
            self.relayd.assert_gone()
            self.relayd.start()
        for taker in self.takers:
            assert taker.error is None, taker.error

    def until_taken(self, number, what):
        def reached():
            self.look()
            self.feed()
            return len(self.books.connection) >= number
        until(reached, lambda: f"{what}: {len(self.books.connection)} of "
              f"{number} taken", 6 * TIMEOUT_S)

    def kill(self, victim):
        if victim == "agent":
            self.choose.choice(self.takers).die.set()
        elif victim == "connector":
            self.connector.restart()
        elif (pid := self.relayd.find_pid(victim)) is None:
            return              # it is down already
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.killed[victim] += 1

    def rage(self):
        victims = list(VICTIMS)
        for n in range(KILLS):
            self.kill(self.choose.choices(victims, VICTIMS.values())[0])
            self.until_taken(EVENTS * (n + 1) // (KILLS + 1), f"kill {n}")


@pytest.mark.unclean
def test_everything_is_killed(make_relayd, make_connector, capsys):
    seed = int(os.environ.get("STORM_SEED", random.randrange(1 << 32)))
    connector = make_connector()
    relayd = make_relayd().connect_to(connector, reconnect={
        "min": "10ms", "max": "100ms"}).start(wait="connected")
    storm = Storm(relayd, connector, random.Random(seed))
    for taker in storm.takers:
        taker.start()
    try:
        storm.rage()
        storm.until_taken(EVENTS, "the rest")
        until(lambda: storm.look() or connector.unacked() == 0,
              lambda: f"{connector.unacked()} acknowledgements", 6 * TIMEOUT_S)
    finally:
        for taker in storm.takers:
            taker.over.set()
        for taker in storm.takers:
            taker.join(TIMEOUT_S)
    books, died = storm.books, sum(storm.killed.values())
    with capsys.disabled():
        print(f"\nstorm {seed}: {EVENTS} events, {died} kills "
              f"({', '.join(f'{v} {n}' for v, n in storm.killed.items())}); "
              f"{len(books.connection)} taken, {len(books.again)} of them "
              "again, their first acknowledgement lost with its connection")
    assert not books.without_cause(), books.without_cause()[:20]
    assert not books.as_new, books.as_new[:20]
    assert set(books.connection) == set(range(EVENTS))
    for chat, numbers in books.order.items():
        assert numbers == sorted(numbers), f"chat {chat}"
    assert connector.counters["acked"] == EVENTS
    until(lambda: relayd.gateway()["queue"]["events"] == 0, "an empty queue")
    assert relayd.gateway()["counters"]["aside"] == 0
    connector.assert_clean(unknown=True)
