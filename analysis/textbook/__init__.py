"""The textbook's servers, simulated by compiled loops at millions of jobs a second.

`models` says which arrivals and servers there are, `simulation` runs them, `reference` holds them
against independent values, `command` is `python -m analysis textbook`. Only `kernels` and what
imports it load numba.
"""
