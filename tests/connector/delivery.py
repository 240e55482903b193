# SPDX-License-Identifier: ISC
"""The buffer of a gateway, and the ack gate of one of its connections."""

from collections import Counter, deque
from dataclasses import dataclass

from . import lines, wsframes

# Far above any test; a loop that buffers without end stops here instead of
# eating the machine.
MAX_BUFFERED = 2_000_000

# How far a connector that forgot its cursor can be made to go back.
MAX_RECENT = 1024

# One message never carries more than this, however many lines are asked for.
MAX_BATCH_CHARS = 256 * 1024


@dataclass
class Framing:
    """How lines become WebSocket messages.

    lines_per_message  complete lines put together into one message
    message_chars      cut the text into messages of so many characters, so
                       that a line continues in the next (0: do not)
    fragment_bytes     send each message as frames of so many bytes (0: whole)
    binary             send binary messages
    """

    lines_per_message: int = 1
    message_chars: int = 0
    fragment_bytes: int = 0
    binary: bool = False

    def plain(self):
        return not (self.message_chars or self.fragment_bytes or self.binary)

    def encode(self, text):
        """The raw frames that carry this text in this framing."""
        opcode = wsframes.BINARY if self.binary else wsframes.TEXT
        size = self.message_chars or len(text) or 1
        out = []
        for i in range(0, len(text), size):
            data = text[i:i + size].encode("utf-8", "surrogatepass")
            out.append(wsframes.fragments(
                data, self.fragment_bytes or len(data) or 1, opcode))
        return b"".join(out)


@dataclass
class Entry:
    """One thing kept for a gateway until it is acknowledged."""

    __slots__ = ("seq", "buffer_id", "line", "chat")
    seq: int
    buffer_id: str
    line: str
    chat: tuple         # (chat_id, platform, scope_id, user_id) or ()


class Buffer:
    """What is kept for one gateway, in order; survives connections.

    Acks only ever move the cursor forward by one, so an entry is
    acknowledged exactly when its number is not above the cursor.
    """

    def __init__(self):
        self.entries = {}       # seq: Entry, not yet acknowledged
        self.by_id = {}         # buffer_id: seq, ever
        self.recent = deque(maxlen=MAX_RECENT)  # acknowledged lately
        self.cursor = 0
        self.last = 0

    def __len__(self):
        return len(self.entries)

    def add(self, frame, wire_id=None, chat=(), numeric=False, prefix="b"):
        """Append a frame under a new bufferId; returns the entry."""
        if len(self.entries) >= MAX_BUFFERED:
            raise RuntimeError("too much buffered for one gateway")
        if wire_id is None:
            number = self.last + 1
            wire_id = number if numeric else f"{prefix}{number}"
        buffer_id = str(wire_id)
        if buffer_id in self.by_id:
            raise ValueError(f"bufferId {buffer_id!r} was used before")
        self.last += 1
        line = lines.dump({**frame, "bufferId": wire_id})
        entry = Entry(self.last, buffer_id, line, chat)
        self.entries[entry.seq] = entry
        self.by_id[buffer_id] = entry.seq
        return entry

    def is_acked(self, buffer_id):
        seq = self.by_id.get(buffer_id)
        return seq is not None and seq <= self.cursor

    def advance(self, seq):
        """Take the ack of the entry after the cursor."""
        assert seq == self.cursor + 1
        self.cursor = seq
        entry = self.entries.pop(seq)
        self.recent.append(entry)
        return entry


class Gate:
    """What one connection has been sent, and which acks it may send.

    While draining, at most `window` entries wait for their ack; 0 means any
    number.  Once everything is out and acknowledged the connection is live,
    and new entries go out at once.
    """

    def __init__(self, buffer, window):
        self.buffer = buffer
        self.window = window
        self.next_seq = buffer.cursor + 1
        self.pending = deque()      # sent here, waiting for their first ack
        self.again = Counter()      # buffer_id: further acks that are allowed
        self.live = False

    def take(self):
        """The next entry to send, or None; it counts as sent."""
        self.settle()
        if self.next_seq > self.buffer.last:
            return None
        if not self.live and self.window and len(self.pending) >= self.window:
            return None
        entry = self.buffer.entries[self.next_seq]
        self.next_seq += 1
        self.pending.append(entry.seq)
        return entry

    def settle(self):
        """Go live once there is nothing left to drain."""
        if self.next_seq > self.buffer.last:
            if not self.pending or not self.window:
                self.live = True

    def ack(self, buffer_id):
        """Judge an ack.

        Returns (entry, None) for a first one, (None, None) for one that a
        repeat permitted, (None, what is wrong) else.
        """
        seq = self.buffer.by_id.get(buffer_id)
        if seq is not None and self.pending and self.pending[0] == seq:
            self.pending.popleft()
            entry = self.buffer.advance(seq)
            self.settle()
            return entry, None
        if self.again[buffer_id] > 0:
            self.again[buffer_id] -= 1
            return None, None
        if seq is None:
            return None, "unknown bufferId"
        if seq <= self.buffer.cursor:
            return None, "acknowledged twice"
        if seq >= self.next_seq:
            return None, "not sent on this connection"
        return None, "out of order"

    def repeat(self):
        """Entries sent here and not acknowledged, to be sent once more."""
        return self._once_more(self.buffer.entries[seq] for seq in self.pending)

    def rewind(self, count):
        """The last `count` acknowledged entries, to be sent once more."""
        recent = list(self.buffer.recent)
        return self._once_more(recent[max(0, len(recent) - count):])

    def _once_more(self, entries):
        entries = list(entries)
        for entry in entries:
            self.again[entry.buffer_id] += 1
        return entries


def event_chat(event):
    """What the far side of an event teaches about its chat."""
    source = event.get("source") or {}
    return (source.get("chat_id"), source.get("platform"),
            source.get("scope_id"), source.get("user_id"))
