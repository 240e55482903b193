# SPDX-License-Identifier: ISC
"""Requests of agents: ids, results, scope, and what does not leave."""

import pytest
from test_agents import error_of, of_type, sync


def test_request_ids_cannot_clash(relayd, connector):
    one, two = relayd.agent(agent="one"), relayd.agent(agent="two")
    connector.say("discord", "c1", "hi")
    connector.say("discord", "c2", "hi")
    connector.settings.results = False
    names = ["same", "é\"\\\n\x00🙂", "x" * 500]
    for agent, chat in ((one, "c1"), (two, "c2")):
        for name in names:
            agent.send({"type": "outbound", "requestId": name, "action": {
                "op": "send", "chat_id": chat, "content": chat}})
    connector.wait_for(lambda: len(connector.outbounds) == 6)
    assert len({r.frame["requestId"] for r in connector.outbounds}) == 6
    connector.settings.results = True
    connector.release(reverse=True)
    sent = {r.result["message_id"]: r for r in connector.outbounds}
    for agent, chat in ((one, "c1"), (two, "c2")):
        results = {m["requestId"]: m["result"] for m in (
            agent.expect("outbound_result") for _ in names)}
        assert sorted(results) == sorted(names)
        for result in results.values():
            assert sent[result["message_id"]].chat_id == chat
        sync(agent)
        assert len(of_type(agent, "outbound_result")) == len(names)
    one.ack(one.inbound())
    two.ack(two.inbound())


def test_a_lost_link_makes_outstanding_requests_ambiguous(relayd, connector):
    agent = relayd.agent()
    connector.stall("results")
    ids = [agent.request({"op": "typing", "chat_id": "c1",
                          "metadata": {"user_id": "u1"}}) for _ in range(3)]
    connector.wait_for(lambda: len(connector.outbounds) == 3)
    connector.drop()
    for request_id in ids:
        assert agent.result(request_id) == {
            "success": False, "error": "relay transport connection lost",
            "ambiguous": True}
    connector.unstall()
    agent.expect("link", lambda m: m["state"] == "retrying")
    agent.expect("link", lambda m: m["state"] == "connected")
    assert agent.act("typing", chat_id="c1",
                     metadata={"user_id": "u1"})["success"] is False
    sync(agent)
    assert len(of_type(agent, "outbound_result")) == 4
    assert len(connector.outbounds) == 4, "a written frame was sent again"


def test_what_never_left_may_wait_for_the_link_but_not_for_ever(
        relayd, connector):
    agent = relayd.agent()
    connector.say("discord", "c1", "hi")
    agent.ack(agent.inbound("hi"))
    connector.wait_all_acked()
    connector.stop()
    relayd.wait_state(state="retrying")
    waiting = agent.request({"op": "send", "chat_id": "c1", "content": "a"})
    connector.start()
    assert agent.result(waiting)["success"]
    assert len(connector.outbounds) == 1
    connector.stop()
    relayd.wait_state(state="retrying")
    result = agent.act("send", chat_id="c1", content="b")   # 10 s
    assert not result["success"] and "ambiguous" not in result
    assert "was not sent" in result["error"] and "retrying" in result["error"]
    connector.start()
    relayd.wait_state()
    assert agent.act("send", chat_id="c1", content="c")["success"]
    assert [r.action["content"] for r in connector.outbounds] == ["a", "c"]


