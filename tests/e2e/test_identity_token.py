# SPDX-License-Identifier: ISC
"""Each way an identity token is had, and what is said when it is not."""

import os
import pwd
import stat

import pytest

from connector import answers
from issued import (EXCHANGE_TIMEOUT_S, TENANT, enroll, enroll_by_command,
                    provisioned, ticket, trust_system, wait_reason,
                    write_token)
from proxy import Proxy
from relay import until

NOBODY = "nobody"


def script(relayd, text, name="token.sh"):
    """A program that another user may run; its path."""
    return str(relayd.write(name, "#!/bin/sh\n" + text + "\n", 0o755))


def by_command(relayd, connector, text, **more):
    """A gateway whose identity token a shell script prints."""
    path = script(relayd, text)
    return relayd.add_gateway(connector, identity_token={
        "command": [path, "an argument"], "user": NOBODY}, **more)


def idp_url(connector, name):
    return f"{connector.http_url}/idp/{name}"


def by_oauth(relayd, connector, secret="cl13nt&s%cret", **more):
    connector.http.idp.clients["host-1"] = ("cl13nt&s%cret", TENANT)
    trust_system(relayd, connector)
    path = relayd.write("client-secret", secret + "\n", 0o600)
    return relayd.add_gateway(connector, identity_token={"oidc": {
        "url": idp_url(connector, "token"), "client_id": "host-1",
        "client_secret_file": str(path), **more}})


def by_metadata(relayd, connector, form="bare"):
    connector.http.idp.metadata_tenant = TENANT
    connector.http.idp.metadata_form = form
    trust_system(relayd, connector)
    return relayd.add_gateway(connector, identity_token={"oidc": {
        "url": idp_url(connector, "metadata")}})


def comes_up(relayd):
    relayd.wait_state(timeout=EXCHANGE_TIMEOUT_S)
    assert relayd.gateway()["tenant"] == TENANT


# Files and variables.

@pytest.mark.parametrize("text", ["{}", "{}\n", "  {} \r\n\n"])
def test_file(make_relayd, issuer, text):
    relayd = make_relayd()
    path = relayd.write("identity-token", text.format(issuer.token), 0o600)
    relayd.add_gateway(issuer, identity_token={"file": str(path)}).start()
    comes_up(relayd)


@pytest.mark.parametrize("text, phrase", [
    ("", "empty"), (" \n", "empty|white"), ("a\0b", "NUL"),
    ("two words", "white|space|character"), ("x" * 20000, "long")])
def test_file_without_a_token(make_relayd, issuer, text, phrase):
    relayd = make_relayd()
    path = relayd.write("identity-token", text, 0o600)
    relayd.add_gateway(issuer, identity_token={"file": str(path)}).start()
    wait_reason(relayd, "identity")
    relayd.wait_log(f"(?i)identity.*({phrase})")
    assert not issuer.http.bodies
    write_token(relayd, issuer.token)
    comes_up(relayd)


def test_file_that_others_can_read(make_relayd, issuer):
    relayd = provisioned(make_relayd(), issuer)
    (relayd.dir / "identity-token").chmod(0o644)
    relayd.start()
    wait_reason(relayd, "identity-token", "0644")
    assert not issuer.http.bodies
    (relayd.dir / "identity-token").chmod(0o600)
    comes_up(relayd)


def test_variable(make_relayd, issuer):
    relayd = make_relayd(env={"MY_IDENTITY": issuer.token})
    relayd.add_gateway(issuer, identity_token={"env": "MY_IDENTITY"}).start()
    comes_up(relayd)


def test_variable_that_is_not_set(make_relayd, issuer):
    relayd = make_relayd()
    relayd.add_gateway(issuer, identity_token={"env": "MY_IDENTITY"}).start()
    wait_reason(relayd, "MY_IDENTITY")


