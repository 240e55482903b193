# SPDX-License-Identifier: ISC
"""Provision, enroll and policy."""

import json
import threading
import time

import pytest

from . import tokens
from .asking import post, raw, request
from .client import Client, Closed

SECRET = "s3cret"
PROVISION = {"gatewayId": "gw-2", "platform": "discord", "botId": "5",
             "gatewayEndpoint": "", "routeKeys": ["g1"]}
POLICY = {"platform": "discord", "requireAddress": True,
          "freeResponseScopes": ["c1"], "allowOtherBots": False}


@pytest.fixture(name="http")
def _http(connector):
    connector.http.identities["id-token"] = "tenant-a"
    return connector.http


def rules(connector):
    return [v.rule for v in connector.violations]


def breach(connector):
    """The one violation's words."""
    found, = connector.violations
    return found.detail


# Provisioning.

def test_provision(connector, http):
    status, answer = post(connector, "/relay/provision", PROVISION, "wrong")
    assert status == 401 and "identity" in answer["error"]
    status, answer = post(connector, "/relay/provision", PROVISION, "id-token")
    assert status == 200 and answer["routeKeys"] == ["g1"]
    assert answer["tenant"] == "tenant-a"
    with Client(connector.url, answer["gatewayId"], answer["secret"]) as client:
        client.dial().hello("discord", "5")
    again = post(connector, "/relay/provision", PROVISION, "id-token")[1]
    assert again == answer
    assert http.count("provision") == 3
    connector.assert_clean(unknown=True)


def test_provision_scripted(connector, http):
    http.script["provision"].append((500, {"error": "scripted"}))
    http.refused["telegram"] = (403, {"error": "not yours"})
    assert post(connector, "/relay/provision", PROVISION,
                "id-token") == (500, {"error": "scripted"})
    assert "gw-2" not in connector.state.gateways
    other = PROVISION | {"platform": "telegram"}
    assert post(connector, "/relay/provision", other,
                "id-token") == (403, {"error": "not yours"})
    assert post(connector, "/relay/provision", PROVISION, "id-token")[0] == 200
    assert list(connector.gateway("gw-2").platforms) == ["discord"]


def test_provision_answers_another_id(connector, http):
    http.renames["gw-2"] = "t:gw-2"
    answer = post(connector, "/relay/provision", PROVISION, "id-token")[1]
    assert answer["gatewayId"] == "t:gw-2"
    with Client(connector.url, "t:gw-2", answer["secret"]) as client:
        client.dial().hello("discord", "5")


def test_provision_issues_a_fresh_secret(connector, http):
    http.fresh_secrets = True
    secrets = [post(connector, "/relay/provision", PROVISION,
                    "id-token")[1]["secret"] for _ in "abc"]
    assert len(set(secrets)) == 3
    for secret in secrets:      # the rotation list keeps them all
        with Client(connector.url, "gw-2", secret) as client:
            client.dial().hello("discord", "5")


def test_provision_of_a_revoked_gateway(connector, http):
    post(connector, "/relay/provision", PROVISION, "id-token")
    connector.revoke("gw-2")
    assert post(connector, "/relay/provision", PROVISION, "id-token")[0] == 403
    connector.restore("gw-2")
    assert post(connector, "/relay/provision", PROVISION, "id-token")[0] == 200
    assert http.count("provision") == 3


@pytest.mark.parametrize("change", [
    {"gatewayEndpoint": None}, {"routeKeys": [1]}, {"displayName": " x"},
    {"displayName": "x" * 65}, {"wakeUrl": ""}, {"instanceId": 3},
    {"gatewayId": ""}, {"platform": ""}, {"botId": 5}, {"routeKeys": "a,b"},
])
def test_provision_breaches(connector, http, change):
    status, _ = post(connector, "/relay/provision", PROVISION | change,
                     "id-token")
    assert status == 400 and rules(connector) == ["provision"]
    assert not http.bodies


def test_unknown_fields_are_counted(connector, http):
    assert post(connector, "/relay/provision", PROVISION | {"x": 1},
                "id-token")[0] == 200
    assert http.count("provision") == 1
    connector.assert_clean()
    with pytest.raises(AssertionError, match="provision.x"):
        connector.assert_clean(unknown=True)


