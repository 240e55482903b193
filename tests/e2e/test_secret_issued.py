# SPDX-License-Identifier: ISC
"""What was issued on the way, and what it was had with, is nowhere but where
it belongs: identity token, client secret, enrolment token, and the secrets
that were provisioned, enrolled and imported."""

import fcntl
import json
import secrets
import socket
import struct
import subprocess
import termios
import threading

import pytest

import exchanges
import inject
import memory
import relay
from issued import (TENANT, ask, credential, enroll, enroll_by_command, store,
                    stored, trust_system)
from proxy import Proxy
from test_secret import (_can_look, all_needles, assert_not_in_memory,
                         assert_not_in_proc, has_secret_memory, hiding,
                         present, secret_memory)

__all__ = ["_can_look"]

pytestmark = pytest.mark.usefixtures("can_look")


class Canaries:
    """Everything secret of one gateway; all are hex digits, so that each is
    found as bytes too."""

    def __init__(self, connector):
        self.connector = connector
        self.identity = secrets.token_hex(40)
        self.client = secrets.token_hex(32)
        self.ticket = secrets.token_hex(32)
        self.given = []     # identity tokens that were asked for
        http = connector.http
        http.identities[self.identity] = TENANT
        http.enrollments[self.ticket] = TENANT
        http.idp.clients["host-1"] = (self.client, TENANT)
        http.idp.issue = self._issue

    def _issue(self, tenant):
        """OAuth tokens are canaries as well."""
        token = secrets.token_hex(40)
        self.connector.http.identities[token] = tenant
        self.given.append(token)
        return token

    def fleeting(self):
        """What is of no use any more when it was used."""
        return [self.identity, self.client, self.ticket, *self.given]

    def lasting(self):
        gateway = self.connector.gateway()
        return [*gateway.secrets, gateway.delivery_key]


def assert_not_in_log_or_files(relayd, wanted):
    """But for relay-authd's own store."""
    assert not present(relayd.log.encode(), wanted)
    for place in (relayd.run, relayd.state):
        for path in place.rglob("*"):
            if path.is_file() and path.parent != store(relayd):
                assert not present(path.read_bytes(), wanted), path


def assert_nowhere(relayd, canaries, also_in_authd=()):
    exchanges.wait_none(relayd)
    wanted = all_needles([*canaries.fleeting(), *canaries.lasting()])
    roles = [r for r in hiding(relayd) if r != "authd" or not also_in_authd]
    assert_not_in_memory(relayd, wanted, roles)
    assert_not_in_proc(relayd, wanted)
    assert_not_in_log_or_files(relayd, wanted)


def assert_cleansed(relayd, canaries):
    """relay-authd's secret memory has the secret and nothing that is of no
    use any more."""
    inside = secret_memory(relayd)
    assert canaries.lasting()[0].encode() in inside
    assert not present(inside, all_needles(canaries.fleeting()))


@pytest.fixture(name="canaries")
def _canaries(issuer):
    issuer.register("gw-test", secrets.token_hex(32), {"discord": "1234"})
    return Canaries(issuer)


def by_file(relayd, connector, canaries):
    path = relayd.write("identity-token", canaries.identity + "\n", 0o600)
    return relayd.add_gateway(connector, identity_token={"file": str(path)})


def by_variable(relayd, connector, canaries):
    relayd.env["MY_IDENTITY"] = canaries.identity
    return relayd.add_gateway(connector, identity_token={"env": "MY_IDENTITY"})


def by_oauth_file(relayd, connector, canaries):
    path = relayd.write("client-secret", canaries.client + "\n", 0o600)
    trust_system(relayd, connector)
    return relayd.add_gateway(connector, identity_token={"oidc": {
        "url": connector.http_url + "/idp/token", "client_id": "host-1",
        "client_secret_file": str(path)}})


def by_oauth_variable(relayd, connector, canaries):
    trust_system(relayd, connector)
    relayd.env.update({
        "GATEWAY_RELAY_IDP_TOKEN_URL": connector.http_url + "/idp/token",
        "GATEWAY_RELAY_IDP_CLIENT_ID": "host-1",
        "GATEWAY_RELAY_IDP_CLIENT_SECRET": canaries.client})
    return relayd.add_gateway(connector)


def by_command(relayd, connector, canaries):
    """The program has the token in its text: it is the daemon's user's file,
    and not relayd's to hide."""
    path = relayd.write("token.sh", "#!/bin/sh\nprintf '%s\\n' "
                        f"{canaries.identity}\n", 0o755)
    return relayd.add_gateway(connector, identity_token={
        "command": [str(path)], "user": "nobody"})


