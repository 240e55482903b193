# SPDX-License-Identifier: ISC
"""The connector's HTTP routes: provision, enroll and policy.

Answers can be scripted: script["provision"].append((status, body)) is used
up before the real ones.
"""

import json
import secrets
import time
from collections import deque

from aiohttp import web

from . import tokens
from .lines import BadLine, Doubled, parse
from .model import Gateway

MAX_DISPLAY_NAME = 64

PROVISION = {"gatewayId": str, "platform": str, "botId": str,
             "gatewayEndpoint": str, "routeKeys": list}
# Only sent when set, so never empty.
PROVISION_WHEN_SET = {"instanceId": str, "wakeUrl": str, "displayName": str}
ENROLL = {"enrollmentToken": str, "gatewayId": str}
POLICY = {"platform": str, "requireAddress": bool, "freeResponseScopes": list,
          "allowOtherBots": bool}
LISTS_OF_TEXT = ("routeKeys", "freeResponseScopes")


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class HttpSide:
    """The three routes over a State."""

    def __init__(self, state):
        self.state = state
        self.identities = {}        # identity token: tenant
        self.enrollments = {}       # enrollment token: tenant, single use
        self.renames = {}           # gatewayId asked for: gatewayId answered
        self.bodies = []            # (route, body), for tests to look at
        self.script = {name: deque() for name in
                       ("provision", "enroll", "policy")}

    async def serve(self, request, route):
        name = route.rpartition("/")[2]
        try:
            status, body = 200, await self._answer(request, name, route)
        except Refused as refused:
            status, body = refused.status, {"error": str(refused)}
        if isinstance(body, tuple):
            status, body = body
        self.state.keep(self.state.requests,
                        (request.method, request.raw_path, status))
        self.state.emit("http", method=request.method, route=route,
                        status=status)
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text,
                            content_type="application/json")

    async def _answer(self, request, name, route):
        if request.method != "POST":
            raise Refused(405, "POST only")
        body = self._parse(await request.read(), name)
        self.bodies.append((name, body))
        if self.script[name]:
            return self.script[name].popleft()
        return self.ROUTES[route](self, request, body)

    def _parse(self, raw, name):
        try:
            body = parse(raw.decode())
        except (UnicodeDecodeError, BadLine) as error:
            self._breach(name, f"body: {error}")
        if isinstance(body, Doubled):
            self._breach(name, "a key stands twice")
        return body

    def _breach(self, name, detail):
        self.state.violation(name, detail)
        raise Refused(400, detail)

    def _check(self, name, body, required, when_set=()):
        for field, kind in required.items():
            if type(body.get(field)) is not kind:
                self._breach(name, f"{field} is missing or no {kind.__name__}")
            if field in LISTS_OF_TEXT and not all(
                    isinstance(item, str) for item in body[field]):
                self._breach(name, f"{field} holds something else than text")
        for field in when_set:
            if field in body and not (isinstance(body[field], str)
                                      and body[field]):
                self._breach(name, f"{field} is sent though not set")
        for field in body:
            if field not in required and field not in when_set:
                self.state.ignored(f"{name}.{field}")

    def _tenant(self, request):
        header = request.headers.get("Authorization", "")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or token not in self.identities:
            raise Refused(401, "the identity token was refused")
        return self.identities[token]

    def _credentials(self, asked, tenant, route_keys):
        """The answer of provision and enroll; makes the gateway known."""
        gateway_id = self.renames.get(asked, asked)
        gateway = self.state.gateways.get(gateway_id)
        if gateway is None:
            gateway = Gateway(gateway_id, [secrets.token_hex(32)], {})
            self.state.gateways[gateway_id] = gateway
        gateway.tenant = tenant
        return gateway, {
            "secret": gateway.secrets[0], "deliveryKey": secrets.token_hex(16),
            "tenant": tenant, "gatewayId": gateway_id, "routeKeys": route_keys}

    def _provision(self, request, body):
        self._check("provision", body, PROVISION, PROVISION_WHEN_SET)
        name = body.get("displayName", "x")
        if name != name.strip() or len(name) > MAX_DISPLAY_NAME:
            self._breach("provision", "displayName is not trimmed to 64")
        tenant = self._tenant(request)
        gateway, answer = self._credentials(body["gatewayId"], tenant,
                                            body["routeKeys"])
        gateway.add_platform(body["platform"], body["botId"])
        return answer

    def _enroll(self, request, body):
        self._check("enroll", body, ENROLL)
        tenant = self._tenant(request)
        if self.enrollments.get(body["enrollmentToken"]) != tenant:
            raise Refused(403, "the enrollment token is wrong, expired, used, "
                               "or of another tenant")
        del self.enrollments[body["enrollmentToken"]]
        return self._credentials(body["gatewayId"], tenant, [])[1]

    def _policy(self, request, body):
        verdict = tokens.judge(request.headers.get("Authorization"),
                               self.state.secrets_of, self.state.now(),
                               time.time())
        if verdict.breach:
            self.state.violation("token", verdict.reason, verdict.gateway_id)
        gateway = self.state.gateways.get(verdict.gateway_id)
        if not verdict.ok or gateway.revoked:
            raise Refused(401, "unauthorized")
        self._check("policy", body, POLICY)
        if body["platform"] not in gateway.platforms:
            self._breach("policy", "platform of no identity of this gateway")
        self.state.keep(self.state.policies, (verdict.gateway_id, body))
        return {"ok": True}

    ROUTES = {"/relay/provision": _provision, "/relay/enroll": _enroll,
              "/relay/policy": _policy}
