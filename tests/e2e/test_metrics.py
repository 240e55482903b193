# SPDX-License-Identifier: ISC
"""The metrics: what they tell, that they are documented, and Prometheus
itself."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request

import pytest

from base import ROOT, TIMEOUT_S, until
from serving import parse, starting

MANUAL = (ROOT / "docs" / "relay-ctl.8").read_text()


@pytest.fixture(name="start")
def _start():
    with starting() as start:
        yield start


@pytest.fixture(name="serve")
def _serve(start, relayd):
    serve = start(relayd)
    yield serve
    assert serve.stop() == 0


def program(name):
    """A program of Debian's package prometheus; CI has it."""
    found = shutil.which(name)
    if not found and not os.environ.get("CI"):
        pytest.skip(f"no {name}; scripts/deps install test")
    assert found, f"no {name}"
    return found


def gateway(metrics, name, gateway_name="main", **labels):
    return metrics.get((name, tuple(sorted(
        {"gateway": gateway_name, **labels}.items()))))


def promtool_is_silent(text):
    done = subprocess.run([program("promtool"), "check", "metrics"],
                          input=text, text=True, capture_output=True,
                          check=False, timeout=TIMEOUT_S)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_metrics_tell_the_status(relayd, serve, connector):
    agent = relayd.agent()
    connector.say("discord", "c1", "hello")
    delivery = agent.inbound("hello")
    relayd.wait_gateway(lambda g: g["counters"]["delivered"] == 1, "to deliver")
    until(lambda: gateway(serve.metrics(), "relayd_gateway_events_total") == 1,
          "a fresh status")
    answer = serve.ask("/metrics")
    assert answer.headers["Content-Type"].startswith(
        "text/plain; version=0.0.4")
    found, status = parse(answer.text), relayd.gateway()
    assert found["relayd_up", ()] == 1
    assert found["relayd_build_info", (("version", "0.1.0"),)] == 1
    assert gateway(found, "relayd_gateway_state", state="connected") == 1
    states = [value for (name, _), value in found.items()
              if name == "relayd_gateway_state"]
    assert len(states) == 8 and sum(states) == 1
    for name, value in {
            "relayd_gateway_agents": 1,
            "relayd_gateway_agents_unacknowledged_events": 1,
            "relayd_gateway_waiting_events": 1,
            "relayd_gateway_events_delivered_total": 1,
            "relayd_gateway_events_acknowledged_total": 0,
            "relayd_gateway_dials_total": 1,
            "relayd_gateway_journal_bytes": status["journal"]["bytes"],
            "relayd_gateway_journal_capacity_bytes":
                status["journal"]["capacity_bytes"],
            "relayd_gateway_state_timestamp_seconds": status["since"],
            "relayd_gateway_last_event_timestamp_seconds":
                status["last_inbound_at"],
            "relayauthd_credential_usable": 1,
            "relayauthd_tokens_minted_total": 1,
            "relayauthd_refusals_total": 0,
    }.items():
        assert gateway(found, name) == value, name
    # What has not happened yet is absent.
    for name in ("relayd_gateway_last_failure_timestamp_seconds",
                 "relayd_gateway_last_close_timestamp_seconds",
                 "relayauthd_last_refusal_timestamp_seconds",
                 "relayauthd_credential_revoked_timestamp_seconds"):
        assert gateway(found, name) is None, name
    for role in ("supervisor", "authd", "dialer", "engine"):
        assert found["relayd_process_running", (("process", role),)] == 1
    # No person and no chat.
    labels = {label for _, pairs in found for label, _ in pairs}
    assert labels <= {"gateway", "state", "code", "phase", "source", "result",
                      "process", "version"}
    assert "c1" not in answer.text
    agent.ack(delivery)
    until(lambda: gateway(serve.metrics(),
                          "relayd_gateway_events_acknowledged_total") == 1,
          "the acknowledgement")


