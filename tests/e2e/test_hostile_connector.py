# SPDX-License-Identifier: ISC
"""A connector that sends what it must not, or too much of it: the link serves
on, memory and log stay bounded, and another gateway notices nothing."""

import base64
import json
import random
import struct

import pytest
from connector import lines, wsframes

from hostile import MIB, Acker, Bystander, high_water, spoiled
from relay import SANITIZED, TIMEOUT_S, until

pytestmark = pytest.mark.breach

SOURCE = {"platform": "discord", "chat_id": "c1", "chat_type": "group",
          "user_id": "u1", "thread_id": "t1", "chat_name": "n",
          "chat_topic": None, "user_name": "u", "scope_id": "s1",
          "guild_id": "g1", "user_id_alt": "ua", "chat_id_alt": "ca",
          "parent_chat_id": "pc", "message_id": "m1", "is_bot": False,
          "profile": "work", "prospective_thread_id": "pt"}
EVENT = {"text": "hello", "message_type": "text", "source": SOURCE,
         "message_id": "m1", "reply_to_message_id": "m0",
         "reply_to": {"text": "t", "author": "a", "is_own": False},
         "media_urls": ["https://example.com/x"],
         "media": [{"url": "u", "kind": "image", "mime": "image/png",
                    "size": 5, "filename": "f", "caption": "c"}],
         "context": [{"text": "t"}], "context_error": None,
         "prompt_response": {"prompt_id": "p1", "option_id": "yes",
                             "label": "l", "prompt_message_id": "m"}}
INTERACTION = {"id": "1", "type": 2, "channel_id": "ch", "guild_id": "g",
               "member": {"user": {"id": "u", "username": "n"}},
               "data": {"name": "cmd", "custom_id": "hp1:p1:yes", "options": [
                   {"name": "o", "type": 4, "value": 7}]}}
DESCRIPTOR = {"contract_version": 1, "platform": "discord", "label": "D",
              "max_message_length": 2000, "supports_draft_streaming": False,
              "supports_edit": True, "supports_threads": True,
              "markdown_dialect": "discord", "len_unit": "chars",
              "emoji": "x", "platform_hint": "", "pii_safe": False,
              "supported_ops": ["send", "typing"]}


def body(interaction):
    return base64.b64encode(json.dumps(interaction).encode()).decode()


FORWARD = {"platform": "discord", "botId": "1234", "method": "POST",
           "path": "/x", "headers": [["k", "v"]],
           "bodyB64": body(INTERACTION), "profile": "work"}


class Pair:
    """A gateway whose connector is bad, beside one whose is not."""

    def __init__(self, relayd, bad, good):
        self.relayd, self.bad, self.good = relayd, bad, good
        self.pid = relayd.role_pid("engine")
        self.bystander = Bystander(relayd, good, "other")

    def works(self, agent=None):
        """An event comes, and is answered."""
        made = agent or self.relayd.agent()
        said = self.bad.say("discord", "healthy", "still here")
        message = made.inbound("still here")
        made.ack(message)
        self.bad.wait_acked(said, timeout=TIMEOUT_S)
        assert made.act("typing", chat_id="healthy")["success"]
        if agent is None:
            made.close()

    def keep(self, frames):
        """Buffer frames as they are (each gets a bufferId), or lines that
        have %s in its place."""
        def add(state):
            gateway = self.bad.gateway()
            for frame in frames:
                if isinstance(frame, str):
                    entry = gateway.buffer.add({})
                    entry.line = frame % entry.buffer_id + "\n"
                else:
                    gateway.buffer.add(frame)
            gateway.link.work.set()
        self.bad.run(add, self.bad.state)

    def finish(self, memory=64 * MIB):
        self.bystander.finish()
        assert self.relayd.find_pid("engine") == self.pid
        if not SANITIZED:
            assert high_water(self.pid) < memory


@pytest.fixture(name="pair")
def _pair(make_relayd, make_connector):
    bad, good = make_connector(egress="off"), make_connector("gw-other")
    relayd = make_relayd().connect_to(bad, "main", "gw-test")
    relayd.connect_to(good, "other", "gw-other")
    pair = Pair(relayd.start(wait="connected"), bad, good)
    yield pair
    pair.finish()
    # The good one keeps to the contract, and so do we.
    good.assert_clean(unknown=True)


# Bytes.

