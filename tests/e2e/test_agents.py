# SPDX-License-Identifier: ISC
"""What agents and relayd say to each other over the agents' socket."""

import json
import random
import socket
import threading

import pytest

from relay import ROOT, TIMEOUT_S, until

PLATFORMS = {"discord": "1", "slack": "2", "telegram": "3"}
VECTORS = ROOT / "tests" / "vectors"


def of_type(agent, kind):
    """What of a type came to an agent so far."""
    return [m for m in agent.messages if m["type"] == kind]


def texts(agent):
    return [m["event"]["text"] for m in of_type(agent, "inbound")]


def error_of(agent):
    return agent.expect("error")["error"]


def sync(agent):
    """Everything that relayd had for this agent before now has come."""
    agent.send({"type": "inbound_ack", "bufferId": "sync"})
    agent.expect("error", lambda m: "no such bufferId" in m["error"])


def agent_of(relayd, name="test"):
    """An agent's part of the status."""
    return next(a for a in relayd.gateway()["agents"] if a["name"] == name)


class Taker(threading.Thread):
    """Acknowledges what an agent gets; `taken` are the deliveries."""

    def __init__(self, agent):
        super().__init__(daemon=True)
        self.agent, self.taken = agent, []
        self.start()

    def run(self):
        while True:
            try:
                message = self.agent.next(timeout=4 * TIMEOUT_S)
                if message is None:
                    return
                if message["type"] == "inbound":
                    self.taken.append(message)
                    self.agent.ack(message)
            except OSError:
                return

    def finish(self):
        self.agent.sock.shutdown(socket.SHUT_RDWR)
        self.join(TIMEOUT_S)


# Hello, descriptors, link frames.

@pytest.mark.parametrize("fields, served", [
    ({}, ["discord", "slack", "telegram"]),
    ({"platform": "slack"}, ["slack"]),
    ({"platform": "telegram", "botId": "what a connector is told"},
     ["telegram"]),
    ({"platforms": ["telegram", "discord"]}, ["discord", "telegram"]),
    ({"platforms": ["slack"], "platform": "discord"}, ["slack"]),
])
def test_hello_names_platforms(make_relayd, make_connector, fields, served):
    connector = make_connector(platforms=PLATFORMS)
    relayd = make_relayd().connect_to(connector).start(wait="connected")
    agent = relayd.agent(hello=False)
    agent.send({"type": "hello", "agent": "test", **fields})
    agent.expect("link", lambda m: m["state"] == "connected")
    # Connected by the first descriptor: the others may still be on their way.
    got = [agent.expect("descriptor")["descriptor"] for _ in served]
    assert sorted(got, key=lambda d: d["platform"]) == [
        connector.gateway().descriptors[p] for p in served]
    sync(agent)
    assert len(of_type(agent, "descriptor")) == len(served)
    assert agent_of(relayd)["platforms"] == served


def test_further_hellos_add_platforms(make_relayd, make_connector):
    connector = make_connector(platforms=PLATFORMS, replay_window=0)
    relayd = make_relayd().connect_to(connector).start(wait="connected")
    agent = relayd.agent(platform="discord")
    ids = [connector.say(p, f"c-{p}", p) for p in PLATFORMS]
    agent.ack(agent.inbound("discord"))
    connector.wait_acked(ids[0])
    agent.hello(wait=False, platforms=["discord", "slack"])
    assert agent.expect("descriptor")["descriptor"]["platform"] == "slack"
    agent.ack(agent.inbound("slack"))
    connector.wait_acked(ids[1])
    sync(agent)
    assert len(of_type(agent, "descriptor")) == 2
    assert texts(agent) == ["discord", "slack"]
    other = relayd.agent(platform="telegram", agent="other")
    other.ack(other.inbound("telegram"))
    connector.wait_all_acked()


