# SPDX-License-Identifier: ISC
"""The supervisor among what surrounds it: signals, a log that nobody reads,
other processes of the machine."""

import fcntl
import os
import re
import signal
import stat
import subprocess

from relay import STOP_TIMEOUT_S, until


def add_gateway(relayd, name, port):
    """A gateway without a secret: it has a socket, and does not dial."""
    gateways = dict(relayd.config["gateways"])
    gateways[name] = {**gateways["main"], "id": f"gw-{name}",
                      "url": f"https://127.0.0.1:{port}"}
    del gateways[name]["secret"]
    relayd.configure({**relayd.config, "gateways": gateways})


def test_a_hangup_during_a_reload_is_heeded_after_it(relayd, connector):
    """What changed since the first one was read is not forgotten, not even
    when an operator asks for a reload meanwhile."""
    dialer = relayd.role_pid("dialer")
    os.kill(dialer, signal.SIGSTOP)
    try:
        add_gateway(relayd, "first", connector.port)
        os.kill(relayd.pid, signal.SIGHUP)
        until(lambda: relayd.state_json()["phase"] == "reloading", "a reload")
        add_gateway(relayd, "second", connector.port)
        mark = relayd.log_mark()
        os.kill(relayd.pid, signal.SIGHUP)
        relayd.wait_log("event=reload .*under way", since=mark)
        answer = relayd.reload()
        assert not answer["ok"] and "under way" in answer["error"], answer
    finally:
        os.kill(dialer, signal.SIGCONT)
    until(relayd.agent_path("first").exists, "the first gateway's socket")
    until(relayd.agent_path("second").exists, "the second gateway's socket")
    relayd.wait_state()


def test_signals_blocked_by_who_started_it(make_relayd, connector,
                                           monkeypatch):
    """A mask is inherited through exec: deaths and orders are heard all the
    same."""
    relayd = make_relayd().connect_to(connector)
    command = relayd.daemon.command
    monkeypatch.setattr(
        relayd.daemon, "command", lambda *words:
        ["/usr/bin/env", "--block-signal=CHLD,HUP,TERM", *command(*words)])
    relayd.start(wait="connected")
    relayd.kill_and_wait("dialer")
    relayd.wait_state()
    relayd.stop()


def test_a_port_that_went_is_closed_to_the_dialer(relayd, connector,
                                                  make_connector):
    config = relayd.config
    two = make_connector("gw-two")
    relayd.connect_to(two, name="other")
    assert relayd.reload()["ok"]
    relayd.wait_state("other")
    dialer = relayd.role_pid("dialer")
    relayd.configure(config)
    assert relayd.reload()["ok"]
    dialer = relayd.role_pid("dialer", other_than=dialer)
    with open(f"/proc/{dialer}/cmdline", encoding="ascii") as file:
        words = re.split("[,\0]", file.read())
    assert str(connector.port) in words and str(two.port) not in words
    assert len(connector.dials) == 1


def full_pipe():
    """A pipe whose reading end is never read, and that takes no more."""
    read, write = os.pipe()
    flags = fcntl.fcntl(write, fcntl.F_GETFL)
    fcntl.fcntl(write, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    try:
        while True:
            os.write(write, b"\n" * 4096)
    except BlockingIOError:
        pass
    fcntl.fcntl(write, fcntl.F_SETFL, flags)
    return read, write


def test_a_log_that_nobody_reads_stops_nothing(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    read, write = full_pipe()
    words = relayd.daemon.command("relayd", "-d", *relayd.places())
    process = subprocess.Popen(words, env=relayd.environment(), cwd="/",
                               stdin=subprocess.DEVNULL, stderr=write,
                               start_new_session=True)
    os.close(write)
    try:
        connector.wait_handshaken()
        process.terminate()
        assert process.wait(STOP_TIMEOUT_S) == 0
    finally:
        process.kill()
        process.wait()
        os.close(read)


def test_nobody_else_can_hold_the_lock(relayd):
    """flock(2) asks for an open descriptor, no more."""
    mode = (relayd.run / "relayd.lock").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_no_descriptor_is_taken_from_the_supervisor(unprivileged):
    """It keeps what came by environment, and another process of its user
    could map that."""
    user = unprivileged.daemon.uid
    words = ["/bin/ls", f"/proc/{unprivileged.pid}/fd"]
    if user != os.geteuid():
        words = ["/usr/bin/setpriv", f"--reuid={user}", "--clear-groups",
                 *words]
    done = subprocess.run(words, capture_output=True, text=True, check=False,
                          timeout=STOP_TIMEOUT_S)
    assert done.returncode != 0, done.stdout
    assert "Permission denied" in done.stderr
