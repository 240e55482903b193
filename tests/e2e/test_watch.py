# SPDX-License-Identifier: ISC
"""relay-ctl watch: the live screen on a terminal, which it leaves as it was;
the stream of changes everywhere else."""

import fcntl
import json
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import termios
import threading

import pytest

from relay import TIMEOUT_S, until

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Screen:
    """relay-ctl watch with a terminal of its own."""

    def __init__(self, relayd, rows=24, columns=100, env=(), args=("watch",),
                 command=None):
        self.primary, secondary = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(secondary)
        self.secondary = secondary      # so that it does not end with relay-ctl
        self.process = subprocess.Popen(
            command or relayd.ctl_words(*args), stdin=secondary,
            stdout=secondary,
            stderr=secondary, cwd="/", start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**relayd.environment(), "TERM": "xterm", "NO_COLOR": "1",
                 **dict(env)})
        self.text = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        data = b""
        try:
            while more := os.read(self.primary, 65536):
                data += more
                self.text = data.decode(errors="replace")
        except OSError:
            pass    # closed

    def resize(self, rows, columns):
        fcntl.ioctl(self.primary, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys):
        os.write(self.primary, keys.encode())

    @property
    def frames(self):
        """What was drawn, screen by screen."""
        return [CODES.sub("", part).replace("\r", "")
                for part in self.text.split("\x1b[H")[1:]]

    def wait(self, predicate, what):
        """The first whole screen from now on that the predicate likes."""
        seen = len(self.frames)

        def look():
            found = self.frames
            return next(filter(predicate, found[max(0, seen - 2):-1]), None)
        return until(look, lambda: f"{what}; last: {self.frames[-2:]}")

    def row(self, name):
        """The words of a gateway's line, in the last whole screen."""
        frame = self.wait(lambda f: re.search(rf"^{name} ", f, re.M), name)
        return re.search(rf"^{name} .*", frame, re.M)[0].split()

    def ended(self):
        """Await its end; its exit status, negative for a signal."""
        code = self.process.wait(TIMEOUT_S)
        until(lambda: self.text.count(LEAVE) == self.text.count(ENTER) > 0,
              "the terminal to be left")
        return code

    def assert_restored(self):
        assert self.text.count(ENTER) == self.text.count(LEAVE) > 0
        assert self.text.count(HIDE) == self.text.count(SHOW)
        assert termios.tcgetattr(self.secondary) == self.before

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.secondary)
        self._reader.join(TIMEOUT_S)
        os.close(self.primary)


@pytest.fixture(name="watch")
def _watch():
    """Starts a Screen; all are closed at the end."""
    screens = []

    def start(relayd, **more):
        screens.append(Screen(relayd, **more))
        return screens[-1]
    yield start
    for screen in screens:
        screen.close()


@pytest.fixture(name="pair")
def _pair(make_relayd, make_connector):
    """A relayd with two gateways: a, which has an agent, and b."""
    connectors = [make_connector("gw-a"), make_connector("gw-b")]
    relayd = make_relayd()
    for name, connector in zip("ab", connectors):
        relayd.connect_to(connector, name)
    relayd.start(wait="connected")
    return relayd, connectors, relayd.agent("a")


# The screen.

def test_a_line_per_gateway(pair, watch):
    relayd, connectors, agent = pair
    screen = watch(relayd)
    assert screen.row("a")[1] == "connected"
    for column in "NAME STATE FOR IN/S OUT/S UNACKED AGENTS".split():
        assert column in screen.frames[-2]
    words = screen.row("a")
    assert re.match(r"\d+s|\d+m", words[2]) and words[5:7] == ["0", "1"]
    assert screen.row("b")[6] == "0"
    connectors[0].say("discord", "c1", "x")
    delivery = agent.inbound("x")
    screen.wait(lambda f: re.search(r"^a .* 1 +1 ", f + " ", re.M),
                "an unacknowledged event")
    agent.ack(delivery)
    screen.wait(lambda f: re.search(r"^a .* 0 +1 ", f + " ", re.M), "none")
    screen.press("q")
    assert screen.ended() == 0
    screen.assert_restored()


def test_rates(pair, watch):
    relayd, connectors, agent = pair
    screen = watch(relayd)
    screen.wait(lambda f: re.search(r"^a +connected +\S+ +0\.0 +0\.0 ", f,
                                    re.M), "rates of nothing")
    connectors[0].say("discord", "c1", "x")
    agent.ack(agent.inbound("x"))
    screen.wait(lambda f: re.search(r"^a +connected +\S+ +(?!0\.0)\d\.\d +0",
                                    f, re.M), "a rate in")
    assert agent.act("send", chat_id="c1", content="y")["success"]
    screen.wait(lambda f: re.search(
        r"^a +connected +\S+ +\S+ +(?!0\.0)\d\.\d ", f, re.M), "a rate out")


