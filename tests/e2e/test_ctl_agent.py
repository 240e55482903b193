# SPDX-License-Identifier: ISC
"""relay-ctl agent --exec, and the examples, as agents of the real daemons."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from relay import ROOT, TIMEOUT_S, until


class Running:
    """A program that runs beside the test; its standard error by lines."""

    def __init__(self, relayd, words):
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, cwd="/",
            env={**relayd.environment(), "SCRATCH": str(relayd.dir)})
        self.told = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with self.process.stderr as stderr:
            for line in stderr:
                self.told += line.decode()

    def wait_told(self, text):
        until(lambda: text in self.told, lambda: f"{text!r} in {self.told!r}")

    def end(self, sig=signal.SIGTERM):
        """Send a signal, or await its end with None; its exit status."""
        if sig is not None and self.process.poll() is None:
            self.process.send_signal(sig)
        code = self.process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        return code


@pytest.fixture(name="run")
def _run(busy):
    """run(script, *args): relay-ctl agent with a shell script that has $GO,
    $LOG and $SCRATCH; attached when it returns."""
    started = []

    def run(script, *args):
        path = busy.write(
            f"script{len(started)}",
            '#!/bin/sh\nGO=$SCRATCH/go\nLOG=$SCRATCH/log\n' + script, 0o755)
        before = len(busy.gateway()["agents"])
        started.append(Running(busy, busy.ctl_words(
            "agent", *args, "--exec", path, "fixed argument")))
        busy.wait_gateway(
            lambda g: len(g["agents"]) > before
            and all(agent["platforms"] for agent in g["agents"]),
            "to have heard its hello")
        return started[-1]
    yield run
    for running in started:
        running.end(signal.SIGKILL)


def log_of(relayd):
    """The lines that scripts wrote."""
    path = relayd.dir / "log"
    return path.read_text().splitlines() if path.exists() else []


def wait_log_of(relayd, count):
    return until(lambda: len(log_of(relayd)) >= count and log_of(relayd),
                 lambda: f"{count} lines in {log_of(relayd)}")


def go(relayd):
    """Let scripts that wait go on."""
    relayd.write("go", "")


# What it says when nothing goes wrong.
HAPPY = ("relay-ctl: attached to main\n"
         "relay-ctl: main is connected: descriptor for discord received\n")
WAIT = "while ! test -e $GO; do sleep 0.01; done\n"


def test_event_in_reply_out(busy, eager, run):
    program = run('test "$1" = "fixed argument" || exit 9\n'
                  'cat >$SCRATCH/event\nenv >$SCRATCH/env\n'
                  'printf "You said: %s\\n\\n" "$RELAY_TEXT"\n',
                  "--name", "mine")
    assert busy.gateway()["agents"][0]["name"] == "mine"
    assert busy.gateway()["agents"][0]["window"] == 1
    text = "é 🙂 $(touch /x) `x` \"'\\"
    buffer_id = eager.say("discord", "c1", text, user_name="Ann O'x",
                          thread_id="t1", chat_type="thread")
    record = eager.wait_text("c1", "You said")
    eager.wait_acked(buffer_id)
    assert record.action["content"] == f"You said: {text}\n"
    event = json.loads((busy.dir / "event").read_text())
    assert (busy.dir / "event").read_text().endswith("}\n")
    assert event["text"] == text
    assert record.action["reply_to"] == event["message_id"]
    assert record.action["metadata"]["thread_id"] == "t1"
    lines = (busy.dir / "env").read_text().splitlines()
    env = dict(line.split("=", 1) for line in lines if "=" in line)
    assert {name: value for name, value in env.items()
            if name.startswith("RELAY_") and name != "RELAY_BUFFER_ID"} == {
        "RELAY_GATEWAY": "main", "RELAY_TEXT": text,
        "RELAY_SESSION_KEY": "agent:main:discord:thread:c1:t1",
        "RELAY_PLATFORM": "discord", "RELAY_CHAT_ID": "c1",
        "RELAY_CHAT_TYPE": "thread", "RELAY_THREAD_ID": "t1",
        "RELAY_USER_ID": "u1", "RELAY_USER_NAME": "Ann O'x",
        "RELAY_MESSAGE_ID": event["message_id"]}
    # Nothing of the last event is left in the next one's environment.
    eager.say("discord", "c2", "second")
    eager.wait_text("c2", "second")
    assert "RELAY_THREAD_ID" not in (busy.dir / "env").read_text()
    assert program.end() == 0
    assert program.told == HAPPY


def test_no_output_is_no_reply(busy, eager, run):
    run('echo "$RELAY_TEXT" >>$LOG\n')
    for number in range(20):
        eager.say("discord", f"c{number % 3}", str(number))
    eager.wait_all_acked()
    assert sorted(map(int, log_of(busy))) == list(range(20))
    assert not eager.outbounds


def test_a_failure_is_not_acknowledged_and_tried_again(busy, eager, run):
    program = run('echo "$RELAY_TEXT $RELAY_BUFFER_ID" >>$LOG\n'
                  'test $(wc -l <$LOG) -gt 1 || { echo no; exit 3; }\n'
                  'echo done\n')
    eager.say("discord", "c1", "first")
    eager.say("discord", "c1", "second")
    program.wait_told("exit status 3")
    assert eager.unacked() == 2
    eager.wait_all_acked()
    ran = [line.split() for line in log_of(busy)]
    assert [text for text, _ in ran] == ["first", "first", "second"]
    assert ran[0] == ran[1], "redelivered under another name"
    assert [r.action["content"] for r in eager.outbounds] == ["done"] * 2
    assert "tried again in" in program.told


def test_an_answer_that_is_refused_is_told_and_not_repeated(busy, eager, run):
    eager.state.result_hook = lambda record: {
        "success": False, "error": "no\x1b[31mway"}
    program = run('echo "$RELAY_TEXT" >>$LOG\necho reply\n')
    eager.wait_acked(eager.say("discord", "c1", "x"))
    program.wait_told("was not delivered: no\\x1b[31mway")
    assert "\x1b" not in program.told
    assert log_of(busy) == ["x"] and len(eager.outbounds) == 1


@pytest.mark.parametrize("jobs", [1, 3])
def test_sessions_at_once(busy, eager, run, jobs):
    run(f'echo "+$RELAY_TEXT" >>$LOG\n{WAIT}echo "-$RELAY_TEXT" >>$LOG\n',
        "--jobs", jobs)
    for text in ("a1", "b1", "a2", "c1", "b2"):
        eager.say("discord", text[0], text)
    # All that may run do, and no more; as many events are in our hands.
    started = wait_log_of(busy, 1 if jobs == 1 else 2)
    assert set(started) <= {"+a1", "+b1"}
    assert busy.gateway()["agents"][0]["unacknowledged"] == jobs
    go(busy)
    eager.wait_all_acked()
    lines = log_of(busy)
    assert sorted(lines) == sorted(
        sign + text for sign in "+-" for text in ("a1", "a2", "b1", "b2", "c1"))
    for earlier, later in (("-a1", "+a2"), ("-b1", "+b2")):
        assert lines.index(earlier) < lines.index(later)
    if jobs == 1:
        assert [line[1:] for line in lines[::2]] == [
            "a1", "b1", "a2", "c1", "b2"]


def test_the_engine_dies_meanwhile(busy, eager, run):
    """The program runs on, is not run twice, and its answer leaves once."""
    program = run(f'echo "$RELAY_TEXT" >>$LOG\n{WAIT}echo "to $RELAY_TEXT"\n')
    eager.say("discord", "c1", "first")
    eager.say("discord", "c1", "second")
    wait_log_of(busy, 1)
    busy.kill_and_wait("engine")
    busy.wait_agents(1)
    go(busy)
    eager.wait_all_acked()
    assert log_of(busy) == ["first", "second"]
    assert [r.action["content"] for r in eager.outbounds] == [
        "to first", "to second"]
    assert "attaching again" in program.told
    assert program.end() == 0


def test_sigterm_ends_it_well(busy, eager, run):
    program = run(f'echo "$RELAY_TEXT" >>$LOG\n{WAIT}echo bye\n')
    first = eager.say("discord", "c1", "first")
    eager.say("discord", "c1", "second")
    wait_log_of(busy, 1)
    program.process.send_signal(signal.SIGTERM)
    program.wait_told("stopping once the running programs end")
    go(busy)
    assert program.end(None) == 0
    eager.wait_acked(first)
    assert eager.wait_text("c1", "bye")
    assert eager.unacked() == 1 and log_of(busy) == ["first"]
    # What it did not take, the next one does.
    run('echo "$RELAY_TEXT" >>$LOG\n')
    eager.wait_all_acked()
    assert log_of(busy) == ["first", "second"]


def test_an_interrupt_ends_the_program(busy, eager, run):
    program = run('trap "echo stopped >>$LOG; exit 0" TERM\n'
                  f'echo "$RELAY_SESSION_KEY" >>$LOG\n{WAIT}echo reply\n')
    eager.say("discord", "c1", "x")
    key = wait_log_of(busy, 1)[0]
    eager.interrupt(key, "c1")
    eager.wait_all_acked()
    assert log_of(busy) == [key, "stopped"]
    assert not eager.outbounds
    program.wait_told("interrupted")


def test_two_of_them_share_the_work(busy, eager, run):
    for _ in range(2):
        run('echo "$$ $RELAY_TEXT" >>$LOG\n', "-j", "4")
    for number in range(40):
        eager.say("discord", f"c{number % 8}", str(number))
    eager.wait_all_acked()
    numbers = [int(line.split()[1]) for line in log_of(busy)]
    assert sorted(numbers) == list(range(40))
    for chat in range(8):
        mine = [n for n in numbers if n % 8 == chat]
        assert mine == sorted(mine)
    assert all(a["acknowledged"] for a in busy.gateway()["agents"])


def test_link_reasons_do_nothing_to_a_terminal(busy, eager, run):
    program = run("true\n")
    eager.close(1008, "bad\x1b[31mred\u009b1m")
    program.wait_told("connected")
    program.wait_told("bad\\x1b[31mred")
    assert "\x1b" not in program.told and "\u009b" not in program.told
    busy.wait_state()


@contextlib.contextmanager
def without_socket(relayd):
    """Somebody removed the agents' socket."""
    place = relayd.run / "agent" / "main.sock"
    place.rename(relayd.run / "elsewhere")
    try:
        yield place
    finally:
        (relayd.run / "elsewhere").rename(place)


