# SPDX-License-Identifier: ISC
"""What is buffered arrives, in order, until it is acknowledged in order."""

import pytest

from .client import Client


def test_replay_waits_for_each_ack(connector, client):
    ids = [connector.say("discord", "c1", f"n{i}") for i in range(3)]
    client.dial().hello()
    for number, buffer_id in enumerate(ids):
        frame = client.expect("inbound")
        assert frame["bufferId"] == buffer_id
        assert frame["event"]["text"] == f"n{number}"
        assert connector.counters["delivered"] == number + 1
        client.ack(buffer_id)
        connector.wait_acked(buffer_id)
    live = connector.say("discord", "c1", "live")
    more = connector.say("discord", "c1", "more")
    assert [client.receive()["bufferId"] for _ in "ab"] == [live, more]
    client.ack(live, more)
    connector.wait_all_acked()
    connector.assert_clean(unknown=True)


@pytest.mark.parametrize("acks,wrong", [
    (["b2"], "out of order"), (["b1", "b1"], "twice"), (["b9"], "unknown"),
    (["b1", "b3"], "out of order"),
])
def test_ack_breaches(connector, client, acks, wrong):
    client.dial().hello()
    connector.wait_for(lambda: connector.link().live())
    for number in range(3):
        connector.say("discord", "c1", str(number))
    for _ in range(3):
        client.expect("inbound")
    client.ack(*acks)
    assert wrong in connector.wait_violation("inbound_ack").detail


def test_ack_of_what_was_not_sent_here(connector, client):
    connector.settings.replay_window = 1
    connector.say("discord", "c1", "a")
    connector.say("discord", "c1", "b")
    client.dial().hello()
    client.expect("inbound")
    client.ack("b2")
    assert "not sent" in connector.wait_violation().detail


def test_replay_after_reconnect(connector, client):
    connector.settings.replay_window = 0
    ids = [connector.say("discord", "c1", str(i)) for i in range(4)]
    client.dial().hello()
    assert [client.receive()["bufferId"] for _ in ids] == ids
    client.ack(ids[0])
    connector.wait_acked(ids[0])
    connector.drop()
    connector.wait_closed()
    client.dial().hello()
    assert [client.receive()["bufferId"] for _ in ids[1:]] == ids[1:]
    client.ack(*ids[1:])
    connector.wait_all_acked()
    connector.assert_clean()


def test_repeat_permits_another_ack(connector, client):
    client.dial().hello()
    connector.wait_for(lambda: connector.link().live())
    connector.say("discord", "c1", "a")
    client.expect("inbound")
    assert connector.repeat() == 1
    assert client.expect("inbound")["bufferId"] == "b1"
    client.ack("b1", "b1")
    connector.wait_counter("reacks", 1)
    connector.assert_clean()
    client.ack("b1")
    connector.wait_violation("inbound_ack")


def test_rewind_after_a_reconnect(connector, client):
    client.dial().hello()
    connector.wait_for(lambda: connector.link().live())
    ids = [connector.say("discord", "c1", str(i)) for i in range(3)]
    client.ack(*(client.expect("inbound")["bufferId"] for _ in ids))
    connector.wait_all_acked()
    client.dial().hello()
    assert connector.rewind(2) == 2
    assert [client.receive()["bufferId"] for _ in "ab"] == ids[1:]
    client.ack(*ids[1:])
    connector.wait_counter("reacks", 2)
    connector.assert_clean()
    client.ack(ids[0])
    assert "twice" in connector.wait_violation("inbound_ack").detail


def test_numeric_ids_are_acked_as_strings(connector, client):
    connector.settings.numeric_ids = True
    connector.say("discord", "c1", "a")
    client.dial().hello()
    assert client.expect("inbound")["bufferId"] == 1
    client.ack("1")
    connector.wait_acked("1")
    connector.assert_clean()


def test_live_delivery_has_no_buffer_id(connector, client):
    assert connector.say("discord", "c1", "early", live=True) == "b1"
    client.dial().hello()
    client.expect("inbound")
    client.ack("b1")
    connector.wait_for(lambda: connector.link().live())
    assert connector.say("discord", "c1", "now", live=True, copies=2) is None
    for _ in range(2):
        assert "bufferId" not in client.expect("inbound")
    assert connector.unacked() == 0


def test_an_idle_ack_withheld(connector, client):
    """Until the ack, delivery is live; after it, nothing comes."""
    client.dial().hello()
    connector.stall("idle_ack")
    client.send({"type": "going_idle"})
    connector.wait_for(
        lambda: connector.link().counters["going_idle"], what="going_idle")
    live = connector.say("discord", "c1", "live still")
    assert client.expect("inbound")["bufferId"] == live
    client.ack(live)
    assert not connector.gateway().asleep
    connector.unstall("idle_ack")
    client.expect("going_idle_ack")
    connector.wait_idle()
    kept = connector.say("discord", "c1", "later")
    client.close()
    client.dial().hello()
    assert client.expect("inbound")["bufferId"] == kept
    connector.assert_clean()


def test_going_idle_buffers(connector, client):
    client.dial().hello()
    client.send({"type": "going_idle"})
    client.expect("going_idle_ack")
    connector.wait_idle()
    kept = connector.say("discord", "c1", "later", live=True)
    connector.interrupt("k", "c1")
    # The interrupt overtakes nothing: the event is simply not sent.
    client.expect("interrupt_inbound")
    client.close()
    assert connector.wait_closed() == (1000, "", "gateway")
    client.dial().hello()
    assert client.expect("inbound")["bufferId"] == kept
    connector.assert_clean()


def test_state_survives_a_restart(connector, client):
    kept = connector.say("discord", "c1", "a")
    client.dial().hello()
    client.expect("inbound")
    port = connector.port
    connector.stop()
    later = connector.say("discord", "c1", "b")
    connector.start()
    assert connector.port == port
    client.dial().hello()
    for buffer_id in (kept, later):
        assert client.expect("inbound")["bufferId"] == buffer_id
        client.ack(buffer_id)
    connector.wait_all_acked()
    connector.assert_clean()


def test_newer_connection_supersedes(connector, client):
    client.dial().hello()
    first = connector.link()
    with Client(connector.url) as second:
        second.dial().hello()
        connector.wait_closed(first)
        assert connector.link() is not first
        assert connector.counters["superseded"] == 1
