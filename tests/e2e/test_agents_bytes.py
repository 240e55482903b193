# SPDX-License-Identifier: ISC
"""The agents' socket by its bytes: what is no line, what is too much, who does
not read, and that an event arrives as the bytes it came in."""

import json
import random
import socket
from pathlib import Path

import pytest
from connector import lines

from relay import SANITIZED, Agent, until

MIB = 1 << 20
UNKNOWN = b'{"type":"from_the_future","x":"%s"}\n'


def works(relayd, connector, agent=None):
    """The engine still serves: an event goes to and fro."""
    agent = agent or relayd.agent(agent="healthy")
    connector.say("discord", "healthy", "still here")
    agent.ack(agent.inbound("still here"))
    connector.wait_all_acked()
    return agent


def last_error(agent):
    """The sentence that the connection ended with."""
    last = agent.wait_closed()[-1]
    assert last["type"] == "error", last
    return last["error"]


def high_water(pid):
    """The most memory that a process ever had, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise LookupError("no VmHWM")


# Lines.

def test_what_is_unknown_is_ignored(relayd, connector):
    agent = relayd.agent()
    agent.send(b"\n\r\n\n")
    agent.send(UNKNOWN % b"1")
    agent.send(b'{"type":"","x":{"y":[]}}\r\n')
    agent.send({"type": "hello", "platform": "discord", "future": {"a": 1}})
    for kind in ("inbound", "descriptor", "link", "error", "outbound_result"):
        agent.send({"type": kind})
    connector.say("discord", "c1", "x", future={"deep": [None, {}]})
    delivery = agent.inbound("x")
    assert delivery["event"]["future"] == {"deep": [None, {}]}
    agent.send({"type": "inbound_ack", "bufferId": delivery["bufferId"],
                "future": True})
    connector.wait_all_acked()
    assert not [m for m in agent.messages if m["type"] == "error"]
    assert relayd.gateway()["counters"]["unknown_frames"] == 7


@pytest.mark.parametrize("bad", [
    b"nonsense", b"{", b"[]", b"5", b"null", b'"x"', b'{"type":5}',
    b'{"kind":"hello"}', b'{"type":"hello","type":"hello"}',
    b'{"type":"hello",}', b'{"type":"x"}{"type":"y"}', b"{'type':'hello'}",
    b'{"type":"x","y":NaN}', b'{"type":"x","y":"\xff\xfe"}',
    b'{"type":"x","y":"\xed\xa0\x80"}', b'{"type":"x","y":"\x1b[31m"}',
    b"\x00\x00", b'{"type":"x"}\x00', b"\xef\xbb\xbf{}",
    b'{"type":"x","y":' + b"[" * 5000 + b"]" * 5000 + b"}",
])
def test_a_bad_line_costs_that_line(relayd, connector, bad):
    agent = relayd.agent()
    agent.send(bad + b"\n")
    line = agent.recv_line()
    while b'"type":"error"' not in line:
        line = agent.recv_line()
    assert len(line) < 600 and line.isascii() and b"\x1b" not in line
    assert json.loads(line)["error"]
    works(relayd, connector, agent)
    assert "\x1b" not in relayd.log
    assert relayd.gateway()["counters"]["agent_lines_bad"] == 1


def test_a_line_may_have_a_mebibyte_and_no_more(relayd, connector):
    agent = relayd.agent(agent="long")
    room = MIB - len(UNKNOWN % b"") + 1
    agent.send(UNKNOWN % (b"x" * room))
    works(relayd, connector, agent)
    agent.send(UNKNOWN % (b"x" * (room + 1)))
    assert "1 MiB" in last_error(agent)
    relayd.wait_log("long.*1 MiB")
    # Neither is the beginning of one kept for ever.
    endless = relayd.agent(hello=False)
    with pytest.raises(OSError):
        for _ in range(64):
            endless.send(b"y" * MIB)
    works(relayd, connector)


@pytest.mark.parametrize("said, word", [
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP"),
    (b"POST /relay HTTP/1.1\r\n\r\n", "HTTP"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
])
@pytest.mark.parametrize("piece", [1, 1000])
def test_a_strangers_protocol_costs_the_connection(
        relayd, connector, said, word, piece):
    stranger = relayd.agent(hello=False)
    for i in range(0, len(said), piece):
        try:
            stranger.send(said[i:i + piece])
        except BrokenPipeError:
            break               # it knew enough
    assert word in last_error(stranger)
    works(relayd, connector)


def test_binary_rubbish(relayd, connector):
    rng = random.Random(7)
    healthy = works(relayd, connector)
    for size in (1, 100, 5000, 300_000, 3 * MIB):
        rubbish = relayd.agent(hello=False)
        try:
            rubbish.send(rng.randbytes(size))
            rubbish.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass                # a line grew too long
        for message in rubbish.wait_closed():
            assert message["type"] == "error" and message["error"].isascii()
        works(relayd, connector, healthy)
    relayd.wait_agents(1)


@pytest.mark.parametrize("shut", [True, False])
def test_a_line_cut_anywhere_does_nothing(relayd, connector, shut):
    """Each time one byte more of what would be sent if it were a line."""
    connector.settings.egress = "off"
    line = (b'{"type":"outbound","requestId":"\xc3\xa9\\n","action":{"op":'
            b'"send","chat_id":"c1","content":"x"}}')
    hello = b'{"type":"hello","agent":"cut"}\n'
    pid = relayd.role_pid("engine")
    for at in range(len(line) + 1):
        agent = relayd.agent(hello=False)
        agent.send(hello[:at] if at % 3 == 0 else hello + line[:at])
        if shut:
            agent.sock.shutdown(socket.SHUT_WR)
            agent.wait_closed()
        agent.close()
        if at % 16 == 15:
            relayd.wait_agents(0)
    works(relayd, connector)
    assert not connector.outbounds
    assert relayd.role_pid("engine") == pid


def test_half_a_user_is_enough(relayd, connector):
    """One user cannot take every place; who has none is told."""
    agents = [relayd.agent(agent=str(i)) for i in range(32)]
    assert "32 agents" in last_error(relayd.agent(hello=False))
    for agent in agents:
        agent.close()
    relayd.wait_agents(0)
    works(relayd, connector)


# Events as they came.

ODD = [
    r'{"text":"é 漢 🙂 \u00e9\ud83d\ude42\/\"\\\b\f\n\r\t\u0000\u001b[31m",'
    r'"source":{"platform":"discord","chat_id":"c1","chat_type":"dm"}}',
    r'{ "source" : {"chat_id":"\u0063\u0032","platform":"disc\u006frd"  } ,'
    '\t"n":[1.0e+10,-0,0.10,1E-2,123456789012345678901234567890],"text":"" }',
    r'{"text":"\ud800 lone","source":{"platform":"discord","chat_id":"c3",'
    r'"user_id":null,"x":{"bufferId":"\"},{","event":{}}},"":"","":""}',
]


@pytest.mark.parametrize("event", ODD)
def test_an_event_arrives_as_the_bytes_it_came_in(relayd, connector, event):
    agent = relayd.agent()
    for head, tail in (
            (f'{{"type":"inbound","event":{event}', ""),
            (f' {{ "bufferId" : null,"event" : {event} ,\t"type":',
             '"\\u0069nbound", "more":{"é":[1.50]} ')):
        connector.send(head + tail + "}\t\r")
        raw = agent.recv_line()
        while b'"session_key"' not in raw:
            raw = agent.recv_line()
        # Two members are ours; nothing else is changed.
        delivery = json.loads(raw)
        ours = {name: json.dumps(delivery[name], ensure_ascii=False)
                for name in ("bufferId", "session_key")}
        if tail:
            head = head.replace("null", ours["bufferId"], 1)
        else:
            tail += f',"bufferId":{ours["bufferId"]}'
        tail += f',"session_key":{ours["session_key"]}}}'
        assert raw.decode() == head + tail
        agent.ack(delivery)
    works(relayd, connector, agent)


def test_results_and_descriptors_arrive_as_they_came(relayd, connector):
    agent = relayd.agent()
    connector.settings.results = False
    agent.request({"op": "typing", "chat_id": "c1"})
    record = connector.wait_outbound()
    result = r'{ "success" : true,"x":"\u00e9é🙂\/","n":1.00e1,"":[ ] }'
    connector.send('{"type":"outbound_result","result":%s ,"requestId":"%s"}'
                   % (result, record.frame["requestId"]))
    raw = agent.recv_line()
    while b"outbound_result" not in raw:
        raw = agent.recv_line()
    assert result.encode() in raw


def test_large_events(make_relayd, make_connector):
    connector = make_connector(replay_window=0)
    relayd = make_relayd().connect_to(connector).start(wait="connected")
    agent = relayd.agent()
    texts = ["é" * (450 << 10), "x" * (900 << 10), "\n\"" * (225 << 10)]
    for i, text in enumerate(texts):
        connector.say("discord", f"c{i}", text)
    for text in texts:
        delivery = agent.inbound()
        assert delivery["event"]["text"] == text
        agent.ack(delivery)
    connector.wait_all_acked()
    # The longest line that the contract allows.
    frame = json.loads(lines.dump({"type": "inbound", "event": {
        "text": "", "source": {"platform": "discord", "chat_id": "c1"}}}))
    frame["event"]["text"] = "z" * (MIB - len(lines.dump(frame)) + 1)
    assert len(lines.dump(frame)) == MIB + 1
    connector.send(frame)
    agent.ack(agent.inbound(frame["event"]["text"]))
    # And back: the connector judges the length, not we.
    result = agent.act("send", chat_id="c1", content="w" * (900 << 10),
                       metadata={"user_id": "u"})
    assert "921600" in result["error"]


# Agents that do not read.

def flood(connector, chat, count, size, name):
    event = {"text": "", "message_type": "text", "source": {
        "platform": "discord", "chat_id": chat, "chat_type": "dm"}}
    return connector.say_many([{**event, "text": f"{name}{i} " + "x" * size}
                               for i in range(count)])


def test_who_does_not_read_events_holds_up_nobody(make_relayd,
                                                  make_connector):
    connector = make_connector(replay_window=0)
    relayd = make_relayd().connect_to(connector).start(wait="connected")
    hog = relayd.agent(agent="hog", window=4096, ack_timeout=15)
    flood(connector, "hog", 1, 0, "first")
    relayd.wait_gateway(lambda g: g["agents"][0]["unacknowledged"] == 1,
                        "to have given it the session")
    quick = relayd.agent(agent="quick", window=8)
    for part in range(4):
        flood(connector, "hog", 250, 4096, f"h{part}.")
        flood(connector, "quick", 50, 100, f"q{part}.")
    taken = []

    def take():
        delivery = quick.inbound()
        taken.append(delivery["event"]["text"].split()[0])
        quick.ack(delivery)
    while len(taken) < 200:
        take()
    assert taken == [f"q{p}.{i}" for p in range(4) for i in range(50)]
    relayd.wait_gateway(lambda g: len(g["agents"]) == 2
                        and g["agents"][0]["unacknowledged"] > 500,
                        "to keep what the hog does not read")
    # It is given no more than it may leave unread, and not cut off for what
    # we wrote; when its time is up, what it had goes to the other.
    flood(connector, "hog", 1500, 4096, "last")
    relayd.wait_log("hog.*no inbound_ack within 15 s")
    while len(taken) < 200 + 1 + 1000 + 1500:
        take()
    connector.wait_all_acked()
    assert taken[200:] == [
        "first0", *(f"h{p}.{i}" for p in range(4) for i in range(250)),
        *(f"last{i}" for i in range(1500))]
    hog.close()
    if not SANITIZED:
        assert high_water(relayd.role_pid("engine")) < 64 * MIB


def test_who_does_not_read_results_holds_up_nobody(relayd, connector):
    """Its requests alone would fill the memory with their results."""
    quick = relayd.agent(agent="quick")
    connector.settings.egress = "off"
    connector.state.result_hook = lambda record: {
        "success": True, "pad": "p" * 20_000}
    hog = relayd.agent(agent="hog")
    done = 0
    with pytest.raises(OSError):
        while done < 10_000:
            hog.request({"op": "typing", "chat_id": "c1"})
            done += 1
            if done % 50 == 0:
                assert quick.act("typing", chat_id="c2")["success"]
    relayd.wait_log("hog.*does not read")
    relayd.wait_agents(1)
    connector.state.result_hook = None
    works(relayd, connector, quick)
    assert done < 2_000
    if not SANITIZED:
        assert high_water(relayd.role_pid("engine")) < 64 * MIB


def test_who_does_not_read_errors_is_cut_off(relayd, connector):
    hog = relayd.agent(agent="hog")
    bad = b"[]\n" * 4000
    with pytest.raises(OSError):
        for _ in range(400):
            hog.send(bad)
    relayd.wait_log("hog.*does not read")
    works(relayd, connector)


def test_who_reads_nothing_at_the_end_is_not_waited_for(relayd, connector):
    """A connection that was refused, full of what it does not take."""
    agents = [Agent(relayd.agent_path()) for _ in range(8)]
    for agent in agents:
        agent.hello()
        for _ in range(1024):
            agent.send(b"[]\n" * 8)
        agent.send(b"z" * 4096)
        agent.sock.shutdown(socket.SHUT_WR)
    until(lambda: not relayd.gateway()["agents"], "the core to have let go")
    works(relayd, connector)


def test_large_events_do_not_cut_off_who_reads(make_relayd, eager):
    relayd = make_relayd().connect_to(eager).start(wait="connected")
    source = {"platform": "discord", "chat_id": "c1", "chat_type": "dm"}
    eager.say_many([{"text": f"m{i} " + "x" * 900 * 1024, "source": source,
                     "message_type": "text"} for i in range(12)])
    relayd.wait_gateway(lambda g: g["queue"]["events"] == 12,
                        "to hold them all")
    agent = relayd.agent()
    for i in range(12):
        delivery = agent.inbound()
        assert delivery["event"]["text"].split()[0] == f"m{i}"
        assert "redelivered" not in delivery
        agent.ack(delivery)
    eager.wait_all_acked()
