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
