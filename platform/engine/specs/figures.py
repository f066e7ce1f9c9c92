"""Which way of making figures this installation has: part of every evaluation and of the hash of every suite."""

METRICS_REVISION = 1
"""Raised by whoever changes what the same predictions are given as figures, so that old and new are never mixed."""
