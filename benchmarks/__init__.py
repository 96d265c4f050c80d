"""Perdure timed against ZODB, in one run: ``python -m benchmarks --help``."""
