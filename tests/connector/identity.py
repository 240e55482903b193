# SPDX-License-Identifier: ISC
"""An identity provider: an OAuth 2 token endpoint for client credentials, and
a metadata server."""

import secrets

from aiohttp import web

from . import strict

TOKEN_FIELDS = ("grant_type", "client_id", "client_secret", "scope")


class Identity:
    """Who gets which identity token; part of an HttpSide."""

    def __init__(self, http):
        self.http = http
        self.clients = {}           # client id: (client secret, tenant)
        self.scope = ""             # what must be asked for; empty: nothing
        self.metadata_tenant = ""   # whose token the metadata server gives
        self.metadata_form = "bare"     # "bare", "line" or "json"
        self.issued = []            # every token given, oldest first

    def issue(self, tenant):
        """A new identity token, looking like a JWT; it is valid until it is
        taken out of http.identities."""
        token = ".".join(["eyJhbGciOiJFUzI1NiJ9", secrets.token_urlsafe(48),
                          secrets.token_urlsafe(32)])
        self.http.identities[token] = tenant
        self.issued.append(token)
        return token

    # The token endpoint (RFC 6749, 4.4).

    def check_token(self, request, raw):
        """(fields, problems) of a request."""
        fields, problems = strict.parse_form(raw)
        if "Authorization" in request.headers:
            problems.append("a bearer was sent to the token URL")
        for name in fields:
            if name not in TOKEN_FIELDS:
                problems.append(f"{name} is no field of this request")
        for name in TOKEN_FIELDS[:3]:
            if not fields.get(name):
                problems.append(f"{name} is missing or empty")
        if fields.get("scope") == "":
            problems.append("scope is sent though not set")
        if fields.get("grant_type", "client_credentials") \
                != "client_credentials":
            problems.append("grant_type is not client_credentials")
        return fields, problems

    def token(self, _request, fields):
        secret, tenant = self.clients.get(fields["client_id"], (None, None))
        if secret is None or secret != fields["client_secret"]:
            return 401, {"error": "invalid_client",
                         "error_description": "no such client"}
        if self.scope and fields.get("scope") != self.scope:
            return 400, {"error": "invalid_scope"}
        return 200, {"access_token": self.issue(tenant),
                     "token_type": "Bearer", "expires_in": 300}

    # The metadata server.

    def check_metadata(self, request, raw):
        problems = []
        if raw:
            problems.append("a GET with a body")
        if "Authorization" in request.headers:
            problems.append("a bearer was sent to the metadata server")
        return {}, problems

    def metadata(self, _request, _fields):
        if not self.metadata_tenant:
            return 404, {"error": "no identity is attached to this machine"}
        token = self.issue(self.metadata_tenant)
        if self.metadata_form == "json":
            return 200, {"access_token": token}
        return 200, token + ("\n" if self.metadata_form == "line" else "")


def plain(status, body):
    """The answer of a metadata server that gives bare text."""
    return web.Response(status=status, text=body, content_type="text/plain")
