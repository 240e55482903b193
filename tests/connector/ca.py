# SPDX-License-Identifier: ISC
"""A throw-away certificate authority, made with the openssl program.

P-256 keys, because a test run makes several of them and RSA is slow.
"""

import ssl
import subprocess
from pathlib import Path

# A signature takes milliseconds; a hang means a broken installation.
OPENSSL_TIMEOUT_S = 30

LOCAL_NAMES = ("DNS:localhost", "IP:127.0.0.1")

# What a test may ask to be served with: (SANs, days that are left, signed by a
# stranger).
LEAVES = {
    "good": (LOCAL_NAMES, 365, False),
    "wrong_name": (("DNS:other.example",), 365, False),
    "expired": (LOCAL_NAMES, -1, False),
    "expiring": (LOCAL_NAMES, 9, False),
    "other_ca": (LOCAL_NAMES, 365, True),
}


def openssl(*args, stdin=None):
    """Run openssl, and say what it said if it failed."""
    done = subprocess.run(["openssl", *map(str, args)], input=stdin,
                          capture_output=True, text=True,
                          timeout=OPENSSL_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {args[0]} failed: {done.stderr.strip()}")
    return done.stdout


def make_key(path):
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)
    path.chmod(0o600)


class CA:
    """A CA in a directory; `file` is what a gateway is told to trust."""

    def __init__(self, directory, name="ca"):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.file = self.directory / f"{name}.pem"
        self.key = self.directory / f"{name}.key"
        self.serial = 1
        if not self.file.exists():
            self._create()

    def _create(self):
        make_key(self.key)
        openssl("req", "-x509", "-new", "-key", self.key, "-sha256",
                "-days", 3650, "-subj", f"/CN=relayd test {self.name}",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                "-out", self.file)

    def issue(self, name, sans=LOCAL_NAMES, days=365):
        """Issue a server certificate; returns (certificate, key) paths."""
        cert = self.directory / f"{self.name}-{name}.pem"
        key = self.directory / f"{self.name}-{name}.key"
        request = self.directory / f"{self.name}-{name}.csr"
        extensions = self.directory / f"{self.name}-{name}.ext"
        make_key(key)
        openssl("req", "-new", "-key", key, "-subj", f"/CN={name}",
                "-out", request)
        extensions.write_text(
            f"subjectAltName={','.join(sans)}\n"
            "basicConstraints=critical,CA:false\n"
            "extendedKeyUsage=serverAuth\n"
            "authorityKeyIdentifier=keyid\n")
        self.serial += 1
        openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey",
                self.key, "-set_serial", self.serial, "-sha256",
                "-days", days, "-extfile", extensions,
                "-out", cert)
        return cert, key

    def leaf(self, kind="good"):
        """One of LEAVES, made the first time it is asked for."""
        sans, days, stranger = LEAVES[kind]
        issuer = CA(self.directory, "stranger") if stranger else self
        cert = issuer.directory / f"{issuer.name}-{kind}.pem"
        if cert.exists():
            return cert, cert.with_suffix(".key")
        return issuer.issue(kind, sans, days)

    def server_context(self, kind="good"):
        """A server-side TLS context that presents that leaf."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        cert, key = self.leaf(kind)
        context.load_cert_chain(cert, key)
        return context
