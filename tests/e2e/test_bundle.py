# SPDX-License-Identifier: ISC
"""relay-ctl bundle: what a bug report needs is in it; nothing secret, nothing
of a person, nothing that says whose it is, however it came to relayd."""

import json
import os
import re
import stat
import subprocess

import pytest

import issued
from relay import TIMEOUT_S, until
from scripted import answering, put_state, run, serving

SECTIONS = ("versions", "build", "machine", "environment", "configuration",
            "status", "explain", "credentials", "state.json",
            "processes and their limits", "check", "log")


def bundle(relayd, name="bundle.txt", *args, code=0):
    path = relayd.dir / name
    done = relayd.ctl("bundle", *args, str(path), timeout=90)
    assert done.returncode == code, done
    text = path.read_text() if path.exists() else ""
    return done, text


def section(text, name):
    found = re.search(rf"\n== {re.escape(name)}\n(.*?)(?=\n== |\Z)", text, re.S)
    assert found, name
    return found[1]


def document(text, name):
    """A section's JSON."""
    return json.JSONDecoder().raw_decode(section(text, name))[0]


def test_what_is_in_it(relayd, connector):
    relayd.pids()       # the state file knows them a moment later
    with relayd.agent() as agent:
        connector.say("discord", "c1", "hello")
        agent.inbound("hello")
        done, text = bundle(relayd)
    assert "read it before you send it" in done.stdout and not done.stderr
    assert re.findall(r"\n== (.*)\n", text) == list(SECTIONS)
    assert "relay-ctl: 0.1.0" in text and "OpenSSL 3" in text
    assert "stack-protector" in section(text, "build")
    assert "ID=debian" in section(text, "machine")
    configuration = section(text, "configuration")
    assert "url: https://host-1" in configuration
    assert "window: 64" in configuration and "min: 20 ms" in configuration
    status = document(text, "status")
    gateway = status["gateways"][0]
    assert (gateway["name"], gateway["state"]) == ("gateway-1", "connected")
    assert gateway["counters"]["events_in"] == 1
    assert gateway["agents"][0]["unacknowledged"] == 1
    # Every one is there: none was added and not judged.
    told = relayd.status()
    assert gateway["counters"].keys() == told["gateways"][0]["counters"].keys()
    assert [p["layers"].keys() for p in status["processes"]] \
        == [p["layers"].keys() for p in told["processes"]]
    assert gateway["tls"] == told["gateways"][0]["tls"]
    assert "no list names them" in section(text, "status")  # the descriptor
    assert "gateway-1: connected for" in section(text, "explain")
    state = document(text, "state.json")
    assert [p["role"] for p in state["processes"]] == [
        "supervisor", "authd", "dialer", "engine"]
    credentials = document(text, "credentials")["credentials"][0]
    assert credentials["gateway"] == "gateway-1"
    assert credentials["tokens_minted"] == 1
    limits = section(text, "processes and their limits")
    assert limits.count("Max open files") == 4
    assert limits.count("Seccomp:\t2") == 3
    check = section(text, "check")
    assert re.search(r"ok +certificate +gateway-1: verified for", check)
    assert re.search(r"ok +credential +gateway-1: accepted \(file\)", check)
    assert "journalctl -u relayd" in section(text, "log")


def test_the_same_thing_has_the_same_number(make_relayd, connector):
    """Over all sections, and two gateways have two."""
    connector.register("gw-b", "secret", {"discord": "1"})
    relayd = make_relayd().connect_to(connector, gateway="gw-test")
    relayd.connect_to(connector, "other", "gw-b").start(wait="connected")
    until(lambda: len(relayd.state_json()["gateways"]) == 2, "both in there")
    _, text = bundle(relayd)
    names = [g["name"] for g in document(text, "status")["gateways"]]
    assert names == ["gateway-1", "gateway-2"]
    assert [g["name"] for g in document(text, "state.json")["gateways"]] \
        == names
    assert {g["gateway"] for g in document(
        text, "credentials")["credentials"]} == set(names)
    for name in names:
        assert f"{name}: connected" in section(text, "explain")
        assert f"{name}: verified" in section(text, "check")
        assert f"  {name}:\n" in section(text, "configuration")


# The file.

