# SPDX-License-Identifier: ISC
"""What etc/relay-ctl.bash offers, in a bash of its own."""

import re
import signal
import subprocess

import pytest

import scripted
from base import BUILD, ROOT, TIMEOUT_S

COMPLETION = ROOT / "etc" / "relay-ctl.bash"
CTL = BUILD / "relay-ctl"
# Calls the function as bash does; $1: the completion, $2: how long it may wait
# for relay-ctl, the rest: the words.
DRIVER = """
. "$1" || exit
[[ -n $2 ]] && _RELAY_CTL_WAIT=$2
shift 2
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_relay_ctl "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
[[ ${#COMPREPLY[@]} == 0 ]] || printf '%s\\n' "${COMPREPLY[@]}"
"""


def offered(*words, ctl=CTL, wait=TIMEOUT_S // 2, **more):
    """What is offered for the last of the words after relay-ctl's name; the
    machine may be slow, so it waits longer than it does by itself (wait="")."""
    done = subprocess.run(
        ["bash", "--norc", "-c", DRIVER, "bash", str(COMPLETION), str(wait),
         str(ctl), *map(str, words)], stdin=subprocess.DEVNULL, text=True,
        capture_output=True, timeout=TIMEOUT_S, check=False, **more)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.splitlines()


def of_the_table():
    """The commands in main.c, and the long options of each."""
    text = (ROOT / "relay-ctl/main.c").read_text()
    options = dict(re.findall(r"\[(OPT_\w+)\] = \{\"([a-z-]+)\"", text))
    rows = text[text.index("commands[] = {"):]
    rows = rows[:rows.index("\n};")]
    return {name: {"--" + options[o] for o in re.findall(r"OPT_\w+", row)}
            for name, row in re.findall(
                r'^    \{"(\w+)",(.*?)(?=^    \{"|\Z)', rows, re.M | re.S)}


TABLE = of_the_table()


def test_every_command_is_offered():
    assert len(TABLE) > 25
    assert sorted(offered("")) == sorted(TABLE)
    assert sorted(offered("help", "")) == sorted(TABLE)
    assert offered("sho") == ["show"]
    assert offered("--json", "sho") == ["show"]
    assert set(offered("-")) == {"-r", "--run-dir", "--json"}


@pytest.mark.parametrize("name", TABLE)
def test_the_options_of_every_command(name):
    words = offered(name, "--")
    assert set(words) == TABLE[name] | {"--run-dir", "--json"}
    assert len(words) == len(set(words))


@pytest.mark.parametrize("words, wanted", [
    (("show", "qu"), ["quarantine"]),
    (("sho", "qu"), ["quarantine"]),        # abbreviated
    (("show", "--content", "qu"), ["quarantine"]),
    (("log", ""), ["error", "warn", "info", "debug"]),
    (("log", "info", ""), []),
    (("wait", "--for", "con"), ["connected", "connecting"]),
    (("wait", "--for", "idle,conn"), ["idle,connected", "idle,connecting"]),
    (("wait", "--for", "=", "dorm"), ["dormant"]),
    (("wait", "--timeout", ""), []),
    (("requeue", "main", ""), ["all"]),
    (("drop", "-y", "main", ""), ["all"]),
    (("send", ""), []),
    (("reload", ""), []),
    (("nonsense", ""), []),
])
def test_words_of_a_place(words, wanted):
    assert offered(*words) == wanted


def test_show_takes_what_help_says():
    line = scripted.run("/nowhere", "help", "show").stdout.splitlines()[1]
    assert line.startswith("WHAT: ")
    assert offered("show", "") == line.split()[1:]


def test_paths(tmp_path):
    (tmp_path / "file one").touch()
    (tmp_path / "folder").mkdir()
    both = {f"{tmp_path}/file one", f"{tmp_path}/folder"}
    assert set(offered("check", "-f", f"{tmp_path}/f")) == both
    assert set(offered("enroll", "main", "--token-file",
                       f"{tmp_path}/f")) == both
    assert set(offered("import", "main", f"{tmp_path}/f")) == both
    assert offered("-r", f"{tmp_path}/f") == [f"{tmp_path}/folder"]
    assert "echo" in offered("agent", "--exec", "ech")
    # What follows is the program's own.
    assert set(offered("agent", "--exec", "cat", f"{tmp_path}/f")) == both
    assert offered("agent", "--exec", "cat", "--jo") == []


def test_gateways(make_relayd, make_connector):
    relayd = make_relayd().connect_to(make_connector()).connect_to(
        make_connector("gw-two"), name="other-1")
    relayd.start(wait="connected")
    place = ("-r", relayd.run)
    for words in ((*place, "status", ""), ("status", *place, ""),
                  ("status", "--run-dir", relayd.run, ""),
                  ("status", "--run-dir", "=", relayd.run, ""),
                  ("status", f"-r{relayd.run}", ""),
                  (*place, "show", "agents", ""),
                  (*place, "wait", "--for", "idle", ""),
                  (*place, "send", "-g", ""), (*place, "requeue", "")):
        assert sorted(offered(*words)) == ["main", "other-1"], words
    assert offered(*place, "wake", "o") == ["other-1"]
    assert offered(*place, "wake", "other-1", "") == []
    relayd.kill("engine", signal.SIGSTOP)
    assert offered(*place, "status", "", wait="") == []
    assert "status" in offered(*place, "sta")
    relayd.kill("engine", signal.SIGCONT)
    relayd.stop()
    assert offered(*place, "status", "") == []


def test_without_relayd(tmp_path):
    assert offered("-r", tmp_path, "status", "") == []
    assert offered("-r", tmp_path / "no" / "such", "status", "") == []
    assert offered("-r", "", "status", "") == []
    assert offered("-r", tmp_path, "st") == ["status"]


@pytest.mark.parametrize("text", ["exec sleep 1000", "cat", "exit 3",
                                  "echo '$(touch bad) `touch bad`'"])
def test_another_relay_ctl(tmp_path, text):
    """One that hangs, waits for input or says something else."""
    ctl = tmp_path / "relay-ctl"
    ctl.write_text(f"#!/bin/sh\n{text}\n")
    ctl.chmod(0o755)
    for words in (("",), ("status", "")):
        assert offered(*words, ctl=ctl, wait="", cwd=tmp_path) == []
    assert offered("", ctl=tmp_path / "missing") == []
    assert list(tmp_path.iterdir()) == [ctl]


def test_nothing_typed_is_run(tmp_path):
    bad = "$(touch bad)`touch bad`"
    for words in ((bad, ""), ("status", bad), (f"-{bad}", ""),
                  ("-r", bad, "status", ""), ("show", bad)):
        assert bad not in offered(*words, cwd=tmp_path)
    assert not list(tmp_path.iterdir())


def test_names_are_not_believed(rundir):
    """Whoever answers in relayd's place: only what may name a gateway is
    offered, and nothing of it is run."""
    names = ["good", "$(touch bad)", "a b", "a`touch bad`", "\x1b[31m", "a/b"]
    reply = {"ok": True, "schema": "relayd.status/1", "version": "0.1.0",
             "gateways": [{"name": name, "state": "idle", "agents": []}
                          for name in names], "processes": []}
    with scripted.serving(rundir / "control.sock", scripted.answering(reply)):
        assert offered("-r", rundir, "status", "", cwd=rundir) == ["good"]
    assert not (rundir / "bad").exists()


def test_it_is_what_bash_calls():
    done = subprocess.run(
        ["bash", "--norc", "-c", '. "$1" && complete -p relay-ctl', "bash",
         str(COMPLETION)], capture_output=True, text=True, check=True)
    assert done.stdout == "complete -F _relay_ctl relay-ctl\n"
