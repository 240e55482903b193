# SPDX-License-Identifier: ISC
"""One connection of a gateway: reading, writing, closing.

A single task, the pump, writes everything but pongs, so that what is ordered
leaves in order.  What the frames mean stands in protocol.py.
"""

import asyncio
import socket
import struct
import time
from collections import Counter, deque

from aiohttp import WSMsgType

from . import delivery, lines, protocol, wsframes

# How long a gateway may take to answer a close before it is cut off.
CLOSE_TIMEOUT_S = 5
# aiohttp flow-controls its own writes; hand-made frames wait at this mark.
WRITE_HIGH = 1024 * 1024


class Link:
    """A connection whose upgrade was authenticated."""

    def __init__(self, state, gateway, ws, request, number):
        self.state, self.gateway, self.ws = state, gateway, ws
        self.transport = request.transport
        self.number = number
        self.opened = time.time()
        self.counters = Counter()
        self.lines = lines.Lines()
        self.greeted = {}           # platform: botId, in order of the hellos
        self.described = set()
        self.hellos = []
        self.known = {}             # chats whose events were acknowledged here
        self.request_ids = set()
        self.ping_times = []
        self.gate = delivery.Gate(gateway.buffer, state.settings.replay_window)
        self.outbox = deque()       # (kind, data), before any entry
        self.work = asyncio.Event()
        self.handshaken = False
        self.idle = False
        self.open = True
        self.close_sent = None      # (code, reason)
        self.closed = None          # (code, reason, by whom)
        self.pump = None

    # What protocol.py and the orders use.

    def breach(self, rule, detail):
        self.state.violation(rule, detail, self.gateway.gateway_id, self.number)

    def send(self, frame):
        """Queue one frame as a line; it goes out before buffered entries."""
        self.put("line", lines.dump(frame))

    def put(self, kind, data):
        """Queue: line (framed as set), text or binary (one message), raw."""
        self.outbox.append((kind, data))
        self.work.set()

    def begin(self):
        """The handshake is complete: drain the buffer, then go live."""
        self.handshaken = True
        self.gateway.asleep = False
        self.work.set()
        self.state.emit("handshaken", gateway=self.gateway.gateway_id)

    def live(self):
        """Whether an event would be sent at once."""
        self.gate.settle()
        return self.handshaken and self.gate.live and not self.idle

    def close(self, code=1000, reason=""):
        """Close after what is queued."""
        self.put("close", (code, reason))

    def drop(self, reset=False):
        """Cut the TCP connection, with a reset if asked."""
        if self.transport is None:
            return
        sock = self.transport.get_extra_info("socket")
        if reset and sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            struct.pack("ii", 1, 0))
        self.closed = self.closed or (1006, "dropped", "connector")
        self.transport.abort()

    def pause(self, paused):
        """Stop or resume reading from the socket."""
        if self.transport.is_closing():
            return
        if paused:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    # Writing.

    async def _pump(self):
        try:
            while self.open:
                await self.work.wait()
                self.work.clear()
                while self.open and self.state.settings.write:
                    if self.outbox:
                        await self._put_out(*self.outbox.popleft())
                    elif not await self._send_entries():
                        break
        except (ConnectionError, RuntimeError):
            # The peer went away; the reader sees that too and says why.
            pass

    async def _send_entries(self):
        """One message's worth of buffered entries; False if none may go."""
        if not self.handshaken or self.idle or self.close_sent:
            return False
        batch, size = [], 0
        limit = max(1, self.state.settings.framing.lines_per_message)
        while len(batch) < limit and size < delivery.MAX_BATCH_CHARS:
            entry = self.gate.take()
            if entry is None:
                break
            batch.append(entry.line)
            size += len(entry.line)
        if not batch:
            return False
        self.counters["delivered"] += len(batch)
        self.state.counters["delivered"] += len(batch)
        await self._put_out("line", "".join(batch))
        self.state.changed()
        return True

    async def _put_out(self, kind, data):
        if self.close_sent and kind != "raw":
            return
        framing = self.state.settings.framing
        if kind == "close":
            await self._write(wsframes.close(*data))
            self._expect_close(*data)
        elif kind == "text" or (kind == "line" and framing.plain()):
            await self.ws.send_str(data)
        elif kind == "binary":
            await self.ws.send_bytes(data)
        elif kind == "line":
            await self._write(framing.encode(data))
        else:
            await self._write(data)

    async def _write(self, data):
        """Write raw bytes; wait while the peer does not read."""
        self.transport.write(data)
        while self.transport.get_write_buffer_size() > WRITE_HIGH:
            await asyncio.sleep(0.005)

    def _expect_close(self, code, reason):
        self.close_sent = (code, reason)
        transport = self.transport
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, transport.abort)

    # Reading.

    async def run(self):
        """Serve the connection until it ends."""
        self.pause(not self.state.settings.read)
        self.pump = asyncio.create_task(self._pump())
        self.state.emit("connected", gateway=self.gateway.gateway_id)
        try:
            while await self._read_one():
                pass
        finally:
            self._ended()
            await asyncio.gather(self.pump, return_exceptions=True)
            # Closed before aiohttp ends the response: it would send a second
            # close frame.
            self.transport.close()

    async def _read_one(self):
        while not self.state.settings.read and not self.transport.is_closing():
            await asyncio.sleep(0.01)
        message = await self.ws.receive()
        handler = self.READERS.get(message.type)
        if handler is None:
            self._lost(message)
            return False
        return await handler(self, message)

    async def _on_text(self, message):
        if self.gateway.link is not self:
            # Superseded: what it still has to say would move the buffer
            # under its successor.
            return False
        self.counters["messages"] += 1
        self.state.counters["messages"] += 1
        for line in self.lines.feed(message.data):
            protocol.on_line(self, line)
        return True

    async def _on_binary(self, message):
        self.breach("message", "binary, not text")
        try:
            text = message.data.decode()
        except UnicodeDecodeError:
            self.breach("message", "not UTF-8")
            return True
        return await self._on_text(message._replace(data=text))

    async def _on_ping(self, message):
        self.counters["pings"] += 1
        self.state.counters["pings"] += 1
        self.ping_times.append(time.time())
        if self.state.settings.pong and not self.close_sent:
            await self._pong(message.data)
        self.state.changed()
        return True

    async def _pong(self, data):
        try:
            await self.ws.pong(data)
        except ConnectionError:
            pass

    async def _on_pong(self, _message):
        self.counters["pongs"] += 1
        self.state.counters["pongs"] += 1
        self.state.changed()
        return True

    async def _on_close(self, message):
        code = message.data or 1005
        if self.close_sent:
            self.closed = (*self.close_sent, "connector")
            return False
        self.closed = (code, message.extra or "", "gateway")
        if self.lines.unfinished():
            self.breach("line", "unfinished at an orderly close")
        if not self.transport.is_closing():
            await self._write(wsframes.close(None if code == 1005 else code))
        return False

    def _lost(self, message):
        """The connection ended without a close frame of the gateway."""
        if message.type == WSMsgType.ERROR and not self.transport.is_closing():
            self.breach("websocket", str(message.data))
        if self.close_sent:
            self.state.counters["close_unanswered"] += 1
            self.closed = (*self.close_sent, "connector")
        self.closed = self.closed or (1006, "", "gateway")

    def _ended(self):
        self.open = False
        self.work.set()
        if self.pump:
            self.pump.cancel()
        self.closed = self.closed or (1006, "", "connector")
        if self.gateway.link is self:
            self.gateway.link = None
        code, reason, by = self.closed
        self.state.emit("closed", gateway=self.gateway.gateway_id, code=code,
                        reason=reason, by=by)

    READERS = {
        WSMsgType.TEXT: _on_text, WSMsgType.BINARY: _on_binary,
        WSMsgType.PING: _on_ping, WSMsgType.PONG: _on_pong,
        WSMsgType.CLOSE: _on_close,
    }
