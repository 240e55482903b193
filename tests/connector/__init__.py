# SPDX-License-Identifier: ISC
"""The development connector: the far side of the relay contract, for tests.

An implementation independent of relayd (Python, aiohttp), strict about what
a gateway sends and scriptable in what it sends itself.  `Connector` is the
face for pytest; `main.py` is the one for a terminal.
"""

from .ca import CA
from .delivery import Framing
from .face import Connector
from .faults import DialFault
from .model import Settings
from .raw import RawServer

__all__ = ["CA", "Connector", "DialFault", "Framing", "RawServer", "Settings"]