RNG = random.Random(5)
HELLO = lines.dump({"type": "descriptor", "descriptor": DESCRIPTOR}).encode()
BREAKS = {
    "garbage": RNG.randbytes(100_000),
    "zeros": bytes(10_000),
    "http": b"HTTP/1.1 200 OK\r\n\r\n" * 10,
    "half a frame, then another": wsframes.frame(1, HELLO)[:40]
    + wsframes.frame(1, HELLO),
    "a giant frame": struct.pack("!BBQ", 0x81, 127, 1 << 62) + b"x" * 99,
    "a length beyond 63 bits": struct.pack("!BBQ", 0x81, 127, 1 << 63),
    "a frame above our bound": struct.pack("!BBQ", 0x81, 127, 65 * MIB),
    "a length in too long a form": struct.pack("!BBQ", 0x81, 127, 5),
    "reserved bits": wsframes.frame(1, b"{}\n", rsv=4),
    "a reserved opcode": wsframes.frame(3, b"x"),
    "a masked frame": wsframes.frame(1, b"{}\n", masked=True),
    "a continuation of nothing": wsframes.frame(0, b"x"),
    "a message within another": wsframes.frame(1, b"{", fin=False)
    + wsframes.frame(1, b"}"),
    "a ping in fragments": wsframes.frame(9, b"x", fin=False),
    "a ping too long": wsframes.frame(9, b"x" * 126),
    "half a close code": wsframes.frame(8, b"\x03"),
    "a close code that is none": wsframes.frame(8, struct.pack("!H", 1005)),
    "a close reason that is no text": wsframes.frame(8, b"\x03\xe8\xff\xfe"),
}


def test_bytes_that_end_the_connection(pair):
    """One after the other; each time it is dialled anew and served.  Those
    that leave the frame open are cut by the connector."""
    agent = pair.relayd.agent()
    for number, (name, data) in enumerate(BREAKS.items(), 1):
        link = pair.bad.wait_handshaken()
        pair.bad.send_raw(data)
        try:
            pair.bad.wait_for(lambda link=link: not link.open, 1)
        except TimeoutError:
            pair.bad.drop()
        pair.bad.wait_for(
            lambda link=link: pair.bad.link() not in (None, link),
            TIMEOUT_S, f"a new link after {name}")
        pair.works(agent)
        assert pair.relayd.gateway()["counters"]["handshakes"] == number + 1
    log = pair.relayd.log
    assert "broke the WebSocket protocol" in log
    assert "\x1b" not in log and "�" not in log


def test_every_prefix_of_a_frame(pair):
    """Cut at each byte; what was cut is not delivered."""
    event = {"type": "inbound", "event": {"text": "cut", "source": {
        "platform": "discord", "chat_id": "cut", "chat_type": "dm"}}}
    whole = wsframes.frame(wsframes.TEXT, lines.dump(event).encode())
    agent = pair.relayd.agent()
    for at in range(0, len(whole), 3):
        link = pair.bad.wait_handshaken()
        pair.bad.send_raw(whole[:at])
        pair.bad.run(lambda link=link: link.transport.close())
        pair.bad.wait_for(
            lambda link=link: pair.bad.link() not in (None, link),
            TIMEOUT_S, "a new link")
    pair.works(agent)
    assert not [m for m in agent.messages if m["type"] == "inbound"
                and m["event"]["text"] == "cut"]


# Lines.

DEEP = '{"type":"inbound","bufferId":"%s","event":' + "[" * 5000 + "]" * 5000 \
    + "}"
# %s is the bufferId.
UNTAKEABLE = [
    '{"type":"inbound","event":{]},"bufferId":"%s"}',
    '{"bufferId":"%s","type":"inbound","event":{"text":"x"}',
    '{"type":"inbound","event":"no object","bufferId":"%s"}',
    '{"type":"inbound","event":{},"bufferId":"%s"}',
    '{"type":"inbound","bufferId":"%s"}',
    '{"type":"inbound","type":"inbound","bufferId":"%s","event":{}}',
    '{"bufferId":"%s"}',
    '{"type":7,"bufferId":"%s"}',
    '{"type":"from_the_future","bufferId":"%s"}',
    '{"type":"inbound","bufferId":"%s","event":{"source":{"source":1},'
    '"source":{"platform":"discord","chat_id":"c"}}}',
    '{"type":"inbound","bufferId":"%s","event":{"source":{"platform":"discord"'
    ',"chat_id":"c","chat_id":"d","chat_type":"dm"}}}',
    '{"type":"passthrough_forward","forward":[],"bufferId":"%s"}',
    '{"type":"passthrough_forward","forward":{},"bufferId":"%s"}',
    '{"type":"inbound","bufferId":"%s","event":{"x":{"bufferId":"inner"}}}',
    '{"type":"inbound","bufferId":"%s","event":{"source":{"platform":"d","chat'
    '_id":"' + "y" * 3000 + '","chat_type":"dm"}}}',
    '{"type":"inbound","bufferId":"%s","event":{"text":NaN}}',
    '{"type":"inbound","bufferId":"%s","event":{"text":"\x01"}}', DEEP,
    '{"type":"inbound","event":{"text":"' + "z" * MIB + '"},"bufferId":"%s"}',
]


