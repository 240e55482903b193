# SPDX-License-Identifier: ISC
"""Answers of the HTTP routes that no HTTP library would give.

ODD names them.  Each makes, of the answer that would have been right, a list
of steps that are played under aiohttp, on the connection itself:

  bytes              are written
  ("pause", s)       wait
  ("repeat", bytes)  write them again and again until the peer leaves
  ("hold",)          wait until the peer leaves
  ("close",)         close in order; ("abort",) cuts, without TLS's goodbye

`takes` says whether a gateway must take the answer all the same.
"""

import asyncio
import gzip
import json
from dataclasses import dataclass

# No answer is held longer than this: tests end, sockets too.  A gateway gives
# an exchange 15 s.
MAX_HOLD_S = 60
# Written at once by ("repeat",), and what may wait in the socket's buffer.
BURST = 64
WRITE_HIGH = 256 * 1024

LIMIT = 64 * 1024       # bytes of an answer that a gateway takes
NOISE = b"\xff\xfe\x00\x80"


@dataclass
class Setting:
    """What an odd answer is made of."""

    good: dict              # the answer that would have been right
    key: str                # its most important field
    date: str               # Date header, or ""
    elsewhere: str = ""     # URL of another host, for redirects

    @property
    def body(self):
        return json.dumps(self.good).encode()

    def head(self, *lines, status="200 OK"):
        """A head's bytes, but for what describes the body."""
        more = [f"Date: {self.date}"] if self.date else []
        return "\r\n".join([f"HTTP/1.1 {status}", *more,
                            "Content-Type: application/json", *lines, "",
                            ""]).encode()

    def whole(self, body, *lines, status="200 OK"):
        """An answer of fixed length."""
        return [self.head(f"Content-Length: {len(body)}", *lines,
                          status=status), body, ("close",)]


@dataclass
class Odd:
    """A kind of answer, by name in ODD."""

    name: str
    takes: bool
    about: str          # "frame", "body" or "error"
    steps: object       # fn(Setting) -> steps


ODD = {}


def _odd(takes, about):
    def add(function):
        name = function.__name__.strip("_")
        ODD[name] = Odd(name, takes, about, function)
        return function
    return add


def names(about=None, takes=None):
    """Names of the odd answers, for pytest's parametrize."""
    return [odd.name for odd in ODD.values()
            if about in (None, odd.about) and takes in (None, odd.takes)]


def _chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def _chunked(s):
    return s.head("Transfer-Encoding: chunked")


# Framing, in ways that are allowed.

@_odd(True, "frame")
def chunked(s):
    half = len(s.body) // 2
    return [_chunked(s), _chunk(s.body[:half]), _chunk(s.body[half:]),
            b"0\r\n\r\n", ("close",)]


@_odd(True, "frame")
def chunked_each_byte(s):
    return [_chunked(s), *(_chunk(bytes([b])) for b in s.body), b"0\r\n\r\n",
            ("close",)]


@_odd(True, "frame")
def chunked_extension_and_trailer(s):
    return [_chunked(s), b"%X;name=value\r\n%s\r\n" % (len(s.body), s.body),
            b"000\r\nX-Trailer: 1\r\n\r\n", ("close",)]


@_odd(True, "frame")
def until_close(s):
    return [s.head("Connection: close"), s.body, ("close",)]


@_odd(True, "frame")
def dripped(s):
    data = s.whole(s.body)
    drops = []
    for byte in data[0] + data[1]:
        drops += [bytes([byte]), ("pause", 0.002)]
    return [*drops, ("close",)]


@_odd(True, "frame")
def left_open(s):
    """The body's length is told: its end is the end, close or not."""
    return [*s.whole(s.body)[:2], ("hold",)]


@_odd(True, "frame")
def left_open_after_chunks(s):
    return [s.head("Transfer-Encoding: chunked", "Connection: keep-alive",
                   "Keep-Alive: timeout=60"),
            _chunk(s.body), b"0\r\n\r\n", ("hold",)]


@_odd(True, "frame")
def no_reason_phrase(s):
    return s.whole(s.body, status="200 ")


@_odd(True, "frame")
def created(s):
    return s.whole(s.body, status="201 Created")


@_odd(True, "frame")
def lower_case_headers(s):
    return [b"HTTP/1.1 200 OK\r\ncontent-type:application/json\r\n"
            b"content-length:   %d \r\n\r\n" % len(s.body), s.body,
            ("close",)]


@_odd(True, "frame")
def nearly_too_long(s):
    return s.whole(s.body[:-1] + b" " * 60000 + b"}")


# Framing that is none, or without end.

@_odd(False, "frame")
def silence(_s):
    return [("hold",)]


@_odd(False, "frame")
def drips_for_ever(s):
    drops = []
    for byte in s.whole(s.body)[0][:MAX_HOLD_S]:
        drops += [bytes([byte]), ("pause", 1)]
    return drops


@_odd(False, "frame")
def cut_at_once(_s):
    return [("abort",)]


@_odd(False, "frame")
def closed_at_once(_s):
    return [("close",)]


