"""What a person types to name a database, and how it is printed back."""

import shlex
from pathlib import Path

import click

from perdure.opening import Address, forms, parse

__all__ = ["data_file", "refuse_missing_file", "shell_word"]


def shell_word(path: Path) -> str:
    """Return `path` as a person would type it in a shell."""
    return shlex.quote(str(path))


def data_file(typed: str) -> Path:
    """Return the path of a data file, typed as one or as a ``file:`` address without options.

    For arguments that are files rather than databases.
    """
    scheme, colon, _rest = typed.partition(":")
    if not colon or scheme not in forms or Path(typed).exists():
        return Path(typed)
    address = parse(typed)
    if address.scheme != "file":
        raise click.BadParameter(f"{address.scheme}: is no data file; use perdure copy")
    if address.options or address.database:
        raise click.BadParameter(f"options mean nothing here: give the file, {address.text}")
    return Path(address.text).expanduser()


def refuse_missing_file(address: str, hint: str = "", argument: str = "ADDRESS") -> None:
    """Raise a usage error, about `argument`, if `address` reads a file that is not there.

    Opening it would create an empty database: seldom what a typing error meant. What
    stands on another address is looked for below; where changes and backups go may be new.
    """
    path = _file_of(parse(address))
    if path is not None and not Path(path).expanduser().exists():
        message = f"there is no file {path!r}" + (f"; {hint}" if hint else "")
        raise click.BadParameter(message, param_hint=argument)


def _file_of(address: Address) -> str | None:
    while address.layers:
        address = address.layers[0]
    return address.text if address.scheme == "file" else None
