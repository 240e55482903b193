# SPDX-License-Identifier: ISC
"""What never stands in the log, whatever is sent from any side: what people
write and are called, tokens and secrets."""

import contextlib
import json
import os
import subprocess
import threading

import pytest

import loglines
from agents import LineSocket
from base import TIMEOUT_S, until
from connector.faults import DialFault
from issued import enroll, provisioned, wait_reason
from loglines import FORMS, parsed, quiet
from test_interactions import forward

# In everything that people write, are called, or have as an id.
MARK = "kanarie"


# People.

def mark(what):
    return f"{MARK}-{what}"


PERSON = {
    "chat_type": "group", "user_id": mark("user"), "user_name": mark("name"),
    "thread_id": mark("thread"), "chat_name": mark("chatname"),
    "chat_topic": mark("topic"), "scope_id": mark("scope"),
    "user_id_alt": mark("alt"), "user_display_name": mark("display"),
    "user_handle": mark("handle")}
CHAT = mark("chat")


def say(connector, text="text", **more):
    return connector.say("discord", CHAT, mark(text),
                         message_id=mark(f"id-{text}"), **{**PERSON, **more})


def conversation(relayd, connector):
    """Messages, replies, what is refused here and there."""
    with relayd.agent() as agent:
        said = say(connector)
        delivery = agent.inbound(mark("text"))
        assert MARK in delivery["session_key"]
        assert agent.reply(delivery, mark("reply"))["success"]
        agent.ack(delivery)
        connector.wait_acked(said)
        for op, fields in (
                ("edit", {"message_id": mark("none"), "content": mark("c")}),
                ("react", {"message_id": mark("m"), "emoji": mark("e")}),
                ("send", {"content": mark("x" * 5000)}),
                ("prompt", {"content": mark("ask"), "prompt_id": mark("p"),
                            "options": [{"id": mark("o"),
                                         "label": mark("label")}]}),
                ("typing", {}), (MARK, {"content": mark("c")}),
                (mark("no op at all"), {})):
            agent.act(op, chat_id=CHAT, **fields)
        assert not agent.act("send", content=mark("lost"),
                             chat_id=mark("elsewhere"))["success"]
        agent.act("follow_up", session_key=delivery["session_key"],
                  kind=mark("kind"), content=mark("more"))
        connector.interrupt(delivery["session_key"], CHAT)
        agent.expect("interrupt_inbound")
        agent.send({"type": "interrupt", "session_key": mark("session"),
                    "chat_id": CHAT})
        for action in ({"op": "send", "chat_id": CHAT,
                        "content": mark("operator")},
                       {"op": mark("op"), "chat_id": CHAT},
                       {"op": MARK.upper(), "content": mark("c")}):
            relayd.control({"cmd": "send", "gateway": "main",
                            "action": action})
        relayd.ctl("interrupt", "main", delivery["session_key"])
        relayd.ctl("send", CHAT, mark("by command"))
        relayd.ctl("requeue", "main", mark("buffer"))
        relayd.control({"cmd": mark("cmd"), mark("key"): 1})
    relayd.wait_agents(0)


def interactions(relayd, connector):
    """Webhooks as they are, as events, and those that are none."""
    user = {"id": mark("user"), "username": mark("name")}
    base = {"id": mark("i"), "channel_id": CHAT, "member": {"user": user},
            "token": mark("interaction-token")}
    bodies = [
        {"type": 3, "data": {"custom_id": mark("button")},
         "message": {"id": mark("m")}},
        {"type": 3, "data": {"custom_id": f"hp1:{mark('p')}:yes"}},
        {"type": 2, "data": {"name": MARK, "options": [
            {"name": "q", "type": 3, "value": mark("value")}]}},
        {"type": 77, "data": mark("data")}]
    frames = [forward(json.dumps({**base, **body}).encode())
              for body in bodies]
    rubbish = forward(b"{" + mark("rubbish").encode())
    for kind in ("event", "raw"):
        with relayd.agent(interactions=kind) as agent:
            for frame in frames:
                buffer_id = connector.forward(frame)
                agent.ack(agent.expect(
                    "inbound" if kind == "event" else "passthrough_forward"))
                connector.wait_acked(buffer_id)
            if kind == "event":
                connector.wait_acked(connector.forward(rubbish))
    relayd.wait_agents(0)
    assert relayd.gateway()["counters"]["forwards_dropped"] > 0


