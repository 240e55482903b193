# SPDX-License-Identifier: ISC
"""The process that speaks HTTP once: hostile answers, its walls, its ends."""

import contextlib
import errno
import os
import random
import re
import signal
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

import exchanges
import inject
import relay
from connector import Connector, answers
from connector.elsewhere import Elsewhere
from issued import (EXCHANGE_TIMEOUT_S, TENANT, ask, credential, enroll,
                    provisioned, stored, ticket, trust_system, wait_reason,
                    write_token)
from proxy import Proxy
from relay import until
from test_outside import uid_of

# Those that take an exchange's whole time, 15 s.
LONG = {"silence", "drips_for_ever", "stalled_in_the_body"}
# An exchange is a TLS library and 64 KiB of answer.
MOST_KIB = 40 * 1024
# What relay-authd may have grown by after all of that.
GROWN_KIB = 2048
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")


class Host:
    """A daemon whose gateway is being enrolled again and again."""

    def __init__(self, daemon, ca_dir, **settings):
        self.connector = Connector(ca_dir, tls="good", **settings)
        self.connector.register("gw-test", "0" * 64, {"discord": "1234"})
        self.connector.token = self.connector.http.idp.issue(TENANT)
        self.elsewhere = Elsewhere()
        self.relayd = relay.Relayd(daemon)

    def __enter__(self):
        self.connector.start()
        self.elsewhere.__enter__()
        http = self.connector.http
        http.elsewhere = self.elsewhere.http_url
        http.always["provision"] = (403, {"error": "enrol instead"})
        provisioned(self.relayd, self.connector).start()
        wait_reason(self.relayd, "403")
        self.authd = self.relayd.role_pid("authd")
        self.memory = exchanges.now_kib(self.authd)
        return self

    def __exit__(self, *_exception):
        self.relayd.destroy()
        self.elsewhere.__exit__()
        self.connector.stop()

    def enroll(self, answer):
        """One enrolment that is answered so; what relay-authd replies."""
        http = self.connector.http
        http.script["enroll"].clear()
        http.script["enroll"].append(answer)
        return ask(self.relayd, {"cmd": "enroll", "gateway": "main",
                                 "token": ticket(self.connector)})

    def assert_sound(self):
        """Nothing died, nothing is left, nothing has grown."""
        exchanges.wait_none(self.relayd)
        assert self.relayd.role_pid("authd") == self.authd
        grown = exchanges.now_kib(self.authd) - self.memory
        assert relay.SANITIZED or grown < GROWN_KIB, f"grew by {grown} KiB"
        self.connector.assert_clean(unknown=True)
        self.elsewhere.assert_unvisited()
        self.relayd.assert_sane()


@pytest.fixture(scope="module", name="host")
def _host(daemon, ca_dir):
    with Host(daemon, ca_dir) as host:
        yield host
        host.relayd.stop()


def enough_time(name):
    if name in LONG and not os.environ.get("SLOW"):
        pytest.skip("takes 15 s; set SLOW=1")


# What an answer may be.

@pytest.mark.parametrize("name", answers.names(takes=True))
def test_it_is_taken(host, name):
    answer = host.enroll(name)
    assert answer["ok"], answer
    assert answer["gateway_id"] == "gw-test" and answer["tenant"] == TENANT
    assert host.connector.gateway().secrets[0] in stored(
        host.relayd).read_text()
    host.relayd.wait_state()
    host.assert_sound()


@pytest.mark.parametrize("name", answers.names(takes=False))
def test_it_is_refused(host, name):
    """With a reason for people, in bounded memory."""
    enough_time(name)
    with contextlib.suppress(FileNotFoundError):
        before = None
        before = stored(host.relayd).read_bytes()
    with exchanges.Watch(host.relayd) as watch:
        answer = host.enroll(name)
    assert not answer["ok"], answer
    assert answer["code"] in ("connector", "unreachable", "identity_refused",
                              "token_refused"), answer
    error = answer["error"]
    assert 15 < len(error) < 600 and not CONTROLS.search(error), error
    if before is not None:
        assert stored(host.relayd).read_bytes() == before
    assert relay.SANITIZED or all(
        kib < MOST_KIB for kib in watch.seen.values()), watch.seen
    host.assert_sound()


