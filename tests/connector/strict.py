# SPDX-License-Identifier: ISC
"""What the connector insists on in an HTTP request, beyond what aiohttp does.

Each check returns the problems it found, as texts.
"""

import re
from urllib.parse import unquote_plus

from .lines import BadLine, Doubled, parse

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

# Headers that a gateway has no business to send with an exchange.
UNWANTED = ("Cookie", "Expect", "Upgrade", "Proxy-Authorization",
            "Transfer-Encoding", "Content-Encoding")
ONCE = ("Host", "Authorization", "Content-Length", "Content-Type")
# What a form may consist of (the URL standard's percent-encode set).
FORM_RE = re.compile(r"(?:[A-Za-z0-9*._+=&~-]|%[0-9A-Fa-f]{2})*")
# Values that may stand somewhere by chance.
SHORT = 4
BEARER_RE = re.compile(r"Bearer [A-Za-z0-9._~+/-]+=*")


def check_head(request, content_type, may_query=False):
    """Problems of the request line and the headers; content_type is None
    for a request without a body."""
    headers, problems = request.headers, []
    if request.version != (1, 1):
        problems.append("not HTTP/1.1")
    if not request.raw_path.startswith("/"):
        problems.append("the target is no path")
    if "#" in request.raw_path or (request.query_string and not may_query):
        problems.append("a query or fragment in the target")
    for name in ONCE:
        if len(headers.getall(name, [])) > 1:
            problems.append(f"{name} stands twice")
    problems += [f"{name} is sent" for name in UNWANTED if name in headers]
    problems += _check_host(request)
    problems += _check_body_headers(headers, content_type)
    return problems


def _check_host(request):
    sock = request.transport.get_extra_info("sockname")
    host, colon, port = request.headers.get("Host", "").rpartition(":")
    if not host or not colon or port != str(sock[1]):
        return [f"Host does not name port {sock[1]}"]
    return []


def _check_body_headers(headers, content_type):
    kind = headers.get("Content-Type")
    length = headers.get("Content-Length")
    if content_type is None:
        return ["a GET with a body"] if kind or length not in (
            None, "0") else []
    problems = []
    if length is None:
        problems.append("no Content-Length")
    if kind is None or kind.split(";")[0].strip().lower() != content_type:
        problems.append(f"Content-Type is not {content_type}")
    return problems


def bearer_of(request):
    """The bearer and the problems of the header that should have it."""
    header = request.headers.get("Authorization")
    if header is None:
        return "", ["no Authorization header"]
    if not BEARER_RE.fullmatch(header):
        return "", ["Authorization is no well-formed Bearer credential"]
    return header.partition(" ")[2], []


def parse_body(raw):
    """(object, problem) of a JSON body; one of them is None."""
    try:
        body = parse(raw.decode())
    except (UnicodeDecodeError, BadLine) as error:
        return None, f"body: {error}"
    if isinstance(body, Doubled):
        return None, "a key stands twice"
    return body, None


def parse_form(raw):
    """(fields, problems) of a form-encoded body."""
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        return {}, ["the form is not ASCII"]
    if not FORM_RE.fullmatch(text):
        return {}, ["the form holds what must be percent-encoded"]
    fields, problems = {}, []
    for pair in text.split("&"):
        name, equals, value = pair.partition("=")
        if not equals or "=" in value:
            problems.append("the form is not NAME=VALUE pairs")
        elif name in fields:
            problems.append(f"{name} stands twice")
        else:
            try:
                fields[unquote_plus(name)] = unquote_plus(
                    value, errors="strict")
            except UnicodeDecodeError:
                problems.append(f"{name} is not UTF-8")
    return fields, problems


def check_fields(body, required, when_set, lists_of_text):
    """(problems, unknown names) of an object's fields."""
    problems = []
    for field, kind in required.items():
        if type(body.get(field)) is not kind:
            problems.append(f"{field} is missing or no {kind.__name__}")
        elif field in lists_of_text and not all(
                isinstance(item, str) for item in body[field]):
            problems.append(f"{field} holds something else than text")
    for field in when_set:
        if field in body and not (isinstance(body[field], str)
                                  and body[field]):
            problems.append(f"{field} is sent though not set")
    return problems, [f for f in body
                      if f not in required and f not in when_set]


def find_leaks(request, raw, forbidden):
    """Which of `forbidden` (name: set of values) the request holds where it
    must not: anywhere at all."""
    text = "\n".join([request.raw_path,
                      *(f"{k}: {v}" for k, v in request.headers.items()),
                      unquote_plus(raw.decode("utf-8", "replace"))])
    return [f"{name} was sent" for name, values in forbidden.items()
            if any(len(value) > SHORT and value in text for value in values)]
