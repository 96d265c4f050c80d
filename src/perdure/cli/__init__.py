"""The `perdure` command: it parses arguments and prints; the work is done below."""

from perdure.cli.entry import main

__all__ = ["main"]
