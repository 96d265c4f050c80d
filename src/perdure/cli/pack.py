"""`perdure pack`: drop what is not needed any more."""

from dataclasses import asdict

import click

from perdure.cli.arguments import address as address_argument
from perdure.cli.arguments import moment
from perdure.cli.opened import opened_database
from perdure.cli.output import echo_json
from perdure.cli.progress import progress_bar, waiting
from perdure.tools import PackEstimate, estimate_pack, pack

__all__ = ["command"]


@click.command("pack", short_help="Drop old revisions and garbage.")
@address_argument
@click.option("--at", metavar="MOMENT", type=moment, help="Keep what is needed since then.")
@click.option("--days", type=click.FloatRange(min=0), default=0, help="Keep so many days before.")
@click.option("--dry-run", is_flag=True, help="Only say what would be dropped.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(address: str, at: bytes | None, days: float, dry_run: bool, as_json: bool) -> None:
    """Drop the revisions and the garbage of the database at ADDRESS that nobody needs.

    What is needed to see the database as it is now, or with --at or --days as it was then or
    at any later time, stays. With --dry-run the database is opened for reading only.
    Blobs are packed, too, where ADDRESS says where they are: file:app.fs?blob_dir=blobs.
    """
    if dry_run:
        with opened_database(address, read_only=True) as database, waiting("counting"):
            _show_estimate(estimate_pack(database, at, days=days), as_json)
        return
    packing = progress_bar("packing", in_bytes=True)
    with opened_database(address) as database, packing as progress:
        packed = pack(database, at, days=days, progress=progress)
    if as_json:
        echo_json(asdict(packed))
    else:
        click.echo(f"bytes    {packed.size_before:,} -> {packed.size_after:,}")
        click.echo(f"objects  {packed.objects_before:,} -> {packed.objects_after:,}")


def _show_estimate(estimate: PackEstimate, as_json: bool) -> None:
    if as_json:
        echo_json(asdict(estimate))
    else:
        click.echo(f"bytes      {estimate.size_bytes:,}")
        click.echo(f"revisions  {estimate.revisions:,}")
        click.echo(f"objects    {estimate.objects:,}")
