# SPDX-License-Identifier: ISC
"""The contract end to end where one process of relayd does not tell all of
it: hellos from the configuration, actions that go through, an orderly stop
that meets no answer, and how each command of relay-ctl ends."""

import json

import pytest

from relay import until

MANIFEST = [{"name": "ask", "description": "Ask it",
             "options": [{"name": "what", "type": 3}]}]
# What each command says and how it ends, with relayd there and healthy.
COMMANDS = (
    (["status"], 0), (["status", "nope"], 1), (["explain"], 0),
    (["explain", "nope"], 1), (["show", "gateways"], 0),
    (["show", "agents"], 0), (["show", "sessions"], 0),
    (["show", "processes"], 0), (["show", "counters"], 0),
    (["show", "quarantine"], 0), (["show", "sessions", "nope"], 1),
    (["wait", "--for", "connected"], 0),
    (["wait", "--for", "idle", "--timeout", "0"], 1),
    (["send", "c1", "x"], 0), (["send", "nowhere", "x"], 1),
    (["action", "main", '{"op":"get_chat_info","chat_id":"c1"}'], 0),
    (["action", "main", '{"op":"no_such","chat_id":"c1"}'], 1),
    (["action", "nope", '{"op":"typing","chat_id":"c1"}'], 1),
    (["interrupt", "main", "k"], 0), (["interrupt", "nope", "k"], 1),
    (["requeue", "main", "all"], 1), (["drop", "-y", "main", "all"], 1),
    (["requeue", "main", "7-7"], 1), (["reload"], 0),
    (["reconnect", "main"], 0), (["wait", "--for", "connected"], 0),
    (["idle", "main"], 0), (["idle", "nope"], 1), (["wake", "main"], 0),
    (["wait", "--for", "connected"], 0), (["dormant", "main"], 0),
    (["reconnect", "main"], 1), (["wake", "main"], 0),
    (["wait", "--for", "connected"], 0), (["enable", "main"], 1),
    (["disable", "main"], 0), (["idle", "main"], 1), (["status"], 151),
    (["enable", "main"], 0),
)


def test_each_identity_says_hello(make_relayd, make_connector):
    connector = make_connector(platforms={"telegram": "99",
                                          "discord": "1234"})
    connector_link = connector.link
    make_relayd().connect_to(connector, command_manifest=MANIFEST) \
        .start(wait="connected")
    until(lambda: len(connector_link().hellos) == 2, "two hellos")
    assert connector_link().hellos == [
        {"type": "hello", "platform": "telegram", "botId": "99"},
        {"type": "hello", "platform": "discord", "botId": "1234",
         "command_manifest": MANIFEST}]
    connector.drop()
    connector.wait_dials(2)
    until(lambda: connector_link() and len(connector_link().hellos) == 2,
          "all hellos again")


def test_platforms_have_their_own_limits(make_relayd, make_connector):
    connector = make_connector(platforms={"discord": "1", "telegram": "2"})
    relayd = make_relayd().connect_to(connector).start(wait="connected")
    agent = relayd.agent()
    connector.describe("discord", max_message_length=4, len_unit="chars",
                       supported_ops=["send", "react"])
    connector.describe("telegram", max_message_length=4, len_unit="utf16")
    for platform in ("discord", "telegram"):
        agent.expect("descriptor", lambda m, p=platform: m["descriptor"][
            "platform"] == p and m["descriptor"]["max_message_length"] == 4)
        connector.say(platform, f"chat-{platform}", "hi")
        agent.ack(agent.inbound("hi"))
    connector.wait_all_acked()
    for chat, text, good in (("discord", "🙂🙂🙂", True),
                             ("telegram", "🙂🙂🙂", False),
                             ("telegram", "🙂🙂", True),
                             ("discord", "12345", False)):
        result = agent.act("send", chat_id=f"chat-{chat}", content=text)
        assert result["success"] is good, (chat, text, result)
    # An operator is held to them as agents are.
    done = relayd.ctl("action", "main", json.dumps(
        {"op": "edit", "chat_id": "chat-discord", "message_id": "m",
         "content": "x"}))
    assert done.returncode == 1
    assert 'does not offer op "edit" on discord' in done.stderr
    done = relayd.ctl("send", "chat-telegram", "12345")
    assert done.returncode == 1 and "telegram takes at most 4" in done.stderr
    assert [r.frame["platform"] for r in connector.outbounds] == [
        "discord", "telegram"]


def test_what_is_known_of_a_chat_comes_through(relayd, connector):
    agent = relayd.agent()
    connector.say("discord", "c1", "hi", chat_name="the room")
    agent.ack(agent.inbound("hi"))
    connector.wait_all_acked()
    result = agent.act("get_chat_info", chat_id="c1")
    assert result["success"] and set(result["chat_info"]) == {"name", "type"}
    done = relayd.ctl("action", "main", json.dumps(
        {"op": "get_chat_info", "chat_id": "c1"}))
    assert json.loads(done.stdout)["chat_info"] == result["chat_info"]


@pytest.mark.parametrize("silent", [("idle_ack",), ("results",),
                                    ("idle_ack", "results")])
def test_stop_has_an_end(relayd, connector, silent):
    """Who does not acknowledge or answer is not waited for without end, and
    agents hear how it went."""
    agent = relayd.agent()
    connector.stall(*silent)
    request = agent.request({"op": "send", "chat_id": "c1", "content": "x"})
    connector.wait_outbound()
    link = connector.link()
    relayd.stop()       # with a deadline
    assert connector.wait_closed(link)[0] == 1000
    rest = agent.wait_closed()
    assert [m["state"] for m in rest if m["type"] == "link"][-1] == "stopping"
    results = [m for m in rest if m["type"] == "outbound_result"]
    assert [m["requestId"] for m in results] == [request]
    if "results" in silent:
        assert results[0]["result"] == {
            "success": False, "ambiguous": True,
            "error": "relay transport connection lost"}


def test_each_command_ends_as_it_should(relayd, connector):
    """With --json: one document a line on standard output, that says whether
    it was done, and an exit status that says the same."""
    agent = relayd.agent()
    connector.say("discord", "c1", "hi")
    agent.ack(agent.inbound("hi"))
    connector.wait_all_acked()
    for args, code in COMMANDS:
        done = relayd.ctl("--json", *args)
        assert done.returncode == code, (args, done)
        documents = [json.loads(line) for line in done.stdout.splitlines()]
        if code == 1 and not documents:
            assert done.stderr, args        # not asked, or in vain
            continue
        assert documents, args
        for document in documents:
            assert document.get("ok") is (code != 1) or args[0] == "wait", \
                (args, document)


def test_each_command_without_relayd(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    seen = set()
    for args, _code in COMMANDS:
        if args[0] in seen and args[0] != "show":
            continue
        seen.add(args[0])
        for words in (args, ["--json", *args]):
            done = relayd.ctl(*words)
            assert done.returncode == 3, (words, done)
            assert "not running" in done.stderr
            assert not done.stdout or words[0] == "explain"
