"""Queueing models, the virtual-time simulator, and their comparison with measurement.

`queueing` and `lps` predict servers without control in closed form, `simulator` runs the live
policies against a table of measured costs. Nothing here imports torch, ray or the service.
"""
