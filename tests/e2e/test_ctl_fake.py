# SPDX-License-Identifier: ISC
"""relay-ctl against a scripted server: exit statuses, texts, deadlines.

The programs are taken from $RELAYD_BUILD, or build/release.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
CTL = Path(os.environ.get("RELAYD_BUILD", TOP / "build/release")) / "relay-ctl"
WAIT = 30   # seconds after which a test has failed; none takes nearly as long


def run(rundir, *args, **more):
    more.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([CTL, "-r", str(rundir), *args], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=WAIT, check=False, **more)


@pytest.fixture
def rundir(tmp_path_factory):
    """Short enough for a socket's path."""
    path = tmp_path_factory.mktemp("r")
    (path / "agent").mkdir()
    return path


class Server:
    """A Unix socket whose connections are handled by a function, in turn."""

    def __init__(self, path, handler):
        self.handler = handler
        self.requests = []
        self.failure = None
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(8)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            try:
                with conn, conn.makefile("rwb", buffering=0) as lines:
                    self.handler(self, lines)
            except OSError:
                pass    # the client left, or the script hung up
            except Exception as error:  # told by close()
                self.failure = error

    def read(self, lines):
        line = lines.readline()
        if not line:
            raise OSError("the client left")
        self.requests.append(json.loads(line))
        return self.requests[-1]

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(WAIT)
        assert self.failure is None, self.failure


@contextlib.contextmanager
def serving(path, handler):
    server = Server(path, handler)
    try:
        yield server
    finally:
        server.close()


def write(lines, *docs):
    for doc in docs:
        text = doc if isinstance(doc, str) else json.dumps(doc)
        lines.write(text.encode() + b"\n")


def answering(*docs):
    """A handler that reads one request and writes these."""
    def handler(server, lines):
        server.read(lines)
        write(lines, *docs)
    return handler


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


def put_state(rundir, pid, **process_fields):
    doc = {"schema": "relayd.state/1", "version": "0.1.0", "pid": pid,
           "updated": int(time.time()), "phase": "running",
           "processes": [{"role": "supervisor", "pid": pid,
                          "state": "running", "restarts": 0, "since": 1},
                         {"role": "engine", "pid": 0, "state": "running",
                          "restarts": 0, "since": 1, **process_fields}],
           "gateways": [{"name": "main", "state": "connected", "reason": "",
                         "since": 1}]}
    (rundir / "state.json").write_text(json.dumps(doc))


def wait_until(true):
    deadline = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def dead_pid():
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


# Usage.

