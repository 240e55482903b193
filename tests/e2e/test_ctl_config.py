# SPDX-License-Identifier: ISC
"""relay-ctl show config: what relayd lives by, where each value came from, and
nothing secret."""

import json
import signal

import pytest

CANARY = "canary-of-a-secret"


def values(relayd, *args):
    """key: (from, value)."""
    code, document = relayd.ctl_json("show", "config", *args)
    assert code == 0 and document["schema"] == "relayd.config/1"
    assert document["ok"] and document["file"] in (None, str(relayd.conf))
    return {row["key"]: (row["from"], row["value"])
            for row in document["values"]}


def test_values(make_relayd, connector):
    relayd = make_relayd().connect_to(
        connector, agents={"window": 7}, sessions={"thread_per_user": True},
        journal={"size": "32MiB"})
    relayd.start(wait="connected")
    found = values(relayd)
    assert found["gateways.main.url"] == ("file", connector.http_url)
    assert found["gateways.main.agents.window"] == ("file", 7)
    assert found["gateways.main.agents.ack_timeout"] == ("default", "2m")
    assert found["gateways.main.reconnect.min"] == ("file", "20ms")
    assert found["gateways.main.sessions.thread_per_user"] == ("file", True)
    assert found["gateways.main.journal.size"] == ("file", "32MiB")
    assert found["gateways.main.identities[0].platform"] == (
        "file", "discord")
    assert found["limits.dials_per_second"] == ("default", 50)
    assert "gateways.main.wake_url" not in found
    text = relayd.ctl("show", "config").stdout
    rows = [line.split() for line in text.splitlines()]
    assert ["gateways.main.agents.window", "file", "7"] in rows
    assert ["log.level", "default", "info"] in rows
    assert f"from {relayd.conf}\n" in text


def test_one_gateway(make_relayd, make_connector):
    a, b = make_connector("gw-a"), make_connector("gw-b")
    relayd = make_relayd().connect_to(a, "a").connect_to(b, "b")
    relayd.start(wait="connected")
    text = relayd.ctl("show", "conf", "a").stdout
    assert "gateways.a.url" in text
    assert "gateways.b." not in text and "log.level" not in text
    done = relayd.ctl("show", "config", "nope")
    assert done.returncode == 1
    assert "no gateway is named nope" in done.stderr


def test_environment(make_relayd, make_connector):
    connector = make_connector(tls=None)
    relayd = make_relayd()
    relayd.connect_by_environment(connector)
    relayd.start()
    relayd.wait_state()
    found = values(relayd)
    assert found["gateways.main.url"] == ("environment", connector.url)
    assert found["gateways.main.id"][0] == "environment"
    assert found["gateways.main.identities[0].bot_id"] == (
        "environment", "1234")
    assert found["gateways.main.identities[0].platform"] == (
        "environment", "discord")
    assert found["gateways.main.secret"] == ("environment", "(not shown)")
    assert found["gateways.main.agents.window"] == ("default", 64)
    assert "from the environment" in relayd.ctl("show", "config").stdout


def test_nothing_secret(make_relayd, connector):
    relayd = make_relayd().connect_to(
        connector, wake_url=f"https://wake.example/w?key={CANARY}")
    relayd.write("main.secret", f"{CANARY}\n", 0o600)
    relayd.env["GATEWAY_RELAY_IDP_CLIENT_SECRET"] = CANARY
    relayd.env["GATEWAY_RELAY_IDP_TOKEN_URL"] = f"https://idp/t?k={CANARY}"
    relayd.env["GATEWAY_RELAY_IDP_CLIENT_ID"] = "host-1"
    relayd.start()
    relayd.wait_gateway(lambda g: True, "to be there")
    found = values(relayd)
    assert found["gateways.main.wake_url"] == (
        "file", "https://wake.example/w?(not shown)")
    assert found["gateways.main.identity_token.oidc.url"] == (
        "environment", "https://idp/t?(not shown)")
    assert found["gateways.main.secret.file"][1].endswith("main.secret")
    assert CANARY not in json.dumps(found)
    assert CANARY not in relayd.ctl("show", "config").stdout
    assert CANARY not in (relayd.run / "config.json").read_text()


def test_a_command_without_its_arguments(make_relayd, connector):
    user = {"user": "nobody"} if make_relayd().daemon.is_root else {}
    relayd = make_relayd().connect_to(connector, identity_token={
        "command": ["/bin/echo", CANARY, "x"], **user})
    relayd.start(wait="connected")
    found = values(relayd)
    assert found["gateways.main.identity_token.command"] == (
        "file", ["/bin/echo", "(2 more, not shown)"])


def test_reload(relayd, connector):
    good = relayd.conf.read_text()
    relayd.configure(good + "log: {level: loud}\n")
    assert relayd.ctl("reload").returncode == 1
    text = relayd.ctl("show", "config").stdout
    assert "a new one was refused, and this one stays: " in text
    assert "log.level" in text.splitlines()[-1]
    told = relayd.ctl("explain").stdout
    assert told.startswith("relayd: lives by an older configuration\n")
    assert "trouble   configuration: a new one was refused" in told
    assert "\n\nmain: connected" in told
    told = relayd.ctl("status").stdout.splitlines()[-1]
    assert told.startswith("a new configuration was refused ")
    assert "log.level" in told
    relayd.configure(good + "log: {level: debug}\n")
    assert relayd.ctl("reload").returncode == 0
    assert values(relayd)["log.level"] == ("file", "debug")
    assert "refused" not in relayd.ctl("show", "config").stdout
    assert relayd.ctl("explain").stdout.startswith("main: connected")
    assert "refused" not in relayd.ctl("status").stdout
    assert connector.link()


def test_without_an_engine(relayd):
    relayd.kill("engine", signal.SIGSTOP)
    assert "gateways.main.url" in values(relayd)
    relayd.kill("engine", signal.SIGCONT)
    relayd.wait_state()


def test_not_running(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    for started in (False, True):
        done = relayd.ctl("show", "config")
        assert done.returncode == 3 and not done.stdout
        assert "relayd is not running" in done.stderr
        if not started:
            relayd.start(wait="connected").stop()
            assert not (relayd.run / "config.json").exists()


@pytest.mark.root
def test_not_for_others(relayd):
    mode = (relayd.run / "config.json").stat().st_mode
    assert mode & 0o777 == 0o640
