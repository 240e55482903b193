# SPDX-License-Identifier: ISC
"""What a gateway's frames must look like: one table, one checker."""

from .lines import Doubled

REQUIRED, OPTIONAL = True, False

# By type, each field: (required, accepted types).  "type" is always there.
GATEWAY_FRAMES = {
    "hello": {
        "platform": (REQUIRED, (str,)),
        "botId": (REQUIRED, (str,)),
        "command_manifest": (OPTIONAL, (list,)),
    },
    "inbound_ack": {"bufferId": (REQUIRED, (str,))},
    "outbound": {
        "requestId": (REQUIRED, (str,)),
        "action": (REQUIRED, (dict,)),
        "platform": (OPTIONAL, (str,)),
        "botId": (OPTIONAL, (str,)),
    },
    "interrupt": {
        "session_key": (REQUIRED, (str,)),
        "reason": (REQUIRED, (str, type(None))),
    },
    "going_idle": {},
}

CONNECTOR_FRAMES = {"descriptor", "inbound", "passthrough_forward",
                    "outbound_result", "interrupt_inbound", "going_idle_ack"}

# Strings that identify something are never empty.
NOT_EMPTY = {"platform", "bufferId", "requestId", "session_key"}

# op: fields that it cannot do without.  An agent writes these, the gateway
# passes them on untouched: a lack is answered in the result, not a breach.
OP_FIELDS = {
    "send": ("chat_id", "content"),
    "edit": ("chat_id", "message_id", "content"),
    "typing": ("chat_id",),
    "follow_up": ("session_key", "kind", "content"),
    "send_media": ("chat_id", "media_kind", "source_url"),
    "prompt": ("chat_id", "prompt_kind", "prompt_id", "content"),
    "react": ("chat_id", "message_id", "emoji"),
    "thread_create": ("chat_id", "thread_name"),
    "thread_rename": ("chat_id", "message_id", "thread_name"),
    "get_chat_info": ("chat_id",),
}


def check_frame(frame):
    """(problems, unknown fields) of a frame of a known gateway type."""
    fields = GATEWAY_FRAMES[frame["type"]]
    problems = []
    if isinstance(frame, Doubled):
        problems.append("a key stands twice")
    for name, (required, types) in fields.items():
        if name not in frame:
            if required:
                problems.append(f"{name} is missing")
        elif type(frame[name]) not in _exact(types):
            problems.append(f"{name} is a {type(frame[name]).__name__}")
        elif name in NOT_EMPTY and frame[name] == "":
            problems.append(f"{name} is empty")
    unknown = [n for n in frame if n not in fields and n != "type"]
    return problems, unknown


def _exact(types):
    """The exact types: a bool is no int, but a Doubled is still a dict."""
    return types + (Doubled,) if dict in types else types


def check_manifest(platform, manifest):
    """Problems of a hello's command_manifest."""
    if platform != "discord":
        return ["command_manifest is for Discord only"]
    for entry in manifest:
        if type(entry) is not dict:
            return ["a command_manifest entry is no (strict) object"]
        if not isinstance(entry.get("name"), str) or not entry["name"]:
            return ["a command_manifest entry has no name"]
        if not isinstance(entry.get("description", ""), str):
            return ["a command's description is no string"]
        if not isinstance(entry.get("options", []), list):
            return ["a command's options are no list"]
    return []


def check_action(action):
    """Breaches in an action that are the gateway's, not the agent's."""
    problems = []
    if isinstance(action, Doubled):
        problems.append("a key of action stands twice")
    if isinstance(action.get("metadata"), Doubled):
        problems.append("a key of action.metadata stands twice")
    op = action.get("op")
    if not isinstance(op, str) or not op:
        problems.append("action.op is no name")
    return problems


def missing_field(action):
    """The first field that the op cannot do without, or None."""
    for name in OP_FIELDS.get(action["op"], ()):
        if not isinstance(action.get(name), str) or not action[name]:
            if name == "content" and action.get(name) == "":
                continue
            return name
    return None