def test_a_file_is_read_when_it_is_needed(make_relayd, issuer):
    """Never cached past its use: the token of today serves tomorrow's
    enrolment, and the old one is not used again."""
    relayd = provisioned(make_relayd(), issuer).start(wait="connected")
    del issuer.http.identities[issuer.token]
    write_token(relayd, issuer.http.idp.issue(TENANT))
    done = enroll(relayd, ticket(issuer))
    assert done.returncode == 0, done.stderr


# Commands.

def test_command(make_relayd, issuer):
    relayd = by_command(make_relayd(), issuer,
                        f"printf '%s\\n' {issuer.token}").start()
    comes_up(relayd)


@pytest.mark.root
def test_command_runs_as_its_user_with_nothing(make_relayd, issuer):
    """Not as root, in a minimal environment, with three descriptors, in a
    process group of its own."""
    relayd = make_relayd(env={"GATEWAY_RELAY_ENROLL_TOKEN": "enrol-canary",
                              "MY_VARIABLE": "canary"})
    room = relayd.dir / "room"
    room.mkdir()
    room.chmod(0o777)
    by_command(relayd, issuer, f"""
id -u >{room}/uid; id -G >{room}/groups; env >{room}/env
ls /proc/self/fd >{room}/fds; cut -d' ' -f5 /proc/$$/stat >{room}/group
echo $$ >{room}/pid; printf '%s' "$1" >{room}/argument; pwd >{room}/pwd
grep -E 'NoNewPrivs|CapEff' /proc/$$/status >{room}/status
echo {issuer.token}""").start()
    comes_up(relayd)

    def said(name):
        return (room / name).read_text().strip()
    nobody = pwd.getpwnam(NOBODY)
    assert said("uid") == str(nobody.pw_uid)
    assert said("groups") == str(nobody.pw_gid)
    assert "canary" not in said("env") and "GATEWAY" not in said("env")
    names = {line.partition("=")[0] for line in said("env").splitlines()}
    assert names <= {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG",
                     "PWD", "OLDPWD", "SHLVL", "_"}, names
    # The fourth is the one that ls reads them by.
    assert said("fds").split() == ["0", "1", "2", "3"]
    assert said("group") == said("pid")
    assert said("argument") == "an argument"
    assert "CapEff:\t0000000000000000" in said("status")
    assert "NoNewPrivs:\t1" in said("status")


@pytest.mark.parametrize("text, phrase", [
    ("exit 3", "3"), ("true", "nothing|empty|printed"),
    ("kill -9 $$", "KILL|signal"), ("kill -BUS $$", "signal SIGBUS\""),
    ("echo 'two words'", "white|space|character|token"),
    ("head -c 70000 /dev/zero | tr '\\0' x", "long|more than"),
    ("yes", "long|more than|white|line")])
def test_command_that_fails(make_relayd, issuer, text, phrase):
    relayd = by_command(make_relayd(), issuer, text).start()
    wait_reason(relayd, "identity")
    relayd.wait_log(f"(?i)(command|identity).*({phrase})")
    assert not issuer.http.bodies


def test_a_command_runs_for_each_use(make_relayd, issuer):
    """What it printed last time is not used again."""
    relayd = make_relayd()
    source = relayd.write("printed", issuer.token + "\n")
    by_command(relayd, issuer, f"cat {source}").start()
    comes_up(relayd)
    issuer.http.identities.clear()
    relayd.write("printed", issuer.http.idp.issue(TENANT) + "\n")
    done = enroll_by_command(relayd, ticket(issuer))
    assert done.returncode == 0, done.stderr


def test_command_that_fails_and_then_does_not(make_relayd, issuer):
    """Nobody needs to tell relayd."""
    relayd = make_relayd()
    source = relayd.dir / "printed"
    by_command(relayd, issuer, f"cat {source}").start()
    wait_reason(relayd, "identity")
    assert not issuer.http.bodies
    relayd.write("printed", issuer.token + "\n")
    comes_up(relayd)


