# SPDX-License-Identifier: ISC
"""The main story: a message in, a reply out, and everything in order."""

import json


def test_message_in_reply_out(relayd, connector):
    agent = relayd.agent()
    buffer_id = connector.say("discord", "c1", "hello", user_name="Ann")
    delivery = agent.inbound("hello")
    assert delivery["event"]["source"]["user_name"] == "Ann"
    assert delivery["session_key"] == "agent:main:discord:dm:c1"
    assert "redelivered" not in delivery
    assert connector.unacked() == 1, "acknowledged before the agent did"
    agent.ack(delivery)
    connector.wait_acked(buffer_id)
    result = agent.reply(delivery, "hello yourself")
    assert result["success"], result
    assert connector.wait_text("c1", "hello yourself").action["metadata"] == {
        "user_id": "u1"}


def test_status_says_connected(relayd, connector):
    gateway = relayd.gateway()
    assert gateway["state"] == "connected"
    assert gateway["tls"].startswith("TLSv1.")
    assert gateway["gateway_id"] == "gw-test"
    assert gateway["identities"][0]["descriptor"]["platform"] == "discord"
    done = relayd.ctl("status")
    assert done.returncode == 0, done.stderr
    assert "connected" in done.stdout and not done.stderr
    code, document = relayd.ctl_json("status")
    assert code == 0 and document["gateways"][0]["state"] == "connected"
    assert [p["role"] for p in document["processes"]] == [
        "supervisor", "authd", "dialer", "engine"]
    assert connector.counters["dials"] == 1


def test_stop_in_order(relayd, connector):
    agent = relayd.agent()
    agent.expect("link", lambda m: m["state"] == "connected")
    link = connector.link()
    relayd.stop()
    assert connector.wait_closed(link)[0] == 1000
    connector.wait_idle()
    assert agent.wait_closed()[-1] == {"type": "link", "state": "stopping",
                                       "reason": agent.messages[-1]["reason"]}


def test_without_root(unprivileged, connector):
    agent = unprivileged.agent()
    connector.say("discord", "c1", "hello")
    delivery = agent.inbound("hello")
    agent.ack(delivery)
    assert agent.reply(delivery, "hi")["success"]
    connector.wait_all_acked()
    assert json.loads(unprivileged.ctl("--json", "status").stdout)["ok"]


def test_what_was_buffered_waits_for_relayd(make_relayd, connector):
    ids = [connector.say("discord", "c1", f"n{i}") for i in range(20)]
    relayd = make_relayd().connect_to(connector).start(wait="connected")
    agent = relayd.agent()
    for number in range(20):
        delivery = agent.inbound()
        assert delivery["event"]["text"] == f"n{number}"
        agent.ack(delivery)
    connector.wait_acked(ids[-1])
