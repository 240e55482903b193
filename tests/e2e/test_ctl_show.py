# SPDX-License-Identifier: ISC
"""relay-ctl show sessions, counters and quarantine; requeue and drop; and that
usage and manual name every command."""

import json
import os
import pty
import re
import subprocess
import time

import pytest

from relay import ROOT, LineSocket, TIMEOUT_S, until

ATTEMPTS = 5    # agents that an event may end with
CANARY = "a secret among friends"


def ok(relayd, *args):
    done = relayd.ctl(*args)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def rows(text):
    """The words of each row of a table."""
    return [line.split() for line in text.splitlines()[1:]]


def poison(relayd, connector, text=CANARY, chat="c1"):
    """Have an event put aside: agents end with it alone in flight."""
    before = relayd.gateway()["counters"]["aside"]
    connector.say("discord", chat, text)
    for _ in range(ATTEMPTS):
        with relayd.agent() as agent:
            delivery = agent.inbound(text)
        relayd.wait_agents(0)
    relayd.wait_gateway(lambda g: g["counters"]["aside"] == before + 1,
                        "to put it aside")
    return delivery


# Sessions.

def test_sessions(relayd, connector):
    assert ok(relayd, "show", "sessions") == "no sessions\n"
    agent = relayd.agent(agent="ann")
    for chat in ("c1", "c2", "c3"):
        connector.say("discord", chat, chat)
        delivery = agent.inbound(chat)
        if chat == "c2":
            agent.ack(delivery)
        time.sleep(0.002)   # they are sorted by milliseconds
    until(lambda: relayd.gateway()["queue"]["events"] == 2, "one ack")
    text = ok(relayd, "show", "sessions", "main")
    assert text.split("\n", 1)[0].split() == [
        "GATEWAY", "SESSION", "AGENT", "NAME", "OPEN", "OLDEST", "LAST"]
    assert [row[1] for row in rows(text)] == [
        f"agent:main:discord:dm:{chat}" for chat in ("c1", "c3", "c2")]
    first, _, last = rows(text)
    assert first[0] == "main" and first[2:5] == ["#1", "ann", "1"]
    assert re.match(r"\d+s", first[5]) and re.match(r"\d+s", first[6])
    assert last[4:6] == ["0", "-"]
    code, answer = relayd.ctl_json("show", "sessions")
    assert code == 0 and answer["total"] == 3 and answer["left_out"] == 0
    assert answer["sessions"][0] == {
        "gateway": "main", "session_key": "agent:main:discord:dm:c1",
        "agent": 1, "agent_name": "ann", "open": 1, "blocked": False,
        "oldest_s": answer["sessions"][0]["oldest_s"],
        "last_s": answer["sessions"][0]["last_s"]}
    agent.close()
    relayd.wait_agents(0)
    assert rows(ok(relayd, "show", "sessions"))[0][2] == "-"


def test_many_sessions(relayd, connector):
    """No more than can be looked through; the oldest are among them."""
    connector.settings.replay_window = 0
    count = 2100
    agent = relayd.agent(window=4000)
    for i in range(count):
        connector.say("discord", f"c{i}", "x")
    for _ in range(count):
        agent.ack(agent.inbound()) if _ else agent.inbound()
    until(lambda: relayd.gateway()["queue"]["events"] == 1, "acks")
    code, answer = relayd.ctl_json("show", "sessions")
    assert code == 0
    assert answer["total"] == count and answer["left_out"] == count - 2000
    assert len(answer["sessions"]) == 2000
    assert answer["sessions"][0]["open"] == 1
    assert answer["sessions"][0]["session_key"].endswith(":c0")
    assert "100 more sessions are not shown" in ok(
        relayd, "show", "sessions")


