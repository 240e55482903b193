# SPDX-License-Identifier: ISC
"""What an operator reads of states that a scripted server plays: status and
explain tell the same, and neither says more than is known."""

import json
import os
import re
import time

import pytest

from scripted import answering, run, serving
from test_ctl_fake import gateway, process, status

UNAUTHORIZED = {"phase": "upgrade", "reason": "HTTP 401", "at": 990,
                "ago_s": 10, "http_status": 401, "code": None}
REFUSED = {"phase": "handshake", "reason": "4401 unauthorized", "at": 990,
           "ago_s": 10, "code": 4401, "http_status": None}
LOST = {"phase": "connected", "reason": "connection closed by the peer",
        "at": 990, "ago_s": 10, "code": None, "http_status": None}
AGENT = {"number": 1, "name": "echo", "pid": 9, "platforms": ["discord"]}


def told(rundir, command, *gateways, **more):
    path = rundir / "control.sock"
    path.unlink(missing_ok=True)
    with serving(path, answering(status(*gateways, **more))):
        return run(rundir, command).stdout


def layers(text):
    return dict(re.findall(r"(\w+) (ok|FAILS|wanting|in doubt|none|-)(?:,|$)",
                           text.partition("  layers    ")[2].split("\n")[0]))


# Attempts.

@pytest.mark.parametrize("state", ["disabled", "stopping", "unprovisioned"])
def test_who_dials_no_more_has_no_attempt_under_way(rundir, state):
    doc = gateway(state=state, attempt=2, revoked=None, reason="off")
    text = told(rundir, "status", doc)
    assert "off" in text and "under way" not in text


@pytest.mark.parametrize("state", ["connecting", "retrying"])
def test_an_attempt_that_is_under_way(rundir, state):
    doc = gateway(state=state, attempt=2)
    assert "attempt 2 is under way" in told(rundir, "status", doc)


# What ends a revocation.

@pytest.mark.parametrize("source, advice", [
    ("file", "put the new secret into its file, where it is taken by itself"),
    ("directory", "restart relayd with the new secret in its credential "
                  "directory"),
    ("environment", "restart relayd with the new secret in its environment"),
    ("enrolled", "relay-ctl enroll main for a new credential"),
    ("provisioned", "relay-ctl enable main has a new credential provisioned"),
    ("of-the-future", "relay-ctl enroll main for a new credential"),
])
def test_what_ends_a_revocation(rundir, source, advice):
    """It depends on where the credential is from; both say the same."""
    doc = gateway(state="disabled", reason="credential revoked", revoked={
        "at": 990, "evidence": "4401"}, credential={
            "source": source, "usable": True, "age_s": 5, "reason": None})
    said = []
    for command in ("status", "explain"):
        text = told(rundir, command, doc)
        assert text.count(advice) == 1
        assert ("enroll" in text) == ("enroll" in advice)
        old = "relay-ctl enable main when the connector takes the old one again"
        assert (old in text) == (source != "provisioned")
        said.append(text[text.index("ask who runs"):].split("\n")[0])
    assert said[0] == said[1]


# Layers.

def test_who_refuses_a_credential_was_reached(rundir):
    said = layers(told(rundir, "explain", gateway(
        state="retrying", attempt=1, last_failure=REFUSED)))
    assert said == {"configuration": "ok", "credential": "FAILS",
                    "name": "ok", "connect": "ok", "TLS": "ok",
                    "upgrade": "ok", "handshake": "-", "agents": "-"}


def test_a_credential_in_doubt(rundir):
    text = told(rundir, "explain", gateway(
        state="retrying", attempt=1, last_failure=UNAUTHORIZED))
    said = layers(text)
    assert (said["credential"], said["TLS"], said["upgrade"]) == \
        ("in doubt", "ok", "FAILS")
    assert "credential: file, taken 5s ago, it never worked yet" in text


@pytest.mark.parametrize("phase, highest", [
    ("dialling", "credential"), ("tls", "connect"), ("token", "TLS"),
    ("upgrade", "TLS"), ("handshake", "upgrade")])
def test_how_far_the_first_dial_is(rundir, phase, highest):
    said = layers(told(rundir, "explain", gateway(
        state="connecting", phase=phase, attempt=1)))
    assert [layer for layer, how in said.items() if how == "ok"][-1] == highest
    assert set(said.values()) == {"ok", "-"}


