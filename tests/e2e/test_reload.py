# SPDX-License-Identifier: ISC
"""Reload touches only what changed; stopping."""

import json
import os
import shutil
import signal
import socket
import subprocess

import pytest

from base import until


def two_gateways(make_relayd, make_connector):
    one, two = make_connector(), make_connector("gw-two")
    relayd = make_relayd().connect_to(one).connect_to(two, name="other")
    return relayd.start(wait="connected"), one, two


def test_only_what_changed_is_touched(make_relayd, make_connector):
    relayd, one, two = two_gateways(make_relayd, make_connector)
    agent = relayd.agent()
    relayd.connect_to(two, name="other", command_manifest=[
        {"name": "ping", "description": "pong"}])
    answer = relayd.reload()
    assert answer["ok"] and "1 changed" in answer["text"], answer
    two.wait_dials(2)
    relayd.wait_state("other")
    assert len(one.dials) == 1
    one.say("discord", "c1", "same link, same agent")
    agent.ack(agent.inbound("same link, same agent"))
    one.wait_all_acked()


def test_what_takes_effect_on_a_live_link(relayd, connector):
    """What agents, sessions and delays are to be is no reason to dial."""
    agent = relayd.agent()
    relayd.connect_to(connector, agents={"window": 3, "ack_timeout": "30s",
                                         "when_no_agent": "hold"},
                      sessions={"thread_per_user": True},
                      reconnect={"min": "30ms"})
    answer = relayd.reload()
    assert answer["ok"] and "1 changed" in answer["text"], answer
    _other = relayd.agent()
    windows = [a["window"] for a in relayd.wait_agents(2)["agents"]]
    assert windows == [64, 3]
    connector.say("discord", "c1", "same link, same agent")
    agent.ack(agent.inbound("same link, same agent"))
    connector.wait_all_acked()
    assert len(connector.dials) == 1


def test_a_gateway_comes_and_goes(relayd, make_connector):
    config = relayd.config
    two = make_connector("gw-two")
    relayd.connect_to(two, name="other")
    answer = relayd.reload()
    assert answer["ok"] and "1 added" in answer["text"], answer
    relayd.wait_state("other")
    agent = relayd.agent("other")
    two.say("discord", "c1", "to the new one")
    agent.ack(agent.inbound("to the new one"))
    two.wait_all_acked()
    relayd.configure(config)
    answer = relayd.reload()
    assert answer["ok"] and "1 removed" in answer["text"], answer
    agent.wait_closed()
    assert not relayd.agent_path("other").exists()
    assert relayd.gateway()["counters"]["dials"] == 1


def test_a_new_port_reaches_the_dialer(relayd, connector, make_connector):
    """Landlock cannot be loosened: the dialer is replaced, in order."""
    dialer = relayd.role_pid("dialer")
    elsewhere = make_connector(secret=connector.gateway().secrets[0])
    assert elsewhere.port != connector.port
    relayd.connect_to(elsewhere, gateway="gw-test")
    assert relayd.reload()["ok"]
    elsewhere.wait_handshaken()
    relayd.wait_state()
    assert relayd.role_pid("dialer", other_than=dialer)
    deaths = {p["role"]: p["restarts"] for p in relayd.status()["processes"]}
    assert deaths["authd"] == deaths["engine"] == 0


def test_a_rotated_secret_does_not_drop_the_link(relayd, connector):
    connector.rotate("the next one", keep_old=True)
    relayd.write("main.secret", "the next one\n", 0o600)
    assert relayd.reload()["ok"]
    assert len(connector.dials) == 1
    connector.rotate("the next one", keep_old=False)
    connector.drop()
    relayd.wait_gateway(lambda g: g["state"] == "connected"
                        and g["counters"]["handshakes"] == 2, "to be back")


def test_what_a_link_does_not_depend_on(make_relayd, connector):
    """Another file for the secret, an identity token, what provisioning says:
    the link stays, the change is counted, the next link uses it."""
    relayd = make_relayd().connect_to(connector).start(wait="connected")
    agent = relayd.agent()
    connector.rotate("the next one", keep_old=True)
    secret = relayd.write("other.secret", "the next one\n", 0o600)
    token = relayd.write("identity-token", "unused\n", 0o600)
    relayd.connect_to(
        connector, secret={"file": str(secret)}, display_name="Host",
        route_keys=["a"], instance_id="i-1", endpoint="e",
        wake_url="https://me.example/w", identity_token={"file": str(token)})
    answer = relayd.reload()
    assert answer["ok"] and "1 changed" in answer["text"], answer
    connector.say("discord", "c1", "same link, same agent")
    agent.ack(agent.inbound("same link, same agent"))
    connector.wait_all_acked()
    assert len(connector.dials) == 1
    connector.rotate("the next one", keep_old=False)
    connector.drop()
    relayd.wait_gateway(lambda g: g["state"] == "connected"
                        and g["counters"]["handshakes"] == 2, "to be back")