@pytest.mark.parametrize("window", [1, 0])
def test_entries_that_can_never_be_taken(pair, window):
    """They are acknowledged, in the order of arrival, among others that an
    agent takes."""
    pair.bad.settings.replay_window = window
    agent = Acker(pair.relayd.agent())
    for count, line in enumerate(UNTAKEABLE, 1):
        pair.keep([line])
        pair.bad.say("discord", "good", f"good{count}")
    try:
        pair.bad.wait_all_acked(timeout=2 * TIMEOUT_S)
    finally:
        agent.finish()
    assert [m["event"]["text"] for m in agent.taken] == [
        f"good{i}" for i in range(1, count + 1)]
    assert len(pair.bad.dials) == 1
    gateway = pair.relayd.gateway()["counters"]
    assert gateway["lines_bad"] + gateway["unknown_frames"] == count
    assert not pair.bad.violations
    # Numbers as well.
    pair.bad.settings.numeric_ids = True
    pair.keep([{"type": "inbound", "event": 5}, {"type": "inbound"},
               {"type": "from_the_future"}])
    pair.bad.wait_all_acked()
    assert not pair.bad.violations


def test_lines_that_are_none(pair):
    """Each costs itself; a good one comes between any two."""
    agent = pair.relayd.agent()
    bad = [b"nonsense", b"{", b"[]", b"5", b"null", b'"x"', b"{'a':1}",
           b'{"type":"x","y":"\xff\xfe"}', b'{"type":"x","y":"\xed\xa0\x80"}',
           b'{"type":"x"}{"type":"y"}', b"\x00", b"\xef\xbb\xbf{}",
           b'{"type":"x","y":"\x1b[31m"}', b"[" * 100_000, b'{"a":' * 9999,
           b'{"type":"inbound","type":"descriptor"}', b"\xf0\x9f\x94"]
    for line in bad:
        pair.bad.send_binary(line + b"\n")
        pair.works(agent)
    assert pair.relayd.gateway()["counters"]["lines_bad"] == len(bad)
    assert len(pair.bad.dials) == 1
    assert not pair.bad.violations
    assert "nonsense" not in pair.relayd.log and "\x1b" not in pair.relayd.log


# Every field of every frame.

def test_wrong_types_in_every_field_of_an_event(pair):
    frame = {"type": "inbound", "event": EVENT}
    events(pair, list(spoiled(frame)), {})


@pytest.mark.parametrize("interactions", ["raw", "event"])
def test_wrong_types_in_every_field_of_a_webhook(pair, interactions):
    frame = {"type": "passthrough_forward", "forward": FORWARD}
    frames = list(spoiled(frame))
    for interaction in spoiled(INTERACTION):
        frames.append({**frame,
                       "forward": {**FORWARD, "bodyB64": body(interaction)}})
    events(pair, frames, {"interactions": interactions})


def events(pair, frames, hello):
    """All are taken or not, but acknowledged, in order, over one
    connection."""
    assert len(frames) > 300
    pair.bad.settings.replay_window = 0
    agent = Acker(pair.relayd.agent(**hello))
    pair.keep(frames)
    try:
        pair.bad.wait_all_acked(timeout=3 * TIMEOUT_S)
    finally:
        agent.finish()
    assert len(pair.bad.dials) == 1 and not pair.bad.violations
    counters = pair.relayd.gateway()["counters"]
    assert counters["lines_bad"] > 0
    assert len(agent.taken) + counters["lines_bad"] \
        + counters["unknown_frames"] + counters["forwards_dropped"] \
        == len(frames)
    assert len(agent.taken) > len(frames) // 4
    for message in agent.taken:
        assert isinstance(message["session_key"], str)
    pair.works()


