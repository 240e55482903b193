# SPDX-License-Identifier: ISC
"""What a test can order: deliveries, faults, answers.

Each function takes the State first and runs in the connector's loop.  A
gateway may be named, or left out (None) when there is only one.
"""

import itertools
import re

from . import delivery, lines, outbound, protocol, wsframes
from .faults import DialFault
from .model import Gateway

STALLS = ("read", "write", "descriptors", "idle_ack", "results", "pong")
SOURCE_FIELDS = ("chat_type", "user_id", "thread_id", "chat_name",
                 "chat_topic", "user_name")
# What say() takes as keywords for the source; anything else is the event's.
MORE_SOURCE = {
    "scope_id", "user_id_alt", "chat_id_alt", "parent_chat_id", "is_bot",
    "message_is_edit", "one_to_one_verified", "profile", "auto_thread_created",
    "auto_thread_initial_name", "prospective_thread_id", "user_display_name",
    "user_handle",
}
_message_numbers = itertools.count(1)


class NoGateway(LookupError):
    """The gateway named is not registered, or not connected."""


def gateway_of(state, gateway_id=None):
    if gateway_id is None and len(state.gateways) == 1:
        return next(iter(state.gateways.values()))
    if gateway_id not in state.gateways:
        raise NoGateway(f"no gateway {gateway_id!r} is registered")
    return state.gateways[gateway_id]


def link_of(state, gateway_id=None):
    gateway = gateway_of(state, gateway_id)
    if gateway.link is None:
        raise NoGateway(f"{gateway.gateway_id} is not connected")
    return gateway.link


def register(state, gateway_id, secret, platforms, more_secrets=()):
    gateway = Gateway(gateway_id, [secret, *more_secrets], platforms)
    state.gateways[gateway_id] = gateway
    return gateway


# Deliveries.

def make_event(platform, chat_id, text, fields):
    """An event as §5 of the contract has it; fields override and extend."""
    source = {"platform": platform, "chat_id": chat_id}
    for name in SOURCE_FIELDS:
        source[name] = fields.pop(name, None)
    source["chat_type"] = source["chat_type"] or "dm"
    source["user_id"] = source["user_id"] or "u1"
    for name in MORE_SOURCE & fields.keys():
        source[name] = fields.pop(name)
    source.update(fields.pop("source", {}))
    event = {"text": text, "message_type": "text", "source": source,
             "message_id": f"in-{next(_message_numbers)}"}
    event.update(fields)
    return event


def deliver(state, gateway, frame, chat=(), live=False, buffer_id=None,
            copies=1):
    """Send or buffer a frame; returns its bufferId, or None if it went live.

    Live delivery may repeat itself: `copies` of the same frame go out.
    """
    if chat:
        outbound.learn(gateway.chats, chat)
    link = gateway.link
    if live and link and link.live():
        for _ in range(copies):
            link.send(frame)
        return None
    entry = gateway.buffer.add(frame, buffer_id, chat,
                               state.settings.numeric_ids,
                               state.settings.id_prefix)
    if link:
        link.work.set()
    return entry.buffer_id


def say(state, platform, chat_id, text, gateway=None, live=False,
        buffer_id=None, copies=1, **fields):
    """Make an event and deliver it; see make_event for the fields."""
    event = make_event(platform, chat_id, text, fields)
    return deliver(state, gateway_of(state, gateway),
                   {"type": "inbound", "event": event},
                   delivery.event_chat(event), live, buffer_id, copies)


def say_many(state, events, gateway=None):
    """Buffer many whole events at once; returns their bufferIds."""
    gateway = gateway_of(state, gateway)
    return [deliver(state, gateway, {"type": "inbound", "event": event},
                    delivery.event_chat(event)) for event in events]


def forward(state, value, gateway=None, live=False, buffer_id=None):
    return deliver(state, gateway_of(state, gateway),
                   {"type": "passthrough_forward", "forward": value},
                   (), live, buffer_id)


def describe(state, platform, gateway=None, **fields):
    """Change what the descriptor of a platform says, and send it anew."""
    link = link_of(state, gateway)
    link.gateway.descriptors[platform].update(fields)
    protocol.send_descriptor(link, platform)


def interrupt(state, session_key, chat_id, gateway=None):
    link_of(state, gateway).send({"type": "interrupt_inbound",
                                  "session_key": session_key,
                                  "chat_id": chat_id})


def repeat(state, gateway=None):
    """Send again, on the same connection, what awaits its ack."""
    link = link_of(state, gateway)
    return _send_again(link, link.gate.repeat())


def rewind(state, count=1, gateway=None):
    """Send again what was acknowledged last, as if its acks were lost."""
    link = link_of(state, gateway)
    return _send_again(link, link.gate.rewind(count))


