# SPDX-License-Identifier: ISC
"""The daemon set as end-to-end tests drive it: real processes, real sockets.

    RELAYD_TEST_USER  when root runs the suite: the user relayd is started as,
                      instead of as root with users of its own

Tests import from here; base.py and agents.py are parts of it.
"""

import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import loglines
from agents import Agent, LineSocket
from base import (BUILD, POLL_S, PROGRAMS, ROLES, ROOT, SANITIZED, SANITIZER,
                  STOP_TIMEOUT_S, TIMEOUT_S, describe, merge, read_stat,
                  to_yaml, until)

__all__ = ["Agent", "BUILD", "Daemon", "LineSocket", "POLL_S", "PROGRAMS",
           "ROLES", "ROOT", "Relayd", "SANITIZED", "STOP_TIMEOUT_S",
           "TIMEOUT_S", "describe", "merge", "read_stat", "to_yaml", "until"]


class Daemon:
    """Who relayd runs as, and from where.

    Another user than ours may not be able to reach the checkout or our
    temporary files: it gets copies of the programs.
    """

    def __init__(self, user=None):
        self.user = pwd.getpwnam(user) if user else None
        self._copies = None

    @property
    def is_root(self):
        return self.user is None and os.geteuid() == 0

    @property
    def uid(self):
        return self.user.pw_uid if self.user else os.geteuid()

    @property
    def programs(self):
        """The directory of the programs."""
        if self.user is None:
            return BUILD
        if self._copies is None:
            self._copies = tempfile.TemporaryDirectory(prefix="rtbin-")
            os.chmod(self._copies.name, 0o755)
            for name in PROGRAMS:
                shutil.copy2(BUILD / name, self._copies.name)
        return Path(self._copies.name)

    def command(self, program, *args):
        """The words that run a program as this user."""
        words = [str(self.programs / program), *map(str, args)]
        if self.user is None:
            return words
        return ["/usr/bin/setpriv", f"--reuid={self.user.pw_uid}",
                f"--regid={self.user.pw_gid}", "--clear-groups", *words]

    def make_dir(self):
        """A new directory that this user owns.

        Its path is short, for sockets.  As root it is not in /tmp: there a
        configuration is refused, since others can write on the way to it.
        """
        base = "/run" if self.is_root else "/tmp"
        path = Path(tempfile.mkdtemp(prefix="rt-", dir=base))
        path.chmod(0o755)
        self.own(path)
        return path

    def own(self, path):
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def close(self):
        if self._copies:
            self._copies.cleanup()


