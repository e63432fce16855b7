"""What the solvers assume unless told otherwise; without imports, for the command line's help."""

HEADROOM = 0.95
"""Share of the capacity that a plan for a rate may use. Proteus and DiffServe both provision for
1.05 times the demand."""

STAGES = 10
"""Stages of a tagged job's own run: its spread is then about a third of its mean. Jobs that keep
their rung vary less, jobs whose batch fills and empties more."""
