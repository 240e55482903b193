# SPDX-License-Identifier: ISC
"""Enrolment: what an operator types once."""

import fcntl
import json
import os
import pty
import select
import subprocess
import termios
import threading
import time

from issued import (EXCHANGE_TIMEOUT_S, TENANT, ask, bare, credential, enroll,
                    owner, stored, ticket, wait_reason, write_token)
from relay import TIMEOUT_S


def serves(relayd, connector):
    with relayd.agent() as agent:
        connector.say("discord", "c1", "hello")
        agent.ack(agent.inbound("hello"))
        connector.wait_all_acked()


# One command.

def test_from_bare_host_to_connected(host, issuer):
    token = ticket(issuer)
    done = enroll(host, token)
    assert done.returncode == 0, done.stderr
    host.wait_state()
    assert issuer.http.asked("enroll") == [
        {"enrollmentToken": token, "gatewayId": "gw-test"}]
    secret = issuer.gateway().secrets[0]
    for text in (token, secret, issuer.token):
        assert text not in done.stdout + done.stderr + host.log
    assert "gw-test" in done.stdout and TENANT in done.stdout
    entry = credential(host)
    assert entry["source"] == "enrolled" and entry["usable"]
    assert entry["tenant"] == TENANT and entry["uses"]["enroll"] == 1
    gateway = host.gateway()
    assert gateway["credential"]["source"] == "enrolled"
    assert gateway["tenant"] == TENANT
    serves(host, issuer)


def test_it_is_kept_over_restarts(host, issuer):
    assert enroll(host, ticket(issuer)).returncode == 0
    host.wait_state()
    host.kill_and_wait("authd")
    issuer.drop()
    host.wait_gateway(lambda g: g["counters"]["handshakes"] == 2,
                      "to be back")
    host.stop()
    del issuer.http.identities[issuer.token]
    asked = issuer.http.count("provision")
    host.start(wait="connected")
    assert issuer.http.count("enroll") == 1
    assert issuer.http.count("provision") == asked, \
        "provisioned although there is a credential"
    assert credential(host)["tenant"] == TENANT
    assert credential(host)["delivery_key"]


def test_nothing_else_of_the_gateway_changes(host, issuer, make_connector):
    other = make_connector("gw-two")
    host.connect_to(other, "other")
    assert host.reload()["ok"]
    host.wait_state("other")
    assert enroll(host, ticket(issuer)).returncode == 0
    host.wait_state()
    assert len(other.dials) == 1


# Where the token comes from.

def test_token_from_a_file(host, issuer):
    path = host.write("ticket", ticket(issuer) + "\n", 0o600)
    done = host.ctl("enroll", "main", "--token-file", str(path))
    assert done.returncode == 0, done.stderr
    host.wait_state()


def test_token_from_the_environment(make_relayd, issuer):
    """Of relayd, which wipes it: relay-ctl neither sees nor sends it."""
    token = ticket(issuer)
    issuer.register("gw-test", "0" * 64, {"discord": "1234"})
    relayd = bare(make_relayd(env={"GATEWAY_RELAY_ENROLL_TOKEN": token}),
                  issuer).start()
    wait_reason(relayd, "403")
    answer = ask(relayd, {"cmd": "enroll", "gateway": "main"})
    assert answer["ok"], answer
    relayd.wait_state()
    for role in ("supervisor", "authd", "dialer", "engine"):
        with open(f"/proc/{relayd.role_pid(role)}/environ", "rb") as file:
            assert token.encode() not in file.read(), role


def test_no_token_anywhere(host, issuer):
    answer = ask(host, {"cmd": "enroll", "gateway": "main"})
    assert not answer["ok"] and answer["code"] == "bad_request"
    assert "GATEWAY_RELAY_ENROLL_TOKEN" in answer["error"]
    assert not issuer.http.count("enroll")


def test_never_from_the_arguments(host, issuer):
    """A process list shows them."""
    token = ticket(issuer)
    for words in (["main", token], ["main", "--token", token],
                  ["main", f"--token={token}"]):
        done = host.ctl("enroll", *words)
        assert done.returncode == 2, done
        assert token not in done.stdout + done.stderr
    assert not issuer.http.count("enroll")


def test_prompt_without_echo(host, issuer):
    token = ticket(issuer)
    control, terminal = pty.openpty()
    with subprocess.Popen(host.ctl_words("enroll", "main"), stdin=terminal,
                          stdout=terminal, stderr=terminal, cwd="/",
                          env=host.environment(), start_new_session=True,
                          preexec_fn=_take_terminal) as process:
        os.close(terminal)
        shown = _until_prompt(control)
        os.write(control, token.encode() + b"\n")
        assert process.wait(EXCHANGE_TIMEOUT_S) == 0, shown
        shown += _rest(control)
    os.close(control)
    assert token.encode() not in shown
    host.wait_state()


def _take_terminal():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _until_prompt(control):
    shown = b""
    deadline = time.monotonic() + TIMEOUT_S
    while b":" not in shown:
        assert time.monotonic() < deadline, shown
        if select.select([control], [], [], 0.1)[0]:
            shown += os.read(control, 4096)
    return shown


