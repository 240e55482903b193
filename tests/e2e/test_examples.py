# SPDX-License-Identifier: ISC
"""The examples of the manual pages: each runs, or is what it says.
manuals.py says how an example is marked."""

import configparser
import contextlib
import grp
import json
import os
import re
import shlex
import signal
import subprocess

import pytest

import manuals
import relay
from manuals import help_of_ctl, mandoc, need, options_of, read

PAGE = {page.name: page for page in manuals.PAGES}
EXAMPLES = [e for page in manuals.PAGES for e in manuals.examples(page)]


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
