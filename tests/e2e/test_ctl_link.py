# SPDX-License-Identifier: ISC
"""relay-ctl towards a gateway's link: wait, idle, wake, dormant, disable,
enable, reconnect, interrupt and action."""

import json
import re
import subprocess
import threading

import pytest

from relay import TIMEOUT_S, until

WISHES = ("idle", "wake", "dormant", "disable", "enable", "reconnect")


def ok(relayd, *args):
    done = relayd.ctl(*args)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


class Waiting:
    """relay-ctl wait beside the test."""

    def __init__(self, relayd, *args):
        self.process = subprocess.Popen(
            relayd.ctl_words("wait", *args), text=True, cwd="/",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=relayd.environment())

    def end(self):
        out, err = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, out, err


@pytest.fixture(name="wait")
def _wait(relayd):
    """Starts a Waiting, and lets it get as far as to wait."""
    started = []

    def start(*args):
        started.append(Waiting(relayd, *args))
        return started[-1]
    yield start
    for waiting in started:
        if waiting.process.poll() is None:
            waiting.process.kill()
            waiting.process.wait()


# wait.

def test_wait_for_what_is_already_so(relayd):
    assert ok(relayd, "wait", "--for", "connected") == "main is connected\n"
    assert ok(relayd, "wait", "--for", "idle,connected,dorm", "--timeout", "0",
              "main") == "main is connected\n"
    assert ok(relayd, "wait", "main", "--for=connected") \
        == "main is connected\n"


def test_wait_for_a_change(relayd, connector, wait):
    waiting = wait("--for", "idle,disabled")
    connector.revoke()
    assert waiting.end() == (0, "main is disabled\n", "")
    waiting = wait("--for", "connected", "--timeout", str(int(TIMEOUT_S)))
    connector.restore()
    ok(relayd, "enable", "main")
    assert waiting.end() == (0, "main is connected\n", "")