def test_a_hello_that_is_wrong_is_told_in_words(make_relayd, make_connector):
    connector = make_connector(platforms=PLATFORMS)
    relayd = make_relayd().connect_to(connector).start(wait="connected")
    agent = relayd.agent(hello=False)
    for fields, words in (
            ({"platform": "matrix"}, '"matrix" is not fronted by gateway main'),
            ({"platforms": ["a\x1b\n"]}, "is not fronted"),
            ({"platforms": "slack"}, "must be a list"),
            ({"platforms": []}, "empty"),
            ({"platforms": [5]}, "not fronted"),
            ({"platform": None}, "not fronted")):
        agent.send({"type": "hello", **fields})
        assert words in error_of(agent), fields
    agent.send({"type": "outbound", "requestId": "1",
                "action": {"op": "send"}})
    assert "hello" in error_of(agent)
    assert not of_type(agent, "descriptor")
    # What can be served of a list is.
    agent.hello(wait=False, platforms=["matrix", "slack"])
    assert '"matrix"' in error_of(agent)
    assert agent.expect("descriptor")["descriptor"]["platform"] == "slack"
    for name, value in (("window", 0), ("window", 5000), ("window", "9"),
                        ("ack_timeout", 0), ("ack_timeout", 3601),
                        ("ack_timeout", 1.5)):
        agent.hello(wait=False, platform="slack", **{name: value})
        assert name in error_of(agent)
    assert agent_of(relayd)["window"] == 64


def test_link_frames_until_there_is_a_descriptor(make_relayd, connector):
    connector.stop()
    relayd = make_relayd().connect_to(connector).start()
    until(lambda: relayd.agent_path().exists(), "the agents' socket")
    agent = relayd.agent(hello=False)
    agent.send({"type": "hello"})
    agent.expect("link", lambda m: m["state"] == "retrying"
                 and "refused" in m["reason"])
    assert not of_type(agent, "descriptor")
    connector.start()
    assert agent.expect("descriptor")["descriptor"]["platform"] == "discord"
    agent.expect("link", lambda m: m["state"] == "connected")


def test_descriptors_are_remembered(relayd, connector):
    agent = relayd.agent()
    connector.stop()
    agent.expect("link", lambda m: m["state"] == "retrying")
    other = relayd.agent(hello=False)
    other.send({"type": "hello"})
    assert [other.next()["type"] for _ in range(2)] == ["descriptor", "link"]
    connector.gateway().descriptors["discord"]["label"] = "Changed"
    connector.start()
    for each in (agent, other):
        each.expect("descriptor",
                    lambda m: m["descriptor"]["label"] == "Changed")
    # The same again is no news.
    connector.drop()
    agent.expect("link", lambda m: m["state"] == "connected")
    agent.expect("link", lambda m: m["state"] == "connected")
    sync(agent)
    assert len(of_type(agent, "descriptor")) == 2


# Deliveries.

def test_buffer_ids_are_never_used_twice(busy, eager):
    seen = []
    for life in range(3):
        until(lambda: busy.agent_path().exists(), "the agents' socket")
        for _ in range(2):
            agent = busy.agent()
            for number in range(10):
                eager.say("discord", f"c{number}", f"{life}",
                          live=number % 2 == 0)
            for _ in range(10):
                seen.append(agent.inbound()["bufferId"])
                agent.ack(seen[-1])
            eager.wait_all_acked()
            agent.close()
        if life < 2:
            busy.kill_and_wait("engine")
            busy.wait_state()
    assert len(set(seen)) == len(seen) == 60


def test_session_keys(make_relayd, make_connector):
    """Every vector, with a gateway for each pair of settings."""
    cases = json.loads((VECTORS / "session_keys.json").read_text())["cases"]
    connector = make_connector("unused", replay_window=0)
    relayd = make_relayd()
    settings = sorted({(c["group_sessions_per_user"],
                        c["thread_sessions_per_user"]) for c in cases})
    for group, thread in settings:
        name = f"g{group:d}{thread:d}"
        connector.register(name, "secret", {"discord": "1"})
        relayd.connect_to(connector, name, name, sessions={
            "group_per_user": group, "thread_per_user": thread})
    relayd.start(wait="connected")
    for pair in settings:
        name = f"g{pair[0]:d}{pair[1]:d}"
        mine = [c for c in cases if pair == (c["group_sessions_per_user"],
                                             c["thread_sessions_per_user"])]
        agent = relayd.agent(name, window=len(mine))
        connector.say_many([{"text": str(i), "source": case["source"]}
                            for i, case in enumerate(mine)], name)
        for i, case in enumerate(mine):
            delivery = agent.inbound(str(i))
            assert delivery["session_key"] == case["session_key"], case
            agent.ack(delivery)
        connector.wait_all_acked(name)