def test_without_a_credential_a_request_is_refused_at_once(
        make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    relayd.write("main.secret", "", 0o600)
    relayd.start()
    relayd.wait_state(state="unprovisioned")
    agent = relayd.agent(hello=False)
    agent.send({"type": "hello"})
    result = agent.act("send", chat_id="c1", content="x")
    assert not result["success"] and "ambiguous" not in result
    assert "unprovisioned" in result["error"]


def test_egress_scope_is_filled_in(relayd, connector):
    agent = relayd.agent()
    connector.settings.egress = "off"
    for chat, fields in (("c1", {"scope_id": "g1", "chat_type": "group"}),
                         ("r", {"source": {"platform": "relay"}})):
        connector.say("discord", chat, chat, **fields)
        agent.ack(agent.inbound(chat))
    connector.wait_all_acked()
    scope = {"scope_id": "g1", "user_id": "u1"}
    for chat, given, expected, platform in (
            ("c1", None, scope, "discord"),
            ("c1", {}, scope, "discord"),
            ("c1", {"thread_id": "t"}, {"thread_id": "t", **scope}, "discord"),
            ("c1", {"scope_id": "keep"}, {**scope, "scope_id": "keep"},
             "discord"),
            ("c1", {"scope_id": "", "user_id": "me"},
             {"scope_id": "g1", "user_id": "me"}, "discord"),
            ("r", None, {"user_id": "u1"}, None),
            ("other", {"a": 1}, {"a": 1}, None)):
        fields = {} if given is None else {"metadata": given}
        agent.act("send", chat_id=chat, content="x", future=[1], **fields)
        record = connector.outbounds[-1]
        assert record.action["metadata"] == expected
        assert record.action["future"] == [1]
        assert record.frame.get("platform") == platform
        assert record.frame.get("botId") == (platform and "1234")


@pytest.mark.parametrize("line", [
    b'{"type":"outbound","requestId":5,"action":{"op":"send"}}',
    b'{"type":"outbound","action":{"op":"send"}}',
    b'{"type":"outbound","requestId":"%s","action":{"op":"x"}}' % (b"r" * 600),
])
def test_a_request_without_a_proper_id_is_an_error(relayd, line):
    agent = relayd.agent()
    agent.send(line + b"\n")
    assert "requestId" in error_of(agent)


@pytest.mark.parametrize("rest", [
    b'"action":{"chat_id":"c"}',
    b'"action":"send"',
    b'"x":1',
    b'"action":{"op":"send","op":"edit"}',
    b'"action":{"op":"send","\\u006fp":"edit"}',
    b'"action":{"op":"send","chat_id":"c","content":"a","content":"b"}',
    b'"action":{"op":"send","metadata":{"user_id":"a","user_id":"b"}}',
    b'"action":{"op":"send","metadata":{"x":1,"x":2}}',
    b'"action":{"op":"send","metadata":[]}',
    b'"action":{"op":"send"},"platform":"discord","platform":"slack"',
    b'"action":{"op":"send"},"botId":"1","botId":"2"',
    b'"action":{"op":"send"},"platform":"slack"',
    b'"action":{"op":"send"},"platform":7',
])
def test_an_action_that_can_be_read_two_ways_does_not_leave(
        relayd, connector, rest):
    agent = relayd.agent()
    agent.send(b'{"type":"outbound","requestId":"r",' + rest + b"}\n")
    answer = agent.next()
    while answer["type"] not in ("error", "outbound_result"):
        answer = agent.next()
    told = answer.get("error") or answer["result"]["error"]
    assert told and not connector.outbounds


@pytest.mark.parametrize("count", [250, 300, 60000])
def test_an_action_has_as_many_members_as_fit_into_a_line(
        relayd, connector, count):
    agent = relayd.agent()
    connector.say("discord", "c1", "hi", scope_id="g1", chat_type="group")
    agent.ack(agent.inbound("hi"))
    connector.wait_all_acked()
    many = {f"m{i}": i for i in range(count)}
    for given in ({**many, "content": "a"},
                  {"content": "b", "metadata": {**many, "user_id": ""}}):
        assert agent.act("send", chat_id="c1", **given)["success"]
        action = connector.outbounds[-1].action
        filled = {**given.get("metadata", {}), "scope_id": "g1",
                  "user_id": "u1"}
        assert action == {"op": "send", "chat_id": "c1", **given,
                          "metadata": filled}
    result = agent.act("send", chat_id="c1", content="é" * 3000, **many)
    assert "2000" in result["error"], "the bound on content holds as well"
    assert len(connector.outbounds) == 2


def test_an_operators_action_is_bounded_by_the_line_alone(relayd, connector):
    connector.settings.egress = "off"
    action = {**{f"m{i}": i for i in range(5000)}, "op": "send",
              "content": "x", "chat_id": "c1", "metadata": {"user_id": "u1"}}
    answer = relayd.control(
        {"cmd": "send", "action": action, "gateway": "main"})
    assert answer["ok"] and answer["result"]["success"]
    assert connector.outbounds[-1].action == action


@pytest.mark.parametrize("odd", ['"result":"done",', '"result":null,',
                                 '"result":[true],', ""])
def test_a_result_is_always_an_object(relayd, connector, odd):
    agent = relayd.agent()
    connector.settings.results = False
    asked = agent.request({"op": "typing", "chat_id": "c1"})
    record = connector.wait_outbound()
    connector.send('{"type":"outbound_result",%s"requestId":"%s"}'
                   % (odd, record.frame["requestId"]))
    assert agent.result(asked) == {
        "success": False, "ambiguous": True,
        "error": "the connector's result is no JSON object"}
    relayd.wait_log("a result that is no object")
