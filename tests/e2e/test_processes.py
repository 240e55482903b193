# SPDX-License-Identifier: ISC
"""The supervisor among what surrounds it: signals, a log that nobody reads,
other processes of the machine."""

import contextlib
import fcntl
import os
import re
import signal
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from relay import ROLES, STOP_TIMEOUT_S, until


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
        # After a failure it may be dead already: a heartbeat unanswered.
        with contextlib.suppress(ProcessLookupError):
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


@pytest.mark.parametrize("mask", ["0", "0777"])
def test_the_umask_of_who_started_it(make_unprivileged, connector, mask):
    """What it leaves behind when it is killed, it can use again."""
    relayd = make_unprivileged().connect_to(connector)
    relayd.before = ["/bin/sh", "-c", f'umask {mask}; exec "$@"', "sh"]
    relayd.start(wait="connected")
    lock = relayd.run / "relayd.lock"
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    relayd.kill("supervisor")
    relayd.wait_exit()
    relayd.assert_gone()
    relayd.start(wait="connected")


def test_a_limit_on_the_size_of_files(make_relayd, connector):
    """It is told as what it is."""
    relayd = make_relayd().connect_to(connector)
    relayd.before = ["/bin/sh", "-c", 'ulimit -f 100; exec "$@"', "sh"]
    relayd.start()
    assert relayd.wait_exit() == 1
    assert "main.journal: cannot have " in relayd.log
    assert "File too large" in relayd.log


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


# As a container's filter that does not know the call yet.
NO_CLOSE_RANGE = """
import ctypes, os, sys
seccomp = ctypes.CDLL("libseccomp.so.2")
seccomp.seccomp_init.restype = ctypes.c_void_p
ctx = ctypes.c_void_p(seccomp.seccomp_init(0x7fff0000))
number = seccomp.seccomp_syscall_resolve_name(b"close_range")
if seccomp.seccomp_rule_add(ctx, 0x00050000 | 38, number, 0) or \\
        seccomp.seccomp_load(ctx):
    sys.exit("no filter")
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("before", [
    [], ["/usr/bin/python3", "-c", NO_CLOSE_RANGE]], ids=["", "filtered"])
def test_no_descriptor_is_inherited(make_relayd, connector, before):
    """Of what who started it had open nothing stays so."""
    relayd = make_relayd().connect_to(connector)
    with open(relayd.conf, "rb") as file:
        relayd.before, relayd.pass_fds = before, (file.fileno(),)
        relayd.start(wait="connected")
    for role, pid in relayd.pids().items():
        opened = [os.path.realpath(fd) for fd in
                  Path(f"/proc/{pid}/fd").iterdir()]
        assert opened and str(relayd.conf) not in opened, role


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


# What becomes of a secret's file, and what is said of it.
SPOILED = {
    "missing": (lambda path: path.unlink(),
                "No such file or directory: put the file there"),
    "for all to read": (lambda path: path.chmod(0o644), "chmod 600"),
    "not a file": (lambda path: (path.unlink(), path.mkdir()),
                   "not a regular file"),
    "empty": (lambda path: path.write_text("\n"), "only white space"),
    "another's": (lambda path: os.chown(path, 1, 1),
                  "owned by uid 1: chown it|Permission denied: give it to"),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_reload_takes_no_credential_away(relayd, connector, how):
    """A secret that cannot be had any more: refused, and all stays."""
    spoil, said = SPOILED[how]
    if how == "another's" and os.geteuid() != 0:
        pytest.skip("needs root")
    config = relayd.config
    add_gateway(relayd, "second", connector.port)
    spoil(relayd.dir / "main.secret")
    answer = relayd.reload()
    assert not answer["ok"] and answer["code"] == "refused", answer
    assert "main.secret" in answer["error"], answer
    assert re.search(said, answer["error"]), answer
    assert not relayd.agent_path("second").exists()
    # It still has its credential: it comes back.
    connector.drop()
    connector.wait_dials(2)
    relayd.wait_state()
    if how == "not a file":
        (relayd.dir / "main.secret").rmdir()
    relayd.configure(config)
    relayd.write("main.secret", connector.gateway().secrets[0], 0o600)
    assert relayd.reload()["ok"]
    assert relayd.gateway()["state"] == "connected"


@pytest.mark.parametrize("how", ("missing", "for all to read", "empty"))
def test_a_first_start_without_its_secret(make_relayd, connector, how):
    """One gateway's mistake keeps no other from starting."""
    relayd = make_relayd().connect_to(connector)
    spoil, said = SPOILED[how]
    spoil(relayd.dir / "main.secret")
    relayd.start()
    reason = relayd.wait_gateway(
        lambda g: g["state"] == "unprovisioned" and "main" in g["reason"],
        "to say what it lacks")["reason"]
    assert "main.secret" in reason and re.search(said, reason), reason
    relayd.write("main.secret", connector.gateway().secrets[0], 0o600)
    assert relayd.reload()["ok"]
    relayd.wait_state()


