"""Simulated equals measured: runs of the live server, replayed in virtual time with its own costs."""
