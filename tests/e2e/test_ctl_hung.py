# SPDX-License-Identifier: ISC
"""relay-ctl while relayd's engine hangs or is away: it says so at once, from
what the supervisor wrote down, and not when the supervisor has killed what
hangs (after ten seconds, and then the answers would be others)."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess

import pytest

from relay import TIMEOUT_S, until

SILENT = "its processes run, but the engine is silent"


def wait_written(relayd):
    """The supervisor writes soon, not at once."""
    until(lambda: relayd.state_json()["gateways"][0]["state"] == "connected",
          "the state file")


@pytest.fixture(name="hung")
def _hung(relayd):
    """A relayd whose engine hangs."""
    wait_written(relayd)
    relayd.kill("engine", signal.SIGSTOP)
    yield relayd
    with contextlib.suppress(ProcessLookupError, TimeoutError):
        os.kill(relayd.role_pid("engine"), signal.SIGCONT)
    relayd.wait_state()


def beside(relayd, *args, **more):
    return subprocess.Popen(
        relayd.ctl_words(*args), text=True, cwd="/", stdin=subprocess.DEVNULL,
        env=relayd.environment(), **{"stdout": subprocess.PIPE,
                                     "stderr": subprocess.PIPE, **more})


def test_status(hung):
    done = hung.ctl("status")
    assert done.returncode == 150
    assert SILENT in done.stderr and f"pid {hung.pid}" in done.stderr
    assert re.search(r"^main +connected", done.stdout, re.M)


@pytest.mark.parametrize("args", [
    ["show", "gateways"], ["show", "counters"], ["show", "sessions"],
    ["watch"], ["tap"], ["requeue", "main", "all"]])
def test_others(hung, args):
    done = hung.ctl(*args)
    assert done.returncode == 1 and not done.stdout
    assert SILENT in done.stderr


def test_explain(hung):
    done = hung.ctl("explain")
    assert done.returncode == 1 and SILENT in done.stderr
    assert done.stdout.startswith("relayd: no answer\n")
    assert f"trouble   {SILENT}" in done.stdout
    assert "engine running" in done.stdout
    assert re.search(r"main was connected, for \d+s", done.stdout)
    assert "for 10 s is killed and started again" in done.stdout
    code = hung.ctl("--json", "explain")
    assert code.returncode == 1 and not code.stdout


def test_wait(hung):
    done = hung.ctl("wait", "--for", "disabled", "--timeout", "3")
    assert done.returncode == 1 and SILENT in done.stderr


def read_until(process, words):
    """Lines of its standard error until one has the words."""
    for line in process.stderr:
        if words in line:
            return line
    raise AssertionError(f"it ended without {words!r}")


@pytest.mark.parametrize("args", [
    ["wait", "--for", "disabled"], ["watch", "--json"], ["watch"]])
def test_it_hangs_while_they_wait(relayd, args):
    """Silence is said while nothing is expected, and once."""
    with beside(relayd, *args) as process:
        try:
            # It is on when a change is told: of wait, --json would tell.
            if args[0] == "watch":
                until(lambda: relayd.ctl("reconnect", "main").returncode == 0,
                      "a change")
                assert process.stdout.readline()
                relayd.wait_state()
            pid = relayd.kill("engine", signal.SIGSTOP)
            assert "no answer from relayd" in read_until(process, "silent")
            os.kill(pid, signal.SIGCONT)
            assert read_until(process, "answers again")
            assert process.poll() is None
        finally:
            process.kill()


def test_wait_goes_on_over_a_hung_engine(relayd):
    with beside(relayd, "wait", "--for", "disabled") as process:
        try:
            pid = relayd.kill("engine", signal.SIGSTOP)
            relayd.role_pid("engine", pid, 3 * TIMEOUT_S)   # 10 s later
            relayd.wait_state()
            assert relayd.ctl("disable", "main").returncode == 0
            out, err = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
    assert process.returncode == 0 and out == "main is disabled\n"
    assert err.count("no answer from relayd") == 1


# What takes longer than a second.

def on_terminal(relayd, *args):
    """(exit status, standard output, what a terminal got as its error)."""
    primary, secondary = pty.openpty()
    with beside(relayd, *args, stderr=secondary) as process:
        os.close(secondary)
        text = b""
        with contextlib.suppress(OSError):
            while data := os.read(primary, 65536):
                text += data
        out = process.stdout.read()
        process.wait(TIMEOUT_S)
    os.close(primary)
    return process.returncode, out, text.decode()


def test_progress_of_a_question(hung):
    code, _, text = on_terminal(hung, "show", "gateways")
    assert code == 1
    assert "\rrelay-ctl: waiting for relayd's answer (1 s) " in text
    # It is taken away before what it led to is said.
    assert " \rrelay-ctl: no answer" in text


def test_progress_of_wait(relayd, connector):
    connector.stop()
    relayd.wait_gateway(lambda g: "refused" in g["reason"], "to retry")
    code, out, text = on_terminal(
        relayd, "wait", "--for", "connected", "--timeout", "2")
    assert code == 1 and not out
    assert re.search(r"\rrelay-ctl: main is (retrying|connecting): .* \(1 s\)", text)
    assert " \rrelay-ctl: main is not connected in time" in text


def test_no_progress_elsewhere(hung):
    done = hung.ctl("show", "gateways")
    assert done.stderr.count("\n") == 1 and "\r" not in done.stderr


def test_progress_of_a_message(relayd, connector):
    with relayd.agent() as agent:
        connector.say("discord", "c1", "x")
        agent.ack(agent.inbound("x"))
        connector.wait_all_acked()
    connector.stall("results")
    primary, secondary = pty.openpty()
    with beside(relayd, "send", "c1", "x", "--json",
                stderr=secondary) as process:
        os.close(secondary)
        text = ""
        while "waiting for relayd's answer" not in text:
            text += os.read(primary, 65536).decode()
        connector.stall("results", on=True)
        assert json.loads(process.stdout.read())["ok"]
        assert process.wait(TIMEOUT_S) == 0
    os.close(primary)
