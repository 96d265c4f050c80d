"""Snapshot isolation in plain Python, and a machine that holds databases against it."""
