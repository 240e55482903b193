# SPDX-License-Identifier: ISC
"""Gateway tokens: how one is minted, and how the connector judges one.

token = base64url_nopad(gateway_id ":" exp ":" hex(HMAC-SHA256(secret,
gateway_id ":" exp))), exp in Unix seconds, 0 = never.
"""

import base64
import binascii
import hashlib
import hmac
import re
import time
from dataclasses import dataclass

MAX_TTL_S = 300
# Both sides run on one machine in tests: only rounding and scheduling differ.
TTL_SKEW_S = 5
# Far above any sane gateway id; keeps a hostile header from costing anything.
MAX_TOKEN_LEN = 4096

EXP_RE = re.compile(r"0|[1-9][0-9]{0,15}")
MAC_RE = re.compile(r"[0-9a-f]{64}")
ALPHABET_RE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass
class Verdict:
    """What the connector thinks of a bearer.

    `ok` admits it.  `breach` says that no correct gateway could have sent
    it, whatever its secret is (so it is a violation, not just a refusal).
    """

    ok: bool
    reason: str
    gateway_id: str = ""
    exp: int = -1
    token: str = ""
    breach: bool = False


def sign(secret, gateway_id, exp):
    message = f"{gateway_id}:{exp}".encode()
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def mint(gateway_id, secret, exp=None):
    """The token; by default one that is good for the usual 300 s."""
    if exp is None:
        exp = int(time.time()) + MAX_TTL_S
    plain = f"{gateway_id}:{exp}:{sign(secret, gateway_id, exp)}"
    return base64.urlsafe_b64encode(plain.encode()).rstrip(b"=").decode()


def parse(token):
    """(gateway_id, exp, mac), or ValueError saying what is malformed."""
    if len(token) > MAX_TOKEN_LEN or not ALPHABET_RE.fullmatch(token):
        raise ValueError("not unpadded base64url")
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        text = raw.decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError("does not decode to UTF-8 text") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != token:
        raise ValueError("not the canonical base64url form")
    parts = text.rsplit(":", 2)
    if len(parts) != 3 or not parts[0]:
        raise ValueError("not gateway_id:exp:mac")
    if not EXP_RE.fullmatch(parts[1]) or not MAC_RE.fullmatch(parts[2]):
        raise ValueError("bad exp or mac")
    return parts[0], int(parts[1]), parts[2]


def signed_by(secrets, gateway_id, exp, mac):
    """Compare against every secret, so that time tells nothing."""
    good = False
    for secret in secrets:
        good |= hmac.compare_digest(sign(secret, gateway_id, exp), mac)
    return good


def judge(header, secrets_of, now, true_now):
    """Judge an Authorization header.

    secrets_of(gateway_id) gives the rotation list, empty when unknown.  `now`
    is the connector's clock, which a test may have set wrong; `true_now` is
    the machine's: a gateway answers for its TTL by that one only.
    """
    if header is None:
        return Verdict(False, "no Authorization header", breach=True)
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        return Verdict(False, "not a Bearer credential", breach=True)
    try:
        gateway_id, exp, mac = parse(token)
    except ValueError as error:
        return Verdict(False, f"malformed token: {error}", token=token,
                       breach=True)
    verdict = Verdict(False, "", gateway_id, exp, token)
    if not signed_by(secrets_of(gateway_id), gateway_id, exp, mac):
        verdict.reason = "unknown gateway or wrong secret"
    elif exp == 0:
        verdict.reason, verdict.breach = "exp 0 is not for use", True
    elif exp - true_now > MAX_TTL_S + TTL_SKEW_S:
        verdict.reason, verdict.breach = "lifetime above 300 s", True
    elif exp <= now:
        verdict.reason = "expired"
    else:
        verdict.ok, verdict.reason = True, "ok"
    return verdict