def by_metadata(relayd, connector, canaries):
    connector.http.idp.metadata_tenant = TENANT
    trust_system(relayd, connector)
    return relayd.add_gateway(connector, identity_token={"oidc": {
        "url": connector.http_url + "/idp/metadata"}})


WAYS = [by_file, by_variable, by_oauth_file, by_oauth_variable, by_command,
        by_metadata]


@pytest.mark.parametrize("way", WAYS)
def test_provisioned(make_relayd, issuer, canaries, way):
    relayd = way(make_relayd(), issuer, canaries).start(wait="connected")
    assert bool(canaries.given) == (way in (by_oauth_file, by_oauth_variable,
                                            by_metadata))
    assert_nowhere(relayd, canaries)
    assert_cleansed(relayd, canaries)
    assert not list(store(relayd).glob("credential.*"))
    # What the supervisor keeps, it keeps unmapped.
    assert "memfd" in " ".join(exchanges.descriptors(relayd.pid).values()) \
        or "secretmem" in " ".join(exchanges.descriptors(relayd.pid).values())
    assert not {name for *_, name in inject.maps(relayd.pid)} & {
        inject.SECRETMEM, inject.LOCKEDMEM}
    relayd.kill_and_wait("authd")
    issuer.drop()
    relayd.wait_gateway(lambda g: g["counters"]["handshakes"] == 2, "be back")
    assert_nowhere(relayd, canaries)
    assert canaries.lasting()[0].encode() in secret_memory(relayd)


def test_provisioned_without_root(make_unprivileged, issuer, canaries):
    relayd = by_variable(make_unprivileged(), issuer, canaries)
    relayd.start(wait="connected")
    assert_nowhere(relayd, canaries)


@pytest.mark.parametrize("way", WAYS)
def test_enrolled(make_relayd, issuer, canaries, way):
    issuer.http.always["provision"] = (403, {"error": "enrol instead"})
    relayd = way(make_relayd(), issuer, canaries).start()
    relayd.wait_state(state="unprovisioned")
    done = enroll_by_command(relayd, canaries.ticket)
    assert done.returncode == 0, done.stderr
    relayd.wait_state()
    assert_nowhere(relayd, canaries)
    assert_cleansed(relayd, canaries)
    assert canaries.lasting()[0] in stored(relayd).read_text()
    assert not present(stored(relayd).read_bytes(),
                       all_needles(canaries.fleeting()))


def test_enrolled_by_the_environment(make_relayd, issuer, canaries):
    issuer.http.always["provision"] = (403, {"error": "enrol instead"})
    relayd = by_file(make_relayd(
        env={"GATEWAY_RELAY_ENROLL_TOKEN": canaries.ticket}), issuer,
        canaries).start()
    relayd.wait_state(state="unprovisioned")
    assert_nowhere(relayd, canaries)
    assert ask(relayd, {"cmd": "enroll", "gateway": "main"})["ok"]
    relayd.wait_state()
    assert_nowhere(relayd, canaries)
    assert_cleansed(relayd, canaries)


def test_imported(make_relayd, issuer, canaries):
    relayd = make_relayd().add_gateway(issuer).start()
    relayd.wait_state(state="unprovisioned")
    path = relayd.write("old.env", "GATEWAY_RELAY_ID=gw-test\n"
                        f"GATEWAY_RELAY_SECRET={canaries.lasting()[0]}\n"
                        "GATEWAY_RELAY_DELIVERY_KEY="
                        f"{canaries.lasting()[1]}\n", 0o600)
    done = relayd.ctl("import", "main", str(path))
    assert done.returncode == 0, done.stderr
    relayd.wait_state()
    assert_nowhere(relayd, canaries)
    assert_cleansed(relayd, canaries)


def wait_read(sock):
    """Until the other end has read all that was sent there."""
    def unread():
        room = fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4))
        return struct.unpack("i", room)[0]
    relay.until(lambda: not unread(), "what was sent to be read")


@pytest.mark.parametrize("fields", [
    {"cmd": "import", "id": "gw-test", "secret": 0, "delivery_key": 1},
    {"cmd": "enroll", "token": 0}])
