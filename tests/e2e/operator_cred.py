# SPDX-License-Identifier: ISC
"""relay-ctl with credentials in hand, relay-authd's part played by a script,
and terminals for it."""

import contextlib
import fcntl
import os
import pty
import select
import subprocess
import termios

import pytest

from base import until
from scripted import CTL, WAIT, answering, serving

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


def put_env_file(path):
    path.write_text("".join(f"{k}='{v}'\n" for k, v in SECRETS.items()))
    path.chmod(0o600)
    return path


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