@pytest.mark.parametrize("name, word", [
    ("error_in_words", answers.ERROR_TEXT), ("error_500_html", "500"),
    ("error_empty", "503"), ("error_429", "429"), ("no_key", "secret"),
    ("html", "JSON"), ("huge", "64 KiB|65536|long|large"),
    ("huge_chunked", "64 KiB|65536|long|large"), ("redirect_307", "redirect"),
    ("key_is_a_number", "secret"), ("doubled_key", "twice|doubl|duplicate"),
    ("another_protocol", "HTTP"), ("closed_at_once", "closed|end|nothing"),
    ("chunk_size_negative", "chunk"), ("length_negative", "ength")])
def test_the_reason_says_what_it_was(host, name, word):
    answer = host.enroll(name)
    assert re.search(word, answer["error"], re.I), answer
    host.assert_sound()


@pytest.mark.parametrize("name, code", [
    ("error_401", "identity_refused"), ("error_403", "token_refused"),
    ("error_in_words", "connector"), ("noise", "connector")])
def test_the_code_says_whose_turn_it_is(host, name, code):
    assert host.enroll(name)["code"] == code


def test_text_of_others_is_made_visible(host):
    """No line is forged, no terminal is driven."""
    mark = host.relayd.log_mark()
    answer = host.enroll("error_with_controls")
    assert "\x1b" not in answer["error"] and "\n" not in answer["error"]
    said = "\n".join(host.relayd.lines[mark:])
    assert not re.search(r"(?m)^[^\n]{0,60}event=forged", said)
    assert "\x1b" not in said and "\u202e" not in said
    host.connector.http.script["enroll"].append("error_with_controls")
    done = enroll(host.relayd, ticket(host.connector))
    assert done.returncode == 1 and "red" in done.stderr
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]",
                         done.stderr), done.stderr


@pytest.mark.slow
def test_an_exchange_has_15_seconds(host):
    """relay-authd serves others meanwhile."""
    answers_got = []
    asking = threading.Thread(
        target=lambda: answers_got.append(host.enroll("silence")))
    asking.start()
    host.connector.wait_for(lambda: host.connector.http.bodies, 10)
    while asking.is_alive():
        assert credential(host.relayd)["gateway"] == "main"
        time.sleep(0.5)
    asking.join()
    assert not answers_got[0]["ok"]
    assert "15" in answers_got[0]["error"] or "time" in answers_got[0]["error"]


# Where it goes.

def oauth(relayd, connector, url):
    connector.http.idp.clients["host-1"] = ("s3cret", TENANT)
    connector.http.idp.metadata_tenant = TENANT
    trust_system(relayd, connector)
    path = relayd.write("client", "s3cret\n", 0o600)
    client = {"client_id": "host-1", "client_secret_file": str(path)}
    return {"oidc": {"url": f"{connector.http_url}/idp/{url}",
                     **(client if url == "token" else {})}}


@pytest.mark.parametrize("route", ["provision", "policy", "token",
                                   "metadata"])
def test_nothing_goes_elsewhere(make_relayd, issuer, route):
    """Not the bearer, nor anything else, wherever an answer points to."""
    relayd = make_relayd()
    more = {}
    if route in ("token", "metadata"):
        more["identity_token"] = oauth(relayd, issuer, route)
    with Elsewhere() as elsewhere:
        issuer.http.elsewhere = elsewhere.http_url
        issuer.http.script[route].extend(["redirect_302", "redirect_307",
                                          "redirect_308"])
        provisioned(relayd, issuer, identities=[
            {"platform": "discord", "bot_id": "1234",
             "require_mention": True}], **more).start()
        issuer.wait_asked("policy", 4 if route == "policy" else 1,
                          EXCHANGE_TIMEOUT_S)
        relayd.wait_state()
        relayd.wait_log(f"redirected to {elsewhere.http_url}/")
        assert issuer.http.count(route) >= 4
        elsewhere.assert_unvisited()
        relayd.stop()


