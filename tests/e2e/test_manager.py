# SPDX-License-Identifier: ISC
"""Under a service manager: its files, what it is told, what it passes.

No manager runs where this is tried: unit_start.py stands in for it.  What it
raises around relayd are the walls of etc/relayd.service, and its sockets come
as the manager hands them over.
"""

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

import relay
from base import ROOT, SANITIZED, TIMEOUT_S, until
from issued import credential, provisioned, wait_reason
from unit_start import START

ETC = ROOT / "etc"
SERVICES = sorted(p.name for p in ETC.glob("*.service"))
UNITS = sorted(p.name for p in ETC.iterdir()
               if p.suffix in (".service", ".socket", ".target"))
# What systemd-analyze calls 2.3.
MOST_EXPOSED = 23


def run(*words, **more):
    return subprocess.run([str(w) for w in words], capture_output=True,
                          text=True, check=False, timeout=120, **more)


# The files.

@pytest.mark.parametrize("unit", SERVICES)
def test_how_exposed_a_unit_is(unit):
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager",
               f"--threshold={MOST_EXPOSED}", ETC / unit)
    last = (done.stdout.strip() or done.stderr).splitlines()[-1]
    assert done.returncode == 0, last


@pytest.fixture(name="installed", scope="module")
def _installed(tmp_path_factory):
    """Where `make install` has put it all; the units name that place."""
    prefix = tmp_path_factory.mktemp("prefix")
    done = run("make", "-s", "-C", ROOT, f"VARIANT={relay.BUILD.name}",
               "install", f"PREFIX={prefix}")
    assert done.returncode == 0, done.stderr
    return prefix


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_is_right(installed, unit):
    path = installed / "lib/systemd/system" / unit
    assert path.exists()
    if "@" in unit:
        path = shutil.copy(path, path.with_name(unit.replace("@", "@main")))
    done = run("systemd-analyze", "verify", "--man=no", path)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_unit_that_is_wrong_would_be_told(installed):
    path = installed / "lib/systemd/system/wrong.service"
    path.write_text("[Service]\nExecStart=/nonexistent\nNonsense=yes\n")
    done = run("systemd-analyze", "verify", "--man=no", path)
    path.unlink()
    assert "Nonsense" in done.stderr and done.returncode != 0


def words_of(unit, name):
    return [word for line in (ETC / unit).read_text().splitlines()
            if line.startswith(f"{name}=")
            for word in line.partition("=")[2].split()]


def test_how_the_units_hang_together():
    assert "78" in words_of("relayd.service", "RestartPreventExitStatus")
    assert words_of("relayd.service", "Type") == ["notify"]
    online = "relayd-online.service"
    assert words_of("relayd-online.target", "Requires") == [online]
    assert online in words_of("relayd-online.target", "After")
    for name in ("Requires", "After", "PartOf"):
        assert words_of(online, name) == ["relayd.service"]
    for unit in UNITS:
        if unit.endswith(".socket"):
            assert words_of(unit, "Service") == ["relayd.service"]
            assert words_of(unit, "SocketMode") == ["0660"]


def test_what_the_units_run_is_understood():
    """Each command line of relay-ctl is one that it knows."""
    for unit, name in (("relayd.service", "ExecReload"),
                       ("relayd-online.service", "ExecStart")):
        words = words_of(unit, name)
        assert words[0] == "/usr/bin/relay-ctl"
        done = run(relay.BUILD / "relay-ctl", *(
            "/nonexistent" if w == "/run/relayd" else w for w in words[1:]))
        assert done.returncode == 3, (words, done.stderr)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_users_and_directories(tmp_path, installed):
    """What sysusers and tmpfiles make, in an empty tree."""
    conf = installed / "lib/sysusers.d/relayd.conf"
    done = run("systemd-sysusers", "--dry-run", f"--root={tmp_path}", conf)
    assert done.returncode == 0, done.stderr
    (tmp_path / "etc").mkdir()
    done = run("systemd-sysusers", f"--root={tmp_path}", conf)
    assert done.returncode == 0, done.stderr
    users = {line.split(":")[0]: int(line.split(":")[2]) for line in
             (tmp_path / "etc/passwd").read_text().splitlines()}
    groups = (tmp_path / "etc/group").read_text()
    roles = set(re.findall(r'\.user = "(\w+)"',
                           (ROOT / "common/role.c").read_text()))
    assert roles and roles == users.keys()
    assert all(f"{g}:" in groups for g in ("relay-agents", "relay-operators"))
    done = run("systemd-tmpfiles", "--create", f"--root={tmp_path}",
               installed / "lib/tmpfiles.d/relayd.conf")
    assert done.returncode == 0, done.stderr
    made = {path: ((tmp_path / path).stat().st_mode & 0o7777,
                   (tmp_path / path).stat().st_uid)
            for path in ("etc/relayd", "run/relayd", "var/lib/relayd",
                         "var/lib/relayd/authd")}
    assert made.pop("var/lib/relayd/authd") == (0o700, users["_relayauth"])
    assert set(made.values()) == {(0o755, 0)}


