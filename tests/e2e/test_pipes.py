# SPDX-License-Identifier: ISC
"""Packets that must not be, written by the real process into the real pipe.

Each ends the process that sent it: its receiver says what is wrong and goes
on, the supervisor kills the sender and starts it again, service resumes.
"""

import contextlib
import errno
import itertools
import os
import socket
import struct
from pathlib import Path

import pytest

import inject
import stage as staging
from inject import FD_OF, MESSAGES, Raw, pack, packet

U32, U63, U64 = (1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1
LIMIT_PACKET = 65536

# (sender, receiver): a message between them that has a number to begin with,
# in a form that is right; what the test changes is wrong.
PIPES = {
    ("authd", "supervisor"): ("OFFENCE", 3, "x"),
    ("dialer", "supervisor"): ("OFFENCE", 3, "x"),
    ("engine", "supervisor"): ("OFFENCE", 1, "x"),
    ("authd", "engine"): ("TOKEN", 0, 1, "x", 1),
    ("dialer", "engine"): ("DIAL_FAILED", 0, 1, "x"),
    ("engine", "authd"): ("MINT", 0, 1),
    ("dialer", "authd"): ("REPORT", 0, 1),
    ("engine", "dialer"): ("DIAL", 0),
    # Nothing may be said here.
    ("authd", "dialer"): None,
}
# What stands in for a message where there is none.
STRANGE = ("DIAL", 0)

NO_ARRAY = "not an array"
NO_NUMBER = "no message number"
NO_SUCH = "no such message"
NO_CORR = "no correlation"
COUNT = "wrong number of fields"
FIELD = "a field of the wrong type or out of bounds"
SENDER = "message not from this sender"
RECEIVER = "message not for this receiver"
AFTER = "bytes after the message"


@pytest.fixture(scope="module", name="stages")
def _stages(daemon, ca_dir):
    yield from staging.stages_fixture(daemon, ca_dir)


def array(row):
    """A message as the list that is packed."""
    return [MESSAGES[row[0]].number, 5, *row[1:]]


def swap_first(value):
    """Another first field."""
    return lambda a: pack([*a[:2], value, *a[3:]])


def text_field(value):
    """Another text in place of the last one; None where there is none."""
    def change(a):
        at = [i for i, field in enumerate(a) if isinstance(field, str)]
        return pack([*a[:at[-1]], value, *a[at[-1] + 1:]]) if at else None
    return change


def padded(size):
    return lambda a: pack(a) + bytes(size - len(pack(a)))


# On every pipe: name, what becomes of the message, and what is said of it.
# What is said after the number was read is another thing where no message may
# be sent at all.
EVERYWHERE = [
    ("rubbish", lambda a: bytes(range(0xa0, 0xff)), NO_ARRAY),
    ("empty", lambda a: b"", "an empty packet"),
    ("no such number", lambda a: pack([14, *a[1:]]), NO_SUCH),
    ("a field too few", lambda a: pack(a[:-1]), COUNT),
    ("a field too many", lambda a: pack([*a, 0]), COUNT),
    ("a text for a number", swap_first("x"), FIELD),
    ("a number beyond its bound", swap_first(1024), FIELD),
    ("the last byte missing", lambda a: pack(a)[:-1], FIELD),
    ("a byte after it", lambda a: pack(a) + b"\0", AFTER),
    ("the longest packet", padded(LIMIT_PACKET), AFTER),
    ("a packet too long", padded(LIMIT_PACKET + 1), "packet too long"),
]
EARLY = (NO_ARRAY, "an empty packet", NO_SUCH, "packet too long")

# The finer forms, each on one pipe: there is one decoder.
FORMS = [
    ("a map", lambda a: pack({1: 2}), NO_ARRAY),
    ("an array's long head",
     lambda a: b"\xdc" + struct.pack(">H", len(a)) + pack(a)[1:], NO_ARRAY),
    ("an empty array", lambda a: pack([]), NO_NUMBER),
    ("number 0", lambda a: pack([0, *a[1:]]), NO_SUCH),
    ("the greatest number", lambda a: pack([0xffff, *a[1:]]), NO_SUCH),
    ("a number beyond", lambda a: pack([0x10000, *a[1:]]), NO_NUMBER),
    ("a number beyond by 2^32",
     lambda a: pack([(1 << 32) + a[0], *a[1:]]), NO_NUMBER),
    ("a text for its number", lambda a: pack(["x", *a[1:]]), NO_NUMBER),
    ("its number in a long form",
     lambda a: pack([Raw(b"\xcc" + bytes([a[0]])), *a[1:]]), NO_NUMBER),
    ("no correlation", lambda a: pack([a[0], "x", *a[2:]]), NO_CORR),
    ("a correlation beyond", lambda a: pack([a[0], U32 + 1, *a[2:]]),
     NO_CORR),
    ("a negative number", swap_first(-1), FIELD),
    ("nil", swap_first(None), FIELD),
    ("true", swap_first(True), FIELD),
    ("a fraction", swap_first(0.0), FIELD),
    ("an array within", swap_first([0]), FIELD),
    ("a number in a long form", swap_first(Raw(b"\xcd\x00\x00")), FIELD),
    ("a number of 64 bits", swap_first(U64), FIELD),
    ("a number of 2^32", swap_first(1 << 32), FIELD),
]
TEXTS = [
    ("bytes for a text", text_field(b"x"), FIELD),
    ("a number for a text", text_field(1), FIELD),
    ("a NUL in a text", text_field("a\0b"), FIELD),
    ("a text beyond its bound", text_field("x" * 600), FIELD),
    ("a text in a long form", text_field(Raw(b"\xd9\x01x")), FIELD),
    ("a text that ends early", text_field(Raw(b"\xdb\xff\xff\xff\xffx")),
     FIELD),
]


def foreign(sender, receiver):
    """A message that another may send to this receiver, one that this sender
    may send to another, one that nobody but the supervisor sends, and what is
    said of each."""
    picked = {}
    for message in MESSAGES.values():
        ours = sender in message.senders
        theirs = receiver in message.receivers
        if ours and theirs or message.has_fd == "FD_MUST":
            continue
        if ours:
            picked.setdefault("of ours for another", (message, RECEIVER))
        elif message.senders == ("supervisor",):
            picked.setdefault("of the supervisor", (message, SENDER))
        elif theirs:
            picked.setdefault("of another to this one", (message, SENDER))
    return [(f"a message {name}", pack(message.plain()), why)
            for name, (message, why) in picked.items()]


# What the state forbids: sender, receiver, packets, what is said.
MISORDERED = [
    *[(role, "supervisor", name, packets, why)
      for role in ("authd", "dialer", "engine")
      for name, packets, why in (
          ("STARTED again", [packet("STARTED", 0, 0, "", "")], "STARTED twice"),
          ("PONG unasked", [packet("PONG", U32)], "PONG without PING"),
          ("CONF_READY again", [packet("CONF_READY", 1)],
           "an answer to a configuration it was not given"),
          ("CONF_REFUSED of one to come", [packet("CONF_REFUSED", 9, "no")],
           "an answer to a configuration it was not given"),
          ("OFFENCE of the supervisor", [packet("OFFENCE", 0, "x")],
           "OFFENCE of one it does not talk with"))],
    ("authd", "supervisor", "OFFENCE of itself", [packet("OFFENCE", 1, "x")],
     "OFFENCE of one it does not talk with"),
    ("authd", "engine", "TOKEN unasked", [packet("TOKEN", 0, 1, "x", 1)],
     "a token that nobody asked for"),
    ("authd", "engine", "MINT_REFUSED unasked",
     [packet("MINT_REFUSED", 0, 1, 0, "x")],
     "the refusal of a token that nobody asked for"),
    ("dialer", "engine", "DIAL_FAILED unasked",
     [packet("DIAL_FAILED", 0, 1, "x", corr=0x7fff0001)],
     "an answer to a dial that nobody asked for"),
    ("engine", "dialer", "DIAL without endpoint",
     [packet("DIAL", staging.ABSENT, corr=0x7fff0001)],
     "a dial for a gateway that there is not"),
    ("engine", "dialer", "two DIALs at once",
     [packet("DIAL", 0, corr=0x7fff0001), packet("DIAL", 0, corr=0x7fff0002)],
     "two dials at once for one gateway"),
    ("engine", "dialer", "two DIALs of one number",
     [packet("DIAL", 0, corr=0x7fff0001), packet("DIAL", 1, corr=0x7fff0001)],
     "two dials of one number"),
    ("engine", "dialer", "DIAL_CANCEL of another's",
     [packet("DIAL", 0, corr=0x7fff0001),
      packet("DIAL_CANCEL", 1, corr=0x7fff0001)],
     "the end of another gateway's dial"),
    ("dialer", "authd", "REPORT of no gateway",
     [packet("REPORT", staging.ABSENT, U63)],
     "a connection for a gateway that there is not"),
    ("dialer", "authd", "REPORT of an old number", [packet("REPORT", 0, 1)],
     "a connection's number that was used before"),
]


def cases():
    """(sender, receiver, name, packets, why) of all but descriptors."""
    found = list(MISORDERED)
    for (sender, receiver), row in PIPES.items():
        message = array(row or STRANGE)
        for name, change, why in EVERYWHERE:
            said = why if row or why in EARLY else SENDER
            found.append((sender, receiver, name, [change(message)], said))
        for name, data, why in foreign(sender, receiver):
            found.append((sender, receiver, name, [data], why))
    spoken = [pipe for pipe, row in PIPES.items() if row]
    for (name, change, why), pipe in zip(FORMS, itertools.cycle(spoken)):
        found.append((*pipe, name, [change(array(PIPES[pipe]))], why))
    for (name, change, why), pipe in zip(TEXTS, itertools.cycle(
            pipe for pipe in spoken if "x" in PIPES[pipe])):
        found.append((*pipe, name, [change(array(PIPES[pipe]))], why))
    return found


def in_turns(rows):
    """So that a daemon serves for a death of each role."""
    by_sender = {}
    for row in rows:
        by_sender.setdefault(row[0], []).append(row)
    return [row for turn in itertools.zip_longest(*by_sender.values())
            for row in turn if row]


def named(rows):
    return [pytest.param(*row[:2], *row[3:],
                         id=f"{row[0]} to {row[1]}: {row[2]}")
            for row in in_turns(rows)]


@pytest.mark.parametrize("sender, receiver, packets, why", named(cases()))
def test_ends_the_sender(request, stages, sender, receiver, packets, why):
    stage = stages.get(request, sender)

    def act(p):
        for data in packets:
            assert p.write(FD_OF[sender][receiver], data) == len(data)
    if len(packets) == 1:
        stage.accused_of(sender, receiver, why, act)
        return
    # What is wrong with the second must not be over before it is read.
    with stage.puppet(receiver) as held:
        stage.accused_of(sender, receiver, why,
                         lambda p: (act(p), held.release()))


# Descriptors.

DESCRIPTORS = [
    (sender, receiver, name, count,
     "more than one descriptor" if count > 1 else
     "a descriptor with a message that has none" if row else SENDER)
    for (sender, receiver), row in PIPES.items()
    for name, count in (("a descriptor", 1), ("two descriptors", 2))]


@pytest.mark.parametrize("sender, receiver, count, why", named(DESCRIPTORS))
def test_descriptors_end_the_sender(request, stages, sender, receiver, count,
                                    why):
    stage = stages.get(request, sender)
    data = pack(array(PIPES[sender, receiver] or STRANGE))
    pid = stage.pids()[receiver]
    before = pipes_of(pid)

    def act(p):
        fds = [inject.FD_LOG] * count
        assert p.sendmsg(FD_OF[sender][receiver], data, fds) == len(data)
    stage.accused_of(sender, receiver, why, act)
    assert pipes_of(pid) == before, "a descriptor was kept"


def pipes_of(pid):
    """How many pipes a process has open; the log is one."""
    found = 0
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += os.readlink(fd).startswith("pipe:")
    return found


MISSING = [
    ("dialer", "engine", "CONNECTED without its socket", 0,
     packet("CONNECTED", 0, 1, "127.0.0.1:1", 1, corr=1),
     "a message without its descriptor"),
    ("dialer", "engine", "CONNECTED unasked", 1,
     packet("CONNECTED", 0, 1, "127.0.0.1:1", 1, corr=0x7fff0001),
     "a connection that nobody asked for"),
]


@pytest.mark.parametrize("sender, receiver, count, data, why", named(MISSING))
def test_connected(request, stages, sender, receiver, count, data, why):
    stage = stages.get(request, sender)
    stage.accused_of(
        sender, receiver, why, lambda p: p.sendmsg(
            FD_OF[sender][receiver], data,
            [p.call("socket", socket.AF_INET, socket.SOCK_STREAM, 0)] * count))


# What does no harm.

@pytest.mark.parametrize("sender, receiver", PIPES)
def test_the_kernel_takes_no_more(request, stages, sender, receiver):
    """What does not even fit into the socket's buffer stays where it was."""
    stage = stages.get(request)
    before = stage.pids()
    with stage.puppet(sender) as p:
        assert p.write(FD_OF[sender][receiver],
                       bytes(2 << 20)) == -errno.EMSGSIZE
    stage.serves()
    assert stage.pids() == before


def test_messages_that_cross_are_no_offence(request, stages):
    """The control: what is written by injection and right is taken."""
    stage = stages.get(request)
    before = stage.pids()
    with stage.puppet("engine") as p:
        assert p.write(FD_OF["engine"]["dialer"],
                       packet("DIAL_CANCEL", 0, corr=0x7fff0001)) > 0
        assert p.write(FD_OF["engine"]["supervisor"],
                       packet("GATEWAY_STATE", 1, 0, "injected", "said so")) > 0
    staging.relay.until(
        lambda: "injected" in str(stage.relayd.state_json()),
        "the injected state in the state file")
    stage.serves()
    assert stage.pids() == before
