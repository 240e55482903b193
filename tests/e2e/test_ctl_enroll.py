# SPDX-License-Identifier: ISC
"""relay-ctl enroll against a scripted auth.sock: where the token comes from,
and how it is asked for."""

import json
import os
import signal
import threading

import pytest

from base import until
from operator_cred import (ENROLLED, ENV, TOKEN, _auth, _terminal, _token_file,
                           assert_hidden, needs_root)
from scripted import WAIT, run, serving, write

__all__ = ["_auth", "_terminal", "_token_file"]

# Where the token comes from.

def test_enroll_from_a_file(rundir, auth, token_file):
    done = run(rundir, "enroll", "main", "--token-file", str(token_file),
               "--gateway-id", "gw-host", "--connector-url",
               "https://c.example")
    assert (done.returncode, done.stdout, done.stderr) == (
        0, "main is enrolled as gw-host, tenant acme; it connects by "
        "itself\n", "")
    assert auth.requests == [
        {"cmd": "enroll", "gateway": "main", "token": TOKEN,
         "gateway_id": "gw-host", "connector_url": "https://c.example"}]


def test_enroll_json(rundir, auth, token_file):
    done = run(rundir, "--json", "enroll", "main", "--token-file",
               str(token_file))
    assert auth.requests[0]["token"] == TOKEN
    assert (done.returncode, done.stdout) == (0, json.dumps(ENROLLED) + "\n")


@pytest.mark.parametrize("text", [TOKEN, f" {TOKEN}\r\n\n"])
def test_enroll_from_standard_input(rundir, auth, text):
    done = run(rundir, "enroll", "main", "--token-file", "-", stdin=None,
               input=text)
    assert done.returncode == 0
    assert auth.requests[0]["token"] == TOKEN


def test_enroll_from_a_pipe_by_name(rundir, auth):
    """As <(command) of a shell gives it."""
    reader, writer = os.pipe()
    os.write(writer, TOKEN.encode())
    os.close(writer)
    done = run(rundir, "enroll", "main", "--token-file", f"/dev/fd/{reader}",
               pass_fds=[reader])
    os.close(reader)
    assert done.returncode == 0, done.stderr
    assert auth.requests[0]["token"] == TOKEN


def test_enroll_from_the_environment(rundir, auth, token_file):
    env = {**os.environ, ENV: TOKEN}
    assert run(rundir, "enroll", "main", env=env).returncode == 0
    token_file.write_text("other\n")
    assert run(rundir, "enroll", "main", "--token-file", str(token_file),
               env=env).returncode == 0
    assert [r["token"] for r in auth.requests] == [TOKEN, "other"]


def test_enroll_with_the_daemons_own(rundir, auth):
    env = {k: v for k, v in os.environ.items() if k != ENV}
    assert run(rundir, "enroll", "main", env=env).returncode == 0
    assert run(rundir, "enroll", "main", env={**env, ENV: ""}).returncode == 0
    assert auth.requests == [{"cmd": "enroll", "gateway": "main"}] * 2


@pytest.mark.parametrize("text, why", [
    (b"", "no token in it"), (b" \n", "no token in it"),
    (b"a b\n", "one word"), (b"a\nb\n", "one word"), (b"a\0b", "one word"),
    (b"\xff", "one word"), (b"x" * 16385, "longer than 16384"),
    (b"x" * 100000, "longer than"),
])
def test_bad_token(rundir, auth, token_file, text, why):
    token_file.write_bytes(text)
    done = run(rundir, "enroll", "main", "--token-file", str(token_file))
    assert done.returncode == 1
    assert why in done.stderr and str(token_file) in done.stderr
    assert auth.requests == []


def test_token_file_of_others(rundir, auth, token_file):
    for mode in (0o640, 0o604, 0o660, 0o620):
        token_file.chmod(mode)
        done = run(rundir, "enroll", "main", "--token-file", str(token_file))
        assert done.returncode == 1
        assert f"mode {mode:04o}" in done.stderr and "chmod 600" in done.stderr
    assert auth.requests == []
    missing = run(rundir, "enroll", "main", "--token-file", "/nonexistent")
    assert missing.returncode == 1
    assert "/nonexistent: No such file" in missing.stderr


@needs_root
def test_token_file_of_another_user(rundir, auth, token_file):
    """What is another's is not ours to protect; the danger is told."""
    os.chown(token_file, 65534, 65534)
    done = run(rundir, "enroll", "main", "--token-file", str(token_file))
    assert (done.returncode, done.stderr) == (0, "")
    token_file.chmod(0o644)
    done = run(rundir, "enroll", "main", "--token-file", str(token_file))
    assert done.returncode == 0
    assert "warning" in done.stderr and "mode 0644" in done.stderr
    assert len(auth.requests) == 2