def test_two_agents_share_sessions_in_order(busy, eager):
    total, chats = 600, 20
    takers = [Taker(busy.agent(agent=f"t{i}", window=8)) for i in range(2)]
    last = [eager.say("discord", f"c{number % chats}", str(number))
            for number in range(total)][-1]
    eager.wait_acked(last, timeout=TIMEOUT_S)
    for taker in takers:
        taker.finish()
    took = [{m["session_key"] for m in taker.taken} for taker in takers]
    assert not took[0] & took[1], "a session went to both"
    assert min(map(len, took)) >= chats // 4, "one agent did nearly all"
    assert sum(len(taker.taken) for taker in takers) == total
    for taker in takers:
        for chat in range(chats):
            numbers = [int(m["event"]["text"]) for m in taker.taken
                       if m["event"]["source"]["chat_id"] == f"c{chat}"]
            assert numbers == sorted(numbers)


def test_what_a_dead_agent_had_goes_to_another(busy, eager):
    first = busy.agent(agent="first", window=3)
    ids = [eager.say("discord", "c1", f"n{i}") for i in range(6)]
    had = [first.inbound(f"n{i}") for i in range(3)]
    first.ack(had[0])
    had.append(first.inbound("n3"))
    second = busy.agent(agent="second", window=2)
    eager.wait_acked(ids[0])
    first.close()
    for number in range(1, 6):
        delivery = second.inbound()
        assert delivery["event"]["text"] == f"n{number}"
        tried = number < 4
        assert delivery.get("redelivered", False) is tried
        if tried:
            assert delivery["bufferId"] == had[number]["bufferId"]
            assert delivery["session_key"] == had[number]["session_key"]
        second.ack(delivery)
    eager.wait_all_acked()
    assert eager.counters["acked"] == 6


class Mortal(threading.Thread):
    """Acknowledges some deliveries, leaves some, and dies."""

    def __init__(self, agent, life, done, lock):
        super().__init__(daemon=True)
        self.agent, self.life, self.done, self.lock = agent, life, done, lock
        self.start()

    def run(self):
        while self.life > 0:
            message = self.agent.next()
            if message["type"] != "inbound":
                continue
            self.life -= 1
            with self.lock:
                self.done.append(message)
            self.agent.ack(message)
        self.agent.close()


def test_agents_come_and_go_without_loss_or_disorder(busy, eager):
    rng = random.Random(11)
    total, chats, done, lock = 1500, 12, [], threading.Lock()
    for number in range(total):
        eager.say("discord", f"c{number % chats}", str(number))
    left, alive = total, []
    while left > 0:
        alive = [thread for thread in alive if thread.is_alive()]
        if len(alive) < 3:
            life = min(left, rng.randrange(1, 80))
            left -= life
            alive.append(Mortal(busy.agent(window=rng.randrange(1, 20)),
                                life, done, lock))
        alive[0].join(0.01)
    # Their lives together are as many as there are events.
    eager.wait_all_acked(timeout=TIMEOUT_S)
    for chat in range(chats):
        mine = [int(m["event"]["text"]) for m in done
                if m["event"]["source"]["chat_id"] == f"c{chat}"]
        assert mine == list(range(chat, total, chats))
    assert any("redelivered" in m for m in done)