def test_sessions_of_many_gateways(make_relayd, connector):
    """Those of all gateways are merged; each answer is whole, however many
    ask, and one that leaves meanwhile costs nobody anything."""
    relayd = make_relayd()
    names = [f"g{i}" for i in range(5)]
    for name in names:
        connector.register(name, "secret", {"discord": "1"})
        relayd.connect_to(connector, name, name)
    relayd.start()
    for name in names:
        relayd.wait_state(name)
    connector.settings.replay_window = 0
    agents = [relayd.agent(name, window=4000) for name in names]
    for i in range(900):
        for name in names:
            connector.say("discord", f"{name}.{i}", "x", gateway=name)
    for agent in agents:
        for _ in range(900):
            agent.inbound()
    with LineSocket(relayd.run / "control.sock") as gone:
        gone.send({"cmd": "sessions"})
    clients = [LineSocket(relayd.run / "control.sock") for _ in range(8)]
    for client in clients:
        client.send({"cmd": "sessions"})
    for client in clients:
        answer = client.recv()
        assert answer["ok"] and answer["total"] == 4500
        assert answer["left_out"] == 2500
        assert len({s["gateway"] for s in answer["sessions"]}) >= 3
        ages = [s["oldest_s"] for s in answer["sessions"]]
        assert ages == sorted(ages, reverse=True)
        client.send({"cmd": "sessions", "gateway": "g3"})
        one = client.recv()
        assert one["total"] == 900 and one["left_out"] == 0
        assert {s["gateway"] for s in one["sessions"]} == {"g3"}
        client.close()


# Counters.

def test_counters(relayd, connector):
    agent = relayd.agent()
    connector.say("discord", "c1", "x")
    delivery = agent.inbound("x")
    text = ok(relayd, "show", "counters")
    assert text.startswith("main\n")
    assert re.search(r"^  events_in +1$", text, re.M)
    code, answer = relayd.ctl_json("show", "counters", "main")
    gateway = answer["gateways"][0]
    assert code == 0 and gateway["counters"].keys() \
        == relayd.gateway()["counters"].keys()
    assert (gateway["name"], gateway["state"]) == ("main", "connected")
    assert (gateway["agents"], gateway["unacknowledged"],
            gateway["waiting"]) == (1, 1, 1)
    agent.ack(delivery)
    connector.wait_all_acked()
    assert relayd.ctl_json("show", "counters")[1]["gateways"][0][
        "waiting"] == 0
    on_status = relayd.control({"cmd": "counters"}, path="status.sock")
    assert on_status["gateways"][0]["counters"]["events_in"] == 1
    assert "c1" not in json.dumps(on_status)


# What was put aside.

def test_quarantine(relayd, connector):
    assert ok(relayd, "show", "quarantine") == "nothing was put aside\n"
    delivery = poison(relayd, connector)
    text = ok(relayd, "show", "quarantine")
    row = rows(text)[0]
    assert row[:4] == ["main", delivery["bufferId"],
                       "agent:main:discord:dm:c1", "discord"]
    assert row[8] == str(ATTEMPTS) and CANARY not in text
    code, answer = relayd.ctl_json("show", "quarantine", "main")
    event = answer["events"][0]
    assert code == 0 and (answer["total"], answer["left_out"]) == (1, 0)
    assert event["attempts"] == ATTEMPTS and event["bytes"] > len(CANARY)
    assert event["arrived"] <= event["aside_at"] <= answer["now"]
    assert "line" not in event
    mark = relayd.log_mark()
    assert CANARY in ok(relayd, "show", "quarantine", "--content")
    relayd.wait_log("quarantine with content by uid", since=mark)
    answer = relayd.ctl_json("show", "quarantine", "--content")[1]
    assert answer["events"][0]["line"]["event"]["text"] == CANARY
    assert CANARY not in relayd.log
    assert "1 put aside" in relayd.ctl("status").stdout
    assert "1 put aside" in relayd.ctl("explain").stdout


