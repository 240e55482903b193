# SPDX-License-Identifier: ISC
"""relay-ctl explain: for each failure that the connector can play, the layer
that it names, its evidence, and what comes next."""

import os
import re
import subprocess
import threading

import pytest
from connector.faults import DialFault

from issued import provisioned
from proxy import Proxy
from relay import TIMEOUT_S, until

ALWAYS = 1000   # more dials than any test here can make
UPGRADES = {
    200: "a web server answers there",
    301: "redirections are not followed",
    400: "does not take such a request",
    401: "never taken for a revocation",
    403: "forbidden",
    404: "may not be a connector",
    429: "holds that we dial too often",
    500: "the connector, or a proxy before it, is in trouble",
    503: "the connector, or a proxy before it, is in trouble",
}
# What the connector does to a dial, the layer it fails at and what is said.
DIALS = {
    "drop": (DialFault(drop=True), "upgrade", "cut instead of an answer"),
    "half": (DialFault(raw=b"HTTP/1.1 101 Sw"), "upgrade", "cut instead"),
    "accept": (DialFault(wrong_accept=True), "upgrade", "another request"),
    "1000": (DialFault(close=(1000, "")), "handshake", "before the handshake"),
    "1008": (DialFault(close=(1008, "no")), "handshake", "does not want this"),
    "1012": (DialFault(close=(1012, "")), "handshake", "is being restarted"),
    "1013": (DialFault(close=(1013, "")), "handshake", "too much to do"),
    "4401": (DialFault(close=(4401, "unauthorized")), "credential",
             "never did"),
    "expired": (DialFault(close=(4401, "expired")), "credential",
                "to be expired"),
}
# What it does to a link that is up; the next dial hangs.
LINKS = {
    "drop": (lambda c: c.drop(), "link", "was up and ended"),
    "reset": (lambda c: c.drop(reset=True), "link", "was up and ended"),
    "half": (lambda c: (c.half_frame("x"), c.drop()), "link",
             "was up and ended"),
    "1000": (lambda c: c.close(1000), "link", "was up and ended"),
    "1008": (lambda c: c.close(1008, "no"), "link", "does not want this"),
    "1009": (lambda c: c.close(1009, "long"), "link", "was too long for"),
    "1012": (lambda c: c.close(1012, ""), "link", "is being restarted"),
    "raw": (lambda c: c.send_raw(b"\xff" * 4), "link",
            "no WebSocket any more"),
    "expired": (lambda c: c.close(4401, "expired"), "credential",
                "to be expired"),
}


class Explained:
    """What explain printed of one gateway, by its labels."""

    def __init__(self, text):
        self.text = text
        lines = text.splitlines()
        self.head = lines[0]
        self.parts = {}
        label = None
        for line in lines[1:]:
            assert line.startswith("  "), text
            label = line[2:11].strip() or label
            self.parts.setdefault(label, []).append(line[12:])

    def __getattr__(self, name):
        return "\n".join(self.parts.get(name.replace("_", " "), ()))

    @property
    def failing(self):
        """The layer that the trouble is at, or None."""
        found = re.findall(r"(\w+) (?:FAILS|wanting|ended)", self.layers)
        assert len(found) <= 1
        if found:
            assert self.trouble.startswith(f"{found[0]}: ")
        return found[0] if found else None

    def holds(self):
        """The layers that are told to be well."""
        return re.findall(r"(\w+) ok", self.layers)


def explain(relayd, *args):
    done = relayd.ctl("explain", *args)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return Explained(done.stdout)


def explained(relayd, layer, phrase, timeout=TIMEOUT_S):
    """Wait until explain names that layer, in those words."""
    last = None
    relayd.wait_gateway(lambda g: True, "to be there")

    def look():
        nonlocal last
        last = explain(relayd, "main")
        return last if last.failing == layer and phrase in last.trouble \
            else None
    return until(look, lambda: f"{layer}: {phrase}\n{last and last.text}",
                 timeout)


def fails(make_relayd, connector, layer, phrase, **more):
    """Start towards a connector that cannot be reached."""
    relayd = make_relayd().connect_to(connector, **more).start()
    return relayd, explained(relayd, layer, phrase)


# It does not get there.

