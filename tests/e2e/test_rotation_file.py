# SPDX-License-Identifier: ISC
"""A pinned secret's file changes: it is taken by itself, without a reload, and
one that is bad costs nothing."""

import pytest

from issued import credential, wait_credential, wait_reason
from relay import until
from test_rotation import redial, traffic

TAKEN = r"event=credential gateway={} msg=.another pinned secret was taken"


def taken(relayd, since, name="main"):
    relayd.wait_log(TAKEN.format(name), since=since)


def next_secret(connector, text="the next one"):
    connector.rotate(text, keep_s=3600)
    return text + "\n"


def in_place(path, text):
    """Write into the file that is there, as `>` of a shell does."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def secret_path(relayd, name="main"):
    return relayd.dir / f"{name}.secret"


def assert_taken_over(relayd, connector, since):
    """The secret is taken, the link stays, the next dial uses the new one."""
    dials = len(connector.dials)
    taken(relayd, since)
    traffic(relayd, connector, "still here")
    assert len(connector.dials) == dials
    redial(relayd, connector)
    assert credential(relayd)["source"] == "file"
    assert "the next one" not in relayd.log
    assert "reloaded" not in relayd.log


# Ways to change it.

def test_rewritten_in_place(relayd, connector):
    since = relayd.log_mark()
    in_place(secret_path(relayd), next_secret(connector))
    assert_taken_over(relayd, connector, since)


def test_replaced_by_another_file(relayd, connector):
    since = relayd.log_mark()
    relayd.write("main.secret", next_secret(connector), 0o600)
    assert_taken_over(relayd, connector, since)


def swap(relayd, link, target):
    """Point a symbolic link elsewhere, at once."""
    new = relayd.dir / f"{link}.new"
    new.symlink_to(target)
    new.rename(relayd.dir / link)


@pytest.mark.parametrize("path", ["main.secret", "current/main.secret"])
def test_behind_a_symbolic_link(make_relayd, connector, path):
    """As projected volumes have it: the directory is exchanged as a whole."""
    relayd = make_relayd().connect_to(connector)
    for version, text in (("v1", connector.gateway().secrets[0]),
                          ("v2", next_secret(connector))):
        (relayd.dir / version).mkdir()
        relayd.daemon.own(relayd.dir / version)
        relayd.write(f"{version}/main.secret", text, 0o600)
    secret_path(relayd).unlink()
    swap(relayd, "current", "v1")
    swap(relayd, "main.secret", "current/main.secret")
    relayd.add_gateway(connector, secret={"file": str(relayd.dir / path)})
    relayd.start(wait="connected")
    since = relayd.log_mark()
    swap(relayd, "current", "v2")
    assert_taken_over(relayd, connector, since)


def test_in_the_credential_directory(make_relayd, connector):
    relayd = make_relayd()
    relayd.env["CREDENTIALS_DIRECTORY"] = str(relayd.dir)
    relayd.write("main.secret", connector.gateway().secrets[0], 0o600)
    relayd.add_gateway(connector).start(wait="connected")
    since = relayd.log_mark()
    relayd.write("main.secret", next_secret(connector), 0o600)
    taken(relayd, since)
    traffic(relayd, connector, "still here")
    redial(relayd, connector)
    assert credential(relayd)["source"] == "directory"


# Files that are not good.

def empty(relayd):
    in_place(secret_path(relayd), "")


def two_lines(relayd):
    in_place(secret_path(relayd), "one\ntwo\n")


def others_can_read(relayd):
    secret_path(relayd).chmod(0o644)


def missing(relayd):
    secret_path(relayd).unlink()


def leads_elsewhere(relayd):
    swap(relayd, "main.secret", "/etc/passwd")


@pytest.mark.parametrize("spoil, words", [
    (empty, "is empty: put a good one there"),
    (two_lines, "a control character or a second line: put a good one there"),
    (others_can_read, "others can use it .mode 0644.: chmod 600"),
    (missing, "No such file or directory: put the file there"),
    (leads_elsewhere, "is a symbolic link to another directory: name the"),
], ids=lambda x: x.__name__ if callable(x) else "")
def test_a_bad_one_and_then_a_good_one(relayd, connector, spoil, words):
    """One warning that says what to do; what works goes on working."""
    since = relayd.log_mark()
    spoil(relayd)
    relayd.wait_log(rf" level=warn .*event=credential gateway=main .*{words}.*"
                    "what was taken stays in use", since=since)
    traffic(relayd, connector, "still here")
    connector.drop()
    relayd.wait_gateway(lambda g: g["state"] == "connected"
                        and g["counters"]["handshakes"] == 2, "to be back")
    relayd.write("main.secret", next_secret(connector), 0o600)
    assert_taken_over(relayd, connector, since)
    assert relayd.log.count("what was taken stays in use") == 1


def test_one_that_is_still_being_written(make_relayd, make_connector):
    """While it grows it is not taken, though another gateway's is."""
    one, two = make_connector(), make_connector("gw-two")
    relayd = make_relayd().connect_to(one).connect_to(two, name="other")
    relayd.start(wait="connected")
    since = relayd.log_mark()
    relayd.write("other.secret", next_secret(two), 0o600)
    written = ""

    def other_is_taken():
        nonlocal written
        written += "x"
        in_place(secret_path(relayd), written)
        return "gateway=other msg=\"another" in relayd.log
    until(other_is_taken, "the other gateway's secret")
    assert "gateway=main msg=\"another" not in relayd.log
    one.rotate(written, keep_s=3600)
    taken(relayd, since)
    redial(relayd, one)


