# SPDX-License-Identifier: ISC
"""The connector keeps to the contract, and notices who does not."""

import json
import time
from pathlib import Path

import aiohttp
import pytest

from . import tokens, wsframes
from .client import Client, Closed
from .face import Connector

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
SECRET = "s3cret"


def rules(connector):
    return [violation.rule for violation in connector.violations]


def refused(client):
    with pytest.raises(Closed) as caught:
        client.receive()
    return caught.value.args


# Credentials.

def test_token_vectors():
    cases = json.loads((VECTORS / "tokens.json").read_text())["cases"]
    assert cases
    for case in cases:
        token = tokens.mint(case["gateway_id"], case["secret"], case["exp"])
        assert token == case["token"]
        header = f"Bearer {token}"
        now = case["exp"] - 100
        verdict = tokens.judge(header, lambda _: [case["secret"]], now, now)
        assert verdict.gateway_id == case["gateway_id"]
        assert verdict.ok == (case["exp"] != 0), verdict
        wrong = tokens.judge(header, lambda _: ["other"], now, now)
        assert not wrong.ok and not wrong.breach


def test_good_token_is_admitted_and_recorded(connector, client):
    client.dial()
    descriptor = client.hello()
    assert descriptor["platform"] == "discord"
    dial = connector.dials[0]
    assert dial.outcome == "admitted" and 290 < dial.ttl <= 301
    connector.wait_handshaken()
    connector.assert_clean(unknown=True)


@pytest.mark.parametrize("secret,ttl,breach", [
    ("other", 300, False), (SECRET, -10, False), (SECRET, 400, True),
    (SECRET, None, True),
])
def test_bad_tokens_are_closed_4401(connector, client, secret, ttl, breach):
    exp = 0 if ttl is None else int(time.time()) + ttl
    client.dial(tokens.mint("gw-1", secret, exp))
    assert refused(client) == (4401, "unauthorized")
    assert bool(connector.violations) == breach
    assert not connector.state.links


def test_refusal_by_status(connector, client):
    connector.settings.refuse_with_status = True
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        client.dial(tokens.mint("gw-1", "other"))
    assert caught.value.status == 401
    assert "Date" in caught.value.headers


@pytest.mark.parametrize("change", [
    lambda t: t + "=", lambda t: t[:-1] + "*", lambda t: "e30",
    lambda t: tokens.mint("gw-1", SECRET, "01"),
])
def test_malformed_tokens_are_breaches(connector, client, change):
    client.dial(change(tokens.mint("gw-1", SECRET)))
    assert refused(client)[0] == 4401
    assert rules(connector) == ["token"]


def test_no_authorization_is_a_breach(connector, client):
    client.dial(authorize=False)
    assert refused(client)[0] == 4401
    assert rules(connector) == ["token"]


def test_rotation_list(connector, client):
    connector.rotate("new")
    client.dial()
    client.hello()
    connector.rotate("newer", keep_old=False)
    client.dial()
    assert refused(client)[0] == 4401
    client.dial(tokens.mint("gw-1", "newer"))
    client.hello()
    connector.assert_clean()


def test_skewed_clock_refuses_without_blame(connector, client):
    connector.settings.clock_offset = 1000
    connector.settings.say_expired = True
    client.dial()
    assert refused(client) == (4401, "expired")
    connector.assert_clean()


def test_other_paths_get_400(connector, client):
    for path in ("/", "/relay/", "/relays", "/base/relay"):
        url = f"{connector.http_url}{path}".replace("http", "ws", 1)
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            client.dial(url=url)
        assert caught.value.status == 400
    connector.settings.base = "/base"
    client.dial(url=connector.url).hello()


@pytest.mark.parametrize("leaf,trusted", [
    ("good", True), ("wrong_name", False), ("expired", False),
    ("other_ca", False),
])
def test_tls(tmp_path, leaf, trusted):
    with Connector(tmp_path, tls=leaf) as connector:
        connector.register("gw-1", SECRET, {"discord": "1234"})
        with Client(connector.url, ca_file=connector.ca_file) as client:
            if trusted:
                client.dial().hello()
                connector.assert_clean()
            else:
                with pytest.raises(aiohttp.ClientConnectorCertificateError):
                    client.dial()
                assert not connector.dials


def test_tls_needs_its_ca(tmp_path):
    with Connector(tmp_path, tls="good") as connector:
        with Client(connector.url) as client:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                client.dial()


# Frames.

