"""`perdure refs`: who refers to an object."""

from typing import Any

import click

from perdure.cli.arguments import moment
from perdure.cli.opened import opened_storage
from perdure.cli.output import echo_json_list
from perdure.cli.progress import progress_bar
from perdure.ids import oid_repr
from perdure.tools import Moment, Referrer, find, referrers, steps

__all__ = ["command"]


@click.command("refs", short_help="Say who refers to an object.")
@click.argument("address")
@click.argument("what", metavar="OID|PATH")
@click.option("--at", metavar="MOMENT", type=moment, help="As it was at this time or tid.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def command(address: str, what: str, at: bytes | None, as_json: bool) -> None:
    """List the objects that refer to an object, and where in their state.

    The object is named by its oid, such as 0x1a, or by its path from the root; one that is
    gone, by its oid. The whole database is looked through, opened for reading only, and no
    class is imported.
    """
    with opened_storage(address) as storage:
        start, names = steps(what)
        oid = find(Moment(storage, at), what).oid if names else start
        with progress_bar("looking through objects") as progress:
            found = list(referrers(storage, oid, at, progress))
    if as_json:
        echo_json_list(map(_as_data, found))
    else:
        for referrer in found:
            weak = "  (weak)" if referrer.weak else ""
            click.echo(
                f"{oid_repr(referrer.oid)}  {referrer.class_name}  "
                f"{' '.join(referrer.places)}{weak}"
            )


def _as_data(referrer: Referrer) -> dict[str, Any]:
    return {
        "oid": oid_repr(referrer.oid),
        "class": referrer.class_name,
        "weak": referrer.weak,
        "places": list(referrer.places),
    }
