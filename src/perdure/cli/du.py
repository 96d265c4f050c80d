"""`perdure du`: what takes the room, by class or by subtree."""

import click

from perdure.cli.arguments import address as address_argument
from perdure.cli.arguments import limit as limit_option
from perdure.cli.arguments import moment
from perdure.cli.opened import opened_storage
from perdure.cli.output import echo_json, echo_table
from perdure.cli.progress import progress_bar
from perdure.ids import oid_repr
from perdure.tools import ClassRoom, Subtrees, census, subtrees

__all__ = ["command"]


@click.command("du", short_help="Say what takes the room, by class or by subtree.")
@address_argument
@click.argument("path", required=False)
@click.option("--at", metavar="MOMENT", type=moment, help="As it was at this time or tid.")
@click.option("--all-revisions", is_flag=True, help="Count old revisions, too; not with a PATH.")
@limit_option("How many lines at most")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(
    address: str,
    path: str | None,
    at: bytes | None,
    all_revisions: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Say what takes the room in the database at ADDRESS, the largest first.

    Without a PATH all objects are counted, by class. With one (/ is the root), the objects
    that can be reached from each of its children; each object once, for the child it is
    nearest to. Bytes are those of the records. No class is imported.
    """
    if path is not None and all_revisions:
        raise click.UsageError("--all-revisions goes without a PATH")
    with opened_storage(address) as storage, progress_bar("counting") as progress:
        if path is None:
            rooms = census(storage, at, every_revision=all_revisions, progress=progress)
        else:
            found = subtrees(storage, path, at, progress)
    if path is None:
        _print_rooms(rooms, limit, as_json)
    else:
        _print_subtrees(found, limit, as_json)


def _print_rooms(rooms: list[ClassRoom], limit: int, as_json: bool) -> None:
    if as_json:
        echo_json(
            [
                {"class": room.class_name, "count": room.count, "size_bytes": room.size_bytes}
                for room in rooms
            ]
        )
    else:
        _print_sums([(room.size_bytes, room.count, room.class_name) for room in rooms], limit)


def _print_subtrees(found: Subtrees, limit: int, as_json: bool) -> None:
    if as_json:
        echo_json(
            {
                "object_count": found.object_count,
                "size_bytes": found.size_bytes,
                "missing": [oid_repr(oid) for oid in found.missing],
                "damaged": [oid_repr(oid) for oid in found.damaged],
                "subtrees": [
                    {
                        "name": subtree.name,
                        "class": subtree.class_name,
                        "object_count": subtree.object_count,
                        "size_bytes": subtree.size_bytes,
                    }
                    for subtree in found.found
                ],
            }
        )
        return
    # What is no object takes room in the object that has it.
    sums = [
        (subtree.size_bytes, subtree.object_count, subtree.name)
        for subtree in found.found
        if subtree.object_count
    ]
    _print_sums(sums, limit)
    for oids, what in ((found.missing, "missing"), (found.damaged, "damaged")):
        if oids:
            shown = ", ".join(map(oid_repr, oids[:10])) + (" ..." if len(oids) > 10 else "")
            click.echo(f"perdure: {len(oids):,} objects are {what}: {shown}", err=True)


def _print_sums(sums: list[tuple[int, int, str]], limit: int) -> None:
    shown = sums[: limit or None]
    rows = [(f"{size:,}", f"{count:,}", name) for size, count, name in shown]
    if len(shown) < len(sums):
        rest = sums[len(shown) :]
        size, count = sum(row[0] for row in rest), sum(row[1] for row in rest)
        rows.append((f"{size:,}", f"{count:,}", f"({len(rest):,} more)"))
    size, count = sum(row[0] for row in sums), sum(row[1] for row in sums)
    echo_table([("bytes", "count", ""), *rows, (f"{size:,}", f"{count:,}", "in all")], right=(0, 1))