def test_no_socket_is_there(busy, run):
    """Somebody removed it: relayd runs, and that is told."""
    with without_socket(busy) as place:
        done = busy.ctl("agent", "--exec", "true")
        named = busy.ctl("agent", "-g", "main", "--exec", "true")
    assert done.returncode == named.returncode == 1
    assert "no socket for agents is there, though relayd runs" in done.stderr
    assert f"{place} is gone, though relayd runs" in named.stderr
    for said in (done, named):
        assert "relay-ctl reload" in said.stderr
        assert "not running" not in said.stderr
        assert "(null)" not in said.stderr


def as_somebody(relayd, *args, groups=()):
    """relay-ctl as a user who has nothing to do with relayd."""
    def become():
        os.setgroups(groups)
        os.setgid(65533)
        os.setuid(65533)
    return subprocess.run(
        relayd.ctl_words(*args), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, cwd="/", timeout=TIMEOUT_S,
        check=False, preexec_fn=become)


@pytest.mark.root
def test_no_socket_is_there_for_somebody(busy, run):
    """He may not read what state relayd is in."""
    with without_socket(busy):
        done = as_somebody(busy, "agent", "--exec", "true")
        named = as_somebody(busy, "agent", "-g", "main", "--exec", "true")
    assert done.returncode == named.returncode == 1
    assert "though relayd seems to run" in done.stderr
    assert "main is perhaps no gateway" in named.stderr
    for said in (done, named):
        assert "relay-ctl reload" in said.stderr
        assert "not running" not in said.stderr