def test_wrong_types_in_every_other_field(pair):
    agent = pair.relayd.agent()
    pair.bad.settings.results = False
    request = agent.request({"op": "typing", "chat_id": "c1"})
    record = pair.bad.wait_outbound()
    frames = []
    for frame in (
            {"type": "outbound_result", "requestId": "r",
             "result": {"success": True, "message_id": "m", "error": "e",
                        "chat_info": {"name": "n", "type": "t"}}},
            {"type": "interrupt_inbound", "session_key": "agent:main:x:dm:y",
             "chat_id": "y"},
            {"type": "going_idle_ack", "x": 1},
            {"type": "inbound", "event": EVENT, "bufferId": "b"}):
        frames += spoiled(frame, but=[("event", key) for key in EVENT])
    frames += [{"type": kind} for kind in (
        "hello", "inbound_ack", "outbound", "interrupt", "going_idle", "link",
        "error", "descriptor", "inbound", "outbound_result")]
    for frame in frames:
        pair.bad.send(frame)
    until(lambda: pair.relayd.gateway()["counters"]["lines_in"]
          >= len(frames), "to have read all")
    pair.bad.unstall("results")
    assert record.result is not None
    assert agent.result(request)["success"]
    for message in agent.messages:
        if message["type"] == "inbound":
            agent.ack(message)
    assert len(pair.bad.dials) == 1
    pair.works()


def test_wrong_types_in_every_field_of_a_descriptor(pair):
    agent = pair.relayd.agent()
    count = 0
    for wrong in spoiled({"type": "descriptor", "descriptor": DESCRIPTOR}):
        pair.bad.send(wrong)
        count += 1
    pair.bad.send({"type": "descriptor", "descriptor": DESCRIPTOR})
    pair.works(agent)
    answer = agent.act("edit", chat_id="c1", message_id="m", content="x")
    assert not answer["success"] and "edit" in answer["error"]
    assert count > 200 and len(pair.bad.dials) == 1
    assert not [m for m in agent.messages if m["type"] == "descriptor"
                and not isinstance(m["descriptor"], dict)]


# Too much.

def bad_lines_logged(relayd):
    return [line for line in relayd.lines if "event=bad_line" in line]


