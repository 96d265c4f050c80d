"""`perdure pack`: drop what is not needed any more."""

import click

import perdure
from perdure.cli.addresses import refuse_missing_file
from perdure.cli.arguments import moment
from perdure.cli.output import echo_json
from perdure.cli.progress import waiting
from perdure.tools import Packed, pack

__all__ = ["command"]


@click.command("pack", short_help="Drop old revisions and garbage.")
@click.argument("address")
@click.option("--at", metavar="MOMENT", type=moment, help="Keep what is needed since then.")
@click.option("--days", type=click.FloatRange(min=0), default=0, help="Keep so many days before.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(address: str, at: bytes | None, days: float, as_json: bool) -> None:
    """Drop the revisions and the garbage of the database at ADDRESS that nobody needs.

    What is needed to see the database as it is now, or with --at or --days as it was then or
    at any later time, stays.
    """
    refuse_missing_file(address)
    with perdure.open(address) as database, waiting("packing"):
        packed = pack(database, at, days=days)
    if as_json:
        echo_json(
            {
                "size_before": packed.size_before,
                "size_after": packed.size_after,
                "objects_before": packed.objects_before,
                "objects_after": packed.objects_after,
            }
        )
    else:
        _print(packed)


def _print(packed: Packed) -> None:
    for name, before, after in (
        ("bytes", packed.size_before, packed.size_after),
        ("objects", packed.objects_before, packed.objects_after),
    ):
        click.echo(f"{name:<8} {before:,} -> {after:,}")
