# SPDX-License-Identifier: ISC
"""The credential on the disk: whole or not at all, and not trusted blindly."""

import os
import re
import subprocess
import threading

import pytest

import inject
from issued import (EXCHANGE_TIMEOUT_S, ask, enroll, enrolled, files_with,
                    owner, store, stored, ticket, wait_credential,
                    wait_reason)
from stepper import Stepper
from test_outside import uid_of


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
    # Its standing is written when it has worked.
    wait_credential(host, lambda e: e["worked"], "to have worked")
    assert {p.name.partition(".")[0] for p in store(host).iterdir()} == {
        "credential", "standing"}


def test_each_gateway_has_its_own_file(make_relayd, issuer):
    issuer.http.fresh_secrets = True
    issuer.http.always["provision"] = (403, {"error": "enrol instead"})
    relayd = make_relayd()
    path = str(relayd.write("identity-token", issuer.token + "\n", 0o600))
    names = ["main", "other"]
    for name in names:
        issuer.register(f"gw-{name}", "0" * 64, {"discord": "1234"})
        relayd.add_gateway(issuer, name, id=f"gw-{name}",
                           identity_token={"file": path})
    relayd.start()
    for name in names:
        wait_reason(relayd, "403", name=name)
        assert enroll(relayd, ticket(issuer), name=name).returncode == 0
        relayd.wait_state(name)
    secrets = {name: issuer.gateway(f"gw-{name}").secrets[0]
               for name in names}
    assert len(set(secrets.values())) == 2
    for name in names:
        assert files_with(secrets[name], relayd.dir) == [
            str(stored(relayd, name))]
    assert relayd.ctl("forget", "other").returncode == 0
    assert not stored(relayd, "other").exists() and stored(relayd).exists()


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
    for name in ("new.credential.main", "credential.main.new",
                 ".credential.main"):
        (store(relayd) / name).write_text("half")
        os.chown(store(relayd) / name, *store(relayd).stat()[4:6])
    relayd.start(wait="connected")
    assert enroll(relayd, ticket(issuer)).returncode == 0
    issuer.drop()
    relayd.wait_gateway(lambda g: g["counters"]["handshakes"] == 2, "be back")


def test_forget_takes_what_a_crash_left(make_relayd, issuer):
    """A secret that was never used, for want of a name, is one all the
    same."""
    issuer.register("gw-test", "0" * 64, {"discord": "1234"})
    relayd = enrolled(make_relayd(), issuer)
    left = store(relayd) / "new.credential.main"
    left.write_bytes(stored(relayd).read_bytes())
    os.chown(left, *store(relayd).stat()[4:6])
    assert relayd.ctl("forget", "main").returncode == 0
    assert not files_with(issuer.gateway().secrets[0], relayd.dir)


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
        answer = ask(relayd, {"cmd": "import", "gateway": "main",
                              "id": "gw-test", "secret": "x" * 64})
        assert answer["code"] == "storage", answer
        assert stored(relayd).read_bytes() == before
        (disk / "ballast").unlink()
        assert enroll(relayd, ticket(issuer)).returncode == 0
        relayd.stop()
        relayd.start(wait="connected")
        relayd.stop()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


# An enrolment's calls on the directory of credentials, without close: the new
# file is on the disk before it has the name, and the name before it is told.
CALLS = ["unlinkat", "openat", "write", "fsync", "renameat", "fsync"]


def enroll_again(relayd, connector, kill_at=0):
    """Enrol a gateway while its relay-authd is watched, and killed just
    before that call (0: not).  What relay-ctl did, and the Stepper."""
    hold = connector.http.holds["enroll"] = threading.Event()
    token, done = ticket(connector), []
    asking = threading.Thread(
        target=lambda: done.append(enroll(relayd, token)))
    asking.start()
    connector.wait_asked("enroll", 2)
    stepper = Stepper(relayd.role_pid("authd"), store(relayd), kill_at).hold()
    hold.set()
    asking.join(EXCHANGE_TIMEOUT_S)
    stepper.finish()
    return done[0], stepper


@pytest.fixture(name="enrolled_host")
def _enrolled_host(make_relayd, issuer):
    reason = inject.cannot()
    if reason:
        pytest.skip(reason)
    issuer.register("gw-test", "0" * 64, {"discord": "1234"})
    return enrolled(make_relayd(), issuer)


def test_what_is_done_to_the_disk(enrolled_host, issuer):
    done, stepper = enroll_again(enrolled_host, issuer)
    assert done.returncode == 0, done.stderr
    calls = [call for call in stepper.calls if call != "close"]
    assert calls[:len(CALLS)] == CALLS
    assert len(stepper.calls) <= MOST, "some are not killed at"


# With some close(2), and what becomes of the mark of the credential before.
MOST = 12


@pytest.mark.parametrize("number", range(1, MOST + 1))
def test_killed_at_every_write(enrolled_host, issuer, number):
    """What it leaves is the old credential or the new one, whole."""
    relayd = enrolled_host
    old = issuer.gateway().secrets[0]
    pid = relayd.role_pid("authd")
    done, stepper = enroll_again(relayd, issuer, number)
    if not stepper.killed:
        assert done.returncode == 0, (done.stderr, stepper.calls)
        assert number > len(CALLS)
        pytest.skip(f"there are {len(stepper.calls)} calls")
    relayd.role_pid("authd", other_than=pid)
    new = issuer.gateway().secrets[0]
    assert new != old
    text = stored(relayd).read_text()
    assert (old in text) != (new in text), stepper.calls
    issuer.drop()
    relayd.wait_gateway(lambda g: g["state"] == "connected"
                        and g["counters"]["handshakes"] == 2, "to be back")
