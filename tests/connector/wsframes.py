# SPDX-License-Identifier: ISC
"""WebSocket frames by hand: to build broken ones, and to audit the peer's.

aiohttp takes some liberties as a server (it accepts unmasked frames, for
one), so the audit reads the frame headers beside it and reports breaches.
"""

import base64
import hashlib
import struct

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KNOWN = {CONT, TEXT, BINARY, CLOSE, PING, PONG}


def accept_value(key):
    """Sec-WebSocket-Accept for a Sec-WebSocket-Key."""
    digest = hashlib.sha1((key + GUID).encode()).digest()
    return base64.b64encode(digest).decode()


def frame(opcode, payload=b"", fin=True, rsv=0, masked=False):
    """One frame as a server sends it; every field may be made wrong."""
    first = (0x80 if fin else 0) | (rsv << 4) | opcode
    mask = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, mask | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, mask | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask | 127, size)
    if masked:
        head += b"\0\0\0\0"
    return head + payload


def close(code=None, reason=""):
    """A close frame; without a code its payload is empty."""
    if code is None:
        return frame(CLOSE)
    return frame(CLOSE, struct.pack("!H", code) + reason.encode())


def fragments(payload, size, opcode=TEXT):
    """One message as frames of at most `size` payload bytes."""
    pieces = [payload[i:i + size]
              for i in range(0, len(payload) or 1, size)]
    last = len(pieces) - 1
    return b"".join(frame(opcode if i == 0 else CONT, piece, fin=i == last)
                    for i, piece in enumerate(pieces))


class Audit:
    """Reads a client's frame headers out of its byte stream.

    report(text) is called once per breach; after one the stream's framing is
    not to be believed, and the audit ends.
    """

    def __init__(self, report):
        self.report = report
        self.head = b""
        self.skip = 0
        self.in_message = False
        self.closed = False
        self.dead = False
        self.frames = 0

    def feed(self, data):
        position, end = 0, len(data)
        while position < end and not self.dead:
            if self.skip:
                step = min(self.skip, end - position)
                self.skip -= step
                position += step
                continue
            position = self._header(data, position)

    def _header(self, data, position):
        """Take header bytes; judge the header when it is whole."""
        while position < len(data):
            need = self._need()
            if len(self.head) >= need:
                break
            take = need - len(self.head)
            self.head += data[position:position + take]
            position = min(position + take, len(data))
        if len(self.head) >= self._need():
            head, self.head = self.head, b""
            self._judge(head)
        return position

    def _need(self):
        if len(self.head) < 2:
            return 2
        length = self.head[1] & 0x7F
        masked = 4 if self.head[1] & 0x80 else 0
        return 2 + {126: 2, 127: 8}.get(length, 0) + masked

    def _judge(self, head):
        self.frames += 1
        opcode, fin = head[0] & 0x0F, bool(head[0] & 0x80)
        length = head[1] & 0x7F
        if length == 126:
            length = struct.unpack_from("!H", head, 2)[0]
        elif length == 127:
            length = struct.unpack_from("!Q", head, 2)[0]
        breach = self._breach(head, opcode, fin, length)
        if breach:
            self.dead = True
            self.report(breach)
        self.skip = length
        if opcode in (TEXT, BINARY, CONT):
            self.in_message = not fin
        self.closed |= opcode == CLOSE

    def _breach(self, head, opcode, fin, length):
        short = head[1] & 0x7F
        if self.closed:
            return "a frame after the close frame"
        if not head[1] & 0x80:
            return "an unmasked frame"
        if head[0] & 0x70:
            return "reserved bits set"
        if opcode not in KNOWN:
            return f"reserved opcode {opcode}"
        if (short == 126 and length < 126) or (short == 127 and length < 65536):
            return "a length that is not in its shortest form"
        if opcode >= CLOSE:
            return self._control_breach(opcode, fin, length)
        if opcode == CONT and not self.in_message:
            return "a continuation of nothing"
        if opcode != CONT and self.in_message:
            return "a new message inside a fragmented one"
        return None

    @staticmethod
    def _control_breach(opcode, fin, length):
        if not fin or length > 125:
            return "a fragmented or oversized control frame"
        if opcode == CLOSE and length == 1:
            return "a close frame with one byte"
        return None