@pytest.mark.usefixtures("http")
@pytest.mark.parametrize("body, what", [
    (b"", "JSON"), (b"[]", "object"), (b"{", "JSON"),
    (b'{"gatewayId":"a","gatewayId":"b"}', "twice"), (b"\xff", "utf-8"),
])
def test_bodies_that_are_none(connector, body, what):
    headers = {"Content-Type": "application/json",
               "Authorization": "Bearer id-token"}
    status, _, _ = request(connector.http_url, "POST", "/relay/provision",
                           body or b" ", headers)
    assert status == 400
    assert what in " ".join(v.detail for v in connector.violations)


@pytest.mark.usefixtures("http")
@pytest.mark.parametrize("header, what", [
    ("Host: x:1", "Host"),
    ("Content-Type: text/plain", "Content-Type"),
    ("Authorization: Basic eDp5", "Bearer"),
    ("Authorization: Bearer a b", "Bearer"),
    ("Cookie: a=b", "Cookie"),
    ("Expect: 100-continue", "Expect"),
    ("Authorization: Bearer id-token\r\nAuthorization: Bearer id-token",
     "Authorization stands twice"),
])
def test_heads_that_break_the_contract(connector, header, what):
    body = json.dumps(PROVISION)
    lines = {"Host": f"Host: 127.0.0.1:{connector.port}",
             "Content-Type": "Content-Type: application/json",
             "Content-Length": f"Content-Length: {len(body)}",
             "Authorization": "Authorization: Bearer id-token"}
    lines[header.partition(":")[0]] = header
    data = "\r\n".join(["POST /relay/provision HTTP/1.1", *lines.values(),
                        "Connection: close", "", body]).encode()
    raw(connector, data)
    assert what in " ".join(v.detail for v in connector.violations)


@pytest.mark.usefixtures("http")
def test_a_query_is_a_breach(connector):
    assert post(connector, "/relay/provision?x=1", PROVISION,
                "id-token")[0] == 400
    assert "query" in breach(connector)


@pytest.mark.usefixtures("http")
def test_a_get_is_a_breach(connector):
    assert request(connector.http_url, "GET", "/relay/provision")[0] == 405
    assert rules(connector) == ["provision"]


@pytest.mark.usefixtures("http")
def test_a_gateway_token_is_no_identity(connector):
    post(connector, "/relay/provision", PROVISION, tokens.mint("gw-1", SECRET))
    assert "gateway's token" in breach(connector)


@pytest.mark.parametrize("where, what", [
    ("gatewayEndpoint", "a gateway's secret"), ("botId", "an enrollment"),
    ("displayName", "the client secret")])
def test_secrets_where_they_do_not_belong(connector, http, where, what):
    http.enrollments["enrol-me"] = "tenant-a"
    http.idp.clients["c"] = ("client-s", "tenant-a")
    value = {"gatewayEndpoint": SECRET, "botId": "x enrol-me",
             "displayName": "client-s"}[where]
    post(connector, "/relay/provision", PROVISION | {where: value}, "id-token")
    assert what in breach(connector)


def test_held_answers(connector, http):
    http.holds["provision"] = threading.Event()
    answers = []
    asking = threading.Thread(target=lambda: answers.append(
        post(connector, "/relay/provision", PROVISION, "id-token")))
    asking.start()
    connector.wait_asked("provision")
    assert not answers
    http.holds["provision"].set()
    asking.join()
    assert answers[0][0] == 200


# Enrolment.

def test_enroll_is_single_use(connector, http):
    http.enrollments["once"] = "tenant-a"
    body = {"enrollmentToken": "once", "gatewayId": "gw-9"}
    status, answer = post(connector, "/relay/enroll", body, "id-token")
    assert status == 200 and answer["deliveryKey"]
    assert post(connector, "/relay/enroll", body, "id-token")[0] == 403
    connector.assert_clean(unknown=True)


