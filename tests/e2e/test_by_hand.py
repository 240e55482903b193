# SPDX-License-Identifier: ISC
"""What the README has one try by hand, in three terminals, does what it says.

Its words are run as they stand, but for places: here everything is in a
directory of the test, and the connector takes any free port.
"""

import contextlib
import queue
import re
import subprocess
import sys
import threading

import pytest

from base import ROOT, until
from relay import TIMEOUT_S

sys.path.insert(0, str(ROOT / "tests" / "demo"))
import transcript   # noqa: E402

pytestmark = pytest.mark.root

SECTION = re.search(r"^## Try it by hand\n(.*?)^## ",
                    (ROOT / "README.md").read_text(), re.M | re.S)[1]
FIRST, SECOND, THIRD = transcript.blocks("sh", SECTION)
CONFIG = re.search(r"<<'END'\n(.*?)^END$", SECOND, re.M | re.S)[1]


def line(block, begin):
    """A block's line that begins so, with those it is continued on."""
    joined = block.replace("\\\n", " ")
    return next(text for text in joined.splitlines() if text.startswith(begin))


class Terminal:
    """A program that one types at: what it prints, line by line."""

    def __init__(self, words, **more):
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, cwd=ROOT, **more)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for text in self.process.stdout:
            self.lines.put(text.rstrip("\n"))

    def write(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def expect(self, pattern):
        """The match in the next line that has one."""
        seen = []
        while True:
            try:
                seen.append(self.lines.get(timeout=TIMEOUT_S))
            except queue.Empty:
                raise AssertionError(f"no {pattern} in {seen}") from None
            if match := re.search(pattern, seen[-1]):
                return match

    def close(self):
        self.process.terminate()
        self.process.wait(TIMEOUT_S)


@contextlib.contextmanager
def terminal(words, **more):
    it = Terminal(words, **more)
    try:
        yield it
    finally:
        it.close()


def test_three_terminals(make_relayd):
    relayd = make_relayd()
    words = line(FIRST, "tests/connector/main.py").split()
    port, place = (words[words.index(option) + 1]
                   for option in ("--port", "--dir"))
    here = {port: "0", place: str(relayd.dir / "try")}
    with terminal([here.get(word, word) for word in words]) as chat:
        port_now = chat.expect(r"listening wss://127.0.0.1:(\d+)")[1]
        relayd.configure(CONFIG.replace(place, here[place])
                         .replace(f":{port}\n", f":{port_now}\n"))
        relayd.start()
        relayd.wait_state()
        chat.expect("the gateway is there")
        with terminal(agent_words(relayd), env=relayd.environment()) as agent:
            agent.expect("main is connected")
            chat.write("hello")
            chat.expect("You said: hello")
            chat.process.stdin.close()      # ^D
            chat.process.wait(TIMEOUT_S)
            relayd.wait_state(state="retrying")
            until(lambda: "connect FAILS" in relayd.ctl(
                "explain", "main").stdout, "a dial to find nobody")


def agent_words(relayd):
    """The README's agent, from where everything is here."""
    words = line(THIRD, "setpriv").split()
    begin = words.index("relay-ctl")
    words[begin:begin + 1] = relayd.ctl_words()
    example = ROOT / "examples" / words[-1].rpartition("/")[2]
    words[-1] = str(relayd.write("agent.sh", example.read_text(), 0o755))
    return words


def test_the_other_commands_exist():
    """What is not run above names what there is."""
    sets = line(FIRST, "scripts/deps install").split()[2:]
    assert subprocess.run(["scripts/deps", "list", *sets], cwd=ROOT,
                          capture_output=True, check=False).returncode == 0
    assert line(FIRST, "make && make install && scripts/users")
    assert line(SECOND, "relayd -n && relayd")
