# SPDX-License-Identifier: ISC
"""The misbehaviour that can be ordered happens as ordered."""

import json
import socket
import threading
from email.utils import parsedate_to_datetime

import aiohttp
import pytest

from . import tokens, wsframes
from .client import Client, Closed
from .delivery import Framing
from .faults import DialFault
from .raw import RawServer

SECRET = "s3cret"


def closed(client):
    with pytest.raises(Closed) as caught:
        while True:
            client.receive()
    return caught.value.args


# On the link.

def test_revoke_lasts_until_restored(connector, client):
    client.dial().hello()
    connector.revoke()
    assert closed(client) == (4401, "unauthorized")
    assert connector.wait_closed() == (4401, "unauthorized", "connector")
    client.dial()
    assert closed(client)[0] == 4401
    connector.restore()
    client.dial().hello()
    connector.assert_clean()


def test_expire_and_close(connector, client):
    client.dial().hello()
    connector.expire()
    assert closed(client) == (4401, "expired")
    client.dial().hello()
    connector.close(1012, "restart")
    assert closed(client) == (1012, "restart")


@pytest.mark.parametrize("reset", [False, True])
def test_drop(connector, client, reset):
    client.dial().hello()
    connector.drop(reset)
    assert closed(client)[0] == 1006
    assert connector.wait_closed()[2] == "connector"
    connector.assert_clean()


def test_stalled_descriptor_comes_later(connector, client):
    connector.stall("descriptors")
    client.dial()
    client.send({"type": "hello", "platform": "discord", "botId": "1234"})
    link = connector.wait_connected()
    connector.wait_for(lambda: link.greeted)
    assert not link.handshaken
    connector.unstall()
    client.expect("descriptor")


def test_stalled_reading_and_writing(connector, client):
    client.dial().hello()
    connector.stall("read", "write")
    connector.say("discord", "c1", "x")
    client.send({"type": "going_idle"})
    link = connector.link()
    assert link.counters["going_idle"] == 0
    connector.unstall()
    kinds = {client.receive()["type"] for _ in "ab"}
    assert kinds == {"inbound", "going_idle_ack"}


def test_pongs_can_be_withheld(connector, client):
    client.dial().hello()
    connector.stall("pong")
    client.call(client.ws.ping())
    connector.wait_counter("pings", 1)
    connector.ping(20)
    client.send({"type": "going_idle"})
    client.expect("going_idle_ack")
    connector.wait_counter("pongs", 20)


@pytest.mark.parametrize("framing", [
    Framing(lines_per_message=8), Framing(message_chars=7),
    Framing(fragment_bytes=3), Framing(message_chars=50, fragment_bytes=9),
    Framing(binary=True, lines_per_message=3),
])
def test_framings_carry_the_same(connector, client, framing):
    connector.settings.framing = framing
    connector.settings.replay_window = 0
    texts = [f"n{i} é🎮" for i in range(20)]
    for text in texts:
        connector.say("discord", "c1", text)
    client.dial().hello()
    lines, rest = [], ""
    while len(lines) < len(texts):
        data = client.message()
        assert isinstance(data, bytes if framing.binary else str)
        text = data.decode() if framing.binary else data
        *whole, rest = (rest + text).split("\n")
        lines += whole
    assert [json.loads(line)["event"]["text"] for line in lines] == texts


def test_rubbish(connector, client):
    client.dial().hello()
    connector.send_text("rubbish\n{\n")
    assert client.message() == "rubbish\n{\n"
    connector.send_binary(b"\xff\xfe")
    assert client.message() == b"\xff\xfe"
    connector.fragments('{"a":1}\n', 2)
    assert client.message() == '{"a":1}\n'
    connector.send({"type": "weather"})
    client.expect("weather")
    connector.oversized_line()
    assert len(client.message()) > 1024 * 1024
    connector.half_frame("x" * 100)
    connector.drop()
    assert closed(client)[0] == 1006


# On dials.

def test_status_with_a_date(connector, client):
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    connector.on_dial(DialFault(status=503, headers={"Date": date}),
                      DialFault(status=403, body="no"))
    for status in (503, 403):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            client.dial()
        assert caught.value.status == status
        assert (caught.value.headers["Date"] == date) == (status == 503)
    client.dial().hello()
    outcomes = [dial.outcome for dial in connector.dials]
    assert outcomes == ["fault", "fault", "admitted"]


def test_date_follows_the_clock(connector, client):
    connector.settings.clock_offset = -1000
    connector.forbid(1, status=500)
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        client.dial()
    date = parsedate_to_datetime(caught.value.headers["Date"]).timestamp()
    assert abs(date - connector.dials[0].at + 1000) < 60
    connector.settings.send_date = False
    connector.forbid(1, status=500)
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        client.dial()
    assert "Date" not in caught.value.headers


def test_date_only_when_asked(connector, client):
    connector.settings.send_date = "asked"
    client.dial().hello()
    assert "Date" not in client.ws._response.headers
    connector.forbid(1, status=500)
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        client.dial()
    assert "Date" in caught.value.headers


def test_forbid_counts_down(connector, client):
    connector.forbid(2)
    for _ in range(2):
        assert closed(client.dial()) == (4401, "unauthorized")
    client.dial().hello()
    assert connector.counters["dials"] == 3


def test_dropped_and_raw_dials(connector, client):
    connector.on_dial(DialFault(drop=True), DialFault(raw=b"SSH-2.0-x\r\n\r\n"))
    for _ in range(2):
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            client.dial()
    client.dial().hello()


def test_wrong_accept_is_noticed(connector, client):
    connector.on_dial(DialFault(wrong_accept=True))
    with pytest.raises(aiohttp.WSServerHandshakeError, match="challenge"):
        client.dial()
    connector.wait_dials(1)
    connector.assert_clean()


def test_going_on_after_a_wrong_accept(connector):
    connector.on_dial(DialFault(wrong_accept=True))
    token = tokens.mint("gw-1", SECRET)
    with socket.create_connection(("127.0.0.1", connector.port), 10) as sock:
        sock.sendall(("GET /relay HTTP/1.1\r\nHost: x\r\n"
                      "Upgrade: websocket\r\n"
                      "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                      f"Authorization: Bearer {token}\r\n\r\n").encode())
        assert b"101" in sock.recv(65536)
        sock.sendall(wsframes.frame(wsframes.TEXT, b"{}\n", masked=True))
    assert "wrong accept" in connector.wait_violation("upgrade").detail


def test_held_dial(connector, client):
    gate = threading.Event()
    connector.on_dial(DialFault(hold=gate))
    dialling = threading.Thread(target=client.dial)
    dialling.start()
    connector.wait_counter("dials", 1)
    assert connector.link() is None
    gate.set()
    connector.wait_connected()
    dialling.join()


def test_raw_server():
    script = [("head",), ("accept",), ("send", b"\x81\x02{}"), ("hold",)]
    with RawServer(script, [("abort",)]) as server:
        with Client(server.url) as client:
            assert client.dial().message() == "{}"
            assert b"Authorization: Bearer" in server.received[0]
            server.release()
            with pytest.raises((aiohttp.ClientError, ConnectionError)):
                client.dial()
    assert server.connections == 2
