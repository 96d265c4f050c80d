"""`perdure copy`: from any address to any other."""

import click

from perdure.cli.arguments import moment_text
from perdure.cli.opened import opened_storage
from perdure.cli.output import count_text, echo_json, size_text
from perdure.cli.progress import progress_bar, waiting
from perdure.ids import ZERO, tid_repr
from perdure.opening import open_storage
from perdure.tools import copy

__all__ = ["command"]


@click.command("copy", short_help="Copy a database into another storage.")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option(
    "--without-blobs",
    is_flag=True,
    help="Copy records of blobs of a database that is given without its blob_dir.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was copied as JSON.")
def command(source: str, target: str, without_blobs: bool, as_json: bool) -> None:
    """Copy every transaction of the database at address FROM to the one at TO, with its tid.

    TO is created if it is not there. If it has the beginning of FROM it gets the rest: a copy
    that was interrupted goes on, and the same command brings a copy up to date. FROM is
    opened for reading only, and may be written to meanwhile. Blobs come along where both
    addresses have a blob_dir; where FROM has blobs and no blob_dir is given, it is refused.
    """
    with opened_storage(source) as read:
        with waiting("opening"):
            written = open_storage(target)
        try:
            with progress_bar("copying", in_bytes=True) as progress:
                done = copy(read, written, progress, without_blobs=without_blobs)
        finally:
            written.close()
    last = None if done.tid == ZERO else done.tid
    if as_json:
        echo_json(
            {
                "transactions": done.transactions,
                "records": done.records,
                "size_bytes": done.size_bytes,
                "last_tid": None if last is None else tid_repr(last),
            }
        )
    else:
        click.echo(
            f"copied {count_text(done.transactions, 'transaction')} "
            f"with {count_text(done.records, 'record')}, "
            f"{size_text(done.size_bytes)}; the last is {moment_text(last)}"
        )
