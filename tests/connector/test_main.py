# SPDX-License-Identifier: ISC
"""The connector by hand: main.py as a child process."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .asking import request
from .client import Client, Closed

SECRET = "s3cret"
MAIN = Path(__file__).with_name("main.py")


class Program:
    """main.py as a child process; reads its lines as they come."""

    def __init__(self, tmp_path, *args):
        (tmp_path / "secret").write_text(SECRET + "\n")
        self.child = subprocess.Popen(
            [sys.executable, str(MAIN), "--port", "0", "--dir", str(tmp_path),
             "--gateway", "gw-1", "--secret-file", str(tmp_path / "secret"),
             "--platform", "discord:1234", *args], text=True, cwd="/",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.first = self.until("listening").split()
        self.url, self.ca_file = self.first[1], self.first[3]

    def until(self, text):
        for line in self.child.stdout:
            if text in line:
                return line.rstrip("\n")
        raise AssertionError(f"no {text!r} in the output")

    def type(self, line):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()

    def end(self):
        if self.child.stdin:
            self.child.stdin.close()
        self.child.stdout.read()
        self.child.stdout.close()
        return self.child.wait(20)


def test_line_protocol(tmp_path):
    program = Program(tmp_path, "--tls")
    with Client(program.url, ca_file=program.ca_file) as client:
        client.dial().hello()
        program.until("handshaken")
        program.type("say discord c1 hello there")
        inbound = client.expect("inbound")
        assert inbound["event"]["text"] == "hello there"
        client.ack(inbound["bufferId"])
        program.until("ack")
        program.type("nonsense")
        assert "unknown" in program.until("error")
        program.type("close 1012 back soon")
        with pytest.raises(Closed) as caught:
            client.receive()
        assert caught.value.args == (1012, "back soon")
        program.type("status")
        program.until("counters")
        program.type("quit")
    assert program.end() == 0


def test_tokens_are_issued(tmp_path):
    program = Program(tmp_path)
    url = program.url.replace("ws", "http", 1).removesuffix("/relay")
    program.type("identity")
    identity = program.until("ok").split()[1]
    program.type("ticket tenant-b")
    of_another = program.until("ok").split()[1]
    program.type("ticket")
    ticket = program.until("ok").split()[1]
    for token, expected in ((of_another, 403), (ticket, 200), (ticket, 403)):
        body = json.dumps({"enrollmentToken": token, "gatewayId": "gw-1"})
        status, _, answer = request(
            url, "POST", "/relay/enroll", body.encode(),
            {"Content-Type": "application/json",
             "Authorization": f"Bearer {identity}"})
        assert status == expected
        if status == 200:
            secret = json.loads(answer)["secret"]
    program.type("rotate another 3600")
    program.until("ok")
    for secret in (secret, "another"):
        with Client(program.url, secret=secret) as client:
            client.dial().hello()
    program.type("quit")
    assert program.end() == 0


def test_a_breach_shows_in_the_exit_status(tmp_path):
    program = Program(tmp_path)
    with Client(program.url) as client:
        client.dial().send_text("rubbish\n")
        program.until("violation")
    assert program.end() == 1


def test_ids_are_new_in_each_run(tmp_path):
    """A gateway would take an id of an earlier run for a repetition."""
    seen = set()
    for _ in range(2):
        program = Program(tmp_path)
        program.type("say discord c1 hello")
        seen.add(program.until("ok "))
        program.end()
    assert len(seen) == 2


def test_chat(tmp_path):
    program = Program(tmp_path, "--chat")
    with Client(program.url) as client:
        client.dial().hello()
        program.type("hello agent")
        inbound = client.expect("inbound")
        event = inbound["event"]
        assert event["text"] == "hello agent"
        assert event["source"]["user_name"] == "you"
        client.ack(inbound["bufferId"])
        act = {"op": "send", "chat_id": event["source"]["chat_id"],
               "content": "hello \x1b[31myou",
               "metadata": {"user_id": event["source"]["user_id"]}}
        client.send({"type": "outbound", "requestId": "r", "action": act,
                     "platform": "discord", "botId": "1234"})
        assert program.until("agent>") == "agent> hello \\x1b[31myou"
    assert program.end() == 0


def test_sigterm_ends_it(tmp_path):
    program = Program(tmp_path)
    os.kill(program.child.pid, signal.SIGTERM)
    assert program.child.wait(20) == 0
    program.end()
