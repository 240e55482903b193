# SPDX-License-Identifier: ISC
"""Interactions as events, prompts answered to who asked, and what a
descriptor allows: from the connector's platform to the agent and back."""

import base64
import json

import pytest
from base import ROOT

VECTORS = json.loads((ROOT / "tests/vectors/interactions.json").read_text())


def press(prompt="p7", option="yes", channel="c1"):
    """A pressed button that answers a prompt."""
    body = {"type": 3, "id": "i1", "channel_id": channel, "guild_id": "g1",
            "member": {"user": {"id": "u1", "username": "ann"}},
            "data": {"custom_id": f"hp1:{prompt}:{option}"},
            "message": {"id": "m77"}}
    return forward(json.dumps(body).encode())


def forward(body, platform="discord"):
    return {"platform": platform, "botId": "1234", "method": "POST",
            "path": "/interactions", "headers": [],
            "bodyB64": base64.b64encode(body).decode()}


def body_of(case):
    if "body_b64" in case:
        return base64.b64decode(case["body_b64"])
    return json.dumps(case["body"]).encode()


def check_within(want, have):
    for name, value in want.items():
        if isinstance(value, dict):
            check_within(value, have[name])
        else:
            assert have[name] == value, name


def test_every_vector_arrives_as_its_event(relayd, connector):
    agent = relayd.agent(interactions="event")
    for case in VECTORS["cases"]:
        buffer_id = connector.forward(forward(body_of(case)))
        if case["event"] is None:
            connector.wait_acked(buffer_id)     # dropped
            continue
        delivery = agent.expect("inbound")
        want = dict(case["event"])
        assert delivery["session_key"] == want.pop("session_key")
        check_within(want, delivery["event"])
        assert ("prompt_response" in delivery["event"]) \
            == ("prompt_response" in want)
        agent.ack(delivery)
        connector.wait_acked(buffer_id)
    dropped = sum(c["event"] is None for c in VECTORS["cases"])
    assert relayd.gateway()["counters"]["forwards_dropped"] == dropped
    relayd.wait_log("event=forward_dropped .*wants interactions as events")


def test_raw_and_event_agents_each_get_their_own(relayd, connector):
    raw = relayd.agent(platforms=["discord"])
    connector.forward(press())
    delivery = raw.expect("passthrough_forward")
    assert delivery["session_key"] == "agent:main:discord:group:c1:u1"
    raw.close()                         # not acknowledged
    event = relayd.agent(interactions="event")
    again = event.expect("inbound")
    assert again["event"]["text"] == "/yes"
    assert again["bufferId"] == delivery["bufferId"]
    assert again["redelivered"] is True
    event.ack(again)
    connector.wait_all_acked()


def test_an_unknown_wish_is_told(relayd):
    agent = relayd.agent(interactions="both")
    assert "interactions" in agent.expect("error")["error"]


def test_a_press_reaches_the_agent_that_asked(relayd, connector):
    agents = [relayd.agent(agent=name, interactions="event")
              for name in ("one", "two")]
    connector.say("discord", "c1", "hi", scope_id="g1", user_id="u1",
                  chat_type="group")
    # The session is one agent's; the other asks in the same chat.
    shown = relayd.wait_gateway(
        lambda g: any(a["unacknowledged"] for a in g["agents"]), "delivered")
    has = [a["name"] for a in shown["agents"] if a["unacknowledged"]]
    its, asks = agents if has == ["one"] else reversed(agents)
    its.ack(its.inbound("hi"))
    assert asks.act("prompt", chat_id="c1", prompt_kind="confirm",
                    prompt_id="p7", content="sure?",
                    options=[{"id": "yes", "label": "Yes"}])["success"]
    connector.forward(press())
    delivery = asks.expect("inbound")
    assert delivery["event"]["prompt_response"] == {
        "prompt_id": "p7", "option_id": "yes", "prompt_message_id": "m77"}
    asks.ack(delivery)
    connector.forward(press(prompt="p8"))       # nobody here asked that
    its.ack(its.expect("inbound"))
    connector.wait_all_acked()


def test_ops_that_are_not_offered_are_answered_at_once(relayd, connector):
    agent = relayd.agent()
    connector.describe("discord", supported_ops=["send", "typing"])
    agent.expect("descriptor",
                 lambda m: m["descriptor"].get("supported_ops"))
    result = agent.act("edit", chat_id="c1", message_id="m", content="x")
    assert not result["success"] and "ambiguous" not in result
    assert "\"edit\"" in result["error"] and "send, typing" in result["error"]
    assert not connector.outbounds


@pytest.mark.parametrize("unit, text, long", [
    ("chars", "🙂" * 10, "🙂" * 11), ("utf16", "🙂" * 5, "🙂" * 5 + "x")])
def test_content_that_is_too_long_is_refused(
        relayd, connector, unit, text, long):
    agent = relayd.agent()
    connector.describe("discord", max_message_length=10, len_unit=unit)
    agent.expect("descriptor",
                 lambda m: m["descriptor"]["max_message_length"] == 10)
    connector.say("discord", "c1", "hi")
    agent.ack(agent.inbound("hi"))
    assert agent.act("send", chat_id="c1", content=text)["success"]
    result = agent.act("send", chat_id="c1", content=long)
    assert not result["success"] and "ambiguous" not in result
    assert "content has 11" in result["error"] \
        and "at most 10" in result["error"]
    assert [r.action["content"] for r in connector.outbounds] == [text]
