# SPDX-License-Identifier: ISC
"""After a thousand tokens the secret is nowhere but in relay-authd's secret
memory: not in another process, not in an environment, log, file or core."""

import hashlib
import os
import resource
import secrets
import shutil
import signal
import struct
import subprocess

import pytest

import inject
import memory
import relay
from connector.faults import DialFault

# A gateway gets 50 tokens a second at most (SECRET_RATE): together these have
# theirs in two or three seconds.
GATEWAYS = 8
TOKENS = 1000
# One gateway alone would take 20 s.
TOKENS_OF_ONE = 1000 if os.environ.get("SLOW") else 100
START_TIMEOUT_S = 60
GCORE_TIMEOUT_S = 60
LONG = 65       # bytes, twice as many digits: more than a block of the hash
BLOCK = 64
# Parts of a secret that count as the secret, and how far they are apart.
PIECE, STRIDE = 16, 32

CHILDREN = ("authd", "dialer", "engine")


@pytest.fixture(name="can_look")
def _can_look():
    """Skips where the processes' memory cannot be looked at."""
    reason = inject.cannot()
    if reason:
        pytest.skip(reason)
    if relay.SANITIZED:
        pytest.skip("a sanitizer maps terabytes of shadow memory")


# What is looked for.

def roots(power, count):
    """The first 32 bits of the fractions of the primes' roots (FIPS 180)."""
    primes = [n for n in range(2, 320) if all(n % d for d in range(2, n))]
    return [_root(p << 32 * power, power) & 0xffffffff
            for p in primes[:count]]


def _root(value, power):
    low, high = 0, 1 << 64
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle ** power <= value \
            else (low, middle)
    return low


def compress(block, state):
    """SHA-256's function of one block."""
    def rotate(x, n):
        return (x >> n | x << (32 - n)) & 0xffffffff
    w = list(struct.unpack(">16I", block))
    for i in range(16, 64):
        a, b = w[i - 15], w[i - 2]
        w.append((w[i - 16] + w[i - 7]
                  + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3)
                  + (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10)) & 0xffffffff)
    a, b, c, d, e, f, g, h = state
    for k, x in zip(roots(3, 64), w):
        t = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) \
            + (e & f ^ ~e & g) + k + x
        u = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) \
            + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = ((t + u) & 0xffffffff, a, b, c,
                                  (d + t) & 0xffffffff, e, f, g)
    return [(x + y) & 0xffffffff
            for x, y in zip(state, (a, b, c, d, e, f, g, h))]


def midstate(block):
    """The hash's state, as it lies in memory, after one block."""
    return struct.pack("<8I", *compress(block, roots(2, 8)))


def test_midstate():
    """What is looked for is what libraries have: a block's padding made by
    hand gives the digest that hashlib gives."""
    state = compress(b"abc\x80" + bytes(52) + struct.pack(">Q", 24),
                     roots(2, 8))
    assert struct.pack(">8I", *state) == hashlib.sha256(b"abc").digest()


def needles(secret):
    """All that a secret can be told from, by name: pieces of its text, of the
    bytes its digits stand for, of its key as HMAC has it (RFC 2104), and the
    hash's states after that."""
    text = secret.encode()
    key = text if len(text) <= BLOCK else hashlib.sha256(text).digest()
    found = {}

    def pieces(what, data):
        for at in range(0, len(data) - PIECE + 1, STRIDE):
            found[f"{what}[{at}] of {secret[:6]}"] = data[at:at + PIECE]
    pieces("text", text)
    pieces("bytes", bytes.fromhex(secret))
    if key != text:
        pieces("hashed key", key)
    for name, mask in (("inner", 0x36), ("outer", 0x5c)):
        pieces(f"{name} key", bytes(b ^ mask for b in key))
        block = bytes(b ^ mask for b in key.ljust(BLOCK, b"\0"))
        found[f"{name} state of {secret[:6]}"] = midstate(block)
    return found


def all_needles(canaries):
    return {name: needle for secret in canaries
            for name, needle in needles(secret).items()}


def present(data, wanted):
    return [name for name, needle in wanted.items() if needle in data]


# What must be there, or the search is worth nothing.

