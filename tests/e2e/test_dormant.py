# SPDX-License-Identifier: ISC
"""A host about to be suspended: the link goes dormant, and comes back."""

import pytest

from relay import until

# CONTRACT 3: a dial is held back for at most so long.
HOLD_S = 60


def ask(relayd, cmd):
    return relayd.control({"cmd": cmd})


def test_dormant_and_wake(relayd, connector):
    agent = relayd.agent()
    assert ask(relayd, "dormant")["ok"]
    # Done means: acknowledged, and closed.
    assert connector.gateway().asleep
    assert connector.state.links[-1].closed[0] == 1000
    gateway = relayd.gateway()
    assert gateway["state"] == "dormant"
    assert 0 < gateway["next_attempt_in_s"] <= HOLD_S
    agent.expect("link", lambda m: m["state"] == "dormant")
    # Nobody but an operator has it dial.
    connector.say("discord", "c1", "during the suspend")
    late = relayd.agent(hello=False)
    late.hello()
    request = agent.request({"op": "send", "chat_id": "c1", "content": "x"})
    assert ask(relayd, "reconnect")["code"] == "refused"
    assert len(connector.dials) == 1
    assert ask(relayd, "wake")["ok"]
    relayd.wait_state()
    assert agent.result(request)["success"]
    for one in (agent, late):
        for row in relayd.gateway()["agents"]:
            if row["unacknowledged"] and one is (agent, late)[
                    row["number"] - 1]:
                one.ack(one.inbound("during the suspend"))
    connector.wait_all_acked()


def test_no_ack(relayd, connector):
    """A suspend that the connector does not know of would lose what is live:
    the request fails, and the link stays."""
    connector.stall("idle_ack")
    answer = ask(relayd, "dormant")
    assert (answer["ok"], answer["code"]) == (False, "failed")
    assert "no going_idle_ack within 10 s" in answer["error"]
    assert relayd.gateway()["state"] == "connected"
    agent = relayd.agent()
    connector.say("discord", "c1", "live")
    agent.ack(agent.inbound("live"))
    connector.wait_all_acked()
    assert len(connector.dials) == 1
    # Its ack is not for the next one to find.
    connector.state.settings.idle_ack = True
    assert ask(relayd, "dormant")["ok"]
    assert relayd.gateway()["state"] == "dormant"


def test_not_connected(relayd, connector):
    """At once, and no dial that is under way goes on."""
    connector.stop()
    relayd.wait_state(state="retrying")
    assert ask(relayd, "dormant")["ok"]
    dials = relayd.gateway()["counters"]["dials"]
    connector.start()
    assert ask(relayd, "dormant")["ok"]   # asked again
    gateway = relayd.gateway()
    assert gateway["state"] == "dormant"
    assert gateway["counters"]["dials"] == dials
    assert ask(relayd, "wake")["ok"]
    relayd.wait_state()


@pytest.mark.slow
def test_it_dials_by_itself(relayd, connector):
    assert ask(relayd, "dormant")["ok"]
    relayd.wait_log("dormant for 60 s: dialling again", timeout=HOLD_S * 2)
    relayd.wait_state()
    assert len(connector.dials) == 2


def test_reload_while_dormant(relayd, connector, make_connector):
    """The settings are taken, and dialled by when it is over."""
    elsewhere = make_connector(secret=connector.gateway().secrets[0])
    assert ask(relayd, "dormant")["ok"]
    relayd.connect_to(elsewhere, gateway="gw-test")
    assert relayd.reload()["ok"]
    assert relayd.gateway()["state"] == "dormant"
    assert not elsewhere.dials
    assert ask(relayd, "wake")["ok"]
    elsewhere.wait_handshaken()
    until(lambda: relayd.gateway()["state"] == "connected", "the new one")
    assert len(connector.dials) == 1


def test_stop_while_dormant(relayd, connector):
    assert ask(relayd, "dormant")["ok"]
    relayd.stop()
    assert len(connector.dials) == 1
