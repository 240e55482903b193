# SPDX-License-Identifier: ISC
"""From WebSocket messages to JSON objects: lines, and a strict parser."""

import json

MAX_LINE = 1024 * 1024      # the contract's limit, without the newline
BLANK = " \t\r"


class Doubled(dict):
    """An object in which a key stood twice; where it matters, it shows."""


class BadLine(ValueError):
    """A line that is not one strict JSON object."""


class Lines:
    """Joins messages into lines; a line may continue in the next message."""

    def __init__(self):
        self.partial = []
        self.partial_len = 0
        self.oversized = False

    def feed(self, text):
        """Yield each complete non-blank line; None for an oversized one."""
        *whole, rest = text.split("\n")
        for line in whole:
            yield from self._end(line)
        if rest:
            self._keep(rest)

    def _keep(self, piece):
        self.partial_len += len(piece)
        if self.partial_len > MAX_LINE:
            self.partial.clear()
            self.oversized = True
        if not self.oversized:
            self.partial.append(piece)

    def _end(self, line):
        if self.partial or self.oversized:
            self._keep(line)
            line = "".join(self.partial)
        oversized = self.oversized or too_long(line)
        self.partial.clear()
        self.partial_len = 0
        self.oversized = False
        if oversized:
            yield None
        elif line.strip(BLANK):
            yield line

    def unfinished(self):
        """Whether bytes wait for a newline that has not come."""
        return bool(self.partial) or self.oversized


def too_long(line):
    """Whether the line exceeds the limit in bytes (measured only if near)."""
    if len(line) * 4 <= MAX_LINE:
        return False
    return len(line.encode("utf-8", "surrogatepass")) > MAX_LINE


def _object(pairs):
    result = dict(pairs)
    return result if len(result) == len(pairs) else Doubled(result)


def _constant(name):
    raise BadLine(f"{name} is not JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def parse(line):
    """The object on a line, or BadLine."""
    try:
        value = _decoder.decode(line)
    except RecursionError:
        raise BadLine("nested too deeply") from None
    except ValueError as error:
        raise BadLine(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadLine("not a JSON object")
    return value


def dump(frame):
    """A frame as the line it travels on."""
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":")) + "\n"
