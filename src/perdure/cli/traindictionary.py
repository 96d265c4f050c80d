"""`perdure train-dictionary`: a file that makes small compressed records smaller."""

from dataclasses import replace
from pathlib import Path

import click

from perdure.cli.arguments import address as address_argument
from perdure.cli.opened import opened_storage
from perdure.cli.output import size_text
from perdure.cli.progress import progress_bar
from perdure.opening import Address, address_text, parse
from perdure.storages.dictionaries import DICTIONARY_BYTES, train_dictionary, write_dictionary

__all__ = ["command"]


@click.command("train-dictionary", short_help="Train a dictionary for zstd on the records.")
@address_argument
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--size",
    "size_bytes",
    type=click.IntRange(min=256),
    default=DICTIONARY_BYTES,
    show_default=True,
    help="About how many bytes it shall have.",
)
def command(address: str, file: Path, size_bytes: int) -> None:
    """Write a dictionary to FILE, trained on current records of the database at ADDRESS.

    The layer zstd: then makes small records about half as large. FILE must not be there yet: a
    dictionary is needed as long as there are records that were compressed with it. The
    database is opened for reading only.
    """
    if file.exists():
        raise click.BadParameter(
            f"there is {str(file)!r} already, and records may need it; name a new file",
            param_hint="FILE",
        )
    trained = _trained(address, file)
    with opened_storage(address) as storage, progress_bar("reading records") as progress:
        content = train_dictionary(storage, size_bytes, progress)
    write_dictionary(file, content)
    click.echo(f"{file}: {size_text(len(content))}, for {address_text(trained)}")


def _trained(address: str, file: Path) -> Address:
    """Return the address that opens the same database with the dictionary."""
    parsed = parse(address)
    if "old_dictionary" in parsed.options:
        raise click.BadParameter(
            "there is an old_dictionary already, and no place in an address for a third one; "
            "perdure copy into an address with one dictionary makes records that need no other",
            param_hint="ADDRESS",
        )
    if parsed.scheme != "zstd":
        return Address("zstd", "", layers=(parsed,), options={"dictionary": str(file)})
    options = {**parsed.options, "dictionary": str(file)}
    if "dictionary" in parsed.options:
        options["old_dictionary"] = parsed.options["dictionary"]
    return replace(parsed, options=options)
