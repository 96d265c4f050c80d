"""`perdure stage status`: what was changed on a stage, by class and by object."""

from collections import Counter
from dataclasses import asdict
from typing import Any

import click

from perdure.cli.arguments import limit as limit_option
from perdure.cli.arguments import moment_text
from perdure.cli.opened import opened_storage
from perdure.cli.output import echo_json, echo_table
from perdure.cli.progress import progress_bar
from perdure.cli.stage.changes import opened_changes
from perdure.ids import oid_repr, tid_repr
from perdure.tools import stage

__all__ = ["command"]


@click.command("status", short_help="Show what was changed on a stage.")
@click.argument("changes")
@click.option("--database", metavar="ADDRESS", help="Where the database is, if it was moved.")
@limit_option("How many objects of each class to show at most")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def command(changes: str, database: str | None, limit: int, as_json: bool) -> None:
    """Show the objects that the stage CHANGES changed, and how, by class.

    An object that was changed in the database, too, since the stage was begun, is marked; whether
    both changes can be merged, perdure stage apply finds out. No class is imported. Both are
    opened for reading only, and may be in use.
    """
    with opened_changes(changes, read_only=True) as above:
        where = _database_of(above, database)
        with opened_storage(where) as below, progress_bar("comparing") as progress:
            status = stage.status(above, below, progress)
            if as_json:
                echo_json(_as_data(status, above, below))
            else:
                _print(status, above, below, limit)


def _database_of(changes: Any, given: str | None) -> str:
    """Return the address of the database that `changes` were staged over."""
    address = given or stage.read_mark(changes).address
    if not address:
        raise click.UsageError("the stage does not know where its database is: say --database")
    return address


def _as_data(status: stage.Status, changes: Any, production: Any) -> dict[str, Any]:
    mark = status.mark
    return {
        "database": mark.address or mark.database,
        "snapshot": tid_repr(mark.last),
        "applied": _optional(mark.applied),
        "transactions": status.transactions,
        "classes": [asdict(each) for each in status.classes],
        "objects": [
            {
                "oid": oid_repr(each.oid),
                "class": each.class_name,
                "kind": each.kind,
                "tid": tid_repr(each.tid),
                "base_tid": _optional(each.base_tid),
                "changed_since": _optional(each.changed_since),
                "lost": each.is_lost,
                "size_bytes": each.size_bytes,
                "difference": stage.difference(changes, production, each.oid),
            }
            for each in status.objects
        ],
    }


def _optional(tid: bytes | None) -> str | None:
    return None if tid is None else tid_repr(tid)


def _print(status: stage.Status, changes: Any, production: Any, limit: int) -> None:
    mark = status.mark
    click.echo(f"over      {mark.address or mark.database}")
    click.echo(f"as of     {moment_text(mark.last)}")
    if mark.applied is not None:
        click.echo(f"applied   {moment_text(mark.applied)}, to {mark.applied_to}")
    click.echo(f"changes   {_counted(status.transactions, 'transaction')}")
    if not status.objects:
        click.echo("          which leave everything as it was" if status.transactions else "")
        return
    click.echo()
    rows = [("class", "changed", "new", "removed")]
    for each in status.classes:
        counts = f"{each.changed:,}", f"{each.new:,}", f"{each.removed:,}"
        rows.append((each.class_name, *counts))
    echo_table(rows, right=(1, 2, 3))
    _print_objects(status, changes, production, limit)
    if status.contested and mark.applied is None:
        count = _counted(len(status.contested), "object")
        click.echo(f"\nchanged in the database, too: {count}, marked with !")


def _print_objects(status: stage.Status, changes: Any, production: Any, limit: int) -> None:
    shown: Counter[str] = Counter()
    for each in sorted(status.objects, key=lambda each: each.class_name):
        shown[each.class_name] += 1
        if limit and shown[each.class_name] > limit:
            continue
        remark = _contested(each) if status.mark.applied is None else ""
        click.echo(f"\n{each.class_name} {oid_repr(each.oid)} {each.kind}{remark}")
        for line in stage.difference(changes, production, each.oid):
            click.echo(f"    {line}")
    for name, count in sorted(shown.items()):
        if limit and count > limit:
            click.echo(f"\n{name}: {count - limit:,} more; --limit 0 shows them")


def _contested(each: stage.StagedObject) -> str:
    if each.changed_since is not None:
        return f"  ! changed in the database by {tid_repr(each.changed_since)}"
    return "  ! gone from the database" if each.is_lost else ""


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
