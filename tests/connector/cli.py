# SPDX-License-Identifier: ISC
"""The connector by hand: orders on standard input, events on standard output.

One line each way.  With --chat it is a terminal chat instead (chat.py).
"""

import argparse
import json
import secrets
import shlex
import signal
import sys
from pathlib import Path

from . import orders
from .ca import LEAVES
from .chat import Chatter
from .face import Connector

# Whose tokens are issued when none is named.
TENANT = "tenant-a"


def parse_args(argv):
    parser = argparse.ArgumentParser(
        prog="main.py", description="The development connector, on 127.0.0.1.",
        epilog="Orders are read from standard input; help lists them.")
    add = parser.add_argument
    add("--port", type=int, default=0, help="0 (default): any free one")
    add("--dir", type=Path, help="for the CA, and the secret if none is given "
                                 "(default: a temporary directory)")
    add("--gateway", default="gw-demo", help="gateway id (default gw-demo)")
    add("--secret-file", type=Path, help="its secret; made if it is missing")
    add("--platform", action="append", metavar="NAME:BOTID",
        help="a fronted identity, repeatable (default discord:1234)")
    add("--base", default="", metavar="PATH", help="path before /relay")
    add("--tls", nargs="?", const="good", choices=sorted(LEAVES),
        help="serve wss:// with this kind of certificate (default good)")
    add("--chat", action="store_true", help="be a terminal chat; ends at ^D")
    return parser.parse_args(argv)


def read_secret(path, directory):
    """The secret's text; one is made, readable by its owner alone."""
    path = path or directory / "secret"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32) + "\n")
    secret = path.read_text().strip()
    if not secret:
        raise SystemExit(f"{path}: the secret is empty; "
                         "remove the file to have one made")
    return secret


def split_platforms(pairs):
    platforms = {}
    for pair in pairs or ["discord:1234"]:
        name, colon, bot_id = pair.partition(":")
        if not (name and colon and bot_id):
            raise SystemExit(f"--platform {pair}: write it as NAME:BOTID")
        platforms[name] = bot_id
    return platforms


def show(line):
    """Print a line in one write: two threads print."""
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        pass    # nobody reads; the end of standard input ends us


def print_event(kind, facts):
    """One event as `kind key=value…`; JSON values, so one line and ASCII."""
    show(" ".join([kind] + [f"{name}={json.dumps(value)}"
                            for name, value in facts.items()]))


# The orders: each takes (connector, the words, the rest of the line).

class Usage(Exception):
    """The order was not understood; the text says how it is written."""


def _say(connector, words, rest):
    if len(words) < 3:
        raise Usage("say PLATFORM CHAT TEXT…")
    buffer_id = connector.say(words[0], words[1], rest.split(None, 2)[2])
    show(f"ok {buffer_id}")


def _close(connector, words, rest):
    code = int(words[0]) if words else 1000
    connector.close(code, rest.partition(" ")[2])
    show("ok")


def _forbid(connector, words, _rest):
    connector.forbid(*(int(word) for word in words[:2]))
    show("ok")


def _interrupt(connector, words, _rest):
    if len(words) != 2:
        raise Usage("interrupt SESSION_KEY CHAT")
    connector.interrupt(*words)
    show("ok")


def _send(connector, _words, rest):
    connector.send_text(rest + "\n")
    show("ok")


def _identity(connector, words, _rest):
    """A new identity token of a tenant."""
    tenant = words[0] if words else TENANT
    show(f"ok {connector.run(connector.http.idp.issue, tenant)}")


def _ticket(connector, words, _rest):
    """A new enrollment token of a tenant, good for one enrolment."""
    token = secrets.token_hex(16)
    connector.http.enrollments[token] = words[0] if words else TENANT
    show(f"ok {token}")


def _rotate(connector, words, _rest):
    if not words:
        raise Usage("rotate SECRET [SECONDS]")
    connector.rotate(words[0], keep_s=float(words[1]) if words[1:] else None)
    show("ok")


def _status(connector, _words, _rest):
    show(connector.status())