def test_wait_in_vain(relayd, connector):
    done = relayd.ctl("wait", "--for", "idle,disabled", "--timeout", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.match(r"relay-ctl: main is not idle,disabled in time; it is "
                    r"connected, for \d+s", done.stderr)
    connector.stop()
    relayd.wait_gateway(lambda g: "refused" in g["reason"], "to retry")
    done = relayd.ctl("wait", "--for", "connected", "--timeout", "1", "main")
    assert done.returncode == 1
    assert re.search(r"it is retrying, for \d+s: connect to .* refused",
                     done.stderr)


def test_wait_for_all(make_relayd, make_connector):
    a, b = make_connector("gw-a"), make_connector("gw-b")
    b.stop()
    relayd = make_relayd().connect_to(a, "a").connect_to(b, "b").start()
    relayd.wait_state("a")
    done = relayd.ctl("wait", "--for", "connected", "--timeout", "1")
    assert done.returncode == 1
    assert "b is not connected" in done.stderr
    assert "a is not" not in done.stderr
    assert ok(relayd, "wait", "--for", "connected", "a") \
        == "a is connected\n"
    waiting = Waiting(relayd, "--for", "connected")
    b.start()
    assert waiting.end() == (0, "a is connected\nb is connected\n", "")


def test_wait_over_a_restart_of_the_engine(relayd, wait):
    waiting = wait("--for", "disabled")
    relayd.kill_and_wait("engine")
    relayd.wait_state()
    assert waiting.process.poll() is None
    ok(relayd, "disable", "main")
    assert waiting.end() == (0, "main is disabled\n", "")


def test_wait_as_json(relayd, wait):
    waiting = wait("--for", "disabled", "--json")
    lines = []

    def read():
        lines.extend(map(json.loads, waiting.process.stdout))
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    until(lambda: lines, "the status")
    assert lines[0]["schema"] == "relayd.status/1"
    ok(relayd, "disable", "main")
    assert waiting.process.wait(TIMEOUT_S) == 0
    reader.join(TIMEOUT_S)
    assert lines[-1]["event"] == "state"
    assert lines[-1]["state"] == "disabled"


def test_wait_says_what_could_stand_there(relayd):
    done = relayd.ctl("wait", "--for", "conected")
    assert done.returncode == 2
    for word in ("connected", "idle", "dormant", "connecting", "retrying",
                 "stopping", "disabled", "unprovisioned"):
        assert word in done.stderr
    assert relayd.ctl("wait", "--for", "dis,").returncode == 2
    assert relayd.ctl("wait", "--for", "con").returncode == 2   # several
    done = relayd.ctl("wait")
    assert done.returncode == 2 and "wait needs --for" in done.stderr
    assert "--for STATE" in done.stderr
    for bad in ("-1", "x", ""):
        done = relayd.ctl("wait", "--for", "idle", f"--timeout={bad}")
        assert done.returncode == 2 and "--timeout" in done.stderr
    done = relayd.ctl("wait", "--for", "idle", "nope")
    assert done.returncode == 1
    assert "no gateway is named nope; there are: main" in done.stderr


ABSENT = re.compile(r"relayd is not running \(\S+/control\.sock: nobody answers\)")


def test_wait_without_relayd(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    for started in (False, True):
        for args in ((), ("--timeout", "0"), ("--timeout", "1")):
            done = relayd.ctl("wait", "--for", "connected", *args)
            assert (done.returncode, done.stdout) == (3, "")
            waits = len(re.findall("; waiting up to 1s for it", done.stderr))
            assert waits == ("1" in args), done.stderr
            assert len(ABSENT.findall(done.stderr)) == 1 + waits
            assert "start it, or name its run directory" in done.stderr
        if not started:
            relayd.start(wait="connected").stop()


def told(waiting, words):
    """Its lines on standard error, up to the one with the words."""
    lines = ""
    for line in waiting.process.stderr:
        lines += line
        if words in line:
            return lines
    raise AssertionError(f"it ended without {words!r}: {lines}")


def test_wait_before_relayd_is_there(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    waiting = Waiting(relayd, "--for", "connected",
                      "--timeout", str(int(TIMEOUT_S)))
    try:
        assert ABSENT.search(told(waiting, "waiting up to"))
        relayd.start(wait="connected")
        assert waiting.end() == (0, "main is connected\n",
                                 "relay-ctl: relayd answers now\n")
    finally:
        waiting.process.kill()


def test_wait_ends_with_relayd(relayd, wait):
    waiting = wait("--for", "disabled,stopping", "main")
    idle = wait("--for", "idle", "main")
    until(lambda: relayd.log.count("event=link") >= 1, "the link")
    # Both are waiting, or will look in vain: either way it ends.
    relayd.stop()
    assert waiting.end()[0] in (0, 3)
    assert idle.end()[0] == 3


def test_wait_over_a_restart_of_relayd(relayd, wait):
    """With a time to wait for, relayd may be away meanwhile."""
    waiting = wait("--json", "--for", "disabled", "--timeout", "60")
    assert waiting.process.stdout.readline()    # it is on
    relayd.stop()
    assert ABSENT.search(told(waiting, "waiting up to 1m00s for it"))
    relayd.start(wait="connected")
    told(waiting, "relayd answers again")
    ok(relayd, "disable", "main")
    code, _, err = waiting.end()
    assert (code, err) == (0, "")


def test_wait_in_vain_for_relayd_to_return(relayd, wait):
    waiting = wait("--json", "--for", "disabled", "--timeout", "4")
    assert waiting.process.stdout.readline()
    relayd.stop()
    code, _, err = waiting.end()
    assert code == 3
    assert err.count("waiting up to") == 1 and len(ABSENT.findall(err)) == 2


# What a link is told.

def test_idle_and_wake(relayd, connector):
    agent = relayd.agent()
    assert ok(relayd, "idle", "main").startswith("main is idle: the connector"
                                                 " keeps what comes")
    assert relayd.gateway()["state"] == "idle"
    assert relayd.ctl("status").returncode == 0
    agent.expect("link", lambda m: m["state"] == "idle")
    assert ok(relayd, "wake", "main") == "main is awake\n"
    relayd.wait_state()


def test_dormant(relayd):
    text = ok(relayd, "dormant", "main")
    assert text.startswith("main is dormant: ready for the host's suspend")
    assert relayd.gateway()["state"] == "dormant"
    assert relayd.ctl("status").returncode == 0
    done = relayd.ctl("idle", "main")
    assert done.returncode == 1 and "dormant" in done.stderr
    ok(relayd, "wake", "main")
    relayd.wait_state()


def test_dormant_fails_without_the_ack(relayd, connector):
    connector.stall("idle_ack")
    done = relayd.ctl("dormant", "main")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no going_idle_ack within 10 s" in done.stderr
    assert relayd.gateway()["state"] == "connected"


def test_disable_and_enable(relayd):
    text = ok(relayd, "disable", "main")
    assert text.startswith("main is disabled: it stays so")
    done = relayd.ctl("status")
    assert done.returncode == 151
    assert "switched off by uid" in done.stdout
    assert "until relay-ctl enable main" in done.stdout
    assert "enroll" not in done.stdout
    assert ok(relayd, "enable", "main") == "main is enabled\n"
    relayd.wait_state()
    done = relayd.ctl("enable", "main")
    assert done.returncode == 1 and "not disabled" in done.stderr


def test_reconnect(relayd, connector):
    dials = len(connector.dials)
    assert ok(relayd, "reconnect", "main") == "main is dialled anew\n"
    relayd.wait_state()
    until(lambda: len(connector.dials) == dials + 1, "one more dial")


def test_interrupt(relayd, connector):
    agent = relayd.agent()
    connector.say("discord", "c1", "x")
    key = agent.inbound("x")["session_key"]
    mark = relayd.log_mark()
    assert "stop that turn" in ok(relayd, "interrupt", "main", key)
    assert agent.expect("interrupt_inbound")["session_key"] == key
    line = relayd.wait_log("interrupt by uid [0-9]+, pid [0-9]+", since=mark)
    assert key not in line.string
    done = relayd.ctl("interrupt", "main", "k" * 2000)
    assert done.returncode == 1 and "session_key" in done.stderr


def test_what_links_are_told_is_for_operators(relayd):
    for command in WISHES:
        answer = relayd.control({"cmd": command}, path="status.sock")
        assert answer["code"] == "not_permitted"
        done = relayd.ctl(command, "nope")
        assert done.returncode == 1 and "there are: main" in done.stderr
        done = relayd.ctl(command)
        assert done.returncode == 2 and f"{command} GATEWAY" in done.stderr
    code, reply = relayd.ctl_json("reconnect", "main")
    assert code == 0 and reply["ok"] is True
    code, answer = relayd.ctl_json("enable", "main")
    assert code == 1 and answer["code"] == "refused"


# action.

def test_action(relayd, connector):
    agent = relayd.agent()
    connector.say("discord", "c1", "x")     # so that the chat is known
    agent.ack(agent.inbound("x"))
    text = ok(relayd, "action", "main", json.dumps(
        {"op": "send", "chat_id": "c1", "content": "hello"}))
    assert json.loads(text)["success"] is True
    assert connector.outbounds[-1].action["content"] == "hello"
    done = relayd.ctl("action", "main", "-", stdin='{"op":\n "typing",\r\n'
                      ' "chat_id": "c1"}\n')
    assert done.returncode == 0, done.stderr
    assert connector.outbounds[-1].action["op"] == "typing"
    code, answer = relayd.ctl_json("action", "main", '{"op":"typing",'
                                   '"chat_id":"c1"}')
    assert code == 0 and answer["ok"] and answer["result"]["success"]


@pytest.mark.parametrize("text, phrase", [
    ("{", "no JSON"), ("[]", "must be an object"), ("{}", "op"),
    ('{"op":7}', "op"), ("", "no JSON"), ('{"op":"x"} {}', "no JSON"),
])
def test_actions_that_are_none(relayd, connector, text, phrase):
    done = relayd.ctl("action", "main", text)
    assert done.returncode == 1 and phrase in done.stderr
    assert not connector.outbounds


def test_an_action_that_fails(relayd, connector):
    done = relayd.ctl("action", "main",
                      '{"op":"no_such_op","chat_id":"c1"}')
    assert done.returncode == 1 and not done.stdout
    assert "no_such_op" in done.stderr or "support" in done.stderr
    assert "connector says" not in done.stderr  # it was not asked
    done = relayd.ctl("action", "main", "-", stdin="x" * 200000)
    assert done.returncode == 1 and "longer than 131072 bytes" in done.stderr


def test_an_action_that_the_connector_refuses(relayd):
    for args in (("send", "nowhere", "x"), (
            "action", "main",
            '{"op":"send","chat_id":"nowhere","content":"x"}')):
        done = relayd.ctl(*args)
        assert done.returncode == 1 and not done.stdout
        assert re.match("relay-ctl: the connector says: target not routed", done.stderr)


def test_an_action_that_does_not_get_there(relayd, connector):
    """relayd's own words are not put into the connector's mouth."""
    ok(relayd, "disable", "main")
    done = relayd.ctl("action", "main", '{"op":"typing","chat_id":"c1"}')
    assert done.returncode == 1 and not done.stdout
    assert "connector says" not in done.stderr
    assert "disabled" in done.stderr or "switched off" in done.stderr
