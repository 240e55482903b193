# SPDX-License-Identifier: ISC
"""A managed host: a URL, an identity token, and nobody who types anything."""

import json
import os
import socket
import threading

import pytest

from issued import (EXCHANGE_TIMEOUT_S, TENANT, credential, files_with,
                    provisioned, trust_system, wait_credential, wait_reason,
                    write_token)
from relay import ROLES, until

TWO = [{"platform": "discord", "bot_id": "1234"},
       {"platform": "telegram", "bot_id": "77"}]


def secret_of(connector, gateway="gw-test"):
    return connector.gateway(gateway).secrets[0]


def serves(relayd, connector):
    """A message in, a reply out."""
    with relayd.agent() as agent:
        connector.say("discord", "c1", "hello")
        delivery = agent.inbound("hello")
        agent.ack(delivery)
        assert agent.reply(delivery, "hi")["success"]
        connector.wait_all_acked()


def test_from_nothing_to_connected(make_relayd, issuer):
    relayd = provisioned(make_relayd(), issuer).start(wait="connected")
    assert issuer.http.asked("provision") == [{
        "gatewayId": "gw-test", "platform": "discord", "botId": "1234",
        "gatewayEndpoint": "", "routeKeys": []}]
    gateway = relayd.gateway()
    assert gateway["credential"]["source"] == "provisioned"
    assert gateway["credential"]["usable"]
    assert gateway["gateway_id"] == "gw-test" and gateway["tenant"] == TENANT
    entry = credential(relayd)
    assert entry["source"] == "provisioned" and entry["usable"]
    assert entry["tenant"] == TENANT and entry["delivery_key"]
    assert entry["uses"]["provision"] == 1 and entry["uses"]["enroll"] == 0
    assert entry["uses"]["link"] == entry["tokens_minted"] >= 1
    assert entry["last_refusal"] is None and entry["revoked"] is None
    assert relayd.ctl("status").returncode == 0
    serves(relayd, issuer)


def test_all_that_is_set_is_told(make_relayd, issuer):
    """One POST for each identity, all with the same id."""
    relayd = provisioned(
        make_relayd(), issuer, identities=TWO, instance_id="i-7",
        wake_url="https://me.example/wake", display_name="  My host é  ",
        endpoint="https://me.example", route_keys=["one", "two"])
    relayd.start(wait="connected")
    common = {"gatewayId": "gw-test", "gatewayEndpoint": "https://me.example",
              "routeKeys": ["one", "two"], "instanceId": "i-7",
              "wakeUrl": "https://me.example/wake",
              "displayName": "My host é"}
    issuer.wait_asked("provision", 2)
    assert issuer.http.asked("provision") == [
        {"platform": "discord", "botId": "1234", **common},
        {"platform": "telegram", "botId": "77", **common}]
    issuer.wait_handshaken(platforms=2)


def test_the_first_success_gives_the_secret(make_relayd, issuer):
    """Each POST issues another secret; the first one is used."""
    issuer.http.fresh_secrets = True
    relayd = provisioned(make_relayd(), issuer, identities=TWO)
    relayd.start(wait="connected")
    issuer.wait_asked("provision", 2)
    gateway = issuer.gateway()
    first = gateway.secrets[-2]     # newest first; -1 is as registered
    gateway.secrets = [first]
    issuer.drop()
    relayd.wait_gateway(lambda g: g["counters"]["handshakes"] == 2,
                        "to be back with the first secret")


def test_tokens_carry_the_id_that_was_answered(make_relayd, issuer):
    issuer.http.renames["gw-test"] = "tenant-a:gw:7"
    relayd = provisioned(make_relayd(), issuer).start(wait="connected")
    assert issuer.dials[-1].gateway_id == "tenant-a:gw:7"
    assert relayd.gateway()["gateway_id"] == "tenant-a:gw:7"
    assert credential(relayd)["gateway_id"] == "tenant-a:gw:7"


# By the environment alone.

def environment(connector, **more):
    return {"GATEWAY_RELAY_URL": connector.http_url,
            "GATEWAY_RELAY_PLATFORMS": "discord, telegram",
            "GATEWAY_RELAY_BOT_IDS": json.dumps(
                {"discord": {"botId": "1234", "username": "me"},
                 "telegram": {"botId": "77"}}), **more}


def started(make_relayd, connector, env):
    relayd = make_relayd(env=env)
    trust_system(relayd, connector)
    return relayd.start()


