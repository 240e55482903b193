# SPDX-License-Identifier: ISC
"""What a connection must not survive, and the reason that a person sees."""

import pytest
from connector.faults import DialFault

from relay import until

ALWAYS = 1000   # more dials than any test here can make


def refused(make_relayd, connector, phrase, **more):
    """Start towards a connector that must be refused; the gateway's status."""
    relayd = make_relayd().connect_to(connector, **more).start()
    gateway = relayd.wait_gateway(
        lambda g: g["state"] == "retrying" and phrase in g["reason"],
        f"to be refused with {phrase!r}")
    assert gateway["next_attempt_in_s"] is not None or gateway["attempt"] > 1
    assert not connector.outbounds and not connector.link()
    done = relayd.ctl("status")
    assert done.returncode == 150
    assert phrase.split()[0] in done.stdout
    return relayd, gateway


@pytest.mark.parametrize("leaf, phrase", [
    ("other_ca", "certificate"),
    ("wrong_name", "hostname mismatch"),
    ("expired", "certificate has expired"),
])
def test_certificates(make_relayd, make_connector, leaf, phrase):
    connector = make_connector(tls=leaf)
    relayd, _ = refused(make_relayd, connector, phrase,
                        url=f"https://localhost:{connector.port}")
    assert not connector.dials, "the bearer left before TLS was up"
    assert "event=mint" not in relayd.log, "a token was minted for nobody"


def test_a_server_without_tls(make_relayd, make_connector):
    connector = make_connector(tls=None)
    relayd = make_relayd()
    relayd.connect_to(connector, url=connector.http_url.replace(
        "http:", "https:")).start()
    relayd.wait_gateway(lambda g: g["state"] == "retrying"
                        and "TLS" in g["reason"], "to name TLS")
    assert not connector.dials


@pytest.mark.parametrize("status", [301, 401, 403, 500])
def test_upgrade_status(make_relayd, connector, status):
    connector.on_dial(*[DialFault(
        status=status, headers={"Location": "/elsewhere"})] * ALWAYS)
    _, gateway = refused(make_relayd, connector, str(status))
    assert gateway["last_close"]["http_status"] == status


def test_wrong_accept(make_relayd, connector):
    connector.on_dial(*[DialFault(wrong_accept=True)] * ALWAYS)
    refused(make_relayd, connector, "Sec-WebSocket-Accept")


@pytest.mark.parametrize("answer", [
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 101 X\r\n folded: yes\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70000,
    b"\x00" * 100,
])
def test_answers_that_are_none(make_relayd, connector, answer):
    connector.on_dial(*[DialFault(raw=answer)] * ALWAYS)
    relayd = make_relayd().connect_to(connector).start()
    relayd.wait_gateway(lambda g: g["state"] == "retrying"
                        and g["attempt"] > 2, "to retry")
    assert "\x00" not in relayd.log


def test_nobody_listens(make_relayd, connector):
    connector.stop()
    relayd = make_relayd().connect_to(connector).start()
    gateway = relayd.wait_gateway(
        lambda g: "refused" in g["reason"], "to see connection refused")
    assert f":{connector.port}" in gateway["reason"]
    connector.start()
    relayd.wait_state()


def test_a_name_that_does_not_resolve(make_relayd, connector):
    relayd = make_relayd().connect_to(
        connector, url="https://no-such-host.invalid:9").start()
    relayd.wait_gateway(lambda g: "no-such-host.invalid" in g["reason"],
                        "to name the host", timeout=30)


def test_a_refused_credential_is_retried_before_any_success(
        make_relayd, connector):
    connector.gateway().secrets[0] = "another"
    relayd = make_relayd()
    relayd.connect_to(connector)
    relayd.write("main.secret", "wrong\n", 0o600)
    relayd.start()
    relayd.wait_gateway(lambda g: g["attempt"] > 3
                        and g["last_close"]["code"] == 4401, "to retry")
    connector.gateway().secrets[0] = "wrong"
    relayd.wait_state()