@pytest.mark.parametrize("leaf, phrase", [
    ("other_ca", "certificate"), ("wrong_name", "hostname|name"),
    ("expired", "expired")])
def test_certificates(make_relayd, make_connector, leaf, phrase):
    """As the link's; the bearer has not left before."""
    connector = make_connector(tls=leaf)
    connector.token = connector.http.idp.issue(TENANT)
    relayd = provisioned(make_relayd(), connector,
                         url=f"https://localhost:{connector.port}").start()
    relayd.wait_gateway(
        lambda g: g["state"] == "unprovisioned"
        and re.search(phrase, g["reason"]), f"to say {phrase}",
        timeout=EXCHANGE_TIMEOUT_S)
    assert not connector.http.bodies and not connector.state.requests


def test_a_server_without_tls(make_relayd, make_connector):
    connector = make_connector(tls=None)
    connector.token = connector.http.idp.issue(TENANT)
    relayd = provisioned(make_relayd(), connector,
                         url=connector.http_url.replace("http:", "https:"))
    relayd.start()
    wait_reason(relayd, "TLS")


def test_plaintext_to_this_machine(make_relayd, make_connector):
    connector = make_connector(tls=None)
    connector.token = connector.http.idp.issue(TENANT)
    provisioned(make_relayd(), connector).start(wait="connected")


@pytest.mark.parametrize("form", ["{}", "{}/", "{}/relay", "{}/relay/"])
def test_below_a_path(make_relayd, make_connector, form):
    connector = make_connector(base="/a/b c".replace(" ", "%20"))
    connector.token = connector.http.idp.issue(TENANT)
    relayd = provisioned(make_relayd(), connector,
                         url=form.format(connector.http_url))
    relayd.start(wait="connected")
    assert connector.http.count("provision") == 1


def test_the_server_name_is_the_configured_one(make_relayd, make_connector):
    connector = make_connector()
    connector.token = connector.http.idp.issue(TENANT)
    relayd = provisioned(make_relayd(), connector,
                         tls={"server_name": "localhost"})
    relayd.start(wait="connected")
    relayd.stop()
    asked = connector.http.count("provision")
    relayd = provisioned(make_relayd(), connector,
                         tls={"server_name": "other.example"}).start()
    relayd.wait_gateway(lambda g: "name" in g["reason"], "to name the name",
                        timeout=EXCHANGE_TIMEOUT_S)
    assert connector.http.count("provision") == asked


# Through a proxy.

def through(relayd, connector, proxy, credentials):
    path = relayd.write("proxy-credentials", credentials + "\n", 0o600)
    return provisioned(relayd, connector, proxy={
        "url": proxy.url, "credentials": {"file": str(path)}})


def test_through_a_proxy(make_relayd, issuer):
    with Proxy("gate:k33per-canary") as proxy:
        relayd = through(make_relayd(), issuer, proxy, "gate:k33per-canary")
        relayd.start(wait="connected")
        # The link and the exchange, and nothing of them in clear.
        assert set(proxy.tunnels) == {f"127.0.0.1:{issuer.port}"}
        assert len(proxy.tunnels) == 2 and not proxy.refused
        assert issuer.token.encode() not in proxy.passed
        assert "k33per-canary" not in relayd.log
        relayd.stop()


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
def test_through_the_environments_proxy(make_relayd, issuer, name):
    with Proxy("gate:k33per canary") as proxy:
        relayd = provisioned(make_relayd(env={name: proxy.url.replace(
            "//", "//gate:k33per%20canary@")}), issuer)
        relayd.start(wait="connected")
        assert set(proxy.tunnels) == {f"127.0.0.1:{issuer.port}"}
        assert len(proxy.tunnels) == 2 and not proxy.refused
        assert "k33per" not in relayd.log
        for role in relay.ROLES:
            for file in ("environ", "cmdline"):
                path = Path(f"/proc/{relayd.role_pid(role)}/{file}")
                assert b"k33per" not in path.read_bytes(), role
        relayd.stop()