@pytest.mark.parametrize("args, text", [
    ([], "which command?"),
    (["nonsense"], "status show watch tap send agent reload check"),
    (["s"], "status show send"),
    (["show"], "too few arguments"),
    (["show", "nonsense"], "gateways agents processes"),
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
    for name in ("status", "show", "watch", "tap", "send", "agent", "reload",
                 "check", "version"):
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


def let_in(directory):
    """Let every user through to a directory of ours."""
    for path in [directory, *directory.parents]:
        mode = path.stat().st_mode
        if not mode & 1 and path.stat().st_uid == os.geteuid():
            os.chmod(path, mode | 0o011)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_permission(rundir):
    let_in(rundir)
    with serving(rundir / "control.sock", answering(status(gateway()))):
        os.chmod(rundir / "control.sock", 0o660)
        done = run(rundir, "reload", preexec_fn=as_nobody)
        assert done.returncode == 1
        assert "permission denied" in done.stderr
        assert "group root" in done.stderr
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


def test_check(rundir, tmp_path):
    good = tmp_path / "relayd.yaml"
    good.write_text("gateways:\n  main:\n    url: https://c.example\n"
                    "    identities: [{platform: discord, bot_id: \"1\"}]\n")
    env = {k: v for k, v in os.environ.items()
           if not k.startswith("GATEWAY_RELAY_")}
    let_in(tmp_path)
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


# agent --exec.

def inbound(number, text="hi", session="s1", **more):
    event = {"text": text, "message_type": "text", "message_id": f"m{number}",
             "source": {"platform": "discord", "chat_id": "c1",
                        "chat_type": "dm", "user_id": "u1",
                        "user_name": "Ann", "thread_id": None}}
    event.update(more.pop("event", {}))
    return {"type": "inbound", "bufferId": f"e-{number}",
            "session_key": session, "event": event, **more}


LINK = {"type": "link", "state": "connected", "reason": ""}


class Agent:
    """relay-ctl agent, run beside the test."""

    def __init__(self, rundir, *args):
        self.process = subprocess.Popen(
            [CTL, "-r", str(rundir), "agent", *args], text=True,
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def stop(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        _, err = self.process.communicate(timeout=WAIT)
        return self.process.returncode, err


@contextlib.contextmanager
def agent(rundir, script, *args):
    """script(server, lines, n) plays relayd on the n-th attachment; the body
    waits for the Event `played` that it sets."""
    played = threading.Event()
    count = iter(range(1000))
    failures = []

    def handler(server, lines):
        n = next(count)
        hello = server.read(lines)
        assert hello["type"] == "hello"
        write(lines, LINK)
        try:
            if script(server, lines, n):
                played.set()
        except AssertionError as error:
            failures.append(error)
            played.set()
            raise
        with contextlib.suppress(OSError):
            while server.read(lines):
                pass

    with serving(rundir / "agent/main.sock", handler) as server:
        running = Agent(rundir, *args)
        try:
            assert played.wait(WAIT), "the script was not played to its end"
            assert not failures, failures
            yield running, server
        finally:
            if running.process.poll() is None:
                running.process.kill()
            running.process.communicate()


def answer(server, lines, **result):
    """Take an outbound and answer it; returns its action."""
    frame = server.read(lines)
    assert frame["type"] == "outbound", frame
    write(lines, {"type": "outbound_result", "requestId": frame["requestId"],
                  "result": result or {"success": True}})
    return frame["action"]


def expect_ack(server, lines, number):
    assert server.read(lines) == {"type": "inbound_ack",
                                  "bufferId": f"e-{number}"}


def test_agent_replies(rundir):
    seen = {}

    def script(server, lines, _n):
        write(lines, inbound(1, event={"text": "$(id) ä"}))
        seen["action"] = answer(server, lines)
        expect_ack(server, lines, 1)
        return True

    with agent(rundir, script, "--name", "n", "--platform", "discord,slack",
               "--exec", "sh", "-c",
               'cat >&2; printf "%s|%s|%s|%s\\n" "$RELAY_TEXT" '
               '"$RELAY_USER_NAME" "$RELAY_BUFFER_ID" "$RELAY_SESSION_KEY"'
               ) as (running, server):
        code, err = running.stop()
    assert code == 0
    assert server.requests[0]["agent"] == "n"
    assert server.requests[0]["platforms"] == ["discord", "slack"]
    assert seen["action"] == {"op": "send", "chat_id": "c1", "reply_to": "m1",
                              "content": "$(id) ä|Ann|e-1|s1"}
    assert json.loads(next(line for line in err.splitlines()
                           if line.startswith("{")))["text"] == "$(id) ä"


def test_agent_thread_and_silence(rundir):
    seen = {}

    def script(server, lines, _n):
        write(lines, inbound(1, text="quiet"))
        expect_ack(server, lines, 1)
        frame = inbound(2, text="loud")
        frame["event"]["source"]["thread_id"] = "t1"
        write(lines, frame)
        seen["action"] = answer(server, lines)
        expect_ack(server, lines, 2)
        return True

    with agent(rundir, script, "--exec", "sh", "-c",
               '[ "$RELAY_TEXT" = quiet ] || echo x') as (running, _server):
        running.stop()
    assert seen["action"]["metadata"] == {"thread_id": "t1"}


@pytest.mark.parametrize("result, text", [
    ({"success": False, "error": "too long"}, "was not delivered: too long"),
    ({"success": False, "error": "lost", "ambiguous": True},
     "may not have been delivered"),
])
def test_agent_answer_fails(rundir, result, text):
    def script(server, lines, _n):
        write(lines, inbound(1))
        answer(server, lines, **result)
        expect_ack(server, lines, 1)
        return True

    with agent(rundir, script, "--exec", "echo", "x") as (running, _server):
        _code, err = running.stop()
    assert text in err


def test_agent_failure_comes_back(rundir, tmp_path):
    """No acknowledgement; it attaches again and gets the event anew."""
    mark = tmp_path / "mark"

    def script(server, lines, n):
        write(lines, inbound(1, redelivered=n > 0))
        if n == 0:
            return False
        answer(server, lines)
        expect_ack(server, lines, 1)
        return True

    with agent(rundir, script, "--exec", "sh", "-c",
               f'[ -e {mark} ] || {{ : >{mark}; exit 3; }}; echo ok'
               ) as (running, server):
        _code, err = running.stop()
    kinds = [frame["type"] for frame in server.requests]
    assert kinds[:5] == ["hello", "hello", "outbound", "inbound_ack",
                         "going_idle"][:len(kinds[:5])]
    assert "exit status 3; not acknowledged, tried again in" in err


def test_agent_answers_once_over_restart(rundir, tmp_path):
    """relayd dies with the answer on its way: the event, delivered again by
    another name, is acknowledged and not answered again."""
    runs = tmp_path / "runs"

    def script(server, lines, n):
        frame = inbound(1)
        if n == 0:
            write(lines, frame)
            assert server.read(lines)["type"] == "outbound"
            raise OSError("relayd dies")
        frame["bufferId"] = "f-9"
        write(lines, frame)
        assert server.read(lines) == {"type": "inbound_ack",
                                      "bufferId": "f-9"}
        return True

    with agent(rundir, script, "--exec", "sh", "-c",
               f"echo run >>{runs}; echo x") as (running, _server):
        _code, err = running.stop()
    assert runs.read_text() == "run\n"
    assert "attached to main again" in err


def test_agent_runs_on_over_restart(rundir, tmp_path):
    """A program that runs while relayd restarts is not started twice."""
    runs, go = tmp_path / "runs", tmp_path / "go"

    def script(server, lines, n):
        write(lines, inbound(1))
        if n == 0:
            wait_until(runs.exists)
            raise OSError("relayd dies")
        go.touch()
        answer(server, lines)
        expect_ack(server, lines, 1)
        return True

    with agent(rundir, script, "--exec", "sh", "-c",
               f"echo run >>{runs}; while ! [ -e {go} ]; do sleep 0.05; done;"
               " echo x") as (running, _server):
        running.stop()
    assert runs.read_text() == "run\n"


def test_agent_timeout_kills_the_group(rundir, tmp_path):
    pid_file = tmp_path / "pid"

    def script(_server, lines, n):
        if n == 0:
            write(lines, inbound(1))
            return False
        return True     # it came back: the program was given up

    with agent(rundir, script, "--timeout", "1", "--exec", "sh", "-c",
               f"sleep 1000 & echo $! >{pid_file}; wait") as (running, _server):
        _code, err = running.stop()
    assert "no end within 1 s" in err
    pid = int(pid_file.read_text())

    def gone():
        try:    # a zombie nobody has collected is as good as gone
            return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
        except FileNotFoundError:
            return True

    wait_until(gone)


def test_agent_sessions_in_parallel(rundir, tmp_path):
    """With --jobs 2, two sessions run at once and one session in order."""
    def script(server, lines, _n):
        write(lines, inbound(1, text="one", session="a"),
              inbound(2, text="two", session="a"),
              inbound(3, text="three", session="b"))
        # The first of session a waits for session b's to have run.
        order = [answer(server, lines)["content"]]
        expect_ack(server, lines, 3)
        order.append(answer(server, lines)["content"])
        expect_ack(server, lines, 1)
        order.append(answer(server, lines)["content"])
        expect_ack(server, lines, 2)
        assert order == ["three", "one", "two"]
        return True

    mark = tmp_path / "mark"
    with agent(rundir, script, "--jobs", "2", "--exec", "sh", "-c",
               f'case $RELAY_TEXT in three) : >{mark};; '
               f'one) while ! [ -e {mark} ]; do sleep 0.05; done; sleep 0.2;; '
               'esac; echo "$RELAY_TEXT"') as (running, _server):
        running.stop()


def test_agent_interrupt(rundir, tmp_path):
    started = tmp_path / "started"

    def script(server, lines, _n):
        write(lines, inbound(1))
        wait_until(started.exists)
        write(lines, {"type": "interrupt_inbound", "session_key": "s1",
                      "chat_id": "c1"})
        expect_ack(server, lines, 1)    # and no outbound before it
        return True

    with agent(rundir, script, "--exec", "sh", "-c",
               f": >{started}; echo x; exec sleep 1000") as (running, _server):
        running.stop()


def test_agent_stops_in_order(rundir, tmp_path):
    """SIGTERM: the running program ends, its answer and the
    acknowledgement leave."""
    started, go = tmp_path / "started", tmp_path / "go"
    rest = []

    def script(server, lines, _n):
        write(lines, inbound(1))
        wait_until(started.exists)
        os.kill(holder["agent"].process.pid, signal.SIGTERM)
        assert server.read(lines) == {"type": "going_idle"}
        write(lines, inbound(2, session="s2"))  # crossed; must not be run
        go.touch()
        rest.append(answer(server, lines))
        expect_ack(server, lines, 1)
        return True

    holder = {}
    with serving(rundir / "agent/main.sock",
                 lambda server, lines: (server.read(lines),
                                        write(lines, LINK),
                                        ready.wait(WAIT),
                                        script(server, lines, 0))) as _server:
        ready = threading.Event()
        holder["agent"] = Agent(
            rundir, "--exec", "sh", "-c",
            f": >{started}; while ! [ -e {go} ]; do sleep 0.05; done; echo x")
        ready.set()
        _, err = holder["agent"].process.communicate(timeout=WAIT)
    assert holder["agent"].process.returncode == 0, err
    assert len(rest) == 1


def test_agent_bad_output_is_a_failure(rundir):
    def script(_server, lines, n):
        write(lines, inbound(1))
        return n > 0

    with agent(rundir, script, "--exec", "printf", "\\377") as (running, _s):
        _code, err = running.stop()
    assert "not UTF-8; not acknowledged" in err


def test_agent_hello_refused(rundir):
    def handler(server, lines):
        server.read(lines)
        write(lines, {"type": "error", "error": "platform x is not fronted"})
        server.read(lines)

    with serving(rundir / "agent/main.sock", handler):
        done = run(rundir, "agent", "--platform", "x", "--exec", "true")
    assert done.returncode == 1
    assert "not fronted" in done.stderr


def test_agent_names_several_gateways(rundir):
    for name in ("a", "b"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(rundir / f"agent/{name}.sock"))
    done = run(rundir, "agent", "--exec", "true")
    assert done.returncode == 2
    assert "a, b" in done.stderr or "b, a" in done.stderr


def test_agent_wrong_gateway(rundir):
    put_state(rundir, os.getpid())
    done = run(rundir, "agent", "-g", "nope", "--exec", "true")
    assert done.returncode == 1
    assert "is nope a gateway" in done.stderr


def test_agent_program_missing(rundir):
    done = run(rundir, "agent", "--exec", "/no/such/program")
    assert done.returncode == 1
    assert "cannot run /no/such/program" in done.stderr


# The examples.

def test_example_sh(rundir):
    answers = []

    def script(server, lines, _n):
        for number, text in enumerate(("$(id) `x`", "/time", "/event", "")):
            write(lines, inbound(number, text=text))
            if text:
                answers.append(answer(server, lines)["content"])
            expect_ack(server, lines, number)
        return True

    with agent(rundir, script, "--exec",
               str(TOP / "examples/agent.sh")) as (running, _server):
        running.stop()
    assert answers[0] == "You said: $(id) `x`"
    assert answers[1].endswith(" UTC.")
    assert json.loads(answers[2])["text"] == "/event"


def test_example_py(rundir):
    done = threading.Event()

    def handler(server, lines):
        assert server.read(lines)["type"] == "hello"
        write(lines, LINK, inbound(len(server.requests)))
        frame = server.read(lines)
        assert frame["action"]["content"] == "You said: hi"
        assert frame["action"]["reply_to"].startswith("m")
        assert server.read(lines)["type"] == "inbound_ack"
        if len(server.requests) < 6:
            raise OSError("relayd restarts")
        done.set()
        server.read(lines)

    with serving(rundir / "agent/main.sock", handler):
        running = subprocess.Popen(
            ["/usr/bin/python3", TOP / "examples/agent.py",
             rundir / "agent/main.sock"])
        try:
            assert done.wait(WAIT)
        finally:
            running.terminate()
            running.wait()
