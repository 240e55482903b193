# SPDX-License-Identifier: ISC
"""relayd's log lines taken apart, and the events that there are."""

import json
import re
from datetime import datetime

from base import ROOT

KEYS = ("time", "level", "process", "pid", "event", "gateway", "repeated",
        "msg")
FORMS = ("logfmt", "json")
LEVELS = ("error", "warn", "notice", "info", "debug")
EVENTS = frozenset(re.findall(r"^X\((\w+)\)$", (
    ROOT / "common/log_event.def").read_text(), re.M))
_PAIR = re.compile(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([\w.:/@-]+))(?: |$)')
_EVENT = re.compile(r'^(?:<\d>)?(?:time=\S+ .*?\bevent=|\{"time":.*?"event":")'
                    r"(\w+)")
# A child's line whose event the supervisor does not know.
_STRAY = re.compile(r"event\W+stderr\W.*msg\W{1,3}\d\\{1,2}x09\w+\\{1,2}x09")


def event_of(line):
    """The name of a line's event, or None."""
    match = _EVENT.match(line)
    return match and match[1]


def strangers(lines):
    """Lines of events that nobody has written down."""
    return [line for line in lines
            if event_of(line) not in EVENTS | {None} or _STRAY.search(line)]


def logfmt(line):
    """A line of key=value pairs as a dict, and nothing left over."""
    fields, at = {}, 0
    while at < len(line):
        match = _PAIR.match(line, at)
        assert match, f"no pair at {at}: {line}"
        name, quoted, plain = match.groups()
        assert name not in fields, line
        value = plain if quoted is None else quoted.replace('\\"', '"')
        fields[name] = int(value) if name in ("pid", "repeated") else value
        at = match.end()
    return fields


def parse(line, form):
    """One line; every key is known, in order, and of its type."""
    fields = logfmt(line) if form == "logfmt" else json.loads(line)
    assert list(fields) == [key for key in KEYS if key in fields], line
    assert fields.keys() >= set(KEYS) - {"gateway", "repeated"}, line
    assert fields["level"] in LEVELS and fields["pid"] > 0, line
    assert fields["event"] in EVENTS, line
    datetime.strptime(fields["time"], "%Y-%m-%dT%H:%M:%S.%fZ")
    assert line.isprintable(), line
    return fields


def quiet(make_relayd, form="logfmt", **more):
    """A daemon that logs at info."""
    return make_relayd({"log": {"format": form, "level": "info", **more}},
                       debug=False)


def parsed(relayd, form="logfmt"):
    return [parse(line, form) for line in relayd.lines]