def test_a_proxy_that_refuses(make_relayd, issuer):
    with Proxy("gate:another") as proxy:
        relayd = through(make_relayd(), issuer, proxy, "gate:k33per-canary")
        relayd.start()
        gateway = wait_reason(relayd, "407")
        assert "k33per" not in gateway["reason"] + relayd.log
        assert proxy.refused and not issuer.http.bodies
        proxy.credentials = "gate:k33per-canary"
        relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)


def test_no_proxy_is_there(make_relayd, issuer):
    with Proxy() as proxy:
        url = proxy.url
    relayd = provisioned(make_relayd(), issuer, proxy={"url": url}).start()
    wait_reason(relayd, "refused")
    assert not issuer.http.bodies


# Its walls.

@pytest.fixture(name="held")
def _held(make_relayd, issuer):
    """An exchange whose answer is held back: (daemon, its pid)."""
    hold = issuer.http.holds["provision"] = threading.Event()
    relayd = provisioned(make_relayd(), issuer).start()
    issuer.wait_asked("provision")
    yield relayd, exchanges.wait_one(relayd)
    hold.set()


def loopback(port):
    return struct.pack("=H", socket.AF_INET) + struct.pack(">H", port) \
        + socket.inet_aton("127.0.0.1") + bytes(8)


FORBIDDEN = [
    ("socket", lambda p, s: p.call("socket", socket.AF_INET, 1, 0)),
    ("unix socket", lambda p, s: p.call("socket", socket.AF_UNIX, 1, 0)),
    ("connect", lambda p, s: p.call("connect", inject.FD_LOG,
                                    loopback(s), 16)),
    ("bind", lambda p, s: p.call("bind", inject.FD_LOG, loopback(0), 16)),
    ("listen", lambda p, s: p.call("listen", inject.FD_LOG, 1)),
    ("execve", lambda p, s: p.call("execve", "/bin/true", 0, 0)),
    ("execveat", lambda p, s: p.call("execveat", inject.AT_FDCWD,
                                     "/bin/true", 0, 0, 0)),
    ("fork", lambda p, s: p.call("fork")),
    ("clone", lambda p, s: p.call("clone", signal.SIGCHLD, 0, 0, 0, 0)),
    ("ptrace", lambda p, s: p.call("ptrace", 16, 1, 0, 0)),
    ("process_vm_readv", lambda p, s: p.call("process_vm_readv", 1, 0, 0, 0,
                                             0, 0)),
    ("pidfd_getfd", lambda p, s: p.call("pidfd_getfd", 3, 3, 0)),
    ("kill of another", lambda p, s: p.call("kill", 1, 0)),
    ("mount", lambda p, s: p.call("mount", "none", "/", "tmpfs", 0, 0)),
    ("chroot", lambda p, s: p.call("chroot", "/")),
    ("setuid", lambda p, s: p.call("setuid", 0)),
    ("become dumpable", lambda p, s: p.call("prctl", 4, 1, 0, 0, 0)),
    ("io_uring", lambda p, s: p.call("io_uring_setup", 8, bytes(120))),
]
FILES = [
    ("openat", lambda p, s: p.openat("/etc/passwd")),
    ("open", lambda p, s: p.call("open", "/etc/passwd", 0, 0)),
    ("create", lambda p, s: p.openat("/tmp/x", os.O_WRONLY | os.O_CREAT)),
]


@pytest.fixture(name="can_inject")
def _can_inject():
    reason = inject.cannot()
    if reason:
        pytest.skip(reason)


@pytest.mark.usefixtures("can_inject")
@pytest.mark.parametrize("what", FORBIDDEN, ids=lambda row: row[0])
def test_what_kills_it(held, issuer, what):
    relayd, pid = held
    authd = relayd.role_pid("authd")
    with inject.Puppet(pid) as puppet:
        with pytest.raises(inject.Ended) as caught:
            done = what[1](puppet, issuer.port)
            pytest.fail(f"{what[0]} gave {done}")
    assert caught.value.signal == signal.SIGSYS
    # Nobody else is harmed, and it is tried again.
    issuer.http.holds["provision"].set()
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)
    assert relayd.role_pid("authd") == authd