def test_changes_are_there_at_once(pair, watch):
    relayd, connectors, _ = pair
    screen = watch(relayd)
    screen.row("b")
    connectors[1].stop()
    frame = screen.wait(lambda f: re.search(r"^b +retrying", f, re.M),
                        "b to retry")
    assert "REASON" in frame
    assert relayd.ctl("disable", "a").returncode == 0
    screen.wait(lambda f: re.search(r"^a +disabled .*switched off", f, re.M),
                "a to be disabled")


def test_sort(pair, watch):
    relayd, connectors, _ = pair
    connectors[1].stop()
    relayd.wait_state("b", "retrying")
    screen = watch(relayd)

    def order(frame):
        return re.findall(r"^([ab]) ", frame, re.M)
    seen = []
    for by in ("name", "state", "age", "in/s", "out/s", "unacknowledged",
               "agents", "name"):
        frame = screen.wait(lambda f, by=by: f"sorted by {by};" in f
                            and len(order(f)) == 2, f"by {by}")
        seen.append((by, order(frame)))
        screen.press("s")
    assert seen[0][1] == ["a", "b"]
    assert seen[1][1] == ["b", "a"]     # who retries comes first
    assert seen[6][1] == ["a", "b"]     # who has agents comes first


def test_resize(pair, watch):
    relayd, _, _ = pair
    screen = watch(relayd, rows=24, columns=100)
    wide = screen.wait(lambda f: "AGENTS" in f, "all columns")
    assert max(map(len, wide.splitlines())) > 30
    screen.resize(24, 20)
    screen.process.send_signal(signal.SIGWINCH)
    narrow = screen.wait(lambda f: re.search("^a ", f, re.M)
                         and "AGENTS" not in f, "fewer columns")
    assert max(map(len, narrow.splitlines())) <= 20
    screen.resize(4, 100)
    screen.process.send_signal(signal.SIGWINCH)
    flat = screen.wait(lambda f: "more" in f, "fewer lines")
    assert len(flat.splitlines()) <= 4 and "... 2 more" in flat
    screen.press("q")
    assert screen.ended() == 0


@pytest.mark.parametrize("sig", [
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT,
    signal.SIGUSR1, signal.SIGALRM])
def test_signals_leave_the_terminal_as_it_was(relayd, watch, sig):
    screen = watch(relayd)
    screen.row("main")
    assert termios.tcgetattr(screen.secondary) != screen.before
    screen.process.send_signal(sig)
    assert screen.ended() == -sig
    screen.assert_restored()


def test_interrupt_key(relayd, watch):
    screen = watch(relayd)
    screen.row("main")
    screen.press("\x03")
    assert screen.ended() == -signal.SIGINT
    screen.assert_restored()


def test_stop_and_go_on(relayd, watch):
    """^Z gives the terminal back, and fg takes it again."""
    screen = watch(relayd)
    screen.row("main")
    screen.process.send_signal(signal.SIGTSTP)
    # Its process group is orphaned here: the kernel does not stop it.
    until(lambda: screen.text.count(ENTER) == 2, "the terminal to be taken")
    assert screen.text.count(LEAVE) == 1
    screen.row("main")
    screen.press("q")
    assert screen.ended() == 0
    screen.assert_restored()


def test_stop_and_go_on_in_a_shell(relayd, watch):
    """With job control it is really stopped; the shell finds the terminal as
    it was."""
    words = " ".join(map(shlex.quote, relayd.ctl_words("watch")))
    screen = watch(relayd, command=[
        "/bin/sh", "-m", "-c", f"{words}; echo one=$?; read x; fg >/dev/null;"
        " echo two=$?"])
    screen.row("main")
    screen.press("\x1a")
    until(lambda: "one=148" in screen.text, "to be stopped")
    assert screen.text.count(LEAVE) == screen.text.count(ENTER) == 1
    assert termios.tcgetattr(screen.secondary) == screen.before
    screen.press("\n")
    until(lambda: screen.text.count(ENTER) == 2, "the terminal to be taken")
    screen.row("main")
    screen.press("q")
    assert screen.ended() == 0
    until(lambda: "two=0" in screen.text, "the shell to tell its status")
    screen.assert_restored()