def test_command_that_is_not_there(make_relayd, issuer):
    relayd = make_relayd().add_gateway(issuer, identity_token={
        "command": ["/nonexistent/token"], "user": NOBODY}).start()
    wait_reason(relayd, "identity")
    relayd.wait_log("(?i)/nonexistent/token|No such file")


def test_command_that_hangs(make_relayd, issuer):
    """It is killed with all it started."""
    relayd = make_relayd()
    room = relayd.dir / "room"
    room.mkdir()
    room.chmod(0o777)
    by_command(relayd, issuer,
               f"sleep 3600 & echo $! >{room}/child; sleep 3600").start()
    child = until(lambda: (room / "child").exists()
                  and (room / "child").read_text().strip(), "the child")
    until(lambda: not os.path.exists(f"/proc/{child}"), "its end",
          EXCHANGE_TIMEOUT_S)
    wait_reason(relayd, "identity")


def test_what_a_command_says_on_standard_error(make_relayd, issuer):
    """Is not taken for the token, and does no harm to the log."""
    relayd = by_command(
        make_relayd(), issuer, f"printf 'oops \\033[31m\\n' >&2; "
        f"echo {issuer.token}").start()
    comes_up(relayd)
    assert "\x1b" not in relayd.log


@pytest.mark.root
def test_command_without_a_user_is_refused(make_relayd, issuer):
    relayd = make_relayd().add_gateway(issuer, identity_token={
        "command": ["/bin/true"]}).start()
    assert relayd.wait_exit() == 78
    assert "user" in relayd.log


# OAuth 2.

def test_client_credentials(make_relayd, issuer):
    relayd = by_oauth(make_relayd(), issuer).start()
    comes_up(relayd)
    form, = issuer.http.asked("token")
    assert form == {"grant_type": "client_credentials", "client_id": "host-1",
                    "client_secret": "cl13nt&s%cret"}


def test_scope(make_relayd, issuer):
    issuer.http.idp.scope = "relay é"
    relayd = by_oauth(make_relayd(), issuer, scope="relay é").start()
    comes_up(relayd)


@pytest.mark.parametrize("way, route", [
    (by_oauth, "token"), (by_metadata, "metadata")])
def test_a_new_token_for_each_use(make_relayd, issuer, way, route):
    relayd = way(make_relayd(), issuer).start()
    comes_up(relayd)
    for used in issuer.http.idp.issued:
        issuer.http.identities.pop(used)
    done = enroll(relayd, ticket(issuer))
    assert done.returncode == 0, done.stderr
    assert issuer.http.count(route) == 2


@pytest.mark.parametrize("way, route", [
    (by_oauth, "token"), (by_metadata, "metadata")])
def test_token_urls_through_a_proxy(make_relayd, issuer, way, route):
    """It asks for credentials; neither they nor what passes are in clear."""
    with Proxy("gate:k33per-canary") as proxy:
        relayd = make_relayd()
        path = relayd.write("proxy", "gate:k33per-canary\n", 0o600)
        way(relayd, issuer)
        token = relayd.config["gateways"]["main"]["identity_token"]
        relayd.add_gateway(issuer, identity_token=token, proxy={
            "url": proxy.url, "credentials": {"file": str(path)}}).start()
        comes_up(relayd)
        # For the token, the provisioning and the link.
        assert len(proxy.tunnels) == 3 and not proxy.refused
        assert issuer.http.count(route) == 1
        assert issuer.http.idp.issued[-1].encode() not in proxy.passed
        assert "k33per" not in relayd.log
        relayd.stop()


def test_the_client_is_refused(make_relayd, issuer):
    relayd = by_oauth(make_relayd(), issuer, secret="another").start()
    wait_reason(relayd, "401", "invalid_client")
    assert not issuer.http.count("provision")
    relayd.write("client-secret", "cl13nt&s%cret\n", 0o600)
    comes_up(relayd)


def test_the_token_urls_certificate_is_verified(make_relayd, issuer):
    """By the system's bundle, not by the connector's."""
    relayd = by_oauth(make_relayd(), issuer)
    del relayd.env["SSL_CERT_FILE"]
    relayd.start()
    wait_reason(relayd, "certificate")
    assert not issuer.http.count("token")


