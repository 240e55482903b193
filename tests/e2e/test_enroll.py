# SPDX-License-Identifier: ISC
"""Enrol, import, forget: what an operator types once."""

import json
import os
import pty
import re
import select
import socket
import subprocess
import time

import pytest

import inject
from issued import (EXCHANGE_TIMEOUT_S, TENANT, ask, credential, enroll,
                    enrolled, files_with, owner, provisioned, store, stored,
                    ticket, wait_credential, wait_reason, write_token)
from relay import TIMEOUT_S, until
from stepper import Stepper
from test_outside import CONNECT, run_as, uid_of


def bare(relayd, connector, **more):
    """A gateway with an identity token and nothing else; the connector does
    not let it provision itself."""
    connector.http.always["provision"] = (403, {"error": "enrol instead"})
    return provisioned(relayd, connector, **more)


def serves(relayd, connector):
    with relayd.agent() as agent:
        connector.say("discord", "c1", "hello")
        agent.ack(agent.inbound("hello"))
        connector.wait_all_acked()


def front(connector, gateway="gw-test"):
    """An enrolment tells of no platform: the connector knows them."""
    connector.gateway(gateway).add_platform("discord", "1234")


@pytest.fixture(name="host")
def _host(make_relayd, issuer):
    """A bare host, started, whose gateway the connector knows."""
    issuer.register("gw-test", "0" * 64, {"discord": "1234"})
    relayd = bare(make_relayd(), issuer).start()
    wait_reason(relayd, "403")
    return relayd


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


def test_what_is_on_the_disk(host, issuer):
    assert enroll(host, ticket(issuer)).returncode == 0
    uid = uid_of(host.role_pid("authd"))
    assert owner(stored(host)) == (uid, 0o600)
    assert owner(store(host)) == (uid, 0o700)
    text = stored(host).read_text()
    assert issuer.gateway().secrets[0] in text
    assert issuer.gateway().delivery_key in text
    assert re.match(r"\S*\s*\S*1\b", text), "no version in the first line"
    assert files_with(issuer.gateway().secrets[0], host.dir) == [
        str(stored(host))]
    assert {p.name.partition(".")[0] for p in store(host).iterdir()} <= {
        "credential", "standing"}


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
    path = host.dir / "ticket"
    path.write_text(ticket(issuer) + "\n")
    path.chmod(0o600)
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
    import fcntl
    import termios
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
    assert "main" in answer["error"]
    done = enroll(host, "t", name="mian")
    assert done.returncode == 1 and "mian" in done.stderr


def test_a_pinned_secret_goes_before(relayd, connector):
    answer = ask(relayd, {"cmd": "enroll", "gateway": "main", "token": "t"})
    assert answer["code"] == "pinned", answer
    assert "main.secret" in answer["error"] or "secret" in answer["error"]
    assert not connector.http.bodies


def test_one_at_a_time(host, issuer):
    import threading
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


@pytest.mark.parametrize("line", [
    "{", "[]", '"x"', "{}", '{"cmd":"status"}', '{"cmd":7}',
    '{"cmd":"enroll"}', '{"cmd":"enroll","gateway":7,"token":"t"}',
    '{"cmd":"enroll","gateway":"main","token":""}',
    '{"cmd":"enroll","gateway":"main","token":"a b"}',
    '{"cmd":"enroll","gateway":"main","token":"a\\u0000b"}',
    '{"cmd":"enroll","gateway":"main","token":"t","gateway_id":""}',
    '{"cmd":"enroll","gateway":"main","token":"t","token":"u"}',
    '{"cmd":"import","gateway":"main","id":"x"}',
    '{"cmd":"import","gateway":"main","id":"x","secret":""}',
    '{"cmd":"import","gateway":"main","id":"","secret":"s"}',
    '{"cmd":"import","gateway":"main","id":"x","secret":"a b"}',
    '{"cmd":"forget"}'])
def test_bad_requests(host, issuer, line):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(str(host.run / "auth.sock"))
        sock.sendall(line.encode() + b"\n")
        answer = json.loads(sock.makefile().readline())
    assert not answer["ok"] and answer["code"] in ("bad_request",
                                                   "no_gateway"), answer
    assert len(answer["error"]) > 10
    assert not issuer.http.count("enroll") and not stored(host).exists()


def test_a_line_without_end(host):
    """Costs the connection, not relay-authd."""
    pid = host.role_pid("authd")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(str(host.run / "auth.sock"))
        try:
            for _ in range(256):
                sock.sendall(b"x" * 4096)
            while sock.recv(4096):
                pass
        except (ConnectionError, BrokenPipeError):
            pass
    assert credential(host) and host.role_pid("authd") == pid


def test_many_who_say_nothing(host):
    socks = []
    for _ in range(100):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(TIMEOUT_S)
        try:
            sock.connect(str(host.run / "auth.sock"))
        except OSError:
            sock.close()
            break
        socks.append(sock)
    pid = host.role_pid("authd")
    for sock in socks:
        sock.close()
    until(lambda: _answers(host), "an answer")
    assert host.role_pid("authd") == pid


