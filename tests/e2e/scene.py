# SPDX-License-Identifier: ISC
"""relayd in every state that it can be brought into, and all that it says."""

import contextlib
import json
import os
import secrets
import signal
import socket
import threading

import issued
from agents import LineSocket
from base import TIMEOUT_S, until
from connector.face import Connector
from connector.faults import DialFault
from relay import Relayd

ALWAYS = 1000   # more dials than are made
ATTEMPTS = 5    # agents that an event may end with
SMALL = {"journal": {"size": "4MiB"}}
BIG = 60000     # bytes of a message, of which some fill a client's queue
PLAIN = ("main", "off", "asleep", "resting", "revoked", "gone")
STREAMED = {"watch": lambda d: f"watch {d['event']}",
            "tap": lambda d: f"tap {d['tap']}"
            if d["tap"] in ("lost", "stage") else "tap",
            "trace": lambda d: f"trace {d['trace']}"}


class Listener:
    """A stream's client: its lines as they come."""

    def __init__(self, scene, request):
        self.scene = scene
        self.name = STREAMED[request["cmd"]]
        self.sock = LineSocket(scene.relayd.run / "control.sock")
        self.sock.send(request)
        answer = self.sock.recv()
        scene.note("refusal" if not answer["ok"] else "trace"
                   if request["cmd"] == "trace" else "reply", answer)
        self.ended = False
        self.thread = threading.Thread(target=self._read, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def _read(self):
        with contextlib.suppress(OSError, TimeoutError):
            while line := self.sock.recv(4 * TIMEOUT_S):
                self.scene.note("refusal" if line.get("ok") is False
                                else self.name(line), line)
        self.ended = True

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(TIMEOUT_S)
        self.sock.close()


class Scene:
    """A daemon, what it talks to, and what it said: told[document]."""

    def __init__(self, daemon, ca_dir):
        self.told = {}
        self._lock = threading.Lock()
        self._listeners = []
        self.good = Connector(ca_dir, tls="good")
        self.refuser = Connector(ca_dir, tls="good")
        self.closer = Connector(ca_dir, tls="good")
        self.issuer = Connector(ca_dir, tls="good")
        self.plain = Connector(ca_dir)
        self.connectors = [self.good, self.refuser, self.closer, self.issuer,
                           self.plain]
        self.silent = socket.create_server(("127.0.0.1", 0))
        self.relayd = Relayd(daemon)
        # Without a file of its own relayd would live by the machine's.
        self.has_file = os.path.exists("/etc/relayd/relayd.yaml")

    def close(self):
        for listener in self._listeners:
            listener.close()
        self.relayd.destroy()
        for connector in self.connectors:
            connector.stop()
        self.silent.close()

    def note(self, name, document):
        with self._lock:
            self.told.setdefault(name, []).append(document)

    def heard(self, name, predicate=lambda document: True):
        with self._lock:
            return [d for d in self.told.get(name, ()) if predicate(d)]

    def ask(self, cmd, path="control.sock", **more):
        answer = self.relayd.control({"cmd": cmd, **more}, path)
        if answer["ok"] is False:
            self.note("refusal", answer)
        else:
            self.note(cmd, answer)
        return answer

    def listen(self, cmd, **more):
        listener = Listener(self, {"cmd": cmd, **more}).start()
        self._listeners.append(listener)
        return listener

    def state_file(self):
        document = self.relayd.state_json()
        if document:
            self.note("state", document)
        return document

    def config_file(self):
        self.note("config",
                  json.loads((self.relayd.run / "config.json").read_text()))

    # What happens.

    def play(self):
        self._set_up()
        self._alone()
        self._states()
        self._work()
        self._stages()
        self._aside()
        self._changes()
        self._refusals()
        self._deaths()
        return self

    def _set_up(self):
        relayd, good = self.relayd, self.good
        for name in PLAIN:
            good.register(f"gw-{name}", secrets.token_hex(32),
                          {"discord": "1234"})
        for connector in (self.refuser, self.closer, self.issuer, self.plain):
            connector.register("gw-test", secrets.token_hex(32),
                               {"discord": "1234"})
        self.refuser.on_dial(*[DialFault(status=503)] * ALWAYS)
        self.closer.on_dial(*[DialFault(close=(1008, "no"))] * ALWAYS)
        self.issuer.state.gateways.clear()
        for connector in self.connectors:
            connector.start()
        for name in PLAIN:
            relayd.connect_to(good, name, f"gw-{name}", **SMALL)
        relayd.connect_to(self.refuser, "refused", **SMALL)
        relayd.connect_to(self.closer, "closed", **SMALL)
        self.issuer.token = self.issuer.http.idp.issue(issued.TENANT)
        self.issuer.http.refused["telegram"] = (403, {"error": "not yours"})
        issued.provisioned(
            relayd, self.issuer, "issued", identities=[
                {"platform": "discord", "bot_id": "1234",
                 "require_mention": True},
                {"platform": "telegram", "bot_id": "77"}], **SMALL)
        relayd.add_gateway(good, "wanting", id="gw-nobody", **SMALL)
        relayd.connect_to(good, "pending", "gw-main", **SMALL)
        port = self.silent.getsockname()[1]
        gateways = relayd.config["gateways"]
        gateways["pending"]["url"] = f"https://localhost:{port}"
        relayd.configure(relayd.config)

    def _alone(self):
        """By the environment, without a file."""
        if self.has_file:
            return
        first, self.relayd = self.relayd, Relayd(
            self.relayd.daemon, env={"XDG_CONFIG_HOME": "/nonexistent"})
        try:
            self.relayd.connect_by_environment(self.plain).start()
            self.relayd.wait_state()
            self.state_file()
            self.config_file()
            self.relayd.stop()
        finally:
            self.relayd.destroy()
            self.relayd = first

    def _states(self):
        relayd = self.relayd.start()
        until((relayd.run / "control.sock").exists, "a socket")
        self.ask("status")
        self.listen("watch")
        for name in PLAIN:
            relayd.wait_state(name)
        self.ask("status")
        self.ask("counters")
        self.ask("sessions")
        self.ask("idle", gateway="asleep")
        self.ask("dormant", gateway="resting")
        self.ask("disable", gateway="off")
        self.good.revoke("gw-revoked")
        relayd.wait_state("revoked", "disabled")
        for name in ("refused", "closed"):
            relayd.wait_gateway(lambda g: g["last_failure"], "to fail", name)
        relayd.wait_state("wanting", "unprovisioned")
        relayd.wait_state("pending", "connecting")
        relayd.wait_gateway(
            lambda g: g["state"] == "connected" and g["credential"]["policy"]
            and any(i["skipped"] for i in g["identities"]),
            "to be issued", "issued", issued.EXCHANGE_TIMEOUT_S)
        until(lambda: all(p["pss_kb"] for p in relayd.status()["processes"]),
              "the processes to be measured", 2 * TIMEOUT_S)
        self.ask("status")
        self.state_file()
        self.config_file()

    def _work(self):
        relayd, good = self.relayd, self.good
        self.listen("tap")
        self.listen("tap", content=True)
        before = len(self.heard("tap"))
        with relayd.agent(agent="ann", window=1) as agent:
            for text in ("one", "two"):
                good.say("discord", "c1", text, "gw-main")
            first = agent.inbound("one")
            relayd.wait_gateway(lambda g: g["queue"]["events"] == 2
                                or g["agents"][0]["unacknowledged"],
                                "to have work")
            for cmd in ("status", "counters", "sessions"):
                self.ask(cmd)
                self.ask(cmd, gateway="main")
            self.ask("status", path="status.sock")
            self.ask("interrupt", gateway="main",
                     session_key="agent:main:discord:dm:c1")
            agent.ack(first)
            agent.ack(agent.inbound("two"))
            agent.reply(first, "answer")
            agent.send(b"no JSON\n")
            agent.send({"type": 5})
            self.ask("send", gateway="main", action={
                "op": "send", "chat_id": "c1", "content": "x"})
            good.state.result_hook = lambda record: {
                "success": False, "error": "no"}
            self.ask("send", gateway="main", action={
                "op": "send", "chat_id": "c1", "content": "x"})
            good.state.result_hook = None
            self.ask("status")
        relayd.wait_agents(0)
        self.ask("sessions")
        until(lambda: len(self.heard("tap")) > before + 10, "taps")
        self._flood()

    def _flood(self):
        """A tap that is not read is told what it missed."""
        tap = Listener(self, {"cmd": "tap", "content": True,
                              "gateway": "main"})
        with self.relayd.agent(agent="bob") as agent:
            for number in range(30):
                text = f"{number} " + "x" * BIG
                self.good.say("discord", "c2", text, "gw-main")
                agent.ack(agent.inbound(text))
        self._listeners.append(tap.start())
        until(lambda: self.heard("tap lost"), "a tap to be told")

    def _trace(self, event, *stages, **more):
        """What is told of an event that has reached these stages."""
        def look():
            answer = self.relayd.control(
                {"cmd": "trace", "bufferId": event, "gateway": "main"})
            return answer["ok"] and {*stages} <= {
                s["stage"] for s in answer["stages"]}
        until(look, f"{event} to reach {stages}")
        return self.ask("trace", bufferId=event, gateway="main", **more)

    def _stages(self):
        """One event from its arrival to its end, and one that is none."""
        event = self.good.say("discord", "c5", "followed", "gw-main")
        self._trace(event, "journalled")
        self.listen("trace", gateway="main", bufferId=event, follow=True)
        with self.relayd.agent(agent="cid") as agent:
            delivery = agent.inbound("followed")
            self._trace(event, "delivered")
            self._trace(event, "delivered", content=True)
            self.ask("trace", path="status.sock", bufferId=event)
            agent.ack(delivery)
            until(lambda: self.heard("trace end"), "the end of an event")
        self._trace(delivery["bufferId"], "acknowledged_to_connector")
        self._trace(self.good.forward([], "gw-main"), "skipped")
        self.ask("trace", bufferId="nobody's")

    def _poison(self, text):
        before = self.relayd.gateway()["counters"]["aside"]
        event = self.good.say("discord", "c3", text, "gw-main")
        self._trace(event, "journalled")
        self.listen("trace", gateway="main", bufferId=event, follow=True)
        for _ in range(ATTEMPTS):
            with self.relayd.agent() as agent:
                agent.inbound(text)
            self.relayd.wait_agents(0)
        self.relayd.wait_gateway(
            lambda g: g["counters"]["aside"] == before + 1, "one put aside")

    def _aside(self):
        self._poison("poison")
        self._poison("venom")
        until(lambda: self.heard("trace end", lambda d: d["state"] == "aside"),
              "word of one put aside")
        self.ask("status")
        self.ask("quarantine")
        events = self.ask("quarantine", content=True)["events"]
        self.ask("drop", gateway="main", bufferId=events[0]["bufferId"])
        with self.relayd.agent() as agent:
            self.ask("requeue", gateway="main", bufferId="all")
            agent.ack(agent.inbound("venom"))
            self.good.wait_all_acked("gw-main")

    def _changes(self):
        relayd = self.relayd
        self.ask("reload")
        self.ask("log")
        self.ask("log", level="debug")
        config = relayd.config
        tap = self.listen("tap", gateway="gone")
        gateways = dict(config["gateways"])
        del gateways["gone"]
        relayd.configure({**config, "gateways": gateways})
        self.ask("reload")
        until(lambda: tap.ended, "the end of a tap")
        until(lambda: self.heard("watch gone"), "word of a gateway's end")
        relayd.configure("gateways: 3\n")
        self.ask("reload")
        self.config_file()
        relayd.configure({**config, "gateways": gateways})
        for cmd, name in (("wake", "asleep"), ("wake", "resting"),
                          ("enable", "off"), ("reconnect", "main")):
            self.ask(cmd, gateway=name)
            relayd.wait_state(name)

    def _refusals(self):
        self.ask("nonsense")
        self.ask("status", schema="relayd.status/2")
        self.ask("status", gateway="nope")
        self.ask("status", nonsense=1)
        self.ask("tap", path="status.sock")
        self.ask("idle", gateway="refused")
        self.ask("reload", client="9.9.9")

    def _deaths(self):
        """The dialer, as the engine tells it, and the engine, as the
        supervisor does; of what died before, it takes longer."""
        relayd = self.relayd
        for _ in range(2):
            relayd.kill_and_wait("dialer")
        relayd.kill("dialer")
        until(lambda: any(p["pid"] is None
                          for p in self.ask("status")["processes"]),
              "a dialer that is away")
        relayd.role_pid("dialer")
        kept = self.good.say("discord", "c4", "kept", "gw-main")
        relayd.wait_gateway(lambda g: g["queue"]["events"] == 1, "an event")
        for _ in range(2):
            relayd.kill_and_wait("engine")
            until(self._answers, "an answer")
            self.ask("sessions")
        self._trace(kept, "recovered")
        relayd.kill("engine")
        until(lambda: any("next_start_in_ms" in p
                          for p in (self.state_file() or {})["processes"]),
              "the state file to tell of it")
        # One that hangs stays away for as long as is needed to ask.
        pid = relayd.role_pid("engine")
        os.kill(pid, signal.SIGSTOP)
        self.hung = relayd.ctl_json("status")
        os.kill(pid, signal.SIGCONT)
        self.note("state", self.hung[1])

    def _answers(self):
        try:
            return self.ask("status")
        except OSError:
            return None

    def wait_for_pings(self):
        """They are sent each half minute."""
        self.relayd.wait_gateway(lambda g: g["rtt_ms"] is not None,
                                 "to be answered a ping", timeout=60)
        self.ask("status")
