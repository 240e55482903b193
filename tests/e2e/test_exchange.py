# SPDX-License-Identifier: ISC
"""The process that speaks HTTP once: hostile answers, and where it goes."""

import contextlib
import os
import random
import re
import signal
import threading
import time
from pathlib import Path

import pytest

import exchanges
import relay
from connector import Connector, answers
from connector.elsewhere import Elsewhere
from issued import (EXCHANGE_TIMEOUT_S, TENANT, ask, credential, enroll, oauth,
                    provisioned, stored, ticket, wait_reason)
from proxy import Proxy

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


# Where it goes.

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