def test_nobody_listens(make_relayd, connector):
    connector.stop()
    _, said = fails(make_relayd, connector, "connect", "nobody listens")
    assert re.match(r"main: retrying for \d+s", said.head)
    assert said.holds() == ["configuration", "credential", "name"]
    assert "TLS -, upgrade -, handshake -, agents -" in said.layers
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} \(\d+s ago\), connect: "
                     rf".*:{connector.port}.*refused", said.evidence)
    assert "never connected" in said.evidence
    assert re.search(r"started; \d+ attempts?$", said.evidence, re.M)
    assert re.search(r"dials by itself in|a dial is under way", said.next)
    assert connector.http_url in said.you_can


def test_a_name_that_does_not_resolve(make_relayd, connector):
    _, said = fails(make_relayd, connector, "name",
                    "no-such-host.invalid does not resolve",
                    url="https://no-such-host.invalid:9")
    assert said.holds() == ["configuration", "credential"]
    assert "getent hosts no-such-host.invalid" in said.you_can
    assert "no address for no-such-host.invalid" in said.evidence


@pytest.mark.parametrize("leaf, phrase, todo", [
    ("other_ca", "not from an authority that we trust", "tls.ca_file"),
    ("wrong_name", "for another name than localhost", "tls.server_name"),
    ("expired", "has expired", "clock"),
])
def test_certificates(make_relayd, make_connector, leaf, phrase, todo):
    connector = make_connector(tls=leaf)
    _, said = fails(make_relayd, connector, "TLS", phrase,
                    url=f"https://localhost:{connector.port}")
    assert said.holds()[-1] == "connect"
    assert "certificate" in said.evidence or "mismatch" in said.evidence
    assert todo in said.you_can


def test_no_tls_at_all(make_relayd, make_connector):
    connector = make_connector(tls=None)
    _, said = fails(make_relayd, connector, "TLS", "something else",
                    url=connector.http_url.replace("http:", "https:"))
    assert "scheme and port" in said.you_can


@pytest.mark.parametrize("status", UPGRADES)
def test_upgrade(make_relayd, connector, status):
    connector.on_dial(*[DialFault(status=status, headers={
        "Location": "/elsewhere"})] * ALWAYS)
    _, said = fails(make_relayd, connector, "upgrade", UPGRADES[status])
    assert said.holds()[-1] == "TLS"
    assert f"HTTP {status}" in said.evidence


@pytest.mark.parametrize("what", DIALS)
def test_dials(make_relayd, connector, what):
    fault, layer, phrase = DIALS[what]
    connector.on_dial(*[fault] * ALWAYS)
    _, said = fails(make_relayd, connector, layer, phrase)
    assert "never connected" in said.evidence
    assert re.search(r"dials by itself in|a dial is under way", said.next)
    assert said.you_can


@pytest.mark.slow
def test_no_answer_to_the_upgrade(make_relayd, connector):
    connector.on_dial(*[DialFault(delay_s=60)] * ALWAYS)
    relayd = make_relayd().connect_to(connector).start()
    said = explained(relayd, "upgrade", "nothing is answered", 60)
    assert "no answer to the upgrade within 15 s" in said.evidence
    connector.state.dial_faults.clear()


@pytest.mark.parametrize("what", LINKS)
def test_links_that_end(relayd, connector, what):
    act, layer, phrase = LINKS[what]
    relayd.agent()
    connector.on_dial(*[DialFault(delay_s=TIMEOUT_S)] * ALWAYS)
    act(connector)
    said = explained(relayd, layer, phrase)
    assert re.search(r"\(\d+s ago\), connected: ", said.evidence)
    assert re.search(r"the last handshake was \d+s ago", said.evidence)
    assert said.you_can
    connector.state.dial_faults.clear()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["pong", "read"])
def test_a_link_that_goes_dead(relayd, connector, what):
    connector.on_dial(*[DialFault(delay_s=TIMEOUT_S)] * ALWAYS)
    with relayd.agent():    # without one it would go idle
        connector.stall(what)
        said = explained(relayd, "link", "went dead", 150)
    assert "no pong within 60 s" in said.evidence
    connector.unstall(what)
    connector.state.dial_faults.clear()


def test_lines_that_cannot_be_read(relayd, connector):
    connector.send_text("{]\n")
    connector.oversized_line()
    relayd.wait_gateway(lambda g: g["counters"]["lines_bad"] == 2, "both")
    with relayd.agent():
        said = explain(relayd)
    assert said.failing is None
    assert "2 of the connector's lines could not be read" in said.evidence


