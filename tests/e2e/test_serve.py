# SPDX-License-Identifier: ISC
"""relay-ctl serve: every endpoint but the metrics, what it refuses, its bounds,
and what confines it."""

import contextlib
import errno
import json
import os
import pwd
import re
import signal
import socket
import struct
import subprocess
import threading

import pytest

import inject
import scripted
from base import ROOT, TIMEOUT_S, until
from serving import Events, Serve, starting

MANUAL = (ROOT / "docs" / "relay-ctl.8").read_text()
PATHS = ("/", "/metrics", "/healthz", "/readyz", "/status.json", "/events")
# More than it takes at once.
MANY = 80


@pytest.fixture(name="start")
def _start():
    with starting() as start:
        yield start


@pytest.fixture(name="serve")
def _serve(start, relayd):
    serve = start(relayd)
    yield serve
    assert serve.process.poll() is None, serve.log
    assert serve.stop() == 0


# Endpoints.

def test_ready_is_not_alive(relayd, serve):
    assert serve.ask("/readyz").text == "main: connected\n"
    assert serve.ask("/readyz").status == 200
    assert relayd.ctl("idle", "main").returncode == 0
    until(lambda: serve.ask("/readyz").text == "main: idle\n", "idle")
    assert serve.ask("/readyz").status == 200
    assert relayd.ctl("disable", "main").returncode == 0
    answer = serve.wait_status("/readyz", 503)
    assert answer.text.startswith("main: disabled: ")
    answer = serve.wait_status("/healthz", 200)
    assert answer.text == "ok\nrelayd answers\n"


def test_status_is_what_the_socket_said(relayd, serve):
    answer = serve.ask("/status.json")
    assert answer.headers["Content-Type"] == "application/json"
    document = json.loads(answer.text)
    assert document["schema"] == "relayd.status/1"
    assert document.keys() == relayd.status().keys()


def test_index_names_the_endpoints(serve):
    answer = serve.ask("/")
    assert answer.headers["Content-Type"].startswith("text/html")
    for path in PATHS[1:]:
        assert f'href="{path}"' in answer.text
    missing = serve.ask("/nothing")
    assert missing.status == 404 and "/metrics" in missing.text


def test_events(relayd, serve):
    first = Events(serve)
    assert first.headers["content-type"] == "text/event-stream"
    assert json.loads(first.event()["data"]) == {"up": True, "reason": ""}
    relayd.ctl("idle", "main")
    change = first.event()
    assert change["event"] == "state"
    assert json.loads(change["data"])["gateway"] == "main"
    while json.loads(change["data"])["state"] != "idle":
        change = first.event()
    first.close()
    relayd.ctl("disable", "main")
    serve.wait_status("/readyz", 503)
    # What it missed comes, and nothing twice.
    again = Events(serve, last=change["id"])
    missed = again.event()
    assert json.loads(missed["data"])["state"] == "disabled"
    assert missed["id"] != change["id"]
    again.close()
    stranger = Events(serve, last="0-7")
    assert stranger.event()["event"] == "missed"
    stranger.close()


# What is refused.

@pytest.mark.parametrize("path", PATHS)
def test_every_answer_is_guarded(serve, path):
    head = serve.ask(path, "HEAD")
    assert head.status == 200 and head.text == ""
    assert head.headers["X-Content-Type-Options"] == "nosniff"
    assert head.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in head.headers["Content-Security-Policy"]
    assert not [name for name in head.headers
                if name.lower().startswith("access-control")]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS",
                                    "PATCH", "TRACE"])
def test_only_get_and_head(serve, method):
    answer = serve.ask("/metrics", method)
    assert answer.status == 405 and answer.headers["Allow"] == "GET, HEAD"


