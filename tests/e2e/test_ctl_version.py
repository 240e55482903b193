# SPDX-License-Identifier: ISC
"""relay-ctl and relayd of different versions: each says so in a sentence."""

import json
import os
import subprocess

import pytest

from base import BUILD
from scripted import CTL, WAIT, answering, put_state, run, serving, write
from test_ctl_fake import gateway, status

OURS = subprocess.run([CTL, "version"], text=True, capture_output=True,
                      check=True, timeout=WAIT).stdout.split()[1]
# As long, so that it can be put in its place.
OTHER = "9.9.9"
assert len(OTHER) == len(OURS) and OTHER != OURS

OLDER = (f"relay-ctl: relayd is {OTHER}, this relay-ctl {OURS}: fields may be "
         "missing; use the one that came with it\n")
CONTROL = {"ok": True, "schema": "relayd.control/1", "version": OTHER}
CHANGE = {"event": "state", "gateway": "main", "state": "idle",
          "phase": "idle", "reason": "", "at": 1.5}


def unknown(schema, version=OTHER):
    return (f"relay-ctl: relayd is {version} and speaks {schema}, which this "
            f"relay-ctl {OURS} does not know; use the one that came with it\n")


def asked(rundir, *args, reply, sock="control.sock", streams=()):
    with serving(rundir / sock, answering(reply, *streams)):
        done = run(rundir, *args)
    (rundir / sock).unlink()
    return done


ASKING = [
    (["status"], status(gateway(state="retrying"), version=OTHER), 150),
    (["explain"], status(gateway(), version=OTHER), 0),
    (["show", "processes"], status(gateway(), version=OTHER), 0),
    (["show", "sessions"],
     {**CONTROL, "total": 0, "left_out": 0, "sessions": []}, 0),
    (["wake", "main"], CONTROL, 0),
    (["reload"], {**CONTROL, "text": "nothing"}, 0),
    (["send", "c", "x"], {**CONTROL, "result": {"success": True}}, 0),
]


@pytest.mark.parametrize("args, reply, code", ASKING,
                         ids=lambda a: a[0] if isinstance(a, list) else "")
def test_another_version_goes_on(rundir, args, reply, code):
    done = asked(rundir, *args, reply=reply)
    assert (done.returncode, done.stderr) == (code, OLDER)
    assert done.stdout
    done = asked(rundir, "--json", *args, reply=reply)
    assert (done.returncode, done.stderr) == (code, OLDER)
    assert json.loads(done.stdout) == reply
    # Of our own, or of one that does not tell: no word.
    for version in ({"version": OURS}, {"version": None}):
        done = asked(rundir, *args, reply={**reply, **version})
        assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.parametrize("schema", ["relayd.status/2", "relayd.status/10",
                                    "relayd.status/", "other/1", ""])
@pytest.mark.parametrize("args, reply, code", ASKING,
                         ids=lambda a: a[0] if isinstance(a, list) else "")
def test_another_schema_is_refused(rundir, args, reply, code, schema):
    del code
    reply = {**reply, "schema": schema}
    done = asked(rundir, *args, reply=reply)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == unknown(schema)
    # What the socket said is for those who can read it.
    done = asked(rundir, "--json", *args, reply=reply)
    assert (done.returncode, done.stderr) == (1, unknown(schema))
    assert json.loads(done.stdout) == reply


def test_a_minor_version_is_known(rundir):
    reply = status(gateway(), schema="relayd.status/1.7", version=OURS)
    done = asked(rundir, "status", reply=reply)
    assert (done.returncode, done.stderr) == (0, "")


def test_streams(rundir):
    done = asked(rundir, "watch", reply=CONTROL, streams=[CHANGE])
    assert done.stderr == OLDER + "relay-ctl: relayd ended the stream\n"
    assert " main idle" in done.stdout
    later = {**CONTROL, "schema": "relayd.control/2"}
    done = asked(rundir, "watch", reply=later, streams=[CHANGE])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == unknown("relayd.control/2")


def test_it_is_said_once(rundir):
    """wait asks twice, on two connections."""
    def handler(server, lines):
        watching = server.read(lines)["cmd"] == "watch"
        write(lines, CONTROL if watching
              else status(gateway(), version=OTHER))

    with serving(rundir / "control.sock", handler) as server:
        done = run(rundir, "wait", "--for", "connected")
    assert len(server.requests) == 2
    assert (done.returncode, done.stderr) == (0, OLDER)


