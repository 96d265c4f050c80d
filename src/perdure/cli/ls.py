"""`perdure ls`: what stands at a path."""

import json
from itertools import islice
from typing import Any, Final

import click

from perdure.cli.arguments import address as address_argument
from perdure.cli.arguments import limit as limit_option
from perdure.cli.arguments import moment
from perdure.cli.opened import opened_storage
from perdure.cli.output import echo_json_list, echo_table
from perdure.ids import oid_repr
from perdure.tools import Child, Moment, children, find

__all__ = ["command"]

_LONGEST: Final = 60


@click.command("ls", short_help="List what stands at a path.")
@address_argument
@click.argument("path", default="/")
@click.option("--at", metavar="MOMENT", type=moment, help="As it was at this time or tid.")
@limit_option("How many at most", default=1000)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def command(address: str, path: str, at: bytes | None, limit: int, as_json: bool) -> None:
    """List the items and attributes of the object at PATH, / by default.

    A path is made of keys, indices and attributes: /books/'a/b'/title. A key that is no
    text is written as in Python; with a dot in front, a name is only an attribute. An oid
    may stand in the root's place: 0x1a/title. No class is imported.
    """
    with opened_storage(address) as storage:
        now = Moment(storage, at)
        found = children(now, find(now, path))
        if as_json:
            echo_json_list(map(_as_data, islice(found, limit or None)))
            return
        listed = list(islice(found, limit + 1 if limit else None))
        if limit and len(listed) > limit:
            click.echo(f"perdure: only the first {limit:,} are listed; see --limit", err=True)
            del listed[limit:]
        if listed:
            echo_table([_as_row(child) for child in listed])


def _as_data(child: Child) -> dict[str, Any]:
    return {
        "name": child.name,
        "kind": child.kind,
        "oid": None if child.oid is None else oid_repr(child.oid),
        "class": child.class_name,
        "value": child.value,
    }


def _as_row(child: Child) -> list[str]:
    name = child.name if child.kind == "item" else f".{child.name}"
    if child.oid is not None:
        return [name, oid_repr(child.oid), child.class_name or ""]
    shown = json.dumps(child.value, ensure_ascii=False)
    if len(shown) > _LONGEST:
        shown = shown[:_LONGEST] + " ..."
    return [name, "", shown]