def test_enroll_of_another_tenant(connector, http):
    http.identities["other"] = "tenant-b"
    http.enrollments["once"] = "tenant-a"
    body = {"enrollmentToken": "once", "gatewayId": "gw-9"}
    assert post(connector, "/relay/enroll", body, "wrong")[0] == 401
    assert post(connector, "/relay/enroll", body, "other")[0] == 403
    assert "once" in http.enrollments
    assert post(connector, "/relay/enroll", body, "id-token")[0] == 200
    # The gateway's id is that tenant's from now on.
    http.enrollments["next"] = "tenant-b"
    body["enrollmentToken"] = "next"
    status, answer = post(connector, "/relay/enroll", body, "other")
    assert status == 403 and "another tenant" in answer["error"]


def test_enroll_again_rotates_and_ends_a_revocation(connector, http):
    connector.revoke("gw-1")
    http.enrollments["once"] = "tenant-a"
    answer = post(connector, "/relay/enroll", {
        "enrollmentToken": "once", "gatewayId": "gw-1"}, "id-token")[1]
    assert answer["secret"] != SECRET
    for secret in (answer["secret"], SECRET):
        with Client(connector.url, "gw-1", secret) as client:
            client.dial().hello()


@pytest.mark.usefixtures("http")
@pytest.mark.parametrize("change", [{"enrollmentToken": ""},
                                    {"gatewayId": ""}, {"gatewayId": None}])
def test_enroll_breaches(connector, change):
    body = {"enrollmentToken": "once", "gatewayId": "gw-9"}
    assert post(connector, "/relay/enroll", body | change,
                "id-token")[0] == 400
    assert set(rules(connector)) == {"enroll"}


# Rotation and clocks.

def test_an_old_secret_stays_valid_for_a_while(connector):
    connector.rotate("newer", keep_s=3600)
    with Client(connector.url) as client:
        client.dial().hello()
    gateway = connector.gateway()
    assert gateway.until[SECRET] > time.monotonic() + 60
    gateway.until[SECRET] = 0       # its time is over
    with Client(connector.url) as client:
        with pytest.raises(Closed):
            client.dial().receive()
    with Client(connector.url, secret="newer") as client:
        client.dial().hello()
    connector.assert_clean()


def test_date_follows_the_clock_on_every_route(connector, http):
    connector.settings.clock_offset = -86400 * 365 * 20
    for name in (None, "chunked"):
        http.always["policy"] = name
        headers = request(connector.http_url, "POST", "/relay/policy",
                          json.dumps(POLICY).encode(),
                          {"Content-Type": "application/json",
                           "Authorization": "Bearer "
                           + tokens.mint("gw-1", SECRET)})[1]
        assert " 2006 " in headers["Date"]
    connector.settings.send_date = False
    assert "Date" not in request(connector.http_url, "GET", "/nowhere")[1]


# The relevance policy.

def test_policy(connector):
    gateway = connector.gateway()
    assert gateway.policy("discord")["requireAddress"] is True
    bearer = tokens.mint("gw-1", SECRET)
    assert post(connector, "/relay/policy", POLICY, bearer)[0] == 200
    assert connector.state.policies == [("gw-1", POLICY)]
    # A full replace, for one platform.
    new = {"requireAddress": False, "freeResponseScopes": [],
           "allowOtherBots": True}
    assert post(connector, "/relay/policy", {"platform": "discord", **new},
                bearer)[0] == 200
    connector.wait_policy("discord", new)
    assert gateway.policy("telegram") != new
    with pytest.raises(TimeoutError):
        connector.wait_policy("telegram", new, timeout=0.05)
    connector.assert_clean(unknown=True)


def test_policy_breaches(connector):
    bearer = tokens.mint("gw-1", SECRET)
    assert post(connector, "/relay/policy", POLICY, "x")[0] == 401
    assert rules(connector) == ["token"]
    body = POLICY | {"requireAddress": 1}
    assert post(connector, "/relay/policy", body, bearer)[0] == 400
    body = POLICY | {"platform": "slack"}
    assert post(connector, "/relay/policy", body, bearer)[0] == 400
    assert rules(connector) == ["token", "policy", "policy"]


def test_policy_of_a_revoked_gateway(connector):
    connector.revoke()
    assert post(connector, "/relay/policy", POLICY,
                tokens.mint("gw-1", SECRET))[0] == 401
    connector.assert_clean()
