# SPDX-License-Identifier: ISC
"""The log: its forms, its events, its level at run time, what is summed up."""

import os
import re
import subprocess

import pytest

import inject
import loglines
from base import ROOT, TIMEOUT_S
from loglines import FORMS, parsed, quiet

SOURCES = [path for part in ("common", "relayd", "relay-authd", "relay-xchg")
           for path in sorted((ROOT / part).rglob("*.c"))]
# What logs an event, whose name is the first literal among its arguments.
CALL = re.compile(
    r"(?<!define )\b(?:log_(?:err|warn|info|debug|say|die|always)"
    r'|core_remark|headroom_log|remark)\s*\((?!int |struct )[^";]*?"(\w+)"')
MADE = re.compile(r'\.event = "(\w+)"|char event\[.*?\] = "(\w+)"')


def in_sources():
    """The names that the sources log with, and where."""
    names = {}
    for path in SOURCES:
        text = path.read_text()
        for match in (*CALL.finditer(text), *MADE.finditer(text)):
            names.setdefault(next(filter(None, match.groups())), path.name)
    return names


def in_manual():
    """The names that relayd(8) lists."""
    text = (ROOT / "docs/relayd.8").read_text()
    part = re.search(r"^\.Sh LOG\n(.*?)^\.Sh ", text, re.M | re.S)[1]
    return re.findall(r"^\.It Ic (\w+)$", part, re.M)


def test_each_event_is_listed_once():
    names = in_sources()
    assert len(names) > 50
    unlisted = {n: w for n, w in names.items() if n not in loglines.EVENTS}
    assert not unlisted, "not in common/log_event.def"
    gone = loglines.EVENTS - names.keys()
    assert not gone, f"nothing logs {gone}"


def test_the_manual_lists_each_event():
    assert in_manual() == sorted(loglines.EVENTS)


# Forms.

@pytest.mark.parametrize("form", FORMS)
def test_every_line_is_of_its_form(make_relayd, connector, form):
    relayd = quiet(make_relayd, form).connect_to(connector)
    relayd.start(wait="connected")
    connector.drop()
    relayd.wait_log("retrying")
    relayd.wait_state()
    relayd.kill_and_wait("engine")
    relayd.wait_state()
    relayd.stop()
    lines = parsed(relayd, form)
    assert {"ready", "link", "dial", "mint", "exit", "restart", "stop"} <= {
        line["event"] for line in lines}
    assert {"supervisor", "dialer", "engine", "authd"} == {
        line["process"] for line in lines}
    for line in lines:
        if line["event"] in ("link", "dial", "mint"):
            assert line["gateway"] == "main", line
    states = [line["msg"] for line in lines if " -> " in line["msg"]]
    assert re.match(r"unprovisioned -> connecting: ", states[0])
    assert re.match(r"\w+ -> stopping: ", states[-1])


def test_one_line_for_each_change_of_state(make_relayd, connector):
    """However often it goes back and forth."""
    relayd = quiet(make_relayd).connect_to(connector)
    relayd.start(wait="connected")
    for count in range(2, 6):
        connector.drop()
        relayd.wait_gateway(
            lambda g, n=count: g["counters"]["handshakes"] == n
            and g["state"] == "connected", "to be back")
    relayd.stop()
    changes = [line["msg"].partition(": ")[0] for line in parsed(relayd)
               if line["event"] == "link" and " -> " in line["msg"]]
    for change in ("connected -> retrying", "retrying -> connected"):
        assert changes.count(change) == 4, changes
    assert changes[-1] == "connected -> stopping"


def test_a_refused_start_is_json_too(make_relayd):
    relayd = make_relayd({"log": {"format": "json"}, "gateways": {"main": {
        "url": "https://127.0.0.1:1", "identities": [
            {"platform": "discord", "bot_id": "1"}]}}}, debug=False)
    (relayd.dir / "run").write_text("no directory")
    relayd.start()
    assert relayd.wait_exit() == 1
    last = loglines.parse(relayd.lines[-1], "json")
    assert last["event"] == "refused" and last["level"] == "error"


# The service manager's journal.

