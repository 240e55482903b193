# SPDX-License-Identifier: ISC
"""relay-ctl check: each finding, with and without a running relayd, as root and
as a common user; what may not be looked at is said to be so."""

import contextlib
import json
import os
import pty
import re
import socket
import subprocess

import pytest

from issued import trust_system
from proxy import Proxy
from relay import Daemon, TIMEOUT_S, until

STEPS = ("configuration", "permissions", "users", "kernel", "name", "connect",
         "certificate", "clock", "credential")
RESULTS = ("ok", "warn", "fail", "skip")


class Findings(list):
    """What a check said."""

    def of(self, check, result=None):
        return [f for f in self if f["check"] == check
                and result in (None, f["result"])]

    def one(self, check, result):
        """The only finding of a step that is about a link."""
        found = self.of(check)
        assert [f["result"] for f in found] == [result], found
        return found[0]

    def saying(self, *words):
        found = [f for f in self if all(w in f["what"] for w in words)]
        assert len(found) == 1, (words, found, self)
        return found[0]


def check(relayd, *args, code=None, timeout=60):
    """relay-ctl --json check; its document is of the form that is promised."""
    done = relayd.ctl("--json", "check", *args, timeout=timeout)
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done
    answer = json.loads(lines[0])
    assert answer["schema"] == "relayctl.check/1"
    assert set(answer) == {"ok", "schema", "file", "running", "checks"}
    for finding in answer["checks"]:
        assert set(finding) == {"result", "check", "gateway", "what", "todo"}
        assert finding["check"] in STEPS and finding["result"] in RESULTS
        assert finding["what"]
        if finding["result"] in ("warn", "fail"):
            assert finding["todo"], finding
        assert "as it says" not in (finding["todo"] or ""), finding
        if finding["result"] == "ok":
            assert finding["todo"] is None, finding
    failed = any(f["result"] == "fail" for f in answer["checks"])
    assert answer["ok"] is not failed
    assert done.returncode == (1 if failed else 0), done
    if code is not None:
        assert done.returncode == code, answer
    return Findings(answer["checks"])


def at_rest(relayd, *args, **more):
    """Without a running relayd, its files must be named."""
    return check(relayd, "--all", "-f", str(relayd.conf), "-s",
                 str(relayd.state), *args, **more)


# All is well.

def test_a_healthy_relayd(relayd):
    found = check(relayd, code=0)
    assert not found.of("name", "fail") and {f["check"] for f in found} == \
        set(STEPS)
    assert str(relayd.conf) in found.of("configuration")[0]["what"]
    assert "127.0.0.1" in found.one("name", "ok")["what"]
    found.one("connect", "ok")
    certificate = found.one("certificate", "ok")["what"]
    assert "ca.pem" in certificate and "36" in certificate
    assert "TLSv1.3" in certificate
    found.one("clock", "ok")
    assert "connected, the handshake was" in found.one("credential",
                                                       "ok")["what"]
    for name in ("control.sock", "status.sock", "auth.sock",
                 "agent/main.sock"):
        assert found.saying(f"/{name} ")["result"] == "ok"
    assert found.saying("main.secret")["result"] == "ok"
    assert found.saying("state/authd")["result"] == "ok"
    users = found.of("users")
    if relayd.daemon.is_root:
        assert len(users) == 4 and all(f["result"] == "ok" for f in users)
    else:
        assert [f["result"] for f in users] == ["skip"]


