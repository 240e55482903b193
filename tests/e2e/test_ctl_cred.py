# SPDX-License-Identifier: ISC
"""relay-ctl's commands for credentials against a scripted auth.sock: where
secrets are not, what is refused, forget, enable and show credentials."""

import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

import memory
from base import SANITIZED, until
from operator_cred import (ENROLLED, ENV, SECRETS, TOKEN, _auth, _terminal,
                           _token_file, assert_hidden, needs_root,
                           put_env_file, refusing)
from scripted import CTL, WAIT, answering, put_state, run, serving, write

__all__ = ["_auth", "_terminal", "_token_file"]

# Where secrets are not.

class Waiting:
    """relay-ctl while relay-authd takes its time."""

    def __init__(self, rundir, *args, text=None, env=None):
        self.asked = threading.Event()
        self.release = threading.Event()

        def handler(server, lines):
            server.read(lines)
            self.asked.set()
            self.release.wait(WAIT)
            write(lines, ENROLLED)

        self.server = serving(rundir / "auth.sock", handler)
        self.args = [CTL, "-r", str(rundir), *args]
        self.text = text
        self.env = env
        self.process = None

    def __enter__(self):
        server = self.server.__enter__()
        self.process = subprocess.Popen(
            self.args, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=self.env)
        self.process.stdin.write(self.text or "")
        self.process.stdin.close()
        self.process.stdin = None
        assert self.asked.wait(WAIT), self.process.stderr.read()
        return self.process, server

    def __exit__(self, *error):
        self.release.set()
        with self.process:
            self.process.communicate(timeout=WAIT)
        self.server.__exit__(*error)


def ways(tmp_path, token_file):
    """(arguments, standard input, environment, secrets) of all commands."""
    named = ["--token-file", str(token_file)]
    yield ["enroll", "main", *named], None, {}, [TOKEN]
    yield ["enroll", "main", "--token-file", "-"], TOKEN, {}, [TOKEN]
    yield ["enroll", "main"], None, {ENV: TOKEN}, [TOKEN]
    # Long enough for the buffers to grow.
    yield (["enroll", "main", "--token-file", "-"], TOKEN * 700, {}, [TOKEN])
    env_file = put_env_file(tmp_path / "env")
    yield (["import", "main", str(env_file)], None, {},
           [SECRETS["GATEWAY_RELAY_SECRET"],
            SECRETS["GATEWAY_RELAY_DELIVERY_KEY"]])


def is_gone(pid, secrets):
    needles = {secret: secret.encode() for secret in secrets}
    needles["self"] = b"relay-ctl"
    _, found = memory.search(pid, needles)
    assert found.pop("self") > 0    # that is its memory
    return not any(found.values())


@needs_root
def test_not_in_the_process(rundir, tmp_path, token_file):
    """Once the request is sent, neither the arguments, the environment nor
    the memory of relay-ctl hold what was secret in it."""
    for args, text, env, secrets in ways(tmp_path, token_file):
        with Waiting(rundir, *args, text=text,
                     env={**os.environ, **env}) as (process, server):
            proc = Path(f"/proc/{process.pid}")
            request = json.dumps(server.requests[-1])
            for secret in secrets:
                assert secret in request
                for name in ("cmdline", "environ"):
                    assert secret.encode() not in (proc / name).read_bytes()
            if not SANITIZED:
                # It may not have come to wiping yet when the request is here.
                until(lambda pid=process.pid, all_=secrets: is_gone(pid, all_),
                      f"no secret of {args} in memory")
        (rundir / "auth.sock").unlink()


@pytest.mark.skipif(SANITIZED, reason="a sanitizer traces itself")
def test_no_core_no_tracer(rundir, token_file):
    with Waiting(rundir, "enroll", "main", "--token-file",
                 str(token_file)) as (process, _):
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        core = next(line for line in limits.splitlines() if "core" in line)
        assert core.split()[4:6] == ["0", "0"]
        assert Path(f"/proc/{process.pid}/maps").stat().st_uid == 0


# Refusals and failures.