def test_requeue(relayd, connector):
    first = poison(relayd, connector, "one", "c1")
    poison(relayd, connector, "two", "c2")
    agent = relayd.agent()
    mark = relayd.log_mark()
    assert ok(relayd, "requeue", "main", first["bufferId"]) \
        == "1 event requeued\n"
    line = relayd.wait_log("requeue of .* by uid [0-9]+, pid [0-9]+",
                           since=mark)
    assert first["bufferId"] in line.string
    again = agent.inbound("one")
    assert again["bufferId"] == first["bufferId"] and again["redelivered"]
    agent.ack(again)
    code, reply = relayd.ctl_json("requeue", "main", "all")
    assert code == 0 and reply["ok"] and reply["events"] == 1
    agent.ack(agent.inbound("two"))
    until(lambda: relayd.gateway()["queue"]["events"] == 0, "both acks")
    done = relayd.ctl("requeue", "main", "all")
    assert done.returncode == 1 and "nothing was put aside" in done.stderr
    counters = relayd.gateway()["counters"]
    assert (counters["aside"], counters["requeued"]) == (2, 2)


def test_drop(relayd, connector):
    one = poison(relayd, connector, "one", "c1")
    poison(relayd, connector, "two", "c2")
    mark = relayd.log_mark()
    assert ok(relayd, "drop", "main", one["bufferId"]) \
        == "1 event dropped\n"
    relayd.wait_log("drop of .* by uid [0-9]+, pid [0-9]+", since=mark)
    assert len(rows(ok(relayd, "show", "quarantine"))) == 1
    assert ok(relayd, "drop", "main", "all", "-y") == "1 event dropped\n"
    assert ok(relayd, "show", "quarantine") == "nothing was put aside\n"
    with relayd.agent() as agent:
        connector.say("discord", "c1", "three")
        agent.ack(agent.inbound("three"))
        connector.wait_all_acked()


@pytest.mark.parametrize("answer, drops", [("n", False), ("y", True)])
def test_drop_asks_at_a_terminal(relayd, connector, answer, drops):
    event = poison(relayd, connector)
    primary, secondary = pty.openpty()
    with subprocess.Popen(
            relayd.ctl_words("drop", "main", event["bufferId"]),
            stdin=secondary, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, cwd="/", env=relayd.environment()) as process:
        os.write(primary, f"{answer}\n".encode())
        _, err = process.communicate(timeout=TIMEOUT_S)
    os.close(primary)
    os.close(secondary)
    assert "for ever? [y/N]" in err
    assert process.returncode == (0 if drops else 1)
    left = relayd.ctl_json("show", "quarantine")[1]["total"]
    assert left == (0 if drops else 1)


@pytest.mark.parametrize("command", ["requeue", "drop"])
def test_ids_that_are_none(relayd, command):
    for bad, phrase in (("0123456789abcdef-1", "no event of that bufferId"),
                        ("x" * 300, "bufferId is one of relayd's own"),
                        ("", "bufferId is one of relayd's own"),
                        ("b1", "no event of that bufferId")):
        done = relayd.ctl(command, "main", bad)
        assert done.returncode == 1 and phrase in done.stderr
    done = relayd.ctl(command, "main")
    assert done.returncode == 2
    assert f"{command}" in done.stderr and "BUFFERID|all" in done.stderr
    answer = relayd.control({"cmd": command})
    assert answer["code"] == "bad_request" and "bufferId" in answer["error"]


# Who may ask what.

@pytest.mark.parametrize("command", ["sessions", "quarantine", "requeue",
                                     "drop"])
def test_chats_are_for_operators(relayd, command):
    answer = relayd.control({"cmd": command, "bufferId": "all"},
                            path="status.sock")
    assert answer["code"] == "not_permitted"
    answer = relayd.control({"cmd": command, "gateway": "nope",
                             **({"bufferId": "all"} if command in
                                ("requeue", "drop") else {})})
    assert answer["code"] == "unknown_gateway"


