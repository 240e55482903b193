# SPDX-License-Identifier: ISC
"""What the README shows of an enrolment: a host with an identity token and
nothing else, an enrollment token, one command."""

import sys

from scene import GATEWAY, GROUP, Scene, run

import issued


class Host(Scene):
    """A relayd whose gateway has no secret yet."""

    def start(self):
        self.connector.token = self.connector.http.idp.issue("tenant-a")
        self.connector.start()
        agents = {"agents": {"group": GROUP}} if self.root else {}
        issued.bare(self.relayd, self.connector, id=GATEWAY, **agents)
        self.relayd.start()
        issued.wait_reason(self.relayd, "403")
        self.relayd.write("token", issued.ticket(self.connector) + "\n", 0o600)


def show(scene, *words, status=0):
    """Run relay-ctl as a person would, in the daemon's directory."""
    print(f"$ relay-ctl {' '.join(words)}", flush=True)
    paths = [str(scene.relayd.dir / w) if w == "token" else w for w in words]
    done = scene.relayd.ctl(*paths)
    assert done.returncode == status, done.stderr
    print(done.stdout.rstrip(), flush=True)


def play():
    with Host("0" * 64) as scene:
        scene.start()
        show(scene, "status", status=152)
        show(scene, "enroll", "main", "--token-file", "token")
        scene.relayd.wait_state()
        show(scene, "status")
        issued.wait_credential(scene.relayd, lambda c: c["age_s"],
                               "to have an age")
        show(scene, "show", "credentials")
        scene.stop()


if __name__ == "__main__":
    sys.exit(run(play))
