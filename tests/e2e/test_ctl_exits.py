# SPDX-License-Identifier: ISC
"""Every exit status of every command that relay-ctl(8) lists, and no other;
and with --json, what the socket said, to the byte."""

import contextlib
import json
import re
import signal
import subprocess

import pytest

from operator_cred import Terminal
from relay import ROOT, TIMEOUT_S
from scripted import CTL, answering, run, serving, write
from test_ctl_fake import as_nobody, gateway, status

# What a later version adds, and spaces where relayd writes none: a line that
# is written anew would not be the same.
MORE = {"of_the_future": [1.50, {"é": "\u2028"}]}
REFUSAL = {"ok": False, "code": "failed", "error": "it is so", **MORE}
STATES = {0: ["connected", "idle", "dormant"],
          150: ["connected", "retrying"], 151: ["retrying", "disabled"],
          152: ["disabled", "unprovisioned"]}
CHANGE = {"event": "state", "gateway": "main", "state": "retrying",
          "phase": "waiting", "reason": "", "at": 1000.25, **MORE}
TAPPED = {"tap": "to_agent", "gateway": "main", "at": 1.5, "type": "inbound",
          "bytes": 7, **MORE}
COUNTERS = {"ok": True, "now": 1.5, "gateways": [
    {"name": "main", "state": "connected", "for_s": 1, "reason": "",
     "agents": 0, "unacknowledged": 0, "waiting": 0, "oldest_s": 0,
     "counters": {"dials": 1}}]}
TRACED = {"ok": True, "now": 1.5, "gateway": "main", "bufferId": "b1",
          "connector_id": None, "stages": [{"stage": "arrived", "at": 1.25}],
          "complete": True, "state": "waiting", "reason": "so", **MORE}
SENT = {"ok": True, "result": {"success": True, "message_id": "m1"}}
DONE = {"ok": True, "events": 1, "text": "done", "gateway": "main", **MORE}
CREDENTIALS = {"ok": True, "schema": "relayauthd.credentials/1",
               "credentials": [{"gateway": "main", "source": "file",
                                "gateway_id": "gw", "tenant": "", "age_s": 1,
                                "usable": True, "tokens_minted": 1}], **MORE}


def document(code=0):
    return status(*(gateway(f"g{i}", s) for i, s in enumerate(STATES[code])),
                  **MORE)


class Case:
    """A command, where it is asked, and what is answered when all is well;
    `end` is its exit status then, `streams` the lines that follow."""

    def __init__(self, *args, reply=None, sock="control.sock", end=0,
                 streams=(), stdin=None):
        self.args = args
        self.reply = DONE if reply is None else reply
        self.sock = sock
        self.end = end
        self.streams = streams
        self.stdin = stdin
        self.id = " ".join(a for a in args if not a.startswith("-"))


ASKING = [
    Case("status", reply=document()),
    Case("explain", reply=document()),
    *(Case("show", what, reply=document())
      for what in ("gateways", "agents", "processes")),
    Case("show", "sessions", reply={"ok": True, "total": 0, "left_out": 0,
                                    "sessions": [], **MORE}),
    Case("show", "counters", reply=COUNTERS),
    Case("show", "quarantine", reply={"ok": True, "now": 1.5, "total": 0,
                                      "left_out": 0, "events": [], **MORE}),
    Case("show", "credentials", reply=CREDENTIALS, sock="auth.sock"),
    Case("watch", end=1, streams=[CHANGE, CHANGE]),
    Case("tap", end=1, streams=[TAPPED, {"tap": "lost", "n": 3, **MORE}]),
    Case("trace", "b1", reply=TRACED),
    Case("wait", "--for", "connected,idle,dormant", reply=document()),
    Case("send", "c1", "text", reply=SENT),
    Case("action", "main", '{"op":"send"}', reply=SENT),
    *(Case(cmd, "main") for cmd in ("idle", "wake", "dormant", "enable",
                                    "disable", "reconnect")),
    Case("interrupt", "main", "key"),
    Case("requeue", "main", "all"),
    Case("drop", "main", "all", "-y"),
    Case("reload"),
    Case("log", reply={"ok": True, "level": "info", "configured": "info",
                       "format": "logfmt", **MORE}),
    Case("enroll", "main", "--token-file", "-", sock="auth.sock",
         stdin="et-token\n"),
    Case("import", "main", "-", sock="auth.sock",
         stdin="GATEWAY_RELAY_ID=gw\nGATEWAY_RELAY_SECRET=s3cret\n"),
    Case("forget", "main", "-y", sock="auth.sock"),
]
# Those for which relayd is not asked, or not with a line of control.sock.
OTHERS = {"agent", "bundle", "check", "help", "serve", "version"}
COMMANDS = sorted({case.args[0] for case in ASKING} | OTHERS)