@_odd(False, "frame")
def cut_in_the_head(s):
    return [s.whole(s.body)[0][:-9], ("abort",)]


@_odd(False, "frame")
def cut_in_the_body(s):
    return [s.whole(s.body)[0], s.body[:-1], ("abort",)]


@_odd(False, "frame")
def closed_in_the_body(s):
    return [s.whole(s.body)[0], s.body[:-1], ("close",)]


@_odd(False, "frame")
def stalled_in_the_body(s):
    return [s.whole(s.body)[0], s.body[:-1], ("hold",)]


@_odd(False, "frame")
def chunked_cut(s):
    return [_chunked(s), _chunk(s.body), ("close",)]


@_odd(False, "frame")
def huge(s):
    return s.whole(s.body[:-1] + b" " * (LIMIT - len(s.body) + 1) + b"}")


@_odd(False, "frame")
def huge_by_its_header(s):
    return [s.head("Content-Length: 18446744073709551616"), s.body,
            ("hold",)]


@_odd(False, "frame")
def huge_chunked(s):
    return [_chunked(s), _chunk(s.body[:-1]), *[_chunk(b" " * 4096)] * 17,
            _chunk(b"}"), b"0\r\n\r\n", ("close",)]


@_odd(False, "frame")
def endless_body(s):
    return [s.head("Connection: close"), s.body[:-1], ("repeat", b" " * 1024)]


@_odd(False, "frame")
def endless_chunks(s):
    return [_chunked(s), ("repeat", _chunk(b" " * 1024))]


@_odd(False, "frame")
def endless_chunk_extension(s):
    return [_chunked(s), b"1;", ("repeat", b"x" * 1024)]


@_odd(False, "frame")
def endless_trailers(s):
    return [_chunked(s), _chunk(s.body), b"0\r\n",
            ("repeat", b"X-T: 1\r\n" * 128)]


@_odd(False, "frame")
def endless_headers(_s):
    return [b"HTTP/1.1 200 OK\r\n", ("repeat", b"X-H: 1\r\n" * 128)]


@_odd(False, "frame")
def endless_header_line(_s):
    return [b"HTTP/1.1 200 OK\r\nX: ", ("repeat", b"x" * 1024)]


@_odd(False, "frame")
def endless_continue(_s):
    return [("repeat", b"HTTP/1.1 100 Continue\r\n\r\n" * 64)]


def _bad_chunks(name, line):
    def steps(s):
        return [_chunked(s), line, s.body, b"\r\n0\r\n\r\n", ("close",)]
    ODD[name] = Odd(name, False, "frame", steps)


_bad_chunks("chunk_size_of_no_digits", b"\r\n")
_bad_chunks("chunk_size_of_other_digits", b"zz\r\n")
_bad_chunks("chunk_size_negative", b"-1\r\n")
_bad_chunks("chunk_size_with_0x", b"0x10\r\n")
_bad_chunks("chunk_size_beyond_64_bits", b"10000000000000010\r\n")
_bad_chunks("chunk_size_of_2_63", b"8000000000000000\r\n")
_bad_chunks("chunk_size_too_small", b"1\r\n")


def _bad_lengths(name, *lines):
    def steps(s):
        made = [line.replace("LENGTH", str(len(s.body))) for line in lines]
        return [s.head(*made), s.body, ("close",)]
    ODD[name] = Odd(name, False, "frame", steps)


_bad_lengths("length_negative", "Content-Length: -1")
_bad_lengths("length_with_plus", "Content-Length: +LENGTH")
_bad_lengths("length_of_no_digits", "Content-Length: ")
_bad_lengths("length_hexadecimal", "Content-Length: 0x40")
_bad_lengths("length_too_small", "Content-Length: 9")
_bad_lengths("two_different_lengths", "Content-Length: LENGTH",
             "Content-Length: 9")
_bad_lengths("length_and_chunked", "Content-Length: LENGTH",
             "Transfer-Encoding: chunked")
_bad_lengths("unknown_transfer_coding", "Transfer-Encoding: gzip")


def _raw(name, data):
    ODD[name] = Odd(name, False, "frame", lambda s: [data, ("close",)])


