# SPDX-License-Identifier: ISC
"""The connector's listener: the upgrade, and the way to the HTTP side."""

import time
from email.utils import formatdate

from aiohttp import WSMsgType, web

from . import faults, tokens, wsframes
from .link import Link
from .model import Dial

# A line has at most 1 MiB, but a message may hold many.
MAX_MESSAGE = 64 * 1024 * 1024
# How long a refused gateway may take to answer the close frame.
REFUSED_TIMEOUT_S = 5


class Tap:
    """Shows the audit every byte on its way into aiohttp's frame reader."""

    def __init__(self, reader, audit):
        self.reader, self.audit = reader, audit

    def feed_data(self, data):
        self.audit.feed(data)
        return self.reader.feed_data(data)

    def feed_eof(self):
        self.reader.feed_eof()


class StrictWebSocket(web.WebSocketResponse):
    """aiohttp's WebSocket with our audit in front of it, and no automatics."""

    def __init__(self, report, wrong_accept=False):
        super().__init__(autoclose=False, autoping=False, compress=False,
                         max_msg_size=MAX_MESSAGE)
        self.report = report
        self.wrong_accept = wrong_accept

    def _handshake(self, request):
        headers, *rest = super()._handshake(request)
        if self.wrong_accept:
            headers["Sec-WebSocket-Accept"] = wsframes.accept_value("wrong")
        return (headers, *rest)

    def _post_start(self, request, protocol, writer):
        http = request.protocol
        if http._message_tail:
            self.report("frames before the 101")
        super()._post_start(request, protocol, writer)
        http._payload_parser = Tap(http._payload_parser,
                                   wsframes.Audit(self.report))


