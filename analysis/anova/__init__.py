"""What execution time depends on: analysis of variance of a factorial experiment, and formulas from it."""
