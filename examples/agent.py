#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""An agent in Python, with the standard library alone: it echoes.

usage: agent.py [/run/relayd/agent/main.sock]

It speaks the lines of DESIGN 2 itself; for a program that is run once for
each message, see agent.sh.
"""

import json
import socket
import sys
import time


def reply_to(event):
    """What to send for an event, or None."""
    source = event["source"]
    text = event.get("text")
    if not text:
        return None
    action = {"op": "send", "chat_id": source["chat_id"],
              "content": f"You said: {text}"}
    if event.get("message_id"):
        action["reply_to"] = event["message_id"]
    if source.get("thread_id"):
        action["metadata"] = {"thread_id": source["thread_id"]}
    return action


def serve(sock):
    """Talk to relayd until the connection ends."""
    def say(**frame):
        sock.sendall(json.dumps(frame).encode() + b"\n")

    say(type="hello", agent="echo", window=16, interactions="event")
    with sock.makefile("rb") as lines:
        for number, line in enumerate(lines):
            frame = json.loads(line)
            if frame["type"] == "inbound":
                action = reply_to(frame["event"])
                if action:
                    say(type="outbound", requestId=str(number), action=action)
                # Taken: relayd need not deliver it again.
                say(type="inbound_ack", bufferId=frame["bufferId"])
            elif frame["type"] == "outbound_result":
                if not frame["result"].get("success"):
                    print("not sent:", frame["result"].get("error"),
                          file=sys.stderr, flush=True)
            elif frame["type"] in ("link", "error"):
                print(frame, file=sys.stderr, flush=True)


def main(path):
    delay = 0.1
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(path)
                delay = 0.1
                serve(sock)
        except OSError as error:
            print(f"{path}: {error}", file=sys.stderr, flush=True)
        time.sleep(delay)   # relayd is gone for a moment, or not there yet
        delay = min(2 * delay, 5)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:] or ["/run/relayd/agent/main.sock"])
    except KeyboardInterrupt:
        pass