@pytest.mark.parametrize("url", ["http://c.example/relay", "ws://c.example"])
def test_no_tls_is_not_called_well(rundir, url):
    for more in ({"tls": None}, {"state": "retrying", "last_failure": REFUSED},
                 {"state": "connecting", "phase": "dialling"}):
        said = layers(told(rundir, "explain", gateway(url=url, **more)))
        assert said["TLS"] == "none" and said["credential"] != "-"


def test_a_credential_that_is_not_there_was_not_taken(rundir):
    text = told(rundir, "explain", gateway(
        state="unprovisioned", reason="no such file", credential={
            "source": "file", "usable": False, "age_s": 5, "reason": None}))
    assert ("credential: file, none that can be used, it never worked yet"
            in text)


def other(**more):
    """A gateway whose credential came after the last handshake."""
    more.setdefault("last_handshake_s", 35)
    return gateway(agents=[AGENT], credential={
        "source": "file", "usable": True, "age_s": 2, "minted": 0,
        "reason": None, "worked": False}, **more)


def test_a_credential_that_was_not_tried(rundir):
    text = told(rundir, "explain", other())
    assert "nothing fails yet, but the next dial uses a new credential" in text
    assert ("credential: file, taken 2s ago, not tried yet: the handshake 35s "
            "ago was made with the one before it; relay-ctl reconnect main "
            "tries it\n") in text
    assert "you can   relay-ctl reconnect main tries it now" in text


def test_another_credential_than_the_one_that_worked(rundir):
    """"It has never worked" beside a handshake is no contradiction, and the
    file is named by where it stands."""
    doc = other(state="retrying", attempt=1, last_failure=REFUSED,
                reason="credential refused; it has never worked")
    doc["agents"] = []
    text = told(rundir, "explain", doc)
    assert ("credential: file, taken 2s ago, it never worked yet: the "
            "handshake 35s ago was made with the one before it\n") in text
    assert "relay-ctl show config main names it" in text
    assert "credential, and took the one before it" in text
    assert "the last handshake was 35s ago, with the credential before this" \
        in text


def test_a_credential_that_was_tried(rundir):
    """That of a link which was made with it is not told of, nor one that has
    worked: relay-authd tells of it anew after its own restart."""
    for doc in (other(last_handshake_s=1), gateway(
            agents=[AGENT], last_handshake_s=35, credential={
                "source": "file", "usable": True, "age_s": 2, "reason": None,
                "worked": True})):
        text = told(rundir, "explain", doc)
        assert "trouble   nothing fails\n" in text
        assert "credential:" not in text


@pytest.mark.parametrize("shaken, pong, words", [
    (300, 131, "the last pong came 2m11s ago, after 12 ms"),
    (1, 131, "no ping was due yet"), (1, None, "no ping was due yet")])
def test_a_pong_of_this_link_counts(rundir, shaken, pong, words):
    assert words in told(rundir, "explain", gateway(
        agents=[AGENT], last_handshake_s=shaken, last_pong_s=pong))


def test_what_dials_at_once(rundir):
    text = told(rundir, "explain", gateway(
        state="retrying", phase="waiting", attempt=4, next_attempt_in_s=28.5,
        last_failure=LOST))
    assert "next      dials by itself in 28.5 s; " in text
    assert "relay-ctl reconnect main dials at once" in text
    assert "reconnect main" not in told(rundir, "explain", gateway(
        state="dormant", next_attempt_in_s=28.5))


@pytest.mark.parametrize("changed, taken, told_of", [
    (20, 90, True), (20, 20, False), (90, 20, False), (1, 90, False)])
def test_a_secret_that_may_have_been_refused(rundir, changed, taken, told_of):
    """check tells of one that is newer than what relayd took, and leaves it
    the time that it needs; the file is not opened."""
    secret, conf = rundir / "secret", rundir / "relayd.yaml"
    if os.geteuid() == 0:   # root's own may not stand where others write
        os.chown(rundir, 65534, -1)
    secret.write_text(" \n")
    secret.chmod(0o600)
    then = time.time() - changed
    os.utime(secret, (then, then))
    conf.write_text(f"""gateways:
  main:
    url: https://127.0.0.1:9
    id: gw-1
    identities: [{{platform: discord, bot_id: "1"}}]
    secret: {{file: {secret}}}
""")
    doc = gateway(last_handshake_s=90, credential={
        "source": "file", "usable": True, "age_s": taken, "reason": None,
        "worked": True})
    with serving(rundir / "control.sock", answering(status(doc))):
        done = run(rundir, "--json", "check", "--all", "-f", str(conf))
    found = {one["result"]: one["what"]
             for one in json.loads(done.stdout)["checks"]
             if one["check"] == "credential"}
    assert "accepted (file)" in found.pop("ok")
    assert bool(found) is told_of
    if told_of:
        assert f"{secret} was changed 2" in found["warn"]
        assert "or was refused" in found["warn"]


