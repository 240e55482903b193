# SPDX-License-Identifier: ISC
"""relay-ctl against a scripted server: exit statuses, texts, deadlines."""

import contextlib
import json
import os
import socket
import subprocess
import threading

import pytest

from base import read_stat, until
from scripted import CTL, WAIT, answering, put_state, run, serving


def gateway(name="main", state="connected", **more):
    doc = {"name": name, "state": state, "phase": state, "since": 1,
           "for_s": 192, "reason": "", "url": "wss://c.example/relay",
           "gateway_id": "gw-1", "tenant": None,
           "credential": {"source": "file", "usable": True, "age_s": 5,
                          "minted": 1, "reason": None},
           "identities": [{"platform": "discord", "bot_id": "1",
                           "descriptor": None}],
           "attempt": 0, "next_attempt_in_s": None, "last_close": None,
           "address": "192.0.2.1:443", "tls": None, "rtt_ms": 12,
           "clock_skew_s": 0, "last_heard_s": 1, "last_inbound_s": None,
           "agents": [],
           "queue": {"events": 0, "bytes": 0, "oldest_s": 0, "paused": False},
           "counters": {}}
    doc.update(more)
    return doc


def process(role="engine", **more):
    doc = {"role": role, "pid": 7, "state": "running", "restarts": 2,
           "since": 900, "pss_kb": 20480,
           "layers": {"user": "held", "chroot": "lacking", "tcp": "held"},
           "lacking": "chroot: not as root"}
    doc.update(more)
    return doc


def status(*gateways, **more):
    doc = {"ok": True, "schema": "relayd.status/1", "version": "0.1.0",
           "pid": 1, "started": 900, "now": 1000.5,
           "gateways": list(gateways), "processes": [process()]}
    doc.update(more)
    return doc


def dead_pid():
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


# Usage.

@pytest.mark.parametrize("args, text", [
    ([], "which command?"),
    (["nonsense"],
     "status explain show watch wait tap trace send action agent"),
    (["s"], "status show send"),
    (["show"], "too few arguments"),
    (["show", "nonsense"], "gateways agents sessions processes"),
    (["show", "processes", "main"], "not of a gateway"),
    (["status", "a", "b"], "too many arguments"),
    (["status", "--content"], "--content is no option here"),
    (["send", "-g"], "-g needs a value"),
    (["agent"], "--exec"),
    (["agent", "--jobs", "0", "--exec", "true"], "--jobs must be a number"),
])
def test_usage(rundir, args, text):
    done = run(rundir, *args)
    assert done.returncode == 2
    assert text in done.stderr
    assert done.stdout == ""


def test_help_names_every_command(rundir):
    done = run(rundir, "help")
    assert done.returncode == 0
    for name in ("status", "show", "watch", "tap", "trace", "send", "agent",
                 "reload", "check", "version"):
        assert f"\n  {name} " in done.stdout
        one = run(rundir, "help", name)
        assert one.returncode == 0 and f" {name}" in one.stdout


# status.

@pytest.mark.parametrize("states, code", [
    ([], 0), (["connected"], 0), (["idle", "dormant"], 0),
    (["connecting"], 150), (["connected", "retrying"], 150),
    (["retrying", "disabled"], 151), (["disabled", "connected"], 151),
    (["unprovisioned", "disabled", "retrying"], 152),
    (["stopping"], 150), (["of-the-future"], 150),
])
@pytest.mark.parametrize("json_too", [False, True])
def test_status_exit(rundir, states, code, json_too):
    doc = status(*(gateway(f"g{i}", s) for i, s in enumerate(states)))
    with serving(rundir / "control.sock", answering(doc)) as server:
        done = run(rundir, *(["--json"] if json_too else []), "status")
    assert done.returncode == code
    assert server.requests == [{"cmd": "status", "client": "0.1.0"}]
    if json_too:
        assert done.stdout == json.dumps(doc) + "\n"
    else:
        for state in states:
            assert state in done.stdout


def test_status_text(rundir):
    doc = status(
        gateway(last_inbound_s=12, agents=[{}, {}]),
        gateway("retry", "retrying", attempt=4, next_attempt_in_s=12.34,
                reason="connection \u001b[31mrefused\u0007", clock_skew_s=-90))
    with serving(rundir / "control.sock", answering(doc)):
        done = run(rundir, "stat")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["NAME", "STATE", "FOR", "URL", "AGENTS",
                                "WAITING", "LAST"]
    assert lines[1].split() == ["main", "connected", "3m12s",
                                "wss://c.example/relay", "2", "0", "12s"]
    assert lines[2].split()[-1] == "never"
    assert "attempt 4, the next in 12.3 s" in lines[3]
    assert "connection \\x1b[31mrefused\\x07" in lines[4]
    assert "clock" in lines[5]
    assert "\033" not in done.stdout and "\a" not in done.stdout
    # Aligned: the states begin in one column.
    assert lines[0].index("STATE") == lines[1].index("connected") \
        == lines[2].index("retrying")


