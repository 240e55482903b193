# SPDX-License-Identifier: ISC
"""The supervisor's journals: whose they are, what may lie in their place, and
what is kept over the ends of processes, reloads and starts."""

import contextlib
import fcntl
import os
import re
import signal
import stat
import struct
import subprocess

import pytest

import relay
from relay import until

KIB = 1024
MIB = 1024 * KIB
DEFAULT = 16 * MIB
LEAST = 4 * MIB
HEAD = 4096
MAGIC = b"RLYJRNL1"


def journal(relayd, name="main"):
    return relayd.state / "journal" / f"{name}.journal"


def aside(relayd):
    return sorted((relayd.state / "journal").glob("*.bad-*"))


def with_journal(make_relayd, connector, **settings):
    """A Relayd that is not started."""
    relayd = make_relayd()
    return relayd.connect_to(connector, journal=settings)


def place(relayd):
    """journal/ of the daemon's user, before relayd makes it; a path in it."""
    for path in (relayd.state, relayd.state / "journal"):
        path.mkdir(mode=0o700)
        relayd.daemon.own(path)
    return journal(relayd)


def refused(relayd):
    """Start it; it ends with status 1 and this sentence."""
    relayd.start()
    assert relayd.wait_exit() == 1
    said = [line for line in relayd.lines if line.startswith("relayd: ")]
    assert len(said) == 1, relayd.log
    assert "gateways.main.journal: " in said[0]
    return said[0]


def put_journal(relayd, connector, **settings):
    """A good journal's bytes, and its path, from a relayd that has ended."""
    relayd.connect_to(connector, journal=settings)
    relayd.start(wait="connected")
    relayd.stop()
    return journal(relayd).read_bytes(), journal(relayd)


def size_of_memory(relayd):
    """Of the journal that the engine has mapped, by the name of the map."""
    maps = open(f"/proc/{relayd.role_pid('engine')}/maps", encoding="ascii")
    with maps:
        for line in maps:
            if "journal" in line:
                start, end = line.split()[0].split("-")
                return int(end, 16) - int(start, 16), line.split(None, 5)[5]
    return None


# Files.

def test_modes_and_owners(relayd):
    directory, file = journal(relayd).parent.lstat(), journal(relayd).lstat()
    assert stat.S_ISDIR(directory.st_mode) and stat.S_ISREG(file.st_mode)
    assert stat.S_IMODE(directory.st_mode) == 0o700
    assert stat.S_IMODE(file.st_mode) == 0o600
    assert directory.st_uid == file.st_uid == relayd.daemon.uid
    assert file.st_size == DEFAULT
    assert file.st_blocks * 512 >= DEFAULT, "blocks may be lacking later"
    assert journal(relayd).read_bytes()[:len(MAGIC)] == MAGIC


def test_loose_modes_are_tightened(make_relayd, connector):
    relayd = make_relayd()
    _, path = put_journal(relayd, connector)
    path.chmod(0o644)
    path.parent.chmod(0o755)
    relayd.start(wait="connected")
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.lstat().st_mode) == 0o700


def test_only_the_engine_maps_it(relayd):
    for role, pid in relayd.pids().items():
        with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
            assert ("main.journal" in maps.read()) == (role == "engine")
    for role in ("authd", "dialer", "engine"):
        links = os.scandir(f"/proc/{relayd.role_pid(role)}/fd")
        with links:
            held = [os.readlink(link.path) for link in links]
        assert not [path for path in held if "journal" in path], role


@pytest.mark.parametrize("size, bytes_", [("4MiB", LEAST),
                                          ("5000000", 5001216),
                                          ("8MiB", 8 * MIB)])
def test_size(make_relayd, connector, size, bytes_):
    """Whole pages."""
    relayd = with_journal(make_relayd, connector, size=size)
    relayd.start(wait="connected")
    assert journal(relayd).stat().st_size == bytes_
    assert size_of_memory(relayd)[0] == bytes_


@pytest.mark.parametrize("size", ["4095KiB", "1025MiB"])
def test_size_out_of_bounds(make_relayd, connector, size):
    relayd = with_journal(make_relayd, connector, size=size).start()
    assert relayd.wait_exit() == 78
    assert "gateways.main.journal.size" in relayd.log
    assert not journal(relayd).exists()


# What lies in its place.

