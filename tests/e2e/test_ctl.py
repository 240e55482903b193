# SPDX-License-Identifier: ISC
"""relay-ctl with the real daemons: what it says, shows, sends, and how it
ends."""

import json
import os
import pty
import re
import signal
import subprocess
import threading

import pytest

from relay import LineSocket, TIMEOUT_S, until

ESC = "bad\x1b[31mred\x1b]0;title\x07\u009b1m\x7f\u202e\n"
# What makes a terminal do something: controls, C1 as UTF-8 too.
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")
# What turns text around, which is for eyes.
TURNED = re.compile("[\u202a-\u202e\u2066-\u2069]")
RUNNING_ONLY = (["status"], ["show", "gateways"], ["send", "c1", "x"],
                ["tap"], ["watch"], ["reload"])


class Stream:
    """relay-ctl running beside the test; its lines as they come."""

    def __init__(self, relayd, *args, **more):
        self.process = subprocess.Popen(
            relayd.ctl_words(*args), text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/",
            env=relayd.environment(), **more)
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait(self, pattern):
        """The first line that the pattern is found in."""
        return until(lambda: next(filter(re.compile(pattern).search,
                                         list(self.lines)), None),
                     lambda: f"{pattern!r} in {self.lines[-20:]}")

    def end(self, sig=signal.SIGINT):
        """Send a signal, or await its end with None: (status, stderr)."""
        if sig is not None:
            self.process.send_signal(sig)
        code = self.process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        self.process.stdout.close()
        with self.process.stderr as stderr:
            return code, stderr.read()


@pytest.fixture(name="tap")
def _tap(relayd):
    """Starts `relay-ctl tap …` and waits until it is on."""
    started = []

    def start(*args):
        mark = relayd.log_mark()
        started.append(Stream(relayd, "tap", *args))
        relayd.wait_log("event=control.*tap.* by uid", since=mark)
        return started[-1]
    yield start
    for stream in started:
        if stream.process.poll() is None:
            stream.end()


def run_on_terminal(relayd, *args, **env):
    """What relay-ctl writes to a terminal."""
    primary, secondary = pty.openpty()
    with subprocess.Popen(
            relayd.ctl_words(*args), stdin=subprocess.DEVNULL, cwd="/",
            stdout=secondary, stderr=secondary,
            env={**relayd.environment(), "TERM": "xterm", **env}) as process:
        os.close(secondary)
        text = b""
        try:
            while data := os.read(primary, 65536):
                text += data
        except OSError:
            pass                # the other side is closed
        process.wait(TIMEOUT_S)
    os.close(primary)
    return text.decode().replace("\r\n", "\n")


def row(text, name):
    """The words of a table's row."""
    return next(line.split() for line in text.splitlines()
                if line.split()[:1] == [name])


# status, show.

def test_status_ends_with_the_worst(make_relayd, make_connector):
    connector = make_connector("gw-a")
    relayd = make_relayd().connect_to(connector, "a", "gw-a")
    other = make_connector("gw-b")
    relayd.connect_to(other, "b")
    for name in "cd":
        connector.register(f"gw-{name}", "secret", {"discord": "1"})
        relayd.connect_to(connector, name, f"gw-{name}")
    relayd.start(wait="connected")
    assert relayd.ctl("status").returncode == 0

    def state(name, expected, code):
        relayd.wait_state(name, expected)
        done = relayd.ctl("status")
        assert not done.stderr
        assert row(done.stdout, name)[1] == expected
        assert row(done.stdout, "a")[1] == "connected"
        assert done.returncode == code
        assert relayd.ctl("status", name).returncode == code
        assert relayd.ctl("status", "a").returncode == 0
        assert relayd.ctl_json("status")[0] == code
        return done.stdout

    other.stop()
    assert "attempt" in state("b", "retrying", 150)
    connector.revoke("gw-c")
    assert "revoked" in state("c", "disabled", 151)
    relayd.write("d.secret", "\n", 0o600)
    done = relayd.ctl("reload")     # does not take a credential away
    assert done.returncode == 1 and "white space" in done.stderr
    relayd.kill_and_wait("authd")   # which reads it anew
    connector.drop(gateway="gw-d")
    assert "white space" in state("d", "unprovisioned", 152)
    done = relayd.ctl("status", "nope")
    assert done.returncode == 1 and not done.stdout
    assert "nope" in done.stderr and "a, b, c, d" in done.stderr


