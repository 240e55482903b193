# SPDX-License-Identifier: ISC
"""The relevance policy reaches the connector, and never holds up the link."""

import re

import pytest

from connector.model import DEFAULT_POLICY
from issued import (EXCHANGE_TIMEOUT_S, credential, enroll, enrolled,
                    provisioned, ticket, wait_credential)
from relay import until


def policy(address, scopes=(), bots=False):
    return {"requireAddress": address, "freeResponseScopes": list(scopes),
            "allowOtherBots": bots}


def identities(*more):
    return [{"platform": platform, "bot_id": bot_id, **fields}
            for (platform, bot_id), fields in zip(
                (("discord", "1234"), ("telegram", "77")), more)]


def connect(make_relayd, connector, *more):
    """A daemon whose identities have these settings too."""
    relayd = make_relayd().connect_to(
        connector, identities=identities(*more))
    return relayd.start(wait="connected")


@pytest.mark.parametrize("settings, expected", [
    ({"require_mention": True}, policy(True)),
    ({"require_mention": False}, policy(False)),
    ({"allow_bots": "mentions"}, policy(False, bots=True)),
    ({"allow_bots": "all"}, policy(False, bots=True)),
    ({"free_response_channels": ["c1", "c\"2"]}, policy(False, ["c1", 'c"2'])),
    ({"free_response_channels": "c1, c2"}, policy(False, ["c1", "c2"])),
    ({"require_mention": True, "free_response_channels": ["c1"],
      "allow_bots": "none"}, policy(True, ["c1"])),
])
def test_after_the_start(make_relayd, connector, settings, expected):
    relayd = connect(make_relayd, connector, settings)
    connector.wait_for(lambda: connector.state.policies, EXCHANGE_TIMEOUT_S)
    connector.wait_policy("discord", expected)
    assert connector.state.policies == [
        ("gw-test", {"platform": "discord", **expected})]
    wait_credential(relayd, lambda e: e["uses"]["policy"] == 1,
                    "to have been used once")
    relayd.wait_gateway(lambda g: g["credential"]["policy"] == "accepted",
                        "to tell of the policy")
    assert credential(relayd)["policy"] == "accepted"


def test_nothing_set_nothing_sent(make_relayd, connector):
    relayd = connect(make_relayd, connector, {})
    connector.drop()
    relayd.wait_gateway(lambda g: g["counters"]["handshakes"] == 2, "be back")
    assert relayd.reload()["ok"]
    relayd.stop()
    assert not connector.http.bodies
    assert connector.gateway().policy("discord") == DEFAULT_POLICY


def test_each_identity_has_its_own(make_relayd, connector):
    connector.gateway().add_platform("telegram", "77")
    connect(make_relayd, connector, {"require_mention": False},
            {"allow_bots": "all", "require_mention": True})
    connector.wait_policy("discord", policy(False), timeout=EXCHANGE_TIMEOUT_S)
    connector.wait_policy("telegram", policy(True, bots=True),
                          timeout=EXCHANGE_TIMEOUT_S)
    assert connector.http.count("policy") == 2


def test_only_where_something_is_set(make_relayd, connector):
    connector.gateway().add_platform("telegram", "77")
    relayd = connect(make_relayd, connector, {}, {"require_mention": False})
    connector.wait_policy("telegram", policy(False),
                          timeout=EXCHANGE_TIMEOUT_S)
    relayd.stop()
    assert connector.http.count("policy") == 1


def test_bots_by_the_environment(make_relayd, connector):
    """Each platform's own variable goes before the file; it leaves alone what
    is not its platform's."""
    connector.gateway().platforms.clear()
    wanted = {"discord": ("none", "mentions"), "whats-app": ("none", "all"),
              "slack": ("all", "none"), "telegram": ("all", None)}
    relayd = make_relayd(env={
        f"{name.upper().replace('-', '_')}_ALLOW_BOTS": value
        for name, (_, value) in wanted.items() if value})
    for name in wanted:
        connector.gateway().add_platform(name, "1")
    relayd.connect_to(connector, identities=[
        {"platform": name, "bot_id": "1", "allow_bots": value}
        for name, (value, _) in wanted.items()]).start(wait="connected")
    for name, allowed in (("discord", True), ("whats-app", True),
                          ("slack", False), ("telegram", True)):
        connector.wait_policy(name, policy(False, bots=allowed),
                              timeout=EXCHANGE_TIMEOUT_S)


def test_after_every_start(make_relayd, connector):
    relayd = connect(make_relayd, connector, {"require_mention": False})
    connector.wait_asked("policy", 1, EXCHANGE_TIMEOUT_S)
    relayd.stop()
    connector.gateway().policies.clear()    # the connector forgot
    relayd.start(wait="connected")
    connector.wait_policy("discord", policy(False), timeout=EXCHANGE_TIMEOUT_S)