def test_the_file(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    done, text = bundle(relayd)
    path = relayd.dir / "bundle.txt"
    info = path.stat()
    assert stat.S_IMODE(info.st_mode) == 0o600
    assert info.st_uid == relayd.daemon.uid
    assert f"{len(text.encode())} bytes" in done.stdout
    # Never over another one, nor through a link.
    again, after = bundle(relayd, code=1)
    assert "nothing is overwritten" in again.stderr and after == text
    target = relayd.dir / "target"
    (relayd.dir / "link").symlink_to(target)
    bundle(relayd, "link", code=1)
    assert not target.exists()
    done = relayd.ctl("bundle", "/nonexistent/x")
    assert done.returncode == 1 and "No such file" in done.stderr
    code, answer = relayd.ctl_json("bundle", str(relayd.dir / "j.txt"))
    assert code == 0 and answer == {
        "ok": True, "file": str(relayd.dir / "j.txt"),
        "bytes": (relayd.dir / "j.txt").stat().st_size}
    assert relayd.ctl("bundle", "a", "b").returncode == 2


def test_the_name_that_it_gives_itself(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    words = relayd.ctl_words("bundle")
    script = 'cd "$1" && shift && exec "$@"'
    done = subprocess.run(["sh", "-c", script, "sh", str(relayd.dir), *words],
                          capture_output=True, text=True, check=False,
                          timeout=TIMEOUT_S, env=relayd.environment())
    assert done.returncode == 0, done
    made, = relayd.dir.glob("relayd-bundle-*.txt")
    assert re.fullmatch(r"relayd-bundle-\d{8}-\d{6}\.txt", made.name)


def test_without_a_running_relayd(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    _, text = bundle(relayd, "b.txt", "-f", str(relayd.conf), "-s",
                     str(relayd.state))
    assert "no answer" in section(text, "status")
    assert "not running" in section(text, "processes and their limits")
    assert "url: https://host-1" in section(text, "configuration")
    assert "relayd is not running" in section(text, "check")


def test_with_a_broken_configuration(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    relayd.configure(relayd.conf.read_text() + "canary-key: canary-value\n")
    _, text = bundle(relayd, "b.txt", "-f", str(relayd.conf))
    assert "none that could be taken" in section(text, "configuration")
    assert re.search(r"fail +configuration", section(text, "check"))
    assert "canary" not in text


# Canaries.

def assert_free_of(text, canaries):
    found = {name: value for name, value in canaries.items() if value in text}
    assert not found, found


def test_canaries(make_relayd, make_connector):
    """Everything that may be told in a configuration, by people, by the
    connector and by agents."""
    words = {name: f"canary{name}{number:03d}zq" for number, name in enumerate(
        ("gateway", "bot", "username", "channel", "instance", "wake",
         "display", "endpoint", "route", "token", "proxyuser", "proxypass",
         "text", "chat", "user", "thread", "message", "agentname", "close",
         "op", "environ", "reply"))}
    connector = make_connector(gateway=words["gateway"],
                               platforms={"discord": words["bot"]})
    secret = connector.gateway().secrets[0]
    relayd = make_relayd()
    token = relayd.write("identity-token", words["token"] + "\n", 0o600)
    relayd.connect_to(
        connector, name="canary-name", identities=[{
            "platform": "discord", "bot_id": words["bot"],
            "username": words["username"],
            "free_response_channels": [words["channel"]]}],
        identity_token={"file": str(token)}, instance_id=words["instance"],
        wake_url=f"https://{words['wake']}.example/x",
        display_name=words["display"], endpoint=words["endpoint"],
        route_keys=[words["route"]])
    relayd.env.update({
        "https_proxy": f"http://{words['proxyuser']}:{words['proxypass']}"
                       "@proxy.canary.example:3128",
        "no_proxy": "127.0.0.1", "GATEWAY_RELAY_DELIVERY_KEY":
        words["environ"]})
    relayd.start(wait="connected")
    with relayd.agent("canary-name", agent=words["agentname"]) as agent:
        connector.say("discord", words["chat"], words["text"])
        event = agent.inbound(words["text"])
        agent.send({"type": "outbound", "requestId": "1", "action": {
            "op": "send", "chat_id": words["chat"],
            "content": words["reply"]}})
        agent.expect("outbound_result")
        connector.forbid(1000, code=1008, reason=words["close"])
        connector.drop()
        relayd.wait_gateway(lambda g: words["close"] in g["reason"],
                            "to be refused", name="canary-name")
        _, text = bundle(relayd)
    words.update(
        secret=secret, name="canary-name", session=event["session_key"],
        buffer=event["bufferId"], port=str(connector.port), rest="canary",
        address="127.0.0.1", directory=str(relayd.dir))
    for dial in connector.dials:
        words[f"dial{dial.number}"] = dial.token
    assert_free_of(text, {k: v for k, v in words.items() if v})
    # And yet it tells what matters.
    gateway = document(text, "status")["gateways"][0]
    assert gateway["last_failure"]["code"] == 1008
    assert "1008" in gateway["last_failure"]["reason"]
    assert "1008" in section(text, "explain")


def test_canaries_of_what_is_issued(host, issuer):
    """What is enrolled, and the tokens it was enrolled with."""
    token = issued.ticket(issuer)
    _, text = bundle(host, "before.txt")
    gateway = document(text, "status")["gateways"][0]
    assert gateway["state"] == "unprovisioned"
    assert "HTTP 403" in gateway["reason"]
    assert "provisioning failed" in gateway["reason"]
    assert issued.enroll(host, token).returncode == 0
    host.wait_state()
    _, after = bundle(host, "after.txt")
    assert document(after, "credentials")["credentials"][0]["source"] \
        == "enrolled"
    known = issuer.gateway()
    for one in (text, after):
        assert_free_of(one, {
            "identity": issuer.token, "token": token, "tenant": issued.TENANT,
            "gateway": known.gateway_id,
            **{f"secret{n}": s for n, s in enumerate(known.secrets)}})


def test_what_is_not_known_is_not_shown(rundir, tmp_path):
    """Members that a later relayd may add, anywhere, and texts where words
    are expected."""
    canary = "canaryX77"
    inside = {"new_member": canary, "other": {"deep": [canary]},
              canary: 1, "canary_x": 1, "caN": canary}
    gateway = {"name": canary, "state": canary, "phase": canary,
               "reason": f"closed by the connector: 1008 {canary} {canary}",
               "url": f"wss://{canary}.example:77/{canary}?{canary}",
               "gateway_id": [canary], "tenant": {"x": canary},
               "since": canary, "for_s": f"5{canary}",
               "credential": {"source": canary, "reason": canary, **inside},
               "identities": [canary, {"platform": canary, "bot_id": canary,
                                       "descriptor": {"label": canary}}],
               "agents": [{"name": canary, "uid": 471108154, "platforms": [canary],
                           "number": canary, **inside}],
               "counters": {"dials": 5, "of_" + canary: 1, "new": canary,
                            "newer": {"x": canary}, "canary_x": 1},
               "tls": f"TLSv1.3 {canary}", "address": canary, **inside}
    doc = {"ok": True, "schema": "relayd.status/1", "version": f"9.9-{canary}",
           "pid": 1, "gateways": [gateway], "processes": [
               {"role": canary, "pid": 1, "state": canary, "lacking": canary,
                "layers": {"user": "held", "new": canary, "canary_x": "held"},
                **inside}],
           **inside}
    put_state(rundir, os.getpid(), new_member=canary)
    # What stands for the run directory in texts is none.
    (tmp_path / "RUNDIR").mkdir()
    (tmp_path / "RUNDIR" / "config.json").write_text(json.dumps(
        {"ok": True, "taken": 1, "refused": {"error": canary, "at": 2}}))
    path = tmp_path / "b.txt"
    with serving(rundir / "control.sock", answering(doc)), \
            serving(rundir / "auth.sock", answering(
                {"ok": True, "schema": "relayauthd.credentials/1",
                 "credentials": [{"gateway": canary, "reason": canary,
                                  "secret": canary, **inside}], **inside})):
        done = run(rundir, "bundle", "-f", "/nonexistent", str(path),
                   cwd=tmp_path)
    assert done.returncode == 0, done
    text = path.read_text()
    assert "canary" not in text.lower()
    assert "471108154" not in text
    shown = document(text, "status")["gateways"][0]
    assert shown["counters"]["dials"] == 5
    assert shown["reason"] == "closed by the connector 1008 …"
    assert shown["url"] == "wss://host-1/…"
    assert shown["name"] == "gateway-1"
    assert shown["state"] == shown["phase"] == "…"
    assert "no list names them" in section(text, "status")


@pytest.mark.parametrize("answer", ["", "[]", "{", '{"ok":true}', "canary",
                                    '{"ok":true,"gateways":{"x":"canary"}}',
                                    '{"ok":true,"gateways":[["canary"]]}'])
def test_a_damaged_answer(rundir, tmp_path, answer):
    path = tmp_path / "b.txt"
    with serving(rundir / "control.sock", answering(answer)):
        done = run(rundir, "bundle", "-f", "/nonexistent", str(path))
    assert done.returncode == 0, done
    assert "canary" not in path.read_text()
