"""`perdure backup`: add a data file to its backups."""

from pathlib import Path
from typing import Any

import click

from perdure.cli.addresses import refuse_missing_file
from perdure.cli.arguments import moment_text
from perdure.cli.output import count_text, echo_json, size_text
from perdure.cli.progress import progress_bar
from perdure.ids import tid_repr
from perdure.opening import parse
from perdure.tools import BackedUp, Manifest, back_up

__all__ = ["command"]

_REASONS = {
    "first": "the first",
    "requested": "as asked for",
    "changed": "the file was packed or replaced since the last one",
    "blobs": "blobs are backed up from now on, or no more",
    "damaged": "an earlier one is damaged",
}


@click.command("backup", short_help="Back up a data file, in full or what was added.")
@click.argument("address", metavar="FILE")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--blob-dir", type=click.Path(path_type=Path), help="Back up the blobs in this directory, too."
)
@click.option("--full", is_flag=True, help="Back up all of it.")
@click.option(
    "--thorough",
    is_flag=True,
    help="Compare all that was backed up with the file, and read all backups.",
)
@click.option("--no-compress", is_flag=True, help="Store the data as they are.")
@click.option(
    "--keep", metavar="COUNT", type=click.IntRange(min=1), help="Keep so many full backups."
)
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def command(
    address: str,
    directory: Path,
    blob_dir: Path | None,
    full: bool,
    thorough: bool,
    no_compress: bool,
    keep: int | None,
    as_json: bool,
) -> None:
    """Add the data file FILE to the backups in DIRECTORY.

    What was added to it since the last backup is stored; all of it if there is none, or if it
    was packed since. The file may be in use. What was written is read back and compared. The
    exit code is 1 if an earlier backup is found to be damaged; the new one is made even so.
    """
    parsed = parse(address)
    if parsed.scheme != "file":
        raise click.BadParameter(
            f"{parsed.scheme}: is no data file; use perdure copy", param_hint="FILE"
        )
    refuse_missing_file(address, argument="FILE")
    blobs = blob_dir or parsed.options.get("blob_dir", parsed.options.get("blobstorage_dir"))
    with progress_bar("backing up", in_bytes=True) as progress:
        done = back_up(
            Path(parsed.text).expanduser(),
            directory,
            blob_dir=None if blobs is None else Path(blobs).expanduser(),
            full=full,
            thorough=thorough,
            compress=not no_compress,
            keep=keep,
            progress=progress,
        )
    if as_json:
        echo_json(_as_data(done))
    else:
        _print(done, directory)
    for error in done.damaged:
        click.echo(f"perdure: {error}", err=True)
    if done.damaged:
        click.get_current_context().exit(1)


def _as_data(done: BackedUp) -> dict[str, Any]:
    return {
        "backup": None if done.manifest is None else _manifest_as_data(done.manifest),
        "dropped": done.dropped,
        "damaged": [error.path for error in done.damaged],
    }


def _manifest_as_data(manifest: Manifest) -> dict[str, Any]:
    return {
        "number": manifest.number,
        "follows": manifest.follows,
        "reason": manifest.reason,
        "data": manifest.data,
        "start": manifest.start,
        "end": manifest.end,
        "last_tid": None if manifest.last_tid is None else tid_repr(manifest.last_tid),
        "blob_count": len(manifest.blobs),
    }


def _print(done: BackedUp, directory: Path) -> None:
    manifest = done.manifest
    if manifest is None:
        click.echo("nothing was added since the last backup")
    else:
        reason = f" ({_REASONS[manifest.reason]})" if manifest.is_full else ""
        stored = (directory / manifest.data).stat().st_size
        blobs = f" and {count_text(len(manifest.blobs), 'blob')}" if manifest.blob_layout else ""
        click.echo(
            f"{'full' if manifest.is_full else 'added'}{reason}: "
            f"{size_text(manifest.end - manifest.start)}{blobs} in {manifest.data}, "
            f"{size_text(stored)}"
        )
        click.echo(f"up to {moment_text(manifest.last_tid)}")
    if done.dropped:
        click.echo(f"dropped {count_text(done.dropped, 'full backup')}")