def test_one_that_says_the_same(make_relayd, make_connector):
    """That it was touched is no change: a revocation stands."""
    one, two = make_connector(), make_connector("gw-two")
    relayd = make_relayd().connect_to(one).connect_to(two, name="other")
    relayd.start(wait="connected")
    one.revoke()
    relayd.wait_state(state="disabled")
    dials = len(one.dials)
    since = relayd.log_mark()
    relayd.write("main.secret", secret_path(relayd).read_text(), 0o600)
    relayd.write("other.secret", next_secret(two), 0o600)
    taken(relayd, since, "other")
    assert relayd.gateway()["state"] == "disabled"
    assert credential(relayd)["revoked"]
    assert len(one.dials) == dials
    assert "gateway=main msg=\"another" not in relayd.log


def test_a_bad_one_beside_a_good_one(make_relayd, make_connector):
    """Gateways do not pay for each other."""
    one, two = make_connector(), make_connector("gw-two")
    relayd = make_relayd().connect_to(one).connect_to(two, name="other")
    relayd.start(wait="connected")
    since = relayd.log_mark()
    empty(relayd)
    relayd.write("other.secret", next_secret(two), 0o600)
    taken(relayd, since, "other")
    relayd.wait_log("gateway=main .*is empty", since=since)
    traffic(relayd, one, "still here")
    assert len(one.dials) == len(two.dials) == 1


# What it starts.

def test_missing_and_then_there(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    missing(relayd)
    relayd.start()
    wait_reason(relayd, "No such file or directory")
    relayd.write("main.secret", connector.gateway().secrets[0], 0o644)
    wait_reason(relayd, "mode 0644")
    secret_path(relayd).chmod(0o600)
    relayd.wait_state()
    assert credential(relayd)["usable"]


def test_a_directory_that_is_missing(make_relayd, connector):
    """A volume that is mounted late."""
    relayd = make_relayd().connect_to(connector)
    (relayd.dir / "late").mkdir()
    relayd.daemon.own(relayd.dir / "late")
    relayd.write("late/s", connector.gateway().secrets[0], 0o600)
    (relayd.dir / "late").rename(relayd.dir / "early")
    relayd.add_gateway(connector, secret={"file": str(relayd.dir / "late/s")})
    relayd.start()
    wait_reason(relayd, "No such file or directory")
    (relayd.dir / "early").rename(relayd.dir / "late")
    relayd.wait_state()


def test_after_a_revocation(relayd, connector):
    connector.rotate("newer", keep_old=False)
    connector.drop()
    relayd.wait_state(state="disabled")
    wait_credential(relayd, lambda e: e["revoked"], "to be revoked")
    relayd.write("main.secret", "newer\n", 0o600)
    relayd.wait_state()
    assert credential(relayd)["revoked"] is None


def test_after_a_restart_of_authd(relayd, connector):
    """The next one is taken by its successor too."""
    relayd.kill_and_wait("authd")
    since = relayd.log_mark()
    relayd.write("main.secret", next_secret(connector), 0o600)
    assert_taken_over(relayd, connector, since)


def test_a_reload_in_between(relayd, connector):
    """A reload that finds a changed file has it, and one that fails leaves
    it to be found."""
    since = relayd.log_mark()
    good = relayd.conf.read_text()
    relayd.write("relayd.yaml", "gateways: [")
    relayd.write("main.secret", next_secret(connector), 0o600)
    assert not relayd.reload()["ok"]
    taken(relayd, since)
    relayd.write("relayd.yaml", good)
    assert relayd.reload()["ok"]
    assert len(connector.dials) == 1
    redial(relayd, connector)
