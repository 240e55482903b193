# SPDX-License-Identifier: ISC
"""Each process killed, at rest and under traffic: service resumes by itself,
nothing acknowledged comes again, nothing unacknowledged is lost."""

import os
import signal
import threading
import time

import pytest

from relay import TIMEOUT_S, until

CHILDREN = ("engine", "authd", "dialer")


class Worker(threading.Thread):
    """An agent that acknowledges what it gets and comes back when its
    connection ends.  `taken` are the texts in the order they were taken."""

    def __init__(self, relayd):
        super().__init__(daemon=True)
        self.relayd = relayd
        self.taken = []         # (text, the delivery says redelivered)
        self.attached = 0
        self.error = None
        self._over = threading.Event()

    def run(self):
        try:
            while not self._over.is_set():
                self._serve()
        except Exception as error:      # told by finish()
            self.error = error

    def _serve(self):
        try:
            agent = self.relayd.agent(hello=False)
        except OSError:
            self._over.wait(0.01)
            return
        with agent:
            try:
                agent.send({"type": "hello", "agent": "worker"})
                self.attached += 1
                self._read(agent)
            except OSError:
                pass            # the engine went: again

    def _read(self, agent):
        while not self._over.is_set():
            try:
                message = agent.next(timeout=0.05)
            except TimeoutError:
                continue
            if message is None:
                return
            if message["type"] == "inbound":
                self.taken.append((message["event"]["text"],
                                   bool(message.get("redelivered"))))
                agent.ack(message)

    def finish(self):
        self._over.set()
        self.join(TIMEOUT_S)
        assert self.error is None, self.error


@pytest.mark.parametrize("role", CHILDREN)
def test_killed_at_rest(relayd, connector, role):
    worker = Worker(relayd)
    worker.start()
    connector.wait_acked(connector.say("discord", "c1", "before"))
    mark = relayd.log_mark()
    relayd.kill_and_wait(role)
    relayd.wait_log(f"{role}.*SIGKILL", since=mark)
    relayd.wait_state()
    connector.wait_acked(connector.say("discord", "c1", "after"))
    # A dial needs all three again.
    connector.drop()
    connector.wait_acked(connector.say("discord", "c1", "dialled again"))
    worker.finish()
    assert [text for text, _ in worker.taken] == [
        "before", "after", "dialled again"]
    processes = {p["role"]: p for p in relayd.status()["processes"]}
    assert processes[role]["restarts"] == 1
    assert all(p["state"] == "running" for p in processes.values())


@pytest.mark.parametrize("role", CHILDREN)
def test_killed_under_traffic(make_relayd, make_connector, role):
    """Six kills while a thousand events flow."""
    connector = make_connector(replay_window=0)
    relayd = make_relayd().connect_to(connector).start(wait="connected")
    worker = Worker(relayd)
    worker.start()
    total, kills = 1000, 6
    step = total // kills
    last = None
    for number in range(total):
        last = connector.say("discord", f"c{number % 7}", f"n{number}")
        if number % step == step // 2:
            until(lambda: len(worker.taken) > number // 2,
                  "traffic before the kill")
            relayd.kill_and_wait(role)
    connector.wait_acked(last, timeout=60)
    worker.finish()
    texts = [text for text, _ in worker.taken]
    missing = {f"n{i}" for i in range(total)} - set(texts)
    assert not missing, f"lost: {sorted(missing)[:20]}"
    if role != "engine":
        assert len(texts) == total, "something came twice"
    # In order within each chat, not counting what came again.
    seen = set()
    for chat in range(7):
        numbers = []
        for text in texts:
            number = int(text[1:])
            if number % 7 == chat and number not in seen:
                seen.add(number)
                numbers.append(number)
        assert numbers == sorted(numbers)


def test_what_an_agent_acknowledged_is_known_to_the_next_engine(
        make_relayd, make_connector):
    """Acknowledged by the agent, not yet by the connector's reading."""
    connector = make_connector(replay_window=0)
    relayd = make_relayd().connect_to(connector).start(wait="connected")
    agent = relayd.agent()
    first = connector.say("discord", "c1", "first")
    connector.say("discord", "c2", "second")
    agent.inbound("first")
    second = agent.inbound("second")
    agent.ack(second)           # waits behind the first, in order of arrival
    relayd.wait_gateway(lambda g: g["counters"]["agent_acks"] == 1,
                        "to have counted the acknowledgement")
    assert connector.unacked() == 2
    relayd.kill_and_wait("engine")
    until(lambda: relayd.agent_path().exists(), "the agents' socket")
    again = relayd.agent()
    delivery = again.inbound("first")
    again.ack(delivery)
    connector.wait_acked(first)
    connector.wait_all_acked()
    assert [m for m in again.messages if m["type"] == "inbound"] == [delivery]


@pytest.mark.unclean
def test_the_others_go_with_the_supervisor(relayd, connector):
    pids = relayd.pids()
    relayd.kill("supervisor")
    relayd.process.wait(TIMEOUT_S)
    relayd.assert_gone()
    for pid in pids.values():
        assert not os.path.exists(f"/proc/{pid}/root/etc")
    # and the next one copes with what was left behind
    connector.wait_closed()
    relayd.start(wait="connected")
    agent = relayd.agent()
    connector.say("discord", "c1", "again")
    agent.ack(agent.inbound("again"))
    connector.wait_all_acked()
    relayd.stop()


def test_a_child_that_hangs_is_killed(relayd):
    """A heartbeat unanswered for ten seconds."""
    mark = relayd.log_mark()
    pid = relayd.kill("dialer", signal.SIGSTOP)
    relayd.wait_log("dialer.*heartbeat", timeout=30, since=mark)
    assert relayd.role_pid("dialer", other_than=pid) != pid


def test_agents_of_a_frozen_host_have_their_time_again(relayd, connector):
    """As a container is frozen: all stands still, agents too."""
    agent = relayd.agent(ack_timeout=3)
    connector.say("discord", "c1", "worked on")
    delivery = agent.inbound("worked on")
    mark = relayd.log_mark()
    pids = relayd.pids().values()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(7)   # what the engine calls a delay, and its agent's time
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    relayd.wait_log("event=engine .*it could not run for", since=mark)
    agent.ack(delivery)
    connector.wait_all_acked()
    assert relayd.gateway()["counters"]["suspects"] == 0


@pytest.mark.slow
@pytest.mark.unclean
def test_a_role_that_keeps_dying_ends_relayd(relayd):
    """Ten deaths of one role in five minutes: the service manager decides."""
    pid = None
    for _ in range(10):
        pid = relayd.role_pid("dialer", other_than=pid, timeout=30)
        os.kill(pid, signal.SIGKILL)
    assert relayd.wait_exit(timeout=30) == 1
    relayd.wait_log("dialer.*10")


def test_status_while_the_engine_is_away(relayd):
    """relay-ctl reads the supervisor's state file when nobody answers."""
    pid = relayd.kill("engine", signal.SIGSTOP)
    done = relayd.ctl("status")
    os.kill(pid, signal.SIGCONT)
    assert "engine" in done.stdout + done.stderr
    assert done.returncode in (0, 1, 3, 150)
    relayd.wait_state()
