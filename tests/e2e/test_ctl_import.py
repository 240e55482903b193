# SPDX-License-Identifier: ISC
"""relay-ctl import against a scripted auth.sock: what is taken from an
environment file, and what of it may be deleted."""

import subprocess

import pytest

from operator_cred import (SECRETS, _auth, assert_hidden, put_env_file)
from scripted import WAIT, answering, run, serving

__all__ = ["_auth"]

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
