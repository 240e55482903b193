# SPDX-License-Identifier: ISC
"""A chat in the terminal: lines typed are messages, replies are printed."""

from . import orders

CHAT_ID = "terminal"
USER_ID = "you"


def _text(action):
    return action.get("content") or ""


# What an op looks like in the chat; others are shown by their name.
SHOWN = {
    "send": _text,
    "follow_up": _text,
    "edit": lambda a: f"(edits {a.get('message_id')}) {_text(a)}",
    "react": lambda a: f"(reacts {a.get('emoji')} to {a.get('message_id')})",
    "prompt": lambda a: _prompt(a),
    "send_media": lambda a: f"({a.get('media_kind')}: {a.get('source_url')}) "
                            f"{_text(a)}",
    "typing": lambda a: None,
}


def _prompt(action):
    options = action.get("options")
    names = [str(option.get("label")) for option in options
             if isinstance(option, dict)] if isinstance(options, list) else []
    return f"{_text(action)} [{' | '.join(names)}]"


class Chatter:
    """One chat on the gateway's first platform; show(line) prints."""

    def __init__(self, connector, show):
        self.connector = connector
        self.show = show
        self.platform = next(iter(connector.gateway().platforms))

    def on_line(self, line):
        """A line typed becomes a message; it waits if no gateway is there."""
        if not line.strip():
            return
        self.connector.say(self.platform, CHAT_ID, line, user_id=USER_ID,
                           user_name=USER_ID, chat_name="terminal",
                           message_type="command" if line.startswith("/")
                           else "text")

    def on_event(self, kind, facts):
        if kind == "outbound":
            self._on_action(facts["action"], facts["result"])
        elif kind == "handshaken":
            self.show("* the gateway is there")
        elif kind == "closed":
            self.show(f"* the gateway left ({facts['code']})")
        elif kind == "going_idle":
            self.show("* the gateway goes idle; messages wait for it")
        elif kind == "violation":
            self.show(f"* contract broken: {facts['rule']}: "
                      f"{orders.vis(facts['detail'])}")

    def _on_action(self, action, result):
        if result and not result.get("success"):
            self.show(f"* refused {orders.vis(action['op'])}: "
                      f"{orders.vis(result.get('error'))}")
            return
        op = action["op"]
        text = SHOWN[op](action) if op in SHOWN else f"({op})"
        if text is not None:
            for line in text.split("\n"):
                self.show(f"agent> {orders.vis(line)}")
