"""Persistent classes that tests store; importable, so that records can name them."""
