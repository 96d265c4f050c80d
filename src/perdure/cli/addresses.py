"""What a person types to name a database, and how it is printed back."""

import shlex
from pathlib import Path

import click

from perdure.opening import parse

__all__ = ["refuse_missing_file", "shell_word"]


def shell_word(path: Path) -> str:
    """Return `path` as a person would type it in a shell."""
    return shlex.quote(str(path))


def refuse_missing_file(address: str, hint: str = "") -> None:
    """Raise a usage error if `address` names a file that is not there.

    Opening it would create an empty database: seldom what a typing error meant.
    """
    parsed = parse(address)
    if parsed.scheme == "file" and not Path(parsed.text).expanduser().exists():
        message = f"there is no file {parsed.text!r}" + (f"; {hint}" if hint else "")
        raise click.BadParameter(message, param_hint="ADDRESS")
