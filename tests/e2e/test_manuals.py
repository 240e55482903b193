# SPDX-License-Identifier: ISC
"""The manual pages: what they list is what there is.  Their examples are tried
in test_examples.py."""

import os
import re
import subprocess

import pytest

import manuals
import relay
from manuals import help_of_ctl, mandoc, need, options_of, read, run

PAGE = {page.name: page for page in manuals.PAGES}


# The pages as such.

def test_each_program_and_file_has_a_page():
    assert {"relayd.8", "relay-authd.8", "relay-xchg.8", "relay-ctl.8",
            "relayd.yaml.5", "relayd-agent.5", "relayd-control.5",
            "relayd.7"} <= set(PAGE)


@pytest.mark.parametrize("page", PAGE)
def test_lint(page):
    need("mandoc")
    # What is not installed is not found; test_references looks.
    said = [line for line in
            mandoc("-T", "lint", PAGE[page]).splitlines()
            if "referenced manual not found" not in line]
    assert not said, "\n".join(said)


@pytest.mark.parametrize("page", PAGE)
def test_references(page):
    text = PAGE[page].read_text()
    named = set(re.findall(r"(?:^\.| )Xr ([\w.-]+) (\d)", text, re.M))
    assert named
    for name, part in named:
        # Others' pages are theirs.
        assert f"{name}.{part}" in PAGE or not name.startswith("relay"), \
            f"{name}({part})"
    for title_, name, part in re.findall(
            r"^\.Sx ([^.,\n]+?)(?: [.,])?\n(?:in\n\.Xr ([\w.-]+) (\d))?",
            text, re.M):
        there = PAGE[f"{name}.{part}"] if name else PAGE[page]
        assert manuals.section(there, title_)


def test_the_date_and_name_of_each_page():
    for name, page in PAGE.items():
        title, part = name.rsplit(".", 1)
        text = page.read_text()
        assert f"\n.Dt {title.upper()} {part}\n" in text, name
        assert re.search(r"^\.Dd \w+ \d+, \d{4}$", text, re.M), name


# What they list.

def from_mdoc(line):
    """-x and --long as people write them."""
    line = line.replace(r"\-", "-")
    return options_of(re.sub(r"\bFl (-?[a-z][\w-]*)", r" -\1 ", line))


def commands():
    """relay-ctl's table: its commands and what usage says of each."""
    listed = re.findall(r"^  ([a-z]+) ", help_of_ctl("help"), re.M)
    return {name: help_of_ctl("help", name) for name in listed}


def heads(page, macro):
    """Heads of the page's items by the first word behind the macro."""
    found = {}
    for line in re.findall(rf"^\.It {macro} (.*)$", PAGE[page].read_text(),
                           re.M):
        found.setdefault(re.split(r"[ ,]", line)[0], []).append(line)
    return found


def test_commands():
    told = {name for name in heads("relay-ctl.8", "Cm")
            if re.fullmatch("[a-z]+", name)}
    assert told == set(commands())


def test_options_of_commands():
    manual = heads("relay-ctl.8", "Cm")
    listed = {o for lines in heads("relay-ctl.8", "Fl").values()
              for line in lines for o in from_mdoc(f"Fl {line}")}
    for name, text in commands().items():
        usage = options_of(text.splitlines()[0]) - {"-r", "--json", "-ctl"}
        known = options_of(text)
        shown = set().union(*(from_mdoc(line) for line in manual[name]))
        assert shown <= known, f"{name} has no {shown - known}"
        lacking = usage - shown - listed
        assert not lacking, f"the manual lacks {lacking} of {name}"


def test_what_can_be_shown():
    said = help_of_ctl("show", "nothing-of-this-name").splitlines()[0]
    words = set(said.rpartition(":")[2].split())
    assert len(words) >= 7
    told = {line.split()[1] for line in heads("relay-ctl.8", "Cm")["show"]
            if " Ta " not in line}
    assert told == words


def test_options_of_relayd():
    status, said = run("relayd", "-?")
    letters = {f"-{c}" for word in re.findall(r"\[-([a-z]+)", said)
               for c in word}
    assert status in statuses_told("relayd.8")
    assert len(letters) >= 6
    told = {o for line in heads("relayd.8", "Fl").values() for item in line
            for o in from_mdoc(f"Fl {item}")}
    assert told == letters


def statuses_told(page):
    text = manuals.section(PAGE[page], "EXIT STATUS")
    return {int(n) for n in re.findall(r"^\.It (\d+)", text, re.M)}


SYSEXITS = {"EX_USAGE": 64, "EX_UNAVAILABLE": 69, "EX_SOFTWARE": 70,
            "EX_OSERR": 71, "EX_OSFILE": 72, "EX_TEMPFAIL": 75,
            "EX_NOPERM": 77, "EX_CONFIG": 78}


