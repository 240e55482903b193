# SPDX-License-Identifier: ISC
"""relay-ctl trace and the stages that tap shows: what became of an event, by
either id, over agents, links and engines that end; and who is told what it
says."""

import json
import signal
import socket

import pytest

from relay import TIMEOUT_S, until
from test_ctl import Stream
from test_outside import run_as

CANARY = "canary-7f3a words that nobody else may see"
COMMON = ["arrived", "journalled", "delivered", "acknowledged",
          "acknowledged_to_connector"]
CONTENT = """
import json, socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.settimeout(10)
try:
    sock.connect(sys.argv[1])
    sock.sendall(sys.argv[2].encode() + b"\\n")
    print(json.loads(sock.makefile().readline()).get("code"))
except OSError as error:
    print(error.errno)
"""


def ask(relayd, event, path="control.sock", **more):
    return relayd.control({"cmd": "trace", "bufferId": event, **more}, path)


def names(answer):
    assert answer["ok"], answer
    return [step["stage"] for step in answer["stages"]]


def reached(relayd, event, stage):
    """The answer, once the event has reached a stage."""
    def look():
        answer = ask(relayd, event)
        return answer if stage in names(answer) else None
    return until(look, f"{event} to be {stage}")


def handled(relayd, connector, text=CANARY):
    """One event, taken; as an agent got it."""
    with relayd.agent(agent="echo") as agent:
        connector.say("discord", "c1", text)
        delivery = agent.inbound(text)
        agent.ack(delivery)
        connector.wait_all_acked()
    relayd.wait_agents(0)
    return delivery


def poisoned(relayd, connector):
    """An event that five agents ended with; as they got it."""
    connector.say("discord", "p", CANARY)
    for _ in range(5):
        with relayd.agent() as agent:
            delivery = agent.inbound(CANARY)
        relayd.wait_agents(0)
    connector.wait_all_acked()
    return delivery


def test_a_common_event(relayd, connector):
    delivery = handled(relayd, connector)
    answer = ask(relayd, delivery["bufferId"])
    assert names(answer) == COMMON and answer["complete"]
    assert answer["state"] == "done" and answer["reason"] is None
    assert answer["gateway"] == "main"
    assert answer["bufferId"] == delivery["bufferId"]
    given, taken = answer["stages"][2:4]
    assert given["agent"] == taken["agent"] == 1
    assert given["attempt"] == 1 and given["redelivered"] is False
    times = [step["at"] for step in answer["stages"]]
    assert times == sorted(times) and abs(answer["now"] - times[0]) < 3600
    # The connector's id leads to the same.
    other = ask(relayd, "b1")
    assert other["connector_id"] == "b1"
    assert other["stages"] == answer["stages"]
    assert other["bufferId"] == answer["bufferId"]
    done = relayd.ctl("trace", "b1")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == (f"event {delivery['bufferId']}, the connector's b1, "
                        "of gateway main")
    assert lines[1].split() == ["STAGE", "AT", "AFTER", "WHO"]
    rows = lines[2:7]
    column = lines[1].index("AT")
    assert [row[:column].strip().replace(" ", "_") for row in rows] == COMMON
    assert len({row.index(":") for row in rows}) == 1   # aligned
    assert rows[2].endswith("to agent 1, attempt 1")
    assert lines[7:] == ["now: done"]
    assert relayd.ctl_json("trace", "-g", "main", "b1")[1]["ok"]


def test_waiting_and_why(relayd, connector):
    connector.say("discord", "c1", "x")
    answer = reached(relayd, "b1", "journalled")
    assert names(answer) == COMMON[:2] and answer["state"] == "waiting"
    assert "no agent" in answer["reason"]
    assert "now: waiting; no agent" in relayd.ctl("trace", "b1").stdout
    agent = relayd.agent(window=1)
    agent.inbound("x")
    assert ask(relayd, "b1")["state"] == "with_agent"
    assert answer["session_key"] == "agent:main:discord:dm:c1"
    agent.close()