def test_wait_for_another_schema_ends(rundir):
    put_state(rundir, os.getpid())
    reply = {**CONTROL, "schema": "relayd.control/2"}
    done = asked(rundir, "wait", "--for", "connected", reply=reply)
    assert done.returncode == 1
    assert done.stderr == unknown("relayd.control/2")


def test_credentials(rundir):
    reply = {"ok": True, "version": OTHER, "credentials": [],
             "schema": "relayauthd.credentials/1"}
    done = asked(rundir, "show", "credentials", reply=reply, sock="auth.sock")
    assert (done.returncode, done.stderr) == (0, OLDER)
    reply["schema"] = "relayauthd.credentials/2"
    done = asked(rundir, "show", "credentials", reply=reply, sock="auth.sock")
    assert (done.returncode, done.stderr) == (1, unknown(reply["schema"]))


@pytest.mark.parametrize("code, sentences", [
    ("refused", 1), ("unknown_command", 2)])
def test_refusals(rundir, code, sentences):
    """One that is for the version says so itself."""
    done = asked(rundir, "reload", reply={
        **CONTROL, "ok": False, "code": code, "error": "the words of relayd"})
    assert done.returncode == 1
    assert done.stderr.endswith("relay-ctl: the words of relayd\n")
    assert done.stderr.count("\n") == sentences


def test_foreign_words_are_made_safe(rundir):
    evil = "\x1b[31m\x07\n" + "x" * 1000
    for reply in (status(gateway(), version=evil),
                  status(gateway(), version=evil, schema=evil),
                  status(gateway(), schema=evil * 10),
                  status(gateway(), schema=["x"])):
        done = asked(rundir, "status", reply=reply)
        assert done.stderr.count("\n") == 1 and len(done.stderr) < 600
        assert "\x1b" not in done.stderr and "\x07" not in done.stderr


def test_a_state_file_of_another_schema(rundir):
    put_state(rundir, os.getpid())
    path = rundir / "state.json"
    path.write_text(path.read_text().replace("relayd.state/1",
                                             "relayd.state/2"))
    for command in ("status", "reload"):
        done = run(rundir, command)
        assert done.returncode == 1, "somebody may be running"
        assert "another version than this relay-ctl" in done.stderr


# Real ones.

@pytest.fixture(name="other_ctl", scope="module")
def _other_ctl(daemon):
    """A relay-ctl of another version: built the same, but for the text."""
    path = daemon.make_dir() / "relay-ctl"
    program = (BUILD / "relay-ctl").read_bytes()
    old, new = (f"\0{v}\0".encode() for v in (OURS, OTHER))
    assert old in program
    path.write_bytes(program.replace(old, new))
    path.chmod(0o755)
    yield path
    path.unlink()
    path.parent.rmdir()


def test_real_ones(relayd, other_ctl):
    def ctl(*args):
        return subprocess.run(
            [other_ctl, *relayd.ctl_words(*args)[-len(args) - 2:]], text=True,
            capture_output=True, timeout=WAIT, check=False, cwd="/",
            stdin=subprocess.DEVNULL, env=relayd.environment())

    assert ctl("version").stdout == f"relay-ctl {OTHER}\n"
    sentence = (f"relay-ctl: relayd is {OURS}, this relay-ctl {OTHER}: fields "
                "may be missing; use the one that came with it\n")
    for args in (["status"], ["show", "sessions"], ["explain"],
                 ["wait", "--for", "connected"], ["show", "agents"]):
        done = ctl(*args)
        assert (done.returncode, done.stderr) == (0, sentence), done
    # Commands of root's, or of whom relayd was started as.
    if relayd.daemon.uid == os.geteuid():
        done = ctl("show", "credentials")
        assert (done.returncode, done.stderr) == (0, sentence), done
    # What changes something is not carried out; relayd says why.
    done = ctl("disable", "main")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1
    for word in (OURS, OTHER, "restart relayd"):
        assert word in done.stderr
    assert relayd.gateway()["state"] == "connected"
