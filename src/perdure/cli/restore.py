"""`perdure restore`: a data file as it is in its backups."""

from pathlib import Path

import click

from perdure.cli.addresses import data_file
from perdure.cli.arguments import moment, moment_text
from perdure.cli.output import count_text, echo_json, size_text
from perdure.cli.progress import progress_bar
from perdure.ids import tid_repr
from perdure.tools import Restored, restore

__all__ = ["command"]


@click.command("restore", short_help="Restore a data file from its backups.")
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("path", metavar="FILE", type=data_file)
@click.option("--at", metavar="MOMENT", type=moment, help="As it was at this time or tid.")
@click.option("--blob-dir", type=click.Path(path_type=Path), help="Restore the blobs to here.")
@click.option("--force", is_flag=True, help="Replace what is there.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def command(
    directory: Path,
    path: Path,
    at: bytes | None,
    blob_dir: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write FILE as it is in the backups in DIRECTORY, byte by byte.

    DIRECTORY is one of perdure backup, or of ZODB's repozo. What is read is verified, and FILE
    appears only when it is complete. The exit code is 1 if a backup that is needed is damaged,
    or if what was asked for could be restored in part only.
    """
    for target in (path, blob_dir):
        if target is not None and target.exists() and not force:
            raise click.UsageError(f"there is {str(target)!r} already; --force replaces it")
    with progress_bar("restoring", in_bytes=True) as progress:
        done = restore(directory, path, at=at, blob_dir=blob_dir, force=force, progress=progress)
    if as_json:
        echo_json(
            {
                "size_bytes": done.size_bytes,
                "last_tid": None if done.last_tid is None else tid_repr(done.last_tid),
                "blob_count": done.blob_count,
                "left_blob_count": done.left_blob_count,
                "incomplete": done.incomplete,
            }
        )
    else:
        _print(done, path, blob_dir)
    if done.incomplete:
        click.echo(f"perdure: {done.incomplete}", err=True)
        click.get_current_context().exit(1)


def _print(done: Restored, path: Path, blob_dir: Path | None) -> None:
    blobs = "" if blob_dir is None else f", and {count_text(done.blob_count, 'blob')} in {blob_dir}"
    click.echo(f"restored {path}, {size_text(done.size_bytes)}{blobs}")
    click.echo(f"up to {moment_text(done.last_tid)}")
    if done.left_blob_count:
        left = count_text(done.left_blob_count, "blob")
        click.echo(f"left out: {left}; --blob-dir restores blobs, too")
