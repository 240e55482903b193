# SPDX-License-Identifier: ISC
"""A small gateway on aiohttp's client, to test the connector with."""

import asyncio
import json
import ssl
import threading

import aiohttp

from . import tokens

TIMEOUT_S = 10


class Closed(Exception):
    """The connection ended; args are (code, reason)."""


class Client:
    """A gateway with synchronous methods; its loop has a thread of its own."""

    def __init__(self, url, gateway_id="gw-1", secret="s3cret", ca_file=None):
        self.url = url
        self.gateway_id, self.secret = gateway_id, secret
        self.tls = None
        if ca_file:
            self.tls = ssl.create_default_context(cafile=ca_file)
        self.ws = None
        self.session = None
        self.lines = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever,
                                       daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.call(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(TIMEOUT_S)
        self.loop.close()

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(
            coroutine, self.loop).result(TIMEOUT_S)

    async def _end(self):
        """Leave without a word, as a process that was killed does."""
        if self.ws:
            self.ws._response.close()
        if self.session:
            await self.session.close()

    async def _dial(self, token, url, headers):
        await self._end()
        self.lines = []
        self.session = aiohttp.ClientSession()
        # No automatics: a test decides whether a close is answered.
        self.ws = await self.session.ws_connect(
            url or self.url, headers=headers, ssl=self.tls, autoclose=False,
            max_msg_size=0)

    def dial(self, token=None, url=None, authorize=True):
        """Connect; raises what aiohttp raises."""
        token = token or tokens.mint(self.gateway_id, self.secret)
        headers = {"Authorization": f"Bearer {token}"} if authorize else {}
        self.call(self._dial(token, url, headers))
        return self

    def send_text(self, text):
        self.call(self.ws.send_str(text))

    def send_binary(self, data):
        self.call(self.ws.send_bytes(data))

    def send(self, *frames):
        self.send_text("".join(json.dumps(f) + "\n" for f in frames))

    def ack(self, *buffer_ids):
        self.send(*({"type": "inbound_ack", "bufferId": b} for b in buffer_ids))

    def hello(self, platform="discord", bot_id="1234"):
        """Say hello and take the descriptor."""
        self.send({"type": "hello", "platform": platform, "botId": bot_id})
        return self.expect("descriptor")["descriptor"]

    def raw(self, data):
        """Bytes past aiohttp's framing."""
        async def write():
            self.ws._response.connection.transport.write(data)
        self.call(write())

    def message(self):
        """The next message's content; Closed when there is none."""
        message = self.call(self.ws.receive())
        if message.type == aiohttp.WSMsgType.CLOSE:
            self.call(self.ws.close(code=message.data or 1000))
            raise Closed(message.data, message.extra)
        if message.type not in (aiohttp.WSMsgType.TEXT,
                                aiohttp.WSMsgType.BINARY):
            raise Closed(1006, str(message.data))
        return message.data

    def receive(self):
        """The next frame."""
        rest = ""
        while not self.lines:
            data = self.message()
            text = data if isinstance(data, str) else data.decode()
            *whole, rest = (rest + text).split("\n")
            self.lines = [line for line in whole if line]
        return json.loads(self.lines.pop(0))

    def expect(self, kind):
        """The next frame, which is of this type."""
        frame = self.receive()
        assert frame["type"] == kind, frame
        return frame

    def close(self, code=1000):
        self.call(self.ws.close(code=code))
