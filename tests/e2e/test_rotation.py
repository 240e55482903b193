# SPDX-License-Identifier: ISC
"""Another secret takes a secret's place: the live link stays, the next dial
uses it."""

import json

import pytest

from issued import (ask, credential, enroll, enrolled, provisioned, stored,
                    ticket, wait_reason)
from relay import until


def redial(relayd, connector):
    """The link is cut; it must come back with the newest secret alone."""
    gateway = connector.gateway()
    gateway.secrets = gateway.secrets[:1]
    before = relayd.gateway()["counters"]["handshakes"]
    connector.drop()
    relayd.wait_gateway(lambda g: g["state"] == "connected"
                        and g["counters"]["handshakes"] == before + 1,
                        "to be back with the new secret")


def traffic(relayd, connector, text):
    """The link that was there still carries."""
    with relayd.agent() as agent:
        connector.say("discord", "c1", text)
        agent.ack(agent.inbound(text))
        connector.wait_all_acked()


@pytest.fixture(name="host")
def _host(make_relayd, issuer):
    issuer.register("gw-test", "0" * 64, {"discord": "1234"})
    return enrolled(make_relayd(), issuer)


def test_a_changed_file_and_reload(relayd, connector):
    connector.rotate("the next one", keep_s=3600)
    relayd.write("main.secret", "the next one\n", 0o600)
    assert relayd.reload()["ok"]
    traffic(relayd, connector, "still here")
    assert len(connector.dials) == 1
    redial(relayd, connector)
    assert credential(relayd)["tokens_minted"] >= 1


def test_a_file_that_was_spoiled(relayd, connector):
    """A reload does not take a credential away by mistake."""
    relayd.write("main.secret", "", 0o600)
    relayd.reload()
    traffic(relayd, connector, "still here")
    connector.drop()
    relayd.wait_gateway(lambda g: g["state"] == "connected"
                        and g["counters"]["handshakes"] == 2, "to be back")


def test_a_new_enrolment(host, issuer):
    """No reload, no restart, and the link is not touched."""
    dials = len(issuer.dials)
    since = credential(host)["since"]
    old = issuer.gateway().secrets[0]
    assert enroll(host, ticket(issuer)).returncode == 0
    assert issuer.gateway().secrets[0] != old
    traffic(host, issuer, "still here")
    assert len(issuer.dials) == dials
    entry = credential(host)
    assert entry["since"] >= since and entry["usable"]
    assert old not in stored(host).read_text()
    redial(host, issuer)


def test_an_import_over_an_enrolment(host, issuer):
    dials = len(issuer.dials)
    issuer.rotate("imported-secret")
    answer = ask(host, {"cmd": "import", "gateway": "main", "id": "gw-test",
                        "secret": "imported-secret"})
    assert answer["ok"], answer
    traffic(host, issuer, "still here")
    assert len(issuer.dials) == dials
    redial(host, issuer)


def test_an_enrolment_over_a_provisioning(make_relayd, issuer):
    """What is on disk goes before what is in memory, now and later."""
    relayd = provisioned(make_relayd(), issuer).start(wait="connected")
    assert enroll(relayd, ticket(issuer)).returncode == 0
    assert credential(relayd)["source"] == "enrolled"
    traffic(relayd, issuer, "still here")
    assert len(issuer.dials) == 1
    redial(relayd, issuer)
    relayd.kill_and_wait("authd")
    redial(relayd, issuer)
    assert credential(relayd)["source"] == "enrolled"
    assert issuer.http.count("provision") == 1


def test_a_pinned_secret_over_an_enrolment(host, issuer):
    """secret.file comes into the configuration, and goes again."""
    config = json.loads(json.dumps(host.config))
    host.connect_to(issuer, identity_token={
        "file": str(host.dir / "identity-token")})
    assert host.reload()["ok"]
    until(lambda: credential(host)["source"] == "file", "the pinned one")
    # What is shown is the pinned one's.
    assert not credential(host)["tenant"]
    assert not credential(host)["delivery_key"]
    host.configure(config)
    assert host.reload()["ok"]
    until(lambda: credential(host)["source"] == "enrolled", "the enrolled one")
    host.wait_state()
    traffic(host, issuer, "still here")


def test_a_secret_that_was_retired_too_soon(relayd, connector):
    """The connector forgot the old one before relayd heard of the new one: a
    refusal of a worn-out secret is a revocation, until it changes."""
    connector.rotate("newer", keep_old=False)
    connector.drop()
    relayd.wait_state(state="disabled")
    relayd.write("main.secret", "newer\n", 0o600)
    assert relayd.reload()["ok"]
    relayd.wait_state()


def test_another_gateway_id_needs_another_link(make_relayd, issuer):
    """Not the id that the tokens of the live link carry: that link stays as
    long as it lives, the next one is the new gateway's."""
    issuer.register("gw-test", "0" * 64, {"discord": "1234"})
    issuer.register("gw-next", "1" * 64, {"discord": "1234"})
    relayd = enrolled(make_relayd(), issuer)
    done = enroll(relayd, ticket(issuer), "--gateway-id", "gw-next")
    assert done.returncode == 0, done.stderr
    assert issuer.gateway("gw-test").link
    issuer.drop(gateway="gw-test")
    issuer.wait_handshaken("gw-next")
    assert relayd.gateway()["gateway_id"] == "gw-next"


def test_a_reload_of_an_unprovisioned_gateway(make_relayd, issuer):
    """The identity token's way changes: it is tried at once."""
    relayd = make_relayd().add_gateway(issuer, identity_token={
        "file": "/nonexistent/token"}).start()
    wait_reason(relayd, "/nonexistent/token")
    provisioned(relayd, issuer)
    assert relayd.reload()["ok"]
    relayd.wait_state()