# A link that was up.

def test_a_link_that_ended(rundir):
    doc = gateway(state="retrying", attempt=1, last_failure=LOST,
                  last_handshake_s=31, counters={"losses": 1})
    doc["credential"]["worked"] = True
    text = told(rundir, "explain", doc)
    line = text.partition("  layers    ")[2].split("\n")[0]
    assert "connect ok" in line and "FAILS" not in line
    assert line.endswith("handshake ok, link ended, agents -")
    assert "trouble   link: the connection was up and ended\n" in text
    assert ("the last handshake was 31s ago, and the connection was up for "
            "21s") in text


@pytest.mark.parametrize("more", [
    {"state": "retrying", "phase": "waiting", "attempt": 2},
    {"state": "retrying", "phase": "dialling", "attempt": 3},
    {"state": "connected", "attempt": 3}])
def test_links_that_end_again_and_again(rundir, more):
    doc = gateway(**more, last_failure=LOST, last_handshake_s=31,
                  counters={"losses": 2}, credential={
                      "source": "file", "usable": True, "age_s": 90,
                      "reason": None, "worked": True})
    text = told(rundir, "explain", doc)
    assert "soon" in text and "another that uses this gateway's id" in text
    assert "see whether another relayd, on a cloned host" in text
    path = rundir / "control.sock"
    path.unlink()
    with serving(path, answering(status(doc))):
        said = run(rundir, "check", "main").stdout
    assert "warn    credential" in said
    assert "see whether another relayd, on a cloned host" in said


# Of a gateway that is well.

def test_the_last_failure_of_a_link_that_is_up_again(rundir):
    text = told(rundir, "explain", gateway(agents=[AGENT], last_failure=LOST))
    assert "nothing fails" in text
    assert re.search(r"the last failure: .* \(10s ago\), connected: connection "
                     "closed by the peer", text)
    assert "last failure" not in told(rundir, "explain",
                                      gateway(agents=[AGENT]))


def test_clocks_that_differ_while_it_is_connected(rundir):
    doc = gateway(agents=[AGENT], clock_skew_s=-600)
    text = told(rundir, "explain", doc)
    assert "nothing fails yet, but the clocks differ" in text
    assert "the connector's clock is 10m00s behind ours" in text
    assert "timedatectl" in text
    assert "differ by 10m00s" in told(rundir, "status", doc)


def test_too_much_waits(rundir):
    doc = gateway(queue={"events": 40, "oldest_s": 3, "paused": False,
                         "hushed": True},
                  journal={"aside": 0, "bytes": 3 << 20,
                           "capacity_bytes": 4 << 20})
    assert "asked to keep what comes" in told(rundir, "status", doc)
    text = told(rundir, "explain", doc)
    assert "no agent is attached, and too much waits" in text
    assert "the journal: 3072 KiB of 4096 KiB in use" in text
    assert "start an agent on" in text


@pytest.mark.parametrize("state", ["idle", "retrying"])
def test_what_waits_while_it_is_not_connected(rundir, state):
    doc = gateway(state=state, reason="no agent for 60 s", queue={
        "events": 3, "oldest_s": 4, "paused": False})
    assert "3 wait here to be acknowledged, the oldest for 4.0 s" in \
        told(rundir, "explain", doc)


# Processes.

def test_a_process_that_died_lately(rundir):
    text = told(rundir, "explain", gateway(agents=[AGENT]),
                processes=[process(since=990), process("dialer", since=300),
                           process("authd", restarts=0, since=999)])
    assert text.startswith("relayd: a process died lately\n"
                           "  evidence  engine: restarts: 2, the last 10s ago")
    assert "event=exit" in text and "\n\nmain: connected" in text
    assert "dialer" not in text and "authd" not in text


def test_processes_that_live_long(rundir):
    assert told(rundir, "explain", gateway(), processes=[
        process(since=100)]).startswith("main: connected")
