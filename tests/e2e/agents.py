# SPDX-License-Identifier: ISC
"""Clients of relayd's sockets: one JSON object per line, either way."""

import itertools
import json
import socket
import time

from base import TIMEOUT_S


class LineSocket:
    """A Unix socket with one JSON object per line, either way."""

    def __init__(self, path, timeout=TIMEOUT_S):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout)
        self._data = bytearray()
        try:
            self.sock.connect(str(path))
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, value):
        """A dict as a line; bytes as they stand."""
        data = value if isinstance(value, bytes) \
            else json.dumps(value).encode() + b"\n"
        self.sock.sendall(data)

    def recv_line(self, timeout=TIMEOUT_S):
        """The next line's bytes, or None at the end; TimeoutError."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._data:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"waited {timeout} s for a line")
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(1 << 16)
            except socket.timeout:
                continue
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._data += data
        line, _, rest = bytes(self._data).partition(b"\n")
        self._data[:] = rest
        return line

    def recv(self, timeout=TIMEOUT_S):
        """The next line's value, or None at the end."""
        line = self.recv_line(timeout)
        return None if line is None else json.loads(line)


class Agent(LineSocket):
    """An agent that is told what to do, line by line.

    `messages` is all that came.  expect() takes the first that fits out of
    what was not taken yet, so that order among others does not matter.
    """

    _requests = itertools.count(1)

    def __init__(self, path, timeout=TIMEOUT_S):
        super().__init__(path, timeout)
        self.messages = []
        self._untaken = []

    def next(self, timeout=TIMEOUT_S):
        """The next message in order, or None at the end."""
        if self._untaken:
            return self._untaken.pop(0)
        return self._read(timeout)

    def _read(self, timeout):
        message = self.recv(timeout)
        if message is not None:
            self.messages.append(message)
        return message

    def expect(self, kind, predicate=lambda message: True, timeout=TIMEOUT_S):
        """The next message of a type (that the predicate likes)."""
        deadline = time.monotonic() + timeout
        for i, message in enumerate(self._untaken):
            if message["type"] == kind and predicate(message):
                return self._untaken.pop(i)
        while True:
            try:
                message = self._read(max(0, deadline - time.monotonic()))
            except TimeoutError:
                raise TimeoutError(
                    f"waited {timeout} s for {kind}; not taken yet: "
                    f"{self._untaken[-10:]}") from None
            if message is None:
                raise ConnectionError(f"the socket ended before {kind} came; "
                                      f"the last were {self.messages[-10:]}")
            if message["type"] == kind and predicate(message):
                return message
            self._untaken.append(message)

    def wait_closed(self, timeout=TIMEOUT_S):
        """Read to the end; what came before it."""
        deadline = time.monotonic() + timeout
        rest, self._untaken = self._untaken, []
        while True:
            message = self._read(max(0, deadline - time.monotonic()))
            if message is None:
                return rest
            rest.append(message)

    # What an agent says.

    def hello(self, wait=True, **fields):
        """Say hello; the first descriptor, unless told not to wait."""
        self.send({"type": "hello", "agent": "test", **fields})
        return self.expect("descriptor")["descriptor"] if wait else None

    def inbound(self, text=None, timeout=TIMEOUT_S):
        """The next inbound (with this text)."""
        return self.expect(
            "inbound", lambda m: text in (None, m["event"]["text"]), timeout)

    def ack(self, delivery):
        """Acknowledge a delivery, given whole or as its bufferId."""
        buffer_id = delivery if isinstance(delivery, str) \
            else delivery["bufferId"]
        self.send({"type": "inbound_ack", "bufferId": buffer_id})

    def request(self, action, **frame):
        """Send an outbound; its requestId."""
        request_id = f"r{next(self._requests)}"
        self.send({"type": "outbound", "requestId": request_id,
                   "action": action, **frame})
        return request_id

    def result(self, request_id, timeout=TIMEOUT_S):
        """The result of a request."""
        return self.expect("outbound_result",
                           lambda m: m["requestId"] == request_id,
                           timeout)["result"]

    def act(self, op, timeout=TIMEOUT_S, **fields):
        """Send an action and wait for its result."""
        return self.result(self.request({"op": op, **fields}), timeout)

    def reply(self, delivery, text):
        """Answer in the chat a delivery came from; the result."""
        return self.act("send", content=text,
                        chat_id=delivery["event"]["source"]["chat_id"])