@pytest.mark.parametrize("reason", ["no secret", "retried"])
def test_why_there_is_no_credential_is_said_once(rundir, reason):
    doc = gateway(state="unprovisioned", reason=reason, credential={
        "source": "none", "usable": False, "reason": "no secret"})
    with serving(rundir / "control.sock", answering(status(doc))):
        done = run(rundir, "status")
    assert done.returncode == 152
    assert done.stdout.count("no secret") == 1
    assert ("credential: no secret" in done.stdout) == (reason == "retried")


def test_status_of_a_thousand(rundir):
    doc = status(*(gateway(f"g{i}") for i in range(1000)))
    with serving(rundir / "control.sock", answering(doc)):
        done = run(rundir, "status")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1001


def test_other_version_is_told(rundir):
    with serving(rundir / "control.sock",
                 answering(status(gateway(), version="9.9.9"))):
        done = run(rundir, "status")
    assert done.returncode == 0
    assert "9.9.9" in done.stderr


def test_unknown_gateway(rundir):
    refusal = {"ok": False, "code": "unknown_gateway",
               "error": "no gateway is named x; there are: main"}
    with serving(rundir / "control.sock", answering(refusal)) as server:
        done = run(rundir, "status", "x")
        plain = run(rundir, "--json", "status", "x")
    assert server.requests[0]["gateway"] == "x"
    assert done.returncode == plain.returncode == 1
    assert "there are: main" in done.stderr and done.stdout == ""
    assert json.loads(plain.stdout) == refusal


@pytest.mark.parametrize("rubbish", ["", "rubbish", "[]", "{\"ok\":1}"])
def test_not_a_relayd(rundir, rubbish):
    with serving(rundir / "control.sock", answering(rubbish)):
        assert run(rundir, "status").returncode == 1


# Nobody answers.

def test_not_running(rundir):
    for command in (["status"], ["show", "agents"], ["watch"], ["reload"],
                    ["send", "c", "t"], ["agent", "--exec", "true"]):
        done = run(rundir, *command)
        assert done.returncode == 3, command
        assert "not running" in done.stderr and "start it" in done.stderr


def test_dead_pid_nobody_waited_for(rundir):
    """What is left of a supervisor whose parent does not ask how it ended."""
    with subprocess.Popen(["true"]) as child:
        until(lambda: read_stat(child.pid)["state"] == "Z", "its end")
        put_state(rundir, child.pid)
        for command in (["status"], ["explain"], ["reload"],
                        ["wait", "--for", "connected"]):
            done = run(rundir, *command)
            assert done.returncode == 3, (command, done.stderr)
            assert "relayd is not running" in done.stderr


def test_dead_pid_is_not_running(rundir):
    put_state(rundir, dead_pid(), state="restarting")
    assert run(rundir, "status").returncode == 3


def test_stale_socket_is_not_running(rundir):
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(rundir / "control.sock"))
    done = run(rundir, "status")
    assert done.returncode == 3


def test_restarting(rundir):
    put_state(rundir, os.getpid(), state="restarting", restarts=3,
              next_start_in_ms=400000)
    done = run(rundir, "status")
    assert done.returncode == 150
    assert "engine is restarting (3rd restart, next start in 6m" in done.stderr
    assert "main" in done.stdout and "connected" in done.stdout
    other = run(rundir, "reload")
    assert other.returncode == 1
    assert "engine is restarting" in other.stderr


def test_silence_has_a_deadline(rundir):
    release = threading.Event()

    def silent(server, lines):
        server.read(lines)
        release.wait(WAIT)

    put_state(rundir, os.getpid())
    with serving(rundir / "control.sock", silent):
        done = run(rundir, "status")
        release.set()
    assert done.returncode == 150
    assert "silent" in done.stderr


