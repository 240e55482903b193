# SPDX-License-Identifier: ISC
"""Each use of a secret is logged and counted by the process that has it."""

import re

import pytest

import inject
from base import ROOT
from issued import (EXCHANGE_TIMEOUT_S, credential, enroll, enrolled,
                    provisioned, ticket, wait_credential)
from relay import until

USES = {"link", "provision", "enroll", "policy"}
ENTRY = {"gateway", "source", "gateway_id", "tenant", "since", "age_s",
         "usable", "reason", "tokens_minted", "uses", "last_refusal",
         "revoked", "worked", "delivery_key", "url"}


def said(relayd, *words):
    """Lines of relay-authd's that have all these words."""
    return [line for line in relayd.lines if "authd" in line
            and all(word in line for word in words)]


def test_the_document(make_relayd, issuer, make_connector):
    """One entry for each gateway, in the order of the configuration."""
    other = make_connector("gw-two")
    relayd = provisioned(make_relayd(), issuer).connect_to(other, "other")
    relayd.start(wait="connected")
    code, document = relayd.ctl_json("show", "credentials")
    assert code == 0 and document["schema"] == "relayauthd.credentials/1"
    assert [e["gateway"] for e in document["credentials"]] == ["main", "other"]
    for entry in document["credentials"]:
        assert ENTRY <= entry.keys(), ENTRY - entry.keys()
        assert entry["uses"].keys() >= USES
        assert isinstance(entry["since"], int) and entry["age_s"] >= 0
    assert document["credentials"][0]["url"] == issuer.http_url
    assert document["credentials"][1]["source"] == "file"
    assert document["credentials"][1]["tenant"] in (None, "")


def test_the_manual_has_all_of_it(make_relayd, issuer):
    manual = (ROOT / "docs/relay-authd.8").read_text()
    described = set(re.findall(r"(?m)^\.It Va (\w+)$", manual))
    relayd = provisioned(make_relayd(), issuer).start(wait="connected")
    assert set(credential(relayd)) == described


def test_for_eyes(make_relayd, issuer):
    relayd = provisioned(make_relayd(), issuer).start(wait="connected")
    done = relayd.ctl("show", "credentials")
    assert done.returncode == 0 and not done.stderr
    for word in ("main", "provisioned", "gw-test", "tenant-a"):
        assert word in done.stdout, done.stdout
    gateway = issuer.gateway()
    for secret in (gateway.secrets[0], gateway.delivery_key, issuer.token):
        for part in (secret, secret[:8], secret[-8:]):
            assert part not in done.stdout
    assert relayd.ctl("show", "credentials", "main").returncode in (0, 2)


def test_for_eyes_when_there_is_none(make_relayd, issuer):
    relayd = make_relayd().add_gateway(issuer, identity_token={
        "file": "/nonexistent/token"}).start()
    relayd.wait_state(state="unprovisioned")
    done = relayd.ctl("show", "credentials")
    assert done.returncode == 0
    assert "/nonexistent/token" in done.stdout or "none" in done.stdout


def test_links(relayd, connector):
    for count in range(1, 4):
        entry = wait_credential(
            relayd, lambda e, n=count: e["uses"]["link"] == n,
            f"to have been used {count} times")
        assert entry["tokens_minted"] == count
        assert len(said(relayd, "event=mint", "main")) == count
        connector.drop()
        relayd.wait_gateway(
            lambda g, n=count: g["counters"]["handshakes"] == n + 1,
            "to be back")


@pytest.mark.parametrize("answer, word", [
    (None, "accepted"), ((500, {"error": "no"}), "500"), ("noise", "main")])
def test_provisioning(make_relayd, issuer, answer, word):
    """What for, which gateway, and how it went."""
    if answer:
        issuer.http.script["provision"].append(answer)
    relayd = provisioned(make_relayd(), issuer).start()
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)
    uses = 2 if answer else 1
    assert credential(relayd)["uses"]["provision"] == uses
    assert len(said(relayd, "provision", "main")) >= uses
    assert said(relayd, "provision", "main", word)


def test_enrolments(make_relayd, issuer):
    issuer.register("gw-test", "0" * 64, {"discord": "1234"})
    relayd = enrolled(make_relayd(), issuer)
    assert credential(relayd)["uses"]["enroll"] == 1
    assert enroll(relayd, "enrol-unknown-canary").returncode == 1
    entry = credential(relayd)
    assert entry["uses"]["enroll"] == 2
    assert entry["last_refusal"]["what"] == "enroll"
    assert "403" in entry["last_refusal"]["reason"]
    assert entry["last_refusal"]["at"] > 1e9
    assert len(said(relayd, "enroll", "main")) >= 2
    assert "canary" not in relayd.log


def test_policies(make_relayd, connector):
    relayd = make_relayd().connect_to(connector, identities=[
        {"platform": "discord", "bot_id": "1234", "require_mention": True}])
    relayd.start(wait="connected")
    wait_credential(relayd, lambda e: e["uses"]["policy"] == 1,
                    "to have been used for a policy")
    until(lambda: said(relayd, "policy", "main"), "a line about the policy")
    # A policy's bearer is a token as well.
    assert credential(relayd)["tokens_minted"] == 2


def test_who_asked(make_relayd, issuer):
    """Commands that change something are logged with the peer's uid and
    pid, and without content."""
    issuer.register("gw-test", "0" * 64, {"discord": "1234"})
    relayd = provisioned(make_relayd(), issuer).start(wait="connected")
    token = ticket(issuer)
    assert enroll(relayd, token).returncode == 0
    assert relayd.ctl("forget", "main").returncode == 0
    for command in ("enroll", "forget"):
        lines = said(relayd, command, f"uid {relayd.daemon.uid},", "pid ")
        assert lines, command
    assert token not in relayd.log


def test_bearers_are_not_logged(make_relayd, connector):
    relayd = make_relayd().connect_to(connector, identities=[
        {"platform": "discord", "bot_id": "1234", "require_mention": True}])
    relayd.start(wait="connected")
    connector.wait_asked("policy", 1, EXCHANGE_TIMEOUT_S)
    assert connector.dials[0].token
    assert connector.dials[0].token not in relayd.log
    assert connector.dials[0].token.split(".")[0][:24] not in relayd.log


def test_the_counters_outlive_the_engine(relayd, connector):
    """They are relay-authd's: an engine cannot start them anew."""
    before = credential(relayd)["uses"]["link"]
    relayd.kill_and_wait("engine")
    relayd.wait_state()
    assert credential(relayd)["uses"]["link"] == before + 1
    assert len(connector.dials) == 2


def test_the_engine_cannot_write_them(relayd):
    """What it may say to relay-authd cannot lower a count: asking for a
    token without a connection is refused, counted, and no use."""
    reason = inject.cannot()
    if reason:
        pytest.skip(reason)
    before = credential(relayd)["uses"]["link"]
    with inject.Puppet(relayd.role_pid("engine")) as puppet:
        pipe = inject.FD_OF["engine"]["authd"]
        puppet.sendmsg(pipe, inject.packet("MINT", 0, 99999))
        refused = inject.MESSAGES["MINT_REFUSED"].number
        assert inject.answered(puppet)[0] == refused
    until(lambda: said(relayd, "event=mint_refused"), "the refusal")
    relayd.wait_state()
    assert credential(relayd)["uses"]["link"] >= before