def test_who_does_not_acknowledge_loses_its_events(busy, eager):
    slow = busy.agent(agent="slow", ack_timeout=1)
    eager.say("discord", "c1", "one")
    eager.say("discord", "c1", "two")
    slow.inbound("two")
    other = busy.agent(agent="other")
    for text in ("one", "two"):
        delivery = other.inbound()
        assert delivery["event"]["text"] == text and delivery["redelivered"]
        other.ack(delivery)
    eager.wait_all_acked()
    assert "no inbound_ack within 1 s" in slow.wait_closed()[-1]["error"]
    assert [a["name"] for a in busy.gateway()["agents"]] == ["other"]


def test_the_window_is_respected(busy, eager):
    agent = busy.agent(window=4)
    for number in range(10):
        eager.say("discord", f"c{number}", str(number))
    busy.wait_gateway(lambda g: g["queue"]["events"] == 10, "to have all")
    sync(agent)
    assert texts(agent) == ["0", "1", "2", "3"]
    assert agent_of(busy)["unacknowledged"] == 4
    agent.ack(agent.inbound("2"))       # in any order
    agent.inbound("4")
    sync(agent)
    assert len(texts(agent)) == 5
    assert eager.unacked() == 10, "acknowledged out of order"
    agent.hello(wait=False, window=10)
    agent.inbound("9")
    for delivery in of_type(agent, "inbound"):
        if delivery["event"]["text"] != "2":
            agent.ack(delivery)
    eager.wait_all_acked()


def test_wrong_acknowledgements_are_told(busy, eager):
    mine, other = busy.agent(), busy.agent(agent="other")
    eager.say("discord", "c1", "x")
    delivery = mine.inbound("x")
    other.ack(delivery)
    assert "no such bufferId" in error_of(other)
    mine.send({"type": "inbound_ack", "bufferId": 5})
    assert "bufferId" in error_of(mine)
    mine.send({"type": "inbound_ack"})
    assert "bufferId" in error_of(mine)
    assert eager.unacked() == 1
    mine.ack(delivery)
    eager.wait_all_acked()
    mine.ack(delivery)
    assert "acknowledged already" in error_of(mine)


def test_events_wait_for_an_agent(busy, eager):
    eager.say("discord", "c1", "early")
    busy.wait_gateway(lambda g: g["queue"]["events"] == 1, "to have it")
    agent = busy.agent()
    delivery = agent.inbound("early")
    assert "redelivered" not in delivery
    agent.ack(delivery)
    eager.wait_all_acked()
    # Live events carry no bufferId of the connector's: nothing goes back.
    eager.say("discord", "c1", "live", live=True)
    agent.ack(agent.inbound("live"))
    sync(agent)
    assert eager.counters["acked"] == 1


def test_going_idle_of_an_agent(busy, eager):
    leaving, staying = busy.agent(window=1), busy.agent(agent="staying")
    eager.say("discord", "c1", "one")
    eager.say("discord", "c1", "two")
    eager.say("discord", "c2", "three")
    one = leaving.inbound("one")
    staying.ack(staying.inbound("three"))
    leaving.send({"type": "going_idle"})
    leaving.expect("going_idle_ack")
    eager.say("discord", "c3", "four")
    staying.ack(staying.inbound("four"))
    leaving.ack(one)
    leaving.close()
    staying.ack(staying.inbound("two"))
    eager.wait_all_acked()
    assert texts(leaving) == ["one"]


# Interrupts and passthrough.

def test_interrupts_both_ways(busy, eager):
    one, two = busy.agent(agent="one", window=1), busy.agent(agent="two")
    eager.say("discord", "c1", "first")
    eager.say("discord", "c1", "queued")
    eager.say("discord", "c2", "x")
    first = one.inbound("first")
    two.ack(two.inbound("x"))
    key = first["session_key"]
    eager.interrupt(key, "c1")
    assert one.expect("interrupt_inbound") == {
        "type": "interrupt_inbound", "session_key": key, "chat_id": "c1"}
    eager.interrupt("agent:main:discord:dm:nobody", "nobody")
    for agent in (one, two):
        assert agent.expect("interrupt_inbound")["chat_id"] == "nobody"
    sync(two)
    assert len(of_type(two, "interrupt_inbound")) == 1
    assert texts(one) == ["first"], "a queued event did not stay queued"
    one.ack(first)
    one.ack(one.inbound("queued"))
    for reason in ("stop", None):
        two.send({"type": "interrupt", "session_key": key, "reason": reason})
    two.send({"type": "interrupt", "session_key": "k2"})
    eager.wait_interrupt("k2")
    assert [(i["session_key"], i["reason"])
            for i in eager.state.interrupts] == [
        (key, "stop"), (key, None), ("k2", None)]
    two.send({"type": "interrupt", "reason": "x"})
    assert "session_key" in error_of(two)
    eager.wait_all_acked()


