# SPDX-License-Identifier: ISC
"""The engine in its corners: large events, agents that leave, lost links."""

import pytest

KIB = 1024


def texts(agent):
    return [m["event"]["text"].split()[0] for m in agent.messages
            if m["type"] == "inbound"]


def test_large_events_do_not_cut_off_who_reads(make_relayd, eager):
    relayd = make_relayd().connect_to(eager).start(wait="connected")
    source = {"platform": "discord", "chat_id": "c1", "chat_type": "dm"}
    eager.say_many([{"text": f"m{i} " + "x" * 900 * KIB, "source": source,
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


def test_who_drains_gets_nothing_more(relayd, connector):
    first = relayd.agent(agent="first", window=1)
    connector.say("discord", "c1", "m1")
    held = first.inbound("m1")
    first.send({"type": "going_idle"})
    first.expect("going_idle_ack")
    connector.say("discord", "c1", "m2", live=True)
    relayd.wait_gateway(lambda g: g["queue"]["events"] == 2, "to have m2")
    second = relayd.agent(agent="second")
    first.ack(held)
    delivery = second.inbound("m2")
    assert "redelivered" not in delivery
    second.ack(delivery)
    connector.wait_all_acked()
    assert texts(first) == ["m1"]


def test_stop_hands_nothing_on(relayd, connector):
    agents = [relayd.agent(agent=f"a{i}") for i in range(4)]
    connector.say("discord", "c1", "m1")
    relayd.wait_gateway(
        lambda g: sum(a["unacknowledged"] for a in g["agents"]) == 1,
        "to have given it to one")
    relayd.stop()
    for agent in agents:
        agent.wait_closed()
    assert sum(len(texts(agent)) for agent in agents) == 1


@pytest.mark.parametrize("reset", [False, True])
def test_lost_link_is_the_last_close(relayd, connector, reset):
    connector.drop(reset=reset)
    relayd.wait_gateway(lambda g: g["state"] == "connected"
                        and g["counters"]["losses"] == 1,
                        "to be connected again")
    last = relayd.gateway()["last_close"]
    assert last["code"] is None and last["by"] == "connector"
    assert "peer" in last["reason"]