@pytest.mark.parametrize("way", ["metadata", "oauth"])
def test_by_the_environment_alone(make_relayd, issuer, way):
    url = issuer.url.replace("wss", "https").removesuffix("/relay")
    env = environment(issuer, GATEWAY_RELAY_ROUTE_KEYS="a, b",
                      GATEWAY_RELAY_INSTANCE_ID="i-1",
                      GATEWAY_RELAY_DISPLAY_NAME=" Host ",
                      GATEWAY_RELAY_WAKE_URL="https://me.example/w",
                      GATEWAY_RELAY_ENDPOINT="https://me.example")
    if way == "metadata":
        issuer.http.idp.metadata_tenant = TENANT
        env["GATEWAY_RELAY_IDP_TOKEN_URL"] = f"{url}/idp/metadata"
    else:
        issuer.http.idp.clients["host-1"] = ("s&cret%", TENANT)
        issuer.http.idp.scope = "relay all"
        env.update({"GATEWAY_RELAY_IDP_TOKEN_URL": f"{url}/idp/token",
                    "GATEWAY_RELAY_IDP_CLIENT_ID": "host-1",
                    "GATEWAY_RELAY_IDP_CLIENT_SECRET": "s&cret%",
                    "GATEWAY_RELAY_IDP_SCOPE": "relay all"})
    relayd = started(make_relayd, issuer, env)
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)
    issuer.wait_asked("provision", 2)
    common = {"gatewayId": f"gw-{socket.gethostname()}",
              "gatewayEndpoint": "https://me.example", "routeKeys": ["a", "b"],
              "instanceId": "i-1", "wakeUrl": "https://me.example/w",
              "displayName": "Host"}
    issuer.wait_asked("provision", 2)
    assert issuer.http.asked("provision") == [
        {"platform": "discord", "botId": "1234", **common},
        {"platform": "telegram", "botId": "77", **common}]


def test_one_identity_by_the_environment(make_relayd, issuer):
    issuer.http.idp.metadata_tenant = TENANT
    env = environment(issuer, GATEWAY_RELAY_ID="gw-env",
                      GATEWAY_RELAY_IDP_TOKEN_URL=issuer.http_url
                      + "/idp/metadata",
                      GATEWAY_RELAY_PLATFORM="telegram",
                      GATEWAY_RELAY_BOT_ID="5")
    del env["GATEWAY_RELAY_PLATFORMS"], env["GATEWAY_RELAY_BOT_IDS"]
    relayd = started(make_relayd, issuer, env)
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)
    asked, = issuer.http.asked("provision")
    assert (asked["gatewayId"], asked["platform"], asked["botId"]) == (
        "gw-env", "telegram", "5")


def test_the_environment_goes_before_the_file(make_relayd, issuer):
    """Every variable, over a file that sets another value for each."""
    issuer.http.idp.clients["host-env"] = ("env-secret", TENANT)
    issuer.http.idp.scope = "env"
    relayd = make_relayd(env={
        "GATEWAY_RELAY_URL": issuer.http_url, "GATEWAY_RELAY_ID": "gw-env",
        "GATEWAY_RELAY_PLATFORMS": "slack, telegram",
        "GATEWAY_RELAY_BOT_IDS": '{"slack":{"botId":"s"}}',
        "GATEWAY_RELAY_ENDPOINT": "https://env.example",
        "GATEWAY_RELAY_ROUTE_KEYS": "env",
        "GATEWAY_RELAY_INSTANCE_ID": "i-env",
        "GATEWAY_RELAY_WAKE_URL": "https://env.example/wake",
        "GATEWAY_RELAY_DISPLAY_NAME": "env",
        "GATEWAY_RELAY_IDP_TOKEN_URL": issuer.http_url + "/idp/token",
        "GATEWAY_RELAY_IDP_CLIENT_ID": "host-env",
        "GATEWAY_RELAY_IDP_CLIENT_SECRET": "env-secret",
        "GATEWAY_RELAY_IDP_SCOPE": "env", "SLACK_ALLOW_BOTS": "all"})
    trust_system(relayd, issuer)
    relayd.add_gateway(
        issuer, url="https://file.invalid", id="gw-file",
        identities=[{"platform": "discord", "bot_id": "1"},
                    {"platform": "telegram", "bot_id": "of the file"}],
        endpoint="https://file.example", route_keys=["file"],
        instance_id="i-file", wake_url="https://file.example/wake",
        display_name="file", identity_token={"oidc": {
            "url": "https://file.invalid/token", "client_id": "file",
            "client_secret_file": str(relayd.write("f", "file\n", 0o600)),
            "scope": "file"}})
    relayd.start(wait="connected")
    common = {"gatewayId": "gw-env", "gatewayEndpoint": "https://env.example",
              "routeKeys": ["env"], "instanceId": "i-env",
              "wakeUrl": "https://env.example/wake", "displayName": "env"}
    issuer.wait_asked("provision", 2)
    assert issuer.http.asked("provision") == [
        {"platform": "slack", "botId": "s", **common},
        {"platform": "telegram", "botId": "of the file", **common}]
    issuer.wait_policy("slack", {"requireAddress": False,
                                 "freeResponseScopes": [],
                                 "allowOtherBots": True}, gateway="gw-env")