def bad_heads(good):
    half = good[:len(good) // 2]
    version = good[:8] + struct.pack("<I", 99) + good[12:]
    key = good[:30] + bytes([good[30] ^ 1]) + good[31:]
    return {"not a journal": b"\xa5" * len(good),
            "zeros": bytes(len(good)),
            "another version": version,
            "damaged": key,
            "cut short": half,
            "shorter": good[:100]}


@pytest.mark.parametrize("how, why", [
    ("not a journal", "not a journal"), ("zeros", "not a journal"),
    ("another version", "another version of relayd"),
    ("damaged", "head is damaged"), ("cut short", "was cut short"),
    ("shorter", "shorter than")])
def test_a_bad_head_is_put_aside(make_relayd, connector, how, why):
    relayd = make_relayd()
    good, path = put_journal(relayd, connector, size="4MiB")
    bad = bad_heads(good)[how]
    path.write_bytes(bad)
    relayd.start(wait="connected")
    kept, = aside(relayd)
    assert re.fullmatch(r"main\.journal\.bad-\d{8}T\d{6}", kept.name)
    assert kept.read_bytes() == bad
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    said = relayd.wait_log(" level=warn .*event=journal").string
    assert why in said and kept.name in said and str(path) in said
    assert path.stat().st_size == LEAST
    assert path.read_bytes()[:len(MAGIC)] == MAGIC


def test_a_file_larger_than_any_journal(make_relayd, connector):
    relayd = make_relayd()
    _, path = put_journal(relayd, connector, size="4MiB")
    os.truncate(path, 2 << 40)
    relayd.start(wait="connected")
    assert [kept.stat().st_size for kept in aside(relayd)] == [2 << 40]
    assert path.stat().st_size == LEAST


def test_an_empty_file_is_begun(make_relayd, connector):
    """What is left when relayd is killed as it makes one."""
    relayd = with_journal(make_relayd, connector, size="4MiB")
    path = place(relayd)
    path.touch(0o600)
    relayd.daemon.own(path)
    relayd.start(wait="connected")
    assert path.stat().st_size == LEAST
    assert not aside(relayd)


def test_a_symbolic_link_is_refused(make_relayd, connector):
    relayd = with_journal(make_relayd, connector)
    path = place(relayd)
    target = relayd.write("target", "precious")
    path.symlink_to(target)
    said = refused(relayd)
    assert f"{path}: is a symbolic link" in said
    assert target.read_text() == "precious"


def test_a_directory_is_refused(make_relayd, connector):
    relayd = with_journal(make_relayd, connector)
    path = place(relayd)
    path.mkdir()
    assert f"{path}: is a directory" in refused(relayd)


def test_a_fifo_is_refused(make_relayd, connector):
    relayd = with_journal(make_relayd, connector)
    path = place(relayd)
    os.mkfifo(path)
    relayd.daemon.own(path)
    assert f"{path}: is no regular file" in refused(relayd)


def test_a_second_name_is_refused(make_relayd, connector):
    relayd = make_relayd()
    _, path = put_journal(relayd, connector)
    os.link(path, relayd.dir / "other-name")
    assert "hard link" in refused(relayd)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_a_foreign_owner_is_refused(make_relayd, connector):
    relayd = make_relayd()
    good, path = put_journal(relayd, connector)
    other = 1 if relayd.daemon.uid != 1 else 2
    os.chown(path, other, other)
    said = refused(relayd)
    assert f"{path}: belongs to uid {other}, not to us" in said
    assert path.read_bytes() == good


@pytest.mark.skipif(os.geteuid() != 0, reason="gives directories away")
def test_a_foreign_directory_is_refused(make_relayd, connector):
    relayd = with_journal(make_relayd, connector)
    path = place(relayd)
    path.parent.chmod(0o755)
    os.chown(path.parent, 1, 1)
    assert "belongs to uid 1" in refused(relayd)


def test_a_directory_that_others_can_write_is_refused(make_relayd, connector):
    relayd = with_journal(make_relayd, connector)
    place(relayd).parent.chmod(0o770)
    assert "others can write in it" in refused(relayd)


def test_a_linked_directory_is_refused(make_relayd, connector):
    relayd = with_journal(make_relayd, connector)
    path = place(relayd)
    path.parent.rename(relayd.state / "elsewhere")
    path.parent.symlink_to(relayd.state / "elsewhere")
    assert str(path.parent) in refused(relayd)
    assert not list((relayd.state / "elsewhere").iterdir())


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_another_relayd_is_kept_out(make_relayd, connector, where):
    """It has another run directory, and the same state directory: with or
    without a journal there, both would dial with the same credential."""
    relayd = with_journal(make_relayd, connector, where=where)
    relayd.start(wait="connected")
    other = make_relayd(relayd.config)
    other.state = relayd.state
    other.start()
    assert other.wait_exit() == 1
    assert re.match("relayd: .*in use by another relayd", other.log)
    assert len(connector.dials) == 1
    assert relayd.gateway()["state"] == "connected"
    relayd.kill_and_wait("engine")
    relayd.wait_state()
    assert journal(relayd).exists() == (where == "disk")


def test_a_journal_that_is_locked(make_relayd, connector):
    """By a relayd whose state directory is another one, linked to ours."""
    relayd = with_journal(make_relayd, connector)
    with open(place(relayd), "wb") as file:
        relayd.daemon.own(file.fileno())
        fcntl.flock(file, fcntl.LOCK_EX)
        said = refused(relayd)
    assert str(journal(relayd)) in said
    assert "in use by another relayd" in said


# Growing, and a disk that is full.

def test_it_grows_and_does_not_shrink(make_relayd, connector):
    relayd = make_relayd()
    good, path = put_journal(relayd, connector, size="4MiB")
    mark = relayd.log_mark()
    big, _ = put_journal(relayd, connector, size="8MiB")
    relayd.wait_log("event=journal.*grown from 4194304 to 8388608", since=mark)
    assert len(big) == 8 * MIB and big[:48] == good[:48]
    mark = relayd.log_mark()
    relayd.connect_to(connector, journal={"size": "4MiB"})
    relayd.start(wait="connected")
    said = relayd.wait_log("event=journal.*8388608 bytes", since=mark).string
    assert "stop relayd" in said and "remove it" in said
    assert path.stat().st_size == 8 * MIB
    assert size_of_memory(relayd)[0] == 8 * MIB
    assert not aside(relayd)


def test_holes_are_filled(make_relayd, connector):
    """A copy may be sparse; a mapping must find room when it is written."""
    relayd = make_relayd()
    good, path = put_journal(relayd, connector, size="4MiB")
    path.unlink()
    with open(path, "wb") as file:
        file.write(good[:HEAD])
        file.truncate(LEAST)
    relayd.daemon.own(path)
    assert path.stat().st_blocks * 512 < LEAST
    relayd.start(wait="connected")
    assert path.stat().st_blocks * 512 >= LEAST
    assert not aside(relayd)


@pytest.fixture(name="small_disk")
def _small_disk(tmp_path):
    """Mounts a file system of a few MiB on a directory."""
    mounted = []

    def mount(path, size):
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs",
             str(path)], check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"cannot mount: {done.stderr.strip()}")
        mounted.append(path)
    yield mount
    for path in mounted:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_a_full_disk(make_relayd, connector, small_disk):
    relayd = with_journal(make_relayd, connector, size="8MiB")
    path = place(relayd)
    small_disk(path.parent, "6m")
    relayd.daemon.own(path.parent)
    said = refused(relayd)
    assert "No space left on device" in said and "size" in said
    assert not path.exists(), "what could not be had is not left behind"
    # A smaller one finds room, and cannot grow.
    relayd.connect_to(connector, journal={"size": "4MiB"})
    relayd.start(wait="connected")
    relayd.stop()
    relayd.connect_to(connector, journal={"size": "8MiB"})
    mark = relayd.log_mark()
    relayd.start(wait="connected")
    relayd.wait_log(" level=warn .*event=journal.*cannot grow", since=mark)
    assert path.stat().st_size == LEAST
    agent = relayd.agent()
    connector.say("discord", "c1", "it works all the same")
    agent.ack(agent.inbound("it works all the same"))
    connector.wait_all_acked()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_check_of_the_room(make_relayd, make_connector, small_disk):
    """A check says what a start would, of all new journals together."""
    relayd = make_relayd()
    for number, name in enumerate(("main", "other")):
        relayd.connect_to(make_connector(f"gw-{number}"), name, f"gw-{number}",
                          journal={"size": "4MiB"})
    small_disk(place(relayd).parent, "6m")
    relayd.daemon.own(relayd.state / "journal")

    def check():
        words = relayd.daemon.command("relayd", "-n", *relayd.places())
        done = subprocess.run(words, capture_output=True, text=True,
                              check=False, env=relayd.environment(),
                              timeout=20)
        return done.returncode, done.stdout + done.stderr

    status, said = check()
    assert status == 1 and "OK" not in said, said
    assert (f"gateways.other.journal: {relayd.state}/journal has room for "
            f"{6 * MIB} bytes, and the journals to be made there need "
            f"{8 * MIB}: make room") in said
    assert not list((relayd.state / "journal").iterdir())
    relayd.start()
    assert relayd.wait_exit() == 1
    # Memory needs none, and what is there already has its own.
    relayd.config["gateways"]["other"]["journal"] = {"where": "memory"}
    relayd.configure(relayd.config)
    assert check() == (0, "configuration OK\n")
    relayd.start(wait="connected")
    relayd.stop()
    assert check() == (0, "configuration OK\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_a_full_disk_refuses_a_reload(make_relayd, make_connector,
                                      small_disk):
    """None of the new gateways' journals is left; the old gateway runs on."""
    one, two = make_connector(), make_connector("gw-two")
    three = make_connector("gw-three")
    relayd = with_journal(make_relayd, one, size="4MiB")
    small_disk(place(relayd).parent, "10m")
    relayd.daemon.own(relayd.state / "journal")
    relayd.start(wait="connected")
    relayd.connect_to(two, name="other", journal={"size": "4MiB"})
    relayd.connect_to(three, name="third", journal={"size": "8MiB"})
    answer = relayd.reload()
    assert not answer["ok"], answer
    assert "gateways.third.journal" in answer["error"]
    assert "No space left" in answer["error"]
    assert [p.name for p in (relayd.state / "journal").iterdir()] == [
        "main.journal"]
    assert relayd.gateway()["state"] == "connected"
    assert len(one.dials) == 1


