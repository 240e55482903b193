# SPDX-License-Identifier: ISC
"""Keep what the README shows as it is: the transcripts of the demo and of an
enrolment, and the code taken from examples/.

usage: transcript.py        runs both and writes README.md anew
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
COMMAND = "$ make demo"
# What a transcript begins with, and how it is made.
MADE = {COMMAND: "demo.py", "$ relay-ctl status": "enroll.py"}
# Numbers differ from run to run, and with them the width of columns; older
# kernels offer fewer layers.
VARYING = ((re.compile(r"[0-9.]*[0-9]"), "N"), (re.compile(r"\b[KM]iB"), "B"),
           (re.compile(r"(?<= )(files|tcp|scope|secret)(?= |$)", re.M), ""),
           (re.compile(r" +"), " "), (re.compile(r" $", re.M), ""))


def blocks(kind, text):
    """The fenced blocks of a kind ("" is none), without their fences."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    return [body for name, body in found if name == kind]


def transcript(begin):
    """Run what a transcript is of; all of what it shows."""
    done = subprocess.run(
        ["/usr/bin/python3", "-B", str(ROOT / "tests/demo" / MADE[begin])],
        text=True, capture_output=True, timeout=120, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{MADE[begin]} failed:\n"
                             f"{done.stdout}{done.stderr}")
    out = done.stdout
    return out if out.startswith(begin) else f"{begin}\n{out}"


def shown(begin, text):
    """The transcript in a text that begins so."""
    return next(b for b in blocks("", text) if b.startswith(begin))


def normal(text):
    """A transcript without what differs from run to run."""
    for pattern, instead in VARYING:
        text = pattern.sub(instead, text)
    return text.strip()


def excerpts():
    """The parts of examples/ that the README shows, by kind of block."""
    python = (ROOT / "examples/agent.py").read_text()
    shell = (ROOT / "examples/agent.sh").read_text()
    return {"python": python[python.index("def reply_to("):
                             python.index("def main(")].rstrip() + "\n",
            "sh": shell[shell.index("case "):]}


def replace(text, old, new):
    if text.count(old) != 1:
        raise SystemExit(f"README.md: not found once: {old[:60]!r}")
    return text.replace(old, new)


def update():
    text = README.read_text()
    for begin in MADE:
        text = replace(text, f"```\n{shown(begin, text)}```",
                       f"```\n{transcript(begin)}```")
    parts = excerpts()
    text = replace(text, f"```python\n{blocks('python', text)[0]}```",
                   f"```python\n{parts['python']}```")
    heading = "[examples/agent.sh](examples/agent.sh):\n\n```sh\n"
    start = text.index(heading) + len(heading)
    text = text[:start] + parts["sh"] + text[text.index("```", start):]
    README.write_text(text)


if __name__ == "__main__":
    sys.exit(update())
