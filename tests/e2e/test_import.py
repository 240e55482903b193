# SPDX-License-Identifier: ISC
"""Import from an existing host, and forget."""

import pytest

from issued import (credential, enroll, files_with, stored, ticket,
                    wait_credential)


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
