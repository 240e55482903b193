# SPDX-License-Identifier: ISC
"""Default descriptors, one per platform, and what follows from one."""

import copy

OLD_OPS = ("send", "edit", "typing", "follow_up")
NEW_OPS = ("send_media", "prompt", "react", "thread_create", "thread_rename",
           "get_chat_info")


def _descriptor(platform, label, limit, dialect, **more):
    base = {
        "contract_version": 1, "platform": platform, "label": label,
        "max_message_length": limit, "supports_draft_streaming": False,
        "supports_edit": True, "supports_threads": True,
        "markdown_dialect": dialect, "len_unit": "chars",
        "supported_ops": list(OLD_OPS + NEW_OPS),
    }
    base.update(more)
    return base


DEFAULTS = {d["platform"]: d for d in (
    _descriptor("discord", "Discord", 2000, "discord", emoji="🎮",
                supports_context=True),
    _descriptor("telegram", "Telegram", 4096, "markdown_v2",
                len_unit="utf16", supports_draft_streaming=True),
    _descriptor("slack", "Slack", 39000, "slack_mrkdwn",
                supports_block_formatting=True),
    _descriptor("whatsapp", "WhatsApp", 4096, "plain", supports_edit=False,
                supports_threads=False, pii_safe=True),
)}


def default(platform):
    """A fresh copy; a platform without a default gets a plain one."""
    if platform in DEFAULTS:
        return copy.deepcopy(DEFAULTS[platform])
    return _descriptor(platform, platform.title(), 4096, "plain")


def allows(descriptor, op):
    """Whether a gateway that was told this descriptor may send that op."""
    listed = descriptor.get("supported_ops")
    if not isinstance(listed, list):
        return op in OLD_OPS
    listed = [name for name in listed if isinstance(name, str) and name]
    return op in (listed or OLD_OPS)


def limit(descriptor):
    """The longest content; anything but a positive number means 4096."""
    value = descriptor.get("max_message_length")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 4096
    return int(value) if value > 0 else 4096


def measure(descriptor, text):
    """The length of a text in the descriptor's unit."""
    if descriptor.get("len_unit") == "utf16":
        return len(text.encode("utf-16-le", "surrogatepass")) // 2
    return len(text)