def test_a_proxy_that_refuses(make_relayd, connector):
    with Proxy(credentials="a:b") as proxy:
        _, said = fails(make_relayd, connector, "connect",
                        "the proxy does not let us through",
                        proxy={"url": proxy.url})
        assert "407" in said.evidence
        assert "proxy setting" in said.you_can


def test_no_websocket(make_relayd, connector):
    connector.on_dial(*[DialFault(raw=b"SSH-2.0-OpenSSH_9.2\r\n")] * ALWAYS)
    fails(make_relayd, connector, "upgrade", "may not be a connector")


def test_no_descriptor(make_relayd, connector):
    """The hello is not answered, and the connection cut before the end."""
    connector.settings.descriptors = False
    relayd = make_relayd().connect_to(connector).start()
    relayd.wait_gateway(lambda g: g["phase"] == "handshake", "to say hello")
    said = explain(relayd)
    assert said.next == "a dial is under way now: handshake"
    connector.drop()
    said = explained(relayd, "handshake", "before the handshake was complete")
    assert said.holds()[-1] == "upgrade"


@pytest.mark.slow
def test_no_descriptor_in_time(make_relayd, connector):
    connector.settings.descriptors = False
    relayd = make_relayd().connect_to(connector).start()
    said = explained(relayd, "handshake", "does not answer our hello", 60)
    assert "no descriptor within 30 s" in said.evidence


# The credential.

