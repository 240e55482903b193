# SPDX-License-Identifier: ISC
"""The face for tests: a connector in a thread, with synchronous methods."""

import asyncio
import concurrent.futures
import functools
import tempfile
import threading
from pathlib import Path

from . import orders
from .ca import CA
from .http_side import HttpSide
from .model import Settings, State
from .server import Server
from .waits import Waits

# An order is a few microseconds of work; waiting longer means a dead loop.
ORDER_TIMEOUT_S = 30


def _order(function):
    """A method that runs an order in the connector's loop."""
    @functools.wraps(function)
    def method(self, *args, **kwargs):
        return self.run(function, self.state, *args, **kwargs)
    return method


class Connector(Waits):
    """A connector on 127.0.0.1.

    tls        None for ws://, else the kind of leaf to present (ca.LEAVES)
    directory  where the CA and its leaves are kept (default: a temporary one)
    settings   keyword arguments for model.Settings; `connector.settings` may
               be changed at any time, even while it runs

    Usable as a context manager.  Everything it has seen and buffered outlives
    stop() and start(); the port stays the same.
    """

    def __init__(self, directory=None, tls=None, port=0, **settings):
        self.state = State(Settings(**settings))
        self.http = self.state.http = HttpSide(self.state)
        self.tls = tls
        self.port = port
        self._temporary = None
        if directory is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="connector-")
            directory = self._temporary.name
        self.directory = Path(directory)
        self._ca = None
        self._loop = None
        self._thread = None
        self._server = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_exception):
        self.stop()

    # What to tell a gateway.

    @property
    def ca(self):
        if self._ca is None:
            self._ca = CA(self.directory)
        return self._ca

    @property
    def ca_file(self):
        return str(self.ca.file)

    @property
    def settings(self):
        return self.state.settings

    @property
    def url(self):
        """The link's address, as a gateway would be configured with it."""
        scheme = "wss" if self.tls else "ws"
        return f"{scheme}://127.0.0.1:{self.port}{self.settings.base}/relay"

    @property
    def http_url(self):
        """The base address in its HTTP form."""
        return self.url.replace("ws", "http", 1).removesuffix("/relay")

    # Life.

    def start(self):
        """Listen; raises what the listener raised."""
        if self._thread:
            raise RuntimeError("this connector is running already")
        context = self.ca.server_context(self.tls) if self.tls else None
        self._loop = asyncio.new_event_loop()
        self.state.new_loop()
        self._server = Server(self.state, context)
        self._thread = threading.Thread(target=self._serve, daemon=True,
                                        name="connector")
        self._thread.start()
        try:
            self._submit(self._server.start(self.port))
        except BaseException:
            self._end_thread()
            raise
        self.port = self._server.port
        return self

    def _serve(self):
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def stop(self, goodbye=None):
        """Stop listening and cut all links.

        With goodbye=(code, reason) the links are closed in order instead, and
        given a moment to end.
        """
        if not self._thread:
            return
        if goodbye:
            self._submit(self._say_goodbye(*goodbye))
        self._submit(self._server.stop())
        self._end_thread()

    async def _say_goodbye(self, code, reason):
        links = [link for link in self.state.links if link.open]
        for link in links:
            link.close(code, reason)
        try:
            await asyncio.wait_for(self.state.until(
                lambda: not any(link.open for link in links)), 5)
        except asyncio.TimeoutError:
            pass

    def _end_thread(self):
        self._submit(self._cancel_rest())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ORDER_TIMEOUT_S)
        self._thread = self._loop = self._server = None

    @staticmethod
    async def _cancel_rest():
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def restart(self, goodbye=None):
        """Stop and start again on the same port, with everything kept."""
        self.stop(goodbye)
        return self.start()

    # Doing things in the loop.

    def _submit(self, coroutine, timeout=ORDER_TIMEOUT_S):
        if self._loop is None:
            coroutine.close()
            raise RuntimeError("this connector is not running")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise

    def run(self, function, *args, **kwargs):
        """Run a function in the loop's thread; directly when stopped."""
        if self._loop is None:
            return function(*args, **kwargs)

        async def call():
            return function(*args, **kwargs)
        return self._submit(call())

    # Orders; see orders.py for what each takes.

    register = _order(orders.register)
    restore = _order(orders.restore)
    rotate = _order(orders.rotate)
    say = _order(orders.say)
    say_many = _order(orders.say_many)
    forward = _order(orders.forward)
    describe = _order(orders.describe)
    interrupt = _order(orders.interrupt)
    repeat = _order(orders.repeat)
    rewind = _order(orders.rewind)
    send = _order(orders.send)
    revoke = _order(orders.revoke)
    close = _order(orders.close)
    drop = _order(orders.drop)
    release = _order(orders.release)
    half_frame = _order(orders.half_frame)
    fragments = _order(orders.fragments)
    ping = _order(orders.ping)
    oversized_line = _order(orders.oversized_line)
    on_dial = _order(orders.on_dial)
    forbid = _order(orders.forbid)
    status = _order(orders.status)
    stall = _order(orders.stall)

    def unstall(self, *what):
        """Lift the named stalls, or all, and catch up."""
        self.run(orders.stall, self.state, *(what or orders.STALLS), on=True)

    def expire(self, gateway=None):
        """Close 4401 with the reason that is never a revocation."""
        self.run(orders.close, self.state, 4401, "expired", gateway)

    def send_text(self, text, gateway=None):
        """One text message with exactly this content."""
        self.run(orders.put, self.state, "text", text, gateway)

    def send_binary(self, data, gateway=None):
        self.run(orders.put, self.state, "binary", data, gateway)

    def send_raw(self, data, gateway=None):
        """Bytes under the WebSocket layer (but inside TLS)."""
        self.run(orders.put, self.state, "raw", data, gateway)

    # What was seen.

    @property
    def counters(self):
        return self.state.counters

    @property
    def violations(self):
        return self.state.violations

    @property
    def outbounds(self):
        return self.state.outbounds

    @property
    def dials(self):
        return self.state.dials

    def gateway(self, gateway_id=None):
        return orders.gateway_of(self.state, gateway_id)

    def link(self, gateway_id=None):
        """The current connection of a gateway, or None."""
        return self.gateway(gateway_id).link

    def chat(self, chat_id, gateway_id=None):
        """The chat log of one chat (outbound.Chat)."""
        return self.gateway(gateway_id).chats[chat_id]

    def unacked(self, gateway_id=None):
        """How many entries wait for their ack."""
        return len(self.gateway(gateway_id).buffer)

    def assert_clean(self, unknown=False):
        """Raise if the contract was broken.

        With unknown=True, fields and frame types that the contract does not
        name count as well: it ignores them, but ours should not send any.
        """
        problems = [orders.vis(v) for v in self.state.violations]
        if unknown:
            problems += [f"unknown {orders.vis(name)} ({count} times)"
                         for name, count in self.state.unknown.items()]
        if problems:
            raise AssertionError("the contract was broken:\n  "
                                 + "\n  ".join(problems[:50]))
