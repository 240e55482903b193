# SPDX-License-Identifier: ISC
"""What the measurements share: tools, and the processes that are measured."""

import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PYTHON = "/usr/bin/python3"
SYSTEM_CAS = Path("/etc/ssl/certs/ca-certificates.crt")

EVENT_BYTES = 700
TIMEOUT_S = 30      # for anything that is waited for
ROLES = ("supervisor", "authd", "dialer", "engine")

CFLAGS = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra"]
LOAD = ["event.c", "peer.c", "usage.c"]
SOURCES = {"drive": (["drive.c", *LOAD], ["-lcrypto"]),
           "crowd": (["crowd.c", *LOAD], ["-lcrypto"]),
           "agent": (["agent.c"], [])}


class Failure(Exception):
    """The measurement cannot go on; the text says why and what to do."""


def compile_tools(directory):
    for name, (sources, libs) in SOURCES.items():
        command = [os.environ.get("CC", "cc"), *CFLAGS, "-o", directory / name,
                   *(HERE / source for source in sources), *libs]
        if subprocess.run(command, check=False).returncode != 0:
            raise Failure(f"{name} does not compile")


# Processes.

class Driver:
    """A driver of load: one order, one answer."""

    def __init__(self, directory, name="drive", *options):
        self.process = subprocess.Popen(
            [directory / name, "-s", str(EVENT_BYTES), *options], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.began = self._answer("its start")

    def _answer(self, order):
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the driver ended"}
        if "error" in answer:
            raise Failure(f"{order}: {answer['error']}")
        if answer.get("dups") or answer.get("wrong"):
            raise Failure(f"{order}: acknowledged twice {answer['dups']} "
                          f"times, out of order {answer['wrong']} times")
        return answer

    def order(self, *words):
        text = " ".join(str(word) for word in words)
        try:
            self.process.stdin.write(text + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failure(f"{text}: the driver ended") from None
        return self._answer(text)

    def watch(self, pids):
        self.order("watch", *(f"{name}={pid}" for name, pid in pids.items()))

    def stop(self):
        self.process.kill()     # it keeps nothing
        self.process.wait()


def children(pid):
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def role_of(pid):
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    at = words.index(b"-R") if b"-R" in words else len(words)
    return words[at + 1].decode() if at + 1 < len(words) else None


class Relayd:
    """One relayd with a directory of its own; gateways: its configuration,
    made with the path of a file for secrets, in the place of a common one."""

    def __init__(self, programs, user, url, ca_file=None, gateways=None):
        self.programs = programs
        self.user = pwd.getpwnam(user) if user else None
        # Root's configuration may not lie where others can write.
        base = "/run" if os.geteuid() == 0 else None
        self.dir = Path(tempfile.mkdtemp(prefix="rb-", dir=base))
        self.dir.chmod(0o755)
        self._own(self.dir)
        self._write("secret", secrets.token_hex(32) + "\n")
        tls = ""
        if ca_file:
            self._write("ca.pem", self._trusted(ca_file))
            tls = f"    tls: {{ca_file: {self.dir}/ca.pem}}\n"
        self._write("relayd.yaml", gateways(self.dir / "secret") if gateways
                    else f"""\
gateways:
  main:
    url: {url}
    id: gw-bench
    identities: [{{platform: discord, bot_id: "1234"}}]
    secret: {{file: {self.dir}/secret}}
    reconnect: {{min: 20ms, max: 200ms}}
{tls}""")
        self.process = None
        self.log = []
        self.connected_s = None
        self._connected = threading.Event()

    @staticmethod
    def _trusted(ca_file):
        """As many authorities as a system has: they cost time and memory."""
        system = SYSTEM_CAS.read_text() if SYSTEM_CAS.exists() else ""
        return system + Path(ca_file).read_text()

    def _own(self, path):
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def _write(self, name, text):
        path = self.dir / name
        path.touch(mode=0o600)
        path.write_text(text)
        self._own(path)

    def use_secret(self, text):
        self._write("secret", text)

    def start(self):
        command = [self.programs / "relayd", "-f", self.dir / "relayd.yaml",
                   "-r", self.dir / "run", "-s", self.dir / "state"]
        if self.user:
            command = ["/usr/bin/setpriv", f"--reuid={self.user.pw_uid}",
                       f"--regid={self.user.pw_gid}", "--clear-groups",
                       *command]
        self._connected.clear()
        begun = time.monotonic()
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, cwd="/",
            env={"PATH": os.environ["PATH"], "HOME": str(self.dir)})
        threading.Thread(target=self._read_log, daemon=True,
                         args=(begun, self.process.stderr)).start()

    def _read_log(self, begun, stream):
        for line in stream:
            self.log.append(line.rstrip())
            if "-> connected" in line and not self._connected.is_set():
                self.connected_s = time.monotonic() - begun
                self._connected.set()
        self._connected.set()

    def wait_connected(self):
        if not self._connected.wait(TIMEOUT_S) or self.process.poll():
            tail = "\n".join(self.log[-10:])
            raise Failure(f"relayd did not connect; its log ends:\n{tail}")

    @property
    def pids(self):
        found = {role_of(pid): pid for pid in children(self.process.pid)}
        found["supervisor"] = self.process.pid
        if not set(ROLES) <= set(found):
            raise Failure(f"relayd's processes are {sorted(map(str, found))}")
        return {role: found[role] for role in ROLES}

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def destroy(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


class Connector:
    """The development connector, with TLS."""

    def __init__(self, directory):
        self.secret = directory / "tls-secret"
        self.process = subprocess.Popen(
            [PYTHON, ROOT / "tests/connector/main.py", "--tls", "--gateway",
             "gw-bench", "--dir", directory / "connector", "--secret-file",
             self.secret], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        words = self.process.stdout.readline().split()
        if len(words) != 4 or words[0] != "listening":
            raise Failure("the development connector does not start")
        self.url, self.ca_file = words[1], words[3]
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def stop(self):
        self.process.terminate()
        self.process.wait(TIMEOUT_S)


def read_pss(pid):
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise Failure(f"process {pid} has no Pss")


def on_term(*_):
    """Clean up, once: a group may be signalled twice."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)
