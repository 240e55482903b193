# SPDX-License-Identifier: ISC
"""relay-ctl agent --exec, and the examples, against a scripted server."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from base import ROOT
from scripted import CTL, WAIT, put_state, run, serving, write


def wait_until(true):
    deadline = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def inbound(number, text="hi", session="s1", **more):
    event = {"text": text, "message_type": "text", "message_id": f"m{number}",
             "source": {"platform": "discord", "chat_id": "c1",
                        "chat_type": "dm", "user_id": "u1",
                        "user_name": "Ann", "thread_id": None}}
    event.update(more.pop("event", {}))
    return {"type": "inbound", "bufferId": f"e-{number}",
            "session_key": session, "event": event, **more}


LINK = {"type": "link", "state": "connected", "reason": ""}


class Agent:
    """relay-ctl agent, run beside the test."""

    def __init__(self, rundir, *args):
        self.process = subprocess.Popen(
            [CTL, "-r", str(rundir), "agent", *args], text=True,
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def stop(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        _, err = self.process.communicate(timeout=WAIT)
        return self.process.returncode, err


@contextlib.contextmanager
def agent(rundir, script, *args):
    """script(server, lines, n) plays relayd on the n-th attachment; the body
    waits for the Event `played` that it sets."""
    played = threading.Event()
    count = iter(range(1000))
    failures = []

    def handler(server, lines):
        n = next(count)
        hello = server.read(lines)
        assert hello["type"] == "hello"
        write(lines, LINK)
        try:
            if script(server, lines, n):
                played.set()
        except AssertionError as error:
            failures.append(error)
            played.set()
            raise
        with contextlib.suppress(OSError):
            while server.read(lines):
                pass

    with serving(rundir / "agent/main.sock", handler) as server:
        running = Agent(rundir, *args)
        try:
            assert played.wait(WAIT), "the script was not played to its end"
            assert not failures, failures
            yield running, server
        finally:
            if running.process.poll() is None:
                running.process.kill()
            running.process.communicate()


def answer(server, lines, **result):
    """Take an outbound and answer it; returns its action."""
    frame = server.read(lines)
    assert frame["type"] == "outbound", frame
    write(lines, {"type": "outbound_result", "requestId": frame["requestId"],
                  "result": result or {"success": True}})
    return frame["action"]


def expect_ack(server, lines, number):
    assert server.read(lines) == {"type": "inbound_ack",
                                  "bufferId": f"e-{number}"}


def test_agent_replies(rundir):
    seen = {}

    def script(server, lines, _n):
        write(lines, inbound(1, event={"text": "$(id) ä"}))
        seen["action"] = answer(server, lines)
        expect_ack(server, lines, 1)
        return True

    with agent(rundir, script, "--name", "n", "--platform", "discord,slack",
               "--exec", "sh", "-c",
               'cat >&2; printf "%s|%s|%s|%s\\n" "$RELAY_TEXT" '
               '"$RELAY_USER_NAME" "$RELAY_BUFFER_ID" "$RELAY_SESSION_KEY"'
               ) as (running, server):
        code, err = running.stop()
    assert code == 0
    assert server.requests[0]["agent"] == "n"
    assert server.requests[0]["platforms"] == ["discord", "slack"]
    assert seen["action"] == {"op": "send", "chat_id": "c1", "reply_to": "m1",
                              "content": "$(id) ä|Ann|e-1|s1"}
    assert json.loads(next(line for line in err.splitlines()
                           if line.startswith("{")))["text"] == "$(id) ä"


def test_agent_thread_and_silence(rundir):
    seen = {}

    def script(server, lines, _n):
        write(lines, inbound(1, text="quiet"))
        expect_ack(server, lines, 1)
        frame = inbound(2, text="loud")
        frame["event"]["source"]["thread_id"] = "t1"
        write(lines, frame)
        seen["action"] = answer(server, lines)
        expect_ack(server, lines, 2)
        return True

    with agent(rundir, script, "--exec", "sh", "-c",
               '[ "$RELAY_TEXT" = quiet ] || echo x') as (running, _server):
        running.stop()
    assert seen["action"]["metadata"] == {"thread_id": "t1"}


@pytest.mark.parametrize("result, text", [
    ({"success": False, "error": "too long"}, "was not delivered: too long"),
    ({"success": False, "error": "lost", "ambiguous": True},
     "may not have been delivered"),
])
def test_agent_answer_fails(rundir, result, text):
    def script(server, lines, _n):
        write(lines, inbound(1))
        answer(server, lines, **result)
        expect_ack(server, lines, 1)
        return True

    with agent(rundir, script, "--exec", "echo", "x") as (running, _server):
        _code, err = running.stop()
    assert text in err


def test_agent_failure_comes_back(rundir, tmp_path):
    """No acknowledgement; it attaches again and gets the event anew."""
    mark = tmp_path / "mark"

    def script(server, lines, n):
        write(lines, inbound(1, redelivered=n > 0))
        if n == 0:
            return False
        answer(server, lines)
        expect_ack(server, lines, 1)
        return True

    with agent(rundir, script, "--exec", "sh", "-c",
               f'[ -e {mark} ] || {{ : >{mark}; exit 3; }}; echo ok'
               ) as (running, server):
        _code, err = running.stop()
    kinds = [frame["type"] for frame in server.requests]
    assert kinds[:5] == ["hello", "hello", "outbound", "inbound_ack",
                         "going_idle"][:len(kinds[:5])]
    assert "exit status 3; not acknowledged, tried again in" in err


def test_agent_answers_once_over_restart(rundir, tmp_path):
    """relayd dies with the answer on its way: the event, delivered again by
    another name, is acknowledged and not answered again."""
    runs = tmp_path / "runs"

    def script(server, lines, n):
        frame = inbound(1)
        if n == 0:
            write(lines, frame)
            assert server.read(lines)["type"] == "outbound"
            raise OSError("relayd dies")
        frame["bufferId"] = "f-9"
        write(lines, frame)
        assert server.read(lines) == {"type": "inbound_ack",
                                      "bufferId": "f-9"}
        return True

    with agent(rundir, script, "--exec", "sh", "-c",
               f"echo run >>{runs}; echo x") as (running, _server):
        _code, err = running.stop()
    assert runs.read_text() == "run\n"
    assert "attached to main again" in err


def test_agent_runs_on_over_restart(rundir, tmp_path):
    """A program that runs while relayd restarts is not started twice."""
    runs, go = tmp_path / "runs", tmp_path / "go"

    def script(server, lines, n):
        write(lines, inbound(1))
        if n == 0:
            wait_until(runs.exists)
            raise OSError("relayd dies")
        go.touch()
        answer(server, lines)
        expect_ack(server, lines, 1)
        return True

    with agent(rundir, script, "--exec", "sh", "-c",
               f"echo run >>{runs}; while ! [ -e {go} ]; do sleep 0.05; done;"
               " echo x") as (running, _server):
        running.stop()
    assert runs.read_text() == "run\n"


def test_agent_timeout_kills_the_group(rundir, tmp_path):
    pid_file = tmp_path / "pid"

    def script(_server, lines, n):
        if n == 0:
            write(lines, inbound(1))
            return False
        return True     # it came back: the program was given up

    with agent(rundir, script, "--timeout", "1", "--exec", "sh", "-c",
               f"sleep 1000 & echo $! >{pid_file}; wait") as (running, _server):
        _code, err = running.stop()
    assert "no end within 1 s" in err
    pid = int(pid_file.read_text())

    def gone():
        try:    # a zombie nobody has collected is as good as gone
            return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
        except FileNotFoundError:
            return True

    wait_until(gone)


def test_agent_sessions_in_parallel(rundir, tmp_path):
    """With --jobs 2, two sessions run at once and one session in order."""
    def script(server, lines, _n):
        write(lines, inbound(1, text="one", session="a"),
              inbound(2, text="two", session="a"),
              inbound(3, text="three", session="b"))
        # The first of session a waits for session b's to have run.
        order = [answer(server, lines)["content"]]
        expect_ack(server, lines, 3)
        order.append(answer(server, lines)["content"])
        expect_ack(server, lines, 1)
        order.append(answer(server, lines)["content"])
        expect_ack(server, lines, 2)
        assert order == ["three", "one", "two"]
        return True

    mark = tmp_path / "mark"
    with agent(rundir, script, "--jobs", "2", "--exec", "sh", "-c",
               f'case $RELAY_TEXT in three) : >{mark};; '
               f'one) while ! [ -e {mark} ]; do sleep 0.05; done; sleep 0.2;; '
               'esac; echo "$RELAY_TEXT"') as (running, _server):
        running.stop()


def test_agent_interrupt(rundir, tmp_path):
    started = tmp_path / "started"

    def script(server, lines, _n):
        write(lines, inbound(1))
        wait_until(started.exists)
        write(lines, {"type": "interrupt_inbound", "session_key": "s1",
                      "chat_id": "c1"})
        expect_ack(server, lines, 1)    # and no outbound before it
        return True

    with agent(rundir, script, "--exec", "sh", "-c",
               f": >{started}; echo x; exec sleep 1000") as (running, _server):
        running.stop()


def test_agent_stops_in_order(rundir, tmp_path):
    """SIGTERM: the running program ends, its answer and the
    acknowledgement leave."""
    started, go = tmp_path / "started", tmp_path / "go"
    rest = []

    def script(server, lines, _n):
        write(lines, inbound(1))
        wait_until(started.exists)
        os.kill(holder["agent"].process.pid, signal.SIGTERM)
        assert server.read(lines) == {"type": "going_idle"}
        write(lines, inbound(2, session="s2"))  # crossed; must not be run
        go.touch()
        rest.append(answer(server, lines))
        expect_ack(server, lines, 1)
        return True

    holder = {}
    with serving(rundir / "agent/main.sock",
                 lambda server, lines: (server.read(lines),
                                        write(lines, LINK),
                                        ready.wait(WAIT),
                                        script(server, lines, 0))):
        ready = threading.Event()
        holder["agent"] = Agent(
            rundir, "--exec", "sh", "-c",
            f": >{started}; while ! [ -e {go} ]; do sleep 0.05; done; echo x")
        ready.set()
        _, err = holder["agent"].process.communicate(timeout=WAIT)
    assert holder["agent"].process.returncode == 0, err
    assert len(rest) == 1


def test_agent_bad_output_is_a_failure(rundir):
    def script(_server, lines, n):
        write(lines, inbound(1))
        return n > 0

    with agent(rundir, script, "--exec", "printf", "\\377") as (running, _s):
        _code, err = running.stop()
    assert "not UTF-8; not acknowledged" in err


def test_agent_hello_refused(rundir):
    def handler(server, lines):
        server.read(lines)
        write(lines, {"type": "error", "error": "platform x is not fronted"})
        server.read(lines)

    with serving(rundir / "agent/main.sock", handler):
        done = run(rundir, "agent", "--platform", "x", "--exec", "true")
    assert done.returncode == 1
    assert "not fronted" in done.stderr


def test_agent_names_several_gateways(rundir):
    for name in ("a", "b"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(rundir / f"agent/{name}.sock"))
    done = run(rundir, "agent", "--exec", "true")
    assert done.returncode == 2
    assert "a, b" in done.stderr or "b, a" in done.stderr


def test_agent_wrong_gateway(rundir):
    put_state(rundir, os.getpid())
    done = run(rundir, "agent", "-g", "nope", "--exec", "true")
    assert done.returncode == 1
    assert "nope is no gateway of this relayd" in done.stderr


def test_agent_program_missing(rundir):
    done = run(rundir, "agent", "--exec", "/no/such/program")
    assert done.returncode == 1
    assert "cannot run /no/such/program" in done.stderr


# The examples.

def test_example_sh(rundir):
    answers = []

    def script(server, lines, _n):
        for number, text in enumerate(("$(id) `x`", "/time", "/event", "")):
            write(lines, inbound(number, text=text))
            if text:
                answers.append(answer(server, lines)["content"])
            expect_ack(server, lines, number)
        return True

    with agent(rundir, script, "--exec",
               str(ROOT / "examples/agent.sh")) as (running, _server):
        running.stop()
    assert answers[0] == "You said: $(id) `x`"
    assert answers[1].endswith(" UTC.")
    assert json.loads(answers[2])["text"] == "/event"


def test_example_py(rundir):
    done = threading.Event()

    def handler(server, lines):
        assert server.read(lines)["type"] == "hello"
        write(lines, LINK, inbound(len(server.requests)))
        frame = server.read(lines)
        assert frame["action"]["content"] == "You said: hi"
        assert frame["action"]["reply_to"].startswith("m")
        assert server.read(lines)["type"] == "inbound_ack"
        if len(server.requests) < 6:
            raise OSError("relayd restarts")
        done.set()
        server.read(lines)

    with serving(rundir / "agent/main.sock", handler):
        running = subprocess.Popen(
            ["/usr/bin/python3", ROOT / "examples/agent.py",
             rundir / "agent/main.sock"])
        try:
            assert done.wait(WAIT)
        finally:
            running.terminate()
            running.wait()
