"""How commands print data: JSON, and tables of text."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click

__all__ = ["count_text", "echo_json", "echo_json_list", "echo_table", "size_text"]


def echo_json(value: Any) -> None:
    """Print `value` as JSON."""
    click.echo(json.dumps(value, indent=2))


def echo_json_list(values: Iterable[Any]) -> None:
    """Print `values` as one JSON list, each on a line as soon as it is there."""
    separator = "[\n"
    for value in values:
        click.echo(separator + json.dumps(value), nl=False)
        separator = ",\n"
    click.echo("\n]" if separator == ",\n" else "[]")


def echo_table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """Print `rows` in columns; those with the numbers in `right` are aligned to the right.

    The last column is as long as it likes.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


def count_text(count: int, noun: str) -> str:
    """Return how many there are of what `noun` names: ``1 object``, ``1,200 objects``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def size_text(size_bytes: int) -> str:
    """Return a size as people read it: ``812 B``, ``1.4 MB``; units are powers of 1000."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