# What is kept.

def one_of_two(relayd, connector):
    """An agent takes the second of two events: its acknowledgement waits for
    the first's, so that the connector repeats both."""
    with relayd.agent() as agent:
        connector.say("discord", "c1", "first")
        connector.say("discord", "c2", "second")
        agent.inbound("first")
        agent.ack(agent.inbound("second"))
        relayd.wait_gateway(lambda g: g["counters"]["agent_acks"] == 1,
                            "to have counted the acknowledgement")
        assert connector.unacked() == 2


def comes_again(relayd, connector):
    """The texts that an agent gets until the connector has nothing left."""
    relayd.wait_state()
    agent = relayd.agent()
    while connector.unacked():
        with contextlib.suppress(TimeoutError):
            message = agent.next(timeout=0.05)
            if message["type"] == "inbound":
                agent.ack(message)
    return [message["event"]["text"] for message in agent.messages
            if message["type"] == "inbound"]


def end_engine(relayd):
    relayd.kill_and_wait("engine")
    until(relayd.agent_path().exists, "the agents' socket")


def end_supervisor(relayd):
    """At once is it started anew: what is left of the old one still ends."""
    relayd.kill("supervisor")
    relayd.process.wait()
    relayd.start()


def end_in_order(relayd):
    relayd.stop()
    relayd.start()


