# SPDX-License-Identifier: ISC
"""The connector's HTTP routes: provision, enroll and policy; and those of an
identity provider (identity.py).

Answers can be scripted.  script["provision"].append(…) is used up before the
real ones, always["provision"] = … as long as it stands there; either is

  (status, body)     the route does nothing else
  "name"             of an odd answer (answers.py); the route does its work

and holds["provision"] = threading.Event() keeps answers back until it is set.
What a gateway sends is checked before any of that.
"""

import asyncio
import json
import secrets
import time
from collections import deque
from email.utils import formatdate

from aiohttp import web

from . import answers, strict, tokens
from .identity import Identity, plain
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


class Route:
    """A path: how it is asked, checked and answered."""

    def __init__(self, name, method, content_type, check, act, key):
        self.name, self.method, self.content_type = name, method, content_type
        self.check = check      # fn(request, raw) -> (body, problems)
        self.act = act          # fn(request, body) -> body or (status, body)
        self.key = key          # most important field of the answer


class HttpSide:
    """The routes over a State."""

    def __init__(self, state):
        self.state = state
        self.identities = {}        # identity token: tenant
        self.enrollments = {}       # enrollment token: tenant, single use
        self.used = set()           # enrollment tokens that were
        self.renames = {}           # gatewayId asked for: gatewayId answered
        self.refused = {}           # platform: (status, body) of provision
        self.bodies = []            # (route's name, body), as they came
        self.fresh_secrets = False  # each provision issues a new secret
        self.elsewhere = ""         # URL that redirects name
        self.idp = Identity(self)
        rows = (
            Route("provision", "POST", strict.JSON, self._check_provision,
                  self._provision, "secret"),
            Route("enroll", "POST", strict.JSON, self._check_enroll,
                  self._enroll, "secret"),
            Route("policy", "POST", strict.JSON, self._check_policy,
                  self._policy, "ok"),
            Route("token", "POST", strict.FORM, self.idp.check_token,
                  self.idp.token, "access_token"),
            Route("metadata", "GET", None, self.idp.check_metadata,
                  self.idp.metadata, "access_token"),
        )
        self.routes = {row.name: row for row in rows}
        self.script = {row.name: deque() for row in rows}
        self.always = {}
        self.holds = {}

    def find(self, path, base):
        """The route of a path, or None."""
        if path in ("/idp/token", "/idp/metadata"):
            return self.routes[path.rpartition("/")[2]]
        prefix = f"{base}/relay/"
        name = path[len(prefix):] if path.startswith(prefix) else ""
        return self.routes.get(name) if name in (
            "provision", "enroll", "policy") else None

    def count(self, name):
        """How often a route was asked in a way that it understood."""
        return sum(1 for route, _ in self.bodies if route == name)

    def asked(self, name):
        """The bodies a route got."""
        return [body for route, body in self.bodies if route == name]

    # Serving.

    async def serve(self, request, route):
        raw = await request.read()
        scripted = None
        try:
            body = self._check(request, raw, route)
            scripted = self._scripted(route.name)
            await self._held(route.name)
            answer = (scripted if isinstance(scripted, tuple)
                      else route.act(request, body))
        except Refused as refused:
            answer = refused.status, {"error": str(refused)}
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        if isinstance(scripted, str) and status == 200:
            return await self._play(request, route, scripted, body)
        self._note(request, route, status)
        if route.name == "metadata" and isinstance(body, str):
            return plain(status, body)
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text,
                            content_type="application/json")

    def _note(self, request, route, status):
        self.state.keep(self.state.requests,
                        (request.method, request.raw_path, status))
        self.state.emit("http", method=request.method, route=route.name,
                        status=status)

    def _check(self, request, raw, route):
        """The body of a request that keeps to the contract."""
        if request.method != route.method:
            self.state.violation(route.name, f"method {request.method}")
            raise Refused(405, f"{route.method} only")
        problems = strict.check_head(request, route.content_type,
                                     route.name in ("token", "metadata"))
        problems += strict.find_leaks(request, raw, self._secrets(route.name))
        body, more = route.check(request, raw)
        problems += more
        if problems:
            for problem in problems:
                self.state.violation(route.name, problem)
            raise Refused(400, "; ".join(problems))
        self.bodies.append((route.name, body))
        self.state.changed()
        return body

    def _secrets(self, name):
        """What must not be in a request of this route."""
        everything = {
            "a gateway's secret": {
                s for g in self.state.gateways.values() for s in g.secrets},
            "a delivery key": {
                g.delivery_key for g in self.state.gateways.values()},
            "the client secret": {
                secret for secret, _ in self.idp.clients.values()},
            "an enrollment token": {*self.enrollments, *self.used},
            "an identity token": set(self.identities),
        }
        allowed = {"provision": {"an identity token"},
                   "enroll": {"an identity token", "an enrollment token"},
                   "token": {"the client secret"}}.get(name, set())
        return {what: values for what, values in everything.items()
                if what not in allowed}

    def _scripted(self, name):
        if self.script[name]:
            return self.script[name].popleft()
        return self.always.get(name)

    async def _held(self, name):
        hold = self.holds.get(name)
        deadline = time.monotonic() + answers.MAX_HOLD_S
        while hold and not hold.is_set() and time.monotonic() < deadline:
            await asyncio.sleep(0.005)

    async def _play(self, request, route, name, good):
        if isinstance(good, str):
            good = {route.key: good.strip()}
        date = formatdate(self.state.now(), usegmt=True) \
            if self.state.settings.send_date else ""
        setting = answers.Setting(good, route.key, date, self.elsewhere)
        self._note(request, route, 0)
        await answers.play(request, answers.ODD[name].steps(setting))
        # The connection is gone: aiohttp drops this one on the floor.
        return web.Response(status=500)

    # The checks: what is wrong with a request whoever sends it.

    def _fields(self, name, raw, required, when_set=()):
        body, problem = strict.parse_body(raw)
        if problem:
            return {}, [problem]
        problems, unknown = strict.check_fields(body, required, when_set,
                                                LISTS_OF_TEXT)
        for field in unknown:
            self.state.ignored(f"{name}.{field}")
        return body, problems

    def _identity_problems(self, request):
        bearer, problems = strict.bearer_of(request)
        if bearer and self._is_gateway_token(bearer):
            problems.append("a gateway's token where an identity token goes")
        return problems

    def _is_gateway_token(self, bearer):
        try:
            return tokens.parse(bearer)[0] in self.state.gateways
        except ValueError:
            return False

    def _check_provision(self, request, raw):
        body, problems = self._fields("provision", raw, PROVISION,
                                      PROVISION_WHEN_SET)
        name = body.get("displayName", "x")
        if isinstance(name, str) and (name != name.strip()
                                      or len(name) > MAX_DISPLAY_NAME):
            problems.append("displayName is not trimmed to 64")
        for field in ("gatewayId", "platform"):
            if body.get(field) == "":
                problems.append(f"{field} is empty")
        return body, problems + self._identity_problems(request)

    def _check_enroll(self, request, raw):
        body, problems = self._fields("enroll", raw, ENROLL)
        problems += [f"{field} is empty" for field in ENROLL
                     if body.get(field) == ""]
        return body, problems + self._identity_problems(request)

    def _check_policy(self, _request, raw):
        return self._fields("policy", raw, POLICY)

    # The work.

    def _tenant(self, request):
        token = strict.bearer_of(request)[0]
        if token not in self.identities:
            raise Refused(401, "the identity token was refused")
        return self.identities[token]

    def _gateway(self, asked, tenant):
        """The gateway that is to have credentials."""
        gateway_id = self.renames.get(asked, asked)
        gateway = self.state.gateways.get(gateway_id)
        if gateway is None:
            gateway = Gateway(gateway_id, [secrets.token_hex(32)], {})
            self.state.gateways[gateway_id] = gateway
        elif gateway.claimed and gateway.tenant != tenant:
            raise Refused(403, "the gateway id is taken by another tenant")
        gateway.tenant, gateway.claimed = tenant, True
        return gateway

    @staticmethod
    def _credentials(gateway, route_keys):
        return {"secret": gateway.secrets[0],
                "deliveryKey": gateway.delivery_key,
                "tenant": gateway.tenant, "gatewayId": gateway.gateway_id,
                "routeKeys": route_keys}

    def _provision(self, request, body):
        tenant = self._tenant(request)
        if body["platform"] in self.refused:
            return self.refused[body["platform"]]
        gateway = self._gateway(body["gatewayId"], tenant)
        if gateway.revoked:
            raise Refused(403, "this gateway was revoked")
        if self.fresh_secrets:
            gateway.renew()
        gateway.add_platform(body["platform"], body["botId"])
        return self._credentials(gateway, body["routeKeys"])

    def _enroll(self, request, body):
        """A new secret, and the end of a revocation."""
        tenant = self._tenant(request)
        token = body["enrollmentToken"]
        if self.enrollments.get(token) != tenant:
            raise Refused(403, "the enrollment token is wrong, expired, used, "
                               "or of another tenant")
        del self.enrollments[token]
        self.used.add(token)
        gateway = self._gateway(body["gatewayId"], tenant)
        gateway.renew()
        gateway.revoked = False
        return self._credentials(gateway, [])

    def _policy(self, request, body):
        verdict = tokens.judge(request.headers.get("Authorization"),
                               self.state.secrets_of, self.state.now(),
                               time.time())
        if verdict.breach:
            self.state.violation("token", verdict.reason, verdict.gateway_id)
        gateway = self.state.gateways.get(verdict.gateway_id)
        if not verdict.ok or gateway.revoked:
            raise Refused(401, "unauthorized")
        if body["platform"] not in gateway.platforms:
            self.state.violation("policy", "platform of no identity of this "
                                           "gateway", verdict.gateway_id)
            raise Refused(400, "no such identity")
        self.state.keep(self.state.policies, (verdict.gateway_id, body))
        gateway.policies[body["platform"]] = {
            k: body[k] for k in POLICY if k != "platform"}
        return {"ok": True}