def test_json_is_what_the_socket_said(relayd):
    code, document = relayd.ctl_json("status")
    told = relayd.status()
    assert code == 0 and document.keys() == told.keys()
    assert document["schema"] == "relayd.status/1"
    for args in (["show", "agents"], ["show", "processes"],
                 ["show", "gateways"]):
        assert relayd.ctl_json(*args)[1].keys() == told.keys()


def test_not_running(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    for started in (False, True):
        for args in (*RUNNING_ONLY, ["agent", "--exec", "true"]):
            done = relayd.ctl(*args)
            assert done.returncode == 3, args
            assert not done.stdout
            assert "relayd is not running" in done.stderr
            assert str(relayd.run) in done.stderr and "-r" in done.stderr
        if not started:
            relayd.start(wait="connected").stop()


def test_show(relayd, connector):
    done = relayd.ctl("show", "agents")
    assert done.returncode == 0
    assert done.stdout == ("no agents attached to main; socket: "
                           f"{relayd.agent_path()}\n")
    agent = relayd.agent(agent="Ann's", window=7)
    connector.say("discord", "c1", "x")
    delivery = agent.inbound("x")
    words = row(relayd.ctl("show", "agents").stdout, "main")
    assert words[2:4] == ["Ann's", f"{os.getuid()}/{os.getpid()}"]
    assert (words[4], *words[6:]) == (
        "discord", "7", "1", "0", "1", "0", "1", "0")
    assert row(relayd.ctl("status").stdout, "main")[4:6] == ["1", "1"]
    agent.ack(delivery)
    connector.wait_all_acked()
    assert row(relayd.ctl("show", "agents").stdout, "main")[-1] == "1"
    words = row(relayd.ctl("show", "gateways").stdout, "main")
    assert words[1] == "connected" and words[3] == "gw-test"
    assert words[-1] == f"127.0.0.1:{connector.port}"
    text = relayd.ctl("show", "processes").stdout
    pids = relayd.pids()
    for role, pid in pids.items():
        words = row(text, role)
        assert words[1:3] == ["running", str(pid)]
        if role != "supervisor":
            assert {"nnp", "seccomp", "nodump"} <= set(words)
    assert "chroot" in row(text, "engine") or not relayd.daemon.is_root
    assert relayd.ctl("show", "agents", "main").returncode == 0
    assert relayd.ctl("show", "agents", "nope").returncode == 1


# tap.

def talk(relayd, connector, text="some secret words"):
    """An event to and fro, with an interrupt; the agent."""
    agent = relayd.agent()
    connector.say("discord", "c1", text)
    delivery = agent.inbound(text)
    agent.ack(delivery)
    connector.wait_all_acked()
    assert agent.reply(delivery, "a secret answer")["success"]
    return agent


def test_tap_reads_along_and_takes_nothing(relayd, connector, tap):
    taps = [tap() for _ in range(3)]
    agent = talk(relayd, connector)
    for stream in taps:
        for pattern in (r"agent > relayd +hello \d+ B",
                        r"relayd > agent +descriptor",
                        r"connector > relayd +inbound \d+ B buffer=b1$",
                        r"relayd > agent +inbound .* "
                        r"session=agent:main:discord:dm:c1",
                        r"agent > relayd +inbound_ack .*buffer=",
                        r"relayd > connector +inbound_ack .*buffer=b1",
                        r"agent > relayd +outbound .*request=r",
                        r"relayd > connector +outbound .*request=",
                        r"connector > relayd +outbound_result",
                        r"relayd > agent +outbound_result .*request=r"):
            assert " main " in stream.wait(pattern)
        assert "secret" not in "\n".join(stream.lines)
        assert stream.end() == (-signal.SIGINT, "")
    assert len([m for m in agent.messages if m["type"] == "inbound"]) == 1
    assert connector.counters["acked"] == 1
    agent.close()
    relayd.wait_agents(0)
    talk(relayd, connector).close()     # there is life after the taps


def test_tap_shows_content_only_when_asked(relayd, connector, tap):
    plain, full, as_json = tap(), tap("--content"), tap("--content", "--json")
    words = f"words {ESC}"
    talk(relayd, connector, words)
    for stream in (plain, full, as_json):
        stream.wait("outbound_result")
    assert not TURNED.search(full.wait("words bad"))
    full.wait("a secret answer")
    assert "words" not in "\n".join(plain.lines)
    for stream in (plain, full, as_json):
        assert not RAW.search("\n".join(stream.lines))
    documents = [json.loads(line) for line in as_json.lines]
    inbound = [d for d in documents if d.get("type") == "inbound"]
    assert [d["tap"] for d in inbound] == ["from_connector", "to_agent"]
    assert all(d["line"]["event"]["text"] == words for d in inbound)
    assert inbound[0]["bytes"] > 100 and inbound[0]["gateway"] == "main"


def test_tap_is_for_operators(relayd):
    for command in ("tap", "send", "reload"):
        answer = relayd.control({"cmd": command}, path="status.sock")
        assert answer["code"] == "not_permitted", answer
    assert relayd.control({"cmd": "status"}, path="status.sock")["ok"]


def test_tap_of_one_gateway_and_its_end(make_relayd, make_connector):
    connector = make_connector("gw-a")
    connector.register("gw-b", "secret", {"discord": "1"})
    relayd = make_relayd().connect_to(connector, "a", "gw-a")
    relayd.connect_to(connector, "b", "gw-b").start(wait="connected")
    mark = relayd.log_mark()
    streams = [Stream(relayd, "tap", "a"), Stream(relayd, "tap", "b")]
    for name in "ab":
        relayd.wait_log(f"gateway={name}.*tap by", since=mark)
        agent = relayd.agent(name)
        connector.say("discord", "c1", "x", f"gw-{name}")
        agent.ack(agent.inbound())
        connector.wait_all_acked(f"gw-{name}")
    for stream, name, other in zip(streams, "ab", "ba"):
        stream.wait(f" {name} .*inbound_ack")
        assert not any(f" {other} " in line for line in stream.lines)
    relayd.configure({"gateways": {"b": relayd.config["gateways"]["b"]}})
    assert "1 removed" in relayd.ctl("reload").stdout
    code, told = streams[0].end(None)
    assert code == 1 and "taken out of the configuration" in told
    relayd.stop()
    code, told = streams[1].end(None)
    assert code == 1 and "relayd is stopping" in told


# send.

def test_send(relayd, connector):
    agent = relayd.agent()
    connector.say("discord", "c1", "x", scope_id="g1", chat_type="group")
    agent.ack(agent.inbound())
    connector.wait_all_acked()
    for args, stdin, content in (
            (["c1", "hé\"\\🙂"], "", "hé\"\\🙂"),
            (["c1"], "from\nstdin\n", "from\nstdin"),
            (["c1", "-"], "x\n\n", "x\n"),
            (["--reply-to", "m9", "c1", "reply"], "", "reply"),
            (["-g", "main", "c1", "--", "-g"], "", "-g")):
        done = relayd.ctl("send", *args, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, ""), args
        record = connector.outbounds[-1]
        assert record.action["content"] == content
        assert done.stdout == f"sent, message {record.result['message_id']}\n"
        assert record.action.get("reply_to") == (
            "m9" if "m9" in args else None)
        assert record.action["metadata"] == {"scope_id": "g1",
                                             "user_id": "u1"}
    code, reply = relayd.ctl_json("send", "c1", "y")
    assert code == 0 and reply["result"]["success"]
    assert [m["type"] for m in agent.messages].count("outbound_result") == 0
    match = relayd.wait_log(r"send.*uid (\d+), pid \d+")
    assert match[1] == str(relayd.daemon.uid)
    assert "stdin" not in relayd.log, "content was logged"


def test_send_refused_and_failed(relayd, connector):
    done = relayd.ctl("send", "nowhere", "x")
    assert done.returncode == 1 and not done.stdout
    assert "not routed" in done.stderr
    connector.state.result_hook = lambda record: {
        "success": False, "error": ESC}
    done = relayd.ctl("send", "c1", "x")
    assert done.returncode == 1 and "bad" in done.stderr
    assert not RAW.search(done.stderr)
    code, reply = relayd.ctl_json("send", "c1", "x")
    assert code == 1 and reply["result"]["error"] == ESC
    assert relayd.ctl("send", "-g", "nope", "c1", "x").returncode == 1
    assert relayd.ctl("send", "c1", "").returncode == 1
    done = relayd.ctl("send", "c1", stdin="x" * 70000)
    assert done.returncode == 1 and "65536" in done.stderr


def test_send_whose_fate_is_unknown_says_so(relayd, connector):
    connector.stall("results")
    sending = Stream(relayd, "send", "c1", "x")
    connector.wait_outbound()
    connector.drop()
    code, told = sending.end(None)
    assert code == 1 and not sending.lines
    assert "connection lost" in told and "may have been delivered" in told


def test_send_without_a_link_gives_up(relayd, connector):
    connector.stop()
    relayd.wait_state(state="retrying")
    done = relayd.ctl("send", "c1", "x")    # 10 s
    assert done.returncode == 1
    assert "not sent" in done.stderr and "retrying" in done.stderr
    assert "may have been delivered" not in done.stderr


@pytest.mark.slow
def test_send_without_a_result_times_out(relayd, connector):
    connector.stall("results")
    done = relayd.ctl("send", "c1", "x", timeout=60)    # 30 s
    assert done.returncode == 1
    assert "timed out" in done.stderr
    assert "may have been delivered" in done.stderr


# reload, check.

def test_reload_and_check(relayd, connector):
    link = connector.link()
    good = relayd.conf.read_text()
    done = relayd.ctl("check", "-f", relayd.conf)
    assert (done.returncode, done.stdout, done.stderr) == (0, "OK\n", "")
    for text, words in (
            (good.replace("url:", "ulr:"), ("ulr", "did you mean url")),
            (good.replace('"gw-test"', "[1"), ("relayd.yaml:",)),
            ("gateways: {}\n", ("gateways",)),
            (good + "log: {level: loud}\n", ("log.level", "error, warn")),
            ("", ("relayd.yaml",))):
        relayd.configure(text)
        for args in (["reload"], ["check", "-f", relayd.conf]):
            done = relayd.ctl(*args)
            assert done.returncode == 1 and not done.stdout, args
            for word in words:
                assert word in done.stderr, done.stderr
        code, answer = relayd.ctl_json("check", "-f", relayd.conf)
        assert code == 1 and not answer["ok"]
        assert relayd.gateway()["state"] == "connected"
    relayd.configure(good)
    done = relayd.ctl("reload")
    assert done.returncode == 0 and "0 changed" in done.stdout
    assert connector.link() is link, "the link was touched"
    assert relayd.ctl("check", "-f", "/nonexistent").returncode == 1


def test_reload_adds_and_takes_away(relayd, connector):
    connector.register("gw-new", "secret", {"discord": "1"})
    before = relayd.config
    link = connector.link("gw-test")
    relayd.connect_to(connector, "new", "gw-new")
    done = relayd.ctl("rel")
    assert done.returncode == 0 and "1 added" in done.stdout, done.stderr
    relayd.wait_state("new")
    agent = relayd.agent("new")
    relayd.configure(before)
    assert "1 removed" in relayd.ctl("reload").stdout
    agent.wait_closed()
    assert not relayd.agent_path("new").exists()
    assert connector.link("gw-test") is link, "the other link was touched"


# Words.

@pytest.mark.parametrize("args", [
    ["stat"], ["sho", "proc"], ["show", "g"], ["sh", "a", "main"], ["rel"],
    ["v"], ["h", "sen"], ["status", "--js"]])
def test_abbreviations(relayd, args):
    done = relayd.ctl(*args)
    assert done.returncode == 0 and done.stdout, done.stderr


@pytest.mark.parametrize("args, words", [
    (["s"], "status show send"), (["frobnicate"], "status explain show watch wait tap trace"),
    (["show", "x"], "gateways agents sessions processes"), (["show"], "too few"),
    ([""], "status explain show watch"), (["status", "a", "b"], "too many"),
    (["send"], "CHAT_ID"), (["tap", "--contents"], "--content"),
    (["help", "nope"], "status explain show"), (["agent"], "--exec"),
    (["agent", "-j", "99", "--exec", "true"], "1 to 32"),
    (["bad\x1b[31m\u009b"], "no such thing"), ([], "which command?")])
def test_wrong_usage_says_what_could_stand_there(relayd, args, words):
    done = relayd.ctl(*args)
    assert done.returncode == 2 and not done.stdout
    assert words in done.stderr
    assert not RAW.search(done.stderr)


# Terminals.

def test_colour_is_for_terminals(relayd, connector):
    connector.stop()
    relayd.wait_state(state="retrying")
    assert "\x1b" not in relayd.ctl("status").stdout
    assert re.search("\x1b\\[31mretrying\x1b\\[0m",
                     run_on_terminal(relayd, "status"))
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        text = run_on_terminal(relayd, "status", **env)
        assert "retrying" in text and "\x1b" not in text
    assert "\x1b" in run_on_terminal(relayd, "status", NO_COLOR="")
    assert "\x1b" not in run_on_terminal(relayd, "--json", "status")


def test_foreign_text_does_nothing_to_a_terminal(relayd, connector):
    agent = relayd.agent(agent=ESC)
    watch = Stream(relayd, "watch")
    connector.gateway().descriptors["discord"]["label"] = ESC
    agent.send({"type": "hello", "platform": ESC})
    agent.send(b'{"type":"outbound","requestId":"\xc2\x9b","action":5}\n')
    agent.expect("outbound_result")
    connector.send({"type": "inbound", "event": {ESC: ESC}})
    connector.send({"type": ESC})
    connector.forbid(1000, code=1008, reason=ESC.strip())
    connector.drop()
    relayd.wait_gateway(lambda g: "1008" in g["reason"], "to be refused")
    watch.wait("retrying.*1008")
    texts = [relayd.log]
    texts = [relayd.log]
    for args in (["status"], ["show", "gateways"], ["show", "agents"],
                 ["--json", "status"]):
        texts.append(relayd.ctl(*args).stdout)
        plain = re.sub("\x1b\\[[0-9]*m", "", run_on_terminal(relayd, *args))
        texts.append(plain)
    watch.end()
    texts.append("\n".join(watch.lines))
    for text in texts:
        assert "bad" in text or "discord" in text
        found = RAW.search(text)
        assert not found, text[max(0, found.start() - 100):][:200]
        assert text.startswith('{"ok"') or not TURNED.search(text)
    assert "\\x1b[31mred" in texts[0] and "\\x1b[31mred" in texts[5]
    agent.close()


def test_who_has_too_many_connections_is_told(relayd):
    """relayd refuses before it is asked, and closes: the request cannot be
    sent, and the answer be read all the same."""
    ours = os.geteuid()
    os.seteuid(relayd.daemon.uid)   # whose connections they are
    try:
        held = [LineSocket(relayd.run / "control.sock") for _ in range(16)]
    finally:
        os.seteuid(ours)
    for sock in held:
        sock.send({"cmd": "status"})
        assert sock.recv()["ok"]
    for args in 2 * (["status"], ["show", "agents"], ["send", "c1", "x"],
                     ["explain"], ["tap"]):
        done = relayd.ctl(*args)
        assert done.returncode == 1
        assert "too many control connections" in done.stderr
    for sock in held:
        sock.close()
