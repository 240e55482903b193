# SPDX-License-Identifier: ISC
"""The manual pages: what they list is what there is, and every example in them
is tried.  manuals.py says how an example is marked."""

import configparser
import contextlib
import grp
import json
import os
import re
import shlex
import shutil
import signal
import subprocess

import pytest

import manuals
import relay
from base import ROOT

PAGE = {page.name: page for page in manuals.PAGES}
EXAMPLES = [e for page in manuals.PAGES for e in manuals.examples(page)]


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

def options_of(text):
    """The options that a line of usage, or the head of an item, shows."""
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text))


def from_mdoc(line):
    """-x and --long as people write them."""
    line = line.replace(r"\-", "-")
    return options_of(re.sub(r"\bFl (-?[a-z][\w-]*)", r" -\1 ", line))


def run(program, *words):
    """A program by itself: (exit status, all that it said)."""
    done = subprocess.run(
        [str(relay.BUILD / program), *words], text=True, check=False,
        capture_output=True, timeout=relay.TIMEOUT_S,
        env={"PATH": "/bin", "ASAN_OPTIONS": "detect_leaks=0"})
    return done.returncode, done.stdout + done.stderr


def help_of_ctl(*words):
    return run("relay-ctl", *words)[1]


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


# The examples.

def test_every_example_is_of_a_kind():
    kinds = {"yaml", "json", "ini", "play", "sh", "sh manual", "sh program",
             "sh agent", "python agent", "c agent", "text"}
    for example in EXAMPLES:
        assert example.kind in kinds, (
            f"{example} is {example.kind!r}; mark it as tests/e2e/manuals.py "
            "says")


@pytest.mark.parametrize(
    "example", [e for e in EXAMPLES if e.file], ids=repr)
def test_it_is_the_file(example):
    assert example.text == read(example.file), (
        "tests/e2e/manuals.py writes it anew")


@pytest.mark.parametrize("page", PAGE)
def test_examples_are_shown_as_they_are(page):
    """What a reader sees, and takes, is what was tried."""
    need("mandoc")
    shown = mandoc("-T", "utf8", "-O", "width=78", PAGE[page])
    shown = {" ".join(line.split()) for line in
             re.sub(".\b", "", shown).splitlines()}
    for example in EXAMPLES:
        if example.page == PAGE[page] and example.block:
            for line in example.text.splitlines():
                assert " ".join(line.split()) in shown, f"{example}: {line}"


def of_kind(*kinds):
    return pytest.mark.parametrize(
        "example", [e for e in EXAMPLES if e.kind in kinds], ids=repr)


@of_kind("yaml")
def test_configuration(make_relayd, example):
    """relayd -n takes it, with the files and groups there that it names."""
    relayd = make_relayd()
    text = example.text
    if not re.search("^gateways:", text, re.M):
        text += ("gateways:\n  main:\n    url: https://connector.example\n"
                 "    identities: [{platform: discord}]\n")
    for path in re.findall(r"(/[\w./-]+)", text):
        if path.startswith("/etc/relayd/"):
            name = os.path.basename(path)
            content = "user:password" if name == "proxy" else "s" * 64
            if name.endswith(".pem"):
                content = some_authorities()
            relayd.write(name, content, 0o600)
            text = text.replace(path, str(relayd.dir / name))
    ours = grp.getgrgid(relayd.daemon.user.pw_gid if relayd.daemon.user
                        else os.getegid()).gr_name
    text = re.sub(r"(group: )[\w-]+", rf"\1{ours}", text)
    relayd.configure(text)
    done = subprocess.run(
        relayd.daemon.command("relayd", "-n", *relayd.places()), text=True,
        env=relayd.environment(), capture_output=True, check=False,
        timeout=relay.TIMEOUT_S)
    assert done.returncode == 0, done.stderr


def some_authorities():
    with open("/etc/ssl/certs/ca-certificates.crt", encoding="ascii") as file:
        return file.read().partition("-----END CERTIFICATE-----\n")[0] + \
            "-----END CERTIFICATE-----\n"


def is_json(text):
    for line in re.sub(r"\n +", " ", text).splitlines():
        assert isinstance(json.loads(line), dict), line


def is_ini(text):
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(text)
    assert parser.sections()


@of_kind("json", "ini", "text")
def test_form(example):
    {"json": is_json, "ini": is_ini, "text": str.strip}[example.kind](
        example.text)


def agrees(example, actual):
    """What the example has, the actual has; ids are another's."""
    if isinstance(example, dict):
        return isinstance(actual, dict) and all(
            name in actual and agrees(value, actual[name])
            for name, value in example.items()
            if name not in ("bufferId", "message_id"))
    return example == actual


