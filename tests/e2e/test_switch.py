# SPDX-License-Identifier: ISC
"""A gateway that an operator switches off and on, or connects anew; a session
that is stopped."""


def ask(relayd, cmd, **more):
    return relayd.control({"cmd": cmd, **more})


def switched_off(relayd, connector):
    """What holds then."""
    gateway = relayd.gateway()
    assert gateway["state"] == "disabled"
    assert gateway["switched_off"] is True
    assert gateway["revoked"] is None
    return len(connector.dials)


def test_disable_and_enable(relayd, connector):
    agent = relayd.agent()
    assert relayd.gateway()["switched_off"] is False
    assert ask(relayd, "disable")["ok"]
    relayd.wait_log("disable by uid [0-9]+, pid [0-9]+")
    dials = switched_off(relayd, connector)
    assert relayd.gateway()["reason"].startswith("switched off by uid ")
    assert "under way" not in relayd.ctl("status").stdout   # nothing dials
    assert connector.state.links[-1].closed[0] == 1000
    agent.expect("link", lambda m: m["state"] == "disabled")
    # Nothing makes it dial.
    for cmd in ("wake", "idle", "dormant", "reconnect"):
        answer = ask(relayd, cmd)
        assert (answer["ok"], answer["code"]) == (False, "refused")
        assert "enable it first" in answer["error"]
    assert "switched off" in agent.act(
        "send", chat_id="c1", content="x")["error"]
    assert relayd.reload()["ok"]
    relayd.agent(hello=False).hello()
    relayd.kill_and_wait("dialer")
    relayd.kill_and_wait("authd")
    relayd.wait_gateway(lambda g: g["credential"]["usable"], "to be told")
    assert switched_off(relayd, connector) == dials
    assert ask(relayd, "disable")["ok"]
    assert ask(relayd, "enable")["ok"]
    relayd.wait_state()
    assert relayd.gateway()["switched_off"] is False
    assert ask(relayd, "enable")["code"] == "refused"


def test_it_outlives_the_engine(relayd, connector):
    assert ask(relayd, "disable")["ok"]
    dials = len(connector.dials)
    relayd.kill_and_wait("engine")
    relayd.wait_gateway(lambda g: g["credential"]["usable"], "to be told")
    assert switched_off(relayd, connector) == dials
    assert ask(relayd, "enable")["ok"]
    relayd.wait_state()


def test_disabled_and_revoked(relayd, connector):
    """One enable ends both."""
    connector.revoke()
    relayd.wait_state(state="disabled")
    assert ask(relayd, "disable")["ok"]
    gateway = relayd.gateway()
    assert gateway["switched_off"] and gateway["revoked"]
    connector.restore()
    assert ask(relayd, "enable")["ok"]
    gateway = relayd.wait_state()
    assert not gateway["switched_off"] and gateway["revoked"] is None


def test_reconnect(relayd, connector):
    agent = relayd.agent()
    assert ask(relayd, "reconnect")["ok"]
    relayd.wait_state()
    assert len(connector.dials) == 2
    assert connector.state.links[0].closed[0] == 1000
    connector.say("discord", "c1", "on the new link")
    agent.ack(agent.inbound("on the new link"))
    connector.wait_all_acked()


def test_reconnect_does_not_wait(make_relayd, connector):
    """It ends the delay before another attempt."""
    port = connector.port
    relayd = make_relayd().connect_to(
        connector, reconnect={"min": "60s", "max": "600s"})
    connector.stop()
    relayd.start()
    relayd.wait_gateway(lambda g: g["state"] == "retrying"
                        and g["next_attempt_in_s"], "to wait")
    connector.start()
    assert connector.port == port
    assert ask(relayd, "reconnect")["ok"]
    relayd.wait_state()


def test_interrupt(relayd, connector):
    refusal = ask(relayd, "interrupt", session_key="k")
    assert (refusal["ok"], refusal["code"]) == (False, "refused")
    assert "no agent" in refusal["error"]
    first, second = relayd.agent(), relayd.agent()
    connector.say("discord", "c1", "a turn")
    relayd.wait_gateway(lambda g: g["queue"]["events"] == 1, "to have one")
    row = [a for a in relayd.gateway()["agents"] if a["unacknowledged"]][0]
    has, other = ((first, second), (second, first))[row["number"] - 1]
    key = has.inbound("a turn")["session_key"]
    assert ask(relayd, "interrupt", session_key=key)["ok"]
    frame = has.expect("interrupt_inbound")
    assert (frame["session_key"], frame["chat_id"]) == (key, "c1")
    # Of one that nobody has, all are told; the other had none before.
    assert ask(relayd, "interrupt", session_key="nobody's")["ok"]
    assert other.expect("interrupt_inbound")["session_key"] == "nobody's"
    assert has.expect("interrupt_inbound")["session_key"] == "nobody's"
    assert ask(relayd, "interrupt")["code"] == "bad_request"
    assert ask(relayd, "interrupt", session_key="")["code"] == "bad_request"
