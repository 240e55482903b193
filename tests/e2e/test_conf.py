# SPDX-License-Identifier: ISC
"""Bad configuration: at start exit 78 and a sentence with file, line, column,
key path and what would be right; on reload the same, and nothing changes."""

import os
import re
import subprocess

import pytest

GOOD = """\
gateways:
  main:
    url: https://connector.example
    identities:
      - {platform: discord, bot_id: "1"}
"""

# What stands in the file; where it is wrong; what is said.
BAD = [
    ("", "", "empty"),
    ("gateways: {}\n", "1:1", "gateways"),
    (GOOD + "\turl: x\n", "6:1", "tab"),
    (GOOD + "    ulr: x\n", "6:5", "did you mean url?"),
    (GOOD + "    url: https://b.example\n", "6:5", "twice"),
    (GOOD + "logs: {}\n", "6:1", "did you mean log?"),
    (GOOD + "    tls: {verify: false}\n", "6:11", "cannot be switched off"),
    (GOOD + "    tls: {ca_file: ca.pem}\n", "6:20", "gateways.main.tls.ca_file"),
    (GOOD + "    tls: {plaintext: maybe}\n", "6:22", "true"),
    (GOOD + "    reconnect: {min: 5ms}\n", "6:22", "10ms"),
    (GOOD + "    reconnect: {min: 10s, max: 1s}\n", "6", "max"),
    (GOOD + "    reconnect: {min: soon}\n", "6:22", "gateways.main.reconnect.min"),
    (GOOD + "    agents: {window: 0}\n", "6:22", "1"),
    (GOOD + "    agents: {window: 1000000}\n", "6:22", "4096"),
    (GOOD + "    agents: {when_no_agent: sleep}\n", "6:29", "idle"),
    (GOOD + "    secret: {file: [a]}\n", "6:20", "gateways.main.secret.file"),
    (GOOD + "    proxy: {url: \"http://u:p@proxy:3128\"}\n", "6:18", "file"),
    (GOOD + "    display_name: *x\n", "6:19", "aliases"),
    (GOOD.replace("https", "ws"), "3:10", "plaintext"),
    (GOOD.replace("https", "gopher"), "3:10", "gateways.main.url"),
    (GOOD.replace("main:", "Main Gateway:"), "2:3", "gateways"),
    (GOOD.replace("discord", "Dis cord"), "5:20", "identities[0].platform"),
    (GOOD + "      - {platform: discord, bot_id: \"2\"}\n", "6",
     "one identity for each platform"),
    (GOOD + "---\nlog: {}\n", "6:1", "document"),
    (GOOD + "log: {level: loud}\n", "6:14", "debug"),
]


@pytest.mark.parametrize("text, where, phrase", BAD,
                         ids=[f"{n}-{p[2][:20]}" for n, p in enumerate(BAD)])
def test_exit_78_with_a_sentence(make_relayd, text, where, phrase):
    relayd = make_relayd(text).start()
    assert relayd.wait_exit() == 78
    line = next(l for l in relayd.lines if l.startswith("relayd: "))
    assert f"relayd.yaml:{where}" in line
    assert phrase in line
    assert not (relayd.run / "control.sock").exists()
    check = relayd.ctl("check", "-f", str(relayd.conf))
    assert check.returncode == 1
    assert phrase in check.stdout + check.stderr


def test_on_reload_nothing_changes(relayd, connector):
    """Every bad file, one after the other, under a live link."""
    before = relayd.gateway()
    pids = relayd.pids()
    for text, where, phrase in BAD:
        relayd.configure(text)
        answer = relayd.reload()
        assert not answer["ok"] and answer["code"] == "refused", answer
        assert f"relayd.yaml:{where}" in answer["error"]
        assert phrase in answer["error"]
    done = relayd.ctl("reload")
    assert done.returncode == 1 and "relayd.yaml" in done.stderr
    after = relayd.gateway()
    assert after["counters"]["dials"] == before["counters"]["dials"]
    assert (after["state"], after["since"]) == ("connected", before["since"])
    assert relayd.pids() == pids
    agent = relayd.agent()
    connector.say("discord", "c1", "undisturbed")
    agent.ack(agent.inbound("undisturbed"))
    connector.wait_all_acked()


def test_what_cannot_be_taken_changes_nothing(relayd, connector):
    """A good file whose CA is none, or cannot be parsed: then the second phase's
    first half refuses."""
    config = relayd.config
    empty = relayd.write("empty.pem", "no certificate\n")
    relayd.connect_to(connector, tls={"ca_file": str(empty)})
    answer = relayd.reload()
    assert not answer["ok"], answer
    assert f"{empty}: holds no certificate (PEM): name" in answer["error"]
    bad = relayd.write("bad.pem", "-----BEGIN CERTIFICATE-----\nx\n")
    relayd.connect_to(connector, tls={"ca_file": str(bad)})
    answer = relayd.reload()
    assert not answer["ok"] and "bad.pem" in answer["error"], answer
    gone = relayd.dir / "nowhere.pem"
    relayd.connect_to(connector, tls={"ca_file": str(gone)})
    answer = relayd.reload()
    assert not answer["ok"] and "nowhere.pem" in answer["error"], answer
    assert relayd.gateway()["counters"]["dials"] == 1
    relayd.configure(config)
    assert relayd.reload()["ok"]
    assert relayd.gateway()["counters"]["dials"] == 1