def known(role, relayd):
    """Something that this process needs to know."""
    gateway = next(iter(relayd.config["gateways"].values()))
    return b"127.0.0.1" if role == "dialer" else gateway["id"].encode()


# Where it is looked for.

def hiding(relayd):
    """The processes in whose memory no secret can be seen: without secret
    memory root can read what relay-authd has."""
    return [role for role in relay.ROLES
            if role != "authd" or has_secret_memory(relayd)]


def assert_not_in_memory(relayd, wanted, roles):
    for role in roles:
        pid = relayd.role_pid(role)
        control = known(role, relayd)
        total, found = memory.search(pid, {**wanted, "control": control})
        assert found.pop("control"), f"{role}: {total} bytes, no {control}"
        assert total > 1 << 20, role
        leaks = [name for name, count in found.items() if count]
        assert not leaks, f"{role}: {leaks}"


def assert_not_in_proc(relayd, wanted):
    for role in relay.ROLES:
        pid = relayd.role_pid(role)
        for name in ("environ", "cmdline"):
            with open(f"/proc/{pid}/{name}", "rb") as file:
                data = file.read()
            assert not present(data, wanted), f"{role}: {name}"
            assert b"GATEWAY_RELAY_SECRET" not in data, f"{role}: {name}"


def assert_not_in_files(relayd, wanted):
    log = relayd.log.encode()
    assert b"event=mint" in log and not present(log, wanted)
    seen = []
    for place in (relayd.run, relayd.state):
        for path in place.rglob("*"):
            if path.is_file():
                seen.append(path.name)
                assert not present(path.read_bytes(), wanted), path
    assert "state.json" in seen


def assert_not_in_cores(relayd, wanted, gcore):
    for role in relay.ROLES:
        pid = relayd.role_pid(role)
        done = subprocess.run(
            [gcore, "-o", str(relayd.dir / "core"), str(pid)], cwd="/",
            capture_output=True, text=True, check=False,
            timeout=GCORE_TIMEOUT_S, stdin=subprocess.DEVNULL)
        core = relayd.dir / f"core.{pid}"
        assert core.exists(), done.stdout + done.stderr
        data = core.read_bytes()
        core.unlink()
        assert known(role, relayd) in data, role
        assert not present(data, wanted), role


def has_secret_memory(relayd):
    for process in relayd.status()["processes"]:
        if process["role"] == "authd":
            return process["layers"]["secret"] == "held"
    raise LookupError("no relay-authd in the status")


def secret_memory(relayd):
    """relay-authd's secret memory, as it sees it itself.  It cannot be read
    from outside, neither by root nor by a debugger, if the kernel has it."""
    kind = inject.SECRETMEM if has_secret_memory(relayd) else inject.LOCKEDMEM
    with inject.Puppet(relayd.role_pid("authd")) as puppet:
        inside = b""
        for start, end, _, name in inject.maps(puppet.pid):
            if name != kind:
                continue
            if kind == inject.SECRETMEM:
                with pytest.raises(OSError):
                    puppet.peek(start, end - start)
            inside += puppet.show(start, end - start)
        assert inside, f"no {kind}"
        return inside


def assert_nowhere(relayd, canaries):
    wanted = all_needles(canaries)
    assert_not_in_memory(relayd, wanted, hiding(relayd))
    assert_not_in_proc(relayd, wanted)
    assert_not_in_files(relayd, wanted)


# The daemons.

def gateway_names(count):
    return [f"g{number}" for number in range(count)]


def register(connector, count):
    """Make so many gateways known; their canaries by name.  Of several the
    last has one that is longer than a block of the hash."""
    connector.state.gateways.clear()
    canaries = {}
    for name in gateway_names(count):
        last = count > 1 and name == gateway_names(count)[-1]
        canaries[name] = secrets.token_hex(LONG if last else 32)
        connector.register(f"gw-{name}", canaries[name], {"discord": "1234"})
    return canaries