def test_followed_to_another_agent(relayd, connector):
    """An agent dies with it; another takes it.  Who follows sees it happen."""
    first = relayd.agent(agent="mortal")
    connector.say("discord", "c1", CANARY)
    first.inbound(CANARY)
    text = Stream(relayd, "trace", "--follow", "b1")
    raw = Stream(relayd, "--json", "trace", "--timeout", str(TIMEOUT_S), "b1")
    for stream in (text, raw):
        stream.wait("delivered")
    # The reply comes before what follows is told of.
    first.close()
    relayd.wait_agents(0)
    second = relayd.agent(agent="other")
    delivery = second.inbound(CANARY)
    second.ack(delivery)
    assert text.end(None) == (0, "") and raw.end(None) == (0, "")
    told = "\n".join(text.lines)
    for words in ("to agent 1 (mortal), attempt 1",
                  "from agent 1 (mortal); 1 ended with it alone in hand",
                  "to agent 2 (other), attempt 2",
                  "acknowledged to connector  ", "now: done"):
        assert words in told
    assert text.lines[-1] == "now: done" and CANARY not in told
    documents = [json.loads(line) for line in raw.lines]
    assert documents[0]["state"] == "with_agent"
    assert {d["trace"] for d in documents[1:-1]} == {"stage"}
    stages = names(documents[0]) + [d["stage"] for d in documents[1:-1]]
    assert stages == names(ask(relayd, "b1")) == [
        *COMMON[:3], "returned", "delivered", *COMMON[3:]]
    assert documents[-1]["trace"] == "end"
    assert documents[-1]["state"] == "done"
    assert all(d["bufferId"] == delivery["bufferId"]
               for d in documents[:-1])
    second.close()
    # At its end there is nothing to follow.
    done = relayd.ctl("trace", "--follow", "b1")
    assert done.returncode == 0 and done.stdout.endswith("now: done\n")


def test_who_follows_and_does_not_read(relayd, connector):
    """An event that comes again and again fills no more than a stream may
    take: then the follower is cut off."""
    connector.say("discord", "c1", "x")
    reached(relayd, "b1", "journalled")
    line = connector.gateway().buffer.entries[1].line
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(str(relayd.run / "status.sock"))
        sock.sendall(b'{"cmd":"trace","bufferId":"b1","follow":true}\n')
        assert json.loads(sock.makefile().readline())["state"] == "waiting"
        for _ in range(100):
            connector.send_text(line * 200)
        relayd.wait_gateway(
            lambda g: g["counters"]["replays"] == 20000, "all of them")
        read = 0
        while data := sock.recv(1 << 20):
            read += len(data)
    assert read < 1 << 20
    with relayd.agent() as agent:
        agent.ack(agent.inbound("x"))
        connector.wait_all_acked()


@pytest.mark.unclean
def test_silence_is_told(relayd, connector):
    """While it follows an event that nothing happens to."""
    connector.say("discord", "c1", "x")
    reached(relayd, "b1", "journalled")
    follower = Stream(relayd, "trace", "--follow", "b1")
    follower.wait("journalled")
    pid = relayd.kill("engine", signal.SIGSTOP)
    relayd.role_pid("engine", pid, 3 * TIMEOUT_S)   # killed 10 s later
    code, told = follower.end(None)
    assert code == 1 and told.index("the engine is silent") \
        < told.index("ended the stream")


def test_time_is_up(relayd, connector):
    connector.say("discord", "c1", "x")
    reached(relayd, "b1", "journalled")
    done = relayd.ctl("trace", "--timeout", "0", "b1")
    assert done.returncode == 1 and "journalled" in done.stdout
    assert "not at its end" in done.stderr
    assert relayd.ctl("trace", "--timeout", "x", "b1").returncode == 2


def test_a_connection_goes_on_after_it_followed(relayd, connector):
    with relayd.agent() as agent:
        connector.say("discord", "c1", "x")
        delivery = agent.inbound("x")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(TIMEOUT_S)
            sock.connect(str(relayd.run / "status.sock"))
            lines = sock.makefile("rw")

            def say(**request):
                lines.write(json.dumps(request) + "\n")
                lines.flush()
            say(cmd="trace", bufferId="b1", follow=True)
            assert json.loads(lines.readline())["state"] == "with_agent"
            say(cmd="status")
            assert json.loads(lines.readline())["code"] == "bad_request"
            agent.ack(delivery)
            ends = [json.loads(lines.readline()) for _ in range(3)]
            assert [e.get("stage") for e in ends] == [*COMMON[3:], None]
            say(cmd="status")
            assert json.loads(lines.readline())["schema"] == "relayd.status/1"


