# SPDX-License-Identifier: ISC
"""The log: its forms, its events, its level at run time, what is summed up;
and what never stands in it, whatever is sent from any side."""

import contextlib
import json
import os
import re
import subprocess
import threading

import pytest

import inject
import loglines
from agents import LineSocket
from base import ROOT, TIMEOUT_S, until
from connector.faults import DialFault
from issued import enroll, provisioned, wait_reason
from test_interactions import forward

FORMS = ("logfmt", "json")
# In everything that people write, are called, or have as an id.
MARK = "kanarie"
SOURCES = [path for part in ("common", "relayd", "relay-authd", "relay-xchg")
           for path in sorted((ROOT / part).rglob("*.c"))]
# What logs an event, whose name is the first literal among its arguments.
CALL = re.compile(
    r"(?<!define )\b(?:log_(?:err|warn|info|debug|say|die|always)"
    r'|core_remark|headroom_log|remark)\s*\((?!int |struct )[^";]*?"(\w+)"')
MADE = re.compile(r'\.event = "(\w+)"|char event\[.*?\] = "(\w+)"')


def in_sources():
    """The names that the sources log with, and where."""
    names = {}
    for path in SOURCES:
        text = path.read_text()
        for match in (*CALL.finditer(text), *MADE.finditer(text)):
            names.setdefault(next(filter(None, match.groups())), path.name)
    return names


def in_manual():
    """The names that relayd(8) lists."""
    text = (ROOT / "docs/relayd.8").read_text()
    part = re.search(r"^\.Sh LOG\n(.*?)^\.Sh ", text, re.M | re.S)[1]
    return re.findall(r"^\.It Ic (\w+)$", part, re.M)


def test_each_event_is_listed_once():
    names = in_sources()
    assert len(names) > 50
    unlisted = {n: w for n, w in names.items() if n not in loglines.EVENTS}
    assert not unlisted, "not in common/log_event.def"
    gone = loglines.EVENTS - names.keys()
    assert not gone, f"nothing logs {gone}"


def test_the_manual_lists_each_event():
    assert in_manual() == sorted(loglines.EVENTS)


def quiet(make_relayd, form="logfmt", **more):
    """A daemon that logs at info."""
    return make_relayd({"log": {"format": form, "level": "info", **more}},
                       debug=False)


def parsed(relayd, form="logfmt"):
    return [loglines.parse(line, form) for line in relayd.lines]


# Forms.

@pytest.mark.parametrize("form", FORMS)
def test_every_line_is_of_its_form(make_relayd, connector, form):
    relayd = quiet(make_relayd, form).connect_to(connector)
    relayd.start(wait="connected")
    connector.drop()
    relayd.wait_log("retrying")
    relayd.wait_state()
    relayd.kill_and_wait("engine")
    relayd.wait_state()
    relayd.stop()
    lines = parsed(relayd, form)
    assert {"ready", "link", "dial", "mint", "exit", "restart", "stop"} <= {
        line["event"] for line in lines}
    assert {"supervisor", "dialer", "engine", "authd"} == {
        line["process"] for line in lines}
    for line in lines:
        if line["event"] in ("link", "dial", "mint"):
            assert line["gateway"] == "main", line
    states = [line["msg"] for line in lines if " -> " in line["msg"]]
    assert re.match(r"unprovisioned -> connecting: ", states[0])
    assert re.match(r"\w+ -> stopping: ", states[-1])


def test_one_line_for_each_change_of_state(make_relayd, connector):
    """However often it goes back and forth."""
    relayd = quiet(make_relayd).connect_to(connector)
    relayd.start(wait="connected")
    for count in range(2, 6):
        connector.drop()
        relayd.wait_gateway(
            lambda g, n=count: g["counters"]["handshakes"] == n
            and g["state"] == "connected", "to be back")
    relayd.stop()
    changes = [line["msg"].partition(": ")[0] for line in parsed(relayd)
               if line["event"] == "link" and " -> " in line["msg"]]
    for change in ("connected -> retrying", "retrying -> connected"):
        assert changes.count(change) == 4, changes
    assert changes[-1] == "connected -> stopping"