def test_show_says_what_could_stand_there(relayd):
    done = relayd.ctl("show", "everything")
    assert done.returncode == 2
    for what in ("gateways", "agents", "sessions", "processes", "counters",
                 "quarantine", "credentials"):
        assert what in done.stderr
        assert what in relayd.ctl("help", "show").stdout
    done = relayd.ctl("show", "sessions", "--content")
    assert done.returncode == 2 and "no content" in done.stderr
    assert ok(relayd, "show", "sess") == "no sessions\n"
    done = relayd.ctl("show", "sessions", "nope")
    assert done.returncode == 1 and "there are: main" in done.stderr


def test_not_running(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    for args in (["show", "sessions"], ["show", "counters"],
                 ["show", "quarantine"], ["requeue", "main", "all"],
                 ["drop", "main", "all"]):
        done = relayd.ctl(*args)
        assert done.returncode == 3 and "not running" in done.stderr


# The command table.

def test_the_manual_names_every_command(relayd):
    manual = (ROOT / "docs/relay-ctl.8").read_text()
    listed = re.findall(r"^  (\w+) ", ok(relayd, "help"), re.M)
    commands = [name for name in listed if not name.startswith("-")]
    assert {"explain", "wait", "requeue"} <= set(commands)
    for name in commands:
        assert re.search(rf"^\.It Cm {name}\b", manual, re.M), name
        usage = ok(relayd, "help", name)
        assert usage.startswith(f"usage: relay-ctl [-r RUNDIR] [--json] "
                                f"{name}")
        for option in re.findall(r"--([a-z-]+)", usage):
            assert f"Fl -{option}" in manual, option


def synopses():
    """Command: (options, arguments) as the manual has them, and what show can
    show."""
    manual = (ROOT / "docs/relay-ctl.8").read_text()
    found, shown = {}, set()
    for name, rest in re.findall(r"^\.It Cm (\w+)\b(.*)$", manual, re.M):
        words = rest.split()
        if words[:1] == ["Ta"]:     # the table of exit statuses
            continue
        if name == "show":
            shown.add(words.pop(0))
        options, arguments = found.setdefault(name, (set(), set()))
        for kind, word in zip(words, words[1:]):
            if kind == "Fl" and re.match(r"-?[a-z]", word):
                options.add(f"-{word}")
            elif kind == "Ar" and re.match(r"\w", word):
                arguments.add(word.upper())
    return found, shown


def test_the_manual_has_the_synopsis_of_every_command(relayd):
    manual, shown = synopses()
    listed = re.findall(r"^  ([a-z]\w+) ", ok(relayd, "help"), re.M)
    for name in listed:
        usage = ok(relayd, "help", name).splitlines()
        words = usage[0].split("[--json] ", 1)[1].split(" ", 1)[1:]
        words = words[0] if words else ""
        options = set(re.findall(r"(?<![\w|])--?[a-z][a-z-]*", words))
        arguments = set(re.findall(r"\b[A-Z][A-Z_]*\b", words)) - {"WHAT"}
        assert manual[name] == (options, arguments), name
    what = ok(relayd, "help", "show").splitlines()[1]
    assert what.startswith("WHAT: ") and set(what.split()[1:]) == shown
    assert "config" in shown


def test_usage_says_what_could_stand_there(relayd):
    done = relayd.ctl("show")
    assert done.returncode == 2
    assert "WHAT: gateways agents sessions processes counters quarantine " \
        "credentials config\n" in done.stderr
    assert relayd.ctl("help", "log").stdout.splitlines()[1] == \
        "LEVEL: error warn info debug"
    done = relayd.ctl("wait")
    assert done.returncode == 2
    assert "STATE: connected idle dormant connecting retrying" in done.stderr


def test_the_manual_names_every_request():
    manual = (ROOT / "docs/relayd-control.5").read_text()
    table = (ROOT / "relayd/control_cmd.c").read_text()
    table = table[table.index("commands[] = {"):]
    names = re.findall(r'^    \{"(\w+)",', table, re.M)
    assert {"status", "sessions", "drop", "interrupt"} <= set(names)
    for name in names:
        assert re.search(rf"^\.It Ic {name}$", manual, re.M), name
