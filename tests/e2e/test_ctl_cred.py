# SPDX-License-Identifier: ISC
"""relay-ctl enroll, import, forget, enable and show credentials against a
scripted auth.sock: where secrets come from, and where they never are."""

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import termios
import threading
import time
from pathlib import Path

import pytest

import memory
from base import SANITIZED, until
from scripted import CTL, WAIT, answering, put_state, run, serving, write

TOKEN = "et-Canary-7c1f0e44b2a9"
ENV = "GATEWAY_RELAY_ENROLL_TOKEN"
ENROLLED = {"ok": True, "gateway": "main", "gateway_id": "gw-host",
            "tenant": "acme"}
SECRETS = {"GATEWAY_RELAY_ID": "gw-old",
           "GATEWAY_RELAY_SECRET": "Canary-5e0d93b1aa77",
           "GATEWAY_RELAY_DELIVERY_KEY": "Canary-dk-88aa01",
           "GATEWAY_RELAY_URL": "https://c.example/relay",
           "GATEWAY_RELAY_WAKE_URL": "https://wake.example/"}
needs_root = pytest.mark.skipif(os.geteuid() != 0,
                                reason="looks into another process")


@pytest.fixture(name="token_file")
def _token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture(name="auth")
def _auth(rundir):
    """auth.sock, where all is well."""
    with serving(rundir / "auth.sock", answering(ENROLLED)) as server:
        yield server


def refusing(code, error="the sentence of relay-authd"):
    return answering({"ok": False, "code": code, "error": error})


def assert_hidden(done, *secrets):
    for secret in secrets:
        assert secret not in done.stdout + done.stderr


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


# At a terminal.

class Terminal:
    """relay-ctl with a terminal of its own."""

    def __init__(self, rundir, *args, **env):
        self.primary, secondary = pty.openpty()
        self.secondary = secondary
        self.seen = ""

        def own():
            os.setsid()
            fcntl.ioctl(secondary, termios.TIOCSCTTY, 0)

        clean = {k: v for k, v in os.environ.items() if k != ENV}
        self.process = subprocess.Popen(
            [CTL, "-r", str(rundir), *args], stdin=secondary,
            stdout=secondary, stderr=secondary, preexec_fn=own,
            env={**clean, **env})

    def echoes(self):
        return bool(termios.tcgetattr(self.secondary)[3] & termios.ECHO)

    def wait_for(self, text):
        def look():
            while select.select([self.primary], [], [], 0)[0]:
                self.seen += os.read(self.primary, 4096).decode()
            return text in self.seen
        until(look, lambda: f"{text!r} in {self.seen!r}", WAIT)

    def type(self, text):
        os.write(self.primary, text.encode())

    def wait(self):
        return self.process.wait(WAIT)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.primary)
        os.close(self.secondary)


@pytest.fixture(name="terminal")
def _terminal(rundir):
    with contextlib.ExitStack() as stack:
        def start(*args, **env):
            return stack.enter_context(
                contextlib.closing(Terminal(rundir, *args, **env)))
        yield start


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


def put_env_file(path):
    path.write_text("".join(f"{k}='{v}'\n" for k, v in SECRETS.items()))
    path.chmod(0o600)
    return path


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


def test_wake_url_is_not_transmitted(rundir, auth, token_file):
    done = run(rundir, "enroll", "main", "--token-file", str(token_file),
               "--wake-url", "https://wake.example/")
    assert done.returncode == 0
    assert auth.requests[0]["wake_url"] == "https://wake.example/"
    assert "only provisioning does" in done.stderr


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
    assert "relay-authd is silent" in done.stderr


@needs_root
@pytest.mark.parametrize("args", COMMANDS)
def test_permission_denied(rundir, tmp_path, args):
    args = filled(args, tmp_path)
    for path in (rundir, tmp_path, *rundir.parents, *tmp_path.parents):
        if not path.stat().st_mode & 1:
            path.chmod(path.stat().st_mode | 0o011)
    (tmp_path / "env").chmod(0o644)

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


# import.

ENV_FILE = """\
# of the old host
PATH=$HOME/bin:${PATH}
export GATEWAY_RELAY_ID="gw-old"
OTHER='x'

GATEWAY_RELAY_SECRET=overridden
GATEWAY_RELAY_SECRET='Canary-5e0d93b1aa77' # keep it
GATEWAY_RELAY_URL="https://c.example\\
/relay"
GATEWAY_RELAY_WAKE_URL=
"""


def import_text(rundir, tmp_path, text, *args):
    path = tmp_path / "old.env"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(0o600)
    (rundir / "auth.sock").unlink(missing_ok=True)
    with serving(rundir / "auth.sock", answering({"ok": True})) as server:
        done = run(rundir, *args, "import", "main", str(path))
    return done, server.requests


