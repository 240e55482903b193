#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Start the development connector by hand: main.py --help."""

import sys
from pathlib import Path

# Run as a file, not as a module: make the package importable, and keep its
# own folder out of the way of the standard library.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from connector.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