def test_sighup(relayd, connector):
    mark = relayd.log_mark()
    os.kill(relayd.pid, signal.SIGHUP)
    relayd.wait_log("event=reload.*reloaded", since=mark)
    assert len(connector.dials) == 1


def test_stop_drains_what_is_outstanding(relayd, connector):
    """A request under way is answered before the link closes."""
    agent = relayd.agent()
    connector.say("discord", "c1", "hi")
    agent.ack(agent.inbound("hi"))
    connector.wait_all_acked()
    connector.stall("results")
    request = agent.request({"op": "send", "chat_id": "c1",
                             "content": "last words"})
    connector.wait_text("c1", "last words")
    link = connector.link()
    os.kill(relayd.pid, signal.SIGTERM)
    connector.wait_idle()
    connector.unstall("results")
    assert agent.result(request)["success"]
    assert connector.wait_closed(link)[0] == 1000
    assert relayd.wait_exit() == 0
    relayd.assert_gone()


def test_stop_when_nobody_answers(relayd, connector):
    """Neither the ack of going_idle nor a result comes: it ends all the same,
    within its five seconds (the harness waits for not much more)."""
    agent = relayd.agent()
    connector.say("discord", "c1", "hi")
    agent.ack(agent.inbound("hi"))
    connector.wait_all_acked()
    connector.stall("results", "idle_ack")
    request = agent.request({"op": "send", "chat_id": "c1", "content": "x"})
    connector.wait_text("c1", "x")
    os.kill(relayd.pid, signal.SIGTERM)
    assert agent.result(request)["ambiguous"]
    assert relayd.wait_exit() == 0
    relayd.assert_gone()


def test_a_second_one_is_refused(relayd):
    words = relayd.daemon.command("relayd", *relayd.places())
    done = subprocess.run(words, capture_output=True, text=True, check=False,
                          env=relayd.environment(), timeout=20, cwd="/")
    assert done.returncode != 0
    assert str(relayd.pid) in done.stderr
    assert relayd.gateway()["state"] == "connected"


def told_of_it(relayd):
    return relayd.status()["configuration"]


def test_the_status_tells_of_a_refused_one(relayd):
    """Whoever asked for it, and after the engine was started anew, too."""
    first = told_of_it(relayd)
    assert first["refused_at"] is None
    assert first["taken"] <= relayd.status()["now"]
    good = relayd.config
    relayd.configure({**good, "log": {"level": "loud"}})
    relayd.process.send_signal(signal.SIGHUP)
    until(lambda: told_of_it(relayd)["refused_at"], "word of it")
    refused = told_of_it(relayd)
    assert refused["taken"] == first["taken"] <= refused["refused_at"]
    assert refused["refused_at"] == json.loads(
        (relayd.run / "config.json").read_text())["refused"]["at"]
    relayd.kill_and_wait("engine")
    relayd.wait_state()
    assert told_of_it(relayd) == refused
    relayd.configure(good)
    assert relayd.reload()["ok"]
    last = told_of_it(relayd)
    assert last["refused_at"] is None and last["taken"] >= first["taken"]


# Sockets that somebody removed.

def test_what_was_removed_is_made_anew(relayd, connector):
    """A reload makes it; who is connected stays."""
    before = relayd.agent()
    owner = socket.socket(socket.AF_UNIX)
    owner.settimeout(10)
    owner.connect(str(relayd.run / "auth.sock"))
    owner.sendall(b'{"cmd":')
    relayd.agent_path().unlink()
    (relayd.run / "status.sock").unlink()
    (relayd.run / "auth.sock").unlink()
    mark = relayd.log_mark()
    done = relayd.ctl("reload")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("reloaded: 0 added, 0 changed, 0 removed; "
                           "made anew: status.sock, auth.sock, "
                           "agent/main.sock\n")
    relayd.wait_log("event=listen gateway=main .*main.sock was gone",
                    since=mark)
    for path in (relayd.agent_path(), relayd.run / "status.sock"):
        assert path.stat().st_mode & 0o7777 == 0o660
    after = relayd.agent()
    relayd.wait_agents(2)
    after.close()
    connector.say("discord", "c1", "to the one that was there before")
    before.ack(before.inbound("to the one that was there before"))
    connector.wait_all_acked()
    owner.sendall(b'"credentials"}\n')
    assert b'"ok":true' in owner.recv(65536)
    owner.close()
    assert relayd.control({"cmd": "status"}, "status.sock")["ok"]
    assert relayd.ctl("show", "cred").returncode == 0
    # Now that they are there, nothing more is made.
    assert "anew" not in relayd.ctl("reload").stdout
    relayd.stop()
    assert not list(relayd.run.rglob("*.sock"))