@pytest.mark.parametrize("code, hint", [
    ("bad_request", ""), ("no_gateway", "relay-ctl status lists"),
    ("pinned", "take the pinned secret out"),
    ("no_identity_token", "identity_token"),
    ("identity_refused", "has not expired"),
    ("token_refused", "have a new one issued"),
    ("connector", "who runs the connector"),
    ("unreachable", "url and proxy"), ("url_mismatch", ""),
    ("storage", "make room"), ("busy", "try again"), ("of_the_future", ""),
])
def test_refusals(rundir, token_file, code, hint):
    args = ["enroll", "main", "--token-file", str(token_file)]
    with serving(rundir / "auth.sock", refusing(code, "why\u001b[m")):
        done = run(rundir, *args)
        plain = run(rundir, "--json", *args)
    assert done.returncode == plain.returncode == 1
    assert done.stdout == "" and plain.stderr == ""
    first, *rest = done.stderr.splitlines()
    assert first == "relay-ctl: why\\x1b[m"
    assert len(rest) == bool(hint) and hint in "".join(rest)
    assert json.loads(plain.stdout)["code"] == code
    assert_hidden(done, TOKEN)


COMMANDS = [["enroll", "main"], ["import", "main", "ENV"],
            ["forget", "-y", "main"], ["show", "credentials"]]


def filled(args, tmp_path):
    env_file = str(put_env_file(tmp_path / "env"))
    return [env_file if a == "ENV" else a for a in args]


@pytest.mark.parametrize("args", COMMANDS)
def test_not_running(rundir, tmp_path, args):
    done = run(rundir, *filled(args, tmp_path))
    assert done.returncode == 3
    assert "not running" in done.stderr
    put_state(rundir, os.getpid())
    done = run(rundir, *filled(args, tmp_path))
    assert done.returncode == 1
    assert "auth.sock is gone, though relayd runs" in done.stderr
    assert "(relay-ctl reload)" in done.stderr
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(rundir / "auth.sock"))
    done = run(rundir, *filled(args, tmp_path))
    assert done.returncode == 1
    assert "relay-authd is silent" in done.stderr


@needs_root
@pytest.mark.parametrize("args", COMMANDS)
def test_permission_denied(public_dir, args):
    rundir = public_dir
    args = filled(args, public_dir)
    (public_dir / "env").chmod(0o644)

    def as_nobody():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    with serving(rundir / "auth.sock", answering(ENROLLED)) as server:
        (rundir / "auth.sock").chmod(0o600)
        done = run(rundir, *args, preexec_fn=as_nobody)
        assert done.returncode == 1
        assert "permission denied" in done.stderr
        assert "run relay-ctl as root" in done.stderr
        os.chown(rundir / "auth.sock", 1, 1)
        done = run(rundir, *args, preexec_fn=as_nobody)
        assert done.returncode == 1
        assert "for user daemon, as whom relayd runs" in done.stderr
    assert server.requests == []


def test_hung_up(rundir, token_file):
    """relay-authd dies before it answers: what became of it is open."""
    def dies(server, lines):
        server.read(lines)

    put_state(rundir, os.getpid())
    with serving(rundir / "auth.sock", dies):
        done = run(rundir, "enroll", "main", "--token-file", str(token_file))
    assert done.returncode == 1
    assert "relay-ctl show credentials tells" in done.stderr


@pytest.mark.parametrize("rubbish", ["", "rubbish", "[]", "{\"ok\":1}"])
def test_not_a_relay_authd(rundir, rubbish):
    with serving(rundir / "auth.sock", answering(rubbish)):
        assert run(rundir, "show", "credentials").returncode == 1
        assert run(rundir, "forget", "-y", "main").returncode == 1


# forget.

def test_forget(rundir, auth):
    done = run(rundir, "forget", "main")
    assert done.returncode == 0
    assert done.stdout == "the credential of main is removed\n"
    assert auth.requests == [{"cmd": "forget", "gateway": "main"}]


@pytest.mark.parametrize("answer, code", [
    ("y\n", 0), ("Yes\n", 0), ("n\n", 1), ("\n", 1), ("\x04", 1)])
def test_forget_asks_back(auth, terminal, answer, code):
    term = terminal("forget", "main")
    term.wait_for("remove the credential of main?")
    term.wait_for("[y/N] ")
    assert auth.requests == []
    term.type(answer)
    term.wait_for("is removed" if code == 0 else "nothing was removed")
    assert term.wait() == code
    assert len(auth.requests) == (code == 0)


def test_forget_does_not_ask_back(auth, terminal):
    term = terminal("forget", "main", "-y")
    assert term.wait() == 0
    term.wait_for("is removed")
    assert "[y/N]" not in term.seen
    assert len(auth.requests) == 1


# show credentials, enable, and what status says of a revoked gateway.