@pytest.fixture(name="keeper")
def _keeper(make_relayd, make_connector):
    """A Relayd with such a journal, and its connector."""
    def make(**settings):
        connector = make_connector(replay_window=0)
        relayd = with_journal(make_relayd, connector, **settings)
        return relayd.start(wait="connected"), connector
    return make


@pytest.mark.parametrize("size", ["4MiB", "16MiB"])
@pytest.mark.parametrize("end", [end_engine, end_supervisor, end_in_order])
def test_a_file_outlives(keeper, end, size):
    relayd, connector = keeper(size=size)
    key = journal(relayd).read_bytes()[:48]
    one_of_two(relayd, connector)
    end(relayd)
    assert comes_again(relayd, connector) == ["first"]
    assert journal(relayd).read_bytes()[:48] == key
    assert not aside(relayd)


def test_memory_outlives_the_engine(keeper):
    relayd, connector = keeper(where="memory", size="4MiB")
    size, name = size_of_memory(relayd)
    assert size == LEAST and name.startswith("/memfd:")
    one_of_two(relayd, connector)
    end_engine(relayd)
    assert comes_again(relayd, connector) == ["first"]
    assert size_of_memory(relayd)[0] == LEAST
    assert not journal(relayd).parent.exists(), "nothing is on the disk"


def test_off_keeps_nothing(keeper):
    relayd, connector = keeper(where="off")
    assert size_of_memory(relayd) is None
    one_of_two(relayd, connector)
    end_engine(relayd)
    assert sorted(comes_again(relayd, connector)) == ["first", "second"]
    assert size_of_memory(relayd) is None
    assert not journal(relayd).parent.exists()