def test_a_revoked_credential_disables_after_one_more_dial(
        relayd, connector):
    dials = len(connector.dials)
    connector.revoke()
    gateway = relayd.wait_state(state="disabled")
    assert "revoked" in gateway["reason"]
    assert len(connector.dials) == dials + 1
    assert relayd.ctl("status").returncode == 151
    # Another credential ends it; the same one does not.
    assert relayd.reload()["ok"]
    assert relayd.gateway()["state"] == "disabled"
    connector.rotate("brand new", keep_old=False)
    connector.restore()
    relayd.write("main.secret", "brand new\n", 0o600)
    assert relayd.reload()["ok"]
    relayd.wait_state()


def test_expired_is_never_a_revocation(relayd, connector):
    for count in range(1, 4):
        connector.expire()
        connector.wait_dials(count + 1)
        relayd.wait_state()


def test_connector_restarts(relayd, connector):
    agent = relayd.agent()
    connector.restart(goodbye=(1012, "service restart"))
    relayd.wait_gateway(lambda g: g["state"] == "connected"
                        and g["counters"]["handshakes"] == 2,
                        "to be connected again")
    last = relayd.gateway()["last_close"]
    assert (last["code"], last["by"]) == (1012, "connector")
    assert "service restart" in last["reason"]
    agent.expect("link", lambda m: m["state"] == "retrying")
    agent.expect("link", lambda m: m["state"] == "connected")


@pytest.mark.parametrize("secret, phrase", [
    (" \n\t\n", "white space"), ("", "empty"), ("a\0b", "NUL")])
def test_no_secret_is_said(make_relayd, connector, secret, phrase):
    relayd = make_relayd().connect_to(connector)
    relayd.write("main.secret", secret, 0o600)
    relayd.start()
    relayd.wait_gateway(lambda g: g["state"] == "unprovisioned"
                        and phrase in g["reason"], f"to say {phrase!r}")
    assert relayd.ctl("status").returncode == 152
    relayd.write("main.secret", connector.gateway().secrets[0] + "\n", 0o600)
    assert relayd.reload()["ok"]
    relayd.wait_state()


def test_a_secret_that_others_can_read_is_not_used(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    (relayd.dir / "main.secret").chmod(0o644)
    relayd.start()
    relayd.wait_gateway(lambda g: g["state"] == "unprovisioned"
                        and "main.secret" in g["reason"], "to name the file")


def test_plaintext_beyond_loopback_must_be_said(make_relayd):
    relayd = make_relayd({"gateways": {"main": {
        "url": "ws://connector.example", "id": "g",
        "identities": [{"platform": "discord", "bot_id": "1"}]}}})
    relayd.start()
    assert relayd.wait_exit() == 78
    assert "plaintext" in relayd.log


def test_text_in_pieces(relayd, connector):
    """Fragments, several lines in a message, a line across messages."""
    agent = relayd.agent()
    framing = connector.settings.framing
    connector.settings.replay_window = 0
    for name, value in (("fragment_bytes", 7), ("lines_per_message", 3),
                        ("message_chars", 11), ("binary", True)):
        setattr(framing, name, value)
        ids = [connector.say("discord", "c1", f"{name} é漢🙂 {i}")
               for i in range(6)]
        for i in range(6):
            agent.ack(agent.inbound(f"{name} é漢🙂 {i}"))
        connector.wait_acked(ids[-1])
        setattr(framing, name, getattr(type(framing)(), name))


def test_lines_that_are_none_cost_nothing_else(relayd, connector):
    agent = relayd.agent()
    connector.send_text("not json\n")
    connector.send_text('{"type":"inbound"}\n\n\n')
    connector.send_text('{"type":"from_the_future","x":1}\n')
    connector.oversized_line()
    connector.say("discord", "c1", "still here")
    agent.ack(agent.inbound("still here"))
    connector.wait_all_acked()
    until(lambda: relayd.gateway()["counters"]["lines_bad"] >= 3,
          "three bad lines")
    assert "from_the_future" not in relayd.log


@pytest.mark.parametrize("reset", [False, True])
def test_lost_link_is_the_last_close(relayd, connector, reset):
    connector.drop(reset=reset)
    relayd.wait_gateway(lambda g: g["state"] == "connected"
                        and g["counters"]["losses"] == 1,
                        "to be connected again")
    last = relayd.gateway()["last_close"]
    assert last["code"] is None and last["by"] == "connector"
    assert "peer" in last["reason"]