def credential(name="main", **more):
    doc = {"gateway": name, "source": "enrolled", "gateway_id": "gw-1",
           "tenant": "acme", "since": 1000, "age_s": 3725, "usable": True,
           "reason": "", "tokens_minted": 17,
           "uses": {"link": 15, "provision": 0, "enroll": 1, "policy": 1},
           "last_refusal": None, "revoked": None, "worked": True,
           "delivery_key": True, "url": "https://c.example"}
    doc.update(more)
    return doc


def credentials(*docs):
    return {"ok": True, "schema": "relayauthd.credentials/1",
            "credentials": list(docs)}


def test_show_credentials(rundir):
    now = int(time.time())
    doc = credentials(
        credential(),
        credential("rev", source="file", gateway_id="gw-2", tenant=None,
                   last_refusal={"at": now - 7200, "what": "link",
                                 "reason": "4401 unauthorized\u001b"},
                   revoked={"at": now - 7200,
                            "evidence": "first: 4401\nsecond: 4401, 2 s"}),
        credential("bare", source="none", gateway_id=None, tenant=None,
                   age_s=None, since=None, usable=False, tokens_minted=0,
                   reason="no identity token: /etc/x: No such file"))
    with serving(rundir / "auth.sock", answering(doc)) as server:
        done = run(rundir, "show", "cred")
        plain = run(rundir, "--json", "show", "credentials")
        one = run(rundir, "show", "credentials", "main")
        none = run(rundir, "show", "credentials", "other")
    assert server.requests == [{"cmd": "credentials"}] * 4
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["GATEWAY", "SOURCE", "GATEWAY-ID", "TENANT",
                                "AGE", "MINTED", "LAST-REFUSAL"]
    assert lines[1].split() == ["main", "enrolled", "gw-1", "acme", "1h02m",
                                "17", "never"]
    assert lines[2].split()[:6] == ["rev", "file", "gw-2", "-", "1h02m", "17"]
    assert lines[2].split()[6:] == ["link", "2h00m", "ago"]
    assert lines[3].strip() == "last refusal: 4401 unauthorized\\x1b"
    assert "revoked 2h00m ago" in lines[4]
    assert "put the new secret into its file" in lines[4]
    assert "relay-ctl enable rev" in lines[4]
    assert [line.strip() for line in lines[5:7]] == ["first: 4401",
                                                     "second: 4401, 2 s"]
    assert lines[7].split() == ["bare", "none", "-", "-", "-", "0", "never"]
    assert lines[8].strip() == "no identity token: /etc/x: No such file"
    assert len(lines) == 9
    assert json.loads(plain.stdout) == doc
    assert one.stdout.splitlines()[1:] == [
        line for line in one.stdout.splitlines() if line.startswith("main")]
    assert (none.returncode, none.stdout) == (1, "")
    assert "no gateway is named other" in none.stderr


def test_show_no_credentials(rundir):
    with serving(rundir / "auth.sock", answering(credentials())):
        done = run(rundir, "show", "credentials")
    assert (done.returncode, done.stdout) == (0, "no gateways\n")


def test_show_a_thousand_credentials(rundir):
    doc = credentials(*(credential(f"g{i}") for i in range(1000)))
    with serving(rundir / "auth.sock", answering(doc)):
        done = run(rundir, "show", "credentials")
    assert len(done.stdout.splitlines()) == 1001


def test_enable(rundir):
    with serving(rundir / "control.sock", answering({"ok": True})) as server:
        done = run(rundir, "enable", "main")
    assert (done.returncode, done.stdout) == (0, "main is enabled\n")
    assert server.requests == [{"cmd": "enable", "client": "0.1.0",
                                "gateway": "main"}]
    (rundir / "control.sock").unlink()
    with serving(rundir / "control.sock", refusing("refused", "not so")):
        done = run(rundir, "enable", "main")
    assert (done.returncode, done.stdout) == (1, "")
    assert "not so" in done.stderr


@pytest.mark.parametrize("command", [["status"], ["show", "gateways"]])
def test_revoked_gateway(rundir, command):
    gateway = {"name": "main", "state": "disabled", "for_s": 60,
               "reason": "revoked: refused twice", "url": "wss://c.example",
               "credential": {"source": "enrolled", "usable": True},
               "identities": [], "agents": []}
    doc = {"ok": True, "schema": "relayd.status/1", "version": "0.1.0",
           "gateways": [gateway]}
    with serving(rundir / "control.sock", answering(doc)):
        done = run(rundir, *command)
    assert "revoked: refused twice" in done.stdout
    assert "relay-ctl enroll main" in done.stdout
    assert "relay-ctl enable main" in done.stdout
