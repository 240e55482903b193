# SPDX-License-Identifier: ISC
"""Provision, enroll and policy."""

import json
import urllib.error
import urllib.request

import pytest

from . import tokens
from .client import Client

SECRET = "s3cret"


def post(connector, route, body, bearer):
    request = urllib.request.Request(
        connector.http_url + route, json.dumps(body).encode(),
        {"Authorization": f"Bearer {bearer}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


PROVISION = {"gatewayId": "gw-2", "platform": "discord", "botId": "5",
             "gatewayEndpoint": "", "routeKeys": ["g1"]}


def test_provision(connector):
    connector.http.identities["id-token"] = "tenant-a"
    status, answer = post(connector, "/relay/provision", PROVISION, "wrong")
    assert status == 401 and "identity" in answer["error"]
    status, answer = post(connector, "/relay/provision", PROVISION, "id-token")
    assert status == 200 and answer["routeKeys"] == ["g1"]
    with Client(connector.url, answer["gatewayId"], answer["secret"]) as client:
        client.dial().hello("discord", "5")
    connector.http.script["provision"].append((500, {"error": "scripted"}))
    assert post(connector, "/relay/provision", PROVISION,
                "id-token") == (500, {"error": "scripted"})
    connector.assert_clean(unknown=True)


@pytest.mark.parametrize("change", [
    {"gatewayEndpoint": None}, {"routeKeys": [1]}, {"displayName": " x"},
    {"displayName": "x" * 65}, {"wakeUrl": ""}, {"instanceId": 3},
])
def test_provision_breaches(connector, change):
    connector.http.identities["t"] = "tenant-a"
    status, _ = post(connector, "/relay/provision", PROVISION | change, "t")
    assert status == 400
    assert [v.rule for v in connector.violations] == ["provision"]


def test_enroll_is_single_use(connector):
    connector.http.identities["t"] = "tenant-a"
    connector.http.enrollments["once"] = "tenant-a"
    body = {"enrollmentToken": "once", "gatewayId": "gw-9"}
    assert post(connector, "/relay/enroll", body, "t")[0] == 200
    assert post(connector, "/relay/enroll", body, "t")[0] == 403


def test_policy(connector):
    body = {"platform": "discord", "requireAddress": True,
            "freeResponseScopes": ["c1"], "allowOtherBots": False}
    bearer = tokens.mint("gw-1", SECRET)
    assert post(connector, "/relay/policy", body, bearer)[0] == 200
    assert connector.state.policies == [("gw-1", body)]
    assert post(connector, "/relay/policy", body, "x")[0] == 401
    assert [v.rule for v in connector.violations] == ["token"]
    body["requireAddress"] = 1
    assert post(connector, "/relay/policy", body, bearer)[0] == 400
