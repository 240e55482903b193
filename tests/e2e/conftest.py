# SPDX-License-Identifier: ISC
"""Fixtures for all end-to-end tests; relay.py is what they hand out.

    connector        a Connector on wss:// with the gateway gw-test; at the end
                     of the test it must have seen no breach of the contract
                     (unless the test is marked `breach`)
    relayd           a Relayd connected to it, as RELAYD_TEST_USER says; stopped
                     in order at the end
    make_relayd      makes one that is not started: make_relayd(config, …)
    unprivileged     as `relayd`, but never with root's privileges
    make_connector   more connectors: make_connector(tls="expired", …)
    issuer           a Connector that knows no gateway yet, but an identity
                     token of a tenant: issuer.token
    host             a bare Relayd, started: its gateway, known to `issuer`,
                     waits to be enrolled
    eager            a connector that sends without waiting for
                     acknowledgements
    busy             a Relayd connected to that one
    rundir           a directory as relayd's own, for a server in its place
    public_dir       a directory that everybody reaches

Marks: `root` needs relayd started as root; `breach` lets the connector see
breaches; `unclean` lets relayd be gone, or be killed, at the end of the test.
"""

import contextlib
import os
import secrets
import signal
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from connector.face import Connector    # noqa: E402
import issued                           # noqa: E402
import relay                            # noqa: E402

# Lines of relayd's log that a failed test shows.
LOG_LINES = 200


def pytest_configure(config):
    for line in ("root: needs relayd to be started as root",
                 "breach: the connector may see breaches of the contract",
                 "unclean: relayd may be gone or killed at the end",
                 "slow: only in make check-release"):
        config.addinivalue_line("markers", line)
    # Tests of one file share what took long to make.
    if getattr(config.option, "dist", "no") == "load":
        config.option.dist = "loadfile"


def pytest_sessionstart():
    # A shell's background jobs ignore ^C and what quits, and so would all
    # that is started here and is to be ended by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    missing = [name for name in relay.PROGRAMS
               if not (relay.BUILD / name).exists()]
    if missing:
        pytest.exit(f"{relay.BUILD} lacks {', '.join(missing)}; run make",
                    returncode=2)


def pytest_collection_modifyitems(items):
    started_as_root = _daemon().is_root
    for item in items:
        if item.get_closest_marker("root") and not started_as_root:
            item.add_marker(pytest.mark.skip(reason="needs root"))
        if item.get_closest_marker("slow") and not os.environ.get("SLOW"):
            item.add_marker(pytest.mark.skip(reason="set SLOW=1"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows relayd's log and what the connector saw."""
    report = (yield).get_result()
    if not report.failed:
        return
    for number, daemon in enumerate(getattr(item, "relayds", ()), 1):
        with contextlib.suppress(OSError):
            report.sections.append(
                (f"relayd {number}: {daemon.conf}", daemon.conf.read_text()))
        report.sections.append((f"relayd {number}: log",
                                "\n".join(daemon.lines[-LOG_LINES:])))
    for number, connector in enumerate(getattr(item, "connectors", ()), 1):
        report.sections.append((f"connector {number}", "\n".join(
            [connector.status(), *map(str, connector.violations)])))


def _daemon():
    """Who relayd runs as in this session."""
    return relay.Daemon(os.environ.get("RELAYD_TEST_USER")
                        if os.geteuid() == 0 else None)


@pytest.fixture(scope="session", name="daemon")
def _session_daemon():
    daemon = _daemon()
    yield daemon
    daemon.close()


@pytest.fixture(scope="session", name="unprivileged_daemon")
def _unprivileged_daemon(daemon):
    if not daemon.is_root:
        yield daemon
        return
    nobody = relay.Daemon("nobody")
    yield nobody
    nobody.close()


@pytest.fixture(scope="session", name="ca_dir")
def _ca_dir(tmp_path_factory):
    """One CA for all connectors of the session: keys take time to make."""
    return tmp_path_factory.mktemp("ca")


@pytest.fixture(name="make_connector")
def _make_connector(request, ca_dir):
    made = request.node.connectors = []

    def make(gateway="gw-test", platforms=None, secret=None, tls="good",
             **settings):
        connector = Connector(ca_dir, tls=tls, **settings)
        made.append(connector)
        connector.register(gateway, secret or secrets.token_hex(32),
                           platforms or {"discord": "1234"})
        return connector.start()
    yield make
    for connector in made:
        connector.stop()
    if not request.node.get_closest_marker("breach"):
        for connector in made:
            connector.assert_clean(unknown=True)


@pytest.fixture(name="eager")
def _eager(make_connector):
    return make_connector(replay_window=0)


@pytest.fixture(name="issuer")
def _issuer(make_connector):
    connector = make_connector()
    connector.state.gateways.clear()
    connector.token = connector.http.idp.issue(issued.TENANT)
    return connector


@pytest.fixture(name="connector")
def _connector(make_connector):
    return make_connector()


def _maker(request, daemon):
    made = request.node.__dict__.setdefault("relayds", [])
    mine = []

    def make(config=None, **kwargs):
        relayd = relay.Relayd(daemon, config, **kwargs)
        made.append(relayd)
        mine.append(relayd)
        return relayd
    try:
        yield make
        if not request.node.get_closest_marker("unclean"):
            for relayd in mine:
                if relayd.process and not relayd.stopped:
                    relayd.stop()
    finally:
        for relayd in mine:
            relayd.destroy()


@pytest.fixture(name="make_relayd")
def _make_relayd(request, daemon):
    yield from _maker(request, daemon)


@pytest.fixture(name="make_unprivileged")
def _make_unprivileged(request, unprivileged_daemon):
    yield from _maker(request, unprivileged_daemon)


@pytest.fixture(name="relayd")
def _relayd(make_relayd, connector):
    return make_relayd().connect_to(connector).start(wait="connected")


@pytest.fixture(name="host")
def _host(make_relayd, issuer):
    issuer.register("gw-test", "0" * 64, {"discord": "1234"})
    relayd = issued.bare(make_relayd(), issuer).start()
    issued.wait_reason(relayd, "403")
    return relayd


@pytest.fixture(name="unprivileged")
def _unprivileged(make_unprivileged, connector):
    return make_unprivileged().connect_to(connector).start(wait="connected")


@pytest.fixture(name="busy")
def _busy(make_relayd, eager):
    return make_relayd().connect_to(eager).start(wait="connected")


@pytest.fixture(name="rundir")
def _rundir(tmp_path_factory):
    """Short enough for a socket's path."""
    path = tmp_path_factory.mktemp("r")
    (path / "agent").mkdir()
    return path


@pytest.fixture(name="public_dir")
def _public_dir():
    """A directory that everybody reaches: another run of pytest may close
    those of pytest at any time."""
    with tempfile.TemporaryDirectory(prefix="rt-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