def test_when_it_changes(make_relayd, connector):
    relayd = connect(make_relayd, connector, {"require_mention": False})
    connector.wait_asked("policy", 1, EXCHANGE_TIMEOUT_S)
    relayd.connect_to(connector, identities=identities(
        {"require_mention": True, "free_response_channels": ["c9"]}))
    assert relayd.reload()["ok"]
    connector.wait_policy("discord", policy(True, ["c9"]),
                          timeout=EXCHANGE_TIMEOUT_S)
    assert len(connector.dials) == 1, "the link was touched"
    assert connector.http.count("policy") == 2


def test_not_when_nothing_changes(make_relayd, connector):
    relayd = connect(make_relayd, connector, {"require_mention": False})
    connector.wait_asked("policy", 1, EXCHANGE_TIMEOUT_S)
    connector.drop()
    relayd.wait_gateway(lambda g: g["counters"]["handshakes"] == 2, "be back")
    assert relayd.reload()["ok"]
    relayd.stop()
    assert connector.http.count("policy") == 1


def test_when_a_credential_comes(make_relayd, issuer):
    """By provisioning; and by enrolment."""
    relayd = provisioned(make_relayd(), issuer,
                         identities=identities({"require_mention": False}))
    relayd.start(wait="connected")
    issuer.wait_policy("discord", policy(False), timeout=EXCHANGE_TIMEOUT_S)
    assert [name for name, _ in issuer.http.bodies] == ["provision", "policy"]


def test_after_an_enrolment(make_relayd, issuer):
    issuer.register("gw-test", "0" * 64, {"discord": "1234"})
    relayd = enrolled(make_relayd(), issuer,
                      identities=identities({"require_mention": False}))
    issuer.wait_policy("discord", policy(False), timeout=EXCHANGE_TIMEOUT_S)
    assert enroll(relayd, ticket(issuer)).returncode == 0


def test_settings_that_are_taken_away(make_relayd, connector):
    """Nothing is sent then: the contract has no way to say "your default"."""
    relayd = connect(make_relayd, connector, {"require_mention": False})
    connector.wait_asked("policy", 1, EXCHANGE_TIMEOUT_S)
    relayd.connect_to(connector, identities=identities({}))
    assert relayd.reload()["ok"]
    relayd.stop()
    assert connector.http.count("policy") == 1


# Failure only warns.

@pytest.mark.parametrize("answer, phrase", [
    ((500, {"error": "policies are shut"}), "policies are shut"),
    ((401, {"error": "unauthorized"}), "401"),
    ((404, "no such path"), "404"), ("noise", "HTTP|answer"),
    ("cut_in_the_head", "closed|cut|end|reset"), ("redirect_307", "redirect")])
def test_a_failure_is_a_warning(make_relayd, connector, answer, phrase):
    connector.http.always["policy"] = answer
    relayd = connect(make_relayd, connector, {"require_mention": False})
    relayd.wait_log(f"(?i) level=warn process=authd.*policy.*({phrase})",
                    EXCHANGE_TIMEOUT_S)
    gateway = relayd.wait_gateway(
        lambda g: g["state"] == "connected"
        and re.search(f"(?i){phrase}", g["credential"]["policy"] or ""),
        "to tell of the policy")
    assert gateway["credential"]["usable"]
    assert re.search(f"(?i){phrase}", credential(relayd)["policy"])
    assert len(connector.dials) == 1
    assert credential(relayd)["revoked"] is None


def test_the_link_does_not_wait_for_it(make_relayd, connector):
    """No answer at all: the link is up meanwhile, and carries."""
    connector.http.always["policy"] = "silence"
    relayd = connect(make_relayd, connector, {"require_mention": False})
    connector.wait_asked("policy", 1, EXCHANGE_TIMEOUT_S)
    with relayd.agent() as agent:
        connector.say("discord", "c1", "hello")
        agent.ack(agent.inbound("hello"))
        connector.wait_all_acked()


def test_one_failure_leaves_the_other(make_relayd, connector):
    connector.gateway().add_platform("telegram", "77")
    connector.http.script["policy"].append((500, {"error": "not now"}))
    connect(make_relayd, connector, {"require_mention": False},
            {"require_mention": False})
    connector.wait_asked("policy", 2, EXCHANGE_TIMEOUT_S)
    until(lambda: len(connector.state.policies) == 1, "the other policy")


def test_a_new_connection_is_not_taken_for_it(make_relayd, connector):
    """The policy's bearer is not the link's."""
    connect(make_relayd, connector, {"require_mention": False})
    connector.wait_policy("discord", policy(False), timeout=EXCHANGE_TIMEOUT_S)
    assert len(connector.dials) == 1
    assert connector.counters["superseded"] == 0
