# SPDX-License-Identifier: ISC
"""When a credential was revoked, what is not a revocation, and what ends
one."""

import contextlib

import pytest

from connector.faults import DialFault
from issued import (ask, credential, enroll, enrolled, provisioned, store,
                    ticket, wait_credential)

REFUSED = DialFault(close=(4401, "unauthorized"))
LOST = DialFault(drop=True)


def handshakes(relayd):
    return relayd.gateway()["counters"]["handshakes"]


def dial(relayd, connector, *faults):
    """Have it dial, with these faults in this order."""
    connector.on_dial(*faults)
    with contextlib.suppress(LookupError):
        connector.drop()


def assert_disabled(relayd, connector):
    """Disabled, with evidence, and without any more dials."""
    gateway = relayd.wait_state(state="disabled")
    assert "revoked" in gateway["reason"]
    entry = wait_credential(relayd, lambda e: e["revoked"], "to be revoked")
    evidence = entry["revoked"]["evidence"]
    assert evidence.count("4401") >= 2 and entry["revoked"]["at"] > 1e9
    assert entry["worked"]
    dials = len(connector.dials)
    assert relayd.ctl("status").returncode == 151
    assert relayd.reload()["ok"]
    assert relayd.gateway()["state"] == "disabled"
    assert len(connector.dials) == dials
    return evidence


def assert_connected_after(relayd, connector, count):
    relayd.wait_gateway(lambda g: g["state"] == "connected"
                        and g["counters"]["handshakes"] == count,
                        "to be connected again")
    assert credential(relayd)["revoked"] is None
    assert connector.link()


# Two strikes, in each order.

def test_on_the_link_and_on_the_dial(relayd, connector):
    dials = len(connector.dials)
    connector.revoke()
    evidence = assert_disabled(relayd, connector)
    assert len(connector.dials) == dials + 1
    # Ages of both tokens and the clocks, in words.
    assert "token" in evidence and "clock" in evidence
    shown = relayd.ctl("show", "credentials")
    assert shown.returncode == 0 and "4401" in shown.stdout


def test_on_two_dials(relayd, connector):
    connector.gateway().revoked = True      # the link is left alone
    connector.drop()
    assert_disabled(relayd, connector)


def test_two_refusals_of_dials_and_then_welcome(relayd, connector):
    """The mark does not wait for a third opinion."""
    dial(relayd, connector, REFUSED, REFUSED)
    assert_disabled(relayd, connector)


def test_one_refusal_is_none(relayd, connector):
    dial(relayd, connector, REFUSED)
    assert_connected_after(relayd, connector, 2)
    dial(relayd, connector, REFUSED)
    assert_connected_after(relayd, connector, 3)


def test_a_lost_second_dial_decides_nothing(relayd, connector):
    dial(relayd, connector, REFUSED, LOST, LOST)
    assert_connected_after(relayd, connector, 2)


def test_the_next_answer_decides(relayd, connector):
    dial(relayd, connector, REFUSED, LOST, LOST, REFUSED)
    assert_disabled(relayd, connector)


@pytest.mark.parametrize("status", [401, 403, 503])
def test_a_status_is_never_one(relayd, connector, status):
    dial(relayd, connector, *[DialFault(status=status)] * 6)
    assert_connected_after(relayd, connector, 2)
    dial(relayd, connector, REFUSED, DialFault(status=status), REFUSED)
    assert_disabled(relayd, connector)


def test_expired_is_never_one(relayd, connector):
    expired = DialFault(close=(4401, "expired"))
    for count in range(2, 5):
        connector.on_dial(expired, expired, expired)
        connector.expire()
        assert_connected_after(relayd, connector, count)


def test_never_before_it_worked(make_relayd, connector):
    connector.gateway().revoked = True
    relayd = make_relayd().connect_to(connector).start()
    connector.wait_dials(6)
    assert relayd.gateway()["state"] in ("connecting", "retrying")
    connector.restore()
    relayd.wait_state()


def test_it_worked_in_an_earlier_life(relayd, connector):
    """Whether it ever worked is on the disk."""
    relayd.stop()
    connector.gateway().revoked = True
    dials = len(connector.dials)
    relayd.start()
    assert_disabled(relayd, connector)
    assert len(connector.dials) == dials + 2


# Clocks.

