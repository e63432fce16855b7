"""Where the service's own warnings and errors go: to the terminal of whoever started it."""

from __future__ import annotations

import logging
import sys

PACKAGES = ("serve", "pipelines", "policies")


def log_to_terminal() -> None:
    """Have this replica's warnings and errors written to its standard error, which Ray passes on.

    Serve puts a logger of its own in place of a replica's standard error, and drops what is
    printed there below its level. Where it has not, nothing is changed.
    """
    if not type(sys.stderr).__module__.startswith("ray."):
        return
    handler = logging.StreamHandler(sys.__stderr__)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for package in PACKAGES:
        logger = logging.getLogger(package)
        logger.handlers = [handler]
        logger.propagate = False