def test_unknown_methods_are_refused(serve):
    answer = serve.raw(b"BREW /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert re.match(rb"HTTP/1.[01] (400|501) ", answer), answer
    assert b"relayd_up" not in answer


@pytest.mark.parametrize("host, taken", [
    ("localhost", True), ("LocalHost:9464", True), ("127.0.0.1:1", True),
    ("[::1]:9464", True), ("[::1]", True), ("evil.example", False),
    ("localhost.evil.example", False), ("127.0.0.1.evil.example", False),
    ("127.0.0.1:9464@evil.example", False), ("", False), ("[::1", False),
    ("127.0.0.2", False),
])
def test_rebinding(serve, host, taken):
    answer = serve.ask("/metrics", headers={"Host": host})
    assert answer.status == (200 if taken else 421)
    assert ("relayd_up" in answer.text) == taken


@pytest.mark.parametrize("request_head", [
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n\r\n",
    b"GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\n\r\n",
    b"GET /metrics\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost localhost\r\n\r\n",
    b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100000
    + b"\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n" + b"X: x\r\n" * 20000
    + b"\r\n",
    b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999"
    b"\r\n\r\n" + b"x" * 100000,
])
def test_bad_and_giant_requests(serve, request_head):
    with serve.connect() as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(request_head)
        answer = serve.drain(sock)
    assert b"relayd_up" not in answer
    assert not answer or re.match(rb"HTTP/1.[01] 4", answer), answer[:80]
    assert serve.ask("/healthz").status == 200


def run_serve(relayd, *args, **env):
    return subprocess.run(
        relayd.ctl_words("serve", *args), text=True, capture_output=True,
        timeout=TIMEOUT_S, check=False, cwd="/",
        env={**relayd.environment(), **env})


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:9464"])
def test_listens_on_loopback_alone(make_relayd, address):
    done = run_serve(make_relayd({"gateways": {}}), "--listen", address)
    assert done.returncode == 2
    assert "--allow-remote" in done.stderr


@pytest.mark.parametrize("address", ["9464", "127.0.0.1", "127.0.0.1:x",
                                     "example.com:1", "127.0.0.1:99999",
                                     "::1:9464", ":9464"])
def test_bad_addresses(make_relayd, address):
    done = run_serve(make_relayd({"gateways": {}}), "--listen", address)
    assert done.returncode == 2
    assert "--listen takes" in done.stderr


def test_remote_when_that_is_meant(relayd):
    serve = Serve(relayd.ctl_words("serve", "--listen", "0.0.0.0:0",
                                   "--allow-remote"), relayd.environment())
    try:
        serve.wait_port()
        assert "for whoever reaches it" in serve.log
        answer = serve.ask("/metrics", headers={"Host": "host.example:9464"})
        assert answer.status == 200
        assert serve.stop() == 0
    finally:
        serve.close()


def test_address_in_use(relayd, serve):
    done = run_serve(relayd, "--listen", f"127.0.0.1:{serve.port}")
    assert done.returncode == 1
    assert "Address already in use" in done.stderr


# Bounds.

def test_silent_clients_give_way(serve):
    """Whoever connects and asks nothing keeps nobody out."""
    with contextlib.ExitStack() as stack:
        for _ in range(MANY):
            stack.enter_context(serve.connect())
        assert serve.ask("/healthz").status == 200
        assert serve.ask("/metrics").status == 200


def test_half_a_request_has_a_deadline(serve):
    with serve.connect() as sock:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: loc")
        assert b"200" not in serve.drain(sock)
    assert serve.ask("/healthz").status == 200


def test_many_at_once(serve):
    socks = [serve.connect() for _ in range(40)]
    for sock in socks:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    for sock in socks:
        assert b"relayd_up 1" in serve.drain(sock)
        sock.close()
    # One answer of relayd did for many of them.
    assert serve.metrics()["relayd_serve_status_requests_total", ()] < 40


def test_clients_that_leave_are_forgotten(relayd, serve):
    os.kill(relayd.role_pid("engine"), signal.SIGSTOP)
    try:
        for _ in range(30):
            with serve.connect() as sock:
                sock.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert serve.ask("/readyz").status == 503
    finally:
        os.kill(relayd.role_pid("engine"), signal.SIGCONT)
    serve.wait_status("/readyz", 200)


def test_event_clients_are_bounded(serve):
    clients = [Events(serve) for _ in range(16)]
    assert all(client.status == 200 for client in clients)
    assert serve.ask("/events").status == 503
    assert serve.metrics()["relayd_serve_event_clients", ()] == 16
    for client in clients:
        client.close()
    until(lambda: serve.metrics()["relayd_serve_event_clients", ()] == 0,
          "their end")
    last = Events(serve)
    assert last.status == 200
    last.close()


@pytest.fixture(name="fake")
def _fake(public_dir):
    """A relay-ctl serve of a scripted relayd: fake(handler)."""
    with contextlib.ExitStack() as stack:
        def start(handler):
            path = public_dir / "status.sock"
            stack.enter_context(scripted.serving(path, handler))
            path.chmod(0o666)   # a server that root starts leaves root
            serve = Serve([scripted.CTL, "-r", str(public_dir), "serve",
                           "--listen", "127.0.0.1:0"], dict(os.environ))
            stack.callback(serve.close)
            return serve.wait_port()
        yield start


def test_slow_event_clients_are_dropped(fake):
    """One that does not read is cut off; one that does gets all."""
    change = json.dumps({"event": "state", "gateway": "main",
                         "state": "connected", "phase": "connected",
                         "reason": "x" * 4000, "at": 1})
    changes, room, go = 5000, threading.Semaphore(32), threading.Event()

    def handler(server, lines):
        server.read(lines)
        scripted.write(lines, {"ok": True})
        assert go.wait(scripted.WAIT)
        for _ in range(changes):
            assert room.acquire(timeout=scripted.WAIT)
            scripted.write(lines, change)
        lines.readline()
    serve = fake(handler)
    slow, quick = Events(serve), Events(serve)
    go.set()
    read = 0
    while read < changes:
        event = quick.event()
        if event["event"] == "state":
            assert event["data"] == change
            read += 1
            room.release()
    quick.close()
    # Until its end it reads what was on its way.
    assert len(serve.drain(slow.sock)) < changes * len(change)
    assert serve.metrics()["relayd_serve_event_clients_dropped_total", ()] == 1
    slow.close()
    assert serve.stop() == 0


@pytest.mark.parametrize("reply, told", [
    ("rubbish", "is no relayd"),
    ('{"ok":false,"code":"busy","error":"too many \\u001b[31mclients"}',
     "too many \\\\x1b[31mclients"),
])
def test_a_strange_relayd(fake, reply, told):
    serve = fake(scripted.answering(reply))
    answer = serve.ask("/readyz")
    assert answer.status == 503
    assert told.replace("\\\\", "\\") in answer.text
    assert serve.ask("/status.json").status == 503
    assert serve.metrics()["relayd_up", ()] == 0
    assert serve.stop() == 0


# relayd comes and goes.

def test_relayd_restarts(relayd, start):
    serve = start(relayd)
    events = Events(serve)
    assert json.loads(events.event()["data"]) == {"up": True, "reason": ""}
    relayd.stop()
    gone = events.event()
    while gone["event"] != "relayd":
        gone = events.event()
    assert json.loads(gone["data"])["up"] is False
    serve.wait_log("event=relayd_down")
    assert serve.ask("/metrics").status == 200
    found = serve.metrics()
    assert found["relayd_up", ()] == 0
    assert not [name for name, _ in found if "gateway" in name]
    assert serve.ask("/readyz").status == 503
    answer = serve.ask("/status.json")
    assert answer.status == 503
    assert json.loads(answer.text)["ok"] is False
    answer = serve.ask("/healthz")
    assert answer.status == 200 and "not running" in answer.text
    mark = len(serve.lines)
    relayd.start(wait="connected")
    serve.wait_log("event=relayd_up", since=mark)
    serve.wait_status("/readyz", 200)
    back = events.event()
    assert json.loads(back["data"])["up"] is True
    events.close()
    assert serve.metrics()["relayd_up", ()] == 1
    assert serve.stop() == 0


def test_engine_killed(relayd, start):
    serve = start(relayd)
    relayd.kill_and_wait("engine")
    serve.wait_log("event=relayd_down")
    serve.wait_status("/readyz", 200)
    assert serve.stop() == 0


def test_before_relayd(make_relayd, connector, start):
    relayd = make_relayd().connect_to(connector)
    serve = start(relayd)
    assert serve.ask("/readyz").status == 503
    relayd.start(wait="connected")
    serve.wait_status("/readyz", 200)
    assert serve.stop() == 0


# The process.

def test_confined(start, relayd):
    serve = start(relayd, env={"GATEWAY_RELAY_SECRET": "canary"})
    with open(f"/proc/{serve.process.pid}/environ", "rb") as file:
        assert b"canary" not in file.read()
    status = dict(line.split(":\t", 1) for line in open(
        f"/proc/{serve.process.pid}/status", encoding="utf-8")
        if ":\t" in line)
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"
    for name in ("CapEff", "CapPrm", "CapInh"):
        assert int(status[name], 16) == 0


def connect_as(serve, path):
    """Connect to a Unix socket as the process itself; 0, or -errno."""
    with inject.Puppet(serve.process.pid) as puppet:
        fd = puppet.call("socket", socket.AF_UNIX, socket.SOCK_STREAM, 0)
        assert fd >= 0
        address = struct.pack("=H108s", socket.AF_UNIX, str(path).encode())
        answer = puppet.call("connect", fd, address, len(address))
        assert puppet.call("close", fd) == 0
    return answer


@pytest.mark.root
def test_root_is_left(start, relayd):
    """Whoever takes over a server that root started does not reach what is
    for root: credentials."""
    reason = inject.cannot()
    if reason:
        pytest.skip(reason)
    serve = start(relayd)
    nobody = str(pwd.getpwnam("nobody").pw_uid)
    group = (relayd.run / "status.sock").stat().st_gid
    with open(f"/proc/{serve.process.pid}/status", encoding="utf-8") as file:
        status = dict(line.split(":", 1) for line in file)
    assert status["Uid"].split() == [nobody] * 4
    assert status["Groups"].split() == [str(group)]
    assert connect_as(serve, relayd.run / "auth.sock") == -errno.EACCES
    assert connect_as(serve, relayd.run / "status.sock") == 0
    assert serve.ask("/readyz").status == 200
    relayd.stop()
    relayd.start(wait="connected")
    serve.wait_status("/readyz", 200)
    assert serve.stop() == 0


@pytest.mark.root
def test_root_is_left_before_relayd_starts(make_relayd, connector, start):
    relayd = make_relayd({"control": {"group": "relay-operators"}})
    relayd.connect_to(connector)
    serve = start(relayd)
    with open(f"/proc/{serve.process.pid}/status", encoding="utf-8") as file:
        assert re.search(r"^Uid:\t[1-9]", file.read(), re.M)
    relayd.start(wait="connected")
    serve.wait_status("/readyz", 200)
    assert serve.stop() == 0


def test_notifies_the_service_manager(relayd, start, public_dir):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(public_dir / "n"))
        (public_dir / "n").chmod(0o666)
        manager.settimeout(TIMEOUT_S)
        serve = start(relayd, env={"NOTIFY_SOCKET": str(public_dir / "n")})
        told = manager.recv(4096)
        while told != b"READY=1":
            told = manager.recv(4096)
        assert serve.stop() == 0
        while told != b"STOPPING=1":
            told = manager.recv(4096)


INHERIT = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"] = str(os.getpid()), "1"
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_takes_the_service_managers_socket(relayd):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serve = Serve(["/usr/bin/python3", "-c", INHERIT,
                       str(listener.fileno()),
                       *relayd.ctl_words("serve", "--listen", "127.0.0.1:1")],
                      relayd.environment(), pass_fds=[listener.fileno()])
        port = listener.getsockname()[1]
    try:
        serve.wait_port()
        assert serve.port == port
        assert serve.ask("/readyz").status == 200
        assert serve.stop() == 0
    finally:
        serve.close()


def test_interrupt_ends_it(relayd, start):
    serve = start(relayd)
    serve.process.send_signal(signal.SIGINT)
    assert serve.process.wait(TIMEOUT_S) == 0


# The manual.

def test_every_endpoint_is_documented():
    for path in PATHS:
        assert f".It Pa {path}\n" in MANUAL