@pytest.mark.parametrize("offset", [-90, 90, -100000, 100000])
def test_not_while_the_clocks_differ(relayd, connector, offset):
    connector.settings.clock_offset = offset
    connector.on_dial(*[REFUSED] * 8)
    connector.drop()
    relayd.wait_gateway(lambda g: g["attempt"] > 4 and "clock" in g["reason"],
                        "to name the clocks")
    assert relayd.gateway()["state"] == "retrying"
    assert credential(relayd)["revoked"] is None
    connector.run(connector.state.dial_faults.clear)
    connector.settings.clock_offset = 0
    assert_connected_after(relayd, connector, 2)


def test_a_minute_is_near_enough(relayd, connector):
    connector.settings.clock_offset = -40
    dial(relayd, connector, REFUSED, REFUSED)
    evidence = assert_disabled(relayd, connector)
    assert "40" in evidence or "39" in evidence or "41" in evidence


@pytest.mark.parametrize("offset", [0, 3600])
def test_the_time_is_asked_for(make_relayd, connector, offset):
    """No answer had a Date: one is asked for before a revocation is
    believed."""
    connector.settings.send_date = "asked"
    relayd = make_relayd().connect_to(connector).start(wait="connected")
    connector.settings.clock_offset = offset
    asked = len(connector.state.requests)
    dial(relayd, connector, *[REFUSED] * 6)
    if offset == 0:
        assert_disabled(relayd, connector)
    else:
        relayd.wait_gateway(lambda g: "clock" in g["reason"],
                            "to name the clocks")
        assert credential(relayd)["revoked"] is None
    assert len(connector.state.requests) > asked


# It lasts.

@pytest.mark.parametrize("role", ["authd", "engine", "dialer"])
def test_it_survives_each_process(relayd, connector, role):
    connector.revoke()
    assert_disabled(relayd, connector)
    connector.restore()
    dials = len(connector.dials)
    relayd.kill_and_wait(role)
    gateway = relayd.wait_state(state="disabled")
    assert "revoked" in gateway["reason"]
    assert credential(relayd)["revoked"]["evidence"]
    assert len(connector.dials) == dials


def test_it_survives_restarts(relayd, connector):
    connector.revoke()
    evidence = assert_disabled(relayd, connector)
    connector.restore()
    dials = len(connector.dials)
    for _ in range(2):
        relayd.stop()
        relayd.start()
        gateway = relayd.wait_state(state="disabled")
        assert "revoked" in gateway["reason"]
        assert credential(relayd)["revoked"]["evidence"] == evidence
    assert len(connector.dials) == dials
    assert any(p.name.startswith("standing.")
               for p in store(relayd).iterdir())


def test_the_mark_is_of_a_url_and_an_id(relayd, connector, make_connector):
    connector.revoke()
    assert_disabled(relayd, connector)
    other = make_connector()
    other.gateway().secrets = list(connector.gateway().secrets)
    relayd.connect_to(other)
    assert relayd.reload()["ok"]
    relayd.wait_state()
    relayd.connect_to(connector)
    assert relayd.reload()["ok"]
    relayd.wait_state(state="disabled")
    connector.register("gw-other", connector.gateway("gw-test").secrets[0],
                       {"discord": "1234"})
    relayd.connect_to(connector, gateway="gw-other")
    assert relayd.reload()["ok"]
    relayd.wait_state()


def test_only_that_gateway(make_relayd, make_connector):
    one, two = make_connector(), make_connector("gw-two")
    relayd = make_relayd().connect_to(one).connect_to(two, name="other")
    relayd.start(wait="connected")
    one.revoke()
    relayd.wait_state(state="disabled")
    assert relayd.gateway("other")["state"] == "connected"
    assert len(two.dials) == 1
    assert relayd.ctl("status").returncode == 151


# It ends.

def revoked(relayd, connector):
    connector.revoke()
    assert_disabled(relayd, connector)
    connector.restore()


def assert_over(relayd):
    relayd.wait_state()
    assert wait_credential(relayd, lambda e: e["revoked"] is None,
                           "to be without a mark")


@pytest.mark.parametrize("restart", [False, True])
def test_by_enable(relayd, connector, restart):
    revoked(relayd, connector)
    if restart:
        relayd.stop()
        relayd.start()
        relayd.wait_state(state="disabled")
    done = relayd.ctl("enable", "main")
    assert done.returncode == 0, done.stderr
    assert_over(relayd)
    relayd.stop()
    relayd.start(wait="connected")