def _answers(relayd):
    try:
        return credential(relayd)
    except OSError:
        return None


# Import and forget.

ENV_FILE = """# from the old host
export GATEWAY_RELAY_ID=gw-test
GATEWAY_RELAY_SECRET="{secret}"   # the secret
GATEWAY_RELAY_DELIVERY_KEY='d3l1very'
GATEWAY_RELAY_URL={url}
GATEWAY_RELAY_WAKE_URL=https://me.example/wake
OTHER=thing
"""


def import_file(relayd, connector, text=ENV_FILE):
    path = relayd.write("old.env", text.format(
        secret=connector.gateway().secrets[0], url=connector.http_url), 0o600)
    return relayd.ctl("import", "main", str(path))


def test_import(host, issuer):
    done = import_file(host, issuer)
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    for name in ("ID", "SECRET", "DELIVERY_KEY"):
        assert f"GATEWAY_RELAY_{name}" in said, "not said what it may lose"
    assert issuer.gateway().secrets[0] not in said and "d3l1very" not in said
    host.wait_state()
    entry = credential(host)
    assert entry["source"] == "enrolled" and entry["delivery_key"]
    assert not issuer.http.count("enroll")
    host.stop()
    host.start(wait="connected")


@pytest.mark.parametrize("text, phrase", [
    ("GATEWAY_RELAY_ID=gw-test\n", "GATEWAY_RELAY_SECRET"),
    ("GATEWAY_RELAY_SECRET=x\n", "GATEWAY_RELAY_ID"),
    ("GATEWAY_RELAY_ID=gw-test\nGATEWAY_RELAY_SECRET=$(cat x)\n", "2"),
    ("GATEWAY_RELAY_ID=gw-test\nGATEWAY_RELAY_SECRET=\"open\n", "2")])
def test_import_of_what_is_not_there(host, issuer, text, phrase):
    done = import_file(host, issuer, text)
    assert done.returncode != 0 and phrase in done.stderr
    assert not stored(host).exists()


def test_import_for_another_connector(host, issuer):
    done = import_file(host, issuer,
                       ENV_FILE.replace("{url}", "https://other.example"))
    assert done.returncode == 1 and issuer.http_url in done.stderr
    assert not stored(host).exists()


def test_forget(host, issuer):
    assert enroll(host, ticket(issuer)).returncode == 0
    host.wait_state()
    secret = issuer.gateway().secrets[0]
    done = host.ctl("forget", "main")
    assert done.returncode == 0, done.stderr
    assert not stored(host).exists() and not files_with(secret, host.dir)
    wait_credential(host, lambda e: not e["usable"], "to be gone")
    issuer.drop()
    host.wait_state(state="unprovisioned")
    host.stop()
    host.start()
    host.wait_state(state="unprovisioned")
    assert enroll(host, ticket(issuer)).returncode == 0
    host.wait_state()


def test_forget_what_is_not_there(host, relayd):
    done = host.ctl("forget", "main")
    assert done.returncode == 1 and done.stderr
    done = relayd.ctl("forget", "main")
    assert done.returncode == 1 and "pinned" in done.stderr.lower() \
        or "secret" in done.stderr


# Who may.

def test_the_socket_is_its_owners(host):
    path = host.run / "auth.sock"
    assert owner(path)[1] == 0o600
    if os.geteuid() == 0:
        assert run_as("games", CONNECT, path) != "connected"
        for role in ("engine", "dialer"):
            uid = uid_of(host.role_pid(role))
            if uid:
                assert run_as(uid, CONNECT, path) != "connected", role


ASK = """
import socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.settimeout(10)
sock.connect(sys.argv[1])
try:
    sock.sendall(b'{"cmd":"credentials"}\\n')
    print(sock.recv(65536).decode() or "closed")
except OSError as error:
    print("closed", error.errno)
"""


@pytest.mark.root
def test_who_opened_it_is_looked_at(host):
    """Even when its mode was changed by mistake."""
    path = host.run / "auth.sock"
    path.chmod(0o666)
    for user in ["games", uid_of(host.role_pid("engine")),
                 uid_of(host.role_pid("dialer"))]:
        said = run_as(user, ASK, path)
        assert '"ok":true' not in said and "gateway_id" not in said, user
    assert credential(host)["gateway"] == "main"


def test_not_on_the_other_sockets(host):
    for path in ("control.sock", "status.sock"):
        for cmd in ("enroll", "import", "forget", "credentials"):
            answer = host.control({"cmd": cmd, "gateway": "main"}, path)
            assert not answer["ok"]


def test_without_root(make_unprivileged, issuer):
    issuer.register("gw-test", "0" * 64, {"discord": "1234"})
    relayd = bare(make_unprivileged(), issuer).start()
    wait_reason(relayd, "403")
    done = enroll(relayd, ticket(issuer))
    assert done.returncode == 0, done.stderr
    relayd.wait_state()
    assert owner(stored(relayd)) == (relayd.daemon.uid, 0o600)


