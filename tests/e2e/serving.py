# SPDX-License-Identifier: ISC
"""relay-ctl serve as tests drive it: the process, and what it answers."""

import contextlib
import http.client
import re
import socket
import subprocess
import threading

from base import SANITIZER, TIMEOUT_S, until

METRIC = re.compile(r'^([a-z_]+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()


class Serve:
    """One relay-ctl serve; words: its whole command line."""

    def __init__(self, words, env, **more):
        self.process = subprocess.Popen(
            words, env=env, stdin=subprocess.DEVNULL, cwd="/",
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            **more)
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    @property
    def log(self):
        return "\n".join(self.lines)

    def wait_log(self, text, since=0):
        return until(lambda: any(text in line for line in self.lines[since:]),
                     lambda: f"{text!r} in {self.lines}")

    def wait_port(self):
        """Until it listens; its port."""
        self.wait_log("event=listening")
        self.port = int(re.search(r"http://\S+:(\d+):", self.log)[1])
        return self

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S)

    def ask(self, path, method="GET", headers=None, body=None):
        link = http.client.HTTPConnection("127.0.0.1", self.port, TIMEOUT_S)
        try:
            link.request(method, path, body, headers or {})
            return Answer(link.getresponse())
        finally:
            link.close()

    def raw(self, data):
        """Send bytes; all that is answered."""
        with self.connect() as sock:
            sock.sendall(data)
            return self.drain(sock)

    @staticmethod
    def drain(sock):
        got = b""
        try:
            while more := sock.recv(65536):
                got += more
        except ConnectionResetError:
            pass
        return got

    def metrics(self):
        """{(name, labels): value}; labels: a tuple of pairs, sorted."""
        return parse(self.ask("/metrics").text)

    def wait_status(self, path, status):
        """Until it answers so; the answer."""
        last = None

        def look():
            nonlocal last
            last = self.ask(path)
            return last.status == status and last
        return until(look, lambda: f"{status} of {path}: {last.text}")

    def stop(self):
        """End it; its exit status."""
        self.process.terminate()
        code = self.process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        assert not SANITIZER.search(self.log), self.log
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def starting():
    """A function that starts a Serve; all are ended in the end."""
    with contextlib.ExitStack() as stack:
        def start(relayd, *args, **more):
            env = {**relayd.environment(), **more.pop("env", {})}
            serve = Serve(relayd.ctl_words("serve", "--listen", "127.0.0.1:0",
                                           *args), env, **more)
            stack.callback(serve.close)
            return serve.wait_port()
        yield start


class Events:
    """A client of /events."""

    def __init__(self, serve, last=None):
        self.sock = serve.connect()
        seen = f"Last-Event-ID: {last}\r\n" if last else ""
        self.sock.sendall(f"GET /events HTTP/1.0\r\nHost: localhost\r\n{seen}"
                          "\r\n".encode())
        self.file = self.sock.makefile("r", encoding="utf-8", newline="\n")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        while (line := self.file.readline().strip()):
            name, _, value = line.partition(": ")
            self.headers[name.lower()] = value

    def block(self):
        """The next block, as a dict."""
        found = {}
        while (line := self.file.readline()) not in ("\n", ""):
            name, _, value = line.rstrip("\n").partition(": ")
            found[name] = value
        return found

    def event(self):
        """The next event; comments and the like are left out."""
        while True:
            found = self.block()
            if "event" in found or not found:
                return found

    def close(self):
        self.file.close()
        self.sock.close()


def parse(text):
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = METRIC.match(line)
        assert match, line
        labels = tuple(sorted(LABEL.findall(match[2] or "")))
        assert (match[1], labels) not in found, line
        found[match[1], labels] = float(match[3])
    return found
