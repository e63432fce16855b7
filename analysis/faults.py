"""What stops a measurement, as opposed to what the user has to change (ValueError)."""

from __future__ import annotations


class MeasurementError(RuntimeError):
    """A measurement on a live server cannot go on; the message is one sentence for the user."""
