# SPDX-License-Identifier: ISC
"""What can be ordered to go wrong with a dial, and how it is done."""

import asyncio
from dataclasses import dataclass, field

from aiohttp import web

# A fault never holds a dial longer than this: tests end, sockets too.
MAX_HOLD_S = 120


@dataclass
class DialFault:
    """One misbehaviour at the upgrade; the first that applies wins.

    hold          wait until this is set (a threading.Event, say)
    delay_s       wait so long first
    drop          cut the TCP connection instead of answering
    raw           answer with these bytes instead of HTTP, then cut
    status        answer with this HTTP status
    headers       for `status` (Date, Location, Retry-After, ...)
    body          for `status`
    close         (code, reason): upgrade, then close at once
    wrong_accept  upgrade with a Sec-WebSocket-Accept that does not match,
                  and watch that the gateway does not go on
    """

    hold: object = None
    delay_s: float = 0
    drop: bool = False
    raw: bytes = b""
    status: int = 0
    headers: dict = field(default_factory=dict)
    body: str = ""
    close: tuple = ()
    wrong_accept: bool = False


async def wait_out(fault):
    """The waiting part of a fault."""
    if fault.delay_s:
        await asyncio.sleep(min(fault.delay_s, MAX_HOLD_S))
    deadline = asyncio.get_running_loop().time() + MAX_HOLD_S
    while fault.hold is not None and not fault.hold.is_set():
        if asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(0.01)


def cut(request, data=b""):
    """Write raw bytes, if any, and end the connection under aiohttp."""
    transport = request.transport
    if transport is None:
        return
    if data:
        transport.write(data)
        transport.close()
    else:
        transport.abort()


def answer(request, fault):
    """The answer that a fault dictates, or None when the dial may go on."""
    if fault.drop:
        cut(request)
    elif fault.raw:
        cut(request, fault.raw)
    elif fault.status:
        return web.Response(status=fault.status, headers=fault.headers,
                            text=fault.body)
    else:
        return None
    # The connection is gone: aiohttp drops this one on the floor.
    return web.Response(status=500)