# Files that are not as they were written.

def _truncated(path, _relayd):
    data = path.read_bytes()
    path.write_bytes(data[:-10])


def _half(path, _relayd):
    path.write_bytes(path.read_bytes()[:20])


def _empty(path, _relayd):
    path.write_bytes(b"")


def _readable(path, _relayd):
    path.chmod(0o644)


def _foreign(path, relayd):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, 12345, 12345)


def _newer(path, _relayd):
    path.write_text(re.sub(r"1", "9", path.read_text(), 1))


def _noise(path, _relayd):
    path.write_bytes(b"\xff\0" * 2000)


def _link(path, relayd):
    path.rename(relayd.dir / "moved")
    path.symlink_to(relayd.dir / "moved")


def _directory(path, _relayd):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [
    _truncated, _half, _empty, _readable, _foreign, _newer, _noise, _link,
    _directory])
def test_a_file_that_cannot_be_trusted(make_relayd, issuer, spoil):
    """Is refused with a sentence; the next enrolment replaces it."""
    issuer.register("gw-test", "0" * 64, {"discord": "1234"})
    relayd = enrolled(make_relayd(), issuer)
    secret = issuer.gateway().secrets[0]
    relayd.stop()
    spoil(stored(relayd), relayd)
    relayd.start()
    gateway = wait_reason(relayd, "credential")
    assert len(gateway["reason"]) > 20
    assert secret not in relayd.log and not issuer.link()
    if spoil is _directory:
        stored(relayd).rmdir()
    done = enroll(relayd, ticket(issuer))
    assert done.returncode == 0, done.stderr
    relayd.wait_state()


def test_a_file_left_half_written(make_relayd, issuer):
    """A temporary file of one who died is no credential, and is in nobody's
    way."""
    issuer.register("gw-test", "0" * 64, {"discord": "1234"})
    relayd = enrolled(make_relayd(), issuer)
    relayd.stop()
    for name in ("credential.main.tmp", "credential.main.new",
                 ".credential.main"):
        (store(relayd) / name).write_text("half")
        os.chown(store(relayd) / name, *store(relayd).stat()[4:6])
    relayd.start(wait="connected")
    assert enroll(relayd, ticket(issuer)).returncode == 0
    issuer.drop()
    relayd.wait_gateway(lambda g: g["counters"]["handshakes"] == 2, "be back")


# The old one or the new one.

@pytest.mark.root
def test_a_full_disk(make_relayd, issuer):
    issuer.register("gw-test", "0" * 64, {"discord": "1234"})
    relayd = make_relayd()
    disk = relayd.state / "authd"
    disk.mkdir(parents=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o",
                           "size=64k,mode=0700,uid=_relayauth,gid=_relayauth",
                           "none", disk], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        enrolled(relayd, issuer)
        before = stored(relayd).read_bytes()
        with open(disk / "ballast", "wb", buffering=0) as file:
            try:
                while file.write(b"x" * 512):
                    pass
            except OSError:
                pass
        answer = ask(relayd, {"cmd": "enroll", "gateway": "main",
                              "token": ticket(issuer)})
        assert answer["code"] == "storage", answer
        assert "space" in answer["error"]
        assert stored(relayd).read_bytes() == before
        (disk / "ballast").unlink()
        assert enroll(relayd, ticket(issuer)).returncode == 0
        relayd.stop()
        relayd.start(wait="connected")
        relayd.stop()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize("number", range(1, 15))
def test_killed_at_every_write(make_relayd, issuer, number):
    """What it leaves is the old credential or the new one, whole."""
    reason = inject.cannot()
    if reason:
        pytest.skip(reason)
    issuer.register("gw-test", "0" * 64, {"discord": "1234"})
    relayd = enrolled(make_relayd(), issuer)
    old = issuer.gateway().secrets[0]
    import threading
    hold = issuer.http.holds["enroll"] = threading.Event()
    answers = []

    def run():
        try:
            answers.append(enroll(relayd, ticket(issuer)))
        except Exception as error:      # shown below
            answers.append(error)
    asking = threading.Thread(target=run)
    asking.start()
    issuer.wait_asked("enroll", 2)
    pid = relayd.role_pid("authd")
    stepper = Stepper(pid, store(relayd), number).hold()
    hold.set()
    asking.join(EXCHANGE_TIMEOUT_S)
    killed = stepper.finish()
    if not killed:
        assert answers[0].returncode == 0, (answers, stepper.calls)
        assert stepper.calls, "no write was seen: the test sees nothing"
        pytest.skip(f"an enrolment has {len(stepper.calls)} calls: "
                    f"{stepper.calls}")
    relayd.role_pid("authd", other_than=pid)
    new = issuer.gateway().secrets[0]
    assert new != old
    text = stored(relayd).read_text()
    assert (old in text) != (new in text), stepper.calls
    issuer.drop()
    relayd.wait_gateway(lambda g: g["state"] == "connected"
                        and g["counters"]["handshakes"] == 2, "to be back")