class Server:
    """One listener over a State; a restart is a new Server, same State."""

    def __init__(self, state, tls=None):
        self.state = state
        self.tls = tls
        self.runner = None
        self.port = 0
        self.keys = set()

    async def start(self, port):
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._dispatch)
        app.on_response_prepare.append(self._stamp)
        self.runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", port, ssl_context=self.tls,
                           shutdown_timeout=1, reuse_address=True)
        await site.start()
        self.port = self.runner.addresses[0][1]

    async def stop(self):
        """Stop listening, then cut what is still connected."""
        for link in self.state.links:
            if link.open:
                link.drop()
        await self.runner.cleanup()

    async def _stamp(self, request, response):
        """The Date of the connector's clock, which may be set wrong."""
        if request.get("own_date"):
            return
        response.headers.popall("Date", None)
        send = self.state.settings.send_date
        if send == "asked":
            send = not isinstance(response, web.WebSocketResponse)
        if send:
            response.headers["Date"] = formatdate(self.state.now(), usegmt=True)

    async def _dispatch(self, request):
        base = self.state.settings.base
        path = request.raw_path.partition("?")[0]
        if path == f"{base}/relay":
            return await self._upgrade(request)
        route = self.state.http and self.state.http.find(path, base)
        if route:
            return await self.state.http.serve(request, route)
        return self._plain(request, 400, "no such path")

    def _plain(self, request, status, text):
        self.state.keep(self.state.requests,
                        (request.method, request.raw_path, status))
        self.state.changed()
        return web.Response(status=status, text=text + "\n")

    # The upgrade.

    async def _upgrade(self, request):
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return self._plain(request, 400, "this path is for WebSocket")
        dial = self._new_dial(request)
        fault = (self.state.dial_faults.popleft()
                 if self.state.dial_faults else faults.DialFault())
        await faults.wait_out(fault)
        request["own_date"] = "Date" in fault.headers
        answer = faults.answer(request, fault)
        if answer is not None:
            return self._decided(dial, "fault", answer)
        self._check_request(request)
        verdict = self._judge(request, dial)
        gateway = self.state.gateways.get(verdict.gateway_id)
        if fault.wrong_accept:
            return await self._expect_nothing(request, dial)
        if fault.close:
            return await self._refuse(request, dial, *fault.close)
        if not verdict.ok or gateway.revoked:
            return await self._turn_away(request, dial, verdict)
        return await self._admit(request, dial, gateway)

    def _new_dial(self, request):
        self.state.counters["dials"] += 1
        dial = Dial(self.state.counters["dials"], time.time())
        self.state.keep(self.state.dials, dial)
        self.state.emit("dial", number=dial.number,
                        peer=str(request.remote))
        return dial

    def _decided(self, dial, outcome, answer):
        dial.outcome = outcome
        self.state.changed()
        return answer

    def _check_request(self, request):
        """Breaches of the upgrade request that aiohttp lets pass."""
        def breach(text):
            self.state.violation("upgrade", text)
        key = request.headers.get("Sec-WebSocket-Key", "")
        if request.method != "GET":
            breach(f"method {request.method}")
        if request.query_string:
            breach("a query in the URL")
        if not request.headers.get("Host"):
            breach("no Host")
        if request.headers.get("Sec-WebSocket-Version") != "13":
            breach("Sec-WebSocket-Version is not 13")
        if len(key) != 24 or key in self.keys:
            breach("Sec-WebSocket-Key is malformed or not fresh")
        if len(request.headers.getall("Authorization", [])) > 1:
            breach("more than one Authorization")
        self.keys.add(key)

    def _judge(self, request, dial):
        verdict = tokens.judge(request.headers.get("Authorization"),
                               self.state.secrets_of, self.state.now(),
                               time.time())
        dial.gateway_id, dial.exp = verdict.gateway_id, verdict.exp
        dial.ttl = verdict.exp - dial.at
        dial.token, dial.verdict = verdict.token, verdict.reason
        if verdict.breach:
            self.state.violation("token", verdict.reason, verdict.gateway_id)
        return verdict

    async def _turn_away(self, request, dial, verdict):
        if self.state.settings.refuse_with_status:
            return self._decided(dial, "401", web.Response(
                status=401, text=f"{verdict.reason}\n"))
        aged = verdict.reason == "expired" and self.state.settings.say_expired
        return await self._refuse(request, dial, 4401,
                                  "expired" if aged else "unauthorized")

    async def _refuse(self, request, dial, code, reason):
        """Upgrade, close, and read on until the gateway has answered.

        Without reading, unread hellos would turn our close into a reset.
        """
        ws = StrictWebSocket(lambda text: self.state.violation("frame", text))
        await ws.prepare(request)
        request.transport.write(wsframes.close(code, reason))
        self._decided(dial, f"{code} {reason}", None)
        self.state.emit("refused", code=code, reason=reason)
        await self._read_out(ws)
        request.transport.close()
        return ws

    async def _read_out(self, ws):
        """Read until the close is answered; returns how much came before."""
        data = 0
        try:
            while True:
                message = await ws.receive(timeout=REFUSED_TIMEOUT_S)
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY,
                                        WSMsgType.PING, WSMsgType.PONG):
                    return data
                data += 1
        except TimeoutError:
            return data

    async def _expect_nothing(self, request, dial):
        """After a wrong accept value a gateway must not go on."""
        ws = StrictWebSocket(lambda text: None, wrong_accept=True)
        await ws.prepare(request)
        self._decided(dial, "wrong accept", None)
        if await self._read_out(ws):
            self.state.violation("upgrade", "went on after a wrong accept")
        if request.transport:
            request.transport.close()
        return ws

    async def _admit(self, request, dial, gateway):
        number = len(self.state.links) + 1
        ws = StrictWebSocket(lambda text: self.state.violation(
            "frame", text, gateway.gateway_id, number))
        await ws.prepare(request)
        if request.transport is None:
            return self._decided(dial, "lost", ws)
        link = Link(self.state, gateway, ws, request, number)
        self._decided(dial, "admitted", None)
        self.state.keep(self.state.links, link)
        if gateway.link:
            self.state.counters["superseded"] += 1
            gateway.link.drop()
        gateway.link = link
        await link.run()
        return ws
