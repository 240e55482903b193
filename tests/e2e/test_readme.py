# SPDX-License-Identifier: ISC
"""The README tells the truth: its transcript, its snippets, its commands."""

import grp
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import relay
from base import ROOT

sys.path.insert(0, str(ROOT / "tests" / "demo"))
import transcript   # noqa: E402

README = (ROOT / "README.md").read_text()
BLOCKS = {kind: transcript.blocks(kind, README)
          for kind in ("", "sh", "yaml", "python")}
# Where `make install` is told to put things.
INSTALLED = {"share/doc/relayd/control-1.json",
             "sbin/relayd", "sbin/relay-authd", "sbin/relay-xchg",
             "bin/relay-ctl", "share/bash-completion/completions/relay-ctl",
             "lib/systemd/system/relayd.service",
             "lib/systemd/system/relayd-serve.service",
             "lib/systemd/system/relayd-online.service",
             "lib/systemd/system/relayd-online.target",
             "lib/systemd/system/relayd-control.socket",
             "lib/systemd/system/relayd-agent@.socket",
             "lib/sysusers.d/relayd.conf", "lib/tmpfiles.d/relayd.conf",
             "share/doc/relayd/examples/relayd.yaml",
             "share/doc/relayd/examples/agent.c",
             "share/doc/relayd/examples/agent.py",
             "share/doc/relayd/examples/agent.sh"}


def commands(program):
    """What follows a program's name at the start of a line of the README's
    shell blocks, without remarks."""
    return [re.sub(r"\s+#.*", "", line).split()[1:]
            for block in BLOCKS["sh"] for line in block.splitlines()
            if re.match(rf"(sudo )?{program}\b", line)]


@pytest.mark.root
@pytest.mark.skipif(relay.SANITIZED, reason="sanitizers show in it")
@pytest.mark.parametrize("begin", transcript.MADE)
def test_the_transcripts_are_true(begin):
    shown = transcript.shown(begin, README)
    assert transcript.normal(transcript.transcript(begin)) == \
        transcript.normal(shown)


def test_the_agents_shown_are_the_examples():
    parts = transcript.excerpts()
    assert parts["python"] in BLOCKS["python"]
    assert parts["sh"] in BLOCKS["sh"]


def test_the_configuration_is_accepted(make_relayd):
    config = BLOCKS["yaml"][0]
    if os.geteuid() != 0:   # scripts/users made no group
        config = config.replace("relay-agents",
                                grp.getgrgid(os.getegid()).gr_name)
    relayd = make_relayd()
    relayd.configure(config)
    done = subprocess.run(
        relayd.daemon.command("relayd", "-n", *relayd.places()),
        env=relayd.environment(), capture_output=True, text=True,
        timeout=relay.TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr


def test_the_commands_of_relay_ctl_exist(make_relayd):
    words = commands("relay-ctl")
    assert len(words) >= 8
    relayd = make_relayd()
    for word in {w[0] for w in words}:
        assert relayd.ctl("help", word).returncode == 0, word


@pytest.mark.parametrize("words", [
    words for words in commands("relay-ctl")
    if words[0] in ("status", "show", "send", "reload")], ids=" ".join)
def test_the_commands_of_relay_ctl_work(relayd, connector, words):
    connector.say("discord", "c1", "hello")     # c1 is known from now on
    relayd.agent().inbound("hello")
    words = [word.strip('"') for word in words]
    done = relayd.ctl(*words)
    assert done.returncode == 0, done.stderr


def example(relayd, name):
    return relayd.write(name, (ROOT / "examples" / name).read_text(), 0o755)


def answers(connector, words, **more):
    """An agent started with these words answers and acknowledges."""
    agent = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, **more)
    try:
        buffer_id = connector.say("discord", "c1", "hello")
        connector.wait_text("c1", "You said: hello")
        connector.wait_acked(buffer_id)
    finally:
        agent.terminate()
        agent.wait(relay.TIMEOUT_S)


def test_the_shell_agent(relayd, connector):
    program = example(relayd, "agent.sh")
    answers(connector, relayd.ctl_words("agent", "--exec", str(program)),
            env=relayd.environment())


def test_the_python_agent(relayd, connector):
    program = example(relayd, "agent.py")
    answers(connector, ["/usr/bin/python3", program, relayd.agent_path()])


def make(*words):
    done = subprocess.run(["make", "-C", str(ROOT), *words], text=True,
                          capture_output=True, timeout=120, check=False,
                          env={"PATH": os.environ["PATH"]})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_targets_of_make_exist():
    listed = {line.split()[0] for line in make("help").splitlines()[1:]
              if line.startswith("  ")}
    used = set(re.findall(r"\bmake ([a-z][a-z-]*)", README))
    assert used and used <= listed


def test_the_files_named_exist():
    for name in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / name).exists(), name
    # The paths of programs, which are started as they stand.
    for name in re.findall(r"\btests/\S+\.py|\bscripts/[a-z]+\b", README):
        assert os.access(ROOT / name, os.X_OK), name


@pytest.mark.skipif(not os.access(relay.BUILD, os.W_OK),
                    reason="make install may build")
@pytest.mark.skipif(relay.BUILD.name != "release", reason="it installs that")
def test_install_and_uninstall(tmp_path):
    places = [f"DESTDIR={tmp_path}", "PREFIX=/opt/r"]
    make("install", *places)
    top = tmp_path / "opt/r"
    files = {str(p.relative_to(top)) for p in top.rglob("*") if p.is_file()}
    manuals = {f"share/man/man{p.suffix[1:]}/{p.name}"
               for p in (ROOT / "docs").glob("*.[1-8]")}
    assert files == INSTALLED | manuals
    assert not [p for p in tmp_path.iterdir() if p.name != "opt"]
    for name in ("agent.py", "agent.sh"):   # they are run as they are
        assert os.access(top / "share/doc/relayd/examples" / name, os.X_OK)
    unit = (top / "lib/systemd/system/relayd.service").read_text()
    for program in re.findall(r"^Exec\w+=(\S+)", unit, re.M):
        assert (tmp_path / program.lstrip("/")).exists(), program
    assert shutil.which("relayd", path=str(top / "sbin"))
    make("uninstall", *places)
    assert not [p for p in Path(tmp_path).rglob("*") if p.is_file()]
