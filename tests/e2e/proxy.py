# SPDX-License-Identifier: ISC
"""An HTTP proxy for CONNECT, that asks for credentials and remembers who
came for what."""

import base64
import select
import socket
import threading

WAIT_S = 20


class Proxy:
    """Listens on 127.0.0.1; a context manager.

    credentials  "user:password" that it asks for, or None
    """

    def __init__(self, credentials=None):
        self.credentials = credentials
        self.tunnels = []       # authorities that were connected to
        self.refused = []       # and that were not
        self.passed = bytearray()   # what went through in clear text
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._over = threading.Event()

    def __enter__(self):
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_exception):
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self):
        while not self._over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(client,),
                             daemon=True).start()

    def _one(self, client):
        with client:
            client.settimeout(WAIT_S)
            try:
                self._connect(client)
            except OSError:
                pass    # an end of the tunnel left

    def _connect(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            part = client.recv(4096)
            if not part:
                return
            head += part
        method, authority = head.decode("latin-1").split()[:2]
        if method != "CONNECT" or not self._may(head):
            self.refused.append(authority)
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                           b"Content-Length: 0\r\n\r\n")
            return
        host, _, port = authority.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)),
                                      WAIT_S) as server:
            self.tunnels.append(authority)
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            self._copy(client, server)

    def _may(self, head):
        if self.credentials is None:
            return True
        wanted = base64.b64encode(self.credentials.encode())
        return b"Proxy-Authorization: Basic " + wanted + b"\r\n" in head

    def _copy(self, client, server):
        while not self._over.is_set():
            for one in select.select([client, server], [], [], 0.2)[0]:
                data = one.recv(65536)
                if not data:
                    return
                self.passed += data
                (server if one is client else client).sendall(data)