def test_exit_statuses_of_relay_ctl():
    table = read("relay-ctl/ctl.h")
    table = table[:table.index("\n};")]
    used = {int(n) for n in re.findall(r"^\tCTL_\w+ = (\d+)", table, re.M)}
    assert {0, 3, 152} <= used
    assert statuses_told("relay-ctl.8") == used


def test_exit_statuses_of_relayd():
    used = {int(n) for n in re.findall(r"\bEXIT_\w+(?: =)?\s+(\d+)",
                                       read("relayd/supervisor.h"))}
    assert used
    assert statuses_told("relayd.8") == used | {0, 1}


@pytest.mark.parametrize("program,files", [
    ("relay-authd", ["relay-authd/authd.c", "common/child.c"]),
    ("relay-xchg", ["relay-xchg/xchg.c"])])
def test_exit_statuses_of_children(program, files):
    text = "".join(map(read, files)) + read("common/ladder.c")
    used = {SYSEXITS[name] for name in re.findall(r"\bEX_[A-Z]+", text)}
    told = statuses_told(f"{program}.8")
    assert used <= told and told <= used | {0, 1}
    for words, status in ((["-v"], 0), ([], 64)):
        ended, said = run(program, *words)
        assert ended == status and ended in told and program in said


def schema():
    """Every key of the configuration, from the tables: a.b, list[].c."""
    tables = {}
    for name, body in re.findall(
            r"conf_key (\w+_keys)\[\] = \{\n(.*?)^\};",
            read("common/conf_schema.c"), re.M | re.S):
        rows = re.split(r"^    (?=[A-Z]+\(|\{\")", body, flags=re.M)[1:]
        tables[name] = [(re.search(r'"(\w+)"', row)[1],
                         re.search(r"(?<!\")\b(\w+_keys)\b(?=,)", row))
                        for row in rows]

    def walk(table, prefix):
        for key, below in tables[table]:
            yield prefix + key
            if below:
                yield from walk(below[1], f"{prefix}{key}.")
    return set(walk("root_keys", ""))


def keys_told():
    """The same from the manual: nested lists are nested mappings."""
    told = set()
    for title, top in (("Top level", ()), ("A gateway", ("gateways",))):
        path = []
        for line in manuals.section(PAGE["relayd.yaml.5"], title).splitlines():
            if line.startswith(".Bl "):
                path.append(None)
            elif line.startswith(".El"):
                path.pop()
            elif re.match(r"\.It Ic \w+", line):
                path[-1] = line.split()[2]
                told.add(".".join([*top, *path]))
    return told


def test_configuration_keys():
    keys = schema()
    assert {"gateways.identities.platform", "log.level",
            "gateways.identity_token.oidc.scope"} <= keys
    assert keys_told() == keys


def test_defaults_of_the_configuration():
    """Where the table has a default, the manual says it."""
    manual = PAGE["relayd.yaml.5"].read_text()
    found = re.findall(r'(?:NUMBER|WORD|BOOL)\(\s*"(\w+)",[^"]*"([^"]+)",\s*"',
                       read("common/conf_schema.c"))
    assert len(found) > 12
    for key, default in found:
        item = re.search(rf"^\.It Ic {key} :.*?Default:\s(?:\.\w+ )?(\S+)",
                         manual, re.M | re.S)
        assert item and item[1].rstrip(".") == default, key


# The agents' socket.

def test_what_agents_say():
    source = read("relayd/core/agent.c")
    table = source[source.index("handlers[] = {"):]
    types = set(re.findall(r'SPAN_LIT\("(\w+)"\), on_', table))
    told = manuals.items(manuals.section(
        PAGE["relayd-agent.5"], "WHAT AN AGENT SAYS"), "Cm")
    assert len(types) == 5 and set(told) == types


def test_what_agents_are_told():
    here = re.compile(r'\{\\"type\\":\\"(\w+)\\"')
    types = set()
    for name in ("agent", "outbound", "interaction"):
        types |= set(here.findall(read(f"relayd/core/{name}.c")))
    types -= {"hello", "outbound", "interrupt"}     # to the connector
    # What comes from the connector goes on as it came.
    table = read("relayd/core/frame.c")
    table = table[table.index("handlers[] = {"):]
    types |= set(re.findall(r'SPAN_LIT\("(\w+)"\), on_', table))
    told = manuals.items(manuals.section(
        PAGE["relayd-agent.5"], "WHAT RELAYD SAYS"), "Cm")
    assert set(told) == types


def test_what_a_hello_has():
    source = read("relayd/core/agent.c")
    members = set(re.findall(r'JSON_WANT\("(\w+)"', source)) - {"type"}
    page = PAGE["relayd-agent.5"].read_text()
    said = manuals.section(PAGE["relayd-agent.5"], "WHAT AN AGENT SAYS")
    told = set(re.findall(r"^\.It Va (\w+)$", said, re.M))
    assert told == members
    for op in re.findall(r"`(\w+)` (?:chat_id|session_key)",
                         read("docs/CONTRACT.md")):
        assert f"\n.It Ic {op}\n" in page, op