def test_replayed(relayd, connector):
    """Acknowledged while the link was down: the connector sends it again."""
    agent = relayd.agent()
    connector.say("discord", "c1", "x")
    delivery = agent.inbound("x")
    connector.stop()
    relayd.wait_state(state="retrying")
    agent.ack(delivery)
    answer = reached(relayd, "b1", "acknowledged")
    assert answer["state"] == "acknowledged" and "link" in answer["reason"]
    connector.start()
    relayd.wait_state()
    answer = reached(relayd, "b1", COMMON[-1])
    assert names(answer) == [*COMMON[:4], "replayed", COMMON[-1]]
    assert answer["state"] == "done"
    assert answer["schema"] == "relayd.control/1" and answer["version"]
    agent.close()


def test_put_aside(relayd, connector):
    delivery = poisoned(relayd, connector)
    answer = ask(relayd, "b1")
    assert names(answer) == [*COMMON[:2], *["delivered", "returned"] * 5,
                             "aside", COMMON[-1]]
    assert [s["attempt"] for s in answer["stages"] if "attempt" in s] == \
        [1, 2, 3, 4, 5]
    assert answer["state"] == "aside" and "requeue" in answer["reason"]
    done = relayd.ctl("trace", "--follow", delivery["bufferId"])
    assert done.returncode == 0 and "now: aside; agents did" in done.stdout
    assert relayd.ctl("requeue", "main", "all").returncode == 0
    with relayd.agent() as agent:
        agent.ack(agent.inbound(CANARY))
        answer = reached(relayd, "b1", "acknowledged")
    assert names(answer)[-3:] == ["requeued", "delivered", "acknowledged"]
    assert answer["state"] == "done"
    poisoned(relayd, connector)
    assert relayd.ctl("drop", "-y", "main", "all").returncode == 0
    answer = ask(relayd, "b2")
    assert names(answer)[-1] == "dropped" and answer["state"] == "dropped"


def test_over_an_engine(relayd, connector):
    """What waits is known to the next engine, what is done with is not."""
    done = handled(relayd, connector, "one")
    agent = relayd.agent()
    connector.say("discord", "c1", "two")
    agent.inbound("two")
    before = ask(relayd, "b2")
    follower = Stream(relayd, "trace", "--follow", "b2")
    follower.wait("delivered")
    relayd.kill_and_wait("engine")
    code, told = follower.end(None)
    assert code == 1 and "ended the stream" in told
    agent.close()
    relayd.wait_state()
    answer = ask(relayd, "b2")
    assert names(answer)[:3] == [*COMMON[:2], "recovered"]
    assert answer["bufferId"] == before["bufferId"]
    assert answer["stages"][0]["at"] == before["stages"][0]["at"]
    assert answer["stages"][2]["tried"] is True
    agent = relayd.agent()
    agent.ack(agent.inbound("two"))
    connector.wait_all_acked()
    answer = ask(relayd, "b2")
    assert [s for s in names(answer) if s != "replayed"] == [
        *COMMON[:2], "recovered", *COMMON[2:]]
    assert answer["state"] == "done"
    agent.close()
    for event, words in ((done["bufferId"], "before relayd's engine"),
                         ("b1", "longer ago than its times")):
        refused = relayd.ctl("trace", event)
        assert refused.returncode == 1 and words in refused.stderr


def test_unknown_ids(make_relayd, make_connector):
    relayd, connectors = make_relayd(), {}
    for name in "ab":
        connectors[name] = make_connector(f"gw-{name}")
        relayd.connect_to(connectors[name], name)
    relayd.start(wait="connected")

    def handle(name):
        with relayd.agent(name) as agent:
            connectors[name].say("discord", "c1", "x")
            delivery = agent.inbound("x")
            agent.ack(delivery)
            connectors[name].wait_all_acked()
        return delivery["bufferId"]
    event = handle("a")
    assert ask(relayd, event)["gateway"] == "a"
    epoch, number = event.split("-")
    for args, words in (
            (["nobody's"], "any gateway: it never came"),
            (["-g", "b", event], "gateway b: it is another"),
            ([f"{epoch}-{int(number) + 1}"], "any gateway: it is another"),
            (["-g", "nope", "b1"], "a, b"), (["x" * 257], "256"), ([""], "")):
        done = relayd.ctl("trace", *args)
        assert done.returncode == 1 and not done.stdout, args
        assert words in done.stderr, args
    assert ask(relayd, "nobody's")["code"] == "unknown_event"
    assert relayd.ctl("trace").returncode == 2
    # Connectors' ids are their own: two may use the same.
    assert ask(relayd, "b1")["gateway"] == "a"
    handle("b")
    assert "a and b" in ask(relayd, "b1")["error"]
    for name in "ab":
        assert ask(relayd, "b1", gateway=name)["gateway"] == name