def test_a_signal_brings_the_operators_socket_back(relayd):
    until(lambda: all(p["state"] == "running"
                      for p in relayd.state_json()["processes"]),
          "the state file")
    (relayd.run / "control.sock").unlink()
    done = relayd.ctl("reload")
    assert done.returncode == 1 and "control.sock is gone" in done.stderr
    assert f"relayd runs (pid {relayd.pid})" in done.stderr
    assert "kill -HUP" in done.stderr and "silent" not in done.stderr
    mark = relayd.log_mark()
    os.kill(relayd.pid, signal.SIGHUP)
    relayd.wait_log("event=reload.*made anew: control.sock", since=mark)
    assert relayd.ctl("status").returncode == 0


def test_a_directory_that_was_removed_comes_back(relayd):
    shutil.rmtree(relayd.run / "agent")
    assert "made anew: agent/main.sock" in relayd.ctl("reload").stdout
    with relayd.agent():
        pass


def with_datagrams(path, relayd):
    """What cannot be asked whether it answers is another's."""
    path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        path.chmod(0o777)
        done = relayd.ctl("reload")
    assert done.returncode == 1
    assert f"{path}: a socket is in the way" in done.stderr
    path.unlink()


def test_what_is_in_the_way_is_left_alone(relayd, connector):
    """Neither a file nor another's socket is overwritten, nor removed at the
    end; nothing changes until it is gone."""
    path = relayd.agent_path()
    inode = path.stat().st_ino
    path.unlink()
    path.write_text("somebody's")
    (relayd.run / "status.sock").unlink()
    done = relayd.ctl("reload")
    assert done.returncode == 1
    assert f"{path}: something that is no socket is in the way" in done.stderr
    assert path.read_text() == "somebody's"
    # What was made for the reload that was refused is not left without an ear.
    assert not (relayd.run / "status.sock").exists()
    assert relayd.gateway()["state"] == "connected"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        path.chmod(0o777)
        done = relayd.ctl("reload")
        assert done.returncode == 1
        assert f"{path}: another process answers there" in done.stderr
    with_datagrams(path, relayd)
    # A socket that nobody answers on is no obstacle.
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        path.chmod(0o777)
    done = relayd.ctl("reload")
    assert "made anew: status.sock, agent/main.sock" in done.stdout
    assert path.stat().st_ino != inode
    with relayd.agent():
        pass
    assert len(connector.dials) == 1
    path.unlink()
    path.write_text("somebody's")
    relayd.stop()
    assert path.read_text() == "somebody's"


def test_the_engine_dies_after_a_refused_reload(relayd, connector):
    """What it listened on before is what its successor gets."""
    before = relayd.run / "elsewhere"
    relayd.agent_path().rename(before)
    relayd.configure(relayd.config | {"log": {"level": "info"}})
    relayd.write("main.secret", "", 0o600)
    assert not relayd.reload()["ok"]
    assert not relayd.agent_path().exists()
    before.rename(relayd.agent_path())
    relayd.kill_and_wait("engine")
    relayd.wait_state()
    with relayd.agent():
        pass
    relayd.write("main.secret", connector.gateway().secrets[0] + "\n", 0o600)
    assert relayd.reload()["text"].endswith("0 removed")


# Groups of sockets.

@pytest.mark.root
def test_other_groups_are_told(relayd, connector):
    relayd.configure(relayd.config | {"control": {"group": "daemon"}})
    done = relayd.ctl("reload")
    assert done.stdout == ("reloaded: 0 added, 0 changed, 0 removed; "
                           "other group: control.sock, status.sock\n")
    relayd.connect_to(connector, agents={"group": "daemon"})
    assert relayd.reload()["text"] == ("reloaded: 0 added, 1 changed, "
                                       "0 removed; other group: "
                                       "agent/main.sock")
    assert relayd.reload()["text"].endswith("0 removed")