def _help(_connector, _words, _rest):
    for name, (_function, usage) in COMMANDS.items():
        show(f"  {name} {usage}".rstrip())


def _simple(method):
    """An order that is a method without arguments."""
    def order(connector, _words, _rest):
        getattr(connector, method)()
        show("ok")
    return order


def _words(method):
    """An order that is a method of the words given."""
    def order(connector, words, _rest):
        getattr(connector, method)(*words)
        show("ok")
    return order


COMMANDS = {
    "say": (_say, "PLATFORM CHAT TEXT…      an inbound message"),
    "send": (_send, "LINE      one line as it stands, rubbish too"),
    "interrupt": (_interrupt, "SESSION_KEY CHAT      stop a turn"),
    "repeat": (_simple("repeat"), "     send again what awaits its ack"),
    "rewind": (_simple("rewind"), "     send again what was acknowledged last"),
    "revoke": (_simple("revoke"), "     4401 now and on every later dial"),
    "restore": (_simple("restore"), "     lift that"),
    "identity": (_identity, "[TENANT]      issue an identity token"),
    "ticket": (_ticket, "[TENANT]      issue a one-time enrollment token"),
    "rotate": (_rotate, "SECRET [SECONDS]      another secret; the old one "
                        "stays valid so long"),
    "expire": (_simple("expire"), "     4401 with the reason \"expired\""),
    "close": (_close, "[CODE [REASON…]]      close the link"),
    "drop": (_simple("drop"), "     cut the TCP connection"),
    "stall": (_words("stall"), f"WHAT…      of {' '.join(orders.STALLS)}"),
    "unstall": (_words("unstall"), "[WHAT…]      lift stalls, or all"),
    "forbid": (_forbid, "[N [STATUS]]      refuse the next dials"),
    "ping": (_simple("ping"), "     ping the gateway"),
    "status": (_status, "     what is known"),
    "help": (_help, "     this list"),
    "quit": (None, "     end (as does ^D)"),
}


def obey(connector, line):
    """Carry out one line; False when it was the last."""
    name, _, rest = line.strip().partition(" ")
    if name == "quit":
        return False
    if name and name not in COMMANDS:
        show(f"error unknown order {orders.vis(name)!r}; try help")
    elif name:
        try:
            words = rest.split() if name == "say" else shlex.split(rest)
        except ValueError:
            words = rest.split()
        try:
            COMMANDS[name][0](connector, words, rest)
        except (Usage, LookupError, ValueError, TypeError) as error:
            show(f"error {orders.vis(error)}")
    return True


def announce(connector):
    ca_file = connector.ca_file if connector.tls else "-"
    show(f"listening {connector.url} ca {ca_file}")


def on_term(_number, _frame):
    """Leave the read of standard input, and clean up."""
    raise SystemExit(0)


def run(connector, args):
    """Serve until standard input ends."""
    connector.start()
    announce(connector)
    if args.chat:
        handler = Chatter(connector, show)
        connector.state.listeners.append(handler.on_event)
    else:
        connector.state.listeners.append(print_event)
        handler = None
    for line in sys.stdin:
        if handler:
            handler.on_line(line.rstrip("\n"))
        elif not obey(connector, line):
            break
    return 1 if connector.violations else 0


def main(argv=None):
    """0: ended as asked; 1: the gateway broke the contract meanwhile."""
    args = parse_args(argv)
    connector = Connector(args.dir, tls=args.tls, port=args.port,
                          base=args.base.rstrip("/"),
                          # A gateway remembers the ids of an earlier run, and
                          # would take new events for those.
                          id_prefix=f"b{secrets.token_hex(4)}-")
    connector.directory.mkdir(parents=True, exist_ok=True)
    connector.register(args.gateway,
                       read_secret(args.secret_file, connector.directory),
                       split_platforms(args.platform))
    signal.signal(signal.SIGTERM, on_term)
    try:
        return run(connector, args)
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        print(f"main.py: cannot listen on 127.0.0.1:{args.port}: {error}; "
              "choose another --port",
              file=sys.stderr)
        return 1
    finally:
        connector.stop(goodbye=(1001, "going away"))
