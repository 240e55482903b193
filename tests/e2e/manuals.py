# SPDX-License-Identifier: ISC
"""The manual pages as data: sections, lists, and the examples in them.

usage: manuals.py       writes the files that examples are of into the manuals

An example is a .Bd -literal block or a .Dl line.  A comment before it says
what it is, and so how it is tried:

    .\\" example: yaml           a configuration: relayd -n takes it
    .\\" example: json           a JSON object on each line
    .\\" example: play           a conversation on an agent's socket: what the
                                agent says after "> ", relayd after "< ",
                                continued on indented lines; a line in
                                parentheses ends the connection
    .\\" example: ini            sections with keys, as units have them
    .\\" example: sh             commands: they are run, and succeed
    .\\" example: sh manual      commands that cannot be run as they stand: the
                                commands and options in them exist
    .\\" example: sh program F   a program for relay-ctl agent
    .\\" example: L agent [F]    an agent in the language sh, python or c: it is
                                run and answers
    .\\" example: text           nothing that could be tried

F is the file that the block is the text of.  Without a comment the kind is
told from the text, and commands count as `sh manual`.
"""

import os
import re
import shutil
import subprocess
import sys

import pytest

import relay
from base import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.[1-8]"))
MARK = re.compile(r'^\.\\" example: (.+)$')


class Example:
    """One example: its page, first line, kind (words), file, and text."""

    def __init__(self, page, line, words, text, block):
        self.page = page
        self.line = line
        self.words = words
        self.text = text
        self.block = block      # else .Dl lines
        self.ends = line
        self.file = next((w for w in words if "/" in w), None)
        self.kind = " ".join(w for w in words if w != self.file)

    def __repr__(self):
        return f"{self.page.name}:{self.line}"


def plain(line):
    """A line of mdoc's source as it is shown."""
    line = re.sub(r"\\&|\\c$", "", line)
    line = line.replace(r"\(aq", "'").replace(r"\(dq", '"')
    return line.replace(r"\-", "-").replace(r"\e", "\\")


def source(line):
    """A line of text as mdoc's source."""
    line = line.replace("\\", r"\e")
    return r"\&" + line if line[:1] in (".", "'") else line


def guess(text):
    """The kind of an example that says none; None if it cannot be told."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    if re.match(r"[a-z_]+:( |$)", first):
        return "yaml" if re.search(r"^(gateways|log|control|limits):", text,
                                   re.M) else "text"
    if first.startswith("{"):
        return "json"
    if re.match(r"\[\w+\]$", first):
        return "ini"
    if re.match(r"([#$] )?[\w./-]+( |$)", first):
        return "sh manual"
    return None


def examples(page):
    """Every example of a page."""
    found, words, body, start = [], None, None, 0
    for number, line in enumerate(page.read_text().splitlines(), 1):
        mark = MARK.match(line)
        if mark:
            words = mark[1].split()
        elif body is not None and line == ".Ed":
            text = "\n".join(map(plain, body)) + "\n"
            found.append(Example(page, start, words or [guess(text)], text,
                                 True))
            words = body = None
        elif body is not None:
            body.append(line)
        elif line.startswith(".Bd ") and "-literal" in line:
            body, start = [], number
        elif re.match(r"\.D[l1] ", line):
            text = plain(shown(line[4:])) + "\n"
            if found and found[-1].ends == number - 1:
                found[-1].text += text      # one goes on with the other
            else:
                found.append(Example(page, number, words or [guess(text)],
                                     text, False))
            found[-1].ends = number
        elif not line.startswith('.\\"'):
            words = None
    return found


def shown(line):
    """The words of a macro line, without the macros in them."""
    return " ".join(word.strip('"') for word in line.split()
                    if word not in ("Ar", "Pa", "Cm", "Fl", "Ns", "Ql", "Ev"))


def section(page, title):
    """The source of a section (.Sh), or of a part of one (.Ss)."""
    found = re.search(rf"^\.S[hs] {re.escape(title)}\n(.*?)(?=^\.S[hs] |\Z)",
                      page.read_text(), re.M | re.S)
    if not found:
        raise LookupError(f"{page.name} has no {title}")
    return found[1]


def items(text, macro):
    """What the list items name that begin with a macro, of the outermost
    lists: all names of an item."""
    depth, names = 0, []
    for line in text.splitlines():
        if line.startswith(".Bl "):
            depth += 1
        elif line.startswith(".El"):
            depth -= 1
        elif depth == 1 and line.startswith(f".It {macro} "):
            names += [n for n in re.findall(r"[\w-]+", line[4 + len(macro):])]
    return names


def update():
    """Put the files anew into the blocks that are of files."""
    for page in PAGES:
        text = page.read_text()
        for mark in re.findall(r'^\.\\" example: .*$', text, re.M):
            name = next((w for w in mark.split()[2:] if "/" in w), None)
            if name is None:
                continue
            lines = (ROOT / name).read_text().splitlines()
            body = "\n".join(map(source, lines))
            begin = text.index(".Bd ", text.index(mark + "\n"))
            begin = text.index("\n", begin) + 1
            text = text[:begin] + body + text[text.index("\n.Ed\n", begin):]
        page.write_text(text)


# For the tests.

def need(*programs):
    """A test for which a program is missing fails where tests are to prove
    something, and is left out elsewhere."""
    for name in programs:
        if shutil.which(name) is None:
            complain = pytest.fail if os.environ.get("CI") else pytest.skip
            complain(f"needs {name}: scripts/deps install test")


def read(name):
    return (ROOT / name).read_text()


def mandoc(*words):
    done = subprocess.run(["mandoc", *map(str, words)], text=True, check=False,
                          capture_output=True, timeout=relay.TIMEOUT_S)
    return done.stdout


def options_of(text):
    """The options that a line of usage, or the head of an item, shows."""
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text))


def run(program, *words):
    """A program by itself: (exit status, all that it said)."""
    done = subprocess.run(
        [str(relay.BUILD / program), *words], text=True, check=False,
        capture_output=True, timeout=relay.TIMEOUT_S,
        env={"PATH": "/bin", "ASAN_OPTIONS": "detect_leaks=0"})
    return done.returncode, done.stdout + done.stderr


def help_of_ctl(*words):
    return run("relay-ctl", *words)[1]


if __name__ == "__main__":
    sys.exit(update())
