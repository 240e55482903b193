# SPDX-License-Identifier: ISC
"""make play: a chat in this terminal, through the real processes, with an
echo agent, until ^D."""

import secrets
import sys

from scene import Scene, run

from connector.chat import Chatter
from connector.cli import show


def play():
    with Scene(secrets.token_hex(32), platform="terminal") as scene:
        scene.start()
        scene.start_agent()
        chatter = Chatter(scene.connector, show)
        scene.connector.run(scene.connector.state.listeners.append,
                            chatter.on_event)
        show("You are in a chat; an agent behind relayd answers.  "
             "^D ends it.")
        ctl = " ".join(scene.relayd.ctl_words("status"))
        show(f"Meanwhile, elsewhere: {ctl}")
        for line in sys.stdin:
            chatter.on_line(line.rstrip("\n"))
        scene.connector.wait_all_acked()
        scene.connector.run(scene.connector.state.listeners.remove,
                            chatter.on_event)
        scene.stop()


if __name__ == "__main__":
    sys.exit(run(play))
