# SPDX-License-Identifier: ISC
"""make demo: someone writes in a chat, an agent on this machine answers, and
the process that talked to the network never had the secret."""

import secrets
import sys
import time

from scene import GATEWAY, GROUP, Scene, run

import memory

QUESTION = "hello, is anybody there?"
# Those that relay-authd keeps the secret from.
OTHERS = ("supervisor", "dialer", "engine")


def tell(topic, text):
    print(f"{topic:<11} {text}", flush=True)


def show(scene, *words):
    """Run relay-ctl as a person would, and insist on what it says."""
    done = scene.relayd.ctl(*words)
    assert done.returncode == 0, (
        f"relay-ctl {' '.join(words)} ended with {done.returncode}: "
        f"{done.stderr}")
    print(f"$ relay-ctl {' '.join(words)}")
    print(done.stdout.rstrip(), flush=True)


def converse(scene):
    """A question in the chat; the answer that appears there."""
    began = time.monotonic()
    scene.connector.say("discord", "lobby", QUESTION, user_name="Ann")
    answer = scene.connector.wait_outbound(lambda r: r.chat_id == "lobby")
    took = (time.monotonic() - began) * 1000
    tell("Ann writes", QUESTION)
    tell("chat shows", f"{answer.action['content']}  ({took:.0f} ms later)")
    assert QUESTION in answer.action["content"], "that is no answer to it"
    scene.connector.wait_all_acked()


def search(scene, secret):
    """Search the memory of those who must not have the secret for it; and,
    to show that searching finds, for the gateway's id, which the engine has.
    """
    needles = memory.forms(secret)
    total = ids = 0
    for role in OTHERS:
        size, found = memory.search(
            scene.relayd.role_pid(role), {**needles, "id": GATEWAY.encode()})
        ids += found.pop("id")
        total += size
        hits = [name for name, times in found.items() if times]
        assert not hits, f"the {role} has the secret: {', '.join(hits)}"
    assert ids, "the search found not even what must be there"
    return (f"0 times in {total >> 20} MiB of memory of {OTHERS[0]}, "
            f"{OTHERS[1]} and {OTHERS[2]} (the gateway's id: {ids} times)")


def evidence(scene, secret):
    scene.relayd.wait_log(r" process=authd pid=\d+ event=mint ")
    try:
        tell("secret", search(scene, secret))
    except PermissionError:
        tell("secret", "the kernel lets only root search the memory of "
                       "relayd's processes: make demo as root does it")


def play():
    secret = secrets.token_hex(32)
    with Scene(secret) as scene:
        began = time.monotonic()
        scene.start()
        took = (time.monotonic() - began) * 1000
        link = scene.relayd.gateway()
        tell("relayd", f"connected to {scene.connector.url} with "
                       f"{link['tls'].split()[0]}, {took:.0f} ms after start")
        scene.start_agent()
        tell("agent", "examples/agent.py" + (
            f" attached, as user nobody of group {GROUP}" if scene.root
            else " attached"))
        converse(scene)
        show(scene, "status")
        show(scene, "show", "processes")
        evidence(scene, secret)
        scene.stop()
        tell("stopped", "in order; no process and no socket is left")


if __name__ == "__main__":
    sys.exit(run(play))