def test_the_environments_secret_goes_before_the_files(make_relayd,
                                                       connector):
    """With its delivery key, which is kept."""
    secret = connector.gateway().secrets[0]
    relayd = make_relayd(env={"GATEWAY_RELAY_SECRET": secret,
                              "GATEWAY_RELAY_DELIVERY_KEY": "d-canary"})
    relayd.connect_to(connector)
    relayd.write("main.secret", "another\n", 0o600)
    relayd.start(wait="connected")
    entry = credential(relayd)
    assert entry["source"] == "environment" and entry["delivery_key"]
    assert "d-canary" not in relayd.log
    for role in ROLES:
        with open(f"/proc/{relayd.role_pid(role)}/environ", "rb") as file:
            assert b"canary" not in file.read(), role


@pytest.mark.parametrize("text", ["{", "[]", '{"discord":7}', "nonsense"])
def test_malformed_bot_ids_are_a_warning(make_relayd, issuer, text):
    issuer.http.idp.metadata_tenant = TENANT
    env = environment(issuer, GATEWAY_RELAY_BOT_IDS=text,
                      GATEWAY_RELAY_ID="gw-env",
                      GATEWAY_RELAY_IDP_TOKEN_URL=issuer.http_url
                      + "/idp/metadata")
    relayd = started(make_relayd, issuer, env)
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)
    relayd.wait_log("(?i) level=warn .*GATEWAY_RELAY_BOT_IDS")
    issuer.wait_asked("provision", 2)
    assert [b["botId"] for b in issuer.http.asked("provision")] == ["", ""]


# Not, or not yet.

def test_a_pinned_secret_is_not_provisioned(make_relayd, connector):
    token = connector.http.idp.issue(TENANT)
    relayd = make_relayd()
    relayd.connect_to(connector, identity_token={
        "file": write_token(relayd, token)})
    relayd.start(wait="connected")
    assert not connector.http.bodies
    assert credential(relayd)["source"] == "file"


def test_without_an_identity_token_it_is_skipped(make_relayd, issuer):
    """Said once in the log, never fatal."""
    relayd = make_relayd().add_gateway(issuer).start()
    gateway = wait_reason(relayd, "identity")
    assert not gateway["reason"].rstrip().endswith(":"), gateway["reason"]
    assert not gateway["credential"]["usable"]
    assert relayd.ctl("status").returncode == 152
    for _ in range(3):
        assert relayd.status()["ok"]
    said = [line for line in relayd.lines if "event=provision " in line
            and "identity" in line]
    assert len(said) == 1, said
    assert not issuer.http.bodies and not issuer.dials


def test_the_token_appears_later(make_relayd, issuer):
    """Its file is written, and the gateway starts by itself."""
    relayd = make_relayd()
    path = relayd.dir / "identity-token"
    relayd.add_gateway(issuer, identity_token={"file": str(path)}).start()
    wait_reason(relayd, str(path), "No such file")
    assert not issuer.http.bodies
    write_token(relayd, issuer.token)
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)
    said = [line for line in relayd.lines if "No such file" in line
            and str(path) in line and " debug " not in line]
    assert len(said) <= 2, "it was said again and again"


def test_one_identity_fails(make_relayd, connector):
    """It is reported and skipped; the other comes up."""
    connector.token = connector.http.idp.issue(TENANT)
    connector.gateway().add_platform("telegram", "77")
    connector.http.refused["telegram"] = (409, {"error": "bot 77 is taken"})
    relayd = provisioned(make_relayd(), connector, identities=TWO)
    relayd.start(wait="connected")
    relayd.wait_log("telegram.*409.*bot 77 is taken|"
                    "telegram.*bot 77 is taken")
    assert credential(relayd)["last_refusal"]["what"] == "provision"
    assert "bot 77 is taken" in credential(relayd)["last_refusal"]["reason"]