def listed():
    """{command: exit statuses} of the manual's table."""
    text = (ROOT / "docs/relay-ctl.8").read_text()
    text = text[text.index(".Sh EXIT STATUS"):]
    text = text[text.index(".Bl -column"):text.index(".Sh EXAMPLES")]
    return {name: set(map(int, codes.split())) for name, codes
            in re.findall(r"^\.It Cm (\w+) Ta ([\d ]+)$", text, re.M)}


# (command, exit status): those that a test here has seen.
SEEN = set()


def ended(done, command, code):
    assert done.returncode == code, (command, done.stdout, done.stderr)
    SEEN.add((command, code))
    return done


def call(rundir, case, *more, **kwargs):
    if case.stdin is not None:
        kwargs.update(stdin=None, input=case.stdin)
    return run(rundir, *more, *case.args, **kwargs)


def line_of(document):
    return json.dumps(document, ensure_ascii=False, indent=None,
                      separators=(", ", " : "))


def serve(rundir, case, reply, streams=()):
    """A socket where that is answered to whatever is asked; wait first opens
    a stream, in which nothing comes."""
    def handler(server, lines):
        asked = server.read(lines)["cmd"]
        if case.args[0] == "wait" and asked == "watch" and reply["ok"]:
            write(lines, '{"ok":true}')
        else:
            write(lines, *map(line_of, (reply, *streams)))
    return serving(rundir / case.sock, handler)


def params(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.id)


@params(ASKING)
def test_done(rundir, case):
    command = case.args[0]
    with serve(rundir, case, case.reply, case.streams):
        ended(call(rundir, case), command, case.end)
        done = ended(call(rundir, case, "--json"), command, case.end)
    said = case.streams or [case.reply]
    assert done.stdout == "".join(line_of(d) + "\n" for d in said)


@params(ASKING)
def test_refused(rundir, case):
    with serve(rundir, case, REFUSAL):
        plain = ended(call(rundir, case), case.args[0], 1)
        done = ended(call(rundir, case, "--json"), case.args[0], 1)
    assert "it is so" in plain.stderr and plain.stdout == ""
    assert done.stdout == line_of(REFUSAL) + "\n"


@pytest.mark.parametrize("code", sorted(STATES))
@pytest.mark.parametrize("as_json", [False, True])
def test_status(rundir, code, as_json):
    doc = document(code)
    with serving(rundir / "control.sock", answering(line_of(doc))):
        done = ended(run(rundir, *["--json"] * as_json, "status"),
                     "status", code)
    if as_json:
        assert done.stdout == line_of(doc) + "\n"


@params(ASKING)
def test_not_running(rundir, case):
    for more in ((), ("--json",)):
        done = ended(call(rundir, case, *more), case.args[0], 3)
        assert "not running" in done.stderr
        # An explanation there is all the same.
        assert (done.stdout == "") is (case.args[0] != "explain" or
                                       more != ()), done


@pytest.mark.parametrize("command", COMMANDS)
def test_usage(rundir, command):
    for more in ((), ("--json",)):
        done = ended(run(rundir, *more, command, "--nonsense"), command, 2)
        assert done.stdout == "" and "--nonsense" in done.stderr


@params(ASKING)
def test_what_is_no_reply(rundir, case):
    """Neither is it printed, nor taken for one."""
    for rubbish in ("", "no JSON", "[]"):
        with serving(rundir / case.sock, answering(rubbish)):
            done = call(rundir, case, "--json")
        (rundir / case.sock).unlink()
        assert done.returncode == 1 and done.stdout == "", done


def test_the_screen_is_left(rundir):
    def handler(server, lines):
        asked = server.read(lines)["cmd"]
        write(lines, '{"ok":true}' if asked == "watch" else COUNTERS)
        if asked == "watch":
            return
        with contextlib.suppress(OSError):
            while True:
                server.read(lines)
                write(lines, COUNTERS)

    with serving(rundir / "control.sock", handler), \
            contextlib.closing(Terminal(rundir, "watch",
                                        TERM="xterm")) as terminal:
        terminal.wait_for("NAME")
        terminal.type("q")
        assert terminal.wait() == 0
    SEEN.add(("watch", 0))


