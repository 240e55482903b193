# SPDX-License-Identifier: ISC
"""Another host, where no bearer may ever go: it counts who comes."""

from .raw import RawServer

ANSWER = (b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n'
          b'Connection: close\r\n\r\n{"secret":"' + b"e" * 64
          + b'","gatewayId":"gw-elsewhere","tenant":"other",'
          b'"access_token":"elsewhere"}')


class Elsewhere(RawServer):
    """Answers every request with a credential of its own."""

    def __init__(self, tls=None):
        super().__init__([("head",), ("send", ANSWER), ("close",)], tls=tls)

    @property
    def http_url(self):
        """Its base address; another name than the connector's as well."""
        return f"{'https' if self.tls else 'http'}://localhost:{self.port}"

    @property
    def visits(self):
        return self.connections

    def assert_unvisited(self):
        heads = [bytes(data[:200]) for data in self.received]
        assert not self.connections, f"visited: {heads}"
