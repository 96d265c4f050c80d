"""`perdure recover`: save what can be read of a damaged file."""

from collections.abc import Iterable
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Final

import click

from perdure.cli.addresses import data_file
from perdure.cli.output import count_text, echo_json
from perdure.cli.progress import progress_bar
from perdure.errors import POSError
from perdure.ids import oid_repr, tid_repr
from perdure.tools import Doubt, recover

__all__ = ["command"]

_SHOWN_ALIKE: Final = 10


@click.command("recover", short_help="Save what can be read of a damaged file.")
@click.argument("damaged", type=data_file)
@click.argument("new", type=data_file)
@click.option("--force", is_flag=True, help="Put the new file in place of one that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print what was saved and lost as JSON.")
@click.pass_context
def command(context: click.Context, damaged: Path, new: Path, force: bool, as_json: bool) -> None:
    """Save everything that can be read of the data file DAMAGED into a file NEW.

    DAMAGED is only read. What was lost is listed, and what was saved although no checksum
    speaks for it. The exit code is 0 if there is neither, 1 if there is, 2 if nothing was saved.
    """
    try:
        with progress_bar("recovering", in_bytes=True) as progress:
            done = recover(damaged, new, overwrite=force, progress=progress)
    except (POSError, OSError) as error:
        if context.find_root().params.get("traceback"):
            raise
        click.echo(f"perdure: {error}", err=True)
        context.exit(2)
    if as_json:
        echo_json(
            {
                "transactions": done.transactions,
                "records": done.records,
                "size_bytes": done.size_bytes,
                "lost": list(map(_as_data, done.lost)),
                "doubtful": list(map(_as_data, done.doubtful)),
            }
        )
    else:
        _print("lost", done.lost)
        _print("doubtful", done.doubtful)
        click.echo(
            f"saved {count_text(done.transactions, 'transaction')} "
            f"with {count_text(done.records, 'record')}; "
            f"lost {len(done.lost):,}, doubtful {len(done.doubtful):,}"
        )
    context.exit(1 if done.lost or done.doubtful else 0)


def _print(what: str, doubts: Iterable[Doubt]) -> None:
    """Print the first of those in a row that are of one transaction for one reason."""
    for _, alike in groupby(doubts, lambda doubt: (doubt.tid, doubt.reason)):
        for doubt in islice(alike, _SHOWN_ALIKE):
            click.echo(f"{what}: {_text(doubt)}")
        more = sum(1 for _ in alike)
        if more:
            click.echo(f"{what}: {count_text(more, 'more record')} like this; --json lists all")


def _text(doubt: Doubt) -> str:
    oid = "" if doubt.oid is None else f", oid {oid_repr(doubt.oid)}"
    tid = "" if doubt.tid is None else f", transaction {tid_repr(doubt.tid)}"
    return f"byte {doubt.position}{oid}{tid}: {doubt.reason}"


def _as_data(doubt: Doubt) -> dict[str, Any]:
    return {
        "position": doubt.position,
        "oid": None if doubt.oid is None else oid_repr(doubt.oid),
        "tid": None if doubt.tid is None else tid_repr(doubt.tid),
        "reason": doubt.reason,
    }
