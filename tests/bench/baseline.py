#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""The thing to beat: a plain Python client that parses and acknowledges.

It keeps the same contract with the connector as relayd and its agent do
together: hello, then an inbound_ack for every inbound, in order.
"""

import asyncio
import json
import sys

import websockets


async def main(url):
    headers = {"Authorization": "Bearer bench"}
    async with websockets.connect(url, extra_headers=headers) as link:
        await link.send(json.dumps({"type": "hello", "platform": "discord",
                                    "botId": "1234"}) + "\n")
        async for message in link:
            for line in message.split("\n"):
                if not line:
                    continue
                frame = json.loads(line)
                if frame["type"] == "inbound":
                    await link.send(json.dumps(
                        {"type": "inbound_ack",
                         "bufferId": frame["bufferId"]}) + "\n")


try:
    asyncio.run(main(sys.argv[1]))
except (KeyboardInterrupt, websockets.ConnectionClosed):
    pass
