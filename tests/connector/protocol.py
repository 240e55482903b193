# SPDX-License-Identifier: ISC
"""What the connector does with each frame of a gateway.

Every function takes (link, frame); the frame's form has been checked.  A
breach is reported with link.breach() and the frame then goes no further.
"""

from . import descriptors, outbound, rules
from .lines import BadLine, parse
from .model import Outbound


def on_line(link, line):
    """One line of a gateway; None stands for an oversized one."""
    if line is None:
        link.breach("line", "longer than 1 MiB")
        return
    link.counters["lines"] += 1
    try:
        frame = parse(line)
    except BadLine as error:
        link.breach("line", str(error))
        return
    kind = frame.get("type")
    if not isinstance(kind, str) or kind in rules.CONNECTOR_FRAMES:
        link.breach("type", f"{kind!r} is no frame of a gateway")
    elif kind not in HANDLERS:
        link.state.ignored(f"type {kind}")
    elif _well_formed(link, kind, frame):
        link.counters[kind] += 1
        link.state.counters[kind] += 1
        HANDLERS[kind](link, frame)
    link.state.changed()


def _well_formed(link, kind, frame):
    problems, unknown = rules.check_frame(frame)
    for name in unknown:
        link.state.ignored(f"{kind}.{name}")
    for problem in problems:
        link.breach(kind, problem)
    if not problems and kind in NEED_HANDSHAKE and not link.handshaken:
        link.breach(kind, "before the first descriptor")
        return False
    return not problems


def on_hello(link, frame):
    platform, bot_id = frame["platform"], frame["botId"]
    gateway = link.gateway
    if gateway.platforms.get(platform) != bot_id:
        link.breach("hello", f"{platform!r} with botId {bot_id!r} is not "
                             "registered for this gateway")
        return
    if platform in link.greeted:
        link.breach("hello", f"a second one for {platform!r}")
        return
    if "command_manifest" in frame:
        for problem in rules.check_manifest(platform,
                                            frame["command_manifest"]):
            link.breach("hello", problem)
    link.greeted[platform] = bot_id
    link.hellos.append(frame)
    link.state.emit("hello", gateway=gateway.gateway_id, platform=platform)
    if link.state.settings.descriptors:
        send_descriptor(link, platform)


def send_descriptor(link, platform):
    """Answer a hello; the first answer completes the handshake."""
    descriptor = link.gateway.descriptors[platform]
    link.send({"type": "descriptor", "descriptor": descriptor})
    link.described.add(platform)
    if not link.handshaken:
        link.begin()


def on_ack(link, frame):
    entry, wrong = link.gate.ack(frame["bufferId"])
    if wrong:
        link.breach("inbound_ack", f"{frame['bufferId']!r}: {wrong}")
        return
    if entry is None:
        link.state.counters["reacks"] += 1
        return
    link.state.counters["acked"] += 1
    if entry.chat:
        outbound.learn(link.known, entry.chat)
    if link.state.listeners:
        link.state.emit("ack", gateway=link.gateway.gateway_id,
                        buffer_id=entry.buffer_id)
    link.work.set()


def on_outbound(link, frame):
    action, request_id = frame["action"], frame["requestId"]
    problems = rules.check_action(action)
    if request_id in link.request_ids:
        problems.append(f"requestId {request_id!r} was used before")
    problems += outbound.identity_problems(link, frame)
    link.request_ids.add(request_id)
    if not problems:
        problems = _policy_problems(link, frame)
    for problem in problems:
        link.breach("outbound", problem)
    if any(p.startswith(("action.op", "requestId")) for p in problems):
        return
    _count_reuse(link, request_id)
    record = Outbound(link.gateway.gateway_id, link.number, frame, action)
    link.state.keep(link.state.outbounds, record)
    _answer(link, record)
    link.state.emit("outbound", gateway=record.gateway_id, action=action,
                    result=record.result)


def _policy_problems(link, frame):
    """Breaches of what a gateway must and must not let through."""
    problems = []
    op = frame["action"]["op"]
    platform = outbound.platform_of(link, frame)
    if not descriptors.allows(link.gateway.descriptors[platform], op):
        problems.append(f"op {op!r} is not in {platform}'s descriptor")
    if link.state.settings.fill_in:
        missing = outbound.unfilled(link.known, frame)
        if missing:
            problems.append(f"the chat is known, yet {', '.join(missing)} "
                            "was not filled in")
    return problems


def _count_reuse(link, request_id):
    """Ids need only be unique on a connection; a reuse is worth counting."""
    if request_id in link.gateway.request_ids:
        link.state.counters["request_ids_reused"] += 1
    link.gateway.request_ids.add(request_id)


def _answer(link, record):
    state = link.state
    if not state.settings.results:
        state.held.append((link, record))
        return
    result = outbound.judge(link, record.frame)
    if state.result_hook:
        result = state.result_hook(record) or result
    finish(link, record, result)


def finish(link, record, result):
    """Send the result of an outbound, on the connection that asked."""
    record.result = result
    link.send({"type": "outbound_result",
               "requestId": record.frame["requestId"], "result": result})


def release(state, reverse=False):
    """Answer what was held back, oldest first or newest first."""
    while state.held:
        link, record = state.held.pop() if reverse else state.held.popleft()
        if link.open:
            finish(link, record, outbound.judge(link, record.frame))


def on_interrupt(link, frame):
    link.state.keep(link.state.interrupts, frame)
    link.state.emit("interrupt", gateway=link.gateway.gateway_id,
                    session_key=frame["session_key"], reason=frame["reason"])


def on_going_idle(link, _frame):
    link.state.emit("going_idle", gateway=link.gateway.gateway_id)
    if link.state.settings.idle_ack:
        grant_idle(link)


def grant_idle(link):
    """Stop live delivery, then say so: nothing may follow the ack."""
    link.idle = True
    link.gateway.asleep = True
    link.send({"type": "going_idle_ack"})


HANDLERS = {
    "hello": on_hello,
    "inbound_ack": on_ack,
    "outbound": on_outbound,
    "interrupt": on_interrupt,
    "going_idle": on_going_idle,
}

# going_idle is left out: a stop may come in the middle of a handshake.
NEED_HANDSHAKE = {"inbound_ack", "outbound", "interrupt"}