@pytest.mark.parametrize("name,value", [
    ("LIMIT_LINE", 1048576), ("LIMIT_AGENT_QUEUE", 8388608),
    ("LIMIT_WINDOW", 4096), ("LIMIT_BUFFER_ID", 256), ("LIMIT_REASON", 256),
    ("LIMIT_SESSION_KEY", 1024), ("LIMIT_OUTBOUND_AGENT", 1024),
    ("LIMIT_OUTBOUND", 4096), ("LIMIT_AGENTS", 64),
    ("LIMIT_AGENTS_ALL", 2048), ("LIMIT_PROMPTS", 4096),
    ("LIMIT_CHATS", 10000), ("LIMIT_SEEN", 65536), ("PER_UID", 32),
    ("HELLO_MS", 30000), ("WAIT_MS", 10000), ("ANSWER_MS", 30000),
    ("ATTEMPTS_MAX", 5), ("LINGER_S", 2), ("JSON_MAX_NODES", 256),
    ("JSON_MAX_DEPTH", 64), ("RID_MAX", 512), ("INFLIGHT_PART", 4)])
def test_bounds_of_agents(name, value):
    """The code has what the manual was written by, and the manual has it."""
    text = "".join(map(read, (
        "common/limit.h", "common/json.h", "relayd/agent_accept.c",
        "relayd/agent_sock.c", "relayd/core/agent.c",
        "relayd/core/outbound.c", "relayd/core/quarantine.c",
        "relayd/core/place.c")))
    found = re.search(rf"^#define {name}\s+\(?([0-9U* ]+)", text, re.M)[1]
    product = 1
    for factor in found.replace("U", "").split("*"):
        product *= int(factor)
    assert product == value
    shown = {"HELLO_MS": "30 seconds", "WAIT_MS": "10 seconds",
             "ANSWER_MS": "30 seconds", "ATTEMPTS_MAX": "five agents",
             "RID_MAX": "510", "INFLIGHT_PART": "a quarter of the journal",
             "LINGER_S": "2 seconds"}.get(name, str(value))
    page = PAGE["relayd-agent.5"].read_text().replace("\n", " ")
    assert re.search(rf"\b{shown}\b", page)


# The ideas.

def test_states():
    table = read("relayd/core/link.c")
    table = table[table.index("states[LINK_STATES]"):
                  table.index("table[LINK_STATES]")]
    states = set(re.findall(r'=\s*\{"[^"]*",\s*"(\w+)"', table))
    states |= {"connecting", "retrying"}
    text = manuals.section(PAGE["relayd.7"], "STATES OF A LINK")
    assert set(manuals.items(text, "Sy")) == states
    # Each says what leads out of it, and to what there is.
    for part in re.split(r"^\.It Sy ", text, flags=re.M)[1:]:
        name = part.split("\n")[0]
        assert "\u2192" not in part
        named = set(re.findall(r"^\.Sy (\w+)", part, re.M))
        assert named and named <= states, name


def processes_shown():
    """The listing in relayd(7): user, parent, and title of each."""
    block = next(e for e in manuals.examples(PAGE["relayd.7"])
                 if e.text.startswith("USER"))
    rows = [line.split(None, 3) for line in block.text.splitlines()[1:]]
    by_pid = {pid: words for _, pid, _, words in rows}
    return {title(words): (user, title(by_pid.get(ppid, "")))
            for user, _, ppid, words in rows}


def title(words):
    """What a process is called, without what it is told."""
    name = re.sub(r"\s-.*", "", words)
    return os.path.basename(name) if name.startswith("/") else name


def listing():
    """What ps shows: pid: (user, parent, title)."""
    done = subprocess.run(
        ["ps", "-eo", "user:12,pid,ppid,args"], text=True, check=True,
        capture_output=True, timeout=relay.TIMEOUT_S)
    rows = (line.split(None, 3) for line in done.stdout.splitlines()[1:])
    return {int(pid): (user, int(parent), title(words))
            for user, pid, parent, words in rows}


@pytest.mark.root
def test_the_processes_are_as_shown(make_relayd, connector):
    """ps of a running set, with an exchange that waits for its answer."""
    shown = processes_shown()
    assert len(shown) == 5
    connector.http.always["policy"] = "silence"
    relayd = make_relayd().connect_to(connector, identities=[
        {"platform": "discord", "bot_id": "1234", "require_mention": False}])
    relayd.start(wait="connected")

    def seen():
        rows = listing()
        return {name: (user, rows.get(parent, ("", 0, ""))[2])
                for pid, (user, parent, name) in rows.items()
                if relayd.pid in (pid, parent)}
    relay.until(lambda: len(seen()) >= len(shown), lambda: f"{seen()}")
    ours = seen()
    ours["relayd"] = (ours["relayd"][0], "")    # pytest is not shown
    assert ours == shown