def test_a_file_that_was_cut_is_not_mapped(relayd):
    """It would end each engine by a signal: they give up instead, and the
    next relayd puts it aside."""
    os.truncate(journal(relayd), 8 * KIB)
    relayd.kill("engine")
    relayd.wait_log("engine.*gateways.main.journal: .*smaller than it was")
    os.kill(relayd.pid, signal.SIGTERM)
    relayd.wait_exit()
    relayd.start(wait="connected")
    assert [kept.stat().st_size for kept in aside(relayd)] == [8 * KIB]


@pytest.mark.skipif(relay.SANITIZED, reason="they take the signal")
def test_a_file_that_is_cut_in_use_is_named_by_the_signal(relayd, connector):
    with relayd.agent():
        os.truncate(journal(relayd), 8 * KIB)
        connector.say("discord", "c1", "there is no page for it")
        relayd.wait_log("event=exit .*SIGBUS .a journal's file was cut")


def test_a_file_that_is_taken_away_in_use_is_told(relayd, connector):
    """Once; all goes on, also with the next engine."""
    path = journal(relayd)
    path.rename(path.with_suffix(".elsewhere"))
    said = " level=error .*gateway=main .*main.journal was taken away"
    relayd.wait_log(said)
    relayd.kill_and_wait("engine")
    relayd.wait_state()
    with relayd.agent() as agent:
        connector.say("discord", "c1", "it works all the same")
        agent.ack(agent.inbound("it works all the same"))
        connector.wait_all_acked()
    path.with_suffix(".elsewhere").rename(path)
    assert len(re.findall(said, relayd.log)) == 1
    relayd.stop()
    mark = relayd.log_mark()
    relayd.start(wait="connected")
    assert not re.search("event=journal", "\n".join(relayd.lines[mark:]))


# Reload.

def is_locked(path):
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_reload_adds_and_removes(relayd, make_connector):
    config = relayd.config
    two = make_connector("gw-two")
    path = journal(relayd, "other")
    relayd.connect_to(two, name="other", journal={"size": "4MiB"})
    with_other = relayd.config
    assert relayd.reload()["ok"]
    relayd.wait_state("other")
    assert path.stat().st_size == LEAST and is_locked(path)
    key = path.read_bytes()[:48]
    relayd.configure(config)
    mark = relayd.log_mark()
    assert relayd.reload()["ok"]
    relayd.wait_log(f"event=journal.*gateway=other.*{path} stays", since=mark)
    until(lambda: not is_locked(path), "the lock to be given back")
    assert path.stat().st_size == LEAST
    # It comes back, and has its journal again.
    relayd.configure(with_other)
    assert relayd.reload()["ok"]
    relayd.wait_state("other")
    assert is_locked(path) and path.read_bytes()[:48] == key
    assert not aside(relayd)
    assert relayd.gateway()["counters"]["dials"] == 1


def test_a_refused_reload_leaves_no_journal(relayd, make_connector):
    relayd.connect_to(make_connector("gw-two"), name="other")
    relayd.connect_to(make_connector("gw-3"), name="third",
                      secret={"file": "/nonexistent/secret"})
    answer = relayd.reload()
    assert not answer["ok"] and "third" in answer["error"], answer
    assert [p.name for p in journal(relayd).parent.iterdir()] == [
        "main.journal"]


def test_reload_takes_sync_at_once(relayd, connector):
    mark = relayd.log_mark()
    relayd.connect_to(connector, journal={"sync": True})
    answer = relayd.reload()
    assert answer["ok"] and "1 changed" in answer["text"], answer
    agent = relayd.agent()
    connector.say("discord", "c1", "the link stays")
    agent.ack(agent.inbound("the link stays"))
    connector.wait_all_acked()
    assert len(connector.dials) == 1
    assert not [line for line in relayd.lines[mark:] if "event=journal" in line]


def test_reload_keeps_where_and_size(relayd, connector):
    path = journal(relayd)
    for settings in ({"size": "32MiB"}, {"where": "memory"}, {"where": "off"}):
        mark = relayd.log_mark()
        relayd.connect_to(connector, journal=settings)
        assert relayd.reload()["ok"]
        said = relayd.wait_log("event=journal.*started anew", since=mark)
        assert f"disk, {DEFAULT} bytes" in said.string
    relayd.kill_and_wait("engine")
    relayd.wait_state()
    assert size_of_memory(relayd) == (DEFAULT, f"{path}\n")
    relayd.stop()
    relayd.start(wait="connected")
    assert size_of_memory(relayd) is None
    assert path.stat().st_size == DEFAULT
