"""Diffusion as explicit steps: loading, encoding, stepping, decoding, and what each of them costs.

This file imports nothing, so that `pipelines.costs` stays usable where torch is not installed.
"""
