# SPDX-License-Identifier: ISC
"""Outbound frames: whose they are, what they must carry, their results."""

import json
from pathlib import Path

import pytest

from . import outbound

VECTORS = Path(__file__).resolve().parents[1] / "vectors"


def action(op="send", **fields):
    return {"op": op, "chat_id": "c1", "content": "hi", **fields}


def outbound_frame(act, request_id="r1", tagged=True):
    frame = {"type": "outbound", "requestId": request_id, "action": act}
    if tagged:
        frame.update(platform="discord", botId="1234")
    return frame


def result(client, frame):
    client.send(frame)
    answer = client.expect("outbound_result")
    assert answer["requestId"] == frame["requestId"]
    return answer["result"]


def test_outbound_to_a_scoped_chat(connector, client):
    client.dial().hello()
    act = action(metadata={"user_id": "u1"})
    assert result(client, outbound_frame(act)) == {"success": True,
                                                   "message_id": "m1"}
    assert connector.wait_text("c1", "hi").result["success"]
    connector.assert_clean()


@pytest.mark.parametrize("act,tagged", [
    (action(), True), (action(metadata={"scope_id": ""}), True),
    (action(metadata={"scope_id": "g1"}), False),
])
def test_egress_refusal(connector, client, act, tagged):
    client.dial().hello()
    answer = result(client, outbound_frame(act, tagged=tagged))
    assert answer == {"success": False, "error": outbound.NOT_ROUTED}


def acknowledged_chat(connector, client):
    """A connection on which an event of c1 in guild g1 was acknowledged."""
    client.dial().hello()
    buffer_id = connector.say("discord", "c1", "x", scope_id="g1")
    client.expect("inbound")
    client.ack(buffer_id)
    connector.wait_acked(buffer_id)


def test_known_chat_must_be_filled_in(connector, client):
    acknowledged_chat(connector, client)
    full = {"scope_id": "g1", "user_id": "u1"}
    assert result(client, outbound_frame(action(metadata=full)))["success"]
    connector.assert_clean()
    result(client, outbound_frame(action(metadata={"scope_id": "g1"}), "r2"))
    assert "metadata.user_id" in connector.wait_violation().detail


def test_request_ids_are_unique_per_connection(connector, client):
    acknowledged_chat(connector, client)
    frame = outbound_frame(action(metadata={"scope_id": "g1", "user_id": "u"}))
    assert result(client, frame)["success"]
    client.send(frame)
    assert "used before" in connector.wait_violation("outbound").detail


def test_egress_vectors():
    cases = json.loads((VECTORS / "egress_scope.json").read_text())["cases"]
    for case in cases:
        chats = {}
        for source in case["inbound_sources"]:
            outbound.learn(chats, (source["chat_id"], source["platform"],
                                   source.get("scope_id"), source["user_id"]))
        for out in case["outbound"]:
            act = {"op": "send", "chat_id": out["chat_id"],
                   "metadata": out["metadata_out"]}
            frame = {"action": act, "platform": out["platform"]}
            assert outbound.unfilled(chats, frame) == []
            bare = {"action": {**act, "metadata": out["metadata"]}}
            added = (out["metadata"] or {}) != out["metadata_out"]
            assert bool(outbound.unfilled(chats, bare)) == bool(
                added or out["platform"])


def test_ops_and_their_results(connector, client):
    acknowledged_chat(connector, client)
    meta = {"metadata": {"scope_id": "g1", "user_id": "u1"}}
    acts = [action(**meta), action("edit", message_id="m1", **meta),
            action("thread_create", thread_name="t", **meta),
            action("get_chat_info", **meta), action("typing", **meta),
            action("react", message_id="m1", emoji="+", **meta)]
    results = [result(client, outbound_frame(act, f"r{i}"))
               for i, act in enumerate(acts)]
    assert all(r["success"] for r in results)
    assert results[2]["thread_id"] and results[3]["chat_info"]["type"]
    assert connector.chat("c1").log == acts
    assert not result(client, outbound_frame(
        action("react", **meta), "r9"))["success"]
    long = action(**meta) | {"content": "x" * 2001}
    assert "2000" in result(client, outbound_frame(long, "r10"))["error"]
    connector.assert_clean()


def test_results_can_be_held_and_reversed(connector, client):
    acknowledged_chat(connector, client)
    meta = {"metadata": {"scope_id": "g1", "user_id": "u1"}}
    connector.stall("results")
    for name in ("r1", "r2"):
        client.send(outbound_frame(action(**meta), name))
    connector.wait_for(lambda: len(connector.state.held) == 2)
    connector.release(reverse=True)
    got = [client.expect("outbound_result")["requestId"] for _ in "ab"]
    assert got == ["r2", "r1"]