def as_nobody():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_permission(public_dir):
    rundir = public_dir
    with serving(rundir / "control.sock", answering(status(gateway()))):
        os.chmod(rundir / "control.sock", 0o660)
        done = run(rundir, "reload", preexec_fn=as_nobody)
        assert done.returncode == 1
        assert "permission denied" in done.stderr
        # Nobody is told to join the group of root.
        assert "for root alone" in done.stderr
        assert "control.group" in done.stderr and "usermod" not in done.stderr
        # What only reads may use the other socket.
        with serving(rundir / "status.sock", answering(status(gateway()))):
            os.chmod(rundir / "status.sock", 0o666)
            done = run(rundir, "status", preexec_fn=as_nobody)
    assert done.returncode == 0
    assert "connected" in done.stdout


# show.

def test_show_agents_none(rundir):
    with serving(rundir / "control.sock", answering(status(gateway()))):
        done = run(rundir, "show", "agents")
    assert done.returncode == 0
    assert done.stdout == ("no agents attached to main; socket: "
                           f"{rundir}/agent/main.sock\n")


def test_show_agents(rundir):
    agent = {"number": 1, "name": "日本", "uid": 1000, "pid": 4711,
             "platforms": ["discord", "slack"], "since_s": 61, "window": 64,
             "unacknowledged": 2, "queued": 3, "sessions": 4, "outstanding": 5,
             "draining": True, "delivered": 6, "acknowledged": 7}
    with serving(rundir / "control.sock",
                 answering(status(gateway(agents=[agent])))):
        done = run(rundir, "show", "ag")
    head, row, note = done.stdout.splitlines()
    assert row.split() == ["main", "1", "日本", "1000/4711", "discord,slack",
                           "1m01s", "64", "2", "3", "4", "5", "6", "7"]
    assert "draining" in note
    # Two wide characters take four columns: two fewer characters.
    assert row.index("1000/4711") == head.index("UID/PID") - 2


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "no_such", ""])
def test_alignment_does_not_depend_on_the_locale(rundir, locale):
    """CJK and emoji take two columns, a combining accent none."""
    names = ["日本語", "plug 🔌", "e\u0301t\u0301", "plain"]
    columns = [6, 7, 2, 5]
    agents = [{"number": i, "name": name, "uid": 1000, "pid": 4711,
               "platforms": ["discord"]} for i, name in enumerate(names)]
    env = {k: v for k, v in os.environ.items()
           if k != "LANG" and not k.startswith("LC_")}
    with serving(rundir / "control.sock",
                 answering(status(gateway(agents=agents)))):
        done = run(rundir, "show", "agents", env={**env, "LC_ALL": locale})
    head, *rows = done.stdout.splitlines()
    for name, width, row in zip(names, columns, rows):
        assert name in row
        assert row.index("1000/4711") \
            == head.index("UID/PID") - width + len(name)


def test_show_processes(rundir):
    doc = status(processes=[process(), process("authd", pid=None,
                                               state="restarting", since=None,
                                               pss_kb=None, lacking=None)])
    with serving(rundir / "control.sock", answering(doc)):
        done = run(rundir, "show", "processes")
    lines = done.stdout.splitlines()
    assert lines[1].split() == ["engine", "running", "7", "1m40s", "2", "20",
                                "MiB", "user", "tcp"]
    assert "lacking: chroot: not as root" in lines[2]
    assert lines[3].split()[:3] == ["authd", "restarting", "-"]


def test_show_gateways(rundir):
    with serving(rundir / "control.sock", answering(status(gateway()))):
        done = run(rundir, "show", "gateways", "main")
    assert done.stdout.splitlines()[1].split() == [
        "main", "connected", "3m12s", "gw-1", "file", "5s", "discord", "12",
        "ms", "1s", "192.0.2.1:443"]


# send, reload, streams, check.

def test_send(rundir):
    sent = {"ok": True, "result": {"success": True, "message_id": "m7"}}
    with serving(rundir / "control.sock", answering(sent)) as server:
        done = run(rundir, "send", "-g", "main", "c1", "hällo \"you\"",
                   "--reply-to", "m1")
        piped = run(rundir, "send", "c1", "-", stdin=None,
                    input="two\nlines\n")
    assert done.returncode == piped.returncode == 0
    assert done.stdout == "sent, message m7\n"
    assert server.requests[0] == {
        "cmd": "send", "client": "0.1.0", "gateway": "main",
        "action": {"op": "send", "chat_id": "c1", "content": "hällo \"you\"",
                   "reply_to": "m1"}}
    assert server.requests[1]["action"]["content"] == "two\nlines"


def test_send_failed(rundir):
    failed = {"ok": False, "code": "failed", "error": "timed out",
              "result": {"success": False, "ambiguous": True}}
    with serving(rundir / "control.sock", answering(failed)):
        done = run(rundir, "send", "c1", "x")
    assert done.returncode == 1
    assert "timed out" in done.stderr
    assert "may have been delivered" in done.stderr