def test_said_and_not_carried_out_yet(make_relayd, issuer, canaries, fields):
    """What comes on auth.sock is in secret memory from its first byte."""
    relayd = make_relayd().add_gateway(issuer).start()
    relayd.wait_state(state="unprovisioned")
    request = {name: canaries.lasting()[value] if isinstance(value, int)
               else value for name, value in fields.items()}
    said = [request[name] for name, value in fields.items()
            if isinstance(value, int)]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(relay.TIMEOUT_S)
        sock.connect(str(relayd.run / "auth.sock"))
        # Of no gateway, so that there is nothing to do but to parse it; then
        # the same again, and no end.
        line = json.dumps({**request, "gateway": "none-such"}).encode()
        sock.sendall(line + b"\n")
        assert b"no_gateway" in sock.recv(4096)
        sock.sendall(line)
        wait_read(sock)
        if has_secret_memory(relayd):
            assert_not_in_memory(relayd, all_needles(said), ["authd"])
        inside = secret_memory(relayd)
        assert all(text.encode() in inside for text in said)
    relay.until(lambda: not present(secret_memory(relayd), all_needles(said)),
                "what was said to be cleansed")


def test_replaced_and_forgotten(make_relayd, issuer, canaries):
    """What is replaced is cleansed, and so is what is forgotten."""
    relayd = by_file(make_relayd(), issuer, canaries).start(wait="connected")
    old = issuer.gateway().secrets[0]
    assert enroll(relayd, canaries.ticket).returncode == 0
    new = issuer.gateway().secrets[0]
    inside = secret_memory(relayd)
    assert new.encode() in inside
    assert not present(inside, all_needles([old]))
    issuer.http.always["provision"] = (403, {"error": "no"})
    assert relayd.ctl("forget", "main").returncode == 0
    relay.until(lambda: not credential(relayd)["usable"], "no credential")
    assert not present(secret_memory(relayd), all_needles([old, new]))
    assert_nowhere(relayd, canaries)


def test_the_enrolment_token_is_in_no_process_list(make_relayd, issuer,
                                                   canaries):
    """Not while the enrolment is under way either."""
    issuer.http.always["provision"] = (403, {"error": "enrol instead"})
    relayd = by_file(make_relayd(), issuer, canaries).start()
    relayd.wait_state(state="unprovisioned")
    hold = issuer.http.holds["enroll"] = threading.Event()
    done = []
    asking = threading.Thread(
        target=lambda: done.append(enroll(relayd, canaries.ticket)))
    asking.start()
    issuer.wait_asked("enroll")
    listed = subprocess.run(["ps", "axeww"], capture_output=True, check=True)
    wanted = all_needles([canaries.ticket, canaries.identity])
    assert b"relay-ctl" in listed.stdout
    assert not present(listed.stdout, wanted)
    assert_not_in_memory(relayd, wanted, hiding(relayd))
    hold.set()
    asking.join()
    assert done[0].returncode == 0, done[0].stderr


def test_while_an_exchange_is_under_way(make_relayd, issuer, canaries):
    """The exchange has its one bearer, in memory that cannot be read."""
    hold = issuer.http.holds["provision"] = threading.Event()
    relayd = by_oauth_file(make_relayd(), issuer, canaries).start()
    issuer.wait_asked("provision")
    pid = exchanges.wait_one(relayd)
    wanted = all_needles([*canaries.fleeting(), *canaries.lasting()])
    assert_not_in_memory(relayd, wanted, ["supervisor", "dialer", "engine"])
    kinds = [name for _, _, _, name in inject.maps(pid)]
    if inject.SECRETMEM in kinds:
        _, found = memory.search(pid, {**wanted, "control": b"127.0.0.1"})
        found.pop("control")
        leaks = [name for name, count in found.items() if count]
        assert not leaks, leaks
    hold.set()
    relayd.wait_state()


def test_proxy_credentials(make_relayd, issuer, canaries):
    password = secrets.token_hex(32)
    with Proxy(f"gate:{password}") as proxy:
        relayd = by_file(make_relayd(), issuer, canaries)
        path = relayd.write("proxy-credentials", f"gate:{password}\n", 0o600)
        provisioned_by = relayd.config["gateways"]["main"]["identity_token"]
        relayd.add_gateway(issuer, identity_token=provisioned_by, proxy={
            "url": proxy.url, "credentials": {"file": str(path)}})
        relayd.start(wait="connected")
        wanted = all_needles([password])
        exchanges.wait_none(relayd)
        assert_not_in_memory(relayd, wanted, ["supervisor", "authd",
                                              "engine"])
        assert_not_in_log_or_files(relayd, wanted)
        relayd.stop()
