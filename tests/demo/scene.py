# SPDX-License-Identifier: ISC
"""What demo and play share: a connector with TLS and a CA made for the run,
a relayd with a configuration made for the run, an agent, and their end."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "e2e")]

from connector.face import Connector    # noqa: E402
import relay                            # noqa: E402

AGENT = ROOT / "examples" / "agent.py"
GROUP = "relay-agents"
GATEWAY = "gw-demo"


class Scene(contextlib.ExitStack):
    """Everything that runs; leaving it ends and removes all of it.

    As root relayd's processes have users of their own, and the agent is a
    stranger who is only in the agents' group.
    """

    def __init__(self, secret, platform="discord"):
        super().__init__()
        self.root = os.geteuid() == 0
        self.connector = Connector(tls="good")
        self.connector.register(GATEWAY, secret, {platform: "1234"})
        self.callback(self.connector.stop)
        self.relayd = relay.Relayd(relay.Daemon(), debug=False)
        self.callback(self.relayd.destroy)
        self.agent = None
        self.agent_log = self.relayd.dir / "agent.log"
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupted)

    def start(self):
        """Connector and relayd, until they are connected."""
        self.connector.start()
        agents = {"agents": {"group": GROUP}} if self.root else {}
        self.relayd.connect_to(self.connector, **agents)
        self.relayd.start(wait="connected")

    def start_agent(self):
        """The example agent, until it is attached."""
        program = self.relayd.dir / AGENT.name
        shutil.copy(AGENT, program)
        program.chmod(0o755)
        words = [str(program), str(self.relayd.agent_path())]
        if self.root:
            words = ["/usr/bin/setpriv", "--reuid=nobody", f"--regid={GROUP}",
                     "--clear-groups", *words]
        with open(self.agent_log, "wb") as log:
            self.agent = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        self.callback(self._end_agent)
        self.relayd.wait_agents(1)

    def __exit__(self, kind, error, traceback):
        if kind and issubclass(kind, Exception):
            self._show_logs()
        return super().__exit__(kind, error, traceback)

    def _show_logs(self):
        """What may explain a failure."""
        lines = [f"relayd: {line}" for line in self.relayd.lines]
        if self.agent:
            lines += [f"agent: {line}" for line in
                      self.agent_log.read_text(errors="replace").splitlines()]
        lines += [f"contract broken: {v}" for v in self.connector.violations]
        print("\n".join(lines), file=sys.stderr)

    def _end_agent(self):
        self.agent.kill()
        self.agent.wait(relay.TIMEOUT_S)

    def stop(self):
        """The orderly end, which says what went wrong if it was none."""
        self.relayd.stop()
        if self.agent:
            self._end_agent()
        self.connector.assert_clean(unknown=True)


def _interrupted(_number, _frame):
    raise KeyboardInterrupt


def run(play):
    """Call play(); the process's exit status.  What fails is said, not shown
    as a stack."""
    try:
        play()
    except KeyboardInterrupt:
        return 130
    except (AssertionError, OSError, RuntimeError) as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    return 0
