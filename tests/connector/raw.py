# SPDX-License-Identifier: ISC
"""A server that misbehaves below HTTP, where aiohttp will not.

It plays one list of steps per connection (the last list again for every
further one):

  ("head",)          read the request up to its blank line
  ("send", bytes)    write
  ("accept",)        the right 101 answer to the head that was read
  ("read", n)        read up to n bytes
  ("hold",)          wait until release() or the peer's end
  ("eof",)           half-close
  ("close",)         close; ("abort",) cuts

Each connection's received bytes are kept in `received`.
"""

import asyncio
import re
import threading

from . import wsframes

# Steps that wait give up here: the server belongs to a test.
STEP_TIMEOUT_S = 60
MAX_HEAD = 64 * 1024


def upgrade_answer(head):
    """The 101 answer that belongs to a request head."""
    key = re.search(rb"(?im)^sec-websocket-key:[ \t]*(\S+)", head)
    accept = wsframes.accept_value(key[1].decode() if key else "")
    return ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            ).encode()


class Session:
    """One connection playing its steps."""

    def __init__(self, server, reader, writer):
        self.server, self.reader, self.writer = server, reader, writer
        self.data = bytearray()
        self.head = b""

    async def play(self, steps):
        for name, *args in steps:
            await asyncio.wait_for(getattr(self, f"step_{name}")(*args),
                                   STEP_TIMEOUT_S)

    async def step_head(self):
        self.head = await self.reader.readuntil(b"\r\n\r\n")
        self.data += self.head

    async def step_send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def step_accept(self):
        await self.step_send(upgrade_answer(self.head))

    async def step_read(self, count):
        self.data += await self.reader.read(count)

    async def step_hold(self):
        while not self.server.released.is_set() and not self.reader.at_eof():
            try:
                self.data += await asyncio.wait_for(
                    self.reader.read(65536), 0.05)
            except asyncio.TimeoutError:
                pass

    async def step_eof(self):
        self.writer.write_eof()

    async def step_close(self):
        self.writer.close()

    async def step_abort(self):
        self.writer.transport.abort()


class RawServer:
    """Listens on 127.0.0.1 in a thread of its own; a context manager."""

    def __init__(self, *scripts, tls=None, port=0):
        self.scripts = scripts
        self.tls = tls
        self.port = port
        self.connections = 0
        self.received = []
        self.released = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever,
                                        daemon=True, name="raw-server")
        self._server = None

    def __enter__(self):
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(self, *_exception):
        self.released.set()
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STEP_TIMEOUT_S)
        self._loop.close()

    @property
    def url(self):
        return f"{'wss' if self.tls else 'ws'}://127.0.0.1:{self.port}/relay"

    def release(self):
        """End every ("hold",)."""
        self.released.set()

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(
            coroutine, self._loop).result(STEP_TIMEOUT_S)

    async def _start(self):
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self.tls, limit=MAX_HEAD)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self):
        self._server.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _serve(self, reader, writer):
        steps = self.scripts[min(self.connections, len(self.scripts) - 1)]
        self.connections += 1
        session = Session(self, reader, writer)
        self.received.append(session.data)
        try:
            await session.play(steps)
        except (OSError, EOFError, asyncio.TimeoutError,
                asyncio.LimitOverrunError):
            pass    # the peer's end, or a step it did not live up to
        finally:
            writer.close()