def test_import(rundir, tmp_path):
    done, requests = import_text(rundir, tmp_path, ENV_FILE)
    path = tmp_path / "old.env"
    assert (done.returncode, done.stderr) == (0, "")
    assert requests == [
        {"cmd": "import", "gateway": "main", "id": "gw-old",
         "secret": "Canary-5e0d93b1aa77", "url": "https://c.example/relay"}]
    assert done.stdout.splitlines() == [
        "main has the credential now; it connects by itself",
        f"{path} still holds the secret; relayd needs these lines of it no "
        "more, and they may be deleted:",
        "  line 3: GATEWAY_RELAY_ID",
        "  line 6: GATEWAY_RELAY_SECRET",
        "  line 7: GATEWAY_RELAY_SECRET",
        "  lines 8-9: GATEWAY_RELAY_URL",
        "  line 10: GATEWAY_RELAY_WAKE_URL"]
    assert path.read_text() == ENV_FILE


def test_import_all(rundir, tmp_path):
    text = "".join(f"{k}={v}\r\n" for k, v in SECRETS.items())
    done, requests = import_text(rundir, tmp_path, text, "--json")
    assert requests == [
        {"cmd": "import", "gateway": "main", "id": "gw-old",
         "secret": SECRETS["GATEWAY_RELAY_SECRET"],
         "delivery_key": SECRETS["GATEWAY_RELAY_DELIVERY_KEY"],
         "url": SECRETS["GATEWAY_RELAY_URL"],
         "wake_url": SECRETS["GATEWAY_RELAY_WAKE_URL"]}]
    assert done.stdout == '{"ok": true}\n'
    assert "line 5: GATEWAY_RELAY_WAKE_URL" in done.stderr
    assert_hidden(done, SECRETS["GATEWAY_RELAY_SECRET"])


def test_import_from_standard_input(rundir, auth):
    text = "GATEWAY_RELAY_ID=a\nGATEWAY_RELAY_SECRET=Canary-s\n"
    done = run(rundir, "import", "main", "-", stdin=None, input=text)
    assert done.returncode == 0
    assert auth.requests[0]["secret"] == "Canary-s"
    assert "deleted" not in done.stdout
    bad = run(rundir, "import", "main", "-", stdin=None, input="x\n")
    assert "standard input:1: " in bad.stderr


ID = "GATEWAY_RELAY_ID=a\n"
SECRET = "GATEWAY_RELAY_SECRET="


@pytest.mark.parametrize("text, why", [
    (ID, "sets no GATEWAY_RELAY_SECRET"),
    (SECRET + "Canary\n", "sets no GATEWAY_RELAY_ID"),
    (ID + SECRET + "''\n", "sets no GATEWAY_RELAY_SECRET"),
    (ID + SECRET + "Canary$x\n", ":2: GATEWAY_RELAY_SECRET: a shell would"),
    (ID + SECRET + "\"Canary\n$x\"", ":3: GATEWAY_RELAY_SECRET: a shell"),
    (ID + SECRET + "~Canary\n", ":2: GATEWAY_RELAY_SECRET: a shell would"),
    (ID + SECRET + "\"Canary`id`\"\n", ":2: a shell would compute"),
    (ID + SECRET + "Canary Canary\n", ":2: a second word"),
    (ID + SECRET + "'Canary\n", ":2: the quote that begins here"),
    (ID + SECRET + "'Can\nary'\n", ":2: GATEWAY_RELAY_SECRET: a control"),
    (ID + SECRET + "Canary" * 700, "the value is too long"),
    (b"GATEWAY_RELAY_SECRET=Canary\xff\n", "not UTF-8"),
    ("set -a\n" + ID, ":1: this is no assignment"),
    ("#" * 65537, "longer than 65536 bytes"),
    (ID * 65, "more than 64 lines"),
])
def test_import_refused(rundir, tmp_path, text, why):
    done, requests = import_text(rundir, tmp_path, text)
    assert done.returncode == 1
    assert why in done.stderr and str(tmp_path / "old.env") in done.stderr
    assert requests == []
    assert_hidden(done, "Canary")


def test_import_reads_as_a_shell_does(rundir, tmp_path):
    """What sh makes of a value is what is sent."""
    values = ["plain", "'a b'", '"a b"', "a\\ b", "''a''", '"a\\"b\\\\c\\d"',
              "'a\\b'", "a'b'\"c\"\\d", "'it'\\''s'", '"\\$x\\`y"', "a#b",
              "\"a\\\nb\"", "a\\\nb", "'$x'", "a=b", "ä", "*", "a!b"]
    for value in values:
        text = f"{ID}{SECRET}{value}  # remark\n"
        shell = subprocess.run(
            ["sh", "-c", '. "$1"; printf %s "$GATEWAY_RELAY_SECRET"', "sh",
             "/dev/stdin"], input=text, capture_output=True, text=True,
            check=True, timeout=WAIT)
        _, requests = import_text(rundir, tmp_path, text)
        assert requests[0]["secret"] == shell.stdout, value


def test_import_of_what_others_can_read(rundir, auth, tmp_path):
    path = put_env_file(tmp_path / "env")
    path.chmod(0o644)
    done = run(rundir, "import", "main", str(path))
    assert done.returncode == 0
    assert "warning" in done.stderr and "mode 0644" in done.stderr
    assert len(auth.requests) == 1


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
    assert "relay-ctl enroll rev" in lines[4]
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