def start_on(relayd, fd, stream):
    """Start it with this standard error."""
    return subprocess.Popen(
        relayd.daemon.command("relayd", *relayd.places()),
        env={**relayd.environment(), "JOURNAL_STREAM": stream},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=fd,
        start_new_session=True, cwd="/")


@pytest.mark.parametrize("journal", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_priorities(make_relayd, connector, form, journal):
    """Where standard error is what JOURNAL_STREAM says."""
    relayd = quiet(make_relayd, form).connect_to(connector)
    read, write = os.pipe()
    there = os.fstat(write)
    inode = there.st_ino if journal else there.st_ino + 1
    relayd.process = start_on(relayd, write, f"{there.st_dev}:{inode}")
    os.close(write)
    try:
        relayd.wait_state()
        relayd.kill_and_wait("engine")
    finally:
        process, relayd.process = relayd.process, None
        process.terminate()
    with open(read, encoding="utf-8") as text:
        lines = text.read().splitlines()
    assert process.wait(TIMEOUT_S) == 0
    number = {"error": 3, "warn": 4, "notice": 5, "info": 6}
    seen = set()
    for line in lines:
        if journal:
            assert re.match(r"<\d>", line)
            fields = loglines.parse(line[3:], form)
            assert int(line[1]) == number[fields["level"]]
        else:
            fields = loglines.parse(line, form)
        seen.add(fields["level"])
    assert {"warn", "info"} <= seen


# The level.

def test_level_at_run_time(make_relayd, connector):
    """All processes take it, those that start later too; a reload and a
    restart bring the configured one back."""
    relayd = quiet(make_relayd, level="warn").connect_to(connector)
    relayd.start(wait="connected")
    assert relayd.ctl("log").stdout == "warn\n"
    assert not relayd.lines
    done = relayd.ctl("log", "debug")
    assert done.returncode == 0
    assert done.stdout == ("debug, until the next reload or restart: then "
                           "warn\n")
    said = loglines.parse(relayd.wait_log("event=log_level").string, "logfmt")
    assert said["level"] == "notice"
    assert re.fullmatch(r"debug, was warn: asked for by uid \d+, pid \d+",
                        said["msg"])
    connector.drop()
    for process in ("authd .*event=mint", "dialer .*event=dial",
                    "engine .*event=connected"):
        relayd.wait_log(f"process={process}")
    mark = relayd.log_mark()
    relayd.kill_and_wait("engine")
    relayd.wait_log("level=debug process=engine .*event=connected", since=mark)
    relayd.wait_log("level=debug process=supervisor .*event=start", since=mark)
    relayd.wait_state()
    code, answer = relayd.ctl_json("log")
    assert code == 0 and answer["ok"]
    assert {name: answer[name] for name in ("level", "configured", "format")} \
        == {"level": "debug", "configured": "warn", "format": "logfmt"}
    assert relayd.reload()["ok"]
    assert relayd.ctl("log").stdout == "warn\n"
    mark = relayd.log_mark()
    connector.drop()
    relayd.wait_gateway(lambda g: g["counters"]["handshakes"] == 2
                        and g["state"] == "connected", "to be back")
    assert relayd.ctl("log", "e").returncode == 0       # abbreviated
    relayd.wait_log("event=log_level msg=\"error, was warn", since=mark)
    link, *rest = relayd.lines[mark:]
    assert re.search("level=warn .*event=link .*connected -> retrying", link)
    assert all(loglines.event_of(line) == "log_level" for line in rest), rest
    relayd.stop()
    relayd.start(wait="connected")
    assert relayd.ctl("log").stdout == "warn\n"


def test_level_and_form_of_a_reload(make_relayd, connector):
    relayd = quiet(make_relayd).connect_to(connector)
    relayd.start(wait="connected")
    relayd.configure({**relayd.config,
                      "log": {"format": "json", "level": "debug"}})
    assert relayd.reload()["ok"]
    mark = relayd.log_mark()
    connector.drop()
    relayd.wait_log('"process":"engine".*"event":"connected"', since=mark)
    assert relayd.ctl("log").stdout == "debug\n"
    relayd.configure({**relayd.config, "log": {"format": "no such thing"}})
    assert not relayd.reload()["ok"]
    assert relayd.ctl("log").stdout == "debug\n"
    relayd.wait_log('^{.*"event":"reload".*not reloaded', since=mark)


def wish_as_engine(relayd, wishes):
    """What a compromised engine asks for, of nobody's accord."""
    reason = inject.cannot()
    if reason:
        pytest.skip(reason)
    with inject.Puppet(relayd.role_pid("engine")) as engine:
        for pid, level in enumerate(wishes, 1):
            engine.sendmsg(inject.FD_OF["engine"]["supervisor"],
                           inject.packet("WANT_LEVEL", level, 0, pid))


def test_the_engine_quietens_nobody_who_tells_of_it(make_relayd, connector):
    """Tokens are logged by relay-authd, what becomes of processes by the
    supervisor, whatever is asked for in an operator's name."""
    relayd = quiet(make_relayd).connect_to(connector)
    relayd.start(wait="connected")
    wish_as_engine(relayd, [3])
    relayd.wait_log("event=log_level .*error, was info")
    mark = relayd.log_mark()
    authd = relayd.kill_and_wait("authd")
    relayd.wait_log("process=supervisor .*event=exit", since=mark)
    relayd.wait_state()
    connector.drop()
    relayd.wait_gateway(lambda g: g["counters"]["handshakes"] == 2
                        and g["state"] == "connected", "to be back")
    relayd.stop()
    lines = "\n".join(relayd.lines[mark:])
    assert re.search("process=supervisor .*event=stop ", lines)
    assert re.search(f"process=authd pid={authd} .*event=mint ", lines)
    assert not re.search("level=(info|warn) process=(engine|dialer)", lines)


def test_a_flood_of_levels_is_bounded(make_relayd, connector):
    relayd = quiet(make_relayd).connect_to(connector)
    relayd.start(wait="connected")
    wish_as_engine(relayd, [6, 7] * 200)
    relayd.ctl("log")
    relayd.stop()
    said = [line for line in relayd.lines if "event=log_level" in line]
    assert 10 <= len(said) < 200, len(said)


def test_levels_that_are_none(relayd):
    done = relayd.ctl("log", "loud")
    assert done.returncode == 2 and "error warn info debug" in done.stderr
    assert relayd.ctl("log", "info", "debug").returncode == 2
    for level in ("", "loud", "notice", "INFO", "x" * 1000, 7, None):
        answer = relayd.control({"cmd": "log", "level": level})
        assert not answer["ok"] and answer["code"] == "bad_request", level
    answer = relayd.control({"cmd": "log"}, "status.sock")
    assert answer["code"] == "not_permitted"
    assert relayd.ctl("log").stdout == "debug\n"        # -d


# Repeats.

def test_repeats_are_counted(make_relayd, make_connector):
    connector = make_connector()
    relayd = quiet(make_relayd).connect_to(
        connector, reconnect={"min": "10ms", "max": "10ms"})
    relayd.start(wait="connected")
    connector.stop()
    relayd.wait_gateway(lambda g: g["attempt"] >= 40, "to have tried")
    relayd.stop()
    failed = [line for line in parsed(relayd) if line["event"] == "dial"
              and "refused" in line["msg"]]
    assert len(failed) < 10, failed
    assert sum(line.get("repeated", 1) for line in failed) >= 30
    summed = [line for line in failed if "repeated" in line]
    assert summed and all(re.match(
        rf"repeated {line['repeated']} times in \d+ s: .*refused",
        line["msg"]) for line in summed)


def test_at_debug_they_are_printed(make_relayd, make_connector):
    connector = make_connector()
    relayd = make_relayd().connect_to(
        connector, reconnect={"min": "10ms", "max": "10ms"})
    relayd.start(wait="connected")
    connector.stop()
    relayd.wait_gateway(lambda g: g["attempt"] >= 40, "to have tried")
    relayd.stop()
    assert sum("event=dial" in line and "refused" in line
               for line in relayd.lines) >= 30
    assert "repeated" not in relayd.log