def test_refused_before_any_success(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    relayd.write("main.secret", "wrong\n", 0o600)
    relayd.start()
    said = explained(relayd, "credential", "never did")
    assert "4401 unauthorized" in said.evidence
    assert "credential: file, taken " in said.evidence
    assert "it never worked yet" in said.evidence
    # Enrolling is refused while a secret is pinned: it is not advised.
    assert "that id and secret are the connector's" in said.you_can
    assert "enroll" not in said.you_can


def test_refused_after_a_success(relayd, connector):
    """Between the two refusals that make a revocation, and after them."""
    held = threading.Event()
    connector.on_dial(DialFault(hold=held))
    connector.revoke()
    said = explained(relayd, "credential", "which worked before")
    assert said.next.startswith("one more dial with a fresh token decides")
    held.set()
    relayd.wait_state(state="disabled")
    said = explain(relayd, "main")
    assert said.head.startswith("main: disabled for ")
    assert said.failing == "credential"
    assert "counts as revoked" in said.trouble
    assert said.evidence.count('4401 "unauthorized"') == 2
    assert "it has worked" in said.evidence
    assert said.next.startswith("nothing by itself")
    assert "put the new secret into its file" in said.you_can
    assert "relay-ctl enable main" in said.you_can


def test_clocks_that_differ(relayd, connector):
    connector.settings.clock_offset = -300
    connector.revoke()
    said = explained(relayd, "credential", "the clocks differ")
    assert re.search(r"clock is (4m5\d|5m0\d)s behind ours", said.evidence)
    assert "set this host's clock" in said.you_can


def test_no_credential(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    relayd.write("main.secret", "\n", 0o600)
    relayd.start()
    relayd.wait_gateway(lambda g: "white space" in g["reason"], "to be told")
    said = explain(relayd, "main")
    assert said.failing == "credential"
    assert "no credential that can be used" in said.trouble
    assert "white space" in said.evidence
    assert "as soon as there is one" in said.next
    assert "relay-ctl enroll main" in said.you_can


def test_refused_without_a_word_of_the_time(relayd, connector):
    connector.settings.send_date = False
    connector.revoke()
    relayd.wait_state(state="disabled")
    said = explain(relayd, "main")
    assert said.failing == "credential"
    assert "clock of the connector not told" in said.evidence


def test_refused_by_status(relayd, connector):
    connector.settings.refuse_with_status = True
    connector.revoke()
    said = explained(relayd, "upgrade", "never taken for a revocation")
    assert "HTTP 401" in said.evidence


def test_provisioning_that_fails(make_relayd, issuer):
    issuer.http.always["provision"] = (403, {"error": "not yours"})
    relayd = provisioned(make_relayd(), issuer).start()
    relayd.wait_gateway(lambda g: "403" in g["reason"], "to be told")
    said = explain(relayd, "main")
    assert said.failing == "credential"
    assert "HTTP 403" in said.evidence and "not yours" in said.evidence
    assert "relay-ctl enroll main" in said.you_can


# Agents.

def test_no_agent(relayd):
    said = explain(relayd, "main")
    assert said.failing == "agents"
    assert "no agent is attached" in said.trouble
    assert re.match(r"goes idle in (1m00s|[\d.]+ s) unless an agent comes",
                    said.next)
    assert str(relayd.agent_path()) in said.you_can


@pytest.mark.root
@pytest.mark.parametrize("gid, words", [
    (None, "that is for root alone: agents.group"),
    (65534, "that is for root and for who runs with group nogroup "
            "(usermod -aG nogroup USER")])
def test_who_may_be_an_agent(relayd, gid, words):
    if gid is not None:
        os.chown(relayd.agent_path(), -1, gid)
    assert words in explained(relayd, "agents", "no agent").you_can


def test_no_agent_but_hold(make_relayd, connector):
    relayd = make_relayd().connect_to(
        connector, agents={"when_no_agent": "hold"}).start(wait="connected")
    said = explain(relayd)
    assert "what comes is kept here" in said.trouble
    assert "when_no_agent: hold" in said.next


def test_idle_for_want_of_an_agent(make_relayd, connector):
    relayd = make_relayd().connect_to(
        connector, agents={"idle_after": "1s"}).start(wait="idle")
    said = explain(relayd)
    assert said.failing is None and said.trouble.startswith("agents: ")
    assert "no agent for 1 s" in said.evidence
    assert "as soon as an agent attaches" in said.next
    assert str(relayd.agent_path()) in said.you_can


def test_an_agent_that_does_not_acknowledge(relayd, connector):
    agent = relayd.agent(agent="dozer", ack_timeout=60)
    connector.say("discord", "c1", "wake up")
    delivery = agent.inbound("wake up")
    said = explained(relayd, "agents", "does not acknowledge")
    assert re.search(r"#1 dozer \(pid \d+\) has 1 unacknowledged, the oldest "
                     r"for 1\ds of the 1m00s", said.trouble)
    assert "ack_timeout" in said.next
    assert "1 wait to be acknowledged" in said.evidence
    agent.ack(delivery)
    connector.wait_all_acked()
    assert explain(relayd).failing is None


def test_agents_that_leave(relayd):
    agents = [relayd.agent(), relayd.agent()]
    agents[0].send({"type": "going_idle"})
    agents[0].expect("going_idle_ack")
    assert explain(relayd).failing is None


# As somebody wanted it.

@pytest.mark.parametrize("command, state, phrase", [
    ("idle", "idle", "sleeps as asked"),
    ("dormant", "dormant", "ready for the host's suspend"),
    ("disable", "disabled", "an operator switched it off"),
])
def test_as_asked(relayd, command, state, phrase):
    assert relayd.ctl(command, "main").returncode == 0
    said = explain(relayd, "main")
    assert said.head.startswith(f"main: {state} for ")
    assert said.failing is None and not said.layers
    assert said.trouble.startswith("nothing fails") and phrase in said.trouble
    assert "uid " in said.evidence
    back = "enable" if command == "disable" else "wake"
    assert f"relay-ctl {back} main" in said.you_can
    assert said.next
    assert relayd.ctl(back, "main").returncode == 0
    relayd.wait_state()


# And when all is well.

def test_healthy(relayd, connector):
    agent = relayd.agent()
    connector.say("discord", "c1", "x")
    agent.ack(agent.inbound("x"))
    connector.wait_all_acked()
    said = explain(relayd)
    assert re.match(r"main: connected for \d+s$", said.head)
    assert said.trouble == "nothing fails"
    assert said.holds() == ["configuration", "credential", "name", "connect",
                            "TLS", "upgrade", "handshake", "agents"]
    assert f"connected to 127.0.0.1:{connector.port}, TLSv1.3" \
        in said.evidence
    assert re.search(r"no ping was due yet; the last byte \d+s ago",
                     said.evidence)
    assert re.search(r"the last event came: \d+s ago", said.evidence)
    assert "nothing waits to be acknowledged; agents: 1" in said.evidence
    assert not said.you_can


def test_lost_connection(relayd, connector):
    relayd.agent()
    connector.on_dial(*[DialFault(delay_s=TIMEOUT_S)] * ALWAYS)
    connector.close(1012, "service restart")
    said = explained(relayd, "link", "is being restarted")
    assert "1012 service restart" in said.evidence
    assert re.search(r"the last handshake was \d+s ago, and the connection "
                     r"was up for \d+s; \d+ attempts? since it was last up "
                     "for a minute", said.evidence)
    connector.state.dial_faults.clear()


def test_two_that_are_one_gateway(make_relayd, connector):
    """Each takes the link from the other, as hosts do of which one is a copy;
    check says so, too."""
    both = [make_relayd().connect_to(connector).start() for _ in range(2)]

    def look():
        text = explain(both[0], "main").text
        return "another that uses this gateway's id" in text and \
            "see whether another relayd" in text and "FAILS" not in text
    until(look, "explain to name the other", TIMEOUT_S)
    until(lambda: "the connections end soon" in both[1].ctl("check").stdout,
          "check to say it", TIMEOUT_S)


# How it is asked.

def test_several_gateways(make_relayd, make_connector):
    a, b = make_connector("gw-a"), make_connector("gw-b")
    relayd = make_relayd().connect_to(a, "a").connect_to(b, "b")
    relayd.start(wait="connected")
    text = relayd.ctl("explain").stdout
    assert [part.split(":")[0] for part in text.split("\n\n")] == ["a", "b"]
    assert explain(relayd, "b").head.startswith("b: ")
    done = relayd.ctl("explain", "nope")
    assert done.returncode == 1 and not done.stdout
    assert "nope" in done.stderr and "a, b" in done.stderr


def test_json_is_the_status(relayd):
    code, document = relayd.ctl_json("explain", "main")
    assert code == 0 and document.keys() == relayd.status().keys()
    assert document["gateways"][0]["name"] == "main"


# Before there is a gateway.

def without(relayd, *args):
    """Explained without a status: (exit status, what it says)."""
    done = relayd.ctl("explain", *args)
    assert done.stderr.count("\n") == 1
    return done.returncode, Explained(done.stdout)


def test_not_running(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    done = relayd.ctl("explain")
    assert done.returncode == 3 and "not running" in done.stderr
    code, said = without(relayd)
    assert code == 3 and said.head == "relayd: not running"
    assert f"nobody answers on {relayd.run}/control.sock" in said.trouble
    assert "start it" in said.you_can and not said.evidence
    code, said = without(relayd, "-f", relayd.conf)
    assert code == 3 and said.evidence \
        == f"the configuration is good: {relayd.conf}"


def test_configuration_refused(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    relayd.configure(relayd.conf.read_text().replace("url:", "ulr:"))
    relayd.start()
    assert relayd.wait_exit() == 78
    code, said = without(relayd, "-f", relayd.conf)
    assert code == 3
    assert "the configuration is refused: " in said.evidence
    assert "did you mean url" in said.evidence
    assert "it would end at once" in said.next
    assert said.you_can.startswith("mend the file")


@pytest.mark.unclean
def test_killed(relayd):
    pid = relayd.pid
    relayd.kill("supervisor")
    relayd.wait_exit()
    relayd.assert_gone()
    code, said = without(relayd)
    assert code == 3 and re.search(
        rf"\(pid {pid}\) did not end in order: it last wrote \d+s ago",
        said.evidence)
    assert "its log tells why it ended" in said.you_can


@pytest.mark.root
def test_not_for_us(relayd):
    def as_nobody():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    done = subprocess.run(
        relayd.ctl_words("explain"), capture_output=True, text=True, cwd="/",
        timeout=TIMEOUT_S, check=False, preexec_fn=as_nobody)
    said = Explained(done.stdout)
    assert done.returncode == 1 and said.head == "relayd: not for us"
    assert "permission denied" in done.stderr
    assert "we are user 65534" in said.evidence
    assert "control.group" in said.you_can and "usermod" not in said.you_can


def test_the_engine_is_away(relayd):
    """Stopped in its restart: it is told what it was, and what comes."""
    until(lambda: relayd.state_json()["gateways"][0]["state"] == "connected",
          "the state file")
    path = relayd.run / "control.sock"
    path.rename(relayd.run / "elsewhere")
    try:
        code, said = without(relayd)
    finally:
        (relayd.run / "elsewhere").rename(path)
    assert code == 1 and said.head == "relayd: no answer"
    assert f"relayd runs (pid {relayd.pid}):" in said.evidence
    assert re.search(r"main was connected, for \d+s", said.evidence)
