"""Queueing models, the virtual-time simulator, and their comparison with measurement.

`models` predict the long run by queueing theory, `simulator` runs the live
policies against a table of measured costs. Nothing here imports torch, ray or the service.
"""