def test_content_is_for_operators(relayd, connector):
    """It is shown when asked for, on control.sock alone, while it is there."""
    agent = relayd.agent()
    connector.say("discord", "chat of Ann", CANARY)
    delivery = agent.inbound(CANARY)
    event = delivery["bufferId"]
    for path, more in (("control.sock", {}), ("status.sock", {}),
                       ("status.sock", {"content": False})):
        told = json.dumps(ask(relayd, event, path, **more))
        assert CANARY not in told and '"ok": true' in told
        assert ("chat of Ann" in told) is (path == "control.sock")
    refused = ask(relayd, event, "status.sock", content=True)
    assert refused["code"] == "not_permitted"
    assert CANARY not in json.dumps(refused)
    answer = ask(relayd, event, content=True)
    assert answer["line"] == delivery
    assert CANARY not in relayd.ctl("trace", event).stdout
    assert CANARY in relayd.ctl("trace", "--content", event).stdout
    relayd.wait_log("trace with content by uid")
    agent.ack(delivery)
    connector.wait_all_acked()
    assert "line" not in ask(relayd, event, content=True)
    assert "no longer there" in relayd.ctl("trace", "--content", event).stdout
    agent.close()
    assert CANARY not in relayd.log and event not in relayd.log


@pytest.mark.root
def test_strangers_cannot_ask_for_content(make_relayd, connector):
    """Who is in the group of status.sock sees ids; who is in none, nothing."""
    relayd = make_relayd().connect_to(connector)
    relayd.configure({**relayd.config, "control": {"group": "users"}})
    relayd.start(wait="connected")
    delivery = handled(relayd, connector)
    request = {"cmd": "trace", "bufferId": delivery["bufferId"]}
    for name in ("control.sock", "status.sock"):
        for more in ({}, {"content": True}):
            told = run_as("games", CONTENT, relayd.run / name,
                          json.dumps({**request, **more}), group="games")
            assert told == "13", (name, more)
    assert run_as("games", CONTENT, relayd.run / "status.sock",
                  json.dumps({**request, "content": True}),
                  group="users") == "not_permitted"


def test_tap_shows_stages(relayd, connector):
    text, raw = Stream(relayd, "tap"), Stream(relayd, "--json", "tap",
                                              "--stages")
    until(lambda: len([line for line in relayd.lines if "tap by" in line])
          == 2, "both taps")
    delivery = handled(relayd, connector)
    for stream in (text, raw):
        stream.wait("acknowledged.to.connector")
    documents = [json.loads(line) for line in raw.lines]
    assert {d["tap"] for d in documents} == {"stage"}
    assert [d["stage"] for d in documents] == COMMON
    for document in documents:
        assert document["bufferId"] == delivery["bufferId"]
        assert document["connector_id"] == "b1"
        assert document["gateway"] == "main"
    assert documents[2]["agent_name"] == "echo"
    text.wait(r"event +delivered buffer=\S+ connector=b1 agent=1 name=echo "
              "attempt=1$")
    text.wait(r"connector > relayd +inbound ")
    for stream in (text, raw):
        assert CANARY not in "\n".join(stream.lines)
        stream.end()


def test_it_takes_no_part(relayd, connector):
    """Many that follow, and leave, disturb nothing."""
    with relayd.agent() as agent:
        connector.say("discord", "c1", "x")
        delivery = agent.inbound("x")
        streams = [Stream(relayd, "trace", "--follow", "b1")
                   for _ in range(6)]
        for stream in streams:
            stream.wait("delivered")
        for stream in streams[:3]:
            stream.end()
        agent.ack(delivery)
        connector.wait_all_acked()
        for stream in streams[3:]:
            assert stream.end(None) == (0, "")
    handled(relayd, connector)
