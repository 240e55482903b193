# SPDX-License-Identifier: ISC
"""A small HTTP client, to test the connector's routes with."""

import http.client
import json
import socket
from urllib.parse import urlsplit

TIMEOUT_S = 10


def request(url, method, path, body=b"", headers=()):
    """One request; (status, headers, body's bytes)."""
    where = urlsplit(url)
    client = http.client.HTTPConnection(where.hostname, where.port,
                                        timeout=TIMEOUT_S)
    try:
        client.request(method, path, body or None, dict(headers))
        answer = client.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        client.close()


def post(connector, route, body, bearer, **headers):
    """POST an object as JSON; (status, the answer's object)."""
    headers.setdefault("Content-Type", "application/json")
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    status, _, data = request(connector.http_url, "POST", route,
                              json.dumps(body).encode(), headers)
    return status, json.loads(data)


def post_form(connector, form, **headers):
    headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    status, _, data = request(connector.http_url, "POST", "/idp/token",
                              form.encode(), headers)
    return status, json.loads(data)


def raw(connector, data, enough=lambda data: False):
    """Send bytes; what came until the end, or until it is enough."""
    got = b""
    address = ("127.0.0.1", connector.port)
    with socket.create_connection(address, TIMEOUT_S) as sock:
        sock.sendall(data)
        try:
            while not enough(got):
                part = sock.recv(65536)
                if not part:
                    break
                got += part
        except ConnectionResetError:
            got += b"<reset>"
    return got