def hostile_frames(relayd, connector):
    """Lines that are none, events that are none, of the connector."""
    event = {"text": mark("t"), "source": {
        "platform": "discord", "chat_id": CHAT, **PERSON}}
    dump = json.dumps
    for line in (
            f'{{"type":"inbound","event":{{"text":"{MARK}',
            f"{MARK} says: no JSON",
            dump({"type": "inbound", "event": mark("event")}),
            dump({"type": "inbound", "bufferId": 7, "event": {
                **event, "source": mark("source")}}),
            dump({"type": "inbound", "event": {**event, "text": 1}}),
            dump({"type": "inbound", "bufferId": mark("b") * 100,
                  "event": event}),
            dump({"type": "inbound", "event": {
                **event, "source": {"platform": MARK, "chat_id": CHAT}}}),
            dump({"type": "inbound", "event": event})[:-1]
            + f',"type":"{MARK}"}}',
            dump({"type": mark("type"), "bufferId": mark("unknown"),
                  mark("key"): 1}),
            dump({"type": "outbound_result", "requestId": mark("r"),
                  "result": {"success": False, "error": mark("error")}}),
            dump({"type": "descriptor", "descriptor": {
                "platform": MARK, "label": mark("label"), "max": MARK}}),
            dump({"type": "passthrough_forward", "forward": mark("f")}),
            dump({"type": "interrupt_inbound", "session_key": 5,
                  "chat_id": CHAT}),
            dump({"type": "inbound", "event": {**event, "x": MARK * 200000}})):
        connector.send(line)
    connector.send_text('{"type":"inbound","text":"\udcff'.encode(
        "utf-8", "replace").decode() + MARK + '"}\n')
    relayd.wait_gateway(lambda g: g["counters"]["lines_bad"] >= 8
                        or g["counters"]["handshakes"] > 1, "to have read it")


def hostile_agents(relayd, connector):
    """What agents say wrong, and how they end."""
    with relayd.agent(agent=mark("agent")) as agent:
        for line in (
                {"type": mark("type")}, {"no": mark("type")},
                {"type": "hello", "platforms": [MARK, mark("p")]},
                {"type": "hello", "window": mark("window")},
                {"type": "inbound_ack", "bufferId": mark("buffer")},
                {"type": "outbound", "requestId": mark("r"),
                 "action": mark("action")},
                {"type": "outbound", "requestId": mark("r"),
                 "action": {"op": {"x": MARK}, "content": mark("c")}},
                {"type": "outbound", "action": {"op": "send"},
                 "platform": mark("platform"), "botId": mark("bot")}):
            agent.send(line)
        agent.sock.sendall(f"{MARK} says: no JSON\n".encode())
        agent.sock.sendall(b'{"type":"' + MARK.encode() + b'\xff\n')
        agent.act("typing", chat_id=CHAT)
    with relayd.agent(hello=False) as agent:
        agent.send({"type": "outbound", "requestId": mark("early"),
                    "action": {"op": "send", "content": mark("c")}})
        agent.expect("error")
    with LineSocket(relayd.agent_path()) as sock, \
            contextlib.suppress(OSError):
        sock.sock.sendall(f"GET /{MARK} HTTP/1.1\r\nHost: {MARK}\r\n\r\n"
                          .encode())
        sock.recv_line()
    with LineSocket(relayd.agent_path()) as sock, \
            contextlib.suppress(OSError):
        sock.sock.sendall(MARK.encode() * (1 << 18))
        sock.recv_line()
    with relayd.agent(ack_timeout=1) as agent:      # too late
        say(connector, "late")
        agent.inbound(mark("late"))
        agent.wait_closed()
    with relayd.agent() as agent:
        agent.ack(agent.inbound(mark("late")))
        relayd.wait_gateway(lambda g: g["queue"]["events"] == 0, "to be done")
    relayd.wait_agents(0)


def quarantine(relayd, connector):
    """An event that agents do not survive, shown, requeued, dropped."""
    buffer_id = say(connector, "poison", chat_type="dm")
    for _ in range(7):
        if relayd.gateway()["counters"]["aside"]:
            break
        with relayd.agent() as agent:
            agent.expect("inbound")
        relayd.wait_agents(0)
    connector.wait_acked(buffer_id)
    assert MARK in relayd.ctl("show", "quarantine", "--content").stdout
    assert relayd.ctl("requeue", "main", "all").returncode == 0
    with relayd.agent() as agent:
        agent.ack(agent.expect("inbound"))
        relayd.wait_gateway(lambda g: g["queue"]["events"] == 0, "to be done")
    say(connector, "left behind")
    relayd.wait_gateway(lambda g: g["queue"]["events"] == 1, "to have it")
    relayd.kill_and_wait("engine")
    relayd.wait_state()


