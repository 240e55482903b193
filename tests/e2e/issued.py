# SPDX-License-Identifier: ISC
"""Credentials as end-to-end tests have them issued, and look at them."""

import os
import secrets
from pathlib import Path

from base import TIMEOUT_S, until

# An exchange has 15 s, a token command less; then a backoff begins.
EXCHANGE_TIMEOUT_S = 20 + TIMEOUT_S
TENANT = "tenant-a"


def write_token(relayd, text, name="identity-token", mode=0o600):
    """Put an identity token into the daemon's directory; its path."""
    return str(relayd.write(name, text + "\n", mode))


def provisioned(relayd, connector, name="main", **more):
    """Configure a gateway that provisions itself, by a token in a file."""
    path = write_token(relayd, connector.token)
    return relayd.add_gateway(connector, name,
                              **{"identity_token": {"file": path}, **more})


def trust_system(relayd, connector):
    """Put the connector's CA where the daemon has the system's: token URLs
    are verified by that."""
    text = Path(connector.ca_file).read_text()
    relayd.env["SSL_CERT_FILE"] = str(relayd.write("system.pem", text))


def bare(relayd, connector, **more):
    """A gateway with an identity token and nothing else; the connector does
    not let it provision itself."""
    connector.http.always["provision"] = (403, {"error": "enrol instead"})
    return provisioned(relayd, connector, **more)


def oauth(relayd, connector, url):
    """Settings by which the identity token is fetched from `url`."""
    connector.http.idp.clients["host-1"] = ("s3cret", TENANT)
    connector.http.idp.metadata_tenant = TENANT
    trust_system(relayd, connector)
    path = relayd.write("client", "s3cret\n", 0o600)
    client = {"client_id": "host-1", "client_secret_file": str(path)}
    return {"oidc": {"url": f"{connector.http_url}/idp/{url}",
                     **(client if url == "token" else {})}}


def ticket(connector, tenant=TENANT):
    """A new enrolment token, good for one enrolment."""
    token = f"enrol-{secrets.token_hex(16)}"
    connector.http.enrollments[token] = tenant
    return token


def enroll(relayd, token, *args, name="main"):
    """relay-ctl enroll, the token on standard input."""
    return relayd.ctl("enroll", name, "--token-file", "-", *args,
                      stdin=token + "\n", timeout=EXCHANGE_TIMEOUT_S)


def enroll_by_command(relayd, token):
    """Enrol where a command gives the identity token: it is not started more
    often than once a second."""
    return until(lambda: _unless_too_early(enroll(relayd, token)),
                 "the command to be started again")


def _unless_too_early(done):
    if "less than a second ago" not in done.stderr:
        return done
    assert "try again" in done.stderr, "it says what to do"
    return None


def enrolled(relayd, connector, **more):
    """A daemon that has enrolled its gateway, connected."""
    bare(relayd, connector, **more).start()
    wait_reason(relayd, "403")
    done = enroll(relayd, ticket(connector))
    assert done.returncode == 0, done.stderr
    relayd.wait_state()
    return relayd


def ask(relayd, request, timeout=EXCHANGE_TIMEOUT_S):
    """One request on auth.sock; its answer."""
    return relayd.control(request, "auth.sock", timeout)


def credential(relayd, name="main"):
    """What `show credentials` says of a gateway."""
    answer = ask(relayd, {"cmd": "credentials"})
    assert answer["ok"] and answer["schema"] == "relayauthd.credentials/1"
    for entry in answer["credentials"]:
        if entry["gateway"] == name:
            return entry
    raise LookupError(f"no gateway {name} in show credentials")


def wait_credential(relayd, predicate, what, name="main",
                    timeout=EXCHANGE_TIMEOUT_S):
    """Wait for predicate(entry of show credentials); the entry."""
    last = None

    def look():
        nonlocal last
        last = credential(relayd, name)
        return last if predicate(last) else None
    return until(look, lambda: f"the credential of {name} {what}; last seen "
                 f"{last}", timeout)


def wait_reason(relayd, *words, state="unprovisioned", name="main",
                timeout=EXCHANGE_TIMEOUT_S):
    """Wait until a gateway is in a state for a reason with these words."""
    return relayd.wait_gateway(
        lambda g: g["state"] == state and all(w in g["reason"] for w in words),
        f"to be {state} and to say {words}", name, timeout)


def store(relayd):
    """The directory in which relay-authd keeps credentials."""
    return relayd.state / "authd"


def stored(relayd, name="main"):
    """A gateway's credential file."""
    return store(relayd) / f"credential.{name}"


def files_with(text, *places):
    """The files under these places that hold a text."""
    found = []
    for place in places:
        for path in Path(place).rglob("*"):
            if path.is_file() and not path.is_symlink() \
                    and text.encode() in path.read_bytes():
                found.append(str(path))
    return found


def owner(path):
    status = os.stat(path)
    return status.st_uid, status.st_mode & 0o777
