# SPDX-License-Identifier: ISC
"""A connector with one gateway, and a client that knows its secret."""

import pytest

from .client import Client
from .face import Connector


@pytest.fixture(name="connector")
def _connector(tmp_path):
    with Connector(tmp_path) as connector:
        connector.register("gw-1", "s3cret",
                           {"discord": "1234", "telegram": "77"})
        yield connector


@pytest.fixture(name="client")
def _client(connector):
    with Client(connector.url) as client:
        yield client