def connect(relayd, connector, canaries, keep_file):
    """Configure the gateways; without keep_file their secrets are not in it,
    nor in any file beside it."""
    for name in canaries:
        relayd.connect_to(connector, name, f"gw-{name}",
                          reconnect={"min": "10ms", "max": "10ms"})
    config = {**relayd.config, "limits": {"dials_per_second": 1000}}
    if not keep_file:
        for name in canaries:
            del config["gateways"][name]["secret"]
            (relayd.dir / f"{name}.secret").unlink()
    relayd.configure(config)


def put_credentials(relayd, canaries):
    """As a service manager lays them ready."""
    directory = relayd.dir / "credentials"
    directory.mkdir(mode=0o700)
    relayd.daemon.own(directory)
    for name, canary in canaries.items():
        path = relayd.write(f"credentials/{name}.secret", canary + "\n")
        path.chmod(0o400)
    relayd.env["CREDENTIALS_DIRECTORY"] = str(directory)


def start(make, connector, source):
    """A daemon whose secrets come from there, connected."""
    count = 1 if source == "environment" else GATEWAYS
    canaries = register(connector, count)
    relayd = make()
    connect(relayd, connector, canaries, source == "file")
    if source == "directory":
        put_credentials(relayd, canaries)
    elif source == "environment":
        relayd.env["GATEWAY_RELAY_SECRET"] = canaries["g0"]
    relayd.start()
    return relayd, canaries


def minted(relayd):
    return sum(gateway["credential"]["minted"]
               for gateway in relayd.status()["gateways"])


def wait_connected(relayd, canaries):
    for name in canaries:
        relayd.wait_state(name, timeout=START_TIMEOUT_S)


def redial(relayd, connector, canaries):
    """Each link anew, with a new token."""
    for name in canaries:
        gateway = connector.gateway(f"gw-{name}")
        old = gateway.link
        connector.drop(gateway=gateway.gateway_id)
        connector.wait_for(
            lambda gateway=gateway, old=old: gateway.link is not old
            and gateway.link and gateway.link.handshaken,
            relay.TIMEOUT_S, "a new link")
    wait_connected(relayd, canaries)


@pytest.fixture(name="make")
def _make(request, daemon):
    """Makes daemons of the user that the test names."""
    if request.param == "root":
        if not daemon.is_root:
            pytest.skip("relayd is not started as root in this run")
        return request.getfixturevalue("make_relayd")
    return request.getfixturevalue("make_unprivileged")


def start_and_mint(make, connector, source):
    """A daemon that has asked for many tokens, and is connected."""
    tokens = TOKENS_OF_ONE if source == "environment" else TOKENS
    connector.on_dial(*[DialFault(drop=True)] * tokens)
    relayd, canaries = start(make, connector, source)
    wait_connected(relayd, canaries)
    assert minted(relayd) >= tokens
    return relayd, canaries


@pytest.mark.usefixtures("can_look")
@pytest.mark.parametrize("make, source", [
    ("root", "file"), ("root", "directory"), ("root", "environment"),
    ("unprivileged", "file"), ("unprivileged", "environment")],
    indirect=["make"])
def test_secret_is_nowhere(make, connector, source):
    relayd, canaries = start_and_mint(make, connector, source)
    assert_nowhere(relayd, canaries.values())
    inside = secret_memory(relayd)
    assert all(canary.encode() in inside for canary in canaries.values())

    # A new relay-authd is given them again; nobody else keeps any.
    relayd.kill_and_wait("authd")
    redial(relayd, connector, canaries)
    assert_nowhere(relayd, canaries.values())
    inside = secret_memory(relayd)
    assert all(canary.encode() in inside for canary in canaries.values())


@pytest.mark.usefixtures("can_look")
@pytest.mark.parametrize("make, source", [
    ("root", "file"), ("root", "environment"),
    ("unprivileged", "environment")], indirect=["make"])
def test_secret_is_in_no_core(make, connector, source):
    gcore = shutil.which("gcore")
    if gcore is None:
        pytest.skip("gcore (Debian's gdb) is not there to force cores")
    relayd, canaries = start_and_mint(make, connector, source)
    assert_not_in_cores(relayd, all_needles(canaries.values()), gcore)


