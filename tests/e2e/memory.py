# SPDX-License-Identifier: ISC
"""Looking for something in another process's memory, as root can."""

# Bytes read at once.
CHUNK = 1 << 20
BLOCK = 64      # of HMAC-SHA256


def forms(secret):
    """What a secret may look like in memory, by name: its text, the bytes its
    digits stand for, and its key XORed as HMAC does (RFC 2104)."""
    text = secret.encode()
    block = text.ljust(BLOCK, b"\0")
    needles = {"text": text,
               "inner key": bytes(b ^ 0x36 for b in block),
               "outer key": bytes(b ^ 0x5c for b in block)}
    try:
        needles["bytes"] = bytes.fromhex(secret)
    except ValueError:
        pass    # no hex digits, so it stands for itself alone
    return needles


def mappings(pid):
    """(start, end) of all of a process's mappings."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        for line in maps:
            start, _, end = line.split(None, 1)[0].partition("-")
            yield int(start, 16), int(end, 16)


def search(pid, needles):
    """Search all memory of a process: (bytes read, {name: times found}).

    Raises PermissionError where the kernel does not let us look.
    """
    overlap = max(map(len, needles.values())) - 1
    found = dict.fromkeys(needles, 0)
    total = 0
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for start, end in mappings(pid):
            tail, place = b"", start
            while place < end:
                data = _read(memory, place, min(CHUNK, end - place))
                if not data:
                    break
                total += len(data)
                place += len(data)
                data = tail + data
                for name, needle in needles.items():
                    found[name] += _count(data, needle, len(tail))
                tail = data[-overlap:] if overlap else b""
    return total, found


def _read(memory, place, size):
    """What is there; nothing where there is nothing to be read."""
    try:
        memory.seek(place)
        return memory.read(size)
    except (OSError, OverflowError, ValueError):
        return b""


def _count(data, needle, seen):
    """How often the needle ends beyond the first `seen` bytes."""
    count, at = 0, data.find(needle)
    while at != -1:
        count += at + len(needle) > seen
        at = data.find(needle, at + 1)
    return count