@pytest.mark.root
def test_no_socket_for_dashboards(busy):
    """Who may not use the operators' socket is told of that one."""
    busy.run.joinpath("status.sock").unlink()
    done = as_somebody(busy, "status")
    assert done.returncode == 1 and "not running" not in done.stderr
    assert "control.sock: permission denied" in done.stderr


@pytest.mark.root
def test_whom_a_socket_is_for(busy, run):
    """What is told names the setting, the group, the mode that is wrong."""
    place, ctl = busy.agent_path(), busy.run / "control.sock"
    agent = ("agent", "--exec", "true")

    def told(*args, groups=()):
        done = as_somebody(busy, *args, groups=groups)
        assert done.returncode == 1
        return done.stderr

    assert "(gateways.main.agents.group in relayd.yaml)" in told(*agent)
    assert "(control.group in relayd.yaml)" in told("reload")
    assert "(control.group in relayd.yaml)" in told("status")
    assert "credentials are root's" in told("enroll", "main", "--token-file",
                                            "/dev/null")
    for path, args in ((place, agent), (ctl, ["reload"])):
        os.chown(path, 0, 1)
        assert "group daemon" in told(*args)
        assert "usermod -aG daemon USER" in told(*args)
        assert "next login" in told(*args)
        path.chmod(0o600)
        assert f"{path}: permission denied: its group is ours, and its mode " \
            "0600" in told(*args, groups=[1])
    assert "gateways.main.agents.group" in told(*agent)
    place.parent.chmod(0o700)
    for args in (agent, ("agent", "-g", "main", "--exec", "true")):
        assert f"the mode of {place.parent} is 0700" in told(*args)
        assert f"chmod 0755 {place.parent}" in told(*args)
    busy.run.chmod(0o700)
    for args in (agent, ["reload"]):
        assert f"the mode of {busy.run} is 0700" in told(*args)
    busy.run.chmod(0o755)
    place.parent.chmod(0o755)


