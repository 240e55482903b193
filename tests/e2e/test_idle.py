# SPDX-License-Identifier: ISC
"""A link that sleeps while nobody needs it, and what wakes it."""

import pytest

from relay import until

SOON = {"idle_after": "1s"}


@pytest.fixture(name="lonely")
def _lonely(make_relayd, connector):
    """A relayd that goes idle after a second without agents."""
    return make_relayd().connect_to(connector, agents=SOON).start(
        wait="connected")


def ask(relayd, cmd, **more):
    return relayd.control({"cmd": cmd, **more})


def going_idle(connector):
    """How often the newest link was told."""
    return connector.state.links[-1].counters["going_idle"]


def test_no_agent(lonely, connector):
    gateway = lonely.wait_state(state="idle")
    assert gateway["reason"] == "no agent for 1 s"
    assert gateway["next_attempt_in_s"] is None
    assert connector.gateway().asleep
    assert connector.state.links[-1].closed[0] == 1000
    assert gateway["last_close"]["by"] == "us"
    # What comes is kept, and had at once when an agent is there.
    connector.say("discord", "c1", "while asleep")
    dials = len(connector.dials)
    agent = lonely.agent(hello=False)
    assert len(connector.dials) == dials
    agent.hello(wait=False)
    agent.ack(agent.inbound("while asleep"))
    connector.wait_all_acked()
    assert len(connector.dials) == dials + 1
    assert lonely.gateway()["state"] == "connected"


def test_hold(make_relayd, connector):
    """It stays, and what comes waits here."""
    relayd = make_relayd().connect_to(
        connector, agents={**SOON, "when_no_agent": "hold"}).start(
            wait="connected")
    connector.say("discord", "c1", "held")
    relayd.wait_gateway(lambda g: g["queue"]["events"] == 1
                        and g["for_s"] >= 2, "to hold an event")
    assert going_idle(connector) == 0
    agent = relayd.agent()
    agent.ack(agent.inbound("held"))
    connector.wait_all_acked()


def test_an_agents_own(relayd, connector):
    """The last agent takes the link with it at once, in order."""
    first, second = relayd.agent(), relayd.agent()
    connector.say("discord", "c1", "one")
    until(lambda: relayd.gateway()["queue"]["events"] == 1, "an event")
    first.send({"type": "going_idle"})
    first.expect("going_idle_ack")
    assert relayd.gateway()["state"] == "connected"
    assert going_idle(connector) == 0
    second.send({"type": "going_idle"})
    second.expect("going_idle_ack")
    until(lambda: connector.gateway().asleep, "the connector to be told")
    # Who has the event acknowledges it before the link is closed.
    for agent in relayd.gateway()["agents"]:
        if agent["unacknowledged"]:
            holder = (first, second)[agent["number"] - 1]
            holder.ack(holder.inbound("one"))
    connector.wait_all_acked()
    gateway = relayd.wait_state(state="idle")
    assert gateway["reason"] == \
        "no agent takes events: the last one said going_idle"
    # They are told, and one of them sends.
    second.expect("link", lambda m: m["state"] == "idle")
    assert second.act("send", chat_id="c1", content="back")["success"]
    relayd.wait_state()


def test_an_agent_before_the_ack(lonely, connector):
    """It is served on the old link as long as that is live."""
    connector.stall("idle_ack")
    until(lambda: going_idle(connector), "going_idle")
    agent = lonely.agent()
    connector.say("discord", "c1", "live still")
    agent.ack(agent.inbound("live still"))
    connector.wait_all_acked()
    dials = len(connector.dials)
    connector.say("discord", "c1", "another")
    second = agent.inbound("another")
    connector.unstall("idle_ack")
    # The close finishes, and a dial follows at once.
    connector.wait_dials(dials + 1)
    lonely.wait_gateway(lambda g: g["state"] == "connected"
                        and g["counters"]["handshakes"] == 2, "to be back")
    agent.ack(second)
    connector.wait_all_acked()
    connector.say("discord", "c1", "on the new link")
    agent.ack(agent.inbound("on the new link"))
    connector.wait_all_acked()
    assert connector.state.links[0].closed[0] == 1000


def test_no_ack(lonely, connector):
    """It stays connected and says so; the ack that comes late is no harm."""
    connector.stall("idle_ack")
    lonely.wait_log("no going_idle_ack within 10 s: staying connected")
    agent = lonely.agent()
    connector.say("discord", "c1", "live")
    agent.ack(agent.inbound("live"))
    connector.wait_all_acked()
    assert len(connector.dials) == 1
    connector.unstall("idle_ack")   # now nothing would come any more
    connector.wait_dials(2)
    connector.say("discord", "c1", "live again")
    agent.ack(agent.inbound("live again"))
    connector.wait_all_acked()


def test_an_operators(relayd, connector):
    agent = relayd.agent()
    assert ask(relayd, "idle")["ok"]
    assert relayd.gateway()["state"] == "idle"
    assert relayd.gateway()["reason"].startswith("as uid ")
    relayd.wait_log("idle by uid [0-9]+, pid [0-9]+")
    connector.say("discord", "c1", "kept")
    assert ask(relayd, "wake")["ok"]
    agent.ack(agent.inbound("kept"))
    connector.wait_all_acked()
    assert ask(relayd, "wake")["ok"]
    assert len(connector.dials) == 2
    refusal = relayd.control({"cmd": "idle"}, path="status.sock")
    assert refusal["code"] == "not_permitted"


def test_an_operators_without_ack(relayd, connector):
    connector.stall("idle_ack")
    answer = ask(relayd, "idle")
    assert (answer["ok"], answer["code"]) == (False, "failed")
    assert "no going_idle_ack" in answer["error"]
    assert relayd.gateway()["state"] == "connected"
    assert len(connector.dials) == 1
    connector.state.settings.idle_ack = True


def test_a_request_of_an_operator(lonely, connector):
    agent = lonely.agent()
    connector.say("discord", "c1", "hello")
    agent.ack(agent.inbound("hello"))
    connector.wait_all_acked()
    agent.close()
    lonely.wait_state(state="idle")
    answer = ask(lonely, "send", action={
        "op": "send", "chat_id": "c1", "content": "awake"})
    assert answer["ok"], answer
    connector.wait_text("c1", "awake")


def test_stop_while_idle(lonely, connector):
    lonely.wait_state(state="idle")
    agent = lonely.agent(hello=False)
    lonely.stop()
    agent.wait_closed()
    assert len(connector.dials) == 1
