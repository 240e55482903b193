# SPDX-License-Identifier: ISC
"""Each odd answer is what its name says."""

import http.client
import io
import json
import ssl

import pytest

from . import answers
from .asking import raw
from .elsewhere import Elsewhere
from .face import Connector
from .test_http_side import PROVISION

# Those that are whole although the connection stays, and how they end.
LEFT_OPEN = {"left_open": b"}", "left_open_after_chunks": b"\r\n0\r\n\r\n"}
HELD = {"silence", "stalled_in_the_body", "huge_by_its_header",
        "drips_for_ever", *LEFT_OPEN}
ENDLESS = {name for name in answers.names() if name.startswith("endless")}
ENOUGH = 2 * answers.LIMIT


@pytest.fixture(name="http")
def _http(connector):
    connector.http.identities["id-token"] = "tenant-a"
    connector.http.elsewhere = "http://localhost:1"
    return connector.http


def ask(connector, name, patience=ENOUGH):
    """The bytes of an odd answer to a request that was right."""
    connector.http.script["provision"].append(name)
    body = json.dumps(PROVISION)
    data = "\r\n".join([
        "POST /relay/provision HTTP/1.1",
        f"Host: 127.0.0.1:{connector.port}",
        "Content-Type: application/json", f"Content-Length: {len(body)}",
        "Authorization: Bearer id-token", "", body]).encode()
    if name in LEFT_OPEN:
        return raw(connector, data,
                   lambda got: got.endswith(LEFT_OPEN[name]))
    if name in HELD:
        return raw(connector, data, lambda got: name == "silence" or (
            got[-1:] in (b"}", b'"') or len(got) > 9))
    return raw(connector, data, lambda got: len(got) > patience)


@pytest.mark.usefixtures("http")
@pytest.mark.parametrize("name", sorted(
    set(answers.names()) - HELD - ENDLESS))
def test_it_is_sent_and_ends(connector, name):
    got = ask(connector, name)
    assert len(got) <= ENOUGH
    assert bool(got.strip(b"<reset>")) == (name not in (
        "cut_at_once", "closed_at_once"))
    assert connector.state.requests[-1][2] == 0
    connector.assert_clean(unknown=True)


@pytest.mark.usefixtures("http")
@pytest.mark.parametrize("name", sorted(ENDLESS))
def test_it_has_no_end(connector, name):
    assert len(ask(connector, name)) > ENOUGH


class _Bytes:
    """What http.client reads an answer from."""

    def __init__(self, data):
        self.data = data

    def makefile(self, *_args):
        return io.BytesIO(self.data)


def read(data):
    answer = http.client.HTTPResponse(_Bytes(data), method="POST")
    answer.begin()
    return answer, answer.read()


@pytest.mark.usefixtures("http")
@pytest.mark.parametrize("name", sorted(
    set(answers.names(takes=True)) - HELD))
def test_what_must_be_taken_is_right(connector, name):
    """Python's client, lenient as it is, finds the credential in it."""
    answer, body = read(ask(connector, name))
    assert 200 <= answer.status < 300
    assert json.loads(body)["secret"] == connector.gateway("gw-2").secrets[0]


@pytest.mark.usefixtures("http")
def test_sizes(connector):
    assert len(read(ask(connector, "huge"))[1]) == answers.LIMIT + 1
    assert len(read(ask(connector, "huge_chunked"))[1]) > answers.LIMIT
    assert len(ask(connector, "nearly_too_long")) < answers.LIMIT


@pytest.mark.usefixtures("http")
def test_cuts_show_in_tls(tmp_path):
    """A cut has no goodbye, an end has one."""
    with Connector(tmp_path, tls="good") as connector:
        connector.http.identities["id-token"] = "tenant-a"
        context = ssl.create_default_context(cafile=connector.ca_file)
        for name, clean in (("until_close", True), ("cut_in_the_body", False)):
            connector.http.script["provision"].append(name)
            client = http.client.HTTPSConnection(
                "127.0.0.1", connector.port, timeout=10, context=context)
            client.request("POST", "/relay/provision", json.dumps(PROVISION),
                           {"Content-Type": "application/json",
                            "Authorization": "Bearer id-token"})
            try:
                body = client.getresponse().read()
                assert clean and b"secret" in body
            except (http.client.IncompleteRead, OSError):
                assert not clean
            client.close()


def test_odd_answers_need_a_good_request(connector):
    """A refusal stays one."""
    connector.http.always["provision"] = "silence"
    got = raw(connector, (
        "POST /relay/provision HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{connector.port}\r\nContent-Length: 2\r\n"
        "Authorization: Bearer x\r\nConnection: close\r\n\r\n{}").encode())
    assert got.startswith(b"HTTP/1.1 400")


def test_redirects_and_visits(connector, http):
    with Elsewhere() as elsewhere:
        http.elsewhere = elsewhere.http_url
        for name in answers.names("redirect"):
            answer, _ = read(ask(connector, name))
            assert answer.headers["Location"].startswith(elsewhere.http_url)
        elsewhere.assert_unvisited()
        assert elsewhere.visits == 0
        port = http.elsewhere.rpartition(":")[2]
        client = http_client(port)
        client.request("GET", "/relay")
        assert b"gw-elsewhere" in client.getresponse().read()
        client.close()
        assert elsewhere.visits == 1
        with pytest.raises(AssertionError, match="GET /relay"):
            elsewhere.assert_unvisited()


def http_client(port):
    return http.client.HTTPConnection("localhost", int(port), timeout=10)
