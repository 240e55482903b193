# SPDX-License-Identifier: ISC
"""What tests of hostile peers share: frames whose every field is wrong in
every way, somebody who must not notice, and what the engine may take."""

import copy
import itertools
import socket
import threading
from pathlib import Path

from relay import TIMEOUT_S, until

MIB = 1 << 20
# In the place of a value; GONE: it is not there at all.
GONE = object()
WRONG = [None, True, False, 0, 5, -1, 1.5, 1e300, 1 << 70, "", "x", "a:b\n\t",
         "\0\u001b[31m\u202e", "x" * 3000, [], {}, [[[]]], {"": {"": None}},
         ["x", 5], {"type": "hello", "bufferId": "inner"}, GONE]


def places(value, path=()):
    """The path of everything in a value but itself."""
    inner = value.items() if isinstance(value, dict) else \
        enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*path, key)
        yield from places(item, (*path, key))


def put(value, path, wrong):
    """A copy with something else there."""
    value = copy.deepcopy(value)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    if wrong is GONE:
        del inner[path[-1]]
    else:
        inner[path[-1]] = wrong
    return value


def spoiled(frame, but=()):
    """The frame with every field wrong in every way, one at a time; fields at
    the paths in `but` stay."""
    for path in places(frame):
        if path not in but:
            for wrong in WRONG:
                yield put(frame, path, wrong)


class Bystander(threading.Thread):
    """Exchanges messages over another gateway until told to end: what is done
    to the one must not be noticed at the other."""

    def __init__(self, relayd, connector, name):
        super().__init__(daemon=True)
        self.relayd, self.connector, self.name_ = relayd, connector, name
        self.agent = relayd.agent(name)
        self.over = threading.Event()
        self.rounds, self.error = 0, None
        self.start()

    def run(self):
        try:
            for number in itertools.count():
                if self.over.wait(0.02):
                    return
                said = self.connector.say("discord", "calm", f"r{number}")
                delivery = self.agent.inbound(f"r{number}")
                assert "redelivered" not in delivery
                assert self.agent.reply(delivery, f"a{number}")["success"]
                self.agent.ack(delivery)
                self.connector.wait_acked(said, timeout=TIMEOUT_S)
                self.rounds += 1
        except BaseException as error:      # told by finish()
            self.error = error

    def finish(self):
        """It must have been served all the while, over one connection."""
        until(lambda: self.rounds > 0 or self.error, "a round")
        self.over.set()
        self.join(2 * TIMEOUT_S)
        if self.error:
            raise self.error
        assert len(self.connector.dials) == 1
        gateway = self.relayd.gateway(self.name_)
        assert gateway["state"] == "connected"
        assert gateway["counters"]["losses"] == 0
        self.agent.close()


def high_water(pid):
    """The most memory that a process ever had, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise LookupError("no VmHWM")


class Acker(threading.Thread):
    """Acknowledges whatever an agent gets; `taken` are the deliveries."""

    def __init__(self, agent):
        super().__init__(daemon=True)
        self.agent, self.taken, self.error = agent, [], None
        self.start()

    def run(self):
        try:
            while True:
                message = self.agent.recv(6 * TIMEOUT_S)
                if message is None:
                    return
                if message["type"] in ("inbound", "passthrough_forward"):
                    self.taken.append(message)
                    self.agent.ack(message)
        except OSError:
            pass        # it was closed under us
        except BaseException as error:      # told by finish()
            self.error = error

    def finish(self):
        self.agent.sock.shutdown(socket.SHUT_RDWR)
        self.join(TIMEOUT_S)
        self.agent.close()
        if self.error:
            raise self.error
