"""Loads on the running server, measured and held against every prediction, with verdicts."""