# What it is told.

class Manager:
    """What was told to a service manager, in order."""

    def __init__(self):
        # Abstract: reachable by every user, gone with the descriptor.
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.name = f"@relayd-test-{os.getpid()}-{id(self)}"
        self.sock.bind("\0" + self.name[1:])
        self.told = []

    def fill(self):
        """Others told so much that there is no room until it is read."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    other.sendto(b"X_FILLER=1", "\0" + self.name[1:])

    def wait(self, *texts):
        """Read until a datagram holds all the texts; that datagram."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"waited {TIMEOUT_S} s to be told "
                                   f"{texts}; told: {self.told[-20:]}")
            self.sock.settimeout(left)
            with contextlib.suppress(socket.timeout):
                message = self.sock.recv(4096).decode()
                self.told.append(message)
                if all(text in message for text in texts):
                    return message


@pytest.fixture(name="manager")
def _manager():
    manager = Manager()
    yield manager
    manager.sock.close()


def test_life(make_relayd, connector, manager):
    relayd = make_relayd(env={"NOTIFY_SOCKET": manager.name,
                              "WATCHDOG_USEC": "400000"})
    relayd.connect_to(connector).start()
    manager.wait("READY=1")
    assert manager.wait("STATUS=main connected") == "STATUS=main connected"
    manager.wait("WATCHDOG=1")
    for pid in relayd.pids().values():
        with open(f"/proc/{pid}/environ", "rb") as environ:
            if pid != relayd.pid:
                assert b"NOTIFY_SOCKET" not in environ.read()
    os.kill(relayd.pid, signal.SIGHUP)
    told = manager.wait("RELOADING=1")
    began = int(re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", told)[1])
    assert 0 < began <= time.monotonic_ns() // 1000
    manager.wait("READY=1")
    relayd.stop()
    manager.wait("STOPPING=1")


def test_who_has_no_room_is_told_later(make_relayd, connector, manager):
    """What a start or a reload waits for, in order; of status the newest."""
    manager.fill()
    relayd = make_relayd(env={"NOTIFY_SOCKET": manager.name})
    relayd.connect_to(connector).start(wait="connected")
    relayd.wait_log("event=ready ")
    manager.wait("READY=1")
    manager.wait("STATUS=main connected")
    manager.fill()
    seen = len(manager.told)
    assert relayd.reload()["ok"]
    relayd.ctl("disable", "main")
    relayd.wait_state(state="disabled")
    manager.wait("STATUS=main disabled")
    told = [t for t in manager.told[seen:] if t.startswith("RE")]
    assert [t.split("=")[0] for t in told] == ["RELOADING", "READY"], told
    manager.fill()
    relayd.stop()


def test_a_refused_reload_ends_too(make_relayd, connector, manager):
    relayd = make_relayd(env={"NOTIFY_SOCKET": manager.name})
    relayd.connect_to(connector).start(wait="connected")
    manager.wait("READY=1")
    relayd.configure("gateways: [")
    assert relayd.ctl("reload").returncode == 1
    manager.wait("RELOADING=1", "MONOTONIC_USEC=")
    manager.wait("READY=1")


def test_the_status_names_each_state(make_relayd, make_connector, manager):
    one, two = make_connector(), make_connector("gw-two")
    relayd = make_relayd(env={"NOTIFY_SOCKET": manager.name})
    relayd.connect_to(one)
    relayd.write("two.pem", Path(two.ca_file).read_text())
    relayd.connect_to(two, "other", "gw-two",
                      reconnect={"min": "20s", "max": "30s"})
    relayd.start()
    manager.wait("STATUS=main connected; other connected")
    two.stop()
    told = manager.wait("STATUS=main connected; other retrying: ",
                        ", next try at ")
    assert re.search(r", next try at \d\d:\d\d:\d\d UTC$", told), told
    relayd.ctl("disable", "other")
    manager.wait("other disabled: ")
    relayd.ctl("enable", "other")
    relayd.kill_and_wait("engine")
    manager.wait("main unknown")
    manager.wait("main connected")
    two.start()


def test_foreign_words_stay_in_the_status(make_relayd, connector, manager):
    """A connector says why it refuses; that cannot tell the manager more."""
    relayd = make_relayd(env={"NOTIFY_SOCKET": manager.name})
    relayd.connect_to(connector, reconnect={"min": "20s", "max": "30s"})
    relayd.start(wait="connected")
    connector.stop(goodbye=(1011, "no\nMAINPID=1\nWATCHDOG=trigger\x1b[2J"))
    told = manager.wait("STATUS=main retrying")
    assert "MAINPID=1" in told and "\x1b" not in told
    relayd.stop()
    manager.wait("STOPPING=1")
    known = re.compile(r"(STATUS=[^\n]{0,500}|READY=1|STOPPING=1|"
                       r"RELOADING=1\nMONOTONIC_USEC=\d+)")
    assert all(known.fullmatch(told) for told in manager.told), manager.told


def test_the_watchdog_does_not_ask_for_a_connection(make_relayd, connector,
                                                     manager):
    """Fed while all answer, never by connectivity."""
    relayd = make_relayd(env={"NOTIFY_SOCKET": manager.name,
                              "WATCHDOG_USEC": "400000"})
    relayd.connect_to(connector).start(wait="connected")
    connector.stop()
    manager.wait("STATUS=main retrying")
    manager.wait("WATCHDOG=1")
    connector.start()
    relayd.wait_state()


# The credential directory.

def lay_ready(relayd, **files):
    directory = relayd.dir / "credentials"
    directory.mkdir(mode=0o700)
    relayd.daemon.own(directory)
    for name, text in files.items():
        path = relayd.write(
            f"credentials/{name.replace('__', '.').replace('_', '-')}",
            text + "\n")
        path.chmod(0o400)
    relayd.env["CREDENTIALS_DIRECTORY"] = str(directory)


@pytest.mark.parametrize("prefix", ["", "relayd__"])
def test_a_secret_laid_ready(make_relayd, connector, prefix):
    relayd = make_relayd()
    lay_ready(relayd, **{
        f"{prefix}main__secret": connector.gateway().secrets[0]})
    relayd.add_gateway(connector).start(wait="connected")
    assert relayd.gateway()["credential"]["source"] == "directory"


def test_an_identity_token_laid_ready(make_relayd, issuer):
    relayd = make_relayd()
    lay_ready(relayd, main__identity_token=issuer.token)
    relayd.add_gateway(issuer).start(wait="connected")
    assert relayd.gateway()["credential"]["source"] == "provisioned"


def test_a_bad_identity_token_laid_ready_is_named(make_relayd, issuer):
    relayd = make_relayd()
    lay_ready(relayd, main__identity_token=issuer.token)
    (relayd.dir / "credentials/main.identity-token").chmod(0o644)
    relayd.add_gateway(issuer).start()
    assert "main.identity-token" in wait_reason(relayd, "chmod 600")["reason"]


def test_a_delivery_key_laid_ready(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    lay_ready(relayd, main__delivery_key="d" * 64)
    relayd.start(wait="connected")
    assert credential(relayd)["delivery_key"]


# Exit statuses: what is wrong stays wrong, what passes is tried again.

def refused(make_relayd, text):
    relayd = make_relayd()
    relayd.configure(text)
    relayd.start()
    code = relayd.wait_exit()
    return code, relayd.log


GATEWAY = """gateways:
  main:
    url: https://connector.example
    identities:
      - {platform: discord, bot_id: "1"}
"""
PROXY = """    proxy:
      url: http://proxy.example:1
      credentials:
        file: /nonexistent
"""
MISTAKES = {
    "no YAML": "gateways: [",
    "an unknown key": "gatways: {}\n",
    "no gateway": "gateways: {}\n",
    "no such group": "control: {group: no-such-group}\n" + GATEWAY,
    "no such agents' group": GATEWAY + "    agents: {group: no-such-group}\n",
    "no CA file": GATEWAY + "    tls: {ca_file: /nonexistent}\n",
    "a CA file that holds none": GATEWAY + "    tls: {ca_file: /etc/passwd}\n",
    "no proxy credentials": GATEWAY + PROXY,
    "no such user": GATEWAY + """    identity_token:
      command: [/bin/true]
      user: no-such-user
""",
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_not_tried_again(make_relayd, name):
    if name == "no such user" and not make_relayd().daemon.is_root:
        pytest.skip("without root a command has no user of its own")
    relayd = make_relayd()
    relayd.configure(MISTAKES[name])
    relayd.start()
    assert relayd.wait_exit() == 78, relayd.log


def test_a_file_that_is_not_there_is_a_mistake(make_relayd):
    relayd = make_relayd({"gateways": {}})
    relayd.conf.unlink()
    relayd.start()
    assert relayd.wait_exit() == 78


def test_what_may_pass_is_tried_again(make_relayd, connector, relayd):
    second = make_relayd().connect_to(connector)
    second.run = relayd.run
    second.start()
    assert second.wait_exit() == 1      # the lock is held
    starved = make_relayd().connect_to(connector)
    starved.before = ["/usr/bin/prlimit", "--nofile=4", "--"]
    starved.start()
    assert starved.wait_exit() not in (0, 78), starved.log


# The walls of the unit.

class Housed(relay.Daemon):
    """Programs where a private /tmp does not hide them."""

    def __init__(self):
        super().__init__()
        self.house = self.make_dir()

    @property
    def programs(self):
        return self.house


@pytest.fixture(name="walled")
def _walled(make_relayd):
    """relayd as the manager starts it; not yet started."""
    house = Housed()
    for name in relay.PROGRAMS:
        shutil.copy2(relay.BUILD / name, house.house)
    relayd = make_relayd()
    relayd.daemon = house
    # What tmpfiles makes: root has no power over files in there.
    authd = pwd.getpwnam("_relayauth")
    relayd.state.mkdir(mode=0o755)
    (relayd.state / "authd").mkdir(mode=0o700)
    os.chown(relayd.state / "authd", authd.pw_uid, authd.pw_gid)
    relayd.before = START + [
        "--unit", str(ETC / "relayd.service"), "--write", str(relayd.dir),
        "--"]
    yield relayd
    shutil.rmtree(house.house)


needs_walls = [pytest.mark.root,
               pytest.mark.skipif(SANITIZED, reason="a sanitizer's own needs")]


def in_the_walls(relayd, *args):
    """relay-ctl as ExecReload= runs it."""
    words = relayd.before + [str(relayd.daemon.programs / "relay-ctl"),
                             "-r", str(relayd.run), *args]
    return run(*words, env=relayd.environment(), cwd="/")


class TestWalls:
    pytestmark = needs_walls

    def test_it_works_in_there(self, walled, connector):
        """Link, agents' group, journal, reload, engines; every layer holds."""
        walled.connect_to(connector, agents={"group": "relay-agents"})
        walled.start(wait="connected")
        assert walled.agent_path().group() == "relay-agents"
        with walled.agent() as agent:
            connector.say("discord", "c1", "hello")
            delivery = agent.inbound("hello")
            agent.ack(delivery)
            assert agent.reply(delivery, "hi")["success"]
            connector.wait_all_acked()
        done = in_the_walls(walled, "reload")
        assert done.returncode == 0, done.stderr
        walled.kill_and_wait("engine")
        walled.wait_state()
        for process in walled.status()["processes"]:
            assert not process.get("lacking"), process
        shown = walled.ctl("show", "processes").stdout
        assert "chroot" in shown and "secret" in shown, shown
        caps = re.search(r"CapEff:\s*(\w+)", Path(
            f"/proc/{walled.pid}/status").read_text())[1]
        # kill, setgid, setuid, sys_chroot
        assert int(caps, 16) == 1 << 5 | 1 << 6 | 1 << 7 | 1 << 18
        assert "Operation not permitted" not in walled.log
        walled.stop()

    def test_it_is_provisioned_in_there(self, walled, issuer):
        """Exchanges, names by the resolver, what relay-authd keeps."""
        provisioned(walled, issuer).start(wait="connected")
        assert walled.gateway()["credential"]["source"] == "provisioned"
        walled.stop()

    def test_a_secret_of_its_user(self, walled, connector):
        """Of relay-authd's user, where root without power cannot look."""
        walled.connect_to(connector)
        authd = pwd.getpwnam("_relayauth")
        path = walled.dir / "main.secret"
        os.chown(path, authd.pw_uid, authd.pw_gid)
        walled.start(wait="connected")
        walled.stop()

    def test_a_hung_child_is_ended(self, walled, connector):
        """It has another user: the supervisor must be able to."""
        walled.connect_to(connector).start(wait="connected")
        walled.kill("engine", signal.SIGSTOP)
        walled.look()
        os.kill(walled.pid, signal.SIGTERM)
        assert walled.wait_exit() == 0
        walled.assert_gone()

    def test_what_tmpfiles_did_not_make(self, walled, connector):
        walled.connect_to(connector)
        (walled.state / "authd").rmdir()
        walled.start()
        assert walled.wait_exit() == 1
        assert "systemd-tmpfiles" in walled.log

    def test_nothing_else_can_be_written(self, walled):
        done = run(*walled.before, "/bin/sh", "-c",
                   "touch /etc/x /usr/x /var/lib/x /dev/x; ls /root; "
                   "cat /etc/shadow >/dev/null; chown 1 /etc")
        assert done.returncode != 0
        said = done.stderr
        assert said.count("Read-only file system") >= 3, said
        until(lambda: not Path("/etc/x").exists(), "nothing to be written")