def test_a_refused_start_is_json_too(make_relayd):
    relayd = make_relayd({"log": {"format": "json"}, "gateways": {"main": {
        "url": "https://127.0.0.1:1", "identities": [
            {"platform": "discord", "bot_id": "1"}]}}}, debug=False)
    (relayd.dir / "run").write_text("no directory")
    relayd.start()
    assert relayd.wait_exit() == 1
    last = loglines.parse(relayd.lines[-1], "json")
    assert last["event"] == "refused" and last["level"] == "error"


# The service manager's journal.

def start_on(relayd, fd, stream):
    """Start it with this standard error."""
    return subprocess.Popen(
        relayd.daemon.command("relayd", *relayd.places()),
        env={**relayd.environment(), "JOURNAL_STREAM": stream},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=fd,
        start_new_session=True, cwd="/")


@pytest.mark.parametrize("journal", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_priorities(make_relayd, connector, form, journal):
    """Where standard error is what JOURNAL_STREAM says."""
    relayd = quiet(make_relayd, form).connect_to(connector)
    read, write = os.pipe()
    there = os.fstat(write)
    inode = there.st_ino if journal else there.st_ino + 1
    relayd.process = start_on(relayd, write, f"{there.st_dev}:{inode}")
    os.close(write)
    try:
        relayd.wait_state()
        relayd.kill_and_wait("engine")
    finally:
        process, relayd.process = relayd.process, None
        process.terminate()
    with open(read, encoding="utf-8") as text:
        lines = text.read().splitlines()
    assert process.wait(TIMEOUT_S) == 0
    number = {"error": 3, "warn": 4, "notice": 5, "info": 6}
    seen = set()
    for line in lines:
        if journal:
            assert re.match(r"<\d>", line)
            fields = loglines.parse(line[3:], form)
            assert int(line[1]) == number[fields["level"]]
        else:
            fields = loglines.parse(line, form)
        seen.add(fields["level"])
    assert {"warn", "info"} <= seen


# The level.

def test_level_at_run_time(make_relayd, connector):
    """All processes take it, those that start later too; a reload and a
    restart bring the configured one back."""
    relayd = quiet(make_relayd, level="warn").connect_to(connector)
    relayd.start(wait="connected")
    assert relayd.ctl("log").stdout == "warn\n"
    assert not relayd.lines
    done = relayd.ctl("log", "debug")
    assert done.returncode == 0
    assert done.stdout == ("debug, until the next reload or restart: then "
                           "warn\n")
    said = loglines.parse(relayd.wait_log("event=log_level").string, "logfmt")
    assert said["level"] == "notice"
    assert re.fullmatch(r"debug, was warn: asked for by uid \d+, pid \d+",
                        said["msg"])
    connector.drop()
    for process in ("authd .*event=mint", "dialer .*event=dial",
                    "engine .*event=connected"):
        relayd.wait_log(f"process={process}")
    mark = relayd.log_mark()
    relayd.kill_and_wait("engine")
    relayd.wait_log("level=debug process=engine .*event=connected", since=mark)
    relayd.wait_log("level=debug process=supervisor .*event=start", since=mark)
    relayd.wait_state()
    code, answer = relayd.ctl_json("log")
    assert code == 0 and answer["ok"]
    assert {name: answer[name] for name in ("level", "configured", "format")} \
        == {"level": "debug", "configured": "warn", "format": "logfmt"}
    assert relayd.reload()["ok"]
    assert relayd.ctl("log").stdout == "warn\n"
    mark = relayd.log_mark()
    connector.drop()
    relayd.wait_gateway(lambda g: g["counters"]["handshakes"] == 2
                        and g["state"] == "connected", "to be back")
    assert relayd.ctl("log", "e").returncode == 0       # abbreviated
    relayd.wait_log("event=log_level msg=\"error, was warn", since=mark)
    link, *rest = relayd.lines[mark:]
    assert re.search("level=warn .*event=link .*connected -> retrying", link)
    assert all(loglines.event_of(line) == "log_level" for line in rest), rest
    relayd.stop()
    relayd.start(wait="connected")
    assert relayd.ctl("log").stdout == "warn\n"


def test_level_and_form_of_a_reload(make_relayd, connector):
    relayd = quiet(make_relayd).connect_to(connector)
    relayd.start(wait="connected")
    relayd.configure({**relayd.config,
                      "log": {"format": "json", "level": "debug"}})
    assert relayd.reload()["ok"]
    mark = relayd.log_mark()
    connector.drop()
    relayd.wait_log('"process":"engine".*"event":"connected"', since=mark)
    assert relayd.ctl("log").stdout == "debug\n"
    relayd.configure({**relayd.config, "log": {"format": "no such thing"}})
    assert not relayd.reload()["ok"]
    assert relayd.ctl("log").stdout == "debug\n"
    relayd.wait_log('^{.*"event":"reload".*not reloaded', since=mark)


def wish_as_engine(relayd, wishes):
    """What a compromised engine asks for, of nobody's accord."""
    reason = inject.cannot()
    if reason:
        pytest.skip(reason)
    with inject.Puppet(relayd.role_pid("engine")) as engine:
        for pid, level in enumerate(wishes, 1):
            engine.sendmsg(inject.FD_OF["engine"]["supervisor"],
                           inject.packet("WANT_LEVEL", level, 0, pid))


def test_the_engine_quietens_nobody_who_tells_of_it(make_relayd, connector):
    """Tokens are logged by relay-authd, what becomes of processes by the
    supervisor, whatever is asked for in an operator's name."""
    relayd = quiet(make_relayd).connect_to(connector)
    relayd.start(wait="connected")
    wish_as_engine(relayd, [3])
    relayd.wait_log("event=log_level .*error, was info")
    mark = relayd.log_mark()
    authd = relayd.kill_and_wait("authd")
    relayd.wait_log("process=supervisor .*event=exit", since=mark)
    relayd.wait_state()
    connector.drop()
    relayd.wait_gateway(lambda g: g["counters"]["handshakes"] == 2
                        and g["state"] == "connected", "to be back")
    relayd.stop()
    lines = "\n".join(relayd.lines[mark:])
    assert re.search("process=supervisor .*event=stop ", lines)
    assert re.search(f"process=authd pid={authd} .*event=mint ", lines)
    assert not re.search("level=(info|warn) process=(engine|dialer)", lines)


def test_a_flood_of_levels_is_bounded(make_relayd, connector):
    relayd = quiet(make_relayd).connect_to(connector)
    relayd.start(wait="connected")
    wish_as_engine(relayd, [6, 7] * 200)
    relayd.ctl("log")
    relayd.stop()
    said = [line for line in relayd.lines if "event=log_level" in line]
    assert 10 <= len(said) < 200, len(said)


def test_levels_that_are_none(relayd):
    done = relayd.ctl("log", "loud")
    assert done.returncode == 2 and "error warn info debug" in done.stderr
    assert relayd.ctl("log", "info", "debug").returncode == 2
    for level in ("", "loud", "notice", "INFO", "x" * 1000, 7, None):
        answer = relayd.control({"cmd": "log", "level": level})
        assert not answer["ok"] and answer["code"] == "bad_request", level
    answer = relayd.control({"cmd": "log"}, "status.sock")
    assert answer["code"] == "not_permitted"
    assert relayd.ctl("log").stdout == "debug\n"        # -d


# Repeats.

def test_repeats_are_counted(make_relayd, make_connector):
    connector = make_connector()
    relayd = quiet(make_relayd).connect_to(
        connector, reconnect={"min": "10ms", "max": "10ms"})
    relayd.start(wait="connected")
    connector.stop()
    relayd.wait_gateway(lambda g: g["attempt"] >= 40, "to have tried")
    relayd.stop()
    failed = [line for line in parsed(relayd) if line["event"] == "dial"
              and "refused" in line["msg"]]
    assert len(failed) < 10, failed
    assert sum(line.get("repeated", 1) for line in failed) >= 30
    summed = [line for line in failed if "repeated" in line]
    assert summed and all(re.match(
        rf"repeated {line['repeated']} times in \d+ s: .*refused",
        line["msg"]) for line in summed)


def test_at_debug_they_are_printed(make_relayd, make_connector):
    connector = make_connector()
    relayd = make_relayd().connect_to(
        connector, reconnect={"min": "10ms", "max": "10ms"})
    relayd.start(wait="connected")
    connector.stop()
    relayd.wait_gateway(lambda g: g["attempt"] >= 40, "to have tried")
    relayd.stop()
    assert sum("event=dial" in line and "refused" in line
               for line in relayd.lines) >= 30
    assert "repeated" not in relayd.log


# What never stands there.

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