def test_stopped_without_a_word(relayd, watch):
    """SIGSTOP cannot be caught: what was the terminal's is set anew."""
    screen = watch(relayd)
    screen.row("main")
    raw = termios.tcgetattr(screen.secondary)
    screen.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, screen.process.pid, os.WSTOPPED | os.WNOWAIT)
    termios.tcsetattr(screen.secondary, termios.TCSANOW, screen.before)
    screen.process.send_signal(signal.SIGCONT)
    until(lambda: screen.text.count(ENTER) == 2, "the terminal to be taken")
    screen.row("main")
    assert termios.tcgetattr(screen.secondary) == raw
    screen.press("q")
    assert screen.ended() == 0
    screen.assert_restored()


def test_hung_engine(relayd, watch):
    screen = watch(relayd)
    screen.row("main")
    pid = relayd.kill("engine", signal.SIGSTOP)
    screen.wait(lambda f: "but the engine is silent" in f
                and re.search(r"^main +connected", f, re.M), "to say so")
    os.kill(pid, signal.SIGCONT)
    screen.wait(lambda f: "silent" not in f, "to be back")
    screen.press("q")
    assert screen.ended() == 0
    screen.assert_restored()


def test_relayd_goes_and_comes(relayd, watch):
    screen = watch(relayd)
    screen.row("main")
    relayd.kill_and_wait("engine")
    relayd.wait_state()
    screen.wait(lambda f: re.search(r"^main +connected", f, re.M)
                and "no answer" not in f, "to be back")
    relayd.stop()
    screen.wait(lambda f: "relayd is not running any more" in f, "to say so")
    relayd.start(wait="connected")
    screen.wait(lambda f: "not running" not in f
                and re.search(r"^main +connected", f, re.M), "to be back")
    screen.press("q")
    assert screen.ended() == 0
    screen.assert_restored()


def test_not_running(make_relayd, connector, watch):
    relayd = make_relayd().connect_to(connector)
    screen = watch(relayd)
    assert screen.process.wait(TIMEOUT_S) == 3
    until(lambda: "relayd is not running" in screen.text, "to say so")
    assert ENTER not in screen.text


def test_colours(relayd, watch):
    screen = watch(relayd, env={"NO_COLOR": ""})
    screen.row("main")
    assert "\x1b[32mconnected" in screen.text
    screen = watch(relayd)
    screen.row("main")
    assert "\x1b[32m" not in screen.text


# The stream.

def stream(relayd, *args):
    return subprocess.Popen(
        relayd.ctl_words("watch", *args), text=True, cwd="/",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=relayd.environment())


def attached(relayd, process):
    """The stream is on when a second one that came later is: nothing tells,
    so states are changed until one is seen."""
    line = []

    def read():
        line.append(process.stdout.readline())
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    while reader.is_alive():
        assert relayd.ctl("reconnect", "main").returncode == 0
        relayd.wait_state()
        reader.join(0.2)
    return line[0]


@pytest.mark.parametrize("json_too", [False, True])
def test_stream(relayd, json_too):
    with stream(relayd, *(["--json"] if json_too else [])) as process:
        try:
            line = attached(relayd, process)
            if json_too:
                event = json.loads(line)
                assert event["event"] == "state"
                assert event["gateway"] == "main"
                assert {"state", "phase", "reason", "at"} <= event.keys()
            else:
                assert re.match(r"\d{4}-\d\d-\d\d [\d:.]+ [+-]\d{4} main \w+", line)
            assert ENTER not in line
        finally:
            process.send_signal(signal.SIGINT)


def test_stream_on_a_dumb_terminal(relayd, watch):
    screen = watch(relayd, env={"TERM": "dumb"})

    def look():
        assert relayd.ctl("reconnect", "main").returncode == 0
        return " main connected" in screen.text
    until(look, "a change")
    assert ENTER not in screen.text


def test_a_gateway_that_is_taken_out(make_relayd, make_connector):
    a, b = make_connector("gw-a"), make_connector("gw-b")
    relayd = make_relayd().connect_to(a, "a").connect_to(b, "b")
    relayd.start(wait="connected")
    with stream(relayd, "--json") as process:
        until(lambda: relayd.ctl("reconnect", "b").returncode == 0 and
              json.loads(process.stdout.readline())["gateway"] == "b", "b")
        config = relayd.config
        del config["gateways"]["b"]
        relayd.configure(config)
        assert relayd.reload()["ok"]
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "gone":
                break
        assert event["gateway"] == "b" and "at" in event
        process.send_signal(signal.SIGINT)
