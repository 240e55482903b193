# SPDX-License-Identifier: ISC
"""A credential that the connector refuses: when it counts as revoked, what is
shown of it, and how an operator ends it."""

import re

import pytest

from relay import until


def revoke(relayd, connector):
    """Have the gateway's credential revoked; its status."""
    connector.revoke()
    return relayd.wait_state(state="disabled")


def enable(relayd, **more):
    return relayd.control({"cmd": "enable", **more})


def plain_requests(connector):
    return [r for r in connector.state.requests if r[1] == "/relay"]


def test_what_is_shown(relayd, connector):
    before = relayd.gateway()
    assert before["revoked"] is None
    assert before["credential"]["worked"] is True
    gateway = revoke(relayd, connector)
    evidence = gateway["revoked"]["evidence"]
    assert evidence.count('4401 "unauthorized"') == 2
    assert "connector's clock" in evidence
    assert 0 <= relayd.status()["now"] - gateway["revoked"]["at"] < 3600
    assert gateway["reason"].startswith("credential revoked: refused twice")
    # It does not mend by itself.
    for role in ("engine", "authd"):
        relayd.wait_log(f" level=error process={role} .*event=revoked "
                        "gateway=main ")
    relayd.wait_gateway(lambda g: g["credential"]["refusals"] == 1,
                        "to count it")
    told = relayd.ctl("show", "credentials").stdout
    assert re.search(r"link \d+s ago", told)
    assert "last refusal: 4401 twice: it counts as revoked" in told
    # The upgrades told the time: nothing had to be asked for.
    assert not plain_requests(connector)


def test_refusals_of_what_never_worked_are_counted(make_relayd, connector):
    """Status and metrics tell them as they come, and not only auth.sock."""
    relayd = make_relayd().connect_to(connector)
    relayd.write("main.secret", "wrong\n", 0o600)
    relayd.start()
    gateway = relayd.wait_gateway(
        lambda g: g["credential"]["refusals"] > 1, "to count them")
    assert gateway["credential"]["refused_at"] > 1e9


@pytest.mark.parametrize("offset", [120, -120])
def test_clocks_that_differ(relayd, connector, offset):
    """Every token is stale then; what is shown names the clock."""
    connector.settings.clock_offset = offset
    connector.revoke()
    side = "ahead of" if offset > 0 else "behind"
    gateway = relayd.wait_gateway(
        lambda g: f"s {side} ours" in g["reason"] and g["attempt"] > 2,
        "to name the clock")
    assert gateway["state"] == "retrying"
    assert abs(gateway["clock_skew_s"] - offset) <= 2
    connector.settings.clock_offset = 0
    relayd.wait_state(state="disabled")


def test_a_connector_that_tells_no_time(relayd, connector):
    """It is asked for it, without a token, before it is believed."""
    connector.settings.send_date = False
    dials = len(connector.dials)
    gateway = revoke(relayd, connector)
    assert "not told" in gateway["revoked"]["evidence"]
    assert plain_requests(connector) == [("GET", "/relay", 400)]
    assert len(connector.dials) == dials + 1


def test_enable(relayd, connector):
    refusal = enable(relayd)
    assert (refusal["ok"], refusal["code"]) == (False, "refused")
    assert "main is not disabled; it is connected" in refusal["error"]
    revoke(relayd, connector)
    refusal = relayd.control({"cmd": "enable"}, path="status.sock")
    assert refusal["code"] == "not_permitted"
    assert enable(relayd, gateway="other")["code"] == "unknown_gateway"
    # Still revoked: it is found out again.
    mark = relayd.log_mark()
    assert enable(relayd, gateway="main")["ok"]
    relayd.wait_log("enable by uid [0-9]+, pid [0-9]+", since=mark)
    relayd.wait_log("disabled -> connecting", since=mark)
    relayd.wait_state(state="disabled")
    connector.restore()
    assert enable(relayd)["ok"]
    assert relayd.wait_state()["revoked"] is None


def test_it_outlives_the_engine(relayd, connector):
    revoke(relayd, connector)
    dials = len(connector.dials)
    relayd.kill_and_wait("engine")
    gateway = relayd.wait_state(state="disabled")
    assert "refused twice" in gateway["revoked"]["evidence"]
    assert gateway["counters"]["dials"] == 0
    assert len(connector.dials) == dials


def test_a_new_engine_knows_that_it_worked(relayd, connector):
    """One refusal is not retried for ever because the engine is new."""
    relayd.kill_and_wait("engine")
    relayd.wait_state()
    until(lambda: relayd.gateway()["credential"]["worked"], "it worked")
    connector.revoke()
    relayd.wait_state(state="disabled")


@pytest.mark.parametrize("end", ["authd", "all"])
def test_the_mark_outlives_who_keeps_it(relayd, connector, end):
    evidence = revoke(relayd, connector)["revoked"]["evidence"]
    dials = len(connector.dials)
    connector.restore()
    if end == "all":
        relayd.stop()
        relayd.start()
    else:
        relayd.kill_and_wait("authd")
    gateway = relayd.wait_state(state="disabled")
    assert gateway["revoked"]["evidence"] == evidence
    relayd.wait_gateway(lambda g: g["credential"]["usable"], "to be told")
    assert len(connector.dials) == dials
    assert enable(relayd)["ok"]
    assert relayd.wait_state()["credential"]["worked"] is True


def test_relayd_started_anew_knows_that_it_worked(relayd, connector):
    relayd.stop()
    connector.revoke()
    relayd.start()
    relayd.wait_state(state="disabled")
