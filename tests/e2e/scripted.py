# SPDX-License-Identifier: ISC
"""relay-ctl, and a scripted server in relayd's place."""

import contextlib
import json
import socket
import subprocess
import threading
import time

from base import BUILD

CTL = BUILD / "relay-ctl"
WAIT = 30   # seconds after which a test has failed; none takes nearly as long


def run(rundir, *args, **more):
    more.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([CTL, "-r", str(rundir), *args], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=WAIT, check=False, **more)


class Server:
    """A Unix socket whose connections are handled by a function, in turn."""

    def __init__(self, path, handler):
        self.handler = handler
        self.requests = []
        self.failure = None
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(8)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            try:
                with conn, conn.makefile("rwb", buffering=0) as lines:
                    self.handler(self, lines)
            except OSError:
                pass    # the client left, or the script hung up
            except Exception as error:  # told by close()
                self.failure = error

    def read(self, lines):
        line = lines.readline()
        if not line:
            raise OSError("the client left")
        self.requests.append(json.loads(line))
        return self.requests[-1]

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(WAIT)
        assert self.failure is None, self.failure


@contextlib.contextmanager
def serving(path, handler):
    server = Server(path, handler)
    try:
        yield server
    finally:
        server.close()


def write(lines, *docs):
    for doc in docs:
        text = doc if isinstance(doc, str) else json.dumps(doc)
        lines.write(text.encode() + b"\n")


def answering(*docs):
    """A handler that reads one request and writes these."""
    def handler(server, lines):
        server.read(lines)
        write(lines, *docs)
    return handler


def put_state(rundir, pid, **process_fields):
    doc = {"schema": "relayd.state/1", "version": "0.1.0", "pid": pid,
           "updated": int(time.time()), "phase": "running",
           "processes": [{"role": "supervisor", "pid": pid,
                          "state": "running", "restarts": 0, "since": 1},
                         {"role": "engine", "pid": 0, "state": "running",
                          "restarts": 0, "since": 1, **process_fields}],
           "gateways": [{"name": "main", "state": "connected", "reason": "",
                         "since": 1}]}
    (rundir / "state.json").write_text(json.dumps(doc))