def test_a_dial_is_logged_by_who_made_it(make_relayd, connector):
    """At the usual level, too."""
    relayd = make_relayd(debug=False).connect_to(connector)
    relayd.start(wait="connected")
    relayd.wait_log(r" level=info process=dialer pid=\d+ event=dial gateway=main .*connected to")
    connector.stop()
    relayd.wait_log(r" level=info process=dialer pid=\d+ event=dial gateway=main .*refused")
    connector.start()
    relayd.wait_state()


def test_environment_alone_and_no_home(make_unprivileged, make_connector):
    """No file is needed, nor a place for one."""
    connector = make_connector(tls=None)
    relayd = make_unprivileged(None).connect_by_environment(connector)
    # Given another run directory than /tmp's, which is of the machine.
    relayd.env["HOME"] = ""
    relayd.places = lambda: ["-r", relayd.run]
    relayd.start()
    relayd.wait_state()
    assert (relayd.run / "state" / "authd").is_dir()
    relayd.wait_log("event=state .*neither HOME nor XDG_STATE_HOME")
    check = subprocess.run(
        relayd.daemon.command("relayd", "-n"), env=relayd.environment(),
        capture_output=True, text=True, check=False, timeout=STOP_TIMEOUT_S)
    assert check.returncode == 0, check.stderr


@pytest.mark.parametrize("spoil", ["configuration", "long", "child"])
def test_a_start_that_fails_leaves_nothing(make_relayd, connector, spoil):
    """Whatever it had come to; what was there before stays."""
    relayd = make_relayd().connect_to(connector)
    if spoil == "configuration":
        relayd.configure("gateways: [")
    elif spoil == "long":
        relayd.run = relayd.dir / ("r" * 100)
    else:       # the engine alone can tell that it is none
        bad = relayd.write("bad.pem", "-----BEGIN CERTIFICATE-----\nx\n")
        relayd.connect_to(connector, tls={"ca_file": str(bad)})
    relayd.start()
    assert relayd.wait_exit() != 0
    assert not relayd.run.exists() and not relayd.state.exists()
    relayd.state.mkdir(mode=0o755)
    relayd.daemon.own(relayd.state)
    relayd.start()
    assert relayd.wait_exit() != 0
    assert list(relayd.state.iterdir()) == []


def test_a_start_without_anything_leaves_nothing(make_unprivileged):
    """Nor below /tmp, nor what leads to the state directory."""
    relayd = make_unprivileged(None)
    user = relayd.daemon.user
    run = Path(f"/tmp/relayd-{os.geteuid() if user is None else user.pw_uid}")
    if run.exists():
        pytest.skip(f"{run} is there already")
    relayd.places = lambda: []
    relayd.start()
    assert relayd.wait_exit() == 78, relayd.log
    assert not run.exists()
    assert not (relayd.dir / ".local").exists()


@pytest.mark.root
@pytest.mark.parametrize("place", ("run", "state"))
def test_below_a_directory_that_others_can_write(make_relayd, connector,
                                                 place):
    """Who can write there could exchange ours; a sticky one is no better,
    before ours is made."""
    relayd = make_relayd().connect_to(connector)
    with tempfile.TemporaryDirectory(prefix="rt-", dir="/run") as open_dir:
        os.chmod(open_dir, 0o1777)
        setattr(relayd, place, Path(open_dir) / place)
        relayd.start()
        assert relayd.wait_exit() == 1
        said = relayd.log
        assert f"{open_dir} can be written by others than root" in said
        assert "chmod go-w" in said
        assert not os.listdir(open_dir)


@pytest.mark.unclean
def test_stop_when_nobody_moves(relayd):
    """Every child hangs: each is killed when its time is over."""
    children = [relayd.role_pid(role) for role in ROLES
                if role != "supervisor"]
    relayd.look()
    for pid in children:
        os.kill(pid, signal.SIGSTOP)
    os.kill(relayd.pid, signal.SIGTERM)
    assert relayd.wait_exit() == 0
    relayd.assert_gone()
    assert relayd.log.count("its time to stop is over: killed") == 3