def test_passthrough_is_delivered_raw(relayd, connector):
    agent = relayd.agent()
    forward = {"platform": "discord", "botId": "1234", "method": "POST",
               "path": "/x?é=1", "headers": [["A", "b"], ["a", "c"]],
               "bodyB64": "eyJ0eXBlIjoxfQ==", "future": {"x": [None]}}
    buffer_id = connector.forward(forward)
    delivery = agent.expect("passthrough_forward")
    assert delivery["forward"] == forward
    assert delivery["bufferId"] != buffer_id
    assert connector.unacked() == 1
    agent.ack(delivery)
    connector.wait_acked(buffer_id)


def test_two_gateways_do_not_mix(make_relayd, make_connector):
    connector = make_connector("gw-a", replay_window=0)
    connector.register("gw-b", "another secret", {"discord": "99"})
    relayd = make_relayd().connect_to(connector, "a", "gw-a")
    relayd.connect_to(connector, "b", "gw-b").start(wait="connected")
    agents = {name: relayd.agent(name) for name in "ab"}
    for name in "ab":
        connector.say("discord", "c1", f"for {name}", f"gw-{name}",
                      scope_id=f"scope-{name}")
    had = {name: agent.inbound() for name, agent in agents.items()}
    assert had["a"]["bufferId"] != had["b"]["bufferId"]
    for name, agent in agents.items():
        assert had[name]["event"]["text"] == f"for {name}"
        agent.ack(had["ab".replace(name, "")])
        assert "no such bufferId" in error_of(agent)
        agent.ack(had[name])
        connector.wait_all_acked(f"gw-{name}")
        assert agent.act("send", chat_id="c1", content=name)["success"]
        record = connector.outbounds[-1]
        assert (record.gateway_id, record.frame["botId"],
                record.action["metadata"]["scope_id"]) == (
            f"gw-{name}", {"a": "1234", "b": "99"}[name], f"scope-{name}")
    connector.drop(gateway="gw-a")
    agents["a"].expect("link", lambda m: m["state"] == "retrying")
    sync(agents["b"])
    assert [m["state"] for m in of_type(agents["b"], "link")] == ["connected"]
    relayd.wait_state("a")


def test_who_drains_gets_nothing_more(make_relayd, connector):
    relayd = make_relayd().connect_to(
        connector, agents={"when_no_agent": "hold"}).start(wait="connected")
    first = relayd.agent(agent="first", window=1)
    connector.say("discord", "c1", "m1")
    held = first.inbound("m1")
    first.send({"type": "going_idle"})
    first.expect("going_idle_ack")
    connector.say("discord", "c1", "m2", live=True)
    relayd.wait_gateway(lambda g: g["queue"]["events"] == 2, "to have m2")
    second = relayd.agent(agent="second")
    first.ack(held)
    delivery = second.inbound("m2")
    assert "redelivered" not in delivery
    second.ack(delivery)
    connector.wait_all_acked()
    assert texts(first) == ["m1"]


def test_stop_hands_nothing_on(relayd, connector):
    agents = [relayd.agent(agent=f"a{i}") for i in range(4)]
    connector.say("discord", "c1", "m1")
    relayd.wait_gateway(
        lambda g: sum(a["unacknowledged"] for a in g["agents"]) == 1,
        "to have given it to one")
    relayd.stop()
    for agent in agents:
        agent.wait_closed()
    assert sum(len(texts(agent)) for agent in agents) == 1