@pytest.mark.parametrize("args", [
    ["enroll", "main", f"--token={TOKEN}"],
    ["enroll", "main", "--token", TOKEN],
    ["enroll", f"--token={TOKEN}", "main"],
    ["enroll", "main", f"--enrollment-token={TOKEN}"],
    ["enroll", "main", f"--secret={TOKEN}"],
    ["import", "main", "f", f"--secret={TOKEN}"],
    [f"--token={TOKEN}", "enroll", "main"],
])
def test_no_token_among_the_arguments(rundir, auth, args):
    done = run(rundir, *args)
    assert done.returncode == 2
    assert "process list" in done.stderr
    assert "have another one issued" in done.stderr
    assert_hidden(done, TOKEN)
    assert auth.requests == []


@pytest.mark.parametrize("args, why", [
    (["enroll", "main", f"--t={TOKEN}"], "no option here"),
    (["enroll", "main", f"--gateway={TOKEN}"], "no option here"),
    (["enroll", "main", f"-t{TOKEN}"], "-t is no option here"),
    (["enroll", "main", TOKEN], "a token is never one of them"),
    (["enroll", TOKEN], "no gateway's name"),
    (["enroll", ""], "no gateway's name"),
    (["enroll"], "too few arguments"),
    (["import", "main"], "too few arguments"),
    (["forget"], "too few arguments"),
    (["enable"], "too few arguments"),
])
def test_usage(rundir, auth, args, why):
    done = run(rundir, *args)
    assert done.returncode == 2
    assert why in done.stderr
    assert_hidden(done, TOKEN)
    assert auth.requests == []


def test_wake_url_is_not_transmitted(rundir, auth, token_file):
    done = run(rundir, "enroll", "main", "--token-file", str(token_file),
               "--wake-url", "https://wake.example/")
    assert done.returncode == 0
    assert auth.requests[0]["wake_url"] == "https://wake.example/"
    assert "only provisioning does" in done.stderr


# At a terminal.

PROMPT = "relayd was started with): "


def test_prompt_without_echo(auth, terminal):
    term = terminal("enroll", "main")
    term.wait_for(PROMPT)
    assert "Enrollment token for main" in term.seen
    assert not term.echoes()
    term.type(TOKEN + "\n")
    term.wait_for("main is enrolled as gw-host")
    assert term.wait() == 0
    assert term.echoes()
    assert TOKEN not in term.seen
    assert auth.requests[0]["token"] == TOKEN


def test_prompt_left_empty(auth, terminal):
    term = terminal("enroll", "main")
    term.wait_for(PROMPT)
    term.type("\n")
    term.wait_for("main is enrolled")
    assert "token" not in auth.requests[0]


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM,
                                 signal.SIGHUP, signal.SIGQUIT])
def test_prompt_interrupted(auth, terminal, sig):
    term = terminal("enroll", "main")
    term.wait_for(PROMPT)
    assert not term.echoes()
    term.type(TOKEN)
    if sig == signal.SIGINT:
        term.type("\x03")
    else:
        term.process.send_signal(sig)
    assert term.wait() == -sig
    assert term.echoes()
    assert auth.requests == []


def test_prompt_given_up(auth, terminal):
    term = terminal("enroll", "main")
    term.wait_for(PROMPT)
    term.type("\x04")
    term.wait_for("nothing was done")
    assert term.wait() == 1
    assert term.echoes()
    assert auth.requests == []


def test_prompt_with_too_long_a_line(auth, terminal):
    term = terminal("enroll", "main")
    term.wait_for(PROMPT)
    for _ in range(50):     # a terminal takes so much at once
        term.type("x" * 100)
    term.type("\n")
    term.wait_for("use --token-file")
    assert term.wait() == 1
    assert auth.requests == []


def test_prompt_after_an_ignored_signal(auth, terminal):
    """What does not end relay-ctl is let through; then it asks again."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        term = terminal("enroll", "main")
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    term.wait_for(PROMPT)
    term.process.send_signal(signal.SIGHUP)
    until(lambda: term.wait_for(PROMPT) or term.seen.count(PROMPT) == 2,
          "a second prompt", WAIT)
    assert not term.echoes()
    term.type(TOKEN + "\n")
    assert term.wait() == 0
    assert auth.requests[0]["token"] == TOKEN


def test_no_prompt_when_the_environment_has_it(auth, terminal):
    term = terminal("enroll", "main", **{ENV: TOKEN})
    term.wait_for("main is enrolled")
    assert PROMPT not in term.seen
    assert auth.requests[0]["token"] == TOKEN


def test_no_prompt_when_nobody_listens(terminal):
    """A token is not asked for in vain."""
    term = terminal("enroll", "main")
    term.wait_for("not running")
    assert term.wait() == 3
    assert PROMPT not in term.seen


def test_progress(rundir, terminal, token_file):
    release = threading.Event()

    def slow(server, lines):
        server.read(lines)
        release.wait(WAIT)
        write(lines, ENROLLED)

    with serving(rundir / "auth.sock", slow):
        term = terminal("enroll", "main", "--token-file", str(token_file))
        term.wait_for("asking the connector (1 s)")
        release.set()
        term.wait_for("main is enrolled")
        assert term.wait() == 0
    # The line is taken away before anything else is written.
    assert term.seen.index(") ") < term.seen.rindex(" \r") \
        < term.seen.index("main is")
