"""`perdure show`: a record as readable data, its history, and what changed in it."""

import json
from typing import Any

import click

from perdure.cli.arguments import moment, moment_text
from perdure.cli.opened import opened_storage
from perdure.cli.output import echo_json, size_text
from perdure.errors import PathError, POSKeyError
from perdure.ids import oid_repr, tid_repr
from perdure.tools import (
    Moment,
    PastRevision,
    Place,
    ShownRevision,
    difference,
    find,
    past_revisions,
    show,
)

__all__ = ["command"]


@click.command("show", short_help="Show an object as data, its history, what changed.")
@click.argument("address")
@click.argument("what", metavar="OID|PATH")
@click.option("--at", metavar="MOMENT", type=moment, help="As it was at this time or tid.")
@click.option("--history", "with_history", is_flag=True, help="List its revisions instead.")
@click.option(
    "--diff",
    nargs=2,
    metavar="OLD NEW",
    type=moment,
    help="What changed between these times or tids.",
)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(
    address: str,
    what: str,
    at: bytes | None,
    with_history: bool,
    diff: tuple[bytes, bytes] | None,
    as_json: bool,
) -> None:
    """Show an object of the database at ADDRESS as data.

    The object is named by its oid, such as 0x1a, or by its path from the root, such as
    /books/0/title. The database is opened for reading only, and no class is imported.
    """
    if diff is not None and (with_history or at is not None):
        other = "--history" if with_history else "--at"
        raise click.UsageError(f"{other} and --diff do not go together")
    with opened_storage(address) as storage:
        if diff is not None:
            _show_difference(*_two_revisions(storage, what, *diff), as_json)
            return
        place = find(Moment(storage, at), what)
        if with_history:
            _show_history(past_revisions(storage, place.oid), as_json)
        elif place.class_name is None:
            echo_json(place.value)
        else:
            _show(show(storage, place.oid, at), place, as_json)


def _show(revision: ShownRevision, place: Place, as_json: bool) -> None:
    if as_json:
        echo_json(_as_data(revision))
        return
    click.echo(f"oid    {oid_repr(revision.oid)}")
    click.echo(f"class  {place.class_name}")
    click.echo(f"tid    {moment_text(revision.tid)}")
    click.echo(f"size   {size_text(revision.size_bytes)}")
    for name in ("arguments", "state"):
        if name in revision.record:
            shown = json.dumps(revision.record[name], indent=2, ensure_ascii=False)
            click.echo(f"{name}\n{shown}")


def _as_data(revision: ShownRevision) -> dict[str, Any]:
    return {
        "oid": oid_repr(revision.oid),
        "tid": tid_repr(revision.tid),
        "size_bytes": revision.size_bytes,
        **revision.record,
    }


def _show_history(revisions: list[PastRevision], as_json: bool) -> None:
    if as_json:
        echo_json(
            [
                {
                    "tid": tid_repr(revision.tid),
                    "time": revision.time.isoformat(),
                    "user": revision.user,
                    "description": revision.description,
                    "size_bytes": revision.size_bytes,
                }
                for revision in revisions
            ]
        )
        return
    for revision in revisions:
        by = f"  by {revision.user}" if revision.user else ""
        note = revision.description.partition("\n")[0]
        size = size_text(revision.size_bytes)
        click.echo(f"{moment_text(revision.tid)}  {size:>8}{by}  {note}".rstrip())


def _two_revisions(
    storage: Any, what: str, old: bytes, new: bytes
) -> tuple[ShownRevision | None, ShownRevision | None]:
    """Return an object as it was at two moments; None for that at which it was not there.

    It is looked up as of the newer one, or if it is not there, of the older.
    """
    try:
        oid = find(Moment(storage, new), what).oid
    except PathError:
        oid = find(Moment(storage, old), what).oid
    return _shown(storage, oid, old), _shown(storage, oid, new)


def _shown(storage: Any, oid: bytes, at: bytes) -> ShownRevision | None:
    try:
        return show(storage, oid, at)
    except POSKeyError:
        return None


def _show_difference(old: ShownRevision | None, new: ShownRevision | None, as_json: bool) -> None:
    lines = difference(old, new)
    if as_json:
        shown = [None if each is None else _as_data(each) for each in (old, new)]
        echo_json({"old": shown[0], "new": shown[1], "lines": lines})
        return
    for sign, each in (("---", old), ("+++", new)):
        click.echo(f"{sign} {moment_text(None if each is None else each.tid)}")
    for line in lines:
        click.echo(line)