_raw("another_protocol", b"SSH-2.0-OpenSSH_9.2\r\n")
_raw("noise", NOISE * 64)
_raw("http_0_9", b'{"secret":"aaaaaaaa"}\n')
_raw("http_2_0", b'HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}')
_raw("status_of_two_digits", b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\n{}")
_raw("status_of_four_digits",
     b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}")
_raw("nul_in_the_head",
     b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\n{}")
_raw("folded_header",
     b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\n{}")
_raw("header_without_colon",
     b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 2\r\n\r\n{}")
_raw("switching_protocols", b"HTTP/1.1 101 Switching Protocols\r\n"
                            b"Upgrade: websocket\r\n\r\n")


# Bodies that lie.

@_odd(True, "body")
def more_fields(s):
    more = {"futureField": {"a": [1, {"b": None}]}, "n": 1e9, "": ""}
    return s.whole(json.dumps({**more, **s.good}).encode())


@_odd(True, "body")
def escaped(s):
    text = "".join(f"\\u{ord(c):04x}" for c in s.good[s.key])
    rest = {"": 0, **{k: v for k, v in s.good.items() if k != s.key}}
    return s.whole(b' \n%s ,\t"%s" : "%s" } \n' % (
        json.dumps(rest).encode()[:-1], s.key.encode(), text.encode()))


def _body(name, make, takes=False):
    ODD[name] = Odd(name, takes, "body", lambda s: s.whole(make(s)))


def _with(name, value):
    _body(name, lambda s: json.dumps({**s.good, s.key: value}).encode())


_with("key_is_a_number", 12345678)
_with("key_is_true", True)
_with("key_is_null", None)
_with("key_is_a_list", ["a" * 64])
_with("key_is_an_object", {"value": "a" * 64})
_with("key_is_empty", "")
_with("key_is_blank", " \t")
_with("key_with_a_nul", "a" * 32 + "\0" + "b" * 32)
_with("key_with_a_newline", "a" * 32 + "\r\nX-Injected: 1")
_with("key_is_too_long", "a" * 20000)
_with("key_is_a_lone_surrogate", "\ud800" * 16)
_body("no_key", lambda s: json.dumps(
    {k: v for k, v in s.good.items() if k != s.key}).encode())
_body("doubled_key", lambda s: b'{"%s":"%s",%s' % (
    s.key.encode(), b"f" * 64, s.body[1:]))
_body("empty_body", lambda s: b"")
_body("html", lambda s: b"<!DOCTYPE html><html><body>Sign in</body></html>")
_body("an_array", lambda s: b"[" + s.body + b"]")
_body("two_objects", lambda s: s.body + s.body)
_body("rubbish_behind", lambda s: s.body + b"x")
_body("unfinished", lambda s: s.body[:-1])
_body("not_utf8", lambda s: s.body[:-1] + b',"x":"' + NOISE + b'"}')
_body("nested_deeply", lambda s: b'{"x":' + b"[" * 20000 + b"]" * 20000
      + b"," + s.body[1:])
_body("with_a_bom", lambda s: b"\xef\xbb\xbf" + s.body)


@_odd(False, "body")
def compressed(s):
    return s.whole(gzip.compress(s.body), "Content-Encoding: gzip")


@_odd(False, "body")
def no_content(s):
    return [s.head(status="204 No Content"), ("close",)]


def _redirect(status):
    def steps(s):
        return s.whole(s.body, f"Location: {s.elsewhere}/relay",
                       status=f"{status} Elsewhere")
    name = f"redirect_{status}"
    ODD[name] = Odd(name, False, "redirect", steps)


for _status in (300, 301, 302, 303, 307, 308):
    _redirect(_status)


# Error statuses; what a person may see of them stands in ERROR_TEXT.

ERROR_TEXT = "the quota of tenant-a is used up"
CONTROLS = "red \x1b[31m\x07 \u202e\r\nevent=forged key=value"


def _error(name, status, body):
    def steps(s):
        return s.whole(body, status=f"{status} Refused")
    ODD[name] = Odd(name, False, "error", steps)


_error("error_in_words", 409, json.dumps({"error": ERROR_TEXT}).encode())
_error("error_500_html", 500, b"<html><h1>Internal Error</h1></html>")
_error("error_empty", 503, b"")
_error("error_is_a_number", 400, b'{"error":7}')
_error("error_with_controls", 400, json.dumps({"error": CONTROLS}).encode())
_error("error_too_long", 400, json.dumps({"error": "x" * 30000}).encode())
_error("error_huge", 500, b"e" * (LIMIT + 1))
_error("error_401", 401, json.dumps({"error": "unauthorized"}).encode())
_error("error_403", 403, json.dumps({"error": "forbidden"}).encode())
_error("error_429", 429, b'{"error":"slow down"}')


# Playing.

async def play(request, steps):
    """Play the steps on the request's connection, and end it."""
    transport = request.transport
    deadline = asyncio.get_running_loop().time() + MAX_HOLD_S
    last = ("close",)
    for step in steps:
        if request.transport is None or transport.is_closing():
            return
        if isinstance(step, bytes):
            transport.write(step)
        elif step[0] == "pause":
            await asyncio.sleep(step[1])
        elif step[0] in ("hold", "repeat"):
            await _go_on(request, transport, step[1:], deadline)
        last = step
    await _flush(request, transport, deadline)
    if last == ("abort",):
        transport.abort()
    else:
        transport.close()


async def _go_on(request, transport, data, deadline):
    """Hold, or repeat the data, until the peer leaves."""
    loop = asyncio.get_running_loop()
    while request.transport is not None and not transport.is_closing() \
            and loop.time() < deadline:
        if data and transport.get_write_buffer_size() < WRITE_HIGH:
            for _ in range(BURST):
                transport.write(data[0])
        await asyncio.sleep(0.005)


async def _flush(request, transport, deadline):
    loop = asyncio.get_running_loop()
    while request.transport is not None and loop.time() < deadline \
            and transport.get_write_buffer_size():
        await asyncio.sleep(0.001)