# Commands of which each is a case of its own.

def attach(rundir, reply):
    """relay-ctl agent at a socket where this is answered to its hello; the
    process, when that was read."""
    words = [CTL, "-r", str(rundir), "agent", "-g", "main", "--exec", "true"]
    with serving(rundir / "agent" / "main.sock", reply):
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            yield process
            out, err = process.communicate(timeout=TIMEOUT_S)
            assert out == ""
    yield subprocess.CompletedProcess(words, process.returncode, out, err)


def test_agent(rundir):
    def greeting(server, lines):
        server.read(lines)
        write(lines, {"type": "descriptor", "descriptor": {}})
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(OSError):
            server.read(lines)

    running = attach(rundir, greeting)
    process = next(running)
    ended(next(running), "agent", 0)
    (rundir / "agent" / "main.sock").unlink()
    refused = attach(rundir, lambda server, lines: server.read(lines))
    next(refused)
    done = ended(next(refused), "agent", 1)
    assert "closed the connection" in done.stderr
    (rundir / "agent" / "main.sock").unlink()
    ended(run(rundir, "agent", "-g", "main", "--exec", "true"), "agent", 3)


def test_check(rundir, public_dir):
    user = {"preexec_fn": as_nobody}
    with contextlib.suppress(PermissionError):
        as_root = subprocess.run(["id", "-u"], text=True, check=True,
                                 capture_output=True).stdout == "0\n"
        user = user if as_root else {}
    path = public_dir / "relayd.yaml"
    for text, code in (
            ("gateways:\n  main:\n    url: https://c.example\n    identities: "
             "[{platform: discord, bot_id: \"1\"}]\n", 0),
            ("gateways: 3\n", 1)):
        path.write_text(text)
        ended(run(rundir, "check", "-f", str(path), **user), "check", code)
        done = ended(run(rundir, "--json", "check", "-f", str(path), **user),
                     "check", code)
        assert json.loads(done.stdout)["ok"] is (code == 0)
        assert done.stdout.count("\n") == 1


def test_bundle(rundir, public_dir):
    path = public_dir / "bundle.txt"
    words = ["bundle", "-f", str(public_dir / "none.yaml"), str(path)]
    ended(run(rundir, *words), "bundle", 0)
    done = ended(run(rundir, *words), "bundle", 1)
    assert str(path) in done.stderr


def test_serve(rundir):
    def listens(port):
        return subprocess.Popen(
            [CTL, "-r", str(rundir), "serve", "--listen", f"127.0.0.1:{port}"],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    with listens(0) as server:
        line = next(l for l in server.stderr if "event=listening" in l)
        port = re.search(r"127\.0\.0\.1:(\d+)", line)[1]
        with listens(port) as second:
            said = second.communicate(timeout=TIMEOUT_S)[1]
        ended(subprocess.CompletedProcess(
            second.args, second.returncode, "", said), "serve", 1)
        server.terminate()
        said = server.communicate(timeout=TIMEOUT_S)[1]
        ended(subprocess.CompletedProcess(
            server.args, server.returncode, "", said), "serve", 0)


def test_help_and_version(rundir):
    assert ended(run(rundir, "help"), "help", 0).stdout
    version = ended(run(rundir, "version"), "version", 0).stdout.split()[1]
    done = ended(run(rundir, "--json", "version"), "version", 0)
    assert json.loads(done.stdout) == {
        "ok": True, "schema": "relayd.status/1", "version": version}


def test_every_command_is_here(rundir):
    named = re.findall(r"^  (\w+) ", run(rundir, "help").stdout, re.M)
    assert sorted(named) == COMMANDS
    assert listed().keys() == set(COMMANDS)


def test_each_status_that_is_listed_was_seen(request):
    """Only when all of this file was run, since it is what the others saw."""
    chosen = {item.name for item in request.session.items
              if item.path == request.path}
    everything = {name for name in globals() if name.startswith("test_")}
    if {name.partition("[")[0] for name in chosen} != everything:
        pytest.skip("needs all tests of the file")
    told = {(c, code) for c, codes in listed().items() for code in codes}
    assert told == SEEN
