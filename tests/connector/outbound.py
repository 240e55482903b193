# SPDX-License-Identifier: ISC
"""Outbound actions: whose they are, what they do to a chat, the answer."""

from dataclasses import dataclass, field

from . import descriptors, rules

NOT_ROUTED = "target not routed to an onboarded tenant"

# The generic platform names no place; the gateway does not remember it.
GENERIC = "relay"

# The ops whose content a descriptor limits.
MEASURED = ("send", "edit", "follow_up")


@dataclass
class Chat:
    """One chat as inbound events made it known, and what happened in it."""

    chat_id: str
    platform: str = ""
    scope_id: str = ""
    user_id: str = ""
    log: list = field(default_factory=list)     # actions, in order
    messages: dict = field(default_factory=dict)    # message id: content


def learn(chats, told):
    """Remember a chat from an inbound event (delivery.event_chat)."""
    chat_id, platform, scope_id, user_id = told
    if not chat_id or not isinstance(chat_id, str):
        return
    chat = chats.setdefault(chat_id, Chat(chat_id))
    if platform and platform != GENERIC:
        chat.platform = platform
    chat.scope_id = scope_id or chat.scope_id
    chat.user_id = user_id or chat.user_id


def metadata_of(action):
    metadata = action.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def chat_of(chats, action):
    """The chat an action names, if it is a known one."""
    chat_id = action.get("chat_id")
    return chats.get(chat_id) if isinstance(chat_id, str) else None


def unfilled(known, frame):
    """What a gateway that took this chat's events should have added.

    `known` holds the chats whose events this connection acknowledged: what
    is still under way the gateway cannot know.
    """
    action = frame["action"]
    chat = chat_of(known, action)
    if chat is None or not isinstance(action.get("metadata") or {}, dict):
        return []
    metadata = metadata_of(action)
    missing = []
    if chat.platform and not frame.get("platform"):
        missing.append("platform")
    for name in ("scope_id", "user_id"):
        if getattr(chat, name) and not metadata.get(name):
            missing.append(f"metadata.{name}")
    return missing


def routed(gateway, strictness, frame):
    """Whether the tenant of an action can be resolved.

    "chat" knows a chat from any event it ever sent there; "scope" believes
    only what the frame says; "off" takes everything.
    """
    action = frame["action"]
    if strictness == "off":
        return True
    if action["op"] == "follow_up":
        kind = action.get("kind")
        platform = kind.split(".")[0] if isinstance(kind, str) else ""
        return platform in gateway.platforms and bool(action.get("session_key"))
    metadata = metadata_of(action)
    scoped = metadata.get("scope_id") or metadata.get("user_id")
    if scoped and frame.get("platform") and frame.get("botId"):
        return True
    return strictness == "chat" and chat_of(gateway.chats, action) is not None


def identity_problems(link, frame):
    """Breaches in the frame's platform and botId."""
    platform, bot_id = frame.get("platform"), frame.get("botId")
    if (platform is None) != (bot_id is None):
        return ["platform and botId go together"]
    if platform is None:
        return []
    if link.greeted.get(platform) != bot_id:
        return ["platform and botId are of no identity on this connection"]
    return []


def failure(error):
    return {"success": False, "error": error}


def judge(link, frame):
    """The result of an action that broke no rule of the wire."""
    gateway, action = link.gateway, frame["action"]
    missing = rules.missing_field(action)
    if missing:
        return failure(f"{action['op']} needs {missing}")
    if not routed(gateway, link.state.settings.egress, frame):
        return failure(NOT_ROUTED)
    descriptor = gateway.descriptors[platform_of(link, frame)]
    content = action.get("content")
    if isinstance(content, str) and action["op"] in MEASURED:
        length = descriptors.measure(descriptor, content)
        if length > descriptors.limit(descriptor):
            return failure(f"content has {length}, at most "
                           f"{descriptors.limit(descriptor)} are allowed")
    return perform(gateway, action)


def platform_of(link, frame):
    """The platform an action is for: as tagged, as known, or the default."""
    chat = chat_of(link.gateway.chats, frame["action"])
    for platform in (frame.get("platform"), chat.platform if chat else None):
        if platform in link.greeted:
            return platform
    return next(iter(link.greeted))


def _new_id(gateway, prefix):
    gateway.messages_out += 1
    return f"{prefix}{gateway.messages_out}"


def _send(gateway, chat, action):
    message_id = _new_id(gateway, "m")
    chat.messages[message_id] = action.get("content", "")
    return {"success": True, "message_id": message_id}


def _edit(_gateway, chat, action):
    chat.messages[action["message_id"]] = action["content"]
    return {"success": True, "message_id": action["message_id"]}


def _thread_create(gateway, _chat, _action):
    return {"success": True, "thread_id": _new_id(gateway, "t")}


def _chat_info(_gateway, chat, _action):
    return {"success": True,
            "chat_info": {"name": f"#{chat.chat_id}", "type": "group"}}


# What an op answers; every other one just succeeds.
PERFORM = {
    "send": _send, "follow_up": _send, "send_media": _send, "prompt": _send,
    "edit": _edit, "thread_create": _thread_create, "get_chat_info": _chat_info,
}


def perform(gateway, action):
    """Do the action in the chat log and give its result."""
    # A chat reached by metadata or session alone is not thereby known.
    chat = chat_of(gateway.chats, action) or Chat(str(action.get("chat_id")))
    chat.log.append(action)
    handler = PERFORM.get(action["op"])
    return handler(gateway, chat, action) if handler else {"success": True}