def tapped(relayd):
    """A tap that shows all, of which nothing is logged."""
    tap = subprocess.Popen(
        relayd.ctl_words("tap", "--content"), stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, env=relayd.environment())
    threading.Thread(target=tap.stdout.read, daemon=True).start()
    return tap


def wrong_configuration(relayd):
    """What is wrong is told without what stands there."""
    good = relayd.config
    relayd.configure({**good, "gateways": {"main": {
        **good["gateways"]["main"], "secret": mark("secret")}}})
    assert not relayd.reload()["ok"]
    relayd.configure(good)


@pytest.mark.breach
@pytest.mark.parametrize("form", FORMS)
def test_nothing_of_people(make_relayd, eager, form):
    relayd = quiet(make_relayd, form).connect_to(eager)
    relayd.start(wait="connected")
    tap = tapped(relayd)
    try:
        relayd.wait_log("tap with content by uid")
        conversation(relayd, eager)
        interactions(relayd, eager)
        hostile_agents(relayd, eager)
        quarantine(relayd, eager)
        hostile_frames(relayd, eager)
        wrong_configuration(relayd)
    finally:
        tap.terminate()
        tap.wait(TIMEOUT_S)
    relayd.stop()
    lines = parsed(relayd, form)
    seen = {line["event"] for line in lines}
    assert {"control", "agent_gone", "agent_refused", "aside", "bad_line",
            "forward_dropped", "interrupt", "link", "recovered", "reload",
            "unknown_frame"} <= seen, sorted(seen)
    found = [line for line in relayd.lines if MARK in line.lower()
             and f"({mark('agent')})" not in line]
    assert not found, "\n".join(found)


# Tokens and secrets: nor at debug.

def echoing(connector, token):
    """The connector's answers say back what they were asked with."""
    http = connector.http
    http.script["enroll"].append((400, {"error": f"what is {token}?"}))
    http.script["enroll"].append((500, token))
    http.script["enroll"].append((403, {"error": token[:40]}))


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_no_token(make_relayd, issuer, form, debug):
    """Neither when they work nor when another machine repeats them."""
    relayd = make_relayd({"log": {"format": form}}, debug=debug)
    tokens = [issuer.token]
    issuer.http.always["provision"] = (
        403, {"error": f"not with {issuer.token}"})
    provisioned(relayd, issuer).start()
    wait_reason(relayd, "403")
    for number in range(3):
        token = f"{MARK}-{number}-{os.urandom(24).hex()}"
        tokens.append(token)
        echoing(issuer, token)
        done = enroll(relayd, token)
        assert done.returncode == 1 and token not in done.stderr
        issuer.http.script["enroll"].clear()
    relayd.stop()
    for token in tokens:
        assert token not in relayd.log
        assert token[:32] not in relayd.log
    assert not loglines.strangers(relayd.lines)


@pytest.mark.breach
@pytest.mark.parametrize("debug", [False, True])
def test_no_bearer(make_relayd, connector, debug):
    """Nor the link's: a refusal and a close that repeat it."""
    relayd = make_relayd({"log": {"format": "json"}}, debug=debug)
    relayd.connect_to(connector).start(wait="connected")
    bearer = connector.dials[-1].token
    assert len(bearer) > 40
    for fault in (DialFault(status=403, body=bearer,
                            headers={"X-Token": bearer}),
                  DialFault(close=(1008, bearer[:120])),
                  DialFault(close=(4401, f"no {bearer[:100]}"))):
        connector.on_dial(fault)
    connector.close(1011, bearer[:120])
    until(lambda: len(connector.dials) >= 5, "the refused dials")
    relayd.wait_state()
    relayd.stop()
    minted = {dial.token for dial in connector.dials if dial.token}
    assert minted
    for token in minted:
        assert token[:32] not in relayd.log
        assert token[-32:] not in relayd.log
    secret = connector.gateway().secrets[-1]
    assert secret[:16] not in relayd.log