@pytest.mark.usefixtures("can_inject")
@pytest.mark.parametrize("what", FILES, ids=lambda row: row[0])
def test_it_opens_no_file(held, issuer, what):
    relayd, pid = held
    with inject.Puppet(pid) as puppet:
        try:
            done = what[1](puppet, issuer.port)
            assert done in (-errno.EACCES, -errno.EPERM, -errno.ENOENT), done
        except inject.Ended as ended:
            assert ended.signal == signal.SIGSYS
    issuer.http.holds["provision"].set()
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)


@pytest.mark.root
def test_who_it_is(held):
    """A user of its own, an empty root, no more descriptors than it needs."""
    relayd, pid = held
    others = {uid_of(relayd.role_pid(role)) for role in
              ("supervisor", "authd", "dialer", "engine")}
    assert uid_of(pid) not in others | {0}
    assert os.listdir(f"/proc/{pid}/root") == []
    status = Path(f"/proc/{pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status
    assert "CapEff:\t0000000000000000" in status
    assert "Groups:\t \n" in status or f"Groups:\t{uid_of(pid)}" in status
    found = exchanges.descriptors(pid)
    assert set(found) <= set(range(10)), found
    assert len(exchanges.internet_sockets(pid)) == 1, found
    environ = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"GATEWAY" not in environ and len(environ) < 1024


def test_relay_authd_keeps_no_socket(held, issuer):
    """It hands the socket on; what it has are pipes and listeners."""
    relayd, pid = held
    authd = relayd.role_pid("authd")
    assert exchanges.internet_sockets(pid)
    assert not exchanges.internet_sockets(authd)
    issuer.http.holds["provision"].set()
    relayd.wait_state()
    assert not exchanges.internet_sockets(authd)
    exchanges.wait_none(relayd)


@pytest.mark.usefixtures("can_inject")
@pytest.mark.parametrize("what", [
    ("socket", lambda p: p.call("socket", socket.AF_INET, 1, 0)),
    ("connect", lambda p: p.call("connect", inject.FD_LOG, loopback(9), 16)),
    ("exec", lambda p: p.call("execve", "/bin/true", 0, 0)),
], ids=lambda row: row[0])
def test_relay_authd_has_its_own_walls(relayd, what):
    with inject.Puppet(relayd.role_pid("authd")) as puppet:
        with pytest.raises(inject.Ended) as caught:
            what[1](puppet)
    assert caught.value.signal == signal.SIGSYS
    relayd.wait_state()


# Its ends.

def test_it_ends_when_it_has_answered(make_relayd, issuer):
    relayd = provisioned(make_relayd(), issuer).start(wait="connected")
    exchanges.wait_none(relayd)
    zombies = [pid for pid in relayd.left()
               if (relay.read_stat(pid) or {}).get("state") == "Z"]
    assert not zombies
    assert all(p["restarts"] == 0 for p in relayd.status()["processes"])


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGABRT,
                                 signal.SIGTERM])
def test_killed_while_it_waits(held, issuer, sig):
    relayd, pid = held
    authd = relayd.role_pid("authd")
    os.kill(pid, sig)
    until(lambda: pid not in exchanges.find(relayd), "its end")
    issuer.http.holds["provision"].set()
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)
    assert relayd.role_pid("authd") == authd
    deaths = {p["role"]: p["restarts"] for p in relayd.status()["processes"]}
    assert not any(deaths.values()), deaths


@pytest.mark.parametrize("route", ["token", "metadata", "policy", "enroll"])
def test_killed_in_each_exchange(make_relayd, issuer, route):
    """It is tried again, or who asked is told."""
    relayd = make_relayd()
    more = {}
    if route in ("token", "metadata"):
        more["identity_token"] = oauth(relayd, issuer, route)
    hold = threading.Event()
    if route != "enroll":
        issuer.http.holds[route] = hold
    provisioned(relayd, issuer, identities=[
        {"platform": "discord", "bot_id": "1234", "require_mention": True}],
        **more).start()
    if route == "enroll":
        relayd.wait_state()
        issuer.wait_asked("policy", 1)
        exchanges.wait_none(relayd)
        issuer.http.holds[route] = hold
        told = []
        asking = threading.Thread(target=lambda: told.append(
            enroll(relayd, ticket(issuer))))
        asking.start()
    issuer.wait_asked(route)
    authd = relayd.role_pid("authd")
    os.kill(exchanges.wait_one(relayd), signal.SIGKILL)
    if route == "enroll":
        asking.join()
        assert told[0].returncode == 1 and told[0].stderr
    hold.set()
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)
    issuer.wait_policy("discord", {
        "requireAddress": True, "freeResponseScopes": [],
        "allowOtherBots": False}, timeout=EXCHANGE_TIMEOUT_S)
    assert enroll(relayd, ticket(issuer)).returncode == 0
    assert relayd.role_pid("authd") == authd