class Relayd:
    """One relayd with its configuration, its log and its processes.

    config   a dict (see gateway_config()), or None: no file, only `env`
    secrets  file name: text, written 0600 into the directory
    env      more environment
    debug    -d
    """

    def __init__(self, daemon, config=None, secrets=None, env=None,
                 debug=True):
        self.daemon = daemon
        self.dir = daemon.make_dir()
        self.run = self.dir / "run"
        self.state = self.dir / "state"
        self.conf = self.dir / "relayd.yaml"
        self.config = config
        self.env = dict(env or {})
        self.debug = debug
        self.before = []        # words in front of the command that starts it
        self.pass_fds = ()      # descriptors that they are to have
        self.process = None
        self.stopped = False    # ended as a test wanted it to
        self.seen = {}          # pid: start time
        self.lines = []
        self._reader = None
        self._told = threading.Condition()
        for name, text in (secrets or {}).items():
            self.write(name, text, 0o600)
        if config is not None:
            self.configure(config)

    # Files.

    def write(self, name, text, mode=0o644):
        """Put a file of the daemon's user into the directory; its path.

        It replaces what was there at once, as an editor does.
        """
        path, new = self.dir / name, self.dir / f"{name}.new"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode),
                  "w" if isinstance(text, str) else "wb") as file:
            file.write(text)
        new.chmod(mode)
        self.daemon.own(new)
        new.rename(path)
        return path

    def configure(self, config):
        """Write the configuration: a dict, or YAML text as it stands."""
        self.config = config
        self.write("relayd.yaml", config if isinstance(config, str)
                   else to_yaml(config))

    def connect_to(self, connector, name="main", gateway=None, **more):
        """Put a gateway for a Connector into the configuration: its CA, the
        secret it knows, its identities; `more` is merged over it."""
        known = connector.gateway(gateway)
        self.write(f"{name}.secret", known.secrets[0] + "\n", 0o600)
        return self.add_gateway(connector, name, **merge({
            "id": known.gateway_id,
            "identities": [{"platform": p, "bot_id": b}
                           for p, b in known.platforms.items()],
            "secret": {"file": str(self.dir / f"{name}.secret")}}, more))

    def add_gateway(self, connector, name="main", **more):
        """Put a gateway without a secret into the configuration; it fronts
        one bot on Discord, unless `more` says otherwise."""
        entry = {
            "url": connector.http_url,
            "id": "gw-test",
            "identities": [{"platform": "discord", "bot_id": "1234"}],
            "reconnect": {"min": "20ms", "max": "200ms"},
        }
        if connector.tls:
            ca = self.write("ca.pem", Path(connector.ca_file).read_text())
            entry["tls"] = {"ca_file": str(ca)}
        base = self.config if isinstance(self.config, dict) else {}
        gateways = dict(base.get("gateways") or {})
        gateways[name] = merge(entry, more)
        self.configure({**base, "gateways": gateways})
        return self

    def connect_by_environment(self, connector):
        """Put a Connector without TLS into the environment."""
        known = connector.gateway()
        self.env.update({
            "GATEWAY_RELAY_URL": connector.url,
            "GATEWAY_RELAY_ID": known.gateway_id,
            "GATEWAY_RELAY_SECRET": known.secrets[0],
            "GATEWAY_RELAY_PLATFORMS": "discord",
            "GATEWAY_RELAY_BOT_IDS": '{"discord":{"botId":"1234"}}',
        })
        return self

    # Life.

    def start(self, wait=None):
        """Start it; with wait="connected", until every gateway is so."""
        words = self.before + self.daemon.command(
            "relayd", *(["-d"] if self.debug else []), *self.places())
        self.stopped = False
        self.process = subprocess.Popen(
            words, env=self.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            start_new_session=True, cwd="/", pass_fds=self.pass_fds)
        self._reader = threading.Thread(target=self._read_log, daemon=True,
                                        args=(self.process.stderr,))
        self._reader.start()
        if wait:
            for name in self.config["gateways"]:
                self.wait_state(name, wait)
        return self

    def places(self):
        """The arguments that say where its files are."""
        conf = [] if self.config is None else ["-f", self.conf]
        return [*conf, "-r", self.run, "-s", self.state]

    def environment(self):
        """Ours is not inherited, save what sanitizers are told."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.dir),
               "ASAN_OPTIONS": "detect_leaks=0"}
        for name, value in os.environ.items():
            if name.endswith("SAN_OPTIONS"):
                env[name] = value
        env.update(self.env)
        return env

    def _read_log(self, stream):
        for raw in stream:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            with self._told:
                self.lines.append(line)
                self._told.notify_all()
        stream.close()

    @property
    def pid(self):
        return self.process.pid

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def wait_exit(self, timeout=STOP_TIMEOUT_S):
        """Wait for the supervisor's end; its exit status."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(
                f"relayd had not ended after {timeout} s") from None
        self._reader.join(timeout)
        self.stopped = True
        return code

    def stop(self, sig=signal.SIGTERM, code=0):
        """End it in order: exit status, no process, no socket left."""
        if not self.running:
            raise AssertionError("relayd ended by itself, with status "
                                 f"{self.process.returncode}")
        self.look()
        self.process.send_signal(sig)
        ended = self.wait_exit()
        assert ended == code, f"relayd ended with status {ended}"
        self.assert_gone()
        sockets = [str(p) for p in self.run.rglob("*") if p.is_socket()]
        assert not sockets, f"left behind: {sockets}"
        self.assert_sane()

    def assert_gone(self, timeout=TIMEOUT_S):
        """Nothing that the supervisor started is left."""
        until(lambda: not self.left(), lambda: "the end of "
              f"{[describe(pid) for pid in self.left()]}", timeout)

    def assert_sane(self):
        """No sanitizer found anything, and each event is one of ours."""
        found = [line for line in self.lines if SANITIZER.search(line)]
        assert not found, "\n".join(found)
        found = loglines.strangers(self.lines)
        assert not found, "\n".join(found)

    def destroy(self):
        """Take everything away, whatever state it is in."""
        if self.process:
            self.look()
            for pid in self.left():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.running:
                self.process.kill()
            self.process.wait(TIMEOUT_S)
            self._reader.join(TIMEOUT_S)
        shutil.rmtree(self.dir, ignore_errors=True)

    # Log.

    @property
    def log(self):
        with self._told:
            return "\n".join(self.lines)

    def log_mark(self):
        """A position in the log, for wait_log(since=…)."""
        with self._told:
            return len(self.lines)

    def wait_log(self, pattern, timeout=TIMEOUT_S, since=0):
        """Wait for a log line that the pattern is found in; the match."""
        regex = re.compile(pattern)
        deadline = time.monotonic() + timeout
        position = since
        with self._told:
            while True:
                while position < len(self.lines):
                    match = regex.search(self.lines[position])
                    if match:
                        return match
                    position += 1
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"waited {timeout} s for a log line "
                                       f"like {pattern!r}")
                self._told.wait(left)

    # Processes.

    def look(self):
        """Remember the processes there are now, to find what is left of them
        later: each child leads a session of its own, and outlives its parent
        as nobody's child."""
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                stat = read_stat(int(entry.name))
                if stat:
                    parents[int(entry.name)] = stat
        family = {self.pid}
        grown = True
        while grown:
            more = {pid for pid, stat in parents.items()
                    if stat["ppid"] in family} - family
            family |= more
            grown = bool(more)
        for pid in family & parents.keys():
            self.seen[pid] = parents[pid]["start"]

    def left(self):
        """Of the processes remembered: those that still run."""
        alive = []
        for pid, start in self.seen.items():
            stat = read_stat(pid)
            if stat and stat["start"] == start and stat["state"] not in "ZX":
                alive.append(pid)
        return sorted(alive)

    def state_json(self):
        """The supervisor's state file, or None while there is none."""
        try:
            return json.loads((self.run / "state.json").read_text())
        except FileNotFoundError:
            return None

    def find_pid(self, role):
        """The pid of a role's process if it runs, else None."""
        if role == "supervisor":
            return self.pid if self.running else None
        for process in (self.state_json() or {}).get("processes", ()):
            if process["role"] == role and process["pid"]:
                stat = read_stat(process["pid"])
                if stat and stat["ppid"] == self.pid \
                        and stat["state"] not in "ZX":
                    return process["pid"]
        return None

    def role_pid(self, role, other_than=None, timeout=TIMEOUT_S):
        """Wait for a role's process (a new one: other_than=the old pid)."""
        def found():
            pid = self.find_pid(role)
            return pid if pid != other_than else None
        return until(found, f"a{' new' if other_than else ''} {role}", timeout)

    def pids(self):
        """Every role's pid."""
        return {role: self.role_pid(role) for role in ROLES}

    def kill(self, role, sig=signal.SIGKILL):
        """Send a signal to a role's process; its pid."""
        pid = self.role_pid(role)
        self.look()
        os.kill(pid, sig)
        return pid

    def kill_and_wait(self, role, sig=signal.SIGKILL):
        """Kill a child and wait for its successor; the new pid."""
        return self.role_pid(role, other_than=self.kill(role, sig))

    # Talking to it.

    def control(self, request, path="control.sock", timeout=TIMEOUT_S):
        """One request on an operators' socket; its answer as a dict."""
        with LineSocket(self.run / path, timeout) as sock:
            sock.send(request)
            answer = sock.recv(timeout)
        if answer is None:
            raise ConnectionError(f"{path} was closed without an answer")
        return answer

    def status(self, **more):
        """The status document."""
        answer = self.control({"cmd": "status", **more})
        assert answer["ok"], answer
        return answer

    def gateway(self, name="main"):
        """One gateway's part of the status."""
        for gateway in self.status()["gateways"]:
            if gateway["name"] == name:
                return gateway
        raise LookupError(f"no gateway {name} in the status")

    def wait_gateway(self, predicate, what, name="main", timeout=TIMEOUT_S):
        """Wait until predicate(gateway's status) is true; that status."""
        last = None

        def look():
            nonlocal last
            try:
                last = self.gateway(name)
            except (OSError, LookupError):
                if not self.running:
                    raise AssertionError(
                        "relayd ended with status "
                        f"{self.process.poll()}") from None
                return None
            return last if predicate(last) else None

        def told():
            seen = last and f"{last['state']}: {last['reason']}"
            return f"{name} {what}; last seen {seen}"
        return until(look, told, timeout)

    def wait_state(self, name="main", state="connected", timeout=TIMEOUT_S):
        """Wait until a gateway is in a state; its status."""
        return self.wait_gateway(lambda g: g["state"] == state,
                                 f"to be {state}", name, timeout)

    def wait_agents(self, count, name="main", timeout=TIMEOUT_S):
        """Wait until so many agents are attached."""
        return self.wait_gateway(lambda g: len(g["agents"]) == count,
                                 f"to have {count} agents", name, timeout)

    def ctl(self, *args, stdin="", timeout=TIMEOUT_S):
        """Run relay-ctl; subprocess.CompletedProcess with text."""
        return subprocess.run(
            self.ctl_words(*args), input=stdin, text=True,
            capture_output=True, timeout=timeout, check=False,
            env=self.environment(), cwd="/")

    def ctl_words(self, *args):
        """The words of a relay-ctl that talks to us, for a Popen."""
        return self.daemon.command("relay-ctl", "-r", self.run, *args)

    def ctl_json(self, *args):
        """relay-ctl --json; (exit status, the document)."""
        done = self.ctl("--json", *args)
        return done.returncode, json.loads(done.stdout)

    def reload(self):
        """Ask for a reload over the control socket; its answer."""
        return self.control({"cmd": "reload"})

    def agent_path(self, name="main"):
        return self.run / "agent" / f"{name}.sock"

    def agent(self, name="main", hello=True, **fields):
        """A new agent; it says hello and waits for its descriptor, unless
        hello is False."""
        agent = Agent(self.agent_path(name))
        if hello:
            agent.hello(**fields)
        return agent
