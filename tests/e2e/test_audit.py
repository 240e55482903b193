# SPDX-License-Identifier: ISC
"""Each use of a secret is logged and counted by the process that has it."""

import base64
import hashlib
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


def without_ages(table):
    """A table's words, but for how long ago things were: between two calls
    the clock goes on."""
    return re.sub(r"\b\d+[smhd]\b", "AGE", table).split()


def test_for_eyes(make_relayd, issuer):
    relayd = provisioned(make_relayd(), issuer).start(wait="connected")
    done = relayd.ctl("show", "credentials")
    assert done.returncode == 0 and not done.stderr
    for word in ("main", "provisioned", "gw-test", "tenant-a"):
        assert word in done.stdout, done.stdout
    one = relayd.ctl("show", "credentials", "main")
    assert one.returncode == 0 and not one.stderr
    assert without_ages(one.stdout) == without_ages(done.stdout)


def made_of(secret):
    """What it could be tested against, in part: itself, its hashes, and what
    they look like in text."""
    text = secret.encode()
    for name in ("md5", "sha1", "sha256", "sha512"):
        yield hashlib.new(name, text).hexdigest()
    for data in (text, hashlib.sha256(text).digest()):
        yield base64.b64encode(data).decode()
        yield base64.urlsafe_b64encode(data).decode()
    yield secret


def test_nothing_to_test_a_secret_against(make_relayd, issuer):
    """Neither it, nor a part of it, nor what was made of it: not where
    credentials are shown, not in the status, not in the log."""
    relayd = provisioned(make_relayd(), issuer).start(wait="connected")
    issuer.revoke()     # and there is a mark on the disk
    relayd.wait_state(state="disabled")
    shown = [relayd.ctl(*words).stdout for words in (
        ["show", "credentials"], ["--json", "show", "credentials"],
        ["--json", "status"], ["status"], ["show", "gateways"])]
    assert all("main" in text for text in shown)
    gateway = issuer.gateway()
    for secret in (gateway.secrets[0], gateway.delivery_key, issuer.token):
        for form in made_of(secret):
            for part in (form[:8], form[-8:]):
                assert part not in relayd.log
                assert not [text for text in shown if part in text], part


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
    assert said(relayd, "event=use", "main", "enroll: accepted (use 1)")
    assert said(relayd, "event=use", "main", "enroll: ", "403", "(use 2)")
    assert "canary" not in relayd.log


def test_policies(make_relayd, connector):
    relayd = make_relayd().connect_to(connector, identities=[
        {"platform": "discord", "bot_id": "1234", "require_mention": True}])
    relayd.start(wait="connected")
    wait_credential(relayd, lambda e: e["uses"]["policy"] == 1,
                    "to have been used for a policy")
    # A policy's bearer is a token as well.
    assert credential(relayd)["tokens_minted"] == 2
    until(lambda: said(relayd, "event=use", "main",
                       "policy: accepted (use 1)"), "a line about the policy")
    connector.http.script["policy"].append((500, {"error": "not now"}))
    relayd.stop()
    relayd.start(wait="connected")
    relayd.wait_log(r"event=use .*main.*policy: .*not now.*\(use 1\)")


def test_who_asked(make_relayd, issuer):
    """Commands that change something are logged with the peer's uid and
    pid, and without content."""
    issuer.register("gw-test", "0" * 64, {"discord": "1234"})
    relayd = provisioned(make_relayd(), issuer).start(wait="connected")
    token = ticket(issuer)
    assert enroll(relayd, token).returncode == 0
    assert relayd.ctl("forget", "main").returncode == 0
    for command in ("enroll", "forget"):
        until(lambda command=command: said(
            relayd, command, f"uid {relayd.daemon.uid},", "pid "), command)
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


def counters(relayd):
    entry = credential(relayd)
    return {**entry["uses"], "tokens": entry["tokens_minted"]}


def test_the_engine_cannot_write_them(relayd, connector):
    """Whatever it says to relay-authd changes no count: a token is for a
    connection that the dialer reported, and for each one alone."""
    reason = inject.cannot()
    if reason:
        pytest.skip(reason)
    before = counters(relayd)
    refused = inject.MESSAGES["MINT_REFUSED"].number
    with inject.Puppet(relayd.role_pid("engine")) as puppet:
        pipe = inject.FD_OF["engine"]["authd"]
        for words in (["WORKED", 0, 1], ["WORKED", 0, 99999],
                      ["REFUSED", 0, 99999, "x"], ["ENABLE", 0, 0, 1]):
            puppet.sendmsg(pipe, inject.packet(*words))
        for connection in (0, 1, 99999):
            puppet.sendmsg(pipe, inject.packet("MINT", 0, connection))
            assert inject.answered(puppet)[0] == refused, connection
    until(lambda: len(said(relayd, "event=mint_refused")) == 3,
          "the refusals")
    assert counters(relayd) == before
    # They are what the connector saw.
    assert before["link"] == before["tokens"] == len(connector.dials) == 1