def test_a_group_that_does_not_exist(make_relayd, connector):
    relayd = make_relayd().connect_to(
        connector, agents={"group": "no-such-group"}).start()
    assert relayd.wait_exit() == 78
    assert "no-such-group" in relayd.log and "agents.group" in relayd.log


@pytest.mark.root
def test_a_file_that_others_can_write(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    relayd.conf.chmod(0o666)
    relayd.start()
    assert relayd.wait_exit() == 78
    assert "can be written by others" in relayd.log


def test_check_only(relayd):
    words = relayd.daemon.command("relayd", "-n", "-f", relayd.conf)
    done = subprocess.run(words, capture_output=True, text=True, check=False,
                          env=relayd.environment(), timeout=20)
    assert done.returncode == 0
    assert "OK" in done.stdout + done.stderr
    done = relayd.ctl("check", "-f", str(relayd.conf))
    assert done.returncode == 0


def check(relayd):
    """relayd -n: its exit status and what it says."""
    words = relayd.daemon.command("relayd", "-n", *relayd.places())
    done = subprocess.run(words, capture_output=True, text=True, check=False,
                          env=relayd.environment(), timeout=20)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("spoil, words", [
    (lambda path: path.chmod(0o644),
     "others can use it (mode 0644): chmod 600"),
    (lambda path: path.unlink(), "No such file or directory: put the file"),
], ids=["readable by others", "missing"])
def test_check_of_a_secret(make_relayd, connector, spoil, words):
    """In the words in which a start warns of it."""
    relayd = make_relayd().connect_to(connector)
    path = relayd.dir / "main.secret"
    spoil(path)
    status, said = check(relayd)
    assert status == 78
    assert "gateways.main.secret: " in said and f"{path}: {words}" in said
    assert "OK" not in said
    relayd.start()
    relayd.wait_gateway(lambda g: words in g["reason"], "to wait for it")
    relayd.wait_log(f"event=credential gateway=main .*{re.escape(words)}")


def test_check_of_an_identity_token(make_relayd, connector):
    """It may come later; what is there must be good."""
    relayd = make_relayd()
    path = relayd.dir / "token"
    relayd.add_gateway(connector, identity_token={"file": str(path)})
    assert check(relayd)[0] == 0
    relayd.write("token", "secret", 0o644)
    status, said = check(relayd)
    assert status == 78
    assert f"gateways.main.identity_token.file: {path}: others can" in said
    path.chmod(0o640)
    assert check(relayd)[0] == 0


def test_check_of_a_bundle(make_relayd, connector):
    """Another file, as the secret's: a check and a start refuse it alike."""
    relayd = make_relayd()
    for path in (relayd.dir / "main.secret",
                 relayd.write("key.pem", "-----BEGIN PRIVATE KEY-----\n")):
        relayd.connect_to(connector, tls={"ca_file": str(path)})
        status, said = check(relayd)
        assert status == 78 and "OK" not in said
        assert (f"gateways.main.tls.ca_file: {path}: holds no certificate "
                "(PEM): name the file") in said
        relayd.start()
        assert relayd.wait_exit() == 78
        assert said.rstrip() in relayd.log


def test_check_of_a_client_secret(make_relayd, connector):
    relayd = make_relayd()
    path = relayd.write("client-secret", "secret", 0o640)
    relayd.add_gateway(connector, identity_token={"oidc": {
        "url": "http://127.0.0.1:9/token", "client_id": "c",
        "client_secret_file": str(path)}})
    status, said = check(relayd)
    assert status == 78
    assert f"client_secret_file: {path}: others can use it" in said
    path.chmod(0o600)
    assert check(relayd) == (0, "configuration OK\n")


def test_usage(daemon):
    for words, code in ((["-x"], 64), (["extra"], 64), (["-v"], 0)):
        done = subprocess.run(daemon.command("relayd", *words), timeout=20,
                              capture_output=True, text=True, check=False)
        assert done.returncode == code, (words, done)
    done = subprocess.run(daemon.command("relay-authd"), timeout=20,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 64 and "relayd" in done.stderr


def test_environment_alone(make_relayd, make_connector):
    connector = make_connector(tls=None)
    relayd = make_relayd(None, env={"XDG_CONFIG_HOME": "/nonexistent"})
    relayd.connect_by_environment(connector)
    if os.path.exists("/etc/relayd/relayd.yaml"):
        pytest.skip("this machine has a relayd.yaml of its own")
    relayd.start()
    assert relayd.wait_state()["credential"]["source"] == "environment"
    agent = relayd.agent()
    connector.say("discord", "c1", "by environment")
    agent.ack(agent.inbound("by environment"))
    connector.wait_all_acked()


def test_environment_and_two_gateways(make_relayd, connector):
    relayd = make_relayd(env={"GATEWAY_RELAY_ID": "x"})
    relayd.connect_to(connector).connect_to(connector, name="other", id="y")
    relayd.start()
    assert relayd.wait_exit() == 78
    assert "GATEWAY_RELAY_ID" in relayd.log