def test_the_first_identity_fails(make_relayd, connector):
    connector.token = connector.http.idp.issue(TENANT)
    connector.gateway().add_platform("telegram", "77")
    connector.http.refused["discord"] = (500, {"error": "no room"})
    relayd = provisioned(make_relayd(), connector, identities=TWO)
    relayd.start(wait="connected")
    relayd.wait_log("discord.*no room")
    assert connector.http.count("provision") >= 2


def identities(relayd, **skipped):
    """Wait until those named are skipped for a reason with this word, and no
    other is."""
    def told(gateway):
        shown = {i["platform"]: i["skipped"] for i in gateway["identities"]
                 if i["skipped"] is not None}
        return gateway["state"] == "connected" \
            and shown.keys() == skipped.keys() \
            and all(word in shown[name] for name, word in skipped.items())
    relayd.wait_gateway(told, f"to skip {skipped}",
                        timeout=EXCHANGE_TIMEOUT_S)


def test_no_hello_for_one_that_is_refused(make_relayd, connector):
    """Who is not registered would be a breach; later he is, and both work."""
    connector.token = connector.http.idp.issue(TENANT)
    connector.http.refused["telegram"] = (403, {"error": "not your bot"})
    relayd = provisioned(make_relayd(), connector, identities=TWO)
    relayd.start(wait="connected")
    identities(relayd, telegram="not your bot")
    assert "are fronted: provisioning failed: telegram: " in relayd.ctl(
        "status").stdout
    assert list(connector.link().greeted) == ["discord"]
    serves(relayd, connector)
    # The engine and relay-authd know of it when they are others.
    relayd.kill_and_wait("engine")
    identities(relayd, telegram="not your bot")
    relayd.kill_and_wait("authd")
    identities(relayd, telegram="not your bot")
    assert list(connector.link().greeted) == ["discord"]
    connector.gateway().add_platform("telegram", "77")
    del connector.http.refused["telegram"]
    identities(relayd)
    until(lambda: connector.link().open and list(connector.link().greeted)
          == ["discord", "telegram"], "both hellos")
    # Discord was provisioned once and for all.
    assert sum(body["platform"] == "discord"
               for body in connector.http.asked("provision")) == 1
    serves(relayd, connector)


def test_one_that_a_reload_adds(make_relayd, connector):
    """It is provisioned before its hello is said."""
    connector.token = connector.http.idp.issue(TENANT)
    relayd = provisioned(make_relayd(), connector, identities=TWO[:1])
    relayd.start(wait="connected")
    connector.http.refused["telegram"] = (403, {"error": "not your bot"})
    relayd.config["gateways"]["main"]["identities"] = TWO
    relayd.configure(relayd.config)
    assert relayd.reload()["ok"]
    identities(relayd, telegram="not your bot")
    connector.gateway().add_platform("telegram", "77")
    del connector.http.refused["telegram"]
    identities(relayd)
    until(lambda: connector.link().open and list(connector.link().greeted)
          == ["discord", "telegram"], "both hellos")


def test_all_fail_and_then_not(make_relayd, issuer):
    issuer.http.always["provision"] = (503, {"error": "quota of tenant-a"})
    relayd = provisioned(make_relayd(), issuer).start()
    gateway = wait_reason(relayd, "503", "quota of tenant-a")
    assert "again in" in gateway["reason"]
    issuer.wait_asked("provision", 3, EXCHANGE_TIMEOUT_S)
    assert not issuer.dials
    del issuer.http.always["provision"]
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)


def test_the_identity_token_is_refused(make_relayd, issuer):
    """Another one in the file is read when it is tried again."""
    relayd = make_relayd()
    path = write_token(relayd, "of-another-connector")
    relayd.add_gateway(issuer, identity_token={"file": path}).start()
    wait_reason(relayd, "401")
    write_token(relayd, issuer.token)
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)


@pytest.mark.slow
def test_no_answer_and_then_one(make_relayd, issuer):
    """A whole exchange is waited for, and then it is tried again."""
    issuer.http.script["provision"].append("silence")
    relayd = provisioned(make_relayd(), issuer).start()
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)
    assert issuer.http.count("provision") == 2


def test_nobody_answers(make_relayd, issuer):
    issuer.stop()
    relayd = provisioned(make_relayd(), issuer).start()
    wait_reason(relayd, "refused")
    issuer.start()
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)


def test_one_gateway_does_not_hold_up_another(make_relayd, issuer,
                                              make_connector):
    other = make_connector("gw-two")
    issuer.http.always["provision"] = "silence"
    relayd = provisioned(make_relayd(), issuer).connect_to(other, "other")
    relayd.start()
    relayd.wait_state("other")
    issuer.wait_asked("provision")
    assert relayd.gateway()["state"] == "unprovisioned"