BAD_FRAMES = [
    ("hello", '{"type":"hello","platform":"discord"}'),
    ("hello", '{"type":"hello","platform":"discord","botId":1234}'),
    ("hello", '{"type":"hello","platform":"discord","botId":"9"}'),
    ("hello", '{"type":"hello","platform":"myspace","botId":"1234"}'),
    ("hello", '{"type":"hello","platform":"telegram","botId":"77",'
              '"command_manifest":[]}'),
    ("hello", '{"type":"hello","type":"hello","platform":"discord",'
              '"botId":"1234"}'),
    ("inbound_ack", '{"type":"inbound_ack","bufferId":"b1"}'),
    ("outbound", '{"type":"outbound","requestId":"r","action":{"op":"send"}}'),
    ("type", '{"type":"descriptor","descriptor":{}}'),
    ("type", '{"platform":"discord"}'),
    ("line", '{"type":"hello",}'),
    ("line", '[1]'),
    ("line", '{"type":"going_idle","n":NaN}'),
    ("line", '{"type":"going_idle"} {"type":"going_idle"}'),
]


@pytest.mark.parametrize("rule,line", BAD_FRAMES)
def test_bad_frames_before_a_handshake(connector, client, rule, line):
    client.dial().send_text(line + "\n")
    connector.wait_violation()
    assert rules(connector) == [rule]
    with pytest.raises(AssertionError):
        connector.assert_clean()


BAD_LATER = [
    ("hello", {"type": "hello", "platform": "discord", "botId": "1234"}),
    ("inbound_ack", {"type": "inbound_ack", "bufferId": 7}),
    ("inbound_ack", {"type": "inbound_ack", "bufferId": "none"}),
    ("interrupt", {"type": "interrupt", "session_key": ""}),
    ("outbound", {"type": "outbound", "requestId": "",
                  "action": {"op": "send"}}),
    ("outbound", {"type": "outbound", "requestId": "r", "action": []}),
    ("outbound", {"type": "outbound", "requestId": "r", "action": {}}),
    ("outbound", {"type": "outbound", "requestId": "r",
                  "platform": "discord", "action": {"op": "send"}}),
    ("outbound", {"type": "outbound", "requestId": "r", "platform": "slack",
                  "botId": "1", "action": {"op": "send"}}),
    ("outbound", {"type": "outbound", "requestId": "r",
                  "action": {"op": "teleport"}}),
]


@pytest.mark.parametrize("rule,frame", BAD_LATER)
def test_bad_frames_after_a_handshake(connector, client, rule, frame):
    client.dial().hello()
    client.send(frame)
    connector.wait_violation()
    assert set(rules(connector)) == {rule}


def test_lines_across_and_within_messages(connector, client):
    client.dial()
    client.send_text('\n  \n{"type":"hello","platform":"dis')
    client.send_text('cord","botId":"1234"}\n{"type":"hello","platform":'
                     '"telegram","botId":"77"}\n')
    assert client.expect("descriptor")["descriptor"]["platform"] == "discord"
    assert client.expect("descriptor")["descriptor"]["platform"] == "telegram"
    connector.assert_clean(unknown=True)


def test_unknown_is_ignored_but_recorded(connector, client):
    client.dial()
    client.send({"type": "hello", "platform": "discord", "botId": "1234",
                 "agent": "x"}, {"type": "weather"})
    client.expect("descriptor")
    connector.wait_for(lambda: connector.state.unknown["type weather"])
    connector.assert_clean()
    with pytest.raises(AssertionError, match="hello.agent"):
        connector.assert_clean(unknown=True)


def test_line_limit(connector, client):
    client.dial().hello()
    pad = '{"type":"going_idle","x":"%s"}'
    room = 1024 * 1024 - len(pad % "")
    client.send_text(pad % ("x" * room) + "\n")
    client.expect("going_idle_ack")
    connector.assert_clean()
    client.send_text(pad % ("é" * (room // 2 + 1)))
    client.send_text("\n")
    assert connector.wait_violation().rule == "line"


def test_unfinished_line_at_close(connector, client):
    client.dial().hello()
    client.send_text('{"type":')
    client.close()
    assert connector.wait_closed()[0] == 1000
    assert rules(connector) == ["line"]


@pytest.mark.parametrize("data,what", [
    (wsframes.frame(wsframes.TEXT, b"{}\n"), "unmasked"),
    (wsframes.frame(wsframes.TEXT, b"{}\n", rsv=4, masked=True), "reserved"),
    (wsframes.frame(3, masked=True), "opcode"),
    (b"\x81\xfe\x00\x01\0\0\0\0\n", "shortest"),
    (wsframes.frame(wsframes.CONT, b"\n", masked=True), "continuation"),
    (wsframes.frame(wsframes.TEXT, b"\n", fin=False, masked=True)
     + wsframes.frame(wsframes.TEXT, b"\n", masked=True), "inside"),
    (wsframes.frame(wsframes.PING, b"", fin=False, masked=True), "control"),
])
def test_bad_websocket_frames(connector, client, data, what):
    client.dial().hello()
    client.raw(data)
    violation = connector.wait_violation("frame")
    assert what in violation.detail


def test_binary_is_a_breach(connector, client):
    client.dial()
    client.send_binary(b'{"type":"hello","platform":"discord",'
                       b'"botId":"1234"}\n')
    client.expect("descriptor")
    assert rules(connector) == ["message"]
