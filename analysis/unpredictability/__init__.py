"""The variance of latency by cause, on a running server: what a model could predict, and what none can."""