def _send_again(link, entries):
    for entry in entries:
        link.put("line", entry.line)
    return len(entries)


def send(state, frame, gateway=None):
    """Any frame at all: an object is dumped, a string is one line's text."""
    line = frame + "\n" if isinstance(frame, str) else lines.dump(frame)
    link_of(state, gateway).put("line", line)


# Faults on the link.

def revoke(state, gateway=None, reason="unauthorized"):
    gateway = gateway_of(state, gateway)
    gateway.revoked = True
    if gateway.link:
        gateway.link.close(4401, reason)


def restore(state, gateway=None):
    gateway_of(state, gateway).revoked = False


def rotate(state, secret, keep_old=True, gateway=None, keep_s=None):
    """Make this the newest secret; without keep_old the others go at once,
    with keep_s after so many seconds."""
    gateway_of(state, gateway).rotate(secret, keep_old, keep_s)


def close(state, code=1000, reason="", gateway=None):
    link_of(state, gateway).close(code, reason)


def drop(state, reset=False, gateway=None):
    link_of(state, gateway).drop(reset)


def stall(state, *what, on=False):
    """Switch off some of STALLS; with on=True, back on."""
    for name in what:
        if name not in STALLS:
            raise ValueError(f"{name!r} is none of {', '.join(STALLS)}")
        setattr(state.settings, name, on)
    for link in state.links:
        if link.open:
            link.pause(not state.settings.read)
            if on:
                _catch_up(state, link)
            link.work.set()


def _catch_up(state, link):
    """Give what a lifted stall held back."""
    if state.settings.descriptors:
        for platform in link.greeted.keys() - link.described:
            protocol.send_descriptor(link, platform)
    idle_asked = link.counters["going_idle"] and not link.idle
    if state.settings.idle_ack and idle_asked:
        protocol.grant_idle(link)
    if state.settings.results:
        protocol.release(state)


def release(state, reverse=False):
    protocol.release(state, reverse)


def put(state, kind, data, gateway=None):
    """One message ("text", "binary") or raw bytes ("raw") on the link."""
    link_of(state, gateway).put(kind, data)


def half_frame(state, text, part=0.5, gateway=None):
    """The beginning of a frame; what follows breaks the stream."""
    whole = wsframes.frame(wsframes.TEXT, text.encode())
    put(state, "raw", whole[:max(1, int(len(whole) * part))], gateway)


def fragments(state, text, size, gateway=None):
    """One message as frames of `size` bytes."""
    put(state, "raw", wsframes.fragments(text.encode(), size), gateway)


def ping(state, count=1, payload=b"", gateway=None):
    put(state, "raw", wsframes.frame(wsframes.PING, payload) * count, gateway)


def oversized_line(state, size=None, buffer_id=None, gateway=None):
    """An inbound beyond 1 MiB; with a buffer_id it stands in the queue."""
    event = make_event("discord", "big", "x" * (size or lines.MAX_LINE), {})
    frame = {"type": "inbound", "event": event}
    if buffer_id is None:
        send(state, frame, gateway)
        return None
    return deliver(state, gateway_of(state, gateway), frame, (), False,
                   buffer_id)


# Faults on dials.

def on_dial(state, *dial_faults):
    state.dial_faults.extend(dial_faults)


def forbid(state, count=1, status=0, code=4401, reason="unauthorized"):
    """Refuse the next dials: with an HTTP status, or a close code."""
    fault = DialFault(status=status) if status else DialFault(
        close=(code, reason))
    on_dial(state, *[fault] * count)


# What is seen from outside.

def vis(text, limit=4000):
    """Foreign text made safe to print."""
    clean = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]",
                   lambda m: f"\\x{ord(m[0]):02x}", str(text))
    return clean if len(clean) <= limit else clean[:limit] + "…"


def status(state):
    """A summary, one line per thing."""
    out = []
    for gateway in state.gateways.values():
        link = gateway.link
        where = "away" if link is None else (
            "handshaken" if link.handshaken else "connected")
        if gateway.revoked:
            where += ", revoked"
        if gateway.asleep:
            where += ", idle"
        out.append(f"{gateway.gateway_id}: {where}; "
                   f"{len(gateway.buffer)} not acknowledged")
    for link in state.links[-3:]:
        out.append(f"link {link.number}: {dict(link.counters)} "
                   f"closed={link.closed}")
    for dial in state.dials[-3:]:
        out.append(f"dial {dial.number}: {vis(dial.verdict)} -> {dial.outcome}")
    out.append(f"counters: {dict(state.counters)}")
    out.extend(f"violation: {vis(v)}" for v in state.violations[:10])
    return "\n".join(out)