def _rest(control):
    shown = b""
    try:
        while select.select([control], [], [], 0.2)[0]:
            part = os.read(control, 4096)
            if not part:
                break
            shown += part
    except OSError:
        pass    # the other end is closed
    return shown


# Options.

def test_another_gateway_id(host, issuer):
    issuer.register("gw-chosen", "1" * 64, {"discord": "1234"})
    done = enroll(host, ticket(issuer), "--gateway-id", "gw-chosen")
    assert done.returncode == 0, done.stderr
    host.wait_state()
    assert issuer.dials[-1].gateway_id == "gw-chosen"
    host.stop()
    host.start(wait="connected")
    assert issuer.dials[-1].gateway_id == "gw-chosen"


def test_the_wake_url_is_not_told(host, issuer):
    """It is kept, and who gives one hears that provisioning alone tells it."""
    done = enroll(host, ticket(issuer), "--wake-url",
                  "https://me.example/wake")
    assert done.returncode == 0, done.stderr
    assert "wake" in done.stdout + done.stderr
    assert "provision" in done.stdout + done.stderr
    assert set(issuer.http.asked("enroll")[0]) == {"enrollmentToken",
                                                   "gatewayId"}
    assert "https://me.example/wake" in stored(host).read_text()


def test_the_same_connector_url(host, issuer):
    done = enroll(host, ticket(issuer), "--connector-url", issuer.http_url)
    assert done.returncode == 0, done.stderr


def test_another_connector_url(host, issuer):
    done = enroll(host, ticket(issuer), "--connector-url",
                  "https://other.example")
    assert done.returncode == 1
    assert issuer.http_url in done.stderr and "reload" in done.stderr
    assert not issuer.http.count("enroll")
    answer = ask(host, {"cmd": "enroll", "gateway": "main", "token": "t",
                        "connector_url": "https://other.example"})
    assert answer["code"] == "url_mismatch"


# What goes wrong; each time there is a sentence and nothing has changed.

def refused(relayd, token, code, *words, **more):
    answer = ask(relayd, {"cmd": "enroll", "gateway": "main", "token": token,
                          **more})
    assert not answer["ok"] and answer["code"] == code, answer
    for word in words:
        assert word in answer["error"], answer
    assert token not in json.dumps(answer)
    assert not stored(relayd).exists()
    done = enroll(relayd, token)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.count("\n") <= 3 and words[0] in done.stderr
    return answer


def test_the_enrolment_token_is_refused(host):
    refused(host, "enrol-unknown", "token_refused", "403")


def test_the_enrolment_token_was_used(host, issuer):
    token = ticket(issuer)
    assert enroll(host, token).returncode == 0
    done = enroll(host, token)
    assert done.returncode == 1 and "used" in done.stderr
    serves(host, issuer)


def test_the_identity_token_is_refused(host, issuer):
    write_token(host, "nobody-s-token")
    refused(host, ticket(issuer), "identity_refused", "401")


def test_there_is_no_identity_token(host, issuer):
    (host.dir / "identity-token").unlink()
    refused(host, ticket(issuer), "no_identity_token", "identity-token")
    assert not issuer.http.count("enroll")


def test_the_connector_fails(host, issuer):
    issuer.http.always["enroll"] = (500, {"error": "no room at the inn"})
    refused(host, ticket(issuer), "connector", "no room at the inn", "500")


def test_the_connector_is_away(host, issuer):
    issuer.stop()
    refused(host, "enrol-any", "unreachable", "refused")


def test_no_such_gateway(host):
    answer = ask(host, {"cmd": "enroll", "gateway": "mian", "token": "t"})
    assert answer["code"] == "no_gateway" and "mian" in answer["error"]
    done = enroll(host, "t", name="mian")
    assert done.returncode == 1 and "mian" in done.stderr


def test_a_pinned_secret_goes_before(relayd, connector):
    answer = ask(relayd, {"cmd": "enroll", "gateway": "main", "token": "t"})
    assert answer["code"] == "pinned", answer
    assert "main.secret" in answer["error"] or "secret" in answer["error"]
    assert not connector.http.bodies


def test_one_at_a_time(host, issuer):
    hold = issuer.http.holds["enroll"] = threading.Event()
    answers = []
    first = threading.Thread(target=lambda: answers.append(
        enroll(host, ticket(issuer))))
    first.start()
    issuer.wait_asked("enroll")
    answer = ask(host, {"cmd": "enroll", "gateway": "main",
                        "token": ticket(issuer)})
    assert answer["code"] == "busy", answer
    hold.set()
    first.join(EXCHANGE_TIMEOUT_S)
    assert answers[0].returncode == 0, answers[0].stderr
    host.wait_state()


def test_without_root(make_unprivileged, issuer):
    issuer.register("gw-test", "0" * 64, {"discord": "1234"})
    relayd = bare(make_unprivileged(), issuer).start()
    wait_reason(relayd, "403")
    done = enroll(relayd, ticket(issuer))
    assert done.returncode == 0, done.stderr
    relayd.wait_state()
    assert owner(stored(relayd)) == (relayd.daemon.uid, 0o600)