def test_platforms_and_wrong_words(busy, run):
    program = Running(busy, busy.ctl_words(
        "agent", "--platform", "matrix", "--exec", "true"))
    assert program.end(None) == 1
    assert '"matrix" is not fronted' in program.told
    done = busy.ctl("agent", "--exec", "/nonexistent")
    assert done.returncode == 1 and "/nonexistent" in done.stderr
    done = busy.ctl("agent", "-g", "nope", "--exec", "true")
    assert done.returncode == 1 and "nope is no gateway of this relayd; there is main" in done.stderr
    run("true\n", "--platform", "discord")
    assert busy.gateway()["agents"][0]["platforms"] == ["discord"]


# The examples, as they are shipped.

def test_example_shell(busy, eager):
    program = Running(busy, busy.ctl_words(
        "agent", "--exec", busy.write(
            "agent.sh", (ROOT / "examples/agent.sh").read_text(), 0o755)))
    busy.wait_agents(1)
    odd = "it's; $(id) `id` \\n %s \"x\""
    for text, answer in (("hello", "You said: hello"),
                         (odd, f"You said: {odd}"),
                         ("/help", "I know /time, /event and /help."),
                         ("/time", "UTC."), ("/event", '"text":"/event"')):
        eager.wait_acked(eager.say("discord", "c1", text))
        assert answer in eager.outbounds[-1].action["content"]
    count = len(eager.outbounds)
    eager.wait_acked(eager.say("discord", "c1", ""))
    assert len(eager.outbounds) == count
    assert program.end() == 0 and program.told == HAPPY


def test_example_python(busy, eager):
    program = Running(busy, [sys.executable, str(ROOT / "examples/agent.py"),
                             str(busy.agent_path())])
    try:
        for life in range(2):
            busy.wait_agents(1)
            for number in range(3):
                eager.say("discord", f"c{number}", f"n{life} é🙂")
            for number in range(3):
                eager.wait_text(f"c{number}", f"You said: n{life} é🙂")
            eager.wait_all_acked()
            if life == 0:
                busy.kill_and_wait("engine")
                busy.wait_state()
    finally:
        code = program.end(signal.SIGINT)
    assert code == 0
    assert "Traceback" not in program.told
