# SPDX-License-Identifier: ISC
"""A daemon on a connector on which offences are committed.

Each offence costs a process; what the supervisor makes of it, and that
service resumes, is looked at here.  After the first death a process starts
again in 100 ms, then ever later, and ten deaths end the daemon: so a new
daemon, which takes less, is used for each further death of a role.
"""

import contextlib
import itertools
import re
import secrets
from pathlib import Path

import pytest

import inject
import relay
from connector.face import Connector

GATEWAYS = {"main": "gw-main", "other": "gw-other"}
MAIN, OTHER, ABSENT = 0, 1, 1023    # indices of gateways, the last without one
TITLES = {b"relay-authd: secrets": "authd", b"relayd: dialer": "dialer",
          b"relayd: engine": "engine"}
_texts = itertools.count(1)


def _title(pid):
    """argv[0], which is the title of a child that has got so far."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return b""


class Stage:
    """A connected daemon with two gateways."""

    def __init__(self, daemon, ca_dir):
        self.connector = Connector(ca_dir, tls="good")
        self.relayd = relay.Relayd(daemon)
        self.died = set()       # roles
        self.sound = True       # nothing that was begun went wrong
        try:
            for gateway in GATEWAYS.values():
                self.connector.register(gateway, secrets.token_hex(32),
                                        {"discord": "1234"})
            self.connector.start()
            for name, gateway in GATEWAYS.items():
                self.relayd.connect_to(
                    self.connector, name, gateway,
                    reconnect={"min": "10ms", "max": "10ms"})
            self.relayd.start(wait="connected")
        except BaseException:
            self.sound = False
            self.close()
            raise

    def close(self):
        try:
            if self.sound and self.relayd.running:
                self.relayd.stop()
                self.connector.assert_clean(unknown=True)
        finally:
            self.relayd.destroy()
            self.connector.stop()

    def _look(self):
        """The processes by role: by their titles, which are there sooner than
        what the state file says."""
        found = {"supervisor": self.relayd.pid}
        children = Path(f"/proc/{self.relayd.pid}/task/{self.relayd.pid}"
                        "/children").read_text()
        for pid in map(int, children.split()):
            role = TITLES.get(_title(pid))
            if role:
                found[role] = pid
        return found if len(found) == len(relay.ROLES) else None

    def pids(self):
        return relay.until(self._look, "all processes")

    def puppet(self, role):
        return inject.Puppet(self.pids()[role])

    def serves(self):
        """A link is dialled anew (which takes all processes), a message goes
        to an agent and its acknowledgement back."""
        for name, gateway in GATEWAYS.items():
            self.relayd.wait_state(name)
            found = self.connector.gateway(gateway)
            before = found.link
            with contextlib.suppress(LookupError):
                self.connector.drop(gateway=gateway)
            self.connector.wait_for(
                lambda found=found, before=before: found.link
                and found.link is not before and found.link.handshaken,
                relay.TIMEOUT_S, "a new link")
            self.relayd.wait_state(name)
        text = f"still there? {next(_texts)}"
        with self.relayd.agent("main") as agent:
            said = self.connector.say("discord", "c1", text, GATEWAYS["main"])
            agent.ack(agent.inbound(text))
            self.connector.wait_acked(said, GATEWAYS["main"])

    @contextlib.contextmanager
    def death_of(self, role):
        """What is done within ends this process, and no other: it is started
        again, and service resumes.  Gives its pid and the log's position."""
        self.sound = False
        self.died.add(role)
        before = self.pids()
        mark = self.relayd.log_mark()
        yield before[role], mark
        self.relayd.wait_log(
            rf"event=exit msg=\"{role} \(pid {before[role]}\)", since=mark)
        self.serves()
        after = self.pids()
        survivors = [r for r in relay.ROLES if before[r] == after[r]]
        assert survivors == [r for r in relay.ROLES if r != role]
        self.sound = True

    def killed_for(self, role, act):
        """The kernel kills the process for a system call it makes."""
        with self.death_of(role) as (pid, mark):
            with pytest.raises(inject.Ended) as ended:
                with inject.Puppet(pid) as puppet:
                    result = act(puppet)
                    pytest.fail(f"it lived, and got {result}")
            assert str(ended.value) == "SIGSYS"
            self.relayd.wait_log(
                rf"event=exit msg=\"{role} \(pid {pid}\) killed by signal "
                r"SIGSYS \(by the kernel, for a system call", since=mark)

    def accused_of(self, sender, receiver, why, act):
        """The receiver finds fault with what the sender wrote, the
        supervisor ends the sender, and both say why."""
        why = re.escape(why)
        with self.death_of(sender) as (pid, mark):
            with contextlib.suppress(inject.Ended):
                with inject.Puppet(pid) as puppet:
                    act(puppet)
            if receiver == "supervisor":
                said = rf"it broke the rules of its pipe \({why}"
            else:
                said = rf"it sent {receiver} what it must not \({why}"
                self.relayd.wait_log(
                    rf"process={receiver} pid=\d+ event=offence msg=\"{sender}: {why}",
                    since=mark)
            self.relayd.wait_log(
                rf"event=kill msg=\"{sender} \(pid {pid}\): {said}\): killed",
                since=mark)
            self.relayd.wait_log(rf"event=exit msg=\"{sender} \(pid {pid}\) "
                                 "killed by signal SIGKILL", since=mark)


class Stages:
    """Hands out daemons in which a role has not died yet."""

    def __init__(self, daemon, ca_dir):
        self.daemon = daemon
        self.ca_dir = ca_dir
        self.stage = None

    def get(self, request, role=None):
        stage = self.stage
        if stage and (not stage.sound or role in stage.died):
            self.close()
        if self.stage is None:
            self.stage = Stage(self.daemon, self.ca_dir)
        # For the report of a failure.
        request.node.relayds = [self.stage.relayd]
        request.node.connectors = [self.stage.connector]
        return self.stage

    def close(self):
        stage, self.stage = self.stage, None
        if stage:
            stage.close()


def stages_fixture(daemon, ca_dir):
    """The body of a module's fixture."""
    reason = inject.cannot()
    if reason:
        pytest.skip(reason)
    stages = Stages(daemon, ca_dir)
    yield stages
    stages.close()
