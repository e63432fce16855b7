"""Plain Locust's way in: ``locust -f loadgen/locustfile.py --host URL``, with its web page.

Add ``--headless`` for none. The options are those of ``python -m loadgen run``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from locust import events

# Locust loads this file by its path, so that the package around it need not be on the path.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from loadgen.users import OpenLoopUser, UntilAnswered, install

__all__ = ["OpenLoopUser", "UntilAnswered"]

install(events)