def test_enable_of_what_is_still_revoked(relayd, connector):
    connector.revoke()
    assert_disabled(relayd, connector)
    assert relayd.ctl("enable", "main").returncode == 0
    # It worked once; so two more refusals are a revocation again, or else it
    # is a credential that has yet to work.
    relayd.wait_gateway(lambda g: g["state"] in ("disabled", "retrying"),
                        "to be refused again")
    connector.restore()
    relayd.ctl("enable", "main")
    assert_over(relayd)


def test_by_a_changed_pinned_secret(relayd, connector):
    revoked(relayd, connector)
    connector.rotate("brand new", keep_old=False)
    relayd.write("main.secret", "brand new\n", 0o600)
    assert relayd.reload()["ok"]
    assert_over(relayd)


def test_by_a_pinned_secret_that_changed_while_it_was_down(relayd, connector):
    revoked(relayd, connector)
    relayd.stop()
    connector.rotate("brand new", keep_old=False)
    relayd.write("main.secret", "brand new\n", 0o600)
    relayd.start()
    assert_over(relayd)


def test_not_by_the_same_pinned_secret(relayd, connector):
    revoked(relayd, connector)
    relayd.write("main.secret", connector.gateway().secrets[0] + "\n", 0o600)
    assert relayd.reload()["ok"]
    assert relayd.gateway()["state"] == "disabled"
    relayd.stop()
    relayd.start()
    relayd.wait_state(state="disabled")


def test_by_an_enrolment(make_relayd, issuer):
    issuer.register("gw-test", "0" * 64, {"discord": "1234"})
    relayd = enrolled(make_relayd(), issuer)
    issuer.revoke()
    assert_disabled(relayd, issuer)
    done = enroll(relayd, ticket(issuer))
    assert done.returncode == 0, done.stderr
    assert_over(relayd)


def test_by_an_import(make_relayd, issuer):
    issuer.register("gw-test", "0" * 64, {"discord": "1234"})
    relayd = enrolled(make_relayd(), issuer)
    revoked(relayd, issuer)
    issuer.rotate("imported", keep_old=False)
    answer = ask(relayd, {"cmd": "import", "gateway": "main",
                          "id": "gw-test", "secret": "imported"})
    assert answer["ok"], answer
    assert_over(relayd)


def test_not_by_a_provisioning(make_relayd, issuer):
    """While the mark stands nothing is provisioned."""
    relayd = provisioned(make_relayd(), issuer).start(wait="connected")
    revoked(relayd, issuer)
    relayd.kill_and_wait("authd")
    relayd.stop()
    relayd.start()
    relayd.wait_state(state="disabled")
    assert issuer.http.count("provision") == 1
    assert relayd.ctl("enable", "main").returncode == 0
    assert_over(relayd)
    assert issuer.http.count("provision") == 2


def test_a_refused_enrolment_ends_nothing(make_relayd, issuer):
    issuer.register("gw-test", "0" * 64, {"discord": "1234"})
    relayd = enrolled(make_relayd(), issuer)
    issuer.revoke()
    assert_disabled(relayd, issuer)
    assert enroll(relayd, "enrol-unknown").returncode == 1
    assert relayd.gateway()["state"] == "disabled"
    assert credential(relayd)["revoked"]


def test_forget_ends_nothing_by_itself(make_relayd, issuer):
    """Nor does it leave a mark in the way of another enrolment."""
    issuer.register("gw-test", "0" * 64, {"discord": "1234"})
    relayd = enrolled(make_relayd(), issuer)
    issuer.revoke()
    assert_disabled(relayd, issuer)
    assert relayd.ctl("forget", "main").returncode == 0
    assert handshakes(relayd) == 1
    assert enroll(relayd, ticket(issuer)).returncode == 0
    assert_over(relayd)


@pytest.mark.parametrize("spoil", [b"", b"\xff\0" * 99, b"relayd standing"])
def test_a_spoiled_mark(relayd, connector, spoil):
    """Is said, and is not the end of relay-authd."""
    revoked(relayd, connector)
    relayd.stop()
    for path in store(relayd).iterdir():
        if path.name.startswith("standing."):
            path.write_bytes(spoil)
    relayd.start()
    relayd.wait_log("standing")
    relayd.wait_gateway(lambda g: g["state"] in ("connected", "disabled"),
                        "to have decided")
