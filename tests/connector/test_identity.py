# SPDX-License-Identifier: ISC
"""The token endpoint and the metadata server."""

import json

import pytest

from .asking import post, post_form, request
from .test_http_side import PROVISION

GOOD = ("grant_type=client_credentials&client_id=c%2F1"
        "&client_secret=s%26%3D%25+%C3%A9")


@pytest.fixture(name="idp")
def _idp(connector):
    connector.http.idp.clients["c/1"] = ("s&=% é", "tenant-a")
    return connector.http.idp


def test_client_credentials(connector, idp):
    status, answer = post_form(connector, GOOD)
    assert status == 200 and answer["token_type"] == "Bearer"
    assert idp.issued == [answer["access_token"]]
    assert post(connector, "/relay/provision", PROVISION,
                answer["access_token"])[1]["tenant"] == "tenant-a"
    # A token may be taken back.
    del connector.http.identities[answer["access_token"]]
    assert post(connector, "/relay/provision", PROVISION,
                answer["access_token"])[0] == 401
    connector.assert_clean(unknown=True)


def test_wrong_client(connector, idp):
    status, answer = post_form(connector, GOOD + "x")
    assert status == 401 and answer["error"] == "invalid_client"
    assert not idp.issued
    connector.assert_clean()


def test_scope(connector, idp):
    idp.scope = "relay all"
    assert post_form(connector, GOOD)[0] == 400
    assert post_form(connector, GOOD + "&scope=relay+all")[0] == 200
    assert connector.http.asked("token")[-1]["scope"] == "relay all"


@pytest.mark.parametrize("form, what", [
    (GOOD.replace("client_credentials", "password"), "grant_type"),
    (GOOD + "&scope=", "scope"),
    (GOOD + "&audience=x", "audience"),
    (GOOD + "&client_id=d", "twice"),
    (GOOD.replace("%2F", "/"), "percent-encoded"),
    (GOOD.replace("%C3%A9", "%C3"), "UTF-8"),
    (GOOD.replace("%C3%A9", "é"), "ASCII"),
    (GOOD.replace("=client", "client"), "grant_type"),
    (GOOD.partition("&client_secret")[0], "client_secret"),
    (json.dumps({"grant_type": "client_credentials"}), "percent-encoded"),
])
@pytest.mark.usefixtures("idp")
def test_form_breaches(connector, form, what):
    assert post_form(connector, form)[0] == 400
    assert what in " ".join(v.detail for v in connector.violations)


@pytest.mark.usefixtures("idp")
@pytest.mark.parametrize("header, value, what", [
    ("Content-Type", "application/json", "Content-Type"),
    ("Authorization", "Bearer x", "bearer"),
])
def test_head_breaches(connector, header, value, what):
    assert post_form(connector, GOOD, **{header: value})[0] == 400
    assert what in " ".join(v.detail for v in connector.violations)


@pytest.mark.parametrize("form", ["bare", "line", "json"])
def test_metadata(connector, form):
    idp = connector.http.idp
    idp.metadata_tenant, idp.metadata_form = "tenant-m", form
    status, headers, body = request(connector.http_url, "GET",
                                    "/idp/metadata?audience=relay")
    text = body.decode()
    assert status == 200
    if form == "json":
        text = json.loads(text)["access_token"]
    assert text == idp.issued[0] + ("\n" if form == "line" else "")
    assert ("json" in headers["Content-Type"]) == (form == "json")
    connector.assert_clean(unknown=True)


def test_metadata_without_identity(connector):
    assert request(connector.http_url, "GET", "/idp/metadata")[0] == 404


def test_metadata_breaches(connector):
    connector.http.idp.metadata_tenant = "tenant-m"
    assert request(connector.http_url, "GET", "/idp/metadata",
                   headers={"Authorization": "Bearer x"})[0] == 400
    assert request(connector.http_url, "POST", "/idp/metadata",
                   b"x")[0] == 405
    assert len(connector.violations) == 2