@pytest.mark.usefixtures("can_look")
@pytest.mark.parametrize("make", ["root", "unprivileged"], indirect=True)
def test_another_secret_by_reload(make, connector):
    """The old one is cleansed where it was, the new one is nowhere else."""
    relayd, old = start(make, connector, "file")
    wait_connected(relayd, old)
    new = {name: secrets.token_hex(32) for name in old}
    for name, canary in new.items():
        connector.rotate(canary, keep_old=False, gateway=f"gw-{name}")
        relayd.write(f"{name}.secret", canary + "\n", 0o600)
    assert relayd.reload()["ok"]
    redial(relayd, connector, new)
    assert_nowhere(relayd, [*old.values(), *new.values()])
    inside = secret_memory(relayd)
    assert all(canary.encode() in inside for canary in new.values())
    # Nor is what was made of it.
    assert not present(inside, all_needles(old.values()))


@pytest.mark.usefixtures("can_look")
@pytest.mark.parametrize("make", ["root"], indirect=True)
def test_the_search_finds_what_is_there(make, connector):
    """The control: put into each process, each form is found in it, and in
    its core."""
    relayd, canaries = start(make, connector, "environment")
    wait_connected(relayd, canaries)
    wanted = all_needles(canaries.values())
    planted = b"".join(wanted.values())
    for role in relay.ROLES:
        with inject.Puppet(relayd.role_pid(role)) as puppet:
            puppet.put(planted)
            _, found = memory.search(puppet.pid, wanted)
            assert all(found.values()), role
            with pytest.raises(AssertionError, match="text"):
                assert_not_in_memory(relayd, wanted, [role])
    assert_not_in_memory(relayd, wanted, hiding(relayd))


def test_without_privileges(make_unprivileged, connector):
    """What can be seen without root: the supervisor of the same user (if at
    all), and what it writes."""
    relayd, canaries = start(make_unprivileged, connector, "environment")
    wait_connected(relayd, canaries)
    wanted = all_needles(canaries.values())
    assert_not_in_files(relayd, wanted)
    for role in relay.ROLES:
        with open(f"/proc/{relayd.role_pid(role)}/cmdline", "rb") as file:
            assert not present(file.read(), wanted), role
    try:
        with open(f"/proc/{relayd.pid}/environ", "rb") as file:
            assert not present(file.read(), wanted)
        if not relay.SANITIZED:
            assert_not_in_memory(relayd, wanted, ["supervisor"])
    except PermissionError:
        pass    # it does not let itself be looked at: better still


def leaves_core(directory, user):
    """Whether an ordinary process of this user that aborts here leaves one."""
    words = ["/usr/bin/setpriv", f"--reuid={user}", "--regid=nogroup",
             "--clear-groups", "/bin/sh", "-c",
             "ulimit -c unlimited; kill -ABRT $$"]
    subprocess.run(words, cwd=directory, check=False,
                   stderr=subprocess.DEVNULL, timeout=relay.TIMEOUT_S)
    cores = list(directory.glob("core*"))
    for core in cores:
        core.unlink()
    return bool(cores)


@pytest.mark.parametrize("make", ["root"], indirect=True)
@pytest.mark.parametrize("sig", [signal.SIGABRT, signal.SIGSEGV])
def test_the_kernel_dumps_no_core(make, connector, sig):
    """Not even where it may write, with its limit raised by root."""
    if os.geteuid() != 0:
        pytest.skip("only root can raise the limit")
    relayd, canaries = start(make, connector, "environment")
    wait_connected(relayd, canaries)
    directory = relayd.state / "authd"
    if not leaves_core(directory, "_relayauth"):
        pytest.skip("this system's core_pattern leaves no core where a "
                    "process died")
    pid = relayd.role_pid("authd")
    limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    try:
        resource.prlimit(pid, resource.RLIMIT_CORE, limit)
    except PermissionError:
        pytest.skip("limits of others cannot be raised here "
                    "(no CAP_SYS_RESOURCE)")
    mark = relayd.log_mark()
    relayd.kill_and_wait("authd", sig)
    relayd.wait_log(rf"authd \(pid {pid}\) killed by signal {sig.name}",
                    since=mark)
    assert not list(directory.glob("core*"))
    wait_connected(relayd, canaries)