def test_refusals_are_told(host, start):
    serve = start(host)
    found = until(lambda: (metrics := serve.metrics()) and gateway(
        metrics, "relayauthd_refusals_total") and metrics, "a refusal")
    assert gateway(found, "relayauthd_last_refusal_timestamp_seconds") >= \
        host.status()["started"] - 1
    assert gateway(found, "relayauthd_credential_usable") == 0
    assert gateway(found, "relayauthd_credential_timestamp_seconds") is None
    assert gateway(found, "relayd_gateway_state", state="unprovisioned") == 1
    answer = serve.ask("/readyz")
    assert answer.status == 503
    assert answer.text.startswith("main: unprovisioned: ")
    assert serve.stop() == 0


def test_a_refused_reload_is_told(relayd, serve):
    """It makes nobody unready: an older configuration serves."""
    name = "relayd_config_last_reload_"

    def told():
        metrics = serve.metrics()
        return [metrics.get((name + more, ())) for more in (
            "successful", "success_timestamp_seconds",
            "refused_timestamp_seconds")]
    taken = relayd.status()["configuration"]["taken"]
    assert told() == [1, taken, None]
    good = relayd.config
    relayd.configure({**good, "log": {"level": "loud"}})
    assert not relayd.reload()["ok"]
    refused = until(lambda: (seen := told())[0] == 0 and seen, "a refusal")
    assert refused[1] == taken <= refused[2]
    promtool_is_silent(serve.ask("/metrics").text)
    answer = serve.ask("/readyz")
    assert answer.status == 200 and answer.text == (
        "main: connected\n"
        "a new configuration was refused, and an older one stays\n")
    relayd.configure(good)
    assert relayd.reload()["ok"]
    assert until(lambda: (seen := told())[0] == 1 and seen,
                 "its end")[2] is None
    assert serve.ask("/readyz").text == "main: connected\n"


def test_promtool_has_no_objection(relayd, serve, connector):
    connector.stop()
    relayd.wait_state(state="retrying")
    until(lambda: gateway(serve.metrics(), "relayd_gateway_last_failure",
                          phase="connect"), "a failure")
    promtool_is_silent(serve.ask("/metrics").text)


def test_metrics_without_a_server(relayd, serve):
    """As for a collector that reads files: the same, but for serve's own."""
    done = relayd.ctl("status", "--metrics")
    assert done.returncode == 0 and done.stderr == ""
    names = {line.split()[2] for line in done.stdout.splitlines()
             if line.startswith("# TYPE")}
    served = {line.split()[2] for line in serve.ask("/metrics").text.splitlines()
              if line.startswith("# TYPE")}
    assert names == {name for name in served
                     if not name.startswith("relayd_serve_")} - {"relayd_up"}
    promtool_is_silent(done.stdout)
    assert relayd.ctl("--json", "status", "--metrics").returncode == 2
    relayd.stop()
    done = relayd.ctl("status", "--metrics")
    assert (done.returncode, done.stdout) == (3, "")
    relayd.start(wait="connected")


def test_prometheus_scrapes_it(relayd, serve, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (tmp_path / "p.yml").write_text(
        "global: {scrape_interval: 1s}\n"
        "scrape_configs:\n- job_name: relayd\n  static_configs:\n"
        f"  - targets: ['127.0.0.1:{serve.port}']\n")
    with subprocess.Popen(
            [program("prometheus"), f"--config.file={tmp_path}/p.yml",
             f"--storage.tsdb.path={tmp_path}/data",
             f"--web.listen-address=127.0.0.1:{port}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        def query(text):
            url = (f"http://127.0.0.1:{port}/api/v1/query?"
                   + urllib.parse.urlencode({"query": text}))
            with contextlib.suppress(OSError):
                with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
                    return json.load(answer)["data"]["result"]
            return None
        try:
            found = until(lambda: query('relayd_gateway_state == 1'),
                          "a scrape", 3 * TIMEOUT_S)
            assert found[0]["metric"]["state"] == "connected"
            assert found[0]["metric"]["gateway"] == "main"
            relayd.ctl("disable", "main")
            until(lambda: query('relayd_gateway_state{state="disabled"} == 1'),
                  "another scrape")
            assert query('up{job="relayd"}')[0]["value"][1] == "1"
        finally:
            process.kill()


def test_every_metric_told_is_documented(serve):
    names = set(re.findall(r"^\.It Va (relay[a-z_]+)$", MANUAL, re.M))
    told = {name for name, _ in serve.metrics()}
    assert len(told) > 60 and told <= names