def test_killed_while_a_command_runs(make_relayd, issuer):
    """What it had started ends, too; the next one is read."""
    relayd = make_relayd()
    room = relayd.dir / "room"
    room.mkdir()
    room.chmod(0o777)
    path = relayd.write(
        "token.sh", f"#!/bin/sh\n[ -e {room}/pid ] || {{ echo $$ "
        f">{room}/pid; exec sleep 3600; }}\necho {issuer.token}\n", 0o755)
    relayd.add_gateway(issuer, identity_token={"command": [str(path)],
                                               "user": "nobody"}).start()
    command = until(lambda: (room / "pid").exists()
                    and (room / "pid").read_text().strip(), "the command")
    authd = relayd.role_pid("authd")
    os.kill(exchanges.wait_one(relayd), signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{command}"), "its end",
          EXCHANGE_TIMEOUT_S)
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)
    assert relayd.role_pid("authd") == authd


def test_killed_at_any_moment(host):
    """An enrolment is answered each time, and relay-authd stays sound."""
    chance = random.Random(3)
    outcomes = set()
    for _ in range(30):
        over = threading.Event()

        def hunt(over=over):
            while not over.is_set():
                for pid in exchanges.find(host.relayd):
                    time.sleep(chance.random() * 0.02)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                    return
        hunter = threading.Thread(target=hunt, daemon=True)
        hunter.start()
        answer = host.enroll("created")
        over.set()
        hunter.join()
        outcomes.add(answer["ok"])
        assert answer["ok"] or answer["code"] in ("connector", "unreachable")
    assert False in outcomes, "none was hit"
    assert host.enroll("created")["ok"]
    host.assert_sound()


@pytest.mark.slow
def test_one_that_hangs_is_killed(held, issuer):
    relayd, pid = held
    os.kill(pid, signal.SIGSTOP)
    until(lambda: pid not in exchanges.find(relayd), "its end", 40)
    issuer.http.holds["provision"].set()
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)


@pytest.mark.parametrize("role", ["authd", "dialer"])
def test_another_is_killed_meanwhile(held, issuer, role):
    relayd, _pid = held
    relayd.kill_and_wait(role)
    issuer.http.holds["provision"].set()
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)
    exchanges.wait_none(relayd)


@pytest.mark.unclean
def test_the_supervisor_is_killed_meanwhile(held):
    relayd, pid = held
    relayd.kill("supervisor")
    until(lambda: not os.path.exists(f"/proc/{pid}")
          or relay.read_stat(pid)["state"] in "ZX", "the exchange's end")
    relayd.assert_gone()


def test_many_gateways_at_once(make_relayd, issuer):
    """More than there may be exchanges; they take turns."""
    names = [f"g{number}" for number in range(20)]
    relayd = make_relayd()
    path = write_token(relayd, issuer.token)
    most = 0
    hold = issuer.http.holds["provision"] = threading.Event()
    for name in names:
        relayd.add_gateway(issuer, name, id=f"gw-{name}",
                           identity_token={"file": path})
    relayd.start()
    issuer.wait_asked("provision", 8, EXCHANGE_TIMEOUT_S)
    most = len(exchanges.find(relayd))
    assert most == 8
    hold.set()
    for name in names:
        relayd.wait_state(name, timeout=EXCHANGE_TIMEOUT_S)
    assert issuer.http.count("provision") == 20
    exchanges.wait_none(relayd)
