# SPDX-License-Identifier: ISC
"""The connector's state: gateways, settings, and what it has seen.

It outlives servers, so a restarted connector still knows what it buffered.
"""

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from secrets import token_hex as random_hex

from . import descriptors
from .delivery import Buffer, Framing

# A broken gateway in a loop must not fill memory with its own errors.
MAX_VIOLATIONS = 10_000
MAX_RECORDS = 1_000_000
# Different unknown names that are told apart; they are the peer's to invent.
MAX_UNKNOWN = 1000

DEFAULT_POLICY = {"requireAddress": True, "freeResponseScopes": [],
                  "allowOtherBots": False}


@dataclass
class Settings:
    """How the connector behaves; all of it may be changed while it runs."""

    base: str = ""                  # path before /relay
    refuse_with_status: bool = False    # HTTP 401 instead of close 4401
    say_expired: bool = False       # an aged token is closed with "expired"
    egress: str = "chat"            # "chat", "scope" or "off"; see outbound.py
    fill_in: bool = True            # known chats must come with their scope
    replay_window: int = 1          # the contract waits for each ack; 0: none
    numeric_ids: bool = False       # bufferIds are JSON numbers
    id_prefix: str = "b"            # what the others begin with
    clock_offset: float = 0         # seconds the connector's clock is ahead
    send_date: object = True        # answers carry a Date header; "asked":
                                    # all but those that upgrade
    pong: bool = True               # answer pings
    read: bool = True               # read from the link
    write: bool = True              # write to the link (but for pongs)
    descriptors: bool = True        # answer hellos
    idle_ack: bool = True           # answer going_idle
    results: bool = True            # answer outbounds
    framing: Framing = field(default_factory=Framing)


@dataclass
class Violation:
    """A breach of the contract by a gateway."""

    gateway_id: str
    link: int
    rule: str
    detail: str

    def __str__(self):
        who = f"{self.gateway_id or '?'}#{self.link}"
        return f"{who} {self.rule}: {self.detail}"


@dataclass
class Dial:
    """One upgrade request and what became of it."""

    number: int
    at: float
    gateway_id: str = ""
    exp: int = -1
    ttl: float = 0
    token: str = ""
    verdict: str = ""
    outcome: str = ""


@dataclass
class Outbound:
    """One outbound frame and its answer (None while it is held back)."""

    gateway_id: str
    link: int
    frame: dict
    action: dict
    result: dict = None

    @property
    def op(self):
        return self.action.get("op")

    @property
    def chat_id(self):
        return self.action.get("chat_id")


class Gateway:
    """One registered gateway; what is here survives its connections."""

    def __init__(self, gateway_id, secrets, platforms):
        self.gateway_id = gateway_id
        self.secrets = list(secrets)        # rotation list, newest first
        self.until = {}                     # secret: monotonic end of it
        self.delivery_key = random_hex(16)
        self.policies = {}                  # platform: relevance policy
        self.platforms = dict(platforms)    # platform: botId
        self.descriptors = {p: descriptors.default(p) for p in platforms}
        self.tenant = f"tenant-{gateway_id}"
        self.claimed = False                # the tenant was proven
        self.buffer = Buffer()
        self.chats = {}                     # chat_id: outbound.Chat
        self.revoked = False
        self.link = None                    # the current connection
        self.asleep = False                 # went idle and has not come back
        self.request_ids = set()            # over all connections
        self.messages_out = 0               # message ids handed out

    def policy(self, platform):
        """The relevance policy that holds; the connector's own default where
        none was posted."""
        return self.policies.get(platform, DEFAULT_POLICY)

    def rotate(self, secret, keep_old=True, keep_s=None):
        """Make this the newest secret; the others go at once, after keep_s
        seconds, or never."""
        old = [s for s in self.secrets if s != secret] if keep_old else []
        if keep_s is not None:
            for one in old:
                self.until.setdefault(one, time.monotonic() + keep_s)
        self.until.pop(secret, None)
        self.secrets = [secret, *old]

    def renew(self):
        """A new secret; the old ones stay valid, as on a rotation."""
        self.rotate(random_hex(32))

    def valid_secrets(self):
        """Those of the rotation list whose time is not over."""
        now = time.monotonic()
        return [s for s in self.secrets if self.until.get(s, now + 1) > now]

    def add_platform(self, platform, bot_id):
        self.platforms[platform] = bot_id
        self.descriptors.setdefault(platform, descriptors.default(platform))


class State:
    """Everything a connector knows; shared by its faces and servers."""

    def __init__(self, settings=None):
        self.settings = settings or Settings()
        self.gateways = {}
        self.violations = []
        self.counters = Counter()
        self.unknown = Counter()        # fields and types that were ignored
        self.dials = []
        self.links = []                 # link.Link, oldest first
        self.outbounds = []
        self.held = deque()             # (link, Outbound) without an answer
        self.interrupts = []
        self.policies = []
        self.requests = []              # (method, path, status), HTTP side
        self.dial_faults = deque()
        self.result_hook = None         # fn(Outbound) -> result dict or None
        self.listeners = []
        self.http = None                # http_side.HttpSide, set by the face
        self._waiters = []
        self._woken = False

    def now(self):
        """The connector's idea of the time."""
        return time.time() + self.settings.clock_offset

    def secrets_of(self, gateway_id):
        gateway = self.gateways.get(gateway_id)
        return gateway.valid_secrets() if gateway else []

    def violation(self, rule, detail, gateway_id="", link=0):
        self.counters["violations"] += 1
        if len(self.violations) < MAX_VIOLATIONS:
            self.violations.append(Violation(gateway_id, link, rule, detail))
        self.emit("violation", gateway=gateway_id, rule=rule, detail=detail)

    def ignored(self, name):
        """Count a field or frame type that the contract does not name."""
        if name in self.unknown or len(self.unknown) < MAX_UNKNOWN:
            self.unknown[name] += 1

    def keep(self, records, record):
        """Append to a record list, within bounds."""
        if len(records) < MAX_RECORDS:
            records.append(record)

    def emit(self, kind, **facts):
        """Tell listeners, and wake whoever waits for something to change."""
        for listener in self.listeners:
            listener(kind, facts)
        self.changed()

    def changed(self):
        """Wake waiters once per turn of the loop, however much happened."""
        if self._waiters and not self._woken:
            self._woken = True
            asyncio.get_running_loop().call_soon(self._wake)

    def new_loop(self):
        """Forget waiters that belonged to a loop that has ended."""
        self._waiters, self._woken = [], False

    def _wake(self):
        self._woken = False
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, predicate):
        """Return the first true value of predicate(), run in the loop."""
        while True:
            value = predicate()
            if value:
                return value
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