# How long it lasts.

def test_it_outlives_relay_authd(make_relayd, issuer):
    relayd = provisioned(make_relayd(), issuer).start(wait="connected")
    del issuer.http.identities[issuer.token]    # it could not be had again
    for count in range(2, 4):
        relayd.kill_and_wait("authd")
        issuer.drop()
        relayd.wait_gateway(lambda g, n=count: g["state"] == "connected"
                            and g["counters"]["handshakes"] == n,
                            "to be back")
    entry = credential(relayd)
    assert entry["source"] == "provisioned" and entry["tenant"] == TENANT
    assert issuer.http.count("provision") == 1


@pytest.mark.parametrize("role", ["engine", "dialer"])
def test_it_outlives_the_others(make_relayd, issuer, role):
    relayd = provisioned(make_relayd(), issuer).start(wait="connected")
    relayd.kill_and_wait(role)
    relayd.wait_state()
    serves(relayd, issuer)
    assert issuer.http.count("provision") == 1
    assert relayd.gateway()["tenant"] == TENANT


def test_not_a_restart_of_relayd(make_relayd, issuer):
    relayd = provisioned(make_relayd(), issuer).start(wait="connected")
    assert not files_with(secret_of(issuer), relayd.dir)
    relayd.stop()
    assert not files_with(secret_of(issuer), relayd.dir)
    relayd.start(wait="connected")
    assert issuer.http.count("provision") == 2
    serves(relayd, issuer)


def test_a_reload_changes_nothing(make_relayd, issuer):
    relayd = provisioned(make_relayd(), issuer).start(wait="connected")
    assert relayd.reload()["ok"]
    issuer.drop()
    relayd.wait_gateway(lambda g: g["counters"]["handshakes"] == 2,
                        "to be back")
    assert issuer.http.count("provision") == 1


def test_refused_before_it_ever_worked(make_relayd, issuer):
    """What was provisioned is not known to the link's side: again."""
    wrong = {"secret": "f" * 64, "deliveryKey": "d", "tenant": TENANT,
             "gatewayId": "gw-test", "routeKeys": []}
    issuer.register("gw-test", "e" * 64, {"discord": "1234"})
    issuer.http.script["provision"].append((200, wrong))
    issuer.http.script["provision"].append((201, wrong))
    relayd = provisioned(make_relayd(), issuer).start()
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)
    assert issuer.http.count("provision") == 3
    assert credential(relayd)["revoked"] is None


def test_refused_again_and_again_is_bounded(make_relayd, issuer):
    """Not as often as there are dials: with a backoff of its own."""
    issuer.register("gw-test", "e" * 64, {"discord": "1234"})
    issuer.http.always["provision"] = (200, {
        "secret": "f" * 64, "tenant": TENANT, "gatewayId": "gw-test"})
    relayd = provisioned(make_relayd(), issuer,
                         reconnect={"min": "10ms", "max": "20ms"}).start()
    issuer.wait_dials(100, EXCHANGE_TIMEOUT_S)
    assert issuer.http.count("provision") < 10
    assert relayd.gateway()["state"] in ("retrying", "connecting",
                                         "unprovisioned")


def test_refused_after_it_worked(make_relayd, issuer):
    """That is a revocation: nothing is provisioned while the mark stands."""
    relayd = provisioned(make_relayd(), issuer).start(wait="connected")
    issuer.revoke()
    relayd.wait_state(state="disabled")
    assert wait_credential(relayd, lambda e: e["revoked"], "to be revoked")
    relayd.stop()
    relayd.start()
    relayd.wait_state(state="disabled")
    assert issuer.http.count("provision") == 1


def test_killed_while_it_waits_for_the_answer(make_relayd, issuer):
    hold = issuer.http.holds["provision"] = threading.Event()
    relayd = provisioned(make_relayd(), issuer).start()
    issuer.wait_asked("provision")
    relayd.kill_and_wait("authd")
    hold.set()
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)
    serves(relayd, issuer)


def test_stop_while_it_waits_for_the_answer(make_relayd, issuer):
    issuer.http.always["provision"] = "silence"
    relayd = provisioned(make_relayd(), issuer).start()
    issuer.wait_asked("provision")
    relayd.stop()


def test_without_root(make_unprivileged, issuer):
    relayd = provisioned(make_unprivileged(), issuer).start(wait="connected")
    serves(relayd, issuer)
    if relayd.daemon.uid == os.geteuid() or os.geteuid() == 0:
        until(lambda: credential(relayd)["usable"], "a usable credential")