def test_a_flood_of_bad_lines_is_logged_now_and_then(pair):
    count = 30_000
    agent = pair.relayd.agent()
    for _ in range(30):
        pair.bad.send_text('{"type":5,"x":"private"}\n' * (count // 30))
    pair.works(agent)
    until(lambda: pair.relayd.gateway()["counters"]["lines_bad"] == count,
          "to have counted them")
    said = bad_lines_logged(pair.relayd)
    # Two a second after the first twenty; the machine may be slow.
    assert 1 <= len(said) < count // 100, len(said)
    assert "private" not in pair.relayd.log
    assert len(pair.relayd.lines) < 1000


@pytest.mark.parametrize("reads", [True, False])
def test_a_flood_of_pings(pair, reads):
    """Its own answers must not fill our memory when it does not read them."""
    agent = pair.relayd.agent()
    if not reads:
        pair.bad.stall("read")
    for _ in range(100):
        pair.bad.ping(3000, b"p" * 125)
    if not reads:
        until(lambda: pair.relayd.gateway()["counters"]["bytes_in"]
              > 30 * MIB, "to have read them all")
        pair.bad.unstall("read")
    pair.works(agent)
    assert len(pair.bad.dials) == 1


def test_a_line_without_an_end(pair):
    agent = pair.relayd.agent()
    for _ in range(100):
        pair.bad.send_text("x" * MIB)
    pair.bad.send_text("\n")
    pair.works(agent)
    assert pair.relayd.gateway()["counters"]["lines_bad"] == 1


def test_frames_without_a_message(pair):
    """Fragments of nothing, and a message that does not end."""
    agent = pair.relayd.agent()
    pair.bad.send_raw(wsframes.frame(wsframes.TEXT, b"", fin=False))
    for _ in range(50):
        pair.bad.send_raw(wsframes.frame(wsframes.CONT, b"", fin=False)
                          * 10_000)
    pair.bad.send_raw(wsframes.frame(wsframes.CONT, b"\n"))
    pair.works(agent)
    assert len(pair.bad.dials) == 1


def test_results_that_nobody_asked_for(pair):
    agent = pair.relayd.agent()
    ids = [agent.request({"op": "typing", "chat_id": "c1"}) for _ in range(20)]
    for name in ids:
        assert agent.result(name)["success"]
    records = [r.frame["requestId"] for r in pair.bad.outbounds]
    for number in range(200):
        pair.bad.send_text("".join(
            lines.dump({"type": "outbound_result", "result": {"success": True},
                        "requestId": name})
            for name in [*records, f"x{number}", *ids, "r" * 3000, "", "1"]))
    pair.works(agent)
    assert len([m for m in agent.messages
                if m["type"] == "outbound_result"]) == len(ids) + 1
    counters = pair.relayd.gateway()["counters"]
    assert counters["outbound_ok"] == len(ids) + 1
    assert len(bad_lines_logged(pair.relayd)) < 200


def test_interrupts_of_sessions_that_nobody_has(pair):
    """To all agents; who does not read them holds up nobody."""
    agent = pair.relayd.agent()
    deaf = pair.relayd.agent(agent="deaf")
    line = lines.dump({"type": "interrupt_inbound", "chat_id": "x" * 200,
                       "session_key": "agent:main:discord:dm:" + "k" * 200})
    count = 60
    for number in range(count):
        pair.bad.send_text(line * 1000)
        for _ in range(1000):
            agent.expect("interrupt_inbound")
        agent.messages.clear()
    pair.relayd.wait_log("deaf.*does not read")
    deaf.close()
    pair.works(agent)


def test_descriptors_without_end(pair):
    """Each another one, and large; an agent that does not read is cut off."""
    agent = pair.relayd.agent()
    deaf = pair.relayd.agent(agent="deaf")
    for number in range(60):
        pair.bad.send({"type": "descriptor", "descriptor": {
            **DESCRIPTOR, "label": f"{number}", "pad": "x" * 500_000}})
        agent.expect("descriptor",
                     lambda m, n=number: m["descriptor"]["label"] == str(n))
        agent.messages.clear()
    pair.relayd.wait_log("deaf.*does not read")
    deaf.close()
    pair.works(agent)


def test_descriptors_that_shrink_and_vanish(pair):
    """What the last one allows holds; without one after a new handshake, what
    was known before."""
    agent = pair.relayd.agent()
    pair.bad.describe("discord", max_message_length=3, supported_ops=["send"])
    agent.expect("descriptor", lambda m: m["descriptor"].get(
        "max_message_length") == 3)
    answer = agent.act("send", chat_id="c1", content="four")
    assert not answer["success"] and "4" in answer["error"]
    assert not agent.act("typing", chat_id="c1")["success"]
    assert agent.act("send", chat_id="c1", content="thr")["success"]
    pair.bad.describe("discord", max_message_length=-1, supported_ops=[])
    agent.expect("descriptor", lambda m: m["descriptor"].get(
        "max_message_length") == -1)
    assert agent.act("send", chat_id="c1", content="x" * 4096)["success"]
    assert not agent.act("send", chat_id="c1", content="x" * 4097)["success"]
    assert agent.act("typing", chat_id="c1")["success"]
    # None at all: the link waits for it, and agents have the old one.
    pair.bad.stall("descriptors")
    link = pair.bad.wait_handshaken()
    pair.bad.drop()
    pair.bad.wait_for(lambda: pair.bad.link() not in (None, link), TIMEOUT_S,
                      "a new link")
    other = pair.relayd.agent(agent="other")
    assert [m["descriptor"]["max_message_length"] for m in other.messages
            if m["type"] == "descriptor"] == [-1]
    pair.bad.unstall("descriptors")
    other.close()
    pair.relayd.wait_agents(1)
    pair.works(agent)


def test_ten_thousand_chats_a_second(pair):
    """More chats and sessions than are remembered, as fast as they can be
    sent."""
    pair.bad.settings.replay_window = 0
    pair.bad.settings.framing.lines_per_message = 50
    agent = Acker(pair.relayd.agent(window=4096))
    part, parts = 10_000, 8
    for number in range(parts):
        def add(state, number=number):
            gateway = pair.bad.gateway()
            for i in range(part):
                source = {"platform": "discord", "scope_id": "s",
                          "chat_id": f"{number}-{i}", "chat_type": "dm",
                          "user_id": "u"}
                gateway.buffer.add({"type": "inbound", "event": {
                    "text": "x", "message_type": "text", "source": source}})
            gateway.link.work.set()
        pair.bad.run(add, pair.bad.state)
        pair.bad.wait_all_acked(timeout=3 * TIMEOUT_S)
    agent.finish()
    assert len(agent.taken) == part * parts
    assert len(pair.bad.dials) == 1
    assert len(pair.relayd.lines) < 1000
    pair.relayd.wait_agents(0)
    pair.works()