@pytest.mark.parametrize("lone", ["client_id", "client_secret_file"])
def test_id_or_secret_alone_is_an_error(make_relayd, issuer, lone):
    relayd = by_oauth(make_relayd(), issuer)
    oidc = relayd.config["gateways"]["main"]["identity_token"]["oidc"]
    relayd.add_gateway(issuer, identity_token={"oidc": {
        "url": oidc["url"], lone: oidc[lone]}})
    relayd.start()
    assert relayd.wait_exit() == 78
    assert "client_id" in relayd.log
    assert "client secret" in relayd.log or "client_secret" in relayd.log


@pytest.mark.parametrize("variable", ["CLIENT_ID", "CLIENT_SECRET"])
def test_id_or_secret_alone_by_the_environment(make_relayd, issuer, variable):
    relayd = make_relayd(env={
        "GATEWAY_RELAY_URL": issuer.http_url,
        "GATEWAY_RELAY_PLATFORM": "discord", "GATEWAY_RELAY_BOT_ID": "1",
        "GATEWAY_RELAY_IDP_TOKEN_URL": idp_url(issuer, "token"),
        f"GATEWAY_RELAY_IDP_{variable}": "lonely"}).start()
    assert relayd.wait_exit() == 78
    assert "lonely" not in relayd.log


# A metadata server.

@pytest.mark.parametrize("form", ["bare", "line", "json"])
def test_metadata(make_relayd, issuer, form):
    relayd = by_metadata(make_relayd(), issuer, form).start()
    comes_up(relayd)
    assert issuer.http.count("metadata") == 1


def test_metadata_without_identity(make_relayd, issuer):
    relayd = by_metadata(make_relayd(), issuer)
    issuer.http.idp.metadata_tenant = ""
    relayd.start()
    wait_reason(relayd, "404")
    issuer.http.idp.metadata_tenant = TENANT
    comes_up(relayd)


@pytest.mark.parametrize("answer", [
    (200, ""), (200, "<html>Sign in</html>"), (200, {"token": "x"}),
    (200, {"access_token": 7}), (200, "two words"), (200, "x" * 20000)])
@pytest.mark.parametrize("way", [by_metadata, by_oauth])
def test_answers_without_a_token(make_relayd, issuer, way, answer):
    relayd = way(make_relayd(), issuer)
    name = "metadata" if way is by_metadata else "token"
    issuer.http.script[name].append(answer)
    relayd.start()
    wait_reason(relayd, "identity")
    comes_up(relayd)    # the next answer is a good one
    assert issuer.http.count("provision") == 1


@pytest.mark.parametrize("name", [
    "cut_in_the_body", "huge_chunked", "noise", "doubled_key",
    "redirect_307", "error_in_words", "endless_body"])
@pytest.mark.parametrize("way", [by_metadata, by_oauth])
def test_hostile_token_urls(make_relayd, issuer, way, name):
    relayd = way(make_relayd(), issuer)
    issuer.http.script["metadata"].append(name)
    issuer.http.script["token"].append(name)
    if way is by_metadata and name == "doubled_key":
        issuer.http.idp.metadata_form = "json"
    relayd.start()
    wait_reason(relayd, "identity")
    if answers.ODD[name].about == "error":
        assert answers.ERROR_TEXT in relayd.gateway()["reason"]
    comes_up(relayd)


def test_no_token_is_left_behind(make_relayd, issuer):
    """Nothing of a token is left in the daemon's directories."""
    relayd = by_oauth(make_relayd(), issuer).start()
    comes_up(relayd)
    token = issuer.http.idp.issued[-1].encode()
    for place in (relayd.run, relayd.state):
        for path in place.rglob("*"):
            if path.is_file():
                assert token not in path.read_bytes(), path
                assert not stat.S_IMODE(path.stat().st_mode) & 0o002, path