class Conversation:
    """A conversation between an agent and relayd, played."""

    def __init__(self, relayd, connector):
        self.relayd = relayd
        self.connector = connector
        self.agent = relay.Agent(relayd.agent_path())
        self.ids = {}

    def said(self, line):
        """By the agent."""
        for shown, actual in self.ids.items():
            line = line.replace(shown, actual)
        self.agent.send(line.encode() + b"\n")

    def told(self, line):
        """To the agent: the connector makes what must come from there."""
        frame = json.loads(line)
        kind, shown = frame["type"], frame.get("bufferId")
        if kind == "inbound" and shown not in self.ids:
            self.connector.say_many([frame["event"]])
        elif kind == "interrupt_inbound":
            self.connector.send(frame)
        actual = self.agent.expect(kind)
        assert agrees(frame, actual), f"{actual}\nis not as {frame}"
        assert ("redelivered" in actual) == ("redelivered" in frame)
        if shown:
            assert self.ids.setdefault(shown, actual["bufferId"]) \
                == actual["bufferId"]

    def ended(self, _line):
        """The connection; another follows."""
        self.agent.close()
        self.relayd.wait_agents(0)
        self.agent = relay.Agent(self.relayd.agent_path())


@of_kind("play")
def test_conversation(relayd, connector, example):
    connector.settings.egress = "off"
    talk = Conversation(relayd, connector)
    for line in re.sub(r"\n +", " ", example.text).splitlines():
        play = {"> ": talk.said, "< ": talk.told}.get(line[:2])
        if play is None:
            assert re.fullmatch(r"\(.*\)", line), line
            play = talk.ended
        play(line[2:])
    for delivery in talk.agent.messages:
        if delivery["type"] == "inbound":
            talk.agent.ack(delivery)
    connector.wait_all_acked()


def answers(connector, words, **more):
    """An agent started with these words answers and acknowledges."""
    agent = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True, **more)
    try:
        # A second one is answered as well, and hostile text is but text.
        for text in ("hello", 'a "quote", \\ and {"type":"inbound_ack"} é🙂'):
            buffer_id = connector.say("discord", "c1", text)
            connector.wait_text("c1", f"You said: {text}")
            connector.wait_acked(buffer_id)
        buffer_id = connector.say("discord", "c1", "")
        connector.wait_acked(buffer_id)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(agent.pid, signal.SIGTERM)
        agent.wait(relay.TIMEOUT_S)
    assert connector.outbounds[0].result["success"]


@of_kind("sh agent", "python agent", "c agent", "sh program")
def test_agent(relayd, connector, example, tmp_path):
    language = example.kind.split()[0]
    text = example.text.replace("/run/relayd", str(relayd.run))
    path = relayd.write(f"agent.{language}", text, 0o755)
    if language == "c":
        program = tmp_path / "agent"
        subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-o", program,
                        path], check=True, timeout=relay.TIMEOUT_S)
        words = [program]
    elif example.kind == "sh program":
        words = relayd.ctl_words("agent", "--exec", str(path))
    else:
        if " nc " in text:
            need("nc", "jq")
        words = [{"sh": "sh", "python": "/usr/bin/python3"}[language], path]
    answers(connector, words, env=relayd.environment())


def lines_of_shell(text):
    """Commands without their prompts."""
    return re.sub(r"^[#$] ", "", text, flags=re.M)


@pytest.fixture(name="shell")
def _shell(relayd, connector, tmp_path):
    """Run commands in which relayd and relay-ctl are ours."""
    places = shlex.join(map(str, relayd.places()))
    for name, more in (("relay-ctl", f"-r {relayd.run}"), ("relayd", places)):
        program = tmp_path / name
        words = shlex.join(relayd.daemon.command(name))
        program.write_text(f'#!/bin/sh\nexec {words} {more} "$@"\n')
        program.chmod(0o755)
    connector.settings.egress = "off"

    def run(text):
        env = relayd.environment()
        env["PATH"] = f"{tmp_path}:{env['PATH']}"
        return subprocess.run(
            ["sh", "-eu"], input=text.replace("/run/relayd", str(relayd.run)),
            text=True, capture_output=True, env=env, cwd=tmp_path,
            timeout=relay.TIMEOUT_S, check=False)
    return run


@of_kind("sh")
def test_commands_run(shell, example):
    if "jq " in example.text:
        need("jq")
    done = shell(lines_of_shell(example.text))
    assert done.returncode == 0, done.stdout + done.stderr


@of_kind("sh manual")
def test_commands_exist(example):
    """Of what cannot be run as it stands: each of our programs in it has that
    command with these options."""
    text = lines_of_shell(example.text).replace("\\\n", " ")
    checked = subprocess.run(["sh", "-n"], input=text, text=True, check=False,
                             capture_output=True, timeout=relay.TIMEOUT_S)
    assert checked.returncode == 0, checked.stderr
    for part in re.split(r"\|\|?|&&|;|\n", text):
        words = shlex.split(part, comments=True)
        while words and words[0] in ("sudo", "exec", "!"):
            del words[0]
        if words and os.path.basename(words[0]) == "relay-ctl":
            known_to_ctl(words[1:])


def known_to_ctl(words):
    if words[:1] == ["-r"]:
        del words[:2]
    words = [w for w in words if w != "--json"]
    assert words, "no command"
    known = help_of_ctl("help", words[0])
    assert known.startswith("usage: "), known
    if "--exec" in words:
        words = words[:words.index("--exec")]
    for word in words[1:]:
        option = word.partition("=")[0]
        if re.match(r"--?[a-z]", option):
            assert option in options_of(known), f"{words[0]} {option}"
