"""Queueing models: what a line and its server do in the long run, by theory alone.

`python -m analysis predict` asks them by name. Rates are jobs per second and times seconds, or any
other unit if it is used throughout. A load that cannot be served raises `steady.Unstable`.
"""