def test_without_a_running_relayd(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    found = at_rest(relayd, code=0)
    found.one("certificate", "ok")
    found.one("clock", "ok")
    credential = found.one("credential", "skip")
    assert "not running" in credential["what"] and credential["todo"]
    assert found.saying("/state: not there yet")["result"] == "ok"


def test_the_connector_sees_no_attempt(make_relayd, connector):
    """Neither an upgrade nor a token comes from a check."""
    at_rest(make_relayd().connect_to(connector))
    assert not connector.dials
    assert connector.state.requests[-1][0] == "HEAD"


def test_a_silent_engine(relayd):
    relayd.kill("engine", 19)       # SIGSTOP
    found = check(relayd)
    assert found.one("credential", "fail")["what"].startswith(
        "relayd runs and does not answer")
    relayd.kill("engine", 18)


# Text.

def test_the_table(relayd):
    done = relayd.ctl("check", timeout=60)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["RESULT", "CHECK", "GATEWAY"]
    column = lines[0].index("GATEWAY")
    rows = [line for line in lines[1:-1] if "you can: " not in line]
    for line in rows:
        assert line.split()[0] in RESULTS and line.split()[1] in STEPS
        assert line[column - 1] == " " and line[column] != " "
    assert re.match(r"0 failed, \d+ to look at, \d+ not looked at$", lines[-1])
    assert "\x1b" not in done.stdout


def on_terminal(relayd, *args, seen=lambda text: None, **env):
    """What is written to a terminal; standard error too.  seen(text) is told
    what came so far, each time."""
    primary, secondary = pty.openpty()
    with subprocess.Popen(
            relayd.ctl_words(*args), stdin=subprocess.DEVNULL, cwd="/",
            stdout=secondary, stderr=secondary,
            env={**relayd.environment(), "TERM": "xterm", **env}) as process:
        os.close(secondary)
        text = b""
        with contextlib.suppress(OSError):
            while data := os.read(primary, 65536):
                text += data
                seen(text.decode(errors="replace"))
        process.wait(TIMEOUT_S)
    os.close(primary)
    return text.decode()


def test_colours_are_for_terminals(relayd):
    assert "\x1b[32mok\x1b[0m" in on_terminal(relayd, "check")
    assert "\x1b" not in on_terminal(relayd, "check", NO_COLOR="1")


def test_a_step_that_takes_long_is_told(make_relayd, connector):
    """At a terminal; until then the listener says nothing."""
    words = "shaking hands by TLS, up to 16 s"
    with socket.create_server(("127.0.0.1", 0)) as server:
        relayd = make_relayd().connect_to(
            connector, url=f"https://127.0.0.1:{server.getsockname()[1]}")

        def end(text):
            if words in text and not ended:
                ended.append(server.accept()[0].close())
        ended = []
        text = on_terminal(relayd, "check", "--all", "-f", str(relayd.conf),
                           seen=end)
    assert words in text
    assert "connection closed by the peer" in text or "reset" in text


@pytest.mark.slow
def test_a_step_has_an_end(make_relayd, connector):
    with socket.create_server(("127.0.0.1", 0)) as server:
        relayd = make_relayd().connect_to(
            connector, url=f"https://127.0.0.1:{server.getsockname()[1]}")
        found = at_rest(relayd, code=1)
    assert "no answer in time" in found.one("certificate", "fail")["what"]


@pytest.mark.parametrize("args", [
    ["check", "main", "-f", "/x"], ["check", "-f", "/x", "-s", "/y"],
    ["check", "a", "b"], ["check", "--every"]])
def test_usage(make_relayd, args):
    done = make_relayd().ctl(*args)
    assert done.returncode == 2 and not done.stdout and "usage" in done.stderr


# Configuration.

def test_a_mistake_in_the_file(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    relayd.configure(relayd.conf.read_text().replace("url:", "ulr:"))
    found = at_rest(relayd, code=1)
    fault = found.of("configuration", "fail")[0]["what"]
    assert re.search(r"relayd\.yaml:\d+:\d+: gateways\.main", fault)
    assert "did you mean url" in fault
    assert found.one("name", "skip")


def test_a_running_relayd_names_its_file(relayd):
    """Changed since, for the worse."""
    relayd.configure(relayd.conf.read_text() + "logs: {}\n")
    assert "did you mean log" in check(relayd, code=1).of(
        "configuration", "fail")[0]["what"]


def test_no_such_gateway(relayd):
    found = check(relayd, "other", code=1)
    assert found.of("configuration", "fail")[0]["gateway"] == "other"


def test_environment_alone(make_relayd, make_connector):
    connector = make_connector(tls=None)
    relayd = make_relayd(None, env={"XDG_CONFIG_HOME": "/nonexistent"})
    relayd.connect_by_environment(connector)
    if os.path.exists("/etc/relayd/relayd.yaml"):
        pytest.skip("this machine has a relayd.yaml of its own")
    relayd.start()
    relayd.wait_state()
    for name in list(relayd.env):
        if name.startswith("GATEWAY_RELAY_"):
            del relayd.env[name]
    found = check(relayd, code=0)
    assert "environment" in found.one("configuration", "skip")["what"]
    found.one("credential", "ok")


# Permissions and users.

def test_a_secret_that_others_can_read(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    path = relayd.dir / "main.secret"
    path.chmod(0o644)
    fault = at_rest(relayd, code=1).saying("main.secret")
    assert (fault["check"], fault["result"]) == ("permissions", "fail")
    assert "others can use it (mode 0644): chmod 600" in fault["what"]
    assert "until then nothing is taken from it" in fault["todo"]
    path.unlink()
    assert at_rest(relayd, code=1).saying("main.secret")["result"] == "fail"


def test_an_identity_token_may_come_later(make_relayd, connector):
    relayd = make_relayd()
    path = relayd.dir / "token"
    relayd.add_gateway(connector, identity_token={"file": str(path)})
    assert at_rest(relayd, code=0).saying("/token")["result"] == "warn"
    relayd.write("token", "x", 0o640)
    assert at_rest(relayd, code=0).saying("/token")["result"] == "ok"
    path.chmod(0o644)
    assert at_rest(relayd, code=1).saying("/token")["result"] == "fail"


def test_a_secret_is_not_opened(make_relayd, connector):
    """One that may not be read by its own owner is good: it is looked at."""
    relayd = make_relayd().connect_to(connector)
    (relayd.dir / "main.secret").chmod(0)
    assert at_rest(relayd, code=0).saying("main.secret")["result"] == "ok"


@pytest.mark.parametrize("name, mode", [("state", 0o777), ("state/authd", 0o750),
                                        ("state/journal", 0o755)])
def test_directories_of_others(relayd, name, mode):
    path = relayd.dir / name
    before = path.stat().st_mode & 0o7777
    path.chmod(mode)
    fault = check(relayd, code=1).saying(f"{path}:")
    path.chmod(before)
    assert fault["result"] == "fail" and f"{mode:04o}" in fault["what"]


def test_a_socket_that_was_changed(relayd):
    path = relayd.agent_path()
    path.chmod(0o666)
    fault = check(relayd, code=1).saying(f"{path}:")
    assert fault["gateway"] == "main" and "0666" in fault["what"]


@pytest.mark.root
@pytest.mark.parametrize("name, mode, result", [
    ("agent", 0o700, "fail"), ("", 0o700, "fail"), ("agent", 0o775, "fail"),
    ("agent", 0o750, "warn"), ("config.json", 0o600, "warn"),
    ("empty", 0o500, "fail")])
def test_what_others_do_not_get_through(relayd, name, mode, result):
    """Of what is in the run directory, and of itself."""
    path = relayd.run / name
    before = path.stat().st_mode & 0o7777
    path.chmod(mode)
    finding = check(relayd).saying(f"{path}:")
    assert finding["result"] == result, finding
    assert finding["todo"].startswith(f"chmod {before:o} {path}")
    path.chmod(before)
    assert check(relayd, code=0).saying(f"{path} ")["result"] == "ok"


@pytest.mark.root
@pytest.mark.parametrize("name", ["agent", "control.sock", "agent/main.sock"])
def test_what_is_somebody_elses(relayd, name):
    path = relayd.run / name
    os.chown(path, 65534, -1)
    assert "uid 65534" in check(relayd, code=1).saying(f"{path}:")["what"]
    os.chown(path, 0, -1)


def test_a_run_directory_of_a_common_user(relayd):
    """What its owner alone uses may be shut to others."""
    path = relayd.run / "agent"
    path.chmod(0o700)
    found = check(relayd)
    path.chmod(0o755)
    assert found.saying(f"{path}:" if relayd.daemon.is_root else f"{path} ")


@pytest.mark.root
@pytest.mark.parametrize("group, listed", [("daemon", True), ("utmp", False)])
def test_a_group_of_nobody(make_relayd, connector, group, listed):
    """It is no fault: who runs an agent may be started with it."""
    relayd = make_relayd().connect_to(
        connector, agents={"group": group}).start(wait="connected")
    what = check(relayd, code=0).saying("agent/main.sock")["what"]
    assert f"group {group}" in what
    assert ("no user is listed in it" not in what) is listed


def test_a_group_that_does_not_exist(make_relayd, connector):
    relayd = make_relayd().connect_to(
        connector, agents={"group": "no-such-group"})
    fault = at_rest(relayd, code=1).saying("no-such-group")
    assert "groupadd" in fault["todo"]


@pytest.mark.root
def test_a_configuration_that_others_can_write(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    relayd.conf.chmod(0o666)
    found = at_rest(relayd, code=1)
    assert "can be written by others" in found.of("permissions", "fail")[0][
        "what"]


@pytest.mark.root
def test_a_user_that_is_missing(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    lines = [line for line in open("/etc/passwd", encoding="utf-8")
             if not line.startswith("_relaydial:")]
    passwd = relayd.write("passwd", "".join(lines))
    script = f"mount --bind {passwd} /etc/passwd && exec \"$@\""
    words = relayd.ctl_words("--json", "check", "--all", "-f", relayd.conf)
    if subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("no mount namespace can be had here")
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", *words],
                          capture_output=True, text=True, check=False,
                          timeout=60, env=relayd.environment(), cwd="/")
    assert done.returncode == 1, done
    fault, = [f for f in json.loads(done.stdout)["checks"]
              if f["check"] == "users" and f["result"] == "fail"]
    assert "_relaydial" in fault["what"] and "sysusers" in fault["todo"]


@pytest.mark.root
def test_somebody_elses_relayd(relayd):
    """A common user, of no group of ours, is told what he may not see."""
    nobody = Daemon("nobody")       # has programs of its own to run
    words = nobody.command("relay-ctl", "-r", relayd.run, "--json", "check",
                           "--all", "-f", relayd.conf, "-s", relayd.state)
    done = subprocess.run(words, capture_output=True, text=True, check=False,
                          timeout=60, env=relayd.environment(), cwd="/")
    nobody.close()
    found = Findings(json.loads(done.stdout)["checks"])
    assert done.returncode == 0, found.of("permissions", "fail")
    assert "not for us" in found.one("credential", "skip")["what"]
    assert found.saying("state/authd")["result"] == "ok"
    assert found.saying("main.secret")["result"] == "ok"
    found.one("certificate", "ok")


# The link.

def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return []


def walls(pid):
    """What /proc tells of a process that is behind walls; else None."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            found = dict(line.split(":", 1) for line in file)
        return found if found["Seccomp"].strip() == "2" else None
    return None


def test_who_reads_foreign_bytes_is_shut_in(make_relayd, connector):
    """While it waits for the first of them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        relayd = make_relayd().connect_to(
            connector, url=f"https://127.0.0.1:{server.getsockname()[1]}")
        env = {**relayd.environment(), "GATEWAY_RELAY_SECRET": "canary"}
        with subprocess.Popen(
                relayd.ctl_words("check", "--all", "-f", str(relayd.conf)),
                stdout=subprocess.DEVNULL, env=env, cwd="/") as process:
            client, _ = server.accept()
            # The one that connected has ended; what came on it is TLS's.
            assert client.recv(1) == b"\x16"
            status = until(lambda: next(filter(None, map(
                walls, children(process.pid))), None), "a child behind walls")
            uids = status["Uid"].split()
            with open(f"/proc/{status['Pid'].strip()}/environ", "rb") as file:
                environ = file.read()
            client.close()
            process.wait(TIMEOUT_S)
    assert status["NoNewPrivs"].strip() == "1"
    assert "0" not in uids
    assert int(status["CapEff"], 16) == 0
    # It was forked, and has nothing of what we may have been told.
    assert b"GATEWAY_RELAY_SECRET=\0" in environ and b"canary" not in environ


def test_a_name_that_does_not_resolve(make_relayd, connector):
    relayd = make_relayd().connect_to(
        connector, url="https://no-such-host.invalid")
    found = at_rest(relayd, code=1)
    fault = found.one("name", "fail")
    assert "no-such-host.invalid" in fault["what"]
    assert "getent hosts no-such-host.invalid" in fault["todo"]
    for step in ("connect", "certificate", "clock"):
        found.one(step, "skip")


def test_nobody_listens(make_relayd, connector):
    connector.stop()
    found = at_rest(make_relayd().connect_to(connector), code=1)
    found.one("name", "ok")
    assert "connection refused" in found.one("connect", "fail")["what"]
    found.one("certificate", "skip")
    connector.start()


@pytest.mark.parametrize("tls, words", [
    ("wrong_name", ("hostname mismatch|IP address mismatch", "127.0.0.1",
                    "other.example")),
    ("expired", ("has expired", "it is for: localhost, 127.0.0.1")),
    ("other_ca", ("no CA of .*ca.pem", "relayd test stranger",
                  "it is for: localhost, 127.0.0.1")),
])
def test_a_certificate_that_is_not_accepted(make_relayd, make_connector, tls,
                                            words):
    found = at_rest(make_relayd().connect_to(make_connector(tls=tls)), code=1)
    fault = found.one("certificate", "fail")
    for word in words:
        assert re.search(word, fault["what"]), fault
    found.one("connect", "ok")
    found.one("clock", "skip")


def test_a_server_name_is_what_is_wanted(make_relayd, make_connector):
    relayd = make_relayd().connect_to(
        make_connector(tls="wrong_name"), tls={"server_name": "other.example"})
    assert "for other.example" in at_rest(relayd, code=0).one(
        "certificate", "ok")["what"]


def test_a_certificate_that_ends_soon(make_relayd, make_connector):
    relayd = make_relayd().connect_to(make_connector(tls="expiring"))
    warning = at_rest(relayd, code=0).one("certificate", "warn")
    assert re.search(r"ends in [89] days", warning["what"])
    assert "renew" in warning["todo"]


def test_what_speaks_no_tls(make_relayd, make_connector, connector):
    plain = make_connector(tls=None)
    relayd = make_relayd().connect_to(
        connector, url=f"https://127.0.0.1:{plain.port}")
    assert "does not speak TLS" in at_rest(relayd, code=1).one(
        "certificate", "fail")["what"]


def test_without_tls(make_relayd, make_connector):
    relayd = make_relayd().connect_to(make_connector(tls=None))
    found = at_rest(relayd, code=0)
    found.one("certificate", "skip")
    found.one("clock", "ok")


def test_a_bundle_that_is_none(make_relayd, connector):
    relayd = make_relayd()
    relayd.connect_to(connector, tls={
        "ca_file": str(relayd.write("empty.pem", "nothing\n"))})
    what = at_rest(relayd, code=1).one("certificate", "fail")["what"]
    assert "empty.pem: holds no certificate (PEM): name the file" in what
    relayd.write("empty.pem", "-----BEGIN CERTIFICATE-----\nx\n")
    assert "empty.pem" in at_rest(relayd, code=1).one("certificate",
                                                     "fail")["what"]
    (relayd.dir / "empty.pem").unlink()
    found = at_rest(relayd, code=1)
    fault = found.one("certificate", "fail")
    assert "empty.pem" in fault["what"]
    assert "tls.ca_file" in fault["todo"]
    assert "ca-certificates" not in fault["todo"]
    found.one("clock", "skip")


def test_a_bundle_of_the_environment_that_is_none(make_relayd, make_connector):
    relayd = make_relayd().connect_to(make_connector())
    relayd.configure(re.sub(r"    tls:\n +ca_file: .*\n", "",
                            relayd.conf.read_text()))
    relayd.env["SSL_CERT_FILE"] = "/nonexistent.pem"
    fault = at_rest(relayd, code=1).one("certificate", "fail")
    assert "SSL_CERT_FILE: /nonexistent.pem" in fault["what"]
    assert "ca-certificates" not in fault["todo"]


@pytest.mark.parametrize("skew, result", [(0, "ok"), (-30, "warn"),
                                          (30, "warn"), (600, "fail"),
                                          (-600, "fail")])
def test_a_clock_that_differs(make_relayd, make_connector, skew, result):
    connector = make_connector(clock_offset=skew)
    found = at_rest(make_relayd().connect_to(connector))
    what = found.one("clock", result)["what"]
    figure = int(re.search(r"by (-?\d+) s", what)[1])
    assert abs(figure - skew) <= 2


def test_an_answer_without_a_date(make_relayd, make_connector):
    relayd = make_relayd().connect_to(make_connector(send_date=False))
    assert "without a Date" in at_rest(relayd, code=0).one("clock",
                                                           "skip")["what"]


def test_what_ends_without_an_answer(make_relayd, make_connector):
    with socket.create_server(("127.0.0.1", 0)) as server:
        relayd = make_relayd().connect_to(make_connector(tls=None), url="http:"
                                          f"//127.0.0.1:"
                                          f"{server.getsockname()[1]}")
        with subprocess.Popen(
                relayd.ctl_words("--json", "check", "--all", "-f",
                                 str(relayd.conf)),
                stdout=subprocess.PIPE, env=relayd.environment(),
                cwd="/") as process:
            client, _ = server.accept()
            client.recv(4096)
            client.sendall(b"SSH-2.0-x\x1b[31m\r\n")
            client.close()
            said = process.communicate(timeout=60)[0].decode()
    warning = Findings(json.loads(said)["checks"]).one("clock", "warn")
    assert "no answer that tells a time" in warning["what"]
    assert "\x1b" not in said and "u001b" not in said


@pytest.mark.parametrize("given", [None, "ann:open sesame"])
def test_through_a_proxy(make_relayd, connector, given):
    relayd = make_relayd()
    with Proxy("ann:open sesame") as proxy:
        setting = {"url": proxy.url}
        if given:
            path = relayd.write("proxy-credentials", given + "\n", 0o600)
            setting["credentials"] = {"file": str(path)}
        relayd.connect_to(connector, proxy=setting)
        found = at_rest(relayd, code=0 if given else 1)
        assert proxy.tunnels == ([f"127.0.0.1:{connector.port}"] if given
                                 else [])
    if given:
        assert [f["result"] for f in found.of("connect")] == ["ok", "ok"]
        found.one("certificate", "ok")
        found.one("clock", "ok")
        assert found.saying("proxy-credentials")["result"] == "ok"
    else:
        fault = found.of("connect", "fail")[0]
        assert "407" in fault["what"]
        found.one("certificate", "skip")


def test_the_environments_proxy(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    with Proxy("ann:open sesame") as proxy:
        relayd.env["https_proxy"] = proxy.url.replace(
            "//", "//ann:open%20sesame@")
        found = at_rest(relayd, code=0)
        assert len(proxy.tunnels) == 1
        assert "https_proxy" in found.of("connect")[0]["what"]
        relayd.env["no_proxy"] = "127.0.0.1"
        at_rest(relayd, code=0)
        assert len(proxy.tunnels) == 1
        relayd.env.update({"no_proxy": "", "https_proxy": "socks5://x"})
        assert "only http://" in at_rest(relayd, code=1).one("name",
                                                             "fail")["what"]


# Token URLs.

def by_token_url(relayd, connector, url, name="main", **more):
    trust_system(relayd, connector)
    return relayd.add_gateway(connector, name, identity_token={
        "oidc": {"url": url}}, **more)


def of_token_url(found):
    """{step: (result, what)} of the token URL's findings."""
    told = [f for f in found if f["what"].startswith("token URL: ")]
    steps = {f["check"]: (f["result"], f["what"], f["todo"]) for f in told}
    assert len(steps) == len(told), told
    return steps


def test_a_token_url(make_relayd, connector):
    relayd = by_token_url(make_relayd(), connector,
                          f"{connector.http_url}/idp/metadata")
    before = len(connector.state.requests)
    steps = of_token_url(at_rest(relayd, code=0))
    assert {name: step[0] for name, step in steps.items()} == {
        "name": "ok", "connect": "ok", "certificate": "ok"}
    # The connector was asked for its time, here it is the same host.
    assert len(connector.state.requests) == before + 1


@pytest.mark.parametrize("url, step, word, todo", [
    ("https://no-such-host.invalid/t", "name", "no-such-host.invalid",
     "identity_token.oidc.url"),
    ("https://127.0.0.1:1/t", "connect", "refused", "what gives tokens"),
    (None, "certificate", "does not speak TLS", "identity_token.oidc.url"),
])
def test_a_token_url_that_leads_nowhere(make_relayd, make_connector, connector,
                                        url, step, word, todo):
    if url is None:
        url = f"https://127.0.0.1:{make_connector(tls=None).port}/t"
    relayd = by_token_url(make_relayd(), connector, url)
    steps = of_token_url(at_rest(relayd, code=1))
    assert steps[step][0] == "fail"
    assert word in steps[step][1] and todo in steps[step][2]
    later = ("name", "connect", "certificate")
    later = later[later.index(step) + 1:]
    assert [steps[name][0] for name in later] == ["skip"] * len(later)
    assert "clock" not in steps


def test_a_token_url_that_a_pinned_secret_makes_idle(make_relayd, connector):
    relayd = make_relayd().connect_to(connector, identity_token={
        "oidc": {"url": "https://no-such-host.invalid/t"}})
    assert not of_token_url(at_rest(relayd, code=0))


def test_a_token_url_of_several_gateways(make_relayd, connector):
    url = f"{connector.http_url}/idp/metadata"
    relayd = by_token_url(make_relayd(), connector, url)
    by_token_url(relayd, connector, url, "other", id="gw-b")
    found = at_rest(relayd, code=0)
    for step in ("name", "connect", "certificate"):
        told = [f for f in found.of(step, "ok") if "token URL" in f["what"]]
        assert [f["gateway"] for f in told] == ["main", "other"]
    assert len(found.of("clock")) == 2


def test_gateways_of_one_connector_are_tried_once(make_relayd, connector):
    connector.register("gw-b", "secret", {"discord": "1"})
    relayd = make_relayd().connect_to(connector, gateway="gw-test")
    relayd.connect_to(connector, "other", "gw-b")
    before = len(connector.state.requests)
    found = at_rest(relayd, code=0)
    assert len(connector.state.requests) == before + 1
    for step in ("name", "connect", "certificate", "clock"):
        assert [f["gateway"] for f in found.of(step, "ok")] == ["main",
                                                                "other"]
    assert [f["gateway"] for f in at_rest(relayd, "other").of("name")] == [
        "other"]


# Credentials.

def test_a_credential_that_is_refused(make_relayd, connector):
    relayd = make_relayd().connect_to(connector)
    relayd.write("main.secret", "0" * 64 + "\n", 0o600)
    relayd.start()
    relayd.wait_gateway(lambda g: g["last_failure"], "to be refused")
    fault = check(relayd, code=1).one("credential", "fail")
    assert "4401" in fault["what"] and "ago" in fault["what"]


def test_a_credential_that_was_not_tried(relayd, connector):
    """The link that is up was made with the secret before it."""
    text = "the next one"
    connector.rotate(text, keep_s=3600)
    relayd.write("main.secret", text + "\n", 0o600)
    relayd.wait_gateway(lambda g: not g["credential"]["worked"],
                        "to have another secret")
    warning = check(relayd, code=0).one("credential", "warn")
    assert warning["what"].startswith("not tried yet (file): it was taken ")
    assert "relay-ctl reconnect main" in warning["todo"]
    assert "not tried yet" in relayd.ctl("explain").stdout
    assert relayd.ctl("reconnect", "main").returncode == 0
    relayd.wait_gateway(lambda g: g["credential"]["worked"], "to be tried")
    assert "accepted (file)" in check(relayd, code=0).one("credential",
                                                          "ok")["what"]
    assert "not tried yet" not in relayd.ctl("explain").stdout


def test_a_credential_that_is_not_shown_yet(relayd, connector):
    """What the one before it has shown is no evidence for it; one that was
    refused is refused, whatever worked before."""
    relayd.write("main.secret", "0" * 64 + "\n", 0o600)
    relayd.wait_gateway(lambda g: not g["credential"]["worked"],
                        "to have another secret")
    connector.stop()
    relayd.wait_state(state="retrying")
    warning = check(relayd).one("credential", "warn")
    assert warning["what"].startswith("not shown yet (file): ")
    connector.start()
    relayd.wait_gateway(lambda g: (g["last_failure"] or {}).get("code") == 4401,
                        "to be refused", timeout=60)
    assert check(relayd, code=1).one("credential", "fail")["what"].startswith(
        "refused (file)")


def test_a_secret_that_is_empty(relayd):
    """relayd goes on with what it has, until it is restarted."""
    relayd.write("main.secret", "", 0o600)
    fault = check(relayd, code=1).saying("main.secret")
    assert fault["result"] == "fail" and "is empty" in fault["what"]


def test_a_credential_that_was_revoked(relayd, connector):
    connector.revoke()
    relayd.wait_state(state="disabled")
    fault = check(relayd, code=1).one("credential", "fail")
    assert "revoked, by this evidence: refused twice" in fault["what"]


def test_a_credential_that_is_missing(make_relayd, connector):
    relayd = make_relayd().add_gateway(connector).start()
    relayd.wait_state(state="unprovisioned")
    relayd.wait_gateway(lambda g: g["credential"]["reason"], "to say why")
    assert "no secret" in check(relayd, code=1).one("credential",
                                                    "fail")["what"]


def test_a_credential_that_is_not_shown(make_relayd, connector):
    """The link fails before it: that is no verdict on it."""
    connector.stop()
    relayd = make_relayd().connect_to(connector).start()
    relayd.wait_gateway(lambda g: g["last_failure"], "to fail")
    warning = check(relayd, code=1).one("credential", "warn")
    assert "not shown since" in warning["what"]
    assert "it never worked" in warning["what"]
    connector.start()