@pytest.mark.parametrize("args", [
    ("send", "c1", "x"), ("action", "main", '{"op":"send"}')])
@pytest.mark.parametrize("by, its", [
    ({"by": "connector"}, True), ({"by": "relayd"}, False), ({}, False)])
def test_whose_words_they_are(rundir, args, by, its):
    """A connector's are told from relayd's own."""
    failed = {"ok": False, "code": "failed", "error": "it is so", **by}
    with serving(rundir / "control.sock", answering(failed)):
        done = run(rundir, *args)
    assert done.returncode == 1
    assert done.stderr.split("\n")[0] == \
        f"relay-ctl: {'the connector says: ' if its else ''}it is so"


@pytest.mark.parametrize("text, why", [
    (b"", "no text"), (b"\n", "no text"), (b"\xff", "not UTF-8"),
    (b"x" * 65537, "longer than 65536"),
])
def test_send_bad_text(rundir, text, why):
    done = subprocess.run([CTL, "-r", str(rundir), "send", "c1"], input=text,
                          capture_output=True, timeout=WAIT, check=False)
    assert done.returncode == 1
    assert why in done.stderr.decode()


def test_reload(rundir):
    with serving(rundir / "control.sock",
                 answering({"ok": True, "text": "1 gateway changed"})):
        done = run(rundir, "reload")
    assert (done.returncode, done.stdout) == (0, "1 gateway changed\n")
    with contextlib.suppress(FileNotFoundError):
        (rundir / "control.sock").unlink()
    with serving(rundir / "control.sock",
                 answering({"ok": False, "code": "refused",
                            "error": "relayd.yaml:3:1: wrong"})):
        done = run(rundir, "reload")
    assert done.returncode == 1
    assert "relayd.yaml:3:1: wrong" in done.stderr


def test_watch_and_tap(rundir):
    change = {"event": "state", "gateway": "main", "state": "retrying",
              "phase": "waiting", "reason": "gone\u001b", "at": 1000.25}
    with serving(rundir / "control.sock", answering({"ok": True}, change)):
        done = run(rundir, "watch")
        plain = run(rundir, "--json", "watch")
    assert done.returncode == plain.returncode == 1     # the stream ended
    assert done.stdout.endswith(
        " main retrying (waiting): gone\\x1b\n")
    assert json.loads(plain.stdout) == change
    (rundir / "control.sock").unlink()
    lines = [{"tap": "to_agent", "gateway": "main", "at": 1000.25,
              "type": "inbound", "bytes": 734, "bufferId": "e-1",
              "session_key": "s", "line": {"type": "inbound"}},
             {"tap": "lost", "n": 3}]
    with serving(rundir / "control.sock",
                 answering({"ok": True}, *lines)) as server:
        done = run(rundir, "tap", "main", "--content")
    assert server.requests[0]["content"] is True
    assert ("main relayd > agent     inbound 734 B buffer=e-1 session=s\n"
            in done.stdout)
    assert '{"type": "inbound"}' in done.stdout
    assert "3 lines left out" in done.stdout


def test_not_permitted(rundir):
    with serving(rundir / "control.sock",
                 answering({"ok": False, "code": "not_permitted",
                            "error": "not on status.sock"})):
        assert run(rundir, "tap").returncode == 1


def test_check(rundir, public_dir):
    good = public_dir / "relayd.yaml"
    good.write_text("gateways:\n  main:\n    url: https://c.example\n"
                    "    identities: [{platform: discord, bot_id: \"1\"}]\n")
    env = {k: v for k, v in os.environ.items()
           if not k.startswith("GATEWAY_RELAY_")}
    # As root, that others can write in /tmp would be a mistake, too.
    user = {"preexec_fn": as_nobody} if os.geteuid() == 0 else {}
    done = run(rundir, "check", "-f", str(good), env=env, **user)
    assert (done.returncode, done.stdout) == (0, "OK\n"), done.stderr
    done = run(rundir, "--json", "check", "-f", str(good), env=env, **user)
    assert json.loads(done.stdout) == {"ok": True, "file": str(good),
                                       "gateways": 1}


def test_check_finds_mistakes(rundir, tmp_path):
    bad = tmp_path / "relayd.yaml"
    bad.write_text("gateways: 3\n")
    done = run(rundir, "check", "--file", str(bad))
    assert done.returncode == 1
    assert str(tmp_path) in done.stderr or "relayd.yaml" in done.stderr
    assert run(rundir, "check", "-f", str(tmp_path / "no")).returncode == 1
